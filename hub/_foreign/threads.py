"""Guests in threads of their own: functions that block."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any, Generic, TypeVar

from .guards import failure_of
from .tasks import LeftBehind

__all__ = ("STILL_RUNNING_MAX", "GuestThread")

T = TypeVar("T")


STILL_RUNNING_MAX = 4
"""How many calls of one guest may have been left behind and go on; meanwhile it is not called again."""


class GuestThread:
    """Runs sync calls of one guest, one after the other, in a thread that its caller can leave behind.

    The thread is the guest's own: no pool that others may have filled. It is a daemon, so that a program ends although
    a call hangs.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._worker: _Worker | None = None
        self._left_behind: list[_Job[Any]] = []

    @property
    def still_running(self) -> int:
        """How many calls were left behind, and go on."""
        self._left_behind = [job for job in self._left_behind if not job.has_ended]
        return len(self._left_behind)

    @property
    def is_still_running(self) -> bool:
        """Whether a call was left behind, and goes on."""
        return self.still_running > 0

    async def call(self, function: Callable[..., T], *args: Any, seconds: float | None = None) -> T:
        """Call the guest's code in its thread, with a copy of the caller's context; return its answer.

        After ``seconds`` of the loop's time, or when the caller is cancelled, the call is left behind with its thread,
        and the next call gets another one. Raises :class:`~.tasks.LeftBehind` then, and while too many calls go on;
        otherwise only an ``Exception`` comes out, unless the caller is cancelled.
        """
        if self.still_running >= STILL_RUNNING_MAX:
            raise LeftBehind(f"{STILL_RUNNING_MAX} of its calls go on in threads; it is called again when one ends")
        loop = asyncio.get_running_loop()
        job = _Job(partial(copy_context().run, function, *args), loop)
        if self._worker is None:
            self._worker = _Worker(self._name)
        self._worker.jobs.put(job)
        timer = None if seconds is None else loop.call_later(seconds, job.settle)
        try:
            await job.news
        except asyncio.CancelledError:
            self._leave_behind(job)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if not job.has_ended:
            self._leave_behind(job)
            raise LeftBehind(f"it took longer than {seconds:g} s, and goes on in its thread")
        return job.outcome()

    def end(self) -> None:
        """Give no more calls; the thread ends with the one that it is at."""
        if self._worker is not None:
            self._worker.jobs.put(None)
            self._worker = None

    def _leave_behind(self, job: _Job[Any]) -> None:
        if not job.has_ended:
            self._left_behind.append(job)
            self.end()


class _Worker:
    """A daemon thread that does jobs until it gets None."""

    def __init__(self, name: str) -> None:
        self.jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=f"hubwire {name}"[:100], daemon=True).start()

    def _run(self) -> None:
        while (job := self.jobs.get()) is not None:
            job.do()
            del job  # it would hold its events until the next one comes


class _Job(Generic[T]):
    """One call, and what came of it."""

    def __init__(self, function: Callable[[], T], loop: asyncio.AbstractEventLoop) -> None:
        self.has_ended: bool = False
        self.news: asyncio.Future[None] = loop.create_future()
        """Done when the call has ended, or its time is over."""
        self._function = function
        self._loop = loop
        self._answer: T | None = None
        self._error: BaseException | None = None

    def do(self) -> None:
        """Call the function, in the thread."""
        try:
            self._answer = self._function()
        except BaseException as error:  # noqa: BLE001 - all that a guest can raise is the failure of its call
            self._error = error
        self.has_ended = True
        with suppress(RuntimeError):  # the loop was closed meanwhile, and no task waits
            self._loop.call_soon_threadsafe(self.settle)

    def settle(self) -> None:
        if not self.news.done():
            self.news.set_result(None)

    def outcome(self) -> T:
        """Return the answer, or raise the guest's failure."""
        if self._error is not None:
            raise failure_of(self._error)
        answer: Any = self._answer
        return answer  # type: ignore[no-any-return]
