"""The head of a log, given to a callback that keeps it elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hubwire.log import Head
from hubwire.own_log import OwnLog

from ._guests import Worker, call

__all__ = ("HeadCallback", "Heads")

HeadCallback = Callable[[Head], Awaitable[None]]

_log = OwnLog("audit")


class Heads:
    """Calls back with the head: when a segment is full, at the closing, and after a time in which records came."""

    def __init__(self, callback: HeadCallback | None, seconds: float, path: str, head: Callable[[], Head]) -> None:
        self.errors: int = 0
        """How many calls have failed."""
        self._callback = callback
        self._seconds = seconds
        self._path = path
        self._head = head
        self._given: Head | None = None
        self._segment: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._worker = Worker("hubwire audit heads")

    def appended(self, segment: int) -> None:
        """Records were appended to this segment."""
        if self._callback is None:
            return
        is_rotated = self._segment not in (None, segment)
        self._segment = segment
        if is_rotated:
            self._give()
        else:
            self._give_later()

    def _give_later(self) -> None:
        loop = asyncio.get_running_loop()
        # A timer that is long past its time is one of an event loop that has ended.
        if self._timer is None or self._timer.when() < loop.time() - 1:
            self._timer = loop.call_later(self._seconds, self._give)

    def _give(self) -> None:
        """Call back with the present head, soon; if a call is under way, after the usual time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._worker.is_at_work:
            self._worker.start(self._call)

    async def _call(self) -> None:
        assert self._callback is not None
        head = self._head()
        if head == self._given or not head.records:
            return
        self._given = head
        try:
            await call(self._callback, head)
        except Exception as error:  # noqa: BLE001 - a guest's failure is counted and logged, and the log goes on
            self.errors += 1
            _log.failure("on_head of an audit log raised", error, log=self._path, head=str(head))
        if self._head() != head:
            self._give_later()

    async def close(self, seconds: float) -> None:
        """Call back with the last head, and wait for that for so long."""
        if self._callback is None or self._worker.is_current:
            return
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        is_done = await self._worker.finish(seconds)
        if is_done:
            self._give()
            is_done = await self._worker.finish(max(end - loop.time(), 0))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not is_done:
            self.errors += 1
            _log.problem("on_head of an audit log was not done when the log was closed", log=self._path)
