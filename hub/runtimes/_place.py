"""Where a run begins: the context there, and in the turn of an actor, what the turn answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import attrs

from ..actors import Turn
from ..context import Context, current, scope

__all__ = ("place", "within")

_answered: ContextVar[tuple[str, str] | None] = ContextVar("hubwire.runtimes.answered", default=None)
"""The turn of the hub that this code belongs to, and the event of the envelope that it answers."""


@contextmanager
def within(turn: Turn) -> Iterator[None]:
    """Let what begins inside belong to a turn of the hub, and be caused by its envelope."""
    envelope = turn.envelope
    token = _answered.set((turn.id, envelope.id))
    try:
        with scope(agent=turn.agent, turn=turn, channel=envelope.channel_id, session=envelope.session_id):
            yield
    finally:
        _answered.reset(token)


def place() -> Context:
    """Return the context here. Not only an event of the hub may have caused what begins, but also an envelope."""
    context = current()
    answered = _answered.get()
    if answered is None or context.causation_id is not None or context.turn_id != answered[0]:
        return context
    return attrs.evolve(context, causation_id=answered[1])
