"""History: events of the log by the filters of queries, their histogram, facets and export."""

from __future__ import annotations

from ._asked import Endpoint

__all__ = ("endpoints",)


def endpoints() -> tuple[Endpoint, ...]:
    """Return the places of the interface that this file answers."""
    return ()
