"""Timers: what state machines have let become due, sent as commands.

A machine that knows of deadlines says when its next one is, and decides what has happened when it has passed; see
:class:`~hubwire._state.Timed`. There is no sweep: the hub sleeps until the earliest deadline there is. After a restart
the machines know of their deadlines again, and what passed meanwhile is due at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
import anyio.lowlevel

from .._foreign.guards import text_of
from .._state import State, Timed
from ..context import leave_all
from ..errors import CallerError, HubClosed, HubFailed
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


class Stuck:
    """Machines with an event that could not be put, because of what a guest has said: the others go on."""

    def __init__(self, report: Callable[[str, str], None]) -> None:
        """``report`` is called with the name of a machine, and what happened."""
        self._machines: dict[Timed, tuple[float, str]] = {}
        self._report = report

    def __contains__(self, machine: Timed) -> bool:
        return machine in self._machines

    def __bool__(self) -> bool:
        return bool(self._machines)

    def add(self, machine: Timed, error: Exception, now: float) -> None:
        """Leave a machine out for a minute, by the clock that never steps."""
        name, text = type(machine).__name__.lower(), text_of(error)
        self._machines[machine] = (now + _LOOK_AGAIN_SECONDS, f"what is due in {name} could not be done: {text}")
        self._report(name, text)

    def let_go(self, now: float) -> None:
        """Try those again whose time is over."""
        for machine in [each for each, (until, _) in self._machines.items() if until <= now]:
            del self._machines[machine]

    def problems(self) -> list[str]:
        return [f"{problem}; it is tried again each minute" for _, problem in self._machines.values()]


class Timers:
    """Sends the commands that follow from deadlines, while the hub takes commands."""

    def __init__(
        self, pipeline: Pipeline, state: State, clock: Clock, report: Callable[[str, str], None] = lambda *_: None
    ) -> None:
        """``report`` is called with the name of a machine that cannot decide what is due, and why."""
        self._pipeline = pipeline
        self._lifecycle = pipeline.lifecycle
        self._state = state
        self._clock = clock
        self._time = pipeline.ingress.time
        self._wake = anyio.Event()
        self._until_ns: int | None = None
        self._stuck = Stuck(report)
        self._limits = dict.fromkeys(state.timed, BATCH)
        """How many events each machine may decide on at once: one, after an event of a batch could not be put."""

    async def run(self) -> None:
        """Run until the hub takes no more commands: what is due then is due at the next start."""
        leave_all()
        self._state.on_change = self._look
        try:
            while self._lifecycle.is_open:
                self._wake = anyio.Event()
                while (machine := self._due_machine()) is not None and self._lifecycle.is_open:
                    await self._put_what_is_due(machine)
                await self._sleep()
        except (HubClosed, HubFailed):
            return
        finally:
            self._state.on_change = None

    def problems(self) -> list[str]:
        """Return what could not be done, and is tried again."""
        return self._stuck.problems()

    def _due_machine(self) -> Timed | None:
        """Return the machine whose deadline has passed first: after a long pause there may be many."""
        self._stuck.let_go(self._clock.monotonic())
        passed = self._passed(self._time.now_ns())
        return min(passed, key=passed.__getitem__, default=None)

    def _passed(self, now_ns: int) -> dict[Timed, int]:
        """Return the deadlines that have passed, the next one of each machine."""
        moments = {machine: machine.next_due_ns() for machine in self._machines()}
        return {machine: due_ns for machine, due_ns in moments.items() if due_ns is not None and due_ns <= now_ns}

    def _machines(self) -> list[Timed]:
        return [machine for machine in self._state.timed if machine not in self._stuck]

    async def _put_what_is_due(self, machine: Timed) -> None:
        limit = self._limits[machine]
        try:
            await self._pipeline.execute(lambda: self._decide(machine, limit))
        except _NothingDue:
            return
        except (HubClosed, HubFailed):
            raise
        except CallerError as error:
            # An event that follows from what a guest has said may be too large to be put: look for the one.
            if limit > 1:
                self._limits[machine] = 1
            else:
                self._stuck.add(machine, error, self._clock.monotonic())
        else:
            self._limits[machine] = min(2 * limit, BATCH)
        # In memory there is no wait; other tasks must run between two batches all the same.
        await anyio.lowlevel.checkpoint()

    def _decide(self, machine: Timed, limit: int) -> Sequence[Event]:
        now_ns = self._time.now_ns()
        passed = self._passed(now_ns)
        first_ns = passed.pop(machine, now_ns)
        # No further than to the deadline of another machine, so that the order is the same as without the pause.
        until_ns = max(first_ns, min(passed.values(), default=now_ns))
        if events := self._state.due(until_ns, limit, [machine]):
            return events
        # By the very time with which it was called: by a later one, more may have become due.
        due_ns = machine.next_due_ns()
        assert due_ns is None or due_ns > until_ns, f"{machine!r} reports a deadline, and decides no event for it"
        raise _NothingDue

    def _look(self, changed: Sequence[Timed]) -> None:
        """Wake up if one of these machines has an earlier deadline than the one that is slept for."""
        for machine in changed:
            due_ns = machine.next_due_ns()
            if due_ns is not None and (self._until_ns is None or due_ns < self._until_ns):
                self._until_ns = due_ns
                self._wake.set()

    async def _sleep(self) -> None:
        """Sleep until the next deadline, or until there is an earlier one."""
        self._until_ns = self._state.next_due_ns(self._machines())
        if self._until_ns is None and not self._stuck:
            await self._wake.wait()
            return
        seconds = _LOOK_AGAIN_SECONDS
        if self._until_ns is not None:
            seconds = min(seconds, max(0.0, (self._until_ns - self._time.now_ns()) / 1e9))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._sleep_until_woken, tasks.cancel_scope)
            await self._clock.sleep(seconds)
            tasks.cancel_scope.cancel()

    async def _sleep_until_woken(self, scope: anyio.CancelScope) -> None:
        await self._wake.wait()
        scope.cancel()
