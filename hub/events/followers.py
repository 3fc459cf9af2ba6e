"""Followers: hubs that follow this one, and give it commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._declare import event
from ._event import Event

__all__ = ("FollowerCommanded", "FollowerJoined", "FollowerLeft")


@event("follower.joined", command="hub.connect()")
class FollowerJoined(Event):
    """A hub that follows gives commands from now on, in a session: ``follower_id`` is that of the session.

    ``host`` and ``pid`` say in which process it runs. One hub may have several sessions, one after the other.
    """

    follower_id: str
    host: str = ""
    pid: int = 0


@event("follower.commanded", command="hub.connect()")
class FollowerCommanded(Event):
    """The events before this one, of the same batch, are what a command of a follower has led to.

    ``number`` counts the commands of the session, and ``digest`` is that of the command as it was sent: so a command
    that is sent again, because its answer was lost, is known, also by the next hub that leads. ``result`` is what the
    follower gets as the answer: a value, or the ``seq`` of an event.
    """

    follower_id: str
    number: int
    name: str
    digest: str
    result: Mapping[str, Any] | None = None


@event("follower.left", command="hub.connect()")
class FollowerLeft(Event):
    """A session has ended: the results of its commands are forgotten. One that is idle for an hour ends without it."""

    follower_id: str
