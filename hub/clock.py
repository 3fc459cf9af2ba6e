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


_newest: tuple[int, str] = (-1, "")
"""The second that was formatted last, and its text: one tuple, so that another thread sees both or neither."""


def timestamp(ns: int) -> str:
    """Return nanoseconds since the epoch as ISO 8601 in UTC with microseconds: ``2026-11-21T09:30:00.000001Z``."""
    # Almost every call falls into the second of the call before it; formatting that second is the dear part.
    global _newest  # noqa: PLW0603 - a cache of one entry
    second, rest = divmod(ns, 1_000_000_000)
    known, prefix = _newest
    if second != known:
        prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        _newest = (second, prefix)
    return f"{prefix}.{rest // 1000:06d}Z"
