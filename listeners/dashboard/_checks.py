"""Checks of what there is: verify, health, readiness, and the numbers of the hub."""

from __future__ import annotations

from ._asked import Endpoint

__all__ = ("endpoints",)


def endpoints() -> tuple[Endpoint, ...]:
    """Return the places of the interface that check."""
    return ()
