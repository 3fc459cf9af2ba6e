"""What an event is linked to: its cause, what it answers, and how many events share its correlation."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from hubwire.query import Selection, count, query

from ._asked import Asked
from ._logs import Place

__all__ = ("linked",)

_BEFORE = timedelta(hours=1)
"""A cause is looked for so long before what it has caused."""
_COUNT_SECONDS = 2.0


async def linked(asked: Asked, place: Place, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the rows of the events that an event is linked to, as far as the log has them."""
    found: dict[str, Any] = {}
    cause = await _by_id(asked, place, fields.get("causation_id"), fields.get("at"))
    if cause is not None:
        row = asked.parts.rows.row_of(await asked.parts.logs.record_shown(cause), contents=asked.contents)
        is_answer = fields.get("kind") == "envelope.posted" and cause.get("kind") == "envelope.posted"
        found["answers" if is_answer else "caused_by"] = row
    correlation = fields.get("correlation_id")
    if isinstance(correlation, str) and correlation:
        selection = Selection.of(correlation=correlation, tenant=asked.tenant)
        try:
            async with asyncio.timeout(_COUNT_SECONDS):
                found["correlation_events"] = (await count(place.store, place.path, selection)).total
        except TimeoutError:  # the log is large, and the number is not worth the wait
            pass
    return found


async def _by_id(asked: Asked, place: Place, event_id: Any, at: Any) -> dict[str, Any] | None:
    """Return the event of an id that was committed in the hour before ``at``."""
    if not isinstance(event_id, str) or not event_id or not isinstance(at, str):
        return None
    try:
        until = datetime.fromisoformat(at)
        selection = Selection.of(
            where={"id": event_id}, tenant=asked.tenant, since=until - _BEFORE, until=until + timedelta(seconds=1)
        )
    except (ValueError, OverflowError):
        return None
    async for each in query(place.store, place.path, selection, limit=1, newest_first=True):
        return each.fields
    return None
