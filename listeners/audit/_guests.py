"""Calls of code that is not ours: bounded in time, and with no failure but an ``Exception``."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from hubwire.guests import failure_of
from hubwire.waking import start_later

__all__ = ("CALL_SECONDS_MAX", "Worker", "call")

CALL_SECONDS_MAX = 30.0
"""A call that takes longer is cancelled, and has failed."""

GRACE_SECONDS = 1.0
"""How long after that a call has to end."""

_left_behind: set[asyncio.Task[None]] = set()
"""The event loop does not keep tasks alive by itself."""


async def call(
    function: Callable[..., Awaitable[None] | None], argument: Any, on_left_behind: Callable[[], None] | None = None
) -> None:
    """Call and await a guest. Raises only an ``Exception``, unless this task is cancelled from outside.

    A ``KeyboardInterrupt`` that can be the user's is not the guest's: it goes on. ``on_left_behind`` is called when the
    guest swallows its cancellation: it goes on in this task, and what else the task has to do is for another one.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    alarm = None
    if on_left_behind is not None:
        alarm = asyncio.get_running_loop().call_later(CALL_SECONDS_MAX + GRACE_SECONDS, on_left_behind)
    try:
        async with asyncio.timeout(CALL_SECONDS_MAX):
            answer = function(argument)
            if inspect.isawaitable(answer):
                await answer
    except BaseException as error:
        if task.cancelling() > before:
            raise asyncio.CancelledError from error
        failure = failure_of(error)
        if failure is error:
            raise
        raise failure from error
    finally:
        if alarm is not None:
            alarm.cancel()


class Worker:
    """Runs one coroutine at a time in a task of its own, of the event loop that is running."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._task: asyncio.Task[None] | None = None

    @property
    def is_at_work(self) -> bool:
        """Whether the task runs: one of an event loop that has ended does not."""
        task = self._task
        return task is not None and not task.done() and not task.get_loop().is_closed()

    @property
    def is_current(self) -> bool:
        """Whether this code runs in the task."""
        try:
            return self._task is not None and self._task is asyncio.current_task()
        except RuntimeError:
            return False  # it is thrown away after its loop has ended

    def start(self, work: Callable[[], Any]) -> None:
        """Run ``work`` in the running loop, from its next turn on, also where tasks are eager."""
        self._task = start_later(work(), name=self._name)

    def leave_behind(self) -> None:
        """Let the task go on, for as long as its loop runs, without its worker."""
        if self._task is not None:
            _left_behind.add(self._task)
            self._task.add_done_callback(_left_behind.discard)
            self._task = None

    async def finish(self, seconds: float) -> bool:
        """Wait for the task for so long, then cancel it; return whether it came to its end by itself.

        A task that swallows its cancellation is left behind.
        """
        task = self._task
        if task is None or not self.is_at_work or self.is_current:
            return True
        if task.get_loop() is not asyncio.get_running_loop():
            return False
        done, _ = await asyncio.wait([task], timeout=seconds)
        if not done:
            task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return bool(done)
