"""The life of an attachment: its states, and the moves between them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from enum import Enum

import attrs

from .._values import Value

__all__ = ("MOVES", "AttachmentState", "Life", "Resumption", "Suspension")


class AttachmentState(Enum):
    """Where an attachment is in its life."""

    STARTING = "starting"
    CATCHING_UP = "catching_up"
    RUNNING = "running"
    SUSPENDED = "suspended"
    """A DURABLE listener that gets no more events until it is resumed, or the hub is started again."""
    DETACHED = "detached"


MOVES: Mapping[AttachmentState, frozenset[AttachmentState]] = {
    AttachmentState.STARTING: frozenset(
        {
            AttachmentState.CATCHING_UP,  # it was entered, and has its place
            AttachmentState.DETACHED,  # it could not be entered, was refused its place, or was detached before
        }
    ),
    AttachmentState.CATCHING_UP: frozenset(
        {
            AttachmentState.RUNNING,  # it has reached the present: from now on its duty counts
            AttachmentState.SUSPENDED,  # it failed too often, or misses events that are gone
            AttachmentState.DETACHED,  # it was detached, failed too often, or its hub ended
        }
    ),
    AttachmentState.RUNNING: frozenset({AttachmentState.SUSPENDED, AttachmentState.DETACHED}),
    AttachmentState.SUSPENDED: frozenset(
        {
            AttachmentState.CATCHING_UP,  # it was resumed
            AttachmentState.DETACHED,
        }
    ),
    AttachmentState.DETACHED: frozenset(),
}
"""The states that can follow each state."""


@attrs.frozen(eq=False, repr=False)
class Suspension(Value):
    """Why a listener gets no more events until it is resumed."""

    reason: str
    error: Exception
    attempts: int = 0
    first_seq_held: int | None = None
    is_at_event: bool = False
    """Whether one event is to blame, after which the listener could go on."""


@attrs.frozen(eq=False, repr=False)
class Resumption(Value):
    """How a suspended listener was resumed, when its task has not gone on yet."""

    skip_missed: bool
    skip_failed: bool = False
    """Whether it goes on after the event at which it has failed."""
    error: Exception | None = None
    """At what it has failed there."""


class Life:
    """The state of one attachment, what it is asked to do next, and the tasks that wait for a change."""

    def __init__(self) -> None:
        self.state: AttachmentState = AttachmentState.STARTING
        self.halt: Suspension | Resumption | None = None
        """Why the listener is suspended, or how it was resumed until its task goes on."""
        self.stop_at: float = math.inf
        """The listener is to stop once the events below this ``seq`` are handled; infinite: it is not to stop."""
        self.failure: Exception | None = None
        """Why the listener could not be entered, placed, or given its events."""
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def is_stopping(self) -> bool:
        """Whether the listener is to stop, soon or later."""
        return self.stop_at < math.inf

    @property
    def suspension(self) -> Exception | None:
        """The error for which the listener is suspended, or was when it ended."""
        return self.halt.error if isinstance(self.halt, Suspension) else None

    def move(self, state: AttachmentState) -> None:
        """Go on to another state."""
        assert state in MOVES[self.state], f"an attachment does not go from {self.state} to {state}"
        self.state = state
        self.wake()

    def suspend(self, suspension: Suspension) -> None:
        """Give the listener no more events."""
        self.halt = suspension
        self.move(AttachmentState.SUSPENDED)

    def resume(self, resumption: Resumption) -> None:
        """Let the listener's task go on; it takes this up when the batch it is at has ended."""
        self.halt = resumption
        self.move(AttachmentState.CATCHING_UP)

    def take_up(self) -> Resumption:
        """Return how the listener was resumed, once: its task goes on now."""
        resumption, self.halt = self.halt, None
        assert isinstance(resumption, Resumption)
        return resumption

    def detach(self, failure: Exception | None = None) -> None:
        """Come to the end, because of a failure or because the listener was to stop."""
        self.failure = failure or self.failure
        self.move(AttachmentState.DETACHED)

    def stop(self, end: int, failure: Exception | None = None) -> None:
        """Ask the listener to stop once the events below ``end`` are handled, perhaps because of a failure."""
        self.stop_at = min(self.stop_at, end)
        self.failure = failure or self.failure
        self.wake()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when the condition holds. It is checked again after each move and each :meth:`wake`."""
        while not condition():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def wake(self) -> None:
        """Let the waiting tasks check their conditions again."""
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
