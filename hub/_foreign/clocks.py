"""The clock of a hub, which may be a guest: what it answers is checked, and replaced where it cannot be a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import anyio

from ..clock import SystemClock
from ..ports import Clock
from .guards import failure_of, guarded, text_of

__all__ = ("GuardedClock", "guarded_clock")

_NS_MAX = 2**63 - 1
"""A time of day is between the years 1677 and 2262: what 64 bits hold."""

_EARLY = 0.5
"""A sleep that is over after less than this share of its time did not sleep: a clock that never does would spin."""

_PAUSE_SECONDS_MAX = 0.05
"""How long to pause instead: the clock may be right, and the sleep wrong, so the hub looks again soon."""


def guarded_clock(clock: Clock) -> Clock:
    """Return the clock itself if it is the system's, which answers at no extra cost; else a guarded one."""
    return clock if type(clock) is SystemClock else GuardedClock(clock)


class GuardedClock:
    """Passes on what a clock answers.

    Instead of an answer that is no time, and of an exception, it gives the last good answer and what the system's
    monotonic clock has gone on since. ``monotonic()`` never goes back.
    """

    def __init__(self, clock: Clock) -> None:
        self.failures: int = 0
        """How many answers were no times."""
        self.problem: str = ""
        """What the newest bad answer was; empty again after a good one."""
        self.on_failure: Callable[[str], None] = _ignore
        """Called with each problem."""
        self._clock = clock
        now = time.monotonic()
        self._day = (SystemClock().now_ns(), now)
        """The last good time of day, and when that was by the system's monotonic clock."""
        self._elapsed = (now, now)

    def now_ns(self) -> int:
        try:
            ns = self._clock.now_ns()
            if type(ns) is int and -_NS_MAX <= ns <= _NS_MAX:
                self._day = (ns, time.monotonic())
                self.problem = ""
                return ns
        except BaseException as error:  # noqa: BLE001 - a guest may raise any error, and its failure is its own
            self._failed(f"now_ns() raised {text_of(failure_of(error))}")
        else:
            self._failed(f"now_ns() answered {_shown(ns)}, which is no time of day in nanoseconds")
        ns, then = self._day
        return ns + round((time.monotonic() - then) * 1e9)

    def monotonic(self) -> float:
        newest, then = self._elapsed
        try:
            seconds = self._clock.monotonic()
            if type(seconds) in (float, int) and math.isfinite(seconds):
                if seconds < newest and self._has_answered:
                    return newest
                self._has_answered = True
                self._elapsed = (seconds, time.monotonic())
                return seconds
        except BaseException as error:  # noqa: BLE001 - as above
            self._failed(f"monotonic() raised {text_of(failure_of(error))}")
        else:
            self._failed(f"monotonic() answered {_shown(seconds)}, which is no number of seconds")
        return newest + time.monotonic() - then

    _has_answered = False
    """Whether monotonic() has had a good answer: only that says where its seconds begin."""

    async def sleep(self, seconds: float) -> None:
        before, began = self.monotonic(), time.monotonic()
        try:
            await guarded(self._clock.sleep, seconds)
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(f"sleep() raised {text_of(failure_of(error))}")
            await anyio.sleep(max(0.0, seconds - (time.monotonic() - began)))
            return
        slept = max(self.monotonic() - before, time.monotonic() - began)
        if slept < seconds * _EARLY:
            self._failed(f"sleep({seconds:g}) returned after {slept:g} s")
            await anyio.sleep(min(seconds, _PAUSE_SECONDS_MAX))

    def _failed(self, problem: str) -> None:
        self.failures += 1
        self.problem = problem
        self.on_failure(problem)


def _shown(answer: object) -> str:
    """Return what a wrong answer is: its text only where that is ours to make."""
    if type(answer) in (float, bool, str):
        return f"{answer!r}"[:100]
    return "a number of more than 64 bits" if type(answer) is int else f"a value of {type(answer).__name__}"


def _ignore(_: str) -> None:
    """No report is wanted."""
