"""In which context the code of actors runs: whose context variables it sees, and which calls it is inside.

An actor outlives the turn, the listener and the scope that it is spawned in, so it is outside of them. Its start is
inside: what spawns an actor waits for ``on_start``, which therefore must not wait for that.

Context variables of the program are another matter. An actor keeps those of its spawn, in all its lives, as a task of
asyncio keeps those of ``create_task()``: loggers and tracers expect that, and it is the program that has set them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context

from .._commit.held import Around as AllAround
from ..context import leave_all
from .calls import ActorCall, LifeCall

__all__ = ("Around",)


class Around(AllAround):
    """The calls that code runs inside when this is made, for actors that are started in it."""

    __slots__ = ("_actor",)

    def __init__(self) -> None:
        super().__init__()
        self._actor = ActorCall.innermost.get()

    def context(self) -> Context:
        """Return a copy of the present context that is inside these calls, and in no scope."""
        context = copy_context()
        context.run(self._enter)
        return context

    def _enter(self) -> None:
        leave_all()
        self.enter()

    @contextmanager
    def waiting_for(self, life: LifeCall) -> Iterator[None]:
        """Let a life be inside these calls, too, while they wait for its start."""
        outer, life.outer = life.outer, self._actor
        try:
            with self.entered(but=ActorCall):
                yield
        finally:
            life.outer = outer
