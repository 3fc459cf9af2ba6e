"""The source that a command names for its events: ``**origin``, checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from .._foreign.arguments import Call, nearest, shown
from .._state.origin import Origin

__all__ = ("origin_of",)

_KEYS = ("source", "source_id", "occurred_at")
_LENGTH_MAX = 64
"""Of a moment as text: no form of ISO 8601 is longer."""


def origin_of(call: Call, given: Mapping[str, Any], method: Callable[..., Any]) -> Origin:
    """Return what a command's further keywords say of its source; refuse all others than those of :class:`Origin`.

    ``method`` is the command: an unknown keyword may be one of its own, misspelled.
    """
    if not given:
        return {}
    if unknown := [key for key in given if key not in _KEYS]:
        own = [name for name in inspect.signature(method).parameters if name not in ("self", "origin")]
        meant = nearest(unknown[0], (*own, *_KEYS))
        raise call.error(
            f"{call.name} takes no {shown(unknown[0])}; besides its own arguments it takes {', '.join(_KEYS)}"
            f"{'; ' if meant else ''}{meant}"
        )
    origin: Origin = {}
    if "source" in given:
        origin["source"] = call.text("source", given["source"], is_optional=True)
    if "source_id" in given:
        origin["source_id"] = call.text("source_id", given["source_id"], is_optional=True)
    if "occurred_at" in given:
        origin["occurred_at"] = _moment(call, given["occurred_at"])
    return origin


def _moment(call: Call, value: object) -> str | None:
    wanted = "a moment as text of ISO 8601 in UTC, as '2030-01-31T12:00:00Z'"
    text = call.text("occurred_at", value, is_optional=True, wanted=wanted)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text) if len(text) <= _LENGTH_MAX else None
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        raise call.refusal("occurred_at", text, wanted, "without an offset it is not known when that was")
    if moment.utcoffset() != timedelta(0):
        try:
            in_utc = moment.astimezone(UTC).isoformat()
        except OverflowError:
            in_utc = "that moment in UTC"
        raise call.refusal("occurred_at", text, wanted, f"write {shown(in_utc)}")
    return text
