"""Waking many waiting tasks without blocking the event loop, and starting one that begins in its next turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Generator, Sequence
from contextvars import Context
from typing import Any, TypeVar

__all__ = ("Beginning", "Waker", "start_later")

T = TypeVar("T")

_SLICE = 500
"""Futures settled in one iteration of the loop, by default: 10,000 at a time would block it for 50 ms."""


def start_later(
    work: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
) -> asyncio.Task[T]:
    """Start a task that begins in the next turn of the running loop, whatever the loop's task factory does.

    An eager task (Python 3.12 and later) runs up to its first wait before the code that starts it knows the task, and
    in the middle of what that code is doing. The caller keeps the task: the loop does not.
    """
    return asyncio.Task(work, loop=asyncio.get_running_loop(), name=name, context=context)


class Beginning(Coroutine[Any, Any, T]):
    """Runs a coroutine that has to begin, because it gives up what is held, although its task is cancelled before.

    A task that is cancelled before its first step runs none of its code, not even a ``finally``. This one begins all
    the same, and is cancelled at its first wait.
    """

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work
        self._has_begun = False

    def __await__(self) -> Generator[Any, Any, T]:
        return self._work.__await__()

    def send(self, value: Any, /) -> Any:
        self._has_begun = True
        return self._work.send(value)

    def throw(self, *raised: Any) -> Any:
        task = asyncio.current_task()
        if self._has_begun or task is None:
            return self._work.throw(*raised)
        task.cancel()
        return self.send(None)

    def close(self) -> None:
        self._work.close()


class Waker:
    """Settles futures in the order in which they come, a slice in each iteration of the event loop.

    Use it in one event loop. A future that is done already is skipped.
    """

    def __init__(self, slice_max: int = _SLICE) -> None:
        """``slice_max``: how many are settled in an iteration; fewer where those that wait have more to do."""
        self._slice_max = slice_max
        self._queue: deque[asyncio.Future[None]] = deque()
        self._is_scheduled = False

    def wake(self, futures: Sequence[asyncio.Future[None]]) -> None:
        """Settle these futures: the first slice now, unless earlier futures are still queued."""
        if self._is_scheduled or len(futures) > self._slice_max:
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
        for _ in range(min(self._slice_max, len(queue))):
            future = queue.popleft()
            if not future.done():
                future.set_result(None)
        self._is_scheduled = bool(queue)
        if queue:
            asyncio.get_running_loop().call_soon(self._settle_slice)
