"""Channels: where agents talk to each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._declare import event
from ._event import Event

__all__ = (
    "ChannelAccepted",
    "ChannelClosed",
    "ChannelClosing",
    "ChannelCreated",
    "ChannelDeclined",
    "ChannelExpired",
    "ChannelInvited",
    "ChannelOpened",
    "ChannelParticipantHidden",
    "ChannelParticipantJoined",
    "ChannelParticipantRemoved",
    "ChannelParticipantShown",
)


@event("channel.created", command="hub.channels.open()")
class ChannelCreated(Event):
    """A channel exists, but does not take envelopes yet. ``agent_id`` is its creator.

    ``participants`` are agent ids. Those in ``invited`` have still to accept; the channel is opened when
    ``required_acks`` of them have, within ``invite_timeout_seconds``. It expires ``ttl_seconds`` after this event.
    ``manifest_type`` and ``manifest_version`` name the type that decides which posts are allowed; ``roles`` maps
    participants to their roles, ``knobs`` are the type's settings, ``expectations`` those of the channel. ``history``
    says what a participant that comes later may read: ``whole``, or ``since_joined``.
    """

    participants: tuple[str, ...]
    topic: str = ""
    manifest_type: str = "conversation"
    manifest_version: int = 1
    roles: Mapping[str, str] | None = None
    expectations: tuple[Any, ...] = ()
    knobs: Mapping[str, Any] | None = None
    labels: Mapping[str, str] | None = None
    parent_id: str | None = None
    invited: tuple[str, ...] = ()
    required_acks: int = 0
    invite_timeout_seconds: float | None = None
    ttl_seconds: float | None = None
    history: str = "whole"


@event("channel.invited", command="hub.channels.open()")
class ChannelInvited(Event):
    """``agent_id`` is invited to take part, and may accept or decline. ``by`` is the agent that invites it."""

    by: str


@event("channel.accepted", command="channel.accept()")
class ChannelAccepted(Event):
    """``agent_id`` accepted its invitation and takes part in the channel.

    ``channel_state`` is the state of the channel's type after this, where the channel is open already.
    """

    channel_state: Any = None


@event("channel.declined", command="channel.decline()")
class ChannelDeclined(Event):
    """``agent_id`` does not take part: it declined, did not answer in time, or left the hub, as ``reason`` says."""

    reason: str = ""


@event("channel.opened", command="hub.channels.open()")
class ChannelOpened(Event):
    """The participants may post. ``channel_state`` is the first state of the channel's type."""

    channel_state: Any = None


@event("channel.participant_joined", command="channel.join()")
class ChannelParticipantJoined(Event):
    """``agent_id`` takes part from now on. ``channel_state`` is the state of the channel's type after this."""

    role: str = ""
    channel_state: Any = None


@event("channel.participant_removed", command="channel.leave()")
class ChannelParticipantRemoved(Event):
    """``agent_id`` no longer takes part: it left the channel, or the hub. Its inbox keeps the envelopes in it."""

    reason: str = ""
    channel_state: Any = None


@event("channel.participant_hidden", command="channel.hide()")
class ChannelParticipantHidden(Event):
    """The channel goes on as if ``agent_id`` took no part: it is not expected to post and may not, but it reads on."""

    reason: str = ""
    channel_state: Any = None


@event("channel.participant_shown", command="channel.show()")
class ChannelParticipantShown(Event):
    """``agent_id``, which was hidden, may post again."""

    channel_state: Any = None


@event("channel.closing", command="channel.close()")
class ChannelClosing(Event):
    """The channel takes no more envelopes. So many channels lie below it that several commands are needed to end them.

    ``ends_as`` is how it will end, ``closed`` or ``expired``, ``result`` with what.
    """

    reason: str = ""
    ends_as: str = "closed"
    result: Any = None


@event("channel.closed", command="channel.close()")
class ChannelClosed(Event):
    """The channel takes no more envelopes, for ever. Envelopes in inboxes are still delivered.

    ``result`` is what its type says that it has led to, where the type has ended it: of an auction the winner.
    """

    reason: str = ""
    result: Any = None


@event("channel.expired", command="the hub itself, when a channel's time is up")
class ChannelExpired(Event):
    """The channel's time was up: it is closed for ever. Envelopes in inboxes are still delivered.

    ``result`` is what its type says that it has led to by then.
    """

    reason: str = ""
    result: Any = None
