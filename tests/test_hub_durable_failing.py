"""Durable listeners that fail, are suspended, resumed and forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import anyio
import pytest

from hubwire import (
    AttachmentState,
    BaseHubListener,
    Event,
    GenericEvent,
    Hub,
    Limits,
)
from hubwire.errors import (
    ConfigurationError,
    HubClosed,
    NotFound,
)
from hubwire.events import ListenerFailed, ListenerRestarted, ListenerSuspended
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import GatedStore, numbers, pass_time, said, until_idle
from support.durable import Failing, attach, kept_position

# --- failing --------------------------------------------------------------------------------------------------------


async def test_a_failing_event_is_retried_in_order() -> None:
    """The pauses grow, and no later event overtakes it."""
    clock, failing = ManualClock(), Failing(1)
    async with Hub(MemoryStore(), clock=clock) as hub:
        attachment = attach(hub, failing)
        for n in range(3):
            await hub.emit(said(n))
        await until_idle()
        assert numbers(failing.events) == [0]
        await pass_time(clock, 5)
        assert attachment.statistics().retries >= 3
        assert numbers(failing.events) == [0]
        failing.bad.clear()
        await pass_time(clock, 60)
        assert numbers(failing.events) == [0, 1, 2]
        assert attachment.state is AttachmentState.RUNNING
        assert hub.health().healthy


async def test_a_hook_listener_gets_only_the_failure_again() -> None:
    """A listener that knows its place gets only the event that failed twice."""

    class ByHook(BaseHubListener):
        heard: list[int]
        bad = 2

        def __init__(self) -> None:
            self.heard = []

        async def on_event(self, event: Event) -> None:
            self.heard += numbers([event])
            if numbers([event]) == [2] and self.heard.count(2) < 3:
                raise ValueError("bad number")

    clock, listener = ManualClock(), ByHook()
    async with Hub(MemoryStore(), clock=clock) as hub:
        attach(hub, listener)
        for n in range(5):
            hub.emit_nowait(said(n))
        await until_idle()
        await pass_time(clock, 60)
        await hub.flush()
    assert listener.heard == [0, 1, 2, 2, 2, 3, 4]


async def test_pauses_double_up_to_thirty_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    caps: list[float] = []

    def uniform(low: float, high: float) -> float:
        assert low == 0
        caps.append(high)
        return high

    monkeypatch.setattr("random.uniform", uniform)
    clock, failing = ManualClock(), Failing(0)
    async with Hub(MemoryStore(), clock=clock) as hub:
        attachment = attach(hub, failing, attempts_max=12)
        await hub.emit(said(0))
        await until_idle()
        await pass_time(clock, 200)
        assert attachment.state is AttachmentState.SUSPENDED
    assert caps == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30])
    assert failing.calls == 12


async def test_the_last_attempt_suspends() -> None:
    """The suspension is reported by an event, statistics and health, and the hub goes on."""
    clock, failing, witness = ManualClock(), Failing(1), Recorder()
    async with Hub(MemoryStore(), clock=clock, listeners=[witness]) as hub:
        attachment = attach(hub, failing, attempts_max=3)
        for n in range(3):
            await hub.emit(said(n))
        await pass_time(clock, 10)

        (statistics,) = [each for each in hub.statistics().attachments if each.name == "slow"]
        assert statistics.state is AttachmentState.SUSPENDED
        assert (statistics.failed, statistics.retries) == (3, 2)
        assert statistics.last_error == "ValueError: bad number"
        problems = " ".join(hub.health().problems)
        assert "'slow' is suspended at event" in problems
        assert "ValueError: bad number" in problems
        with pytest.raises(ValueError, match="bad number"):
            await attachment.ready()
        await hub.emit(said(3))
        await hub.flush()
        assert numbers(failing.events) == [0]

        told = [each for each in witness.events if isinstance(each, ListenerFailed | ListenerSuspended)]
        assert [type(each) for each in told] == [ListenerFailed, ListenerSuspended], "the first failure and the last"
        suspended = told[1]
        assert isinstance(suspended, ListenerSuspended)
        assert (suspended.reason, suspended.attempts, suspended.error_type) == ("failed", 3, "ValueError")
        assert suspended.event_seq == statistics.position
        assert suspended.first_seq_held is None


async def test_a_resumed_listener_repeats_the_failed_event() -> None:
    clock, failing, witness = ManualClock(), Failing(1), Recorder()
    async with Hub(MemoryStore(), clock=clock, listeners=[witness]) as hub:
        attachment = attach(hub, failing, attempts_max=2)
        for n in range(3):
            await hub.emit(said(n))
        await pass_time(clock, 5)
        assert attachment.state is AttachmentState.SUSPENDED
        attachment.resume()
        await pass_time(clock, 5)
        assert attachment.state is AttachmentState.SUSPENDED, "its cause was not mended"
        failing.bad.clear()
        attachment.resume()
        await attachment.ready()
        await hub.flush()
        assert hub.health().healthy
        assert attachment.statistics().restarts == 2
        attachment.resume()
        assert attachment.statistics().restarts == 2, "there was nothing to resume"
    assert numbers(failing.events) == [0, 1, 2]
    assert any(isinstance(each, ListenerRestarted) for each in witness.events)
    with pytest.raises(HubClosed, match="detached"):
        attachment.resume()


class FailsTwice(Recorder):
    """Fails twice at each event, then handles it."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: dict[int, int] = {}

    async def on_events(self, events: Sequence[Event]) -> None:
        seq = events[0].seq
        self.failures[seq] = self.failures.get(seq, 0) + 1
        if self.failures[seq] <= 2:
            raise RuntimeError("not yet")
        await super().on_events(events)


async def test_attempts_count_for_one_event() -> None:
    """A listener that handles each event in the end is not suspended, however often it has failed in all."""
    clock, listener = ManualClock(), FailsTwice()
    async with Hub(MemoryStore(), clock=clock) as hub:
        attachment = attach(hub, listener, attempts_max=3)
        for n in range(3):
            await hub.emit(said(n))
            await pass_time(clock, 5)
        assert numbers(listener.events) == [0, 1, 2]
        assert attachment.state is AttachmentState.RUNNING


async def test_a_resumed_listener_has_all_attempts() -> None:
    clock, failing = ManualClock(), Failing(0)
    async with Hub(MemoryStore(), clock=clock) as hub:
        attachment = attach(hub, failing, attempts_max=3)
        await hub.emit(said(0))
        await pass_time(clock, 5)
        assert (attachment.state, failing.calls) == (AttachmentState.SUSPENDED, 3)
        attachment.resume()
        await pass_time(clock, 5)
        assert (attachment.state, failing.calls) == (AttachmentState.SUSPENDED, 6)


async def test_a_restart_resumes_a_suspended_listener() -> None:
    store, clock, failing, mended = MemoryStore(), ManualClock(), Failing(1), Recorder()
    async with Hub(store, clock=clock) as hub:
        attachment = attach(hub, failing, attempts_max=1)
        for n in range(3):
            await hub.emit(said(n))
        await until_idle()
        assert attachment.state is AttachmentState.SUSPENDED
    async with Hub(store) as hub:
        attach(hub, mended)
        await hub.flush()
    assert numbers(failing.events) == [0]
    assert numbers(mended.events) == [1, 2]


async def test_closing_does_not_wait_for_retries() -> None:
    """An interrupted retry is not reported as a suspension."""
    store, clock, failing, witness = MemoryStore(), ManualClock(), Failing(1), Recorder()
    hub = Hub(store, clock=clock, listeners=[witness])
    attachment = attach(hub, failing)
    async with hub:
        await hub.emit(said(1))
        await until_idle()
        await attachment.detach()
        assert attachment.state is AttachmentState.DETACHED
        assert hub.health().healthy
        await hub.flush()
    assert not [each for each in witness.events if isinstance(each, ListenerSuspended)]
    assert (await kept_position(store) or 0) < hub.statistics().applied - 1


async def test_failures_at_own_events_are_not_announced() -> None:
    """They are counted; an event about each would cause the next."""

    class FailsAtAll(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            raise ValueError("no")

    clock, witness = ManualClock(), Recorder()
    async with Hub(MemoryStore(), clock=clock, listeners=[witness]) as hub:
        attachment = attach(hub, FailsAtAll(), pattern="listener.*", attempts_max=3)
        other = attach(hub, FailsAtAll(), pattern="listener.*", attempts_max=3, name="other")
        await pass_time(clock, 30)
        assert attachment.state is AttachmentState.SUSPENDED
        assert other.state is AttachmentState.SUSPENDED
        await hub.flush()
        assert attachment.statistics().failed == 3
    assert not [each for each in witness.events if isinstance(each, ListenerFailed)]


async def test_a_hanging_listener_is_cancelled_and_retried() -> None:
    class Hangs(Recorder):
        hung = False

        async def on_events(self, events: Sequence[Event]) -> None:
            if not self.hung:
                self.hung = True
                await anyio.sleep_forever()
            await super().on_events(events)

    clock, hangs = ManualClock(), Hangs()
    async with Hub(MemoryStore(), clock=clock) as hub:
        attachment = attach(hub, hangs, timeout=0.01)
        await hub.emit(said(1))
        with anyio.fail_after(10):
            while not attachment.statistics().failed:  # noqa: ASYNC110 - nobody is told when time is up
                await asyncio.sleep(0.001)
        await pass_time(clock, 1)
        await hangs.wait_for("number.said")
    assert numbers(hangs.events) == [1]


async def test_a_listener_may_emit_while_handling() -> None:
    """It may wait for the commit of what it emits."""

    class Answering(Recorder):
        hub: Hub

        def bind(self, hub: Hub) -> None:
            self.hub = hub

        async def on_events(self, events: Sequence[Event]) -> None:
            await super().on_events(events)
            for n in numbers(events):
                await self.hub.emit(GenericEvent(kind="number.answered", data={"n": n}))

    witness = Recorder()
    async with Hub(MemoryStore(), listeners=[witness], in_flight_max=1) as hub:
        attach(hub, Answering())
        for n in range(20):
            await hub.emit(said(n))
        await witness.wait_for("number.answered", count=20)
        await hub.flush()


# --- forgetting -----------------------------------------------------------------------------------------------------


async def test_a_name_is_forgotten_beside_a_full_ring() -> None:
    """No committed event is in memory then: what is known of the end of the journal stays as it was."""
    store, pad = GatedStore(), "x" * 10_000
    async with Hub(store, limits=Limits(ring_bytes_max=10_000)) as hub:
        attachment = attach(hub, Recorder())
        await attachment.ready()
        await attachment.detach()
        await hub.flush()
        store.gate.close()
        emitting = [asyncio.create_task(hub.emit(GenericEvent(kind="work.done", data={"pad": pad}))) for _ in range(4)]
        await until_idle()
        assert hub.statistics().in_flight >= 4
        forgetting = asyncio.create_task(hub.forget("slow"))
        await until_idle()
        store.gate.open()
        await asyncio.gather(forgetting, *emitting)
        assert not hub.health().problems
    async with Hub(store) as hub:
        await hub.flush()


async def test_a_forgotten_name_begins_anew() -> None:
    store, recorder = MemoryStore(), Recorder()
    async with Hub(store) as hub:
        attachment = attach(hub, Recorder())
        await hub.emit(said(1))
        await hub.flush()
        with pytest.raises(ConfigurationError, match="is attached"):
            await hub.forget("slow")
        assert await kept_position(store) is not None
        await attachment.detach()
        await hub.forget("slow")
        assert await kept_position(store) is None
        with pytest.raises(NotFound, match="no position"):
            await hub.forget("slow")
        await hub.emit(said(2))
        attach(hub, recorder, since="now")
        await hub.emit(said(3))
        await hub.flush()
    assert numbers(recorder.events) == [3]
    with pytest.raises(HubClosed):
        await hub.forget("slow")


async def test_forgetting_survives_a_restart() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        await attach(hub, Recorder()).ready()
    async with Hub(store) as hub:
        await hub.forget("slow")
    async with Hub(store) as hub:
        with pytest.raises(NotFound):
            await hub.forget("slow")
