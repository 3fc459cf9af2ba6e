"""Timestamps of records, in whatever form they have, as the moment at which an event occurred."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from .fields import Fields

__all__ = ("moment_of", "take_moment")

_KEYS = ("timestamp", "created_at", "createdAt", "create_time", "created", "occurred_at", "date", "time", "ts")
_NOT_BEFORE, _NOT_AFTER = 315_532_800, 7_258_118_400
"""Seconds from 1980 to 2200: a number outside is a duration or a counter, not a moment."""
_SCALES = (1, 1_000, 1_000_000, 1_000_000_000)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LENGTH_MAX = 64
_DIGITS = re.compile(r"\d{9,19}(\.\d+)?", re.ASCII)
_NANOSECONDS = re.compile(r"(\.\d{6})\d+")


def take_moment(fields: Fields) -> str | None:
    """Return when an object says that it was, in UTC; None if it does not say so.

    A key is taken out only if what is returned is the very text it had; otherwise it is kept, too.
    """
    for key in _KEYS:
        value = fields.left.get(key)
        moment = moment_of(value)
        if moment is not None:
            if moment == value:
                del fields.left[key]
            return moment
    return None


def moment_of(value: Any) -> str | None:
    """Return a moment in UTC as ISO 8601 with microseconds and ``Z``; None if a value is none.

    It is text of ISO 8601 with an offset, or seconds, milli-, micro- or nanoseconds since 1970. A time without an
    offset is not known to be in UTC, and none.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if _DIGITS.fullmatch(value):
            return _of_number(int(value) if value.isdecimal() else float(value))
        return _of_text(value) if 10 < len(value) <= _LENGTH_MAX else None
    return _of_number(value) if isinstance(value, int | float) else None


def _of_text(value: str) -> str | None:
    try:
        moment = datetime.fromisoformat(_NANOSECONDS.sub(r"\1", value))
        return None if moment.utcoffset() is None else _written(moment.astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def _of_number(value: float) -> str | None:
    if not math.isfinite(value):
        return None
    for scale in _SCALES:
        if _NOT_BEFORE <= value / scale <= _NOT_AFTER:
            if isinstance(value, int):
                return _written(_EPOCH + timedelta(microseconds=value * 1_000_000 // scale))
            return _written(_EPOCH + timedelta(microseconds=round(value * (1_000_000 / scale))))
    return None


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
