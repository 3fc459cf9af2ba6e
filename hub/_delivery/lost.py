"""Attachments that came to an end which was not asked for: the last of them, for statistics and health."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from .._values import Value
from ..ports import Clock
from .attachment import Attachment, AttachmentState
from .duty import Duty
from .reports import AttachmentStatistics

__all__ = ("LOST_MAX", "PROBLEM_SECONDS", "Lost")

LOST_MAX = 100
"""How many are remembered; all are counted."""

PROBLEM_SECONDS = 300.0
"""How long a BEST_EFFORT listener that was detached makes the hub unhealthy: no more events are owed to it."""

_PROBLEMS_MAX = 10


@attrs.frozen(eq=False, repr=False)
class _Entry(Value):
    """What is remembered: numbers, and not the listener."""

    last: AttachmentStatistics
    reason: str
    at: float
    running: Callable[[], AttachmentStatistics] | None
    """Gives the present numbers of a listener that was left behind in a call."""

    @property
    def statistics(self) -> AttachmentStatistics:
        """Its numbers, as far as they change yet."""
        return self.last if self.running is None else self.running()


class Lost:
    """The attachments that were detached for another reason than being asked to, by name, the oldest first."""

    def __init__(self, clock: Clock) -> None:
        self.count: int = 0
        """How many there ever were."""
        self._clock = clock
        self._entries: dict[str, _Entry] = {}

    @property
    def statistics(self) -> Sequence[AttachmentStatistics]:
        """The last numbers of those that are remembered."""
        return [entry.statistics for entry in self._entries.values()]

    def add(self, attachment: Attachment, reason: str) -> None:
        """Remember an attachment that has ended now."""
        self.count += 1
        statistics = attrs.evolve(attachment.statistics(), state=AttachmentState.DETACHED)
        running = attachment.statistics if statistics.still_running else None
        self._entries.pop(statistics.name, None)
        self._entries[statistics.name] = _Entry(statistics, reason, self._clock.monotonic(), running)
        while len(self._entries) > LOST_MAX:
            del self._entries[self._next_out()]

    def forget(self, name: str) -> bool:
        """Forget an attachment; return whether it was remembered."""
        return self._entries.pop(name, None) is not None

    def problems(self) -> list[str]:
        """Return which listeners are missed, and what to do."""
        since = self._clock.monotonic() - PROBLEM_SECONDS
        missed = [
            (name, entry)
            for name, entry in self._entries.items()
            if entry.at >= since or entry.last.duty is not Duty.BEST_EFFORT
        ]
        found = [f"listener {name!r} is detached: {entry.reason}; {_remedy(entry)}" for name, entry in missed]
        if (more := len(found) - _PROBLEMS_MAX) > 0:
            found[_PROBLEMS_MAX:] = [f"{more} more listeners are detached; hub.statistics() has their last errors"]
        return found

    def _next_out(self) -> str:
        """The oldest to which no events are owed, or else the oldest."""
        lossy = (name for name, entry in self._entries.items() if entry.last.duty is Duty.BEST_EFFORT)
        return next(lossy, next(iter(self._entries)))


def _remedy(entry: _Entry) -> str:
    if entry.last.duty is Duty.DURABLE:
        return "mend the cause and attach it again under its name, or hub.forget() it"
    return "mend the cause and attach it again"
