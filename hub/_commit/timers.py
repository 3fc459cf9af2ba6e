"""Timers: what state machines have let become due, sent as commands.

A machine that knows of deadlines says when its next one is, and decides what has happened when it has passed; see
:class:`~hubwire._state.Timed`. There is no sweep: the hub sleeps until the earliest deadline there is. After a restart
the machines know of their deadlines again, and what passed meanwhile is due at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import anyio.lowlevel

from .._state import State
from .._state.moments import deadline_ns
from ..context import leave_all
from ..errors import HubClosed, HubFailed
from ..events import Event
from ..ports import Clock
from .pipeline import Pipeline

__all__ = ("BATCH", "Timers")

BATCH = 256
"""How many events become due as one command: what is more waits until these have committed."""

_LOOK_AGAIN_SECONDS = 60.0
"""The longest sleep: an administrator may set the time of day, and no sleep gets shorter by that."""


class _NothingDue(Exception):
    """A signal inside this module: while the command waited to be admitted, another one made it superfluous."""


class Timers:
    """Sends the commands that follow from deadlines, while the hub takes commands."""

    def __init__(self, pipeline: Pipeline, state: State, clock: Clock) -> None:
        self._pipeline = pipeline
        self._lifecycle = pipeline.lifecycle
        self._state = state
        self._clock = clock
        self._wake = anyio.Event()
        self._until_ns: int | None = None
        self._newest = (0, clock.monotonic())
        """The latest moment seen, and what the clock that never steps showed then."""

    async def run(self) -> None:
        """Run until the hub takes no more commands: what is due then is due at the next start."""
        leave_all()
        self._state.on_change = self._look
        try:
            while self._lifecycle.is_open:
                self._wake = anyio.Event()
                while self._is_due():
                    await self._put_what_is_due()
                await self._sleep()
        except (HubClosed, HubFailed):
            return
        finally:
            self._state.on_change = None

    def now_ns(self) -> int:
        """Return the hub's time: as late as its newest event, and going on while the time of day is set back.

        An event is never stamped earlier than the one before, and deadlines count from there.
        """
        elapsed = self._clock.monotonic()
        newest_ns, then = self._newest
        now_ns = max(self._clock.now_ns(), newest_ns + round((elapsed - then) * 1e9))
        ingress = self._pipeline.ingress
        if last_at := ingress.last_at:
            now_ns = max(now_ns, deadline_ns(last_at, 0))
        self._newest = (now_ns, elapsed)
        return now_ns

    def _is_due(self) -> bool:
        due_ns = self._state.next_due_ns()
        return due_ns is not None and due_ns <= self.now_ns() and self._lifecycle.is_open

    async def _put_what_is_due(self) -> None:
        try:
            await self._pipeline.execute(self._decide)
            # In memory there is no wait; other tasks must run between two batches all the same.
            await anyio.lowlevel.checkpoint()
        except _NothingDue:
            assert not self._is_due(), "a state machine reports a deadline, and decides no event for it"

    def _decide(self) -> Sequence[Event]:
        if events := self._state.due(self.now_ns(), BATCH):
            return events
        raise _NothingDue

    def _look(self) -> None:
        due_ns = self._state.next_due_ns()
        if due_ns is not None and (self._until_ns is None or due_ns < self._until_ns):
            self._until_ns = due_ns
            self._wake.set()

    async def _sleep(self) -> None:
        """Sleep until the next deadline, or until there is an earlier one."""
        self._until_ns = self._state.next_due_ns()
        if self._until_ns is None:
            await self._wake.wait()
            return
        seconds = max(0.0, (self._until_ns - self.now_ns()) / 1e9)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._sleep_until_woken, tasks.cancel_scope)
            await self._clock.sleep(min(seconds, _LOOK_AGAIN_SECONDS))
            tasks.cancel_scope.cancel()

    async def _sleep_until_woken(self, scope: anyio.CancelScope) -> None:
        await self._wake.wait()
        scope.cancel()
