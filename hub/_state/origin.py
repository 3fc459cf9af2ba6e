"""The source of what importers and bridges record by commands: it did not happen in this hub, or not now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

__all__ = ("Origin",)


class Origin(TypedDict, total=False):
    """The part of an event's context that names its source. It is on every event that the command leads to."""

    source: str | None
    """Which system, file or hub."""
    source_id: str | None
    """Its id there."""
    occurred_at: str | None
    """When it happened there: ISO 8601 in UTC."""
    metadata: Mapping[str, Any]
    """Where its contents come from; commands take that by an argument of its own."""
