"""The system's time, as a :class:`~hubwire.ports.Clock`, the one text form of a moment, and ids that sort by time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio
from uuid_utils import UUID, uuid7

__all__ = ("SystemClock", "timestamp", "uuid_of_now")


class SystemClock:
    """The clock of the machine."""

    if TYPE_CHECKING:

        def now_ns(self) -> int: ...

        def monotonic(self) -> float: ...

    else:  # without a call in between: every event is stamped with it
        now_ns = staticmethod(time.time_ns)
        monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


_MILLISECOND_NS = 1_000_000
_THREE_DIGITS = [f"{number:03d}Z" for number in range(1000)]

_newest: tuple[int, str] = (-_MILLISECOND_NS, "")
"""The start of the millisecond that was formatted last, and its text: one tuple, so that another thread sees both."""

_newest_second: tuple[int, str] = (-1, "")
"""The second that was formatted last, since the epoch, and its text."""


_is_before_1970 = False
"""Whether the system's clock was seen at a time that UUIDs of version 7 do not have."""


def uuid_of_now() -> UUID:
    """Return a new UUID of version 7, by the system's clock; before 1970, where it has no time, of 1970."""
    global _is_before_1970  # noqa: PLW0603 - it is the clock of the process
    if not _is_before_1970:
        try:
            return uuid7()
        except BaseException as error:
            # Native code panics by a class that is no Exception, and writes a trace to stderr: once is enough.
            if type(error).__name__ != "PanicException":
                raise
            _is_before_1970 = True
    return _uuid_at(max(time.time_ns(), 0))


def _uuid_at(ns: int) -> UUID:
    make: Any = uuid7  # it took other arguments before its version 1
    try:
        made: UUID = make(nanoseconds=ns)
    except TypeError:
        seconds, rest = divmod(ns, 1_000_000_000)
        made = make(seconds, rest)
    return made


def timestamp(ns: int) -> str:
    """Return nanoseconds since the epoch as ISO 8601 in UTC with microseconds: ``2026-11-21T09:30:00.000001Z``."""
    # A busy hub calls this many times in a millisecond, and formatting is the expensive part.
    global _newest, _newest_second  # noqa: PLW0603 - caches of one entry
    start, prefix = _newest
    rest = ns - start
    if not 0 <= rest < _MILLISECOND_NS:
        millisecond, rest = divmod(ns, _MILLISECOND_NS)
        second, millisecond = divmod(millisecond, 1000)
        known, text = _newest_second
        if second != known:
            text = datetime.fromtimestamp(second, UTC).isoformat()[:19]
            _newest_second = (second, text)
        prefix = f"{text}.{millisecond:03d}"
        _newest = (ns - rest, prefix)
    return prefix + _THREE_DIGITS[rest // 1000]
