"""Clocks of other programs: AG2's is a function that returns text, others return a datetime or seconds."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from hubwire.clock import SystemClock, timestamp
from hubwire.errors import ConfigurationError
from hubwire.ports import Clock

__all__ = ("ClockFunction", "SteadyClock", "clock_of", "now")

ClockFunction = Callable[[], str | datetime | float]
"""Returns the time as ISO 8601, as a datetime, or in seconds since 1970. Without a time zone it is UTC."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def clock_of(clock: Clock | ClockFunction | None) -> Clock:
    """Return a clock that any of these stands for; the machine's for None."""
    if clock is None:
        return SystemClock()
    if isinstance(clock, type):
        raise ConfigurationError(f"{clock.__qualname__} is a class; a clock is an instance of it")
    if callable(getattr(clock, "now_ns", None)):
        return cast("Clock", clock)
    if callable(clock):
        return _FunctionClock(clock)
    raise ConfigurationError(
        f"a clock has now_ns(), or is a function that returns text, a datetime or seconds; {clock!r:.80} does neither"
    )


def now(clock: Clock) -> str:
    """Return the time of the clock as text. Raises :class:`~hubwire.errors.ConfigurationError` if it has none."""
    try:
        return timestamp(clock.now_ns())
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"the clock {clock!r:.80} has no time that can be written ({error!r:.200}); let now_ns() return nanoseconds"
            " since 1970"
        ) from error


class SteadyClock(SystemClock):
    """Takes the time of another clock, and that of the machine where the other fails.

    For records of the log itself: a clock that fails is the error of one append, and must not be that of the log.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now_ns(self) -> int:
        try:
            ns = self._clock.now_ns()
            timestamp(ns)
        except Exception:  # noqa: BLE001 - an append that needs the clock raises it
            return SystemClock().now_ns()
        return ns


class _FunctionClock(SystemClock):
    """Takes the time of day from a function."""

    def __init__(self, function: ClockFunction) -> None:
        self._function = function

    def now_ns(self) -> int:
        answer = self._function()
        try:
            return _nanoseconds(answer)
        except (TypeError, ValueError, OverflowError) as error:
            raise ConfigurationError(
                f"the clock {self._function!r:.80} returned {answer!r:.80}, which is no time ({error}); let it return"
                " ISO 8601 text, a datetime, or seconds since 1970"
            ) from error


def _nanoseconds(answer: Any) -> int:
    if isinstance(answer, str):
        answer = datetime.fromisoformat(answer)
    if isinstance(answer, datetime):
        aware = answer.replace(tzinfo=UTC) if answer.tzinfo is None else answer
        return (aware - _EPOCH) // timedelta(microseconds=1) * 1000
    if isinstance(answer, bool) or not isinstance(answer, (int, float)) or not math.isfinite(answer):
        raise TypeError(f"it is {type(answer).__name__}")
    moment = _EPOCH + timedelta(seconds=answer)  # what no calendar has is refused here
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
