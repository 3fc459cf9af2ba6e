"""The context of events over HTTP, functions as spans, and ids in log lines, with OpenTelemetry and without it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator, MutableMapping
from types import MappingProxyType
from typing import Any

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.status import StatusCode

from hubwire import Event, GenericEvent, Hub, context
from hubwire.asgi import CorrelationMiddleware
from hubwire.context import baggage, headers, scope, scope_from
from hubwire.errors import ConfigurationError
from hubwire.events import ToolCalled, ToolCompleted
from hubwire.listeners.opentelemetry import OpenTelemetry
from hubwire.tracing import LogIds, add_log_ids, current_traceparent, is_available, log_ids, traced

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"

_provider = TracerProvider()
_exporter = InMemorySpanExporter()
_provider.add_span_processor(SimpleSpanProcessor(_exporter))


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """The spans of a program that has set up OpenTelemetry."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", _provider)
    _exporter.clear()
    yield _exporter
    _exporter.clear()


# --- baggage --------------------------------------------------------------------------------------------------------


def test_only_allowed_baggage_is_let_in() -> None:
    received = {"baggage": "secret=1,tier=gold;ttl=5, user=ann%20b, tier=lead, bad key=1, =2, x"}
    with scope_from(received):
        assert baggage() == {}
        assert "baggage" not in headers()
    with scope_from(received, baggage=["tier", "user", "x"]):
        assert baggage() == {"tier": "gold", "user": "ann b"}
        assert headers()["baggage"] == "tier=gold,user=ann%20b"
        with scope(baggage={"user": "bob,é"}):
            assert headers()["baggage"] == "tier=gold,user=bob%2C%C3%A9"
            with scope_from(headers(), baggage=["user"]):
                assert baggage()["user"] == "bob,é"
        assert baggage()["user"] == "ann b"
    assert baggage() == {}


def test_baggage_is_bounded() -> None:
    with scope(baggage={f"k{number}": "x" * 100 for number in range(500)}):
        assert len(headers()["baggage"]) <= 8192
    with scope_from({"baggage": ",".join(f"k{number}=1" for number in range(500))}, baggage=["k10", "k499"]):
        assert baggage() == {"k10": "1"}


@pytest.mark.parametrize("wrong", [5, "a", {"a b": "c"}, {"a": 5}, {"": "x"}, object()])
def test_odd_baggage_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"scope\(\): baggage"), scope(baggage=wrong):
        pass


@pytest.mark.parametrize("wrong", [5, "tier", b"tiers", [5], object()])
def test_odd_keys_of_baggage_are_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"scope_from\(\): baggage"):
        scope_from({}, baggage=wrong)


# --- ASGI -----------------------------------------------------------------------------------------------------------


async def request(app: Any, *pairs: tuple[bytes, bytes], kind: str = "http") -> list[MutableMapping[str, Any]]:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app({"type": kind, "headers": list(pairs)}, receive, send)
    return sent


def emitting(hub: Hub, events: list[Event], start: str = "http.response.start") -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        events.append(await hub.emit(GenericEvent(kind="order.placed")))
        await send({"type": start, "status": 200, "headers": [(b"X-Correlation-Id", b"other")]})
        await send({"type": "http.response.body", "body": b""})

    return app


@pytest.mark.parametrize(("kind", "start"), [("http", "http.response.start"), ("websocket", "websocket.accept")])
async def test_events_of_a_request_have_its_context(kind: str, start: str) -> None:
    events: list[Event] = []
    async with Hub() as hub:
        app = CorrelationMiddleware(emitting(hub, events, start))
        sent = await request(app, (b"x-correlation-id", b"job 1"), (b"traceparent", PARENT.encode()), kind=kind)
    assert (events[0].correlation_id, events[0].traceparent) == ("job 1", PARENT)
    assert sent[0]["headers"] == [(b"x-correlation-id", b"job 1")]
    assert context.current() == context.EMPTY


async def test_a_request_without_an_id_gets_one() -> None:
    events: list[Event] = []
    async with Hub() as hub:
        app = CorrelationMiddleware(emitting(hub, events))
        answers = [await request(app, (b"x-correlation-id", b"\xff\n")) for _ in range(2)]
    ids = [dict(sent[0]["headers"])[b"x-correlation-id"].decode() for sent in answers]
    assert ids == [event.correlation_id for event in events]
    assert len(set(ids)) == 2


@pytest.mark.parametrize("name", ["X-Correlation-ID", bytearray(b"x-correlation-id")])
async def test_an_application_may_write_names_as_text(name: Any) -> None:
    """As some do; what the server makes of the other headers is between these two."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "headers": [(name, b"theirs"), ("x-\udc80", "1"), (b"y", b"2")]})

    sent = await request(CorrelationMiddleware(app), (b"x-correlation-id", b"job"))
    assert sent[0]["headers"] == [("x-\udc80", "1"), (b"y", b"2"), (b"x-correlation-id", b"job")]


async def test_requests_side_by_side_keep_their_contexts() -> None:
    seen: dict[str, list[str | None]] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
            here = context.current().correlation_id
            seen.setdefault(dict(scope["headers"])[b"x-correlation-id"].decode(), []).append(here)

    middleware = CorrelationMiddleware(app)
    await asyncio.gather(*(request(middleware, (b"x-correlation-id", b"%d" % number)) for number in range(20)))
    assert seen == {str(number): [str(number)] * 5 for number in range(20)}


async def test_other_messages_of_a_server_pass() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})

    assert await request(CorrelationMiddleware(app), kind="lifespan") == [{"type": "lifespan.startup.complete"}]


async def test_events_are_part_of_the_span_of_the_server(exporter: InMemorySpanExporter) -> None:
    events: list[Event] = []
    async with Hub() as hub:
        app = CorrelationMiddleware(emitting(hub, events))
        with trace.get_tracer("server").start_as_current_span("POST /orders") as span:
            await request(app, (b"traceparent", PARENT.encode()))
            place = span.get_span_context()
    assert events[0].traceparent == f"00-{place.trace_id:032x}-{place.span_id:016x}-01"


@pytest.mark.parametrize("wrong", [None, 5, "app", int])
def test_what_is_no_application_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"CorrelationMiddleware\(\): app"):
        CorrelationMiddleware(wrong)


# --- functions as spans ---------------------------------------------------------------------------------------------


async def test_a_traced_function_is_a_span(exporter: InMemorySpanExporter) -> None:
    @traced
    def plain(number: int) -> int:
        """Doc."""
        return number + 1

    @traced(name="charge", kind="client", attributes={"peer": "bank"})
    async def charge(number: int) -> int:
        return plain(number)

    assert await charge(1) == 2
    assert plain.__doc__ == "Doc."
    inner, outer = exporter.get_finished_spans()
    assert (outer.name, outer.kind.name, dict(outer.attributes or {})) == ("charge", "CLIENT", {"peer": "bank"})
    assert inner.name.endswith("plain")
    assert inner.parent is not None
    assert outer.context is not None
    assert inner.parent.span_id == outer.context.span_id
    assert inner.status.status_code is outer.status.status_code is StatusCode.OK


def test_what_a_traced_function_raises_is_in_its_span(exporter: InMemorySpanExporter) -> None:
    @traced("fails")
    def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fails()
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert [each.name for each in span.events] == ["exception"]


async def test_what_happens_in_a_traced_function_is_part_of_it(exporter: InMemorySpanExporter) -> None:
    """Its own trace is that of the headers, and the calls of tools inside are its children."""
    spans = InMemorySpanExporter()

    @traced("work")
    async def work(hub: Hub) -> None:
        await hub.emit(ToolCalled(tool="x", call_id="c"))
        await hub.emit(ToolCompleted(tool="x", call_id="c"))

    async with Hub(listeners=[OpenTelemetry(exporter=spans)]) as hub:
        with scope_from({"traceparent": PARENT}):
            await work(hub)
    (outer,), (tool,) = exporter.get_finished_spans(), spans.get_finished_spans()
    assert outer.context is not None
    assert tool.context is not None
    assert tool.parent is not None
    assert outer.parent is not None
    assert outer.parent.span_id == int(SPAN, 16)
    assert tool.parent.span_id == outer.context.span_id
    assert tool.context.trace_id == outer.context.trace_id == int(TRACE, 16)


async def test_the_span_of_an_async_object_lasts_as_long_as_its_work(exporter: InMemorySpanExporter) -> None:
    """An object whose call is async is an async function."""

    class Agent:
        async def __call__(self, question: str) -> str:
            await asyncio.sleep(0)
            assert current_traceparent() is not None
            return f"{question}!"

    assert await traced(Agent())("why") == "why!"
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.status.status_code) == ("Agent", StatusCode.OK)


@pytest.mark.parametrize("wrapper", [staticmethod, classmethod])
def test_what_wraps_a_method_stands_above_traced(wrapper: Any) -> None:
    """Below it, the method would get an argument too many, when it is called."""
    with pytest.raises(ConfigurationError, match=f"write @{wrapper.__name__} above @traced"):
        traced(wrapper(lambda: None))


def test_a_traced_function_without_a_provider_is_called() -> None:
    """OpenTelemetry is installed, and the program has not set it up."""
    assert traced(current_traceparent)() is None
    with scope(traceparent=PARENT):
        assert traced("x")(current_traceparent)() == PARENT


def test_all_but_the_listener_works_without_opentelemetry() -> None:
    program = """
import sys, asyncio
sys.modules["opentelemetry"] = None
from hubwire import Hub
from hubwire.tracing import traced, is_available, log_ids, current_traceparent
from hubwire.asgi import CorrelationMiddleware
from hubwire.context import scope
import hubwire.listeners, hubwire.listeners.opentelemetry.names, hubwire.listeners.prometheus
assert not is_available()
@traced(name="x")
async def f():
    return current_traceparent()
with scope(traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01"):
    assert asyncio.run(f()).startswith("00-1")
    assert log_ids()["trace_id"] == "1" * 32
from hubwire.errors import ConfigurationError
from hubwire.listeners.opentelemetry import OpenTelemetry
try:
    OpenTelemetry()
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'hubwire[otel]'" in done.stdout


@pytest.mark.parametrize("wrong", [5, "", b"x", {"name": "x"}])
def test_odd_names_of_spans_are_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"traced\(\)"):
        traced(wrong)
    with pytest.raises(ConfigurationError, match=r"traced\(\)"):
        traced("x", kind=wrong)
    with pytest.raises(ConfigurationError, match=r"traced\(\)"):
        traced("x", attributes=[wrong])  # type: ignore[call-overload]


def test_generators_are_not_traced() -> None:
    def generator() -> Iterator[int]:
        yield 1

    with pytest.raises(ConfigurationError, match="no generator"):
        traced(generator)
    assert is_available()


# --- log lines ------------------------------------------------------------------------------------------------------


def test_structlog_gets_the_ids() -> None:
    lines: list[Any] = []

    def collect(_: Any, __: str, event_dict: Any) -> Any:
        lines.append(dict(event_dict))
        raise structlog.DropEvent

    logger = structlog.wrap_logger(None, processors=[add_log_ids, collect])
    with scope(correlation_id="job 1", traceparent=PARENT, agent="a"):
        logger.info("hello", agent_id="mine")
    logger.info("outside")
    assert lines[0] == {
        "event": "hello",
        "correlation_id": "job 1",
        "trace_id": TRACE,
        "span_id": SPAN,
        "agent_id": "mine",
    }
    assert lines[1] == {"event": "outside"}


def test_standard_logging_gets_the_ids() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(LogIds())
    handler.setFormatter(logging.Formatter("%(message)s %(correlation_id)s %(trace_id)s"))
    logger = logging.getLogger("test of ids")
    logger.addHandler(handler)
    logger.propagate = False
    with scope(correlation_id="job 1", traceparent=PARENT):
        logger.warning("hello")
        thread = threading.Thread(target=logger.warning, args=("elsewhere",))
        thread.start()
        thread.join()
    logger.removeHandler(handler)
    assert stream.getvalue() == f"hello job 1 {TRACE}\nelsewhere  \n"


def test_the_ids_are_those_of_the_span(exporter: InMemorySpanExporter) -> None:
    with trace.get_tracer("t").start_as_current_span("s") as span:
        assert log_ids()["span_id"] == f"{span.get_span_context().span_id:016x}"
    assert json.dumps(log_ids()) == "{}"
    assert MappingProxyType(log_ids()) == {}
