"""The actors of one agent, as they are made: one, or several workers."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any

from .handling import Seat, Services
from .life import Life
from .members import Crew, Keeper, Member
from .rules import Handling, SpawnSettings

__all__ = ("members_of",)


def members_of(
    crew: Crew,
    supervisor: Keeper,
    make: Callable[[], Any],
    settings: SpawnSettings,
    new_life: tuple[Services, Handling],
    context: Context,
) -> list[Member]:
    """Return the actors of an agent, which are not started yet."""
    return [
        Member(
            supervisor=supervisor,
            agent=crew.agent,
            crew=crew,
            make=make,
            restart=settings.restart,
            new_life=partial(_new_life, crew, *new_life),
            context=context,
            worker=number if settings.workers > 1 else None,
        )
        for number in range(1, settings.workers + 1)
    ]


def _new_life(crew: Crew, services: Services, handling: Handling) -> Life:
    place, seat = crew.place, None
    if place is not None and place.held is not None and place.core is not None:
        seat = Seat(place.core, place.held.since_seq)
    return Life(services, crew.agent, crew.inbox, handling, seat)
