"""The system's time, as a :class:`~hubwire.ports.Clock`, and the one text form of a moment."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import anyio

__all__ = ("SystemClock", "timestamp")


class SystemClock:
    """The clock of the machine."""

    now_ns: staticmethod[[], int] = staticmethod(time.time_ns)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


_MILLISECOND_NS = 1_000_000
_THREE_DIGITS = [f"{number:03d}Z" for number in range(1000)]

_newest: tuple[int, str] = (-_MILLISECOND_NS, "")
"""The start of the millisecond that was formatted last, and its text: one tuple, so that another thread sees both."""


def timestamp(ns: int) -> str:
    """Return nanoseconds since the epoch as ISO 8601 in UTC with microseconds: ``2026-11-21T09:30:00.000001Z``."""
    # A busy hub calls this many times in a millisecond, and formatting is the expensive part.
    global _newest  # noqa: PLW0603 - a cache of one entry
    start, prefix = _newest
    rest = ns - start
    if not 0 <= rest < _MILLISECOND_NS:
        millisecond, rest = divmod(ns, _MILLISECOND_NS)
        second, millisecond = divmod(millisecond, 1000)
        prefix = f"{datetime.fromtimestamp(second, UTC).isoformat()[:19]}.{millisecond:03d}"
        _newest = (ns - rest, prefix)
    return prefix + _THREE_DIGITS[rest // 1000]
