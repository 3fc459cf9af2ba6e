"""A cursor: a pattern and a place in the stream of events. It reads old ones in the journal, new ones on the ring."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import anyio.lowlevel

from .._commit.ring import Ring, Watermark
from ..errors import HistoryGone
from ..events import Event
from ..ports import Journal
from .matcher import Matcher

__all__ = ("BATCH_MAX", "Cursor")

BATCH_MAX = 256
"""How many events a listener gets at most in one batch."""


class Cursor:
    """Reads the events that a pattern matches, from ``seq`` on, up to a watermark."""

    def __init__(self, ring: Ring, journal: Journal | None, limit: Watermark, matcher: Matcher, seq: int = 0) -> None:
        self.seq: int = seq
        self._ring = ring
        self._journal = journal
        self._limit = limit
        self._matcher = matcher
        self._replay: AsyncIterator[Event] | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._woken = False

    @property
    def reads_journal(self) -> bool:
        """Whether there is a journal behind the ring."""
        return self._journal is not None

    @property
    def first_seq(self) -> int:
        """The ``seq`` of the oldest event that is held."""
        return self._ring.first if self._journal is None else self._journal.first_seq

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
        self._replay = None

    def pass_over(self, seq: int) -> Sequence[Event]:
        """Move to ``seq`` over events that are on the ring; return those of them that the pattern matches."""
        events = self._matcher.select(self._ring.slice(self.seq, seq))
        self.jump(seq)
        return events

    async def take(self) -> Sequence[Event]:
        """Move past the next events, at most a batch; return those of them that the pattern matches, perhaps none.

        Raises :class:`~hubwire.errors.HistoryGone` if they are neither on the ring nor in the journal.
        """
        end = min(self._limit.value, self.seq + BATCH_MAX)
        if self.is_on_ring:
            self._replay = None
            events = self._ring.slice(self.seq, end)
        else:
            try:
                events = await self._read_journal(end)
            except BaseException:
                self._replay = None  # it may have moved past events that were not returned
                raise
        self.seq += len(events)
        return self._matcher.select(events)

    async def _read_journal(self, end: int) -> list[Event]:
        first = self.first_seq
        if self._journal is None or self.seq < first:
            raise HistoryGone(
                f"events from {self.seq} on were asked for, but the oldest one held is {first}; go on from there",
                first_seq=first,
            )
        # A journal in memory never suspends, and a long history must not block the loop.
        await anyio.lowlevel.checkpoint()
        if self._replay is None:
            self._replay = self._journal.replay(self.seq - 1)
        events: list[Event] = []
        end = min(end, self._ring.first)
        while self.seq + len(events) < end:
            event = await anext(self._replay, None)
            if event is None:
                # A replay ends where the journal ended when the replay began; newer events need another one.
                self._replay = None
                break
            events.append(event)
        return events
