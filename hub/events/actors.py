"""Actors: objects that handle the envelopes of an agent, and the groups that supervise them."""

from __future__ import annotations

from typing import Any

from ._declare import event
from ._event import Event

__all__ = ("ActorCrashed", "ActorStarted", "ActorStateSet", "ActorStopped", "GroupCrashed", "GroupStopped")


@event("actor.started", command="hub.spawn()")
class ActorStarted(Event):
    """An actor began to read the inbox of ``agent_id``, for the ``starts``-th time since it was spawned.

    ``worker`` is its number if the agent has several.
    """

    name: str
    group: str
    starts: int = 1
    worker: int | None = None


@event("actor.crashed", command="hub.spawn()")
class ActorCrashed(Event):
    """An actor raised an exception. It is started again ``backoff_seconds`` later; None: it is not."""

    name: str
    group: str
    error_type: str
    error_message: str
    backoff_seconds: float | None = None
    worker: int | None = None


@event("actor.state_set", command="turn.state")
class ActorStateSet(Event):
    """The actor of ``agent_id`` keeps another ``state``, since it has handled ``envelope_id``; None: it keeps none.

    ``size_bytes`` is its length as JSON.
    """

    envelope_id: str
    state: Any
    size_bytes: int = 0


@event("actor.stopped", command="hub.spawn()")
class ActorStopped(Event):
    """An actor is not started again; its inbox keeps its envelopes. ``reason`` says why, for people."""

    name: str
    group: str
    reason: str
    worker: int | None = None


@event("group.crashed", command="group.supervise()")
class GroupCrashed(Event):
    """A group that stands in the group ``above`` crashed more often than it may, which is a crash there.

    It is started again ``backoff_seconds`` later; None: it is not.
    """

    group: str
    above: str
    reason: str
    backoff_seconds: float | None = None


@event("group.stopped", command="hub.supervise()")
class GroupStopped(Event):
    """A group of actors crashed more often than it may, and was stopped with all its ``members``."""

    group: str
    reason: str
    members: tuple[str, ...]
