"""A collector that hangs, is busy, talks nonsense or is not there: the hub goes on, and ends in time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import anyio
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from hubwire import AttachmentState, Duty, Hub
from hubwire.errors import ConfigurationError
from hubwire.events import ToolCalled, ToolCompleted, TurnEnded, TurnStarted
from hubwire.listeners.opentelemetry import OpenTelemetry
from hubwire.stores import MemoryStore
from support.otlp import Collector, collector, trees

pytestmark = pytest.mark.slow  # a listener waits two seconds for a collector before it leaves it


@pytest.fixture
def received() -> Iterator[Collector]:
    with collector() as found:
        yield found


async def calls(hub: Hub, count: int = 3, *, first: int = 0) -> None:
    for number in range(first, first + count):
        await hub.emit(TurnStarted(turn_id=f"t{number}", agent_id="a"))
        await hub.emit(ToolCalled(tool="x", call_id="c", turn_id=f"t{number}", agent_id="a"))
        await hub.emit(ToolCompleted(tool="x", call_id="c", turn_id=f"t{number}", agent_id="a"))
        await hub.emit(TurnEnded(turn_id=f"t{number}", agent_id="a"))


async def no_threads() -> None:
    """Return when no thread of an exporter is there: one that has said that it ends is there for a moment."""
    for thread in threading.enumerate():
        if thread.name.startswith("hubwire opentelemetry"):
            await anyio.to_thread.run_sync(thread.join)


@pytest.mark.parametrize("mood", ["busy", "garbled", "gone"])
async def test_a_collector_in_trouble_harms_no_hub(received: Collector, mood: str) -> None:
    """What is emitted is committed, other listeners get it, and the hub ends with all its threads."""
    received.mood = mood
    endpoint = "http://127.0.0.1:9/v1/traces" if mood == "gone" else received.endpoint
    otel = OpenTelemetry(endpoint)
    async with Hub(listeners=[otel]) as hub:
        await calls(hub)
        await hub.flush(timeout=5)
        assert hub.health().healthy
        assert hub.statistics().attachments[0].failed == 0
    assert otel.statistics().exported == 0
    assert otel.statistics().waiting == 6
    await no_threads()


async def test_a_collector_that_hangs_is_left_behind(received: Collector) -> None:
    received.mood = "hanging"
    otel = OpenTelemetry(received.endpoint)
    async with Hub(listeners=[otel]) as hub:
        await calls(hub)
        await hub.flush(timeout=5)
        assert hub.health().healthy
    received.let_go.set()
    await no_threads()


async def test_spans_wait_for_a_collector_that_comes_back(received: Collector) -> None:
    received.mood = "busy"
    exporter = Moody(received)
    otel = OpenTelemetry(exporter=exporter)
    async with Hub(listeners=[otel]) as hub:
        await calls(hub)
        await anyio.to_thread.run_sync(exporter.asked.wait)
        received.mood = "well"
    numbers = otel.statistics()
    assert (numbers.exported, numbers.waiting, numbers.dropped, numbers.last_error) == (6, 0, 0, None)
    assert numbers.failures >= 1


class Moody(SpanExporter):
    """An exporter that fails while the collector is busy."""

    def __init__(self, received: Collector) -> None:
        self.received = received
        self.asked = threading.Event()
        self.spans = InMemorySpanExporter()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE if self.received.mood == "busy" else self.spans.export(spans)
        self.asked.set()
        return result

    def shutdown(self) -> None:
        self.spans.shutdown()


class Hostile(SpanExporter):
    def __init__(self, raised: type[BaseException], answer: Any = None) -> None:
        self.raised = raised

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise self.raised("no")

    def shutdown(self) -> None:
        raise self.raised("no")


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise SystemExit


@pytest.mark.parametrize("raised", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, Unspeakable])
async def test_what_an_exporter_raises_stays_there(raised: type[BaseException]) -> None:
    otel = OpenTelemetry(exporter=Hostile(raised))
    async with Hub(listeners=[otel]) as hub:
        await calls(hub)
        await hub.flush(timeout=5)
        assert hub.health().healthy
    assert otel.statistics().failures >= 1
    assert str(otel.statistics().last_error).startswith(raised.__name__)
    await no_threads()


async def test_no_trace_has_holes_when_there_is_no_room() -> None:
    """Where a span has found no room, the rest of its trace is left out, although there is room again."""
    exporter = Slow(threading.Event())
    otel = OpenTelemetry(exporter=exporter, waiting_max=2)
    async with Hub(listeners=[otel]) as hub:
        await hub.emit(TurnStarted(turn_id="torn", agent_id="b"))
        await calls(hub, 1)
        await hub.emit(ToolCalled(tool="no room", call_id="c", turn_id="torn", agent_id="b"))
        await hub.emit(ToolCompleted(tool="no room", call_id="c", turn_id="torn", agent_id="b"))
        await hub.flush()
        exporter.gate.set()
        assert await otel.flushed()
        await hub.emit(TurnEnded(turn_id="torn", agent_id="b"))
        await calls(hub, 1, first=1)
        await hub.flush()
        assert await otel.flushed()
    names = [span.name for span in exporter.spans.get_finished_spans()]
    assert names == ["execute_tool x", "invoke_agent"] * 2
    assert otel.statistics().dropped == 2


class Slow(Moody):
    def __init__(self, gate: threading.Event) -> None:
        self.gate = gate
        self.sizes: list[int] = []
        self.spans = InMemorySpanExporter()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.gate.wait()
        self.sizes.append(len(spans))
        return self.spans.export(spans)


async def test_large_contents_are_bounded() -> None:
    """What waits is bounded by its texts, too, and a request to the collector is small enough for it."""
    exporter = Slow(threading.Event())
    otel = OpenTelemetry(exporter=exporter, content=True, redactor=None)
    async with Hub(listeners=[otel]) as hub:
        for number in range(1000):
            about: dict[str, Any] = {"tool": "x", "call_id": f"c{number}", "agent_id": "a"}
            await hub.emit(ToolCalled(**about, arguments="x" * 50_000))
            await hub.emit(ToolCompleted(**about, result="y" * 50_000))
        await hub.flush()
        exporter.gate.set()
        assert await otel.flushed()
    assert sum(exporter.sizes) == 1000
    assert max(exporter.sizes) < 80


async def test_a_durable_one_sends_each_span(received: Collector) -> None:
    """What it is flushed for has arrived: it waits for the collector, and the hub does not."""
    store = MemoryStore()
    async with Hub(store) as hub:
        hub.attach(OpenTelemetry(received.endpoint), duty=Duty.DURABLE, name="otel", since="start")
        await calls(hub, 5)
        await hub.flush()
        assert len(received.spans) == 10
    trees(received.spans)


async def test_a_listener_can_be_entered_again(received: Collector) -> None:
    """One object on one hub after the other, as after a failure: its exporter is made again."""
    otel = OpenTelemetry(received.endpoint)
    for run in range(1, 3):
        async with Hub(listeners=[otel]) as hub:
            await calls(hub)
            await hub.flush()
            assert await otel.flushed()
        assert len(received.spans) == 6 * run


async def test_a_durable_one_is_suspended_without_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on when it is resumed, and all spans arrive."""
    from hubwire.listeners.opentelemetry import listener

    monkeypatch.setattr(listener, "_CONFIRM_SECONDS", 0.01)
    exporter = Slow(threading.Event())
    async with Hub(MemoryStore()) as hub:
        otel = OpenTelemetry(exporter=exporter)
        attachment = hub.attach(otel, duty=Duty.DURABLE, name="otel", since="start", attempts_max=1)
        await attachment.ready()
        await calls(hub)
        await hub.flush()
        assert attachment.state is AttachmentState.SUSPENDED
        assert not hub.health().healthy
        exporter.gate.set()
        monkeypatch.setattr(listener, "_CONFIRM_SECONDS", 20)
        attachment.resume()
        await hub.flush()
        assert len(exporter.spans.get_finished_spans()) == 6
        assert hub.health().healthy


async def test_a_restart_sends_no_other_spans(received: Collector) -> None:
    """A replay of the journal gives the same spans: ids, times and parents."""
    store = MemoryStore()
    for _ in range(2):
        async with Hub(store, listeners=[OpenTelemetry(received.endpoint)]) as hub:
            await calls(hub, 1, first=0)
    replayed = len(received.spans)
    async with Hub(store) as hub:
        hub.attach(OpenTelemetry(received.endpoint), since="start")
        await hub.flush()
    first, again = received.spans[:replayed], received.spans[replayed:]
    assert again == first


async def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'hubwire\[otel\]'"):
        OpenTelemetry()


class Unaskable:
    def __getattribute__(self, name: str) -> Any:
        raise SystemExit


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "localhost:4318"},
        {"endpoint": ""},
        {"endpoint": "http://x", "exporter": InMemorySpanExporter()},
        {"exporter": object()},
        {"exporter": Unaskable()},
        {"service": 5},
        {"ratio": 1.5},
        {"ratio": "all"},
        {"open_max": 0},
        {"waiting_max": True},
    ],
)
def test_odd_arguments_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"OpenTelemetry\(\)"):
        OpenTelemetry(**wrong)
