"""The pulse of a hub: a timer of the event loop that shows whether the loop runs, and whether commits go on."""

from __future__ import annotations

import asyncio
from time import monotonic

from ..clock import SystemClock, timestamp
from ..own_log import OwnLog
from .lookout import LoopWatch, Stall
from .ring import Ring

__all__ = ("LAG_SECONDS", "STALL_SECONDS", "Pulse")

PERIOD_SECONDS = 1.0

STALL_SECONDS = 3.0
"""An event that waits so long for its commit is a problem: the disk hangs, or a required listener does."""

LAG_SECONDS = 1.0
"""A loop that stood still for so long is a problem: some code blocks it."""

_log = OwnLog("hub")


class Pulse:
    """Looks once a second. What it measures is real time: no clock of the hub's may say how long a disk hangs."""

    def __init__(self, ring: Ring) -> None:
        self.lag_seconds_max: float = 0.0
        self.newest: Stall = Stall(0.0)
        """How much later than it should the newest beat came."""
        self.last_stall: Stall | None = None
        """The newest that was a problem."""
        self._watch: LoopWatch | None = None
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._seen = (-1, 0.0)
        """The watermark of commits, and when it was first seen there with an event waiting."""

    def start(self) -> None:
        self._look()
        self._watch = LoopWatch()
        self._beat_later()
        self._watch.start()

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._watch is not None:
            self._watch.stop()

    @property
    def lag_seconds(self) -> float:
        return self.newest.seconds

    def standstill(self) -> Stall:
        """Return how late the newest beat came, and why; in another thread than the loop's, the one that is due now."""
        watch = self._watch
        if self._handle is not None and watch is not None and watch.is_elsewhere:
            late = monotonic() - self._due
            if late >= LAG_SECONDS:
                return Stall(late, watch.seen())
        return self.newest

    def stalled_seconds(self) -> float:
        """Return for how long the oldest uncommitted event has waited, a beat less perhaps; 0 if there is none."""
        committed, since = self._seen
        if not self._ring.in_flight or self._ring.committed.value != committed:
            return 0.0
        return monotonic() - since

    def _beat_later(self) -> None:
        self._due = monotonic() + PERIOD_SECONDS
        if self._watch is not None:
            self._watch.expect(self._due, LAG_SECONDS)
        self._handle = asyncio.get_running_loop().call_later(PERIOD_SECONDS, self._beat)

    def _beat(self) -> None:
        seconds = max(0.0, monotonic() - self._due)
        self.lag_seconds_max = max(self.lag_seconds_max, seconds)
        if seconds < LAG_SECONDS:
            self.newest = Stall(seconds)
        else:
            culprit = None if self._watch is None else self._watch.seen()
            self.newest = self.last_stall = Stall(seconds, culprit, timestamp(SystemClock().now_ns()))
            _log.problem("the event loop stood still", seconds=round(seconds, 1), where=self.newest.reason)
        self._look()
        self._beat_later()

    def _look(self) -> None:
        committed = self._ring.committed.value
        if not self._ring.in_flight or committed != self._seen[0]:
            self._seen = (committed, monotonic())
