"""A journal that cannot be written, and a full disk."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from hubwire import Duty, Event, Hub
from hubwire.errors import (
    JournalFailed,
    ListenerFailed,
    StoreError,
    StoreFull,
)
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, history
from support import GatedStore, numbers, pass_time, said, until_idle
from support.failures import Failing, FailingByHook

# --- the journal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [StoreError("gone"), OSError("gone"), asyncio.CancelledError("gone")])
async def test_an_unwritable_journal_stops_the_hub(error: BaseException) -> None:
    """Emitters and later calls get the reason."""

    class Broken:
        first_seq = next_seq = size_bytes = epoch = 0
        hub_id = None
        broken = False
        store = MemoryStore()
        path = "/journal"

        async def open(self) -> None: ...

        async def truncate_before(self, seq: int) -> None: ...

        async def aclose(self) -> None: ...

        async def check(self) -> None: ...

        async def keep(self, name: str, content: bytes | None) -> None: ...

        async def kept(self) -> dict[str, bytes]:
            return {}

        async def append(self, events: Sequence[Event]) -> None:
            if self.broken:
                raise error
            self.next_seq += len(events)

        async def replay(self, after: int = -1) -> Any:
            for event in list[Event]():
                yield event

    journal = Broken()
    with pytest.raises(JournalFailed, match="the journal could not be written") as raised:
        async with Hub(journal=journal) as hub:
            await hub.emit(said())
            journal.broken = True
            waiting = [asyncio.create_task(hub.emit(said(n))) for n in range(3)]
            await asyncio.wait(waiting)
            assert all(isinstance(task.exception(), JournalFailed) for task in waiting)
            with pytest.raises(JournalFailed):
                await hub.emit(said())
            assert not hub.health().healthy
    assert "gone" in str(raised.value) or isinstance(error, asyncio.CancelledError)
    assert raised.value.__cause__ is not None


async def test_unjournaled_events_are_never_seen() -> None:
    store, required, other = GatedStore(), Recorder(), Recorder()
    with pytest.raises(JournalFailed):
        async with Hub(store, listeners=[other]) as hub:
            await hub.attach(required, duty=Duty.REQUIRED).ready()
            store.error = StoreError("gone")
            await hub.emit(said())
    assert numbers(required.events) == numbers(other.events) == []
    store.error = None
    async with Hub(store) as hub:
        assert numbers(await history(hub)) == []


# --- a full disk ----------------------------------------------------------------------------------------------------


async def test_a_full_disk_pauses_the_hub() -> None:
    clock, store, recorder = ManualClock(), GatedStore(), Recorder()
    async with Hub(store, listeners=[recorder], clock=clock, in_flight_max=2) as hub:
        await hub.flush()
        store.error = StoreFull("no space left", path="/journal")
        store.appends.clear()
        waiting = [asyncio.create_task(hub.emit(said(n))) for n in range(4)]
        await until_idle()
        assert (hub.statistics().in_flight, hub.statistics().emitters_waiting) == (2, 2)
        assert hub.health().problems == ("the journal has no space to write: no space left",)
        for second in range(1, 11):
            assert len(store.appends) == second
            await pass_time(clock, 1)
            assert not hub.health().healthy
        assert not any(task.done() for task in waiting)
        store.error = None
        await pass_time(clock, 1)
        for task in waiting:
            await task
        assert hub.health().healthy
        await hub.flush()
    assert numbers(recorder.events) == list(range(4))


async def test_a_minute_of_full_disk_stops_the_hub() -> None:
    clock, store = ManualClock(), GatedStore()
    with pytest.raises(JournalFailed, match="no space left") as raised:
        async with Hub(store, clock=clock) as hub:
            store.error = StoreFull("no space left")
            emitting = asyncio.create_task(hub.emit(said()))
            await pass_time(clock, 59.5)
            assert not emitting.done()
            await pass_time(clock, 1)
            await asyncio.wait([emitting])
            assert isinstance(emitting.exception(), JournalFailed)
    assert isinstance(raised.value.__cause__, StoreFull)
    store.error = None
    async with Hub(store) as hub:
        await hub.emit(said())


async def test_space_now_and_then_is_enough() -> None:
    """A disk that has space again within a minute does not stop the hub."""
    clock, store = ManualClock(), GatedStore()
    async with Hub(store, clock=clock) as hub:
        for _ in range(3):
            store.error = StoreFull("no space left")
            emitting = asyncio.create_task(hub.emit(said()))
            await pass_time(clock, 40)
            assert not emitting.done()
            store.error = None
            await pass_time(clock, 1)
            await emitting


async def test_a_full_required_listener_pauses_the_hub() -> None:
    class Full(Failing):
        duty = Duty.REQUIRED

    clock, full = ManualClock(), Full(1, error=lambda: StoreFull("no space left"))
    async with Hub(listeners=[full], clock=clock) as hub:
        emitting = asyncio.create_task(hub.emit(said(1)))
        await pass_time(clock, 30)
        assert not emitting.done()
        assert hub.health().problems == ("listener 'Full' has no space to write: no space left",)
        full.bad.clear()
        await pass_time(clock, 1)
        await emitting
        assert numbers(full.events) == [1]
        assert hub.health().healthy
    full.bad.add(2)
    with pytest.raises(ListenerFailed, match="no space left"):
        async with Hub(listeners=[full], clock=clock) as hub:
            emitting = asyncio.create_task(hub.emit(said(2)))
            await pass_time(clock, 61)
            await emitting


async def test_a_full_hook_listener_gets_nothing_twice() -> None:
    class Full(FailingByHook):
        duty = Duty.REQUIRED

        async def on_event(self, event: Event) -> None:
            if self.bad.intersection(numbers([event])):
                raise StoreFull("no space left")
            await super().on_event(event)

    clock, full = ManualClock(), Full(3)
    async with Hub(listeners=[full], clock=clock) as hub:
        for n in range(6):
            hub.emit_nowait(said(n))
        await pass_time(clock, 5)
        assert full.heard == [0, 1, 2]
        full.bad.clear()
        await pass_time(clock, 1)
        await hub.flush()
        assert full.heard == list(range(6))


async def test_health_reports_every_full_listener() -> None:
    """The hub is unhealthy until the last of them can write again."""

    class Full(Failing):
        duty = Duty.REQUIRED

    clock = ManualClock()
    pair = [Full(1, error=lambda: StoreFull("no space left")) for _ in range(2)]
    async with Hub(listeners=pair, clock=clock) as hub:
        emitting = asyncio.create_task(hub.emit(said(1)))
        await until_idle()
        assert len(hub.health().problems) == 2
        pair[0].bad.clear()
        await pass_time(clock, 1)
        assert hub.health().problems == ("listener 'Full-2' has no space to write: no space left",)
        pair[1].bad.clear()
        await pass_time(clock, 1)
        await emitting
        assert hub.health().healthy
