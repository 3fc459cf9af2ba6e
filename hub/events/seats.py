"""Seats: on which node the actor of an agent runs, where several nodes run the agents of one hub."""

from __future__ import annotations

from ._declare import event
from ._event import Event

__all__ = ("ActorQueued", "ActorSeated", "ActorUnseated", "ActorWithdrawn")


@event("actor.seated", command="hub.spawn()")
class ActorSeated(Event):
    """The actor of ``agent_id`` runs on ``node`` from now on, and on no other; ``seat`` only grows, from 1 on.

    ``epoch`` is that of the journal when it was decided: both together are ``turn.fence``.
    """

    node: str
    seat: int
    epoch: int = 0


@event("actor.unseated", command="hub.spawn()")
class ActorUnseated(Event):
    """The actor of ``agent_id`` runs on ``node`` no more; what it does by ``seat`` is refused from now on."""

    node: str
    seat: int
    reason: str = ""


@event("actor.queued", command="hub.spawn()")
class ActorQueued(Event):
    """``node`` waits for the seat of ``agent_id``, which another node has: it is the last one in line."""

    node: str


@event("actor.withdrawn", command="hub.spawn()")
class ActorWithdrawn(Event):
    """``node`` does not wait for the seat of ``agent_id`` any more."""

    node: str
    reason: str = ""
