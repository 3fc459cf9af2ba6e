"""Pauses that grow after failures, and limits on how many failures may come together."""

from __future__ import annotations

import random
from collections import deque

import attrs

from .._foreign.arguments import Call, number_of
from .._values import Value
from ..errors import ConfigurationError

__all__ = ("Backoff", "FailureWindow")


_BACKOFF = Call("Backoff()", ConfigurationError)

_set = object.__setattr__
"""Of a frozen value, in its own ``__attrs_post_init__``: the number as the hub goes on with it."""


@attrs.frozen(eq=False, repr=False)
class Backoff(Value):
    """Pauses after failures in a row: ``seconds`` after the first, and each next one ``factor`` times as long.

    With a ``jitter`` of 0.25, each is shorter by a random quarter at most, and with 1.0 of any length up to the whole
    (full jitter): what failed together does not come back together then.
    """

    seconds: float = 1.0
    """The first pause."""
    seconds_max: float = 300.0
    """No pause is longer than this."""
    factor: float = 2.0
    jitter: float = 0.0
    """The share of each pause that is random, from 0 to 1."""

    def __attrs_post_init__(self) -> None:
        for name in ("seconds", "seconds_max"):
            _set(self, name, _BACKOFF.seconds(name, getattr(self, name), is_zero_ok=True))
        for name, least, most in (("factor", 1.0, 1000.0), ("jitter", 0.0, 1.0)):
            number = number_of(getattr(self, name))
            if number is None or not least <= number <= most:
                raise _BACKOFF.refusal(name, getattr(self, name), f"a number from {least:g} to {most:g}")
            _set(self, name, number)

    def limit_seconds(self, failures: int) -> float:
        """Return the longest pause after so many failures in a row; ``failures`` counts from 1."""
        steps = min(failures - 1, 100)  # 1000.0 ** 103 overflows
        return min(self.seconds_max, self.seconds * self.factor**steps)

    def pause_seconds(self, failures: int) -> float:
        """Return the pause after so many failures in a row; ``failures`` counts from 1."""
        limit = self.limit_seconds(failures)
        if not self.jitter:
            return limit
        spread = limit * self.jitter
        return limit - spread + random.uniform(0.0, spread)  # noqa: S311 - jitter, not a secret


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
