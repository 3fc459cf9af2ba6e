"""Actors: objects that handle the envelopes of an agent, and the groups that supervise them."""

from __future__ import annotations

from ._declare import event
from ._event import Event

__all__ = ("ActorCrashed", "ActorStarted", "ActorStopped", "GroupStopped")


@event("actor.started", command="hub.spawn()")
class ActorStarted(Event):
    """An actor began to read the inbox of ``agent_id``, for the ``starts``-th time since it was spawned."""

    name: str
    group: str
    starts: int = 1


@event("actor.crashed", command="hub.spawn()")
class ActorCrashed(Event):
    """An actor raised an exception. It is started again ``backoff_seconds`` later; None: it is not."""

    name: str
    group: str
    error_type: str
    error_message: str
    backoff_seconds: float | None = None


@event("actor.stopped", command="hub.spawn()")
class ActorStopped(Event):
    """An actor is not started again; its inbox keeps its envelopes. ``reason`` says why, for people."""

    name: str
    group: str
    reason: str


@event("group.stopped", command="hub.supervise()")
class GroupStopped(Event):
    """A group of actors crashed more often than it may, and was stopped with all its ``members``."""

    group: str
    reason: str
    members: tuple[str, ...]
