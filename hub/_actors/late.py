"""Actors late: what they need is imported, and made, with the first one. Many hubs have none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from anyio.abc import TaskGroup

from .._commands.core import Core
from .._late import Late
from .calls import ActorCall
from .contexts import Around
from .rules import ActorStatistics

if TYPE_CHECKING:
    from .registry import Actors
    from .seating import Seating

__all__ = ("LateActors",)


class LateActors(Late["Actors"]):
    """The actors of a hub, from before there are any."""

    def __init__(self, core: Core, make: Callable[[], Actors]) -> None:
        super().__init__(lambda: self._started(make()))
        self._core = core
        self._tasks: TaskGroup | None = None
        """Where actors run; None while the hub takes none."""
        self._first_seq = 0
        self._around = Around()
        self._seating: Seating | None = None
        core.at_end(self._end)

    def seat_by(self, seating: Seating) -> None:
        """Run actors while this node has the seats of their agents: before the first one is spawned."""
        self._seating = seating

    def start(self, tasks: TaskGroup) -> None:
        """Take actors from now on, and run them in this group of tasks."""
        self._tasks, self._first_seq = tasks, self._core.next_seq
        self._around = Around()  # of the hub itself, which may be run in a turn of another hub

    def _started(self, actors: Actors) -> Actors:
        if self._seating is not None:
            actors.seat_by(self._seating)
        if self._tasks is not None:
            actors.start(self._tasks, self._first_seq, self._around)
        return actors

    async def stop(self, until: float, at_last: float) -> None:
        """Take no more actors, and stop those there are: see :meth:`.registry.Actors.stop`."""
        self._tasks = None
        if self._part is not None:
            await self._part.stop(until, at_last)

    def is_calling(self) -> bool:
        """Tell whether the code that runs is called by an actor of this hub, or runs in a task that one has started."""
        return ActorCall.is_inside(self._core)

    def statistics(self) -> tuple[ActorStatistics, ...]:
        return () if self._part is None else self._part.statistics()

    def problems(self) -> list[str]:
        return [] if self._part is None else self._part.problems()

    def _end(self) -> None:
        self._tasks = None
