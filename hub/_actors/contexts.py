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

from .._commands.violations import HandlerCall
from .._commit.held import HeldCall
from ..context import leave_all
from .calls import ActorCall, LifeCall

__all__ = ("Around",)


class Around:
    """The calls that code runs inside when this is made: of actors, of listeners, of handlers of violations."""

    def __init__(self) -> None:
        self._actor = ActorCall.innermost.get()
        self._listener = HeldCall.innermost.get()
        self._handler = HandlerCall.innermost.get()

    def context(self) -> Context:
        """Return a copy of the present context that is inside these calls, and in no scope."""
        context = copy_context()
        context.run(self._enter)
        return context

    def _enter(self) -> None:
        leave_all()
        ActorCall.innermost.set(self._actor)
        HeldCall.innermost.set(self._listener)
        HandlerCall.innermost.set(self._handler)

    @contextmanager
    def waiting_for(self, life: LifeCall) -> Iterator[None]:
        """Let a life be inside these calls, too, while they wait for its start."""
        outer, life.outer = life.outer, self._actor
        listener, handler = HeldCall.innermost.set(self._listener), HandlerCall.innermost.set(self._handler)
        try:
            yield
        finally:
            HeldCall.innermost.reset(listener)
            HandlerCall.innermost.reset(handler)
            life.outer = outer
