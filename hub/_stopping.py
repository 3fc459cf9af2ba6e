"""The end of a hub: it stops in order, within one deadline."""

from __future__ import annotations

import anyio

from ._commit.phase import Phase
from ._parts import Parts
from .context import EMPTY
from .errors import HubClosed, HubFailed
from .events import HubStopped

__all__ = ("JOURNAL_CLOSES", "Deadline", "stop", "stop_following")

_FEEDS_FINISH = 0.15
_FEEDS_END = 0.2
_ACTORS_STOP = 0.4
_ACTORS_END = 0.5
_LISTENERS_HANDLE = 0.6
_EVENTS_COMMIT = 0.75
_LISTENERS_LEAVE = 0.9
JOURNAL_CLOSES = 0.95
"""At which share of the time for closing each step has to be over."""

_LAST_STEP_SECONDS_MAX = 1.0
"""How long the last commits, and then the leaving of listeners, have at most where there is no time left."""

_FOLLOWERS_LEAVE_SECONDS = 0.1
"""How long the listeners of a hub that follows have to leave, at least."""


class Deadline:
    """The moment at which a hub has to be closed, from when that is asked for; of its time each step has a share."""

    def __init__(self, seconds_max: float) -> None:
        self.seconds_max = seconds_max
        self._begun: float | None = None

    def begin(self, seconds_max: float | None = None) -> None:
        """The time runs from now on, unless it does already; with ``seconds_max``, it gets no longer than this."""
        if self._begun is None:
            self._begun = anyio.current_time()
        if seconds_max is not None:
            self.seconds_max = min(self.seconds_max, anyio.current_time() - self._begun + seconds_max)

    def at(self, share: float) -> float:
        """Return when so much of the time is over, in the loop's time."""
        return (anyio.current_time() if self._begun is None else self._begun) + share * self.seconds_max

    def seconds_left(self, more: float) -> float:
        """Return how long it is until ``more`` seconds after the deadline."""
        return self.at(1) + more - anyio.current_time()


async def stop(parts: Parts, deadline: Deadline) -> None:
    """Stop in order; each step has a share of the time, and what a step does not need is left to the next ones."""
    pipeline, fanout, lifecycle = parts.pipeline, parts.fanout, parts.lifecycle
    await parts.feeds.stop(deadline.at(_FEEDS_FINISH), deadline.at(_FEEDS_END))
    parts.violation_handlers.drain()
    await parts.actors.stop(deadline.at(_ACTORS_STOP), deadline.at(_ACTORS_END))
    await parts.violation_handlers.stop(deadline.at(_ACTORS_STOP), deadline.at(_ACTORS_END))
    lifecycle.check_not_failed()
    lifecycle.move(Phase.CLOSING)
    pipeline.admission.refuse_all(
        HubClosed("the hub was closed before this command was admitted; nothing has happened")
    )
    parts.denials.flush()
    await fanout.close(deadline.at(_LISTENERS_HANDLE))
    lifecycle.check_not_failed()
    last = pipeline.put([HubStopped(heads=fanout.heads())], EMPTY)[0].seq
    lifecycle.move(Phase.STOPPED)
    # What guests have used up must not keep the hub from its own last steps.
    least = min(max(0.2 * deadline.seconds_max, 0.1), _LAST_STEP_SECONDS_MAX)
    with anyio.move_on_at(max(deadline.at(_EVENTS_COMMIT), anyio.current_time() + least)) as committing:
        await pipeline.until_committed(last)
    if committing.cancelled_caught:
        pipeline.fail(
            HubFailed(
                f"the last {pipeline.ring.in_flight} events were not committed within {deadline.seconds_max:g} s of"
                " closing; those in the journal will be, at the next start"
            )
        )
        return
    await fanout.leave(max(deadline.at(_LISTENERS_LEAVE), anyio.current_time() + least))


async def stop_following(parts: Parts, deadline: Deadline) -> None:
    """Let go of the listeners of a hub that follows; no event is put."""
    parts.fanout.forget_unstarted()
    parts.lifecycle.move(Phase.STOPPED)
    await parts.fanout.leave(max(deadline.at(_LISTENERS_LEAVE), anyio.current_time() + _FOLLOWERS_LEAVE_SECONDS))
