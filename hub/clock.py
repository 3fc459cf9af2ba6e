"""The system's time, as a :class:`~hubwire.ports.Clock`, and the one spelling of a moment."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import anyio

__all__ = ("SystemClock", "timestamp")


class SystemClock:
    """The clock of the machine."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


_second = -1
_prefix = ""


def timestamp(ns: int) -> str:
    """Return nanoseconds since the epoch as ISO 8601 in UTC with microseconds: ``2026-11-21T09:30:00.000001Z``."""
    # Almost every call falls into the second of the call before it; formatting that second is the dear part.
    global _second, _prefix  # noqa: PLW0603 - a cache of one entry, read and written by one thread's run to completion
    second, rest = divmod(ns, 1_000_000_000)
    if second != _second:
        prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        _second, _prefix = second, prefix
        return f"{prefix}.{rest // 1000:06d}Z"
    return f"{_prefix}.{rest // 1000:06d}Z"
