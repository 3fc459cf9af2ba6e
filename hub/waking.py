"""Waking many waiting tasks without blocking the event loop, and starting one that begins in its next turn, or now."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextvars import Context
from typing import Any, TypeVar

__all__ = ("Beginning", "FirstStep", "Slices", "Wake", "Waker", "start_later")

T = TypeVar("T")

_SLICE = 500
"""Futures settled in one iteration of the loop, by default: 10,000 at a time would block it for 50 ms."""


def start_later(
    work: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
) -> asyncio.Task[T]:
    """Start a task that begins in the next turn of the running loop, with any task factory.

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


class FirstStep(Coroutine[Any, Any, T]):
    """Runs a coroutine up to its first wait before its task does: most of what is called ends there.

    The task is the one that all of it runs in: what enters a scope, sets a timeout or starts tasks in the first step
    finds the same task as later. That takes over in the next turn of the loop, at what the first step waits for.
    """

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work
        self._error: BaseException | None = None
        """What has come out of the first step; its end is a ``StopIteration``."""
        self._awaited: Any = None
        """What the first step waits for; None for the next turn of the loop alone."""
        self._is_future = False
        self._is_handed_over = False

    def run(self, task: asyncio.Task[T], context: Context, here: asyncio.Task[Any]) -> None:
        """Run the first step now, in the middle of ``here``, the task that runs; ``task`` is made of this, and has not
        begun.
        """
        loop = asyncio.get_running_loop()
        # These two are documented for those who make tasks: a loop knows one task that runs.
        asyncio._leave_task(loop, here)  # noqa: SLF001
        asyncio._enter_task(loop, task)  # noqa: SLF001
        try:
            awaited = context.run(self._work.send, None)
        except BaseException as error:  # noqa: BLE001 - it is raised where the task takes over
            self._error = error
            return
        finally:
            asyncio._leave_task(loop, task)  # noqa: SLF001
            asyncio._enter_task(loop, here)  # noqa: SLF001
        self._awaited = awaited
        # A future says by this that it is awaited, and a task takes it back; another task may await it meanwhile.
        if getattr(awaited, "_asyncio_future_blocking", None) is True:
            self._is_future = True
            awaited._asyncio_future_blocking = False  # noqa: SLF001

    def __getattr__(self, name: str) -> Any:
        """Return what is asked of a coroutine, as its frame."""
        return getattr(self._work, name)

    def __await__(self) -> Generator[Any, Any, T]:
        return self._work.__await__()

    def send(self, value: Any, /) -> Any:
        return self._work.send(value) if self._is_handed_over else self._hand_over()

    def throw(self, *raised: Any) -> Any:
        # A task that is cancelled cancels what it waits for, and is told by that: here it did not know it yet.
        if not self._is_handed_over and (self._error is not None or (self._is_future and self._awaited.cancel())):
            return self._hand_over()
        self._is_handed_over = True
        return self._work.throw(*raised)

    def close(self) -> None:
        self._work.close()

    def _hand_over(self) -> Any:
        self._is_handed_over = True
        awaited, error = self._awaited, self._error
        self._awaited = self._error = None
        if error is not None:
            raise error
        if self._is_future:
            awaited._asyncio_future_blocking = True  # noqa: SLF001
        return awaited


class Wake(asyncio.Future[None]):
    """What a guest's task waits for between two calls. It can go on at once, not only in the next turn."""

    _step: tuple[Callable[[Any], object], Context | None] | None = None
    """What the task has asked to be called with, when this is done."""

    def add_done_callback(self, step: Callable[[Any], object], /, *, context: Context | None = None) -> None:
        self._step = (step, context)
        super().add_done_callback(step, context=context)

    def go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the task that waits go on now, up to its next wait, in the middle of the task that runs."""
        if self._step is None or (context := self._step[1]) is None:
            self.set_result(None)
            return
        step, _ = self._step
        self.remove_done_callback(step)
        self.set_result(None)
        here = asyncio.current_task(loop)
        assert here is not None
        asyncio._leave_task(loop, here)  # noqa: SLF001 - see FirstStep.run
        try:
            context.run(step, self)
        finally:
            asyncio._enter_task(loop, here)  # noqa: SLF001


class Slices:
    """Cuts work that holds the loop for long into slices of ``seconds``, so that others have their turns in between.

    It takes ``share`` of the loop at most: 1 is all that others leave, with a half it rests as long as it has worked.
    """

    def __init__(self, seconds: float, share: float = 1.0) -> None:
        self._seconds = seconds
        self._rest = (1.0 - share) / share
        self._begun = time.perf_counter()

    async def cut(self) -> None:
        """End the slice, if it has lasted long enough. To be awaited again and again between pieces of work."""
        worked = time.perf_counter() - self._begun
        if worked >= self._seconds:
            # What took much longer has waited for a file or a peer meanwhile, and others had the loop.
            await asyncio.sleep(min(worked, 4 * self._seconds) * self._rest)
            self._begun = time.perf_counter()


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
