"""Replays: old events read in the journal, once for all readers that are at the same place."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from itertools import accumulate

from .._foreign.guards import guarded
from ..codec import size_of
from ..errors import HistoryGone, StoreFull
from ..events import Event
from ..ports import Journal
from ..waking import Waker

__all__ = ("BATCH_MAX", "Replays")

BATCH_MAX = 256
"""How many events a reader gets at most in one batch."""

_PARALLEL = 4
"""How many readings are under way at a time: each turn of the loop may have to decode for all of them."""

_SLICE = 32
"""How many events are decoded in one turn of the loop."""

_WOKEN_MAX = 100
"""How many readers get what they waited for in one turn of the loop."""

_RUNS_MAX = 32
_RUNS_BYTES_MAX = 2 * 1024 * 1024
_EVENT_BYTES = 1024
"""What an event takes in memory, more than its payload."""
_RUN_BYTES_MAX = 4 * 1024 * 1024
_OPEN_MAX = 8


class Replays:
    """Reads events in a journal. A thousand readers that come back at the same place cost as much as one."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._runs = _Runs()
        self._open: OrderedDict[int, AsyncIterator[Event]] = OrderedDict()
        """Replays that have not come to their end, by the event that comes next, the one used last at the end."""
        self._under_way: dict[int, list[asyncio.Future[None]]] = {}
        """Who waits for a reading, by the event at which it begins."""
        self._slots = asyncio.Semaphore(_PARALLEL)
        self._waker = Waker(_WOKEN_MAX)
        self._is_repaired = False

    def renew(self) -> None:
        """Begin anew in the journal, which was opened since: what is known of the past stays true."""
        self._open.clear()

    @property
    def first_seq(self) -> int:
        """The ``seq`` of the oldest event that the journal holds."""
        return self._journal.first_seq

    async def read(self, seq: int, end: int, bytes_max: int) -> Sequence[Event]:
        """Return events from ``seq`` on, before ``end``: a batch at most, perhaps fewer, none only if there are none.

        Raises :class:`~hubwire.errors.HistoryGone` if the journal does not hold them any more.
        """
        if not self._is_repaired:
            await self._repair()
        has_waited = False
        while True:
            if (first := self.first_seq) > seq:
                raise HistoryGone(
                    f"events from {seq} on were asked for, but the oldest one held is {first}; go on from there",
                    first_seq=first,
                )
            if (run := self._runs.find(seq)) is not None:
                if not has_waited:
                    await asyncio.sleep(0)  # a long history must not block the loop
                return run.cut(seq, end, bytes_max)
            # Readers begin and stop at the same numbers, so that those at places nearby are together.
            begin = max(seq // BATCH_MAX * BATCH_MAX, first)
            if (waiting := self._under_way.get(begin)) is None:
                break
            future = asyncio.get_running_loop().create_future()
            waiting.append(future)
            await future
            has_waited = True
        run = await self._read_for_all(begin, seq)
        return () if run is None else run.cut(seq, end, bytes_max)

    async def _read_for_all(self, begin: int, seq: int) -> _Run | None:
        """Read, and keep for those that wait for the same events. If it fails, the next of those tries for itself."""
        waiting = self._under_way[begin] = []
        try:
            async with self._slots:
                end = (seq // BATCH_MAX + 1) * BATCH_MAX
                run = await (self._read_along(begin, end) if begin < seq else self._read(seq, end))
                if begin < seq and (run is None or run.end <= seq):  # those before are gone by now, or too large
                    run = await self._read(seq, end)
            if run is not None:
                self._runs.keep(run)
            return run
        finally:
            del self._under_way[begin]
            self._waker.wake(waiting)

    async def _repair(self) -> None:
        """Have on the disk what was read of the journal, before a listener stores what it holds.

        Otherwise one more loss of power could leave a listener that is ahead of the journal.
        """
        repair = getattr(self._journal, "repair", None)
        if repair is not None:
            try:
                await guarded(repair)
            except StoreFull:
                return  # what a full disk has is read all the same: the next append waits for room, and repairs
        self._is_repaired = True

    async def _read_along(self, seq: int, end: int) -> _Run | None:
        """Read from an event before the one that is wanted; return None if it is truncated meanwhile."""
        try:
            return await self._read(seq, end)
        except HistoryGone:
            return None

    async def _read(self, seq: int, end: int) -> _Run | None:
        # If it is cancelled, the replay has passed events that no reader got, and is given up.
        replay = self._open.pop(seq, None) or self._journal.replay(seq - 1)
        events: list[Event] = []
        size = 0
        while seq + len(events) < end and size < _RUN_BYTES_MAX:
            if len(events) % _SLICE == 0:
                await asyncio.sleep(0)  # a journal in memory never suspends
            event = await anext(replay, None)
            if event is None:
                # A replay ends where the journal ended when the replay began; newer events need another one.
                break
            events.append(event)
            size += size_of(event)
        else:
            self._open[seq + len(events)] = replay
            if len(self._open) > _OPEN_MAX:
                self._open.popitem(last=False)
        return _Run(events) if events else None


class _Run:
    """Events in a row, and what they weigh."""

    def __init__(self, events: list[Event]) -> None:
        self.first: int = events[0].seq
        self.end: int = self.first + len(events)
        self._events = events
        self._sums = list(accumulate(map(size_of, events)))

        self.bytes: int = self._sums[-1] + len(events) * _EVENT_BYTES
        """About what it takes in memory."""

    def cut(self, seq: int, end: int, bytes_max: int) -> Sequence[Event]:
        """Return the events from ``seq`` on, before ``end`` and up to so many bytes, but for a single one."""
        start = seq - self.first
        before = self._sums[start - 1] if start else 0
        fitting = bisect_right(self._sums, before + bytes_max, start)
        return self._events[start : min(max(fitting, start + 1), end - self.first)]


class _Runs:
    """The runs of events that were read last: so many at most, and so many bytes."""

    def __init__(self) -> None:
        self._runs: OrderedDict[int, _Run] = OrderedDict()
        self._bytes = 0

    def find(self, seq: int) -> _Run | None:
        """Return a run that has the event ``seq``."""
        for run in self._runs.values():
            if run.first <= seq < run.end:
                return run
        return None

    def keep(self, run: _Run) -> None:
        """Keep a run, and let go of the oldest."""
        if (former := self._runs.pop(run.first, None)) is not None:
            self._bytes -= former.bytes
        self._runs[run.first] = run
        self._bytes += run.bytes
        while len(self._runs) > _RUNS_MAX or (self._bytes > _RUNS_BYTES_MAX and len(self._runs) > 1):
            _, dropped = self._runs.popitem(last=False)
            self._bytes -= dropped.bytes
