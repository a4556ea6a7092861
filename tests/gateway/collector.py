"""A collector of spans: an OTLP/HTTP receiver on this machine, with what it has heard."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Heard:
    """One span."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    values: dict[str, object]
    error: str
    is_request: bool
    process: str


class Collector:
    """``url`` is its base address; ``bodies`` are all that came, to look for what must not."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.paths: list[str] = []
        self.bodies: list[bytes] = []

    @property
    def spans(self) -> list[Heard]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            Heard(
                name=span.name,
                trace_id=span.trace_id.hex(),
                span_id=span.span_id.hex(),
                parent_id=span.parent_span_id.hex(),
                values={
                    one.key: getattr(one.value, one.value.WhichOneof("value"))
                    for one in span.attributes
                },
                error=span.status.message,
                is_request=span.kind == span.SPAN_KIND_SERVER,
                process=" ".join(
                    one.value.string_value
                    for one in resource.resource.attributes
                    if one.key in ("service.name", "process.name")
                ),
            )
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def named(self, name: str) -> Heard:
        (found,) = (one for one in self.spans if one.name == name)
        return found


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens meanwhile."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.paths.append(self.path)
            collector.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
