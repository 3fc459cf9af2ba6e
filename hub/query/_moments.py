"""Moments: what a reader gives as a time, and what the records of many writers have as theirs, as instants."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, TypeGuard

from .._foreign.arguments import Call, is_a, number_of

__all__ = (
    "FIRST_INSTANT",
    "LAST_INSTANT",
    "instant_of",
    "instant_text",
    "is_as_hubs_write",
    "moment",
    "period",
    "zone_of",
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

FIRST_INSTANT: int = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
LAST_INSTANT: int = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
"""The calendar of Python has the years 1 to 9999, in UTC."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"(?:\d{1,9}[smhdw])+")
_PART = re.compile(r"(\d{1,9})([smhdw])")
_ZONE_NAME = re.compile(r"(?P<rest>.+?)\s+(?P<zone>[A-Za-z][A-Za-z0-9_+/-]*)")
_DAYS = {"today": 0, "yesterday": -1, "tomorrow": 1}
_CHARS_MAX = 100
_FORMS = "a time: 2026-11-21, 2026-11-21T10:00:00Z, -10m, -1h30m, today, yesterday, or a datetime with a zone"


def instant_of(at: Any) -> int | None:
    """Return the time of a record in microseconds since 1970; None if it has none that a calendar has.

    ISO 8601 text, or a number of seconds since 1970. Without a zone it is UTC.
    """
    try:
        if type(at) is str:
            moment = datetime.fromisoformat(at)
            instant = ((moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment) - _EPOCH) // _MICROSECOND
        elif type(at) in (int, float) and math.isfinite(at):
            instant = timedelta(seconds=at) // _MICROSECOND
        else:
            return None
    except (ValueError, OverflowError):
        return None
    return instant if FIRST_INSTANT <= instant <= LAST_INSTANT else None


def is_as_hubs_write(at: Any) -> TypeGuard[str]:
    """Tell whether the time of a record is as hubs write it: the order of such texts is that of their instants.

    Of the same length are ``2026-11-21 10:00:00.000000Z`` and ``2026-W47-6T10:00:00.000000Z``, which is in no order.
    """
    return type(at) is str and len(at) == 27 and at[26] == "Z" and at[19] == "." and at[10] == "T" and at[7] == "-"


def instant_text(instant: int) -> str:
    """Return an instant as hubs write it: ``2026-11-21T10:00:00.000000Z``."""
    moment = _EPOCH + timedelta(microseconds=instant)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}Z".rjust(27, "0")


def zone_of(call: Call, value: Any) -> tzinfo:
    """Return the zone that a name stands for, UTC for None; a ``tzinfo`` is one already."""
    if value is None:
        return UTC
    if is_a(value, tzinfo):
        zone: tzinfo = value
        return zone
    wanted = "a time zone: UTC, Europe/Berlin"
    name = call.text("zone", value, wanted=wanted, is_empty_ok=False)
    if name.upper() in ("UTC", "Z"):
        return UTC
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - most readers name no zone, and all would pay for it

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError) as error:
        raise call.refusal("zone", name[:_CHARS_MAX], wanted, "no such zone is known on this machine") from error


def moment(call: Call, argument: str, value: Any, *, now: int, zone: tzinfo) -> int:
    """Return the instant, in microseconds since 1970, that a caller has given; ``now`` is the present one.

    Text without a zone is a time in ``zone``. A ``datetime`` has to have one.
    """
    if is_a(value, datetime):
        try:
            return _in_calendar(int((value - _EPOCH) // _MICROSECOND))
        except Exception as error:  # a subclass or its zone may raise what it likes
            advice = "write .astimezone(), or .replace(tzinfo=UTC)"
            raise call.refusal(argument, value, "a datetime with a zone", advice) from error
    if is_a(value, str):
        text = call.text(argument, value, wanted=_FORMS, is_empty_ok=False).strip()
        try:
            return _in_calendar(_of_text(call, argument, text, now, zone))
        except (ValueError, OverflowError) as error:
            advice = f"write -{text}" if len(text) < _CHARS_MAX and _SPAN.fullmatch(text.lower()) else ""
            raise call.refusal(argument, text[:_CHARS_MAX], _FORMS, advice) from error
    raise call.refusal(argument, value, _FORMS)


def _in_calendar(instant: int) -> int:
    """Return an instant, or the first or last that there is: before it and behind it is no record."""
    return max(FIRST_INSTANT, min(instant, LAST_INSTANT))


def _of_text(call: Call, argument: str, text: str, now: int, zone: tzinfo) -> int:
    if len(text) > _CHARS_MAX:
        raise ValueError("it is too long")
    word = text.lower()
    if word == "now":
        return now
    if word[:1] == "-" and _SPAN.fullmatch(word[1:]):
        return now - _span(word[1:])
    if word in _DAYS:
        today = (_EPOCH + timedelta(microseconds=now)).astimezone(zone).replace(hour=0, minute=0, second=0)
        day = today.replace(microsecond=0, tzinfo=None) + timedelta(days=_DAYS[word])
        return (day.replace(tzinfo=zone) - _EPOCH) // _MICROSECOND
    if (named := _ZONE_NAME.fullmatch(text)) is not None:
        _of_text(call, argument, named["rest"], now, UTC)  # of "10 minutes ago", the zone is not what is wrong
        return _of_text(call, argument, named["rest"], now, zone_of(call, named["zone"]))
    moment = datetime.fromisoformat(text.upper().replace(" ", "T", 1) if text[10:11] == " " else text.upper())
    return ((moment.replace(tzinfo=zone) if moment.tzinfo is None else moment) - _EPOCH) // _MICROSECOND


def period(call: Call, argument: str, value: Any) -> int:
    """Return a period in microseconds: a number of seconds, a ``timedelta``, or text such as ``1h`` or ``15m``."""
    wanted = "a period: 1h, 15m, 1d, or a number of seconds"
    if is_a(value, timedelta):
        span = int(value // _MICROSECOND)
    elif is_a(value, str):
        text = call.text(argument, value, wanted=wanted).strip().lower()
        span = _span(text) if _SPAN.fullmatch(text) else 0
    else:
        number = number_of(value)
        span = int(number * 1e6) if number is not None and 0 < number < 1e12 else 0
    if span <= 0:
        raise call.refusal(argument, value, wanted)
    return span


def _span(text: str) -> int:
    return sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text)) * 1_000_000
