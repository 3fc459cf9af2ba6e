"""Calls of actors: which hubs' actors, and which of their turns, code runs in.

The calls of several hubs nest: in a turn of hub A, an actor may run hub B. What runs in B's actors is inside A's turn,
too; what A's actor does with B in other ways is in no turn of B.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import ClassVar

import anyio

from .._commit.held import NestedCall
from ..events import EnvelopePosted

__all__ = ("ActorCall", "LifeCall", "TurnCall", "turn_of")


class ActorCall(NestedCall):
    """A call of an actor's code. The hub, known by its :class:`Core`, waits for it when it is closed."""

    __slots__ = ()
    innermost: ClassVar[ContextVar[NestedCall | None]] = ContextVar("hubwire.actor_call", default=None)


class LifeCall(ActorCall):
    """One life of an actor, from ``on_start`` to ``on_stop``, with all tasks that its code starts."""

    __slots__ = ()


class TurnCall(ActorCall):
    """A turn under way: the agent that it belongs to, and the envelope that it handles."""

    __slots__ = ("agent_id", "envelope", "is_withdrawn", "scope")

    def __init__(self, hub: object, agent_id: str, envelope: EnvelopePosted, scope: anyio.CancelScope) -> None:
        super().__init__(hub)
        self.agent_id: str = agent_id
        self.envelope: EnvelopePosted = envelope
        self.scope: anyio.CancelScope = scope
        self.is_withdrawn: bool = False
        """Whether no task waits for its answer any more."""


def turn_of(hub: object) -> TurnCall | None:
    """Return the turn of this hub in which code runs; None if it runs in none."""
    call = ActorCall.innermost.get()
    while call is not None:
        if call.held is hub and isinstance(call, TurnCall):
            return call
        call = call.outer
    return None
