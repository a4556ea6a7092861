"""OpenTelemetry's door: the one module that imports it, and only where spans are wanted.

The provider is our own and never the process's: libraries that trace by themselves, with
addresses and messages in their spans, find none.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from os import environ

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sync_pipelines.tracing import CARRIED, Value

NAME = "sync-pipelines"

EXPORT_SECONDS = 2.0
"""A run's process ends after its last spans are sent, or after about so long."""

_CONTEXT = TraceContextTextMapPropagator()


class Exporting:
    """Sends spans to ``endpoint``, the base address of an OTLP/HTTP receiver."""

    def __init__(self, endpoint: str, *, process: str) -> None:
        service = environ.get("OTEL_SERVICE_NAME") or NAME
        resource = Resource.create({SERVICE_NAME: service, "process.name": process})
        exporter = OTLPSpanExporter(
            endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS
        )
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(NAME, version(NAME))

    @contextmanager
    def span(
        self, name: str, *, parent: str | None, is_request: bool, values: Mapping[str, Value]
    ) -> Iterator["Noting"]:
        """A span for a ``with`` block; of an error that ends it, its kind alone is told."""
        context = None if parent is None else _CONTEXT.extract({CARRIED: parent})
        with self._tracer.start_as_current_span(
            name,
            context=context,
            kind=SpanKind.SERVER if is_request else SpanKind.INTERNAL,
            attributes=_told(values),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield Noting(span)
            except BaseException as error:
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise

    def traceparent(self) -> str | None:
        """The span that is on, as W3C Trace Context writes it."""
        carrier: dict[str, str] = {}
        _CONTEXT.inject(carrier)
        return carrier.get(CARRIED)

    def ids(self) -> Mapping[str, str]:
        """Of the span that is on, if one is."""
        context = get_current_span().get_span_context()
        if not context.is_valid:
            return {}
        return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}

    def flush(self) -> None:
        """Send what waits."""
        self._provider.force_flush(int(EXPORT_SECONDS * 1000))

    def close(self) -> None:
        """Send what waits, and end the thread."""
        self._provider.shutdown()


class Noting:
    """`tracing.Span`, as OpenTelemetry has it."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def note(self, **values: Value) -> None:
        """Add what is known by now."""
        self._span.set_attributes(_told(values))

    def rename(self, name: str) -> None:
        """Call it otherwise."""
        self._span.update_name(name)


def _told(values: Mapping[str, Value]) -> dict[str, str | int | float | bool]:
    return {name: value for name, value in values.items() if value is not None}
