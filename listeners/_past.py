"""The past: events that came before a listener's first one, as far as the hub still holds them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from hubwire import Event, Hub
from hubwire.errors import HistoryGone

__all__ = ("past_events",)


async def past_events(hub: Hub, after: int, before: int) -> AsyncIterator[Sequence[Event]]:
    """Yield, in batches, the committed events with ``after`` < ``seq`` < ``before`` that are held."""
    before = min(before, hub.statistics().committed)
    while after + 1 < before:
        stream = hub.events(after=after)
        try:
            events = await stream.take()
        except HistoryGone as gone:
            if gone.first_seq is None or gone.first_seq <= after + 1:
                return
            after = gone.first_seq - 1
            continue
        if wanted := [event for event in events if event.seq < before]:
            yield wanted
        if not events:
            return
        after = events[-1].seq
