"""Actions: what a person decides, of approvals and dead letters, recorded before it is done."""

from __future__ import annotations

from ._asked import Endpoint

__all__ = ("endpoints",)


def endpoints() -> tuple[Endpoint, ...]:
    """Return the places of the interface that this file answers."""
    return ()
