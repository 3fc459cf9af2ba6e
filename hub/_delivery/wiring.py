"""What an attachment is put together from, as its settings say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .adapted import Adapted
from .duties import DutyRules, Tools
from .forms import Surroundings
from .giving_up import LettersOf
from .host import Host
from .life import Life
from .reading import Reading
from .reports import Reports
from .settings import Settings

__all__ = ("reading_of", "surroundings_of")


def surroundings_of(
    settings: Settings, reports: Reports, letters: LettersOf, host: Host[Any], held: object | None
) -> Surroundings:
    """Return what the listener's form works with; ``held``: what calls of the listener hold up besides it."""
    return Surroundings(
        duty=settings.duty,
        timeout=settings.timeout,
        is_once=settings.once,
        reports=reports,
        letters=letters,
        announcements=host.announcements,
        pipeline=host.pipeline,
        clock=host.clock,
        held=held,
    )


def reading_of(
    listener: Adapted,
    settings: Settings,
    rules: DutyRules,
    tools: Tools,
    life: Life,
    caught_up: Callable[[], None],
) -> Reading:
    """Return what reads for the listener: one call after the other, or several side by side."""
    if settings.concurrency == 1:
        return Reading(settings, rules, tools, life, caught_up)
    from .side_by_side import SideBySide  # noqa: PLC0415 - few programs ask for it

    return SideBySide(listener, settings, rules, tools, life, caught_up)
