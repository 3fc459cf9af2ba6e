"""The line: in which order clients read on and are written to, so that the hub has its turns of the loop in between.

A write to a socket takes the loop as long as two or three commits. So one client is let on at a time, and then there
is a gap; and clients that are up to date do not wait for the hub each: one task does, for all of them.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import deque

from hubwire.errors import HubError
from hubwire.waking import start_later

from ._source import Source

__all__ = ("Line", "Place")

_GAP_SECONDS = 0.001
"""Between two clients. A loop that is idle wakes no more often than once a millisecond."""
_GAP_SECONDS_MAX = 0.005
_TURNS = 4
"""So many turns of the loop pass in any case: what is emitted takes three or four."""
_GAP_SHARE = 2
"""The gap is so many times as long as what was done before it, if that is longer: on a busy machine, too, the hub has
most of the loop.
"""
_LONG = 200
"""For each so many that wait, one more client is let on at once."""
_TOGETHER_SECONDS = 0.02
"""What comes within such a time is news once."""

_Turn = asyncio.Future[bool]
"""What a client waits for: its result is whether no more events will come."""


class Place:
    """The place of one client in the line."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._turn: _Turn | None = None
        self._is_ended = False

    async def wait(self, due: float, news_from: float | None) -> bool:
        """Return when it is due and this client's turn, or after :meth:`end`; true if no more events will come.

        Where ``news_from`` is given, there is nothing to read, and its turn comes also with the next event, but not
        before then. Times are those of ``time.monotonic()``.
        """
        if self._is_ended:
            return False
        turn: _Turn = asyncio.get_running_loop().create_future()
        self._turn = turn
        self._line.add(turn, due, news_from)
        return await turn

    def end(self) -> None:
        """Let it wait no more."""
        self._is_ended = True
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(False)


class Line:
    """Lets clients on, one after the other."""

    def __init__(self, source: Source) -> None:
        self._queue: deque[_Turn] = deque()
        self._is_moving = False
        self._moved_at = 0.0
        self._moments = _Moments(self)
        self._news = _News(source, self)

    def place(self) -> Place:
        """Return a place for a client."""
        return Place(self)

    def add(self, turn: _Turn, due: float, news_from: float | None) -> None:
        """Settle this when it is due, or news have come, and its turn: see :meth:`Place.wait`."""
        if due <= time.monotonic():
            self.enter(turn)
            return
        self._moments.add(due, turn)
        if news_from is not None:
            self._news.add(news_from, turn)

    def enter(self, turn: _Turn, not_before: float = 0.0) -> None:
        """Put it at the end of those whose turn is next."""
        if not_before > time.monotonic():
            self._moments.add(not_before, turn)
            return
        self._queue.append(turn)
        if not self._is_moving:
            self._move()

    def _move(self) -> None:
        left = 1 + len(self._queue) // _LONG
        while self._queue and left:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(False)
                left -= 1
        # Also when none is left: the one that comes next may come in the same turn of the loop.
        self._is_moving = not left or bool(self._queue)
        if self._is_moving:
            self._moved_at = time.monotonic()
            # It comes after the steps of those that were let on.
            asyncio.get_running_loop().call_soon(self._pass, _TURNS)

    def _pass(self, turns: int) -> None:
        """Let so many turns of the loop pass, and then the rest of the gap."""
        loop = asyncio.get_running_loop()
        if turns:
            loop.call_soon(self._pass, turns - 1)
            return
        worked = time.monotonic() - self._moved_at
        loop.call_later(min(max(_GAP_SECONDS, _GAP_SHARE * worked), _GAP_SECONDS_MAX), self._move)

    async def close(self) -> None:
        """End all tasks."""
        await self._news.close()


class _Moments:
    """Those who wait for a time: one timer for all of them."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._waiting: list[tuple[float, int, _Turn]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, due: float, turn: _Turn) -> None:
        heapq.heappush(self._waiting, (due, next(self._numbers), turn))
        if self._waiting[0][2] is turn:
            self._set()

    def _set(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            seconds = max(0.0, self._waiting[0][0] - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(seconds, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now, waiting = time.monotonic(), self._waiting
        while waiting and (waiting[0][0] <= now or waiting[0][2].done()):
            _, _, turn = heapq.heappop(waiting)
            if not turn.done():
                self._line.enter(turn)
        self._set()


class _News:
    """Those who have read all there is: one task waits for more, for all of them."""

    def __init__(self, source: Source, line: Line) -> None:
        self._source = source
        self._line = line
        self._waiting: list[tuple[float, _Turn]] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, not_before: float, turn: _Turn) -> None:
        self._waiting.append((not_before, turn))
        if self._task is None or self._task.done():
            self._task = start_later(self._watch(self._source.newest_seq), name="hubwire dashboard news")

    async def _watch(self, seq: int) -> None:
        """Let clients on when there is more than this event, again and again while clients wait."""
        while self._waiting:
            try:
                if is_more := await self._source.more(seq):
                    seq = self._source.newest_seq
            except HubError:  # the hub was closed in between
                is_more = False
            waiting, self._waiting = self._waiting, []
            for not_before, turn in waiting:
                if turn.done():
                    continue
                if is_more:
                    self._line.enter(turn, not_before)
                else:
                    turn.set_result(True)
            if is_more:
                await asyncio.sleep(_TOGETHER_SECONDS)

    async def close(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
