"""The states of a feed and the moves between them, and its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import attrs

from .._values import Value
from ..events import FrozenDict

__all__ = ("MOVES", "FeedState", "FeedStatistics")


class FeedState(Enum):
    """Where a feed is in its life on a hub."""

    WAITING = "waiting"
    """The hub is not open yet."""
    RUNNING = "running"
    """Its ``run`` is under way."""
    PAUSING = "pausing"
    """Its ``run`` has failed, and is called again after a pause."""
    FINISHING = "finishing"
    """It brings in what waits, because the hub is about to close, or it is being removed."""
    ENDED = "ended"
    """It has returned, was removed, or its hub has ended."""


MOVES: Mapping[FeedState, frozenset[FeedState]] = {
    FeedState.WAITING: frozenset({FeedState.RUNNING, FeedState.ENDED}),
    FeedState.RUNNING: frozenset({FeedState.PAUSING, FeedState.FINISHING, FeedState.ENDED}),
    FeedState.PAUSING: frozenset({FeedState.RUNNING, FeedState.FINISHING, FeedState.ENDED}),
    FeedState.FINISHING: frozenset({FeedState.ENDED}),
    FeedState.ENDED: frozenset(),
}
"""The states that can follow each state."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class FeedStatistics(Value):
    """The numbers of one feed, since it was given to the hub."""

    name: str
    state: FeedState
    restarts: int
    """How often its ``run`` was called again after it had failed."""
    failed: int
    """How often its ``run`` or ``finish`` has failed."""
    last_error: str | None
    """What it failed with the last time; None if it never did."""
    numbers: Mapping[str, int] = attrs.field(factory=FrozenDict)
    """What its own ``statistics()`` says; empty where it has none, or its answer is none, which its health says."""

    def __hash__(self) -> int:
        return hash((type(self), self.name, self.state, self.restarts, self.failed, self.last_error))
