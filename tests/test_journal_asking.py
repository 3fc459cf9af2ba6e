"""A DURABLE listener that keeps its position itself is asked again before the journal is truncated."""

from __future__ import annotations

from collections.abc import Sequence

from hubwire import Duty, Event, GenericEvent, Hub
from hubwire.stores import MemoryStore
from support import until, until_idle


class Batching:
    """Writes what it has got later, by itself, so that no call tells the hub that it has come further."""

    duty, pattern = Duty.DURABLE, "work.*"

    def __init__(self) -> None:
        self.got, self.written = -1, -1

    def last_seq(self) -> int | None:
        return None if self.written < 0 else self.written

    async def on_events(self, events: Sequence[Event]) -> None:
        self.got = events[-1].seq


async def test_a_position_that_moved_by_itself_is_taken_up() -> None:
    """Without another event for the listener: the journal would otherwise be kept for it."""
    listener = Batching()
    async with Hub(MemoryStore()) as hub:
        await hub.attach(listener, name="batching", since="start").ready()
        event = await hub.emit(GenericEvent(kind="work.done"))
        await until(lambda: listener.got == event.seq)
        listener.written = listener.got
        upkeep = hub._parts.upkeep
        assert upkeep is not None
        assert (upkeep.positions.get("batching") or 0) <= event.seq
        upkeep._due.set()
        await until_idle()
        assert (upkeep.positions.get("batching") or 0) > event.seq
