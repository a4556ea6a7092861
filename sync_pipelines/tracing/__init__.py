"""What took how long, from a request to the last record, as OpenTelemetry's spans.

::

    http.request ──▶ execution.hand_over        the gateway
                 └─▶ execution ──▶ stream ──▶ stream.read, stream.write, stream.commit   a run

    a webhook's request ──▶ event ──▶ execution.hand_over, execution ──▶ and so on

Laws:

* It costs nothing where nobody wants it: nothing is imported until `configure_tracing` is
  told where spans go, and every function here then does nothing.
* It starts a thread: a process that forks is never told.
* A span has names, ids, numbers and the kind of an error; never a record's content, never
  an address or a message, which may hold secrets.
* A collector that is away loses spans, and holds up nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

import structlog

if TYPE_CHECKING:
    from sync_pipelines.tracing.exporting import Exporting

Value: TypeAlias = str | int | float | bool | None
Found = TypeVar("Found")

CARRIED = "traceparent"
"""Under this name an execution's metadata says by which span it came about (W3C Trace Context)."""

EXTRA = "otel"


class Span(Protocol):
    """One thing that takes time."""

    def note(self, **values: Value) -> None:
        """Add what is known of it by now; None is left out."""
        ...

    def rename(self, name: str) -> None:
        """Call it otherwise, where its right name turns out late."""
        ...


class _Nothing:
    def note(self, **values: Value) -> None:
        pass

    def rename(self, name: str) -> None:
        pass


log = structlog.get_logger()

_NOTHING: AbstractContextManager[Span] = nullcontext(_Nothing())

_exporting: "Exporting | None" = None


def configure_tracing(endpoint: str | None, *, process: str) -> None:
    """Send this process's spans to a collector's OTLP/HTTP address; None sends nothing.

    Called at the process's doors, once; ``process`` is what it is called there.
    """
    global _exporting
    if endpoint is None or _exporting is not None:
        return
    if import_exporter(endpoint):
        from sync_pipelines.tracing.exporting import Exporting

        _exporting = Exporting(endpoint, process=process)
    else:  # the platform may have set the address for others
        remedy = f"install sync-pipelines[{EXTRA}], or unset SYNC_OTEL_ENDPOINT"
        log.warning("tracing.not_installed", endpoint=endpoint, remedy=remedy)


def import_exporter(endpoint: str | None) -> bool:
    """Import what `configure_tracing` needs, for a process that forks those that call it.

    False where that is nothing, or is not installed.
    """
    if endpoint is None:
        return False
    try:
        import sync_pipelines.tracing.exporting  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


def span(
    name: str, *, parent: str | None = None, is_request: bool = False, **values: Value
) -> AbstractContextManager[Span]:
    """Time a ``with`` block, within the span that is on, or within ``parent`` from elsewhere.

    ``parent`` is a W3C traceparent; one that cannot be read is none. ``is_request``: somebody
    waits for the answer.
    """
    if _exporting is None:
        return _NOTHING
    return _exporting.span(name, parent=parent, is_request=is_request, values=values)


def each(name: str, found: Iterable[Found]) -> Iterable[Found]:
    """The same, with a span for the time that each one takes to come."""
    return found if _exporting is None else _each(name, found)


def _each(name: str, found: Iterable[Found]) -> Iterator[Found]:
    coming = iter(found)
    while True:
        with span(name):
            try:
                one = next(coming)
            except StopIteration:
                return
        yield one


def carried() -> Mapping[str, str]:
    """What to keep with an execution, so that its run belongs to the span that is on."""
    parent = None if _exporting is None else _exporting.traceparent()
    return {} if parent is None else {CARRIED: parent}


def ids() -> Mapping[str, str]:
    """``trace_id`` and ``span_id`` of the span that is on, for the log; empty if none is."""
    return {} if _exporting is None else _exporting.ids()


def flush() -> None:
    """Send what waits, for a process that may end without a word; gives up soon."""
    if _exporting is not None:
        _exporting.flush()


def stop_tracing() -> None:
    """Send what waits, and nothing more."""
    global _exporting
    if _exporting is not None:
        _exporting.close()
        _exporting = None
