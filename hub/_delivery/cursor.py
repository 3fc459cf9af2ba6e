"""A cursor: a pattern and a place in the stream of events. It reads old ones in the journal, new ones on the ring."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from .._commit.possession import Possession
from .._commit.ring import Ring, Watermark
from ..errors import HistoryGone
from ..events import Event
from .matcher import Matcher
from .replays import BATCH_MAX, Replays

__all__ = ("BATCH_MAX", "Cursor")


class Cursor:
    """Reads the events that a pattern matches, from ``seq`` on, up to a watermark."""

    def __init__(
        self,
        ring: Ring,
        replays: Replays | None,
        limit: Watermark,
        matcher: Matcher,
        seq: int = 0,
        possession: Possession | None = None,
    ) -> None:
        """``replays`` read the journal; None if there is none behind the ring."""
        self.seq: int = seq
        self._possession = possession
        self._ring = ring
        self._replays = replays
        self._limit = limit
        self._matcher = matcher
        self._waiting: asyncio.Future[None] | None = None
        self._woken = False

    @property
    def reads_journal(self) -> bool:
        """Whether there is a journal behind the ring."""
        return self._replays is not None

    @property
    def first_seq(self) -> int:
        """The ``seq`` of the oldest event that is held."""
        return self._ring.first if self._replays is None else self._replays.first_seq

    @property
    def limit(self) -> int:
        """The ``seq`` before which there are events to read."""
        return self._limit.value

    @property
    def behind(self) -> int:
        """How many events are there to read."""
        return self._limit.value - self.seq

    @property
    def is_on_ring(self) -> bool:
        """Whether the next event is on the ring; otherwise it is in the journal, or gone."""
        return self.seq >= self._ring.first

    @property
    def ended(self) -> bool:
        """Whether all events are read, and no more will come."""
        return self._limit.ended and self.behind <= 0

    async def wait(self) -> None:
        """Return when there are events to read, when no more will come, or after :meth:`wake`."""
        while self.behind <= 0 and not self._woken and not self._limit.ended:
            self._waiting = self._limit.next_move()
            await self._waiting
        self._woken = False

    def wake(self) -> None:
        """End a :meth:`wait`, the present one or else the next."""
        self._woken = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def jump(self, seq: int) -> None:
        """Move to another place than the end of the events read last."""
        self.seq = seq

    def pass_over(self, seq: int) -> Sequence[Event]:
        """Move to ``seq`` over events that are on the ring; return those of them that the pattern matches."""
        events = self._matcher.select(self._ring.slice(self.seq, seq))
        self.jump(seq)
        return events

    def peek(self) -> Event | None:
        """Return the next event, whether it matches or not, if it is on the ring and may be read; stay where it is."""
        if not self.is_on_ring or self.behind <= 0:
            return None
        return self._ring.slice(self.seq, self.seq + 1)[0]

    async def take(self, events_max: int = BATCH_MAX, bytes_max: int | None = None) -> Sequence[Event]:
        """Move past the next events, at most a batch; return those of them that the pattern matches, perhaps none.

        ``bytes_max`` makes a batch lighter than others are. Raises :class:`~hubwire.errors.HistoryGone` if they are
        neither on the ring nor in the journal, and :class:`~hubwire.errors.JournalFailed` if another hub took the
        journal over.
        """
        possession = self._possession
        if possession is not None and not possession.is_proved:
            await possession.prove()
        end = min(self._limit.value, self.seq + min(events_max, BATCH_MAX))
        events: Sequence[Event]
        if self.is_on_ring:
            events = self._ring.slice(self.seq, self._ring.batch_end(self.seq, end, bytes_max))
        else:
            events = await self._read_journal(end, bytes_max or self._ring.batch_bytes_max)
        self.seq += len(events)
        return self._matcher.select(events)

    async def _read_journal(self, end: int, bytes_max: int) -> Sequence[Event]:
        if self._replays is None:
            first = self._ring.first
            raise HistoryGone(
                f"events from {self.seq} on were asked for, but the oldest one held is {first}; go on from there",
                first_seq=first,
            )
        return await self._replays.read(self.seq, min(end, self._ring.first), bytes_max)
