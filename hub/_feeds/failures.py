"""What one feed fails at: counted, reported less and less often, and followed by growing pauses."""

from __future__ import annotations

from .._commit.backoff import Backoff
from .._delivery.announcements import Announcements
from .._foreign.guards import text_of
from ..events import Event, HubGuestFailed
from ..own_log import OwnLog
from ..ports import Clock
from .states import FeedState

__all__ = ("Failures",)

_log = OwnLog("hub")

_BACKOFF = Backoff(seconds=1.0, seconds_max=60.0)

WELL_SECONDS = 60.0
"""How long a feed has to run by the hub's clock until the failures before count as another row."""


class Failures:
    """Counts the failures of one feed, and reports them."""

    def __init__(self, name: str, clock: Clock, announcements: Announcements) -> None:
        self.total: int = 0
        self.last_error: str | None = None
        self._name = name
        self._clock = clock
        self._announcements = announcements
        self._in_a_row = 0
        self._unreported = 0
        self._begun = 0.0
        """When its ``run`` was called the last time."""

    def begin(self) -> None:
        """The feed is called now."""
        self._begun = self._clock.monotonic()

    def add(self, error: Exception) -> float:
        """Count a failure, and report it if it is one of the first in a row; return how long the pause after it is."""
        if self._running_seconds() >= WELL_SECONDS:
            self._in_a_row = 0
        self.total += 1
        self._in_a_row += 1
        self._unreported += 1
        self.last_error = reason = text_of(error)
        _log.problem("a feed has failed", error, feed=self._name)
        if self._in_a_row & (self._in_a_row - 1) == 0:  # the 1st, 2nd, 4th, 8th …

            def make(_: int) -> Event:
                count, self._unreported = self._unreported, 0
                return HubGuestFailed(guest=f"feed {self._name}", reason=reason, count=count)

            self._announcements.count(("feed", self._name), make)
        return _BACKOFF.pause_seconds(self._in_a_row)

    def problem(self, state: FeedState) -> str | None:
        """Return that the feed fails now; one that runs again for as long as it has paused does not."""
        if not self._in_a_row:
            return None
        pause = _BACKOFF.pause_seconds(self._in_a_row)
        if state is FeedState.PAUSING:
            then = f"it is called again {pause:g} s after that; mend the cause, or remove it"
        elif state is FeedState.RUNNING and self._running_seconds() < pause:
            then = "it was called again, and has not run for long"
        else:
            return None
        times = "" if self._in_a_row == 1 else f" {self._in_a_row} times in a row"
        return f"it has failed{times}: {self.last_error}; {then}"

    def _running_seconds(self) -> float:
        return self._clock.monotonic() - self._begun
