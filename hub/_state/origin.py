"""Where something comes from, when that is not this hub and now: what importers and bridges tell with a command."""

from __future__ import annotations

from typing import TypedDict

__all__ = ("Origin",)


class Origin(TypedDict, total=False):
    """The part of an event's context that tells of its source. It stands on every event that the command makes."""

    source: str | None
    """Which system, file or hub."""
    source_id: str | None
    """Its id there."""
    occurred_at: str | None
    """When it happened there: ISO 8601 in UTC."""
