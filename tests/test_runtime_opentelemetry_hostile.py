"""The adapter of OpenTelemetry under spans that never end, that raise, or that lie; and at providers that stay."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from opentelemetry.sdk.trace import TracerProvider

from hubwire import Hub, HubThread
from hubwire.errors import ConfigurationError
from hubwire.listeners import AuditLog
from hubwire.runtimes import opentelemetry
from hubwire.runtimes.opentelemetry import record
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard
from hubwire.testing.runtimes import check_pairs, of

SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH"
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "scripted"}


class Evil(BaseException):
    pass


class Trap:
    """A span that raises what no adapter expects, however it is looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise Evil(name)


def processors(provider: TracerProvider) -> tuple[Any, ...]:
    return provider._active_span_processor._span_processors


@pytest.fixture
def provider() -> TracerProvider:
    return TracerProvider()


def test_a_provider_has_one_processor_however_often_it_is_recorded(provider: TracerProvider) -> None:
    for _ in range(50):
        record(Hub(), provider=provider).close()
    (processor,) = processors(provider)
    assert processor._told == ()


def test_a_recorder_that_was_closed_is_held_by_no_provider(provider: TracerProvider) -> None:
    recorder = record(Hub(), provider=provider)
    gone = weakref.ref(recorder)
    recorder.close()
    del recorder
    gc.collect()
    assert gone() is None


def test_recorders_whose_hubs_have_ended_make_room(provider: TracerProvider) -> None:
    """Also those that were never closed."""
    for _ in range(5):
        with HubThread(Hub()) as thread:
            record(thread, provider=provider)
    last = record(Hub(), provider=provider)
    (processor,) = processors(provider)
    assert [each.recorder for each in processor._told] == [last]
    last.close()


def test_a_provider_that_is_gone_is_not_held() -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    gone = weakref.ref(provider)
    record(Hub(), provider=provider).close()
    del provider
    gc.collect()
    assert gone() is None


def test_settings_that_are_wrong_leave_a_provider_as_it_was(provider: TracerProvider) -> None:
    for wrong in ({"agent": 3}, {"queue_max": "many"}, {"nothing": 1}):
        with pytest.raises((ConfigurationError, TypeError)):
            record(Hub(), provider=provider, **wrong)
    with pytest.raises(ConfigurationError):
        record("a hub", provider=provider)  # type: ignore[arg-type]
    assert processors(provider) == ()


WRONG: tuple[Any, ...] = (3, "provider", b"", [], {}, object(), Trap())


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_what_is_no_provider_is_refused(number: int) -> None:
    with pytest.raises(ConfigurationError, match="TracerProvider"):
        record(Hub(), provider=WRONG[number])


async def test_one_recorder_hears_two_providers(provider: TracerProvider) -> None:
    heard, providers = Heard(), (provider, await anyio.to_thread.run_sync(TracerProvider))
    async with Hub(listeners=[heard]) as hub:
        recorder = record(hub, provider=providers[0])
        assert record(hub, provider=providers[1]) is recorder
        for each in providers:
            each.get_tracer("x").start_span("chat", attributes=CHAT).end()
        await recorder.aclose()
        for each in providers:
            each.get_tracer("x").start_span("chat", attributes=CHAT).end()
        await hub.flush()
    assert len(of(heard.events, "model.completed")) == 2


async def test_spans_that_raise_do_not_reach_the_framework(provider: TracerProvider) -> None:
    async with Hub() as hub, record(hub, provider=provider) as recorder:
        (processor,) = processors(provider)
        processor.on_start(Trap())
        processor.on_end(Trap())
        assert recorder.statistics().failures == 2


def test_a_span_may_begin_while_another_is_taken_in(provider: TracerProvider) -> None:
    """As in a signal handler, or in the finalizer of an object: in the same thread."""
    with record(Hub(), provider=provider):
        (processor,) = processors(provider)
        done = threading.Event()

        def interrupted() -> None:
            with processor._told[0]._lock:
                provider.get_tracer("x").start_span("chat", attributes=CHAT).end()
            done.set()

        threading.Thread(target=interrupted, daemon=True).start()
        assert done.wait(20)


@pytest.mark.slow
async def test_of_100_000_spans_that_never_end_a_bounded_number_is_remembered(provider: TracerProvider) -> None:
    heard = Heard()
    async with Hub(listeners=[heard]) as hub:
        recorder = record(hub, provider=provider, queue_max=1_000)
        tracer = provider.get_tracer("x")
        (processor,) = processors(provider)
        kept = []
        for n in range(100_000):
            kept.append(tracer.start_span("chat", attributes=CHAT) if n % 2 else tracer.start_span("between"))
            if n % 500 == 0:
                await anyio.lowlevel.checkpoint()
        (spans,) = processor._told
        assert (len(spans._recorded), len(spans._passed)) == (20_000, 10_000)
        for span in kept:
            span.end()
        assert (len(spans._recorded), len(spans._passed)) == (0, 0)
        await recorder.aclose()
        assert recorder.statistics().open == 0
        await hub.flush(timeout=60)
    check_pairs(heard.events)


def test_a_span_whose_beginning_is_forgotten_ends_all_the_same(
    provider: TracerProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opentelemetry, "_RECORDED_MAX", 2)
    heard = Heard()
    with HubThread(Hub(listeners=[heard])) as thread, record(thread, provider=provider) as recorder:
        spans = [provider.get_tracer("x").start_span("chat", attributes=CHAT) for _ in range(5)]
        recorder.flush_blocking(30)
        for span in spans:
            span.end()
        recorder.flush_blocking(30)
    check_pairs(heard.events)
    assert len(of(heard.events, "model.completed")) == 5


async def test_secrets_are_redacted_wherever_a_span_has_them(provider: TracerProvider) -> None:
    store, heard = MemoryStore(), Heard()
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": f"search {SECRET}",
        "gen_ai.agent.name": f"planner {SECRET}",
        "gen_ai.tool.call.arguments": f'{{"password": "hunter2-and-more", "note": "{SECRET}"}}',
    }
    async with Hub(store, listeners=[AuditLog(store), heard]) as hub, record(hub, provider=provider, content=True):
        tracer = provider.get_tracer("x")
        with (
            pytest.raises(ValueError, match="is wrong"),
            tracer.start_as_current_span("execute_tool", attributes=attributes),
        ):
            raise ValueError(f"{SECRET} is wrong")
        said = {**CHAT, "gen_ai.input.messages": f'[{{"role": "user", "content": "{SECRET}"}}]'}
        tracer.start_span("chat", attributes=said).end()
    check_pairs(heard.events)
    contents = [event for event in heard.events if event.kind.startswith(("tool.", "model."))]
    assert "hunter2-and-more" not in str(contents)
    for event in contents:
        for field in ("arguments", "request", "error_message"):
            assert SECRET not in str(getattr(event, field, ""))
    assert (await AuditLog(store).verify()).holds


async def test_a_hub_that_fails_in_the_middle_is_not_noticed(provider: TracerProvider) -> None:
    hub = Hub()
    await hub.start()
    with record(hub, provider=provider), provider.get_tracer("x").start_as_current_span("invoke_agent planner"):
        await hub.abort()
        provider.get_tracer("x").start_span("chat", attributes=CHAT).end()
    (processor,) = processors(provider)
    assert processor._told == ()


def test_spans_of_eight_threads_are_paired(provider: TracerProvider) -> None:
    heard, tracer = Heard(), provider.get_tracer("x")

    def work() -> None:
        for _ in range(50):
            with tracer.start_as_current_span("invoke_agent planner"), tracer.start_as_current_span("between"):
                tracer.start_span("chat", attributes=CHAT).end()

    with HubThread(Hub(listeners=[heard])) as thread, record(thread, provider=provider) as recorder:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        recorder.flush_blocking(30)
    check_pairs(heard.events)
    turns = {event.turn_id for event in of(heard.events, "turn.started")}
    assert len(turns) == 400
    assert [event.turn_id in turns for event in of(heard.events, "model.completed")] == [True] * 400
