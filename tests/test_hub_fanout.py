"""Which events a listener gets: patterns, and where it begins."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from hubwire import AttachmentState, BaseHubListener, Duty, GenericEvent, Hub
from hubwire.errors import (
    ConfigurationError,
    JournalBehind,
)
from hubwire.stores import MemoryStore
from hubwire.testing import GatedRecorder, Recorder
from support import numbers, said, seqs, until_idle
from support.fanout import Tried, attached

# --- patterns -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "kinds"),
    [
        ("*", ["tool.was_called", "tool.was_failed", "model.was_failed", "a.tool.was_called"]),
        ("tool.*", ["tool.was_called", "tool.was_failed"]),
        ("*.was_failed", ["tool.was_failed", "model.was_failed"]),
        ("*.tool.*", ["a.tool.was_called"]),
        ("tool.was_called", ["tool.was_called"]),
        (["tool.was_called", "model.*"], ["tool.was_called", "model.was_failed"]),
    ],
)
async def test_a_pattern_selects_kinds(pattern: str | list[str], kinds: list[str]) -> None:
    recorder = Recorder()
    async with Hub() as hub:
        await attached(hub, recorder, pattern=pattern)
        for kind in ("tool.was_called", "tool.was_failed", "model.was_failed", "a.tool.was_called"):
            await hub.emit(GenericEvent(kind=kind))
        await hub.flush()
        assert recorder.kinds == kinds


@pytest.mark.parametrize("pattern", ["", [], [""], ["tool.*", None]])
async def test_an_empty_pattern_is_refused(pattern: Any) -> None:
    hub = Hub()
    with pytest.raises(ConfigurationError, match="pattern"):
        hub.attach(Recorder(), pattern=pattern)
    assert hub.statistics().attachments == ()


async def test_unmatched_events_count_as_read() -> None:
    recorder = Recorder()
    async with Hub() as hub:
        attachment = await attached(hub, recorder, pattern="number.*", duty=Duty.REQUIRED)
        stamped = await hub.emit(Tried())
        assert recorder.events == []
        assert attachment.statistics().position == stamped.seq + 1
        assert attachment.statistics().handled == 0


# --- places ---------------------------------------------------------------------------------------------------------


async def test_since_now_begins_with_the_next_event() -> None:
    async with Hub(MemoryStore()) as hub:
        await hub.emit(said(1))
        recorder = Recorder()
        hub.attach(recorder)
        for n in (2, 3):
            await hub.emit(said(n))
        await hub.flush()
        assert numbers(recorder.events) == [2, 3]


async def test_since_now_before_the_start() -> None:
    """It begins with `hub.started`."""
    recorder, store = Recorder(), MemoryStore()
    for _ in range(2):
        async with Hub(store, listeners=[recorder]):
            pass
    assert recorder.kinds == ["hub.started", "hub.stopped"] * 2


async def test_since_start_begins_with_the_journal() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        await hub.emit(said(1))
    early, late = Recorder(), Recorder()
    async with Hub(store) as hub:
        await hub.emit(said(2))
    hub = Hub(store)
    hub.attach(early, since="start")
    async with hub:
        await hub.emit(said(3))
        await attached(hub, late, since="start", name="late")
        assert numbers(early.events) == numbers(late.events) == [1, 2, 3]
        assert early.events[0].seq == late.events[0].seq == 0


async def test_since_a_seq_begins_there() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        stamped = [await hub.emit(said(n)) for n in range(5)]
        recorder = Recorder()
        await attached(hub, recorder, since=stamped[2].seq)
        assert numbers(recorder.events) == [2, 3, 4]
        assert recorder.events[0].seq == stamped[2].seq


async def test_since_a_future_seq_is_refused() -> None:
    async with Hub(MemoryStore()) as hub:
        attachment = hub.attach(Recorder(), since=1000)
        with pytest.raises(JournalBehind):
            await attachment.ready()
        assert attachment.state is AttachmentState.DETACHED


async def test_since_start_without_a_journal() -> None:
    """It begins with the oldest event of the ring."""
    async with Hub() as hub:
        await hub.emit(said(1))
        recorder = Recorder()
        await attached(hub, recorder, since="start")
        assert recorder.events[0].kind == "hub.started"
        assert numbers(recorder.events) == [1]


async def test_a_listener_declares_its_own_settings() -> None:
    """It may say where it begins and what its duty is; arguments override it."""

    class Says(Recorder):
        duty = Duty.REQUIRED
        since = "start"

    store, listener = MemoryStore(), Says()
    async with Hub(store) as hub:
        await hub.emit(said(1))
    async with Hub(store, listeners=[listener]) as hub:
        assert hub.statistics().attachments[0].duty is Duty.REQUIRED
        assert numbers(listener.events) == [1]
    async with Hub(store) as hub:
        other = await attached(hub, Says(), duty=Duty.BEST_EFFORT, since="now")
        assert other.statistics().duty is Duty.BEST_EFFORT
        assert other.statistics().handled == 0


async def test_a_late_required_listener_catches_up_first() -> None:
    """It does so off the commit path; then the commit waits for it."""
    store, required = MemoryStore(), GatedRecorder()
    async with Hub(store) as hub:
        for n in range(10):
            await hub.emit(said(n))
        required.close()
        attachment = hub.attach(required, duty=Duty.REQUIRED, since="start")
        getting_ready = asyncio.create_task(attachment.ready())
        await until_idle()
        assert len(required.given) >= 10
        with anyio.fail_after(30):
            await hub.emit(said(10))  # nobody waits for it yet
        assert attachment.state is AttachmentState.CATCHING_UP
        assert hub.health().problems == (
            "listener 'GatedRecorder' has not caught up yet: 13 events to go; await attachment.ready()",
        )
        assert not getting_ready.done()
        required.open()
        await getting_ready
        assert attachment.statistics().state is AttachmentState.RUNNING
        assert numbers(required.events) == list(range(11))
        required.close()
        emitting = asyncio.create_task(hub.emit(said(11)))
        await until_idle()
        assert not emitting.done()
        required.open()
        await emitting
        assert seqs(required.events) == list(range(len(required.events)))


async def test_required_without_a_journal_is_required_at_once() -> None:
    """The commit waits for it from the place where it begins."""
    required = GatedRecorder()
    async with Hub(ring=1, in_flight_max=10) as hub:
        for n in range(1000):
            await hub.emit(said(n))
        first = hub.statistics().applied - hub.statistics().ring_events
        required.close()
        attachment = hub.attach(required, duty=Duty.REQUIRED, since="start")
        await until_idle()
        async with anyio.create_task_group() as tasks:
            for n in range(1000, 4000):
                tasks.start_soon(hub.emit, said(n))
            await until_idle()
            assert hub.statistics().emitters_waiting > 2900
            required.open()
        await attachment.ready()
        assert seqs(required.events) == list(range(first, first + len(required.events)))
        assert numbers(required.events)[-1] == 3999


async def test_a_lossy_listener_drops_what_the_ring_forgets() -> None:
    """One that never reaches the end misses what the ring no longer holds."""
    slow = GatedRecorder()
    async with Hub(ring=16) as hub:
        for n in range(5):
            await hub.emit(said(n))
        slow.close()
        attachment = hub.attach(slow, since="start", mailbox=3, pattern="number.*")
        await until_idle()
        assert numbers(slow.given) == list(range(5))
        for n in range(5, 20_000):
            hub.emit_nowait(said(n))
        slow.open()
        await hub.flush()
        assert attachment.state is AttachmentState.RUNNING
        assert hub.health().healthy
        statistics = attachment.statistics()
        assert statistics.dropped > 19_000
        assert statistics.handled + statistics.dropped == 20_000


async def test_a_lossy_listener_has_caught_up_early() -> None:
    """It has caught up when its mailbox holds the rest: a slow one never reaches the very end."""
    slow = GatedRecorder()
    async with Hub(MemoryStore()) as hub:
        for n in range(5):
            await hub.emit(said(n))
        slow.close()
        attachment = hub.attach(slow, since="start", mailbox=10, pattern="number.*")
        await until_idle()
        assert attachment.state is AttachmentState.RUNNING
        assert numbers(slow.given) == list(range(5))
        for n in range(5, 50):
            await hub.emit(said(n))
        slow.open()
        await hub.flush()
        assert numbers(slow.events)[:6] == [0, 1, 2, 3, 4, 40]
        assert attachment.statistics().dropped == 35


async def test_catching_up_lets_the_loop_turn() -> None:
    async with Hub(MemoryStore(), ring=1) as hub:
        for n in range(3000):
            hub.emit_nowait(said(n))
            if n % 500 == 0:
                await hub.flush()
        await hub.flush()
        turns = 0

        def turn() -> None:
            nonlocal turns
            turns += 1
            asyncio.get_running_loop().call_soon(turn)

        turn()
        attachment = hub.attach(BaseHubListener(), pattern="nothing.*", since="start", mailbox=1)
        await attachment.ready()
        assert attachment.statistics().position >= 3000
        assert turns > 10


async def test_ready_raises_the_reason() -> None:
    class Shut(Recorder):
        async def __aenter__(self) -> None:
            raise OSError("no way in")

    async with Hub() as hub:
        attachment = hub.attach(Shut(), name="shut", duty=Duty.REQUIRED)
        with pytest.raises(OSError, match="no way in"):
            await attachment.ready()
        await hub.emit(said())
        (problem,) = hub.health().problems
        assert problem.startswith("listener 'shut' is detached: it could not be entered: OSError: no way in; mend")
