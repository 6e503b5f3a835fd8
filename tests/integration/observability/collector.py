"""A collector of traces: what an exporter sends over OTLP/HTTP, as a test reads it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Received:
    """One span."""

    service: str
    trace: str
    id: str
    parent: str
    name: str
    attributes: dict[str, object]
    links: tuple[str, ...]
    """Spans it links to."""
    start: int
    end: int


class Collector:
    """Keeps every span that was sent to it."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.url = ""

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            told = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [_read(told["service.name"], span) for span in scope.spans]

    def of_job(self, job_id: str) -> list[Received]:
        """Return the trace in which a job was created."""
        traces = {
            span.trace
            for span in list(self.spans)
            if span.name.startswith("create ") and span.attributes.get("genius.job") == job_id
        }
        return sorted(
            (span for span in list(self.spans) if span.trace in traces), key=lambda span: span.start
        )


def _read(service: str, span: object) -> Received:
    attributes = {
        pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in span.attributes
    }
    return Received(
        service=service,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        name=span.name,
        attributes=attributes,
        links=tuple(link.span_id.hex() for link in span.links),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
    )


@contextmanager
def collecting() -> Iterator[Collector]:
    """Listen on a free port."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    collector.url = f"http://127.0.0.1:{server.server_port}/v1/traces"
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
