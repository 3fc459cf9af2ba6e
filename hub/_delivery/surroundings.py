"""What the form of a listener works with, once it is attached."""

from __future__ import annotations

from typing import Any

from .forms import Surroundings
from .host import Host
from .reports import Reports
from .settings import Settings

__all__ = ("surroundings_of",)


def surroundings_of(settings: Settings, reports: Reports, host: Host[Any], held: object | None) -> Surroundings:
    """Return what it works with; ``held``: what calls of the listener hold up besides the listener."""
    return Surroundings(
        duty=settings.duty,
        timeout=settings.timeout,
        is_once=settings.once,
        reports=reports,
        announcements=host.announcements,
        pipeline=host.pipeline,
        clock=host.clock,
        held=held,
    )
