"""What a board is asked with: moments, ids, limits; and the order of what it answers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any

from .._foreign.arguments import Call, is_a, number_of
from ..errors import ConfigurationError
from ._reading import time_of
from ._view import Rows

__all__ = ("Now", "cut", "id_of", "moment")

Now = float | str | dt.datetime | None
"""A moment: seconds since 1970, a text as events have it, or a datetime with a zone. None: that of the newest event."""


def moment(name: str, now: object, newest: str) -> float:
    """Return a moment in seconds since 1970; ``newest`` is when the newest event was."""
    if now is None:
        return time_of(newest) or 0.0
    if is_a(now, dt.datetime):
        found = now.timestamp() if type(now) is dt.datetime and now.tzinfo is not None else None
    elif is_a(now, str):
        found = time_of(str.__str__(now))
    else:
        found = number_of(now)
    if found is None or not 0 <= found <= 1e11:
        wanted = "seconds since 1970, a datetime with a zone, or a time as text"
        raise Call(name, ConfigurationError).refusal("now", now, wanted)
    return found


def id_of(name: str, argument: str, value: object, most: int = 512) -> str:
    call = Call(name, ConfigurationError)
    text = call.text(argument, value, wanted="an id")
    if len(text) > most:
        raise call.refusal(argument, text, f"an id, of at most {most} characters")
    return text


def cut(
    name: str, entries: Iterable[Any], not_shown: int, limit: object, show: Callable[[Any], Any] = lambda each: each
) -> Rows[Any]:
    """Return the first entries as rows, and count the others with what has left."""
    most = Call(name, ConfigurationError).whole("limit", limit, is_optional=True)
    found = list(entries)
    rows = found if most is None else found[:most]
    return Rows(tuple(map(show, rows)), not_shown + len(found) - len(rows))
