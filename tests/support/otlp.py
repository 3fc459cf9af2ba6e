"""A collector on loopback: a small HTTP server that decodes what exporters of OpenTelemetry send."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@attrs.frozen
class Span:
    """A span as a collector has it."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: int
    start_ns: int
    end_ns: int
    status: int
    message: str
    attributes: Mapping[str, Any]
    links: Sequence[tuple[str, str, Mapping[str, Any]]]
    notes: Sequence[str]
    service: str

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9


class Collector:
    """What was received. ``mood``: how it answers, ``well``, ``busy`` (503), ``garbled`` or ``hanging``."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.metrics: list[Any] = []
        self.requests = 0
        self.mood = "well"
        self.let_go = threading.Event()
        self.endpoint = ""

    def take(self, path: str, body: bytes) -> None:
        self.requests += 1
        if path.endswith("/v1/metrics"):
            self.metrics.append(ExportMetricsServiceRequest.FromString(body))
            return
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = attributes_of(resource_spans.resource.attributes).get("service.name", "")
            for scope_spans in resource_spans.scope_spans:
                self.spans += [span_of(each, service) for each in scope_spans.spans]

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


@contextmanager
def collector() -> Iterator[Collector]:
    received = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            if received.mood == "hanging":
                received.requests += 1
                received.let_go.wait(30)
                return
            if received.mood == "garbled":
                received.requests += 1
                self.wfile.write(b"\x00\xff this is no HTTP\r\n\r\n")
                return
            if received.mood == "well":
                received.take(self.path, body)
            else:
                received.requests += 1
            self.send_response(200 if received.mood == "well" else 503)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that was shut down has gone away

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    received.endpoint = f"http://127.0.0.1:{server.server_port}/v1/traces"
    try:
        yield received
    finally:
        received.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()


def attributes_of(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}


def span_of(span: Any, service: str) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        kind=span.kind,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        status=span.status.code,
        message=span.status.message,
        attributes=attributes_of(span.attributes),
        links=[(link.trace_id.hex(), link.span_id.hex(), attributes_of(link.attributes)) for link in span.links],
        notes=[each.name for each in span.events],
        service=service,
    )


def trees(spans: Sequence[Span]) -> dict[str, Span]:
    """Return the root of each trace; fails where a trace has several, where a parent is missing, or an id is double."""
    by_trace: dict[str, dict[str, Span]] = {}
    for span in spans:
        trace = by_trace.setdefault(span.trace_id, {})
        assert span.span_id not in trace, f"twice: {span}"
        trace[span.span_id] = span
    roots = {}
    for trace_id, trace in by_trace.items():
        (roots[trace_id],) = (span for span in trace.values() if not span.parent_id)
        orphans = [span for span in trace.values() if span.parent_id and span.parent_id not in trace]
        assert not orphans, orphans
    return roots
