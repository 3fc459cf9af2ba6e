"""Pauses that grow after failures, and limits on how many failures may come together."""

from __future__ import annotations

import random
from collections import deque

import attrs

__all__ = ("Backoff", "FailureWindow")


@attrs.frozen
class Backoff:
    """Pauses of random length, up to a limit that doubles with each failure (full jitter).

    The pause is random so that guests that failed together do not come back together.
    """

    seconds: float
    """The limit of the first pause."""
    seconds_max: float
    """The limit never grows beyond this."""

    def limit_seconds(self, failures: int) -> float:
        """Return the longest pause after so many failures in a row; ``failures`` counts from 1."""
        doublings = min(failures - 1, 1000)  # 2.0 ** 1024 overflows
        return min(self.seconds_max, self.seconds * 2.0**doublings)

    def pause_seconds(self, failures: int) -> float:
        """Return a random pause after so many failures in a row; ``failures`` counts from 1."""
        return random.uniform(0.0, self.limit_seconds(failures))  # noqa: S311 - jitter, not a secret


class FailureWindow:
    """Counts failures in a sliding window: more than ``failures_max`` within ``within_seconds`` are too many.

    A failure exactly ``within_seconds`` old still counts, as in the supervisors of Erlang/OTP.
    """

    def __init__(self, failures_max: int, within_seconds: float) -> None:
        self.failures_max = failures_max
        self.within_seconds = within_seconds
        self._times: deque[float] = deque()

    def add(self, now: float) -> int | None:
        """Add a failure at ``now`` (monotonic seconds); return how many are in the window, None if too many."""
        times = self._times
        times.append(now)
        while times[0] < now - self.within_seconds:
            times.popleft()
        return len(times) if len(times) <= self.failures_max else None
