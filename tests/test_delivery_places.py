"""The places of DURABLE listeners: inside a batch that failed, and right after they were attached."""

from __future__ import annotations

from hubwire import AttachmentState, Duty, Event, Hub
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import GatedStore, numbers, pass_time, said, until


async def test_what_was_handled_of_a_failed_batch_is_done() -> None:
    """The place is the event that failed: health names it, and those before it do not come again."""
    seen, clock, bad = list[int](), ManualClock(), {2}

    async def handles(event: Event) -> None:
        if bad.intersection(numbers([event])):
            raise ValueError("poison")
        seen.extend(numbers([event]))

    async with Hub(MemoryStore(), clock=clock) as hub:
        attachment = hub.attach(handles, pattern="number.*", duty=Duty.DURABLE, attempts_max=2, name="handles")
        await attachment.ready()
        events = [hub.emit_nowait(said(n)) for n in range(4)]
        await pass_time(clock, 2)
        assert attachment.state is AttachmentState.SUSPENDED
        assert attachment.done == events[2].seq
        assert f"suspended at event {events[2].seq}" in hub.health().problems[0]
        bad.clear()
        attachment.resume()
        await hub.flush()
    assert seen == [0, 1, 2, 3]


async def test_a_listener_that_is_ready_has_a_place_on_disk() -> None:
    """Positions are kept once a second, but that of a new name before it counts as attached."""
    store, clock = GatedStore(), ManualClock()
    async with Hub(store, clock=clock) as hub:
        for name in ("first", "second"):
            await hub.attach(Recorder(), pattern="number.*", duty=Duty.DURABLE, name=name).ready()
        await hub.emit(said(1))
        crashed = store.crashed()
    again = Recorder()
    async with Hub(crashed) as hub:
        hub.attach(again, pattern="number.*", duty=Duty.DURABLE, name="second")
        await until(lambda: numbers(again.events) == [1])
