"""Waking many waiting tasks without blocking the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

__all__ = ("Waker",)

_SLICE = 500
"""Futures settled in one iteration of the loop: 10,000 at a time would block it for 50 ms."""


class Waker:
    """Settles futures in the order in which they come, a slice in each iteration of the event loop.

    Use it in one event loop. A future that is done already is skipped.
    """

    def __init__(self) -> None:
        self._queue: deque[asyncio.Future[None]] = deque()
        self._is_scheduled = False

    def wake(self, futures: Sequence[asyncio.Future[None]]) -> None:
        """Settle these futures: the first slice now, unless earlier futures are still queued."""
        if self._is_scheduled or len(futures) > _SLICE:
            self._queue.extend(futures)
            if not self._is_scheduled:
                self._settle_slice()
            return
        for future in futures:
            if not future.done():
                future.set_result(None)

    async def wait_in_line(self) -> None:
        """Return in a later iteration of the loop, after the tasks that called this earlier."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._queue.append(future)
        if not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._settle_slice)
        await future

    def _settle_slice(self) -> None:
        queue = self._queue
        for _ in range(min(_SLICE, len(queue))):
            future = queue.popleft()
            if not future.done():
                future.set_result(None)
        self._is_scheduled = bool(queue)
        if queue:
            asyncio.get_running_loop().call_soon(self._settle_slice)
