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
    """A channel exists, but nothing can be posted yet. ``agent_id`` is its creator.

    ``participants`` are agent ids, of whom those in ``invited`` have still to accept; the channel is opened when
    ``required_acks`` of them have, within ``invite_timeout_seconds``. It expires ``ttl_seconds`` after this.
    ``manifest_type`` and ``manifest_version`` name the type that says who may post what; ``roles`` maps participants to
    their roles, ``knobs`` are the type's settings, ``expectations`` what is expected of its behaviour in time.
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


@event("channel.invited", command="hub.channels.open()")
class ChannelInvited(Event):
    """``agent_id`` is asked to take part, and may accept or decline. ``by`` is who asks."""

    by: str


@event("channel.accepted", command="channel.accept()")
class ChannelAccepted(Event):
    """``agent_id`` takes part in the channel, as it was invited to.

    ``channel_state`` is what the type of a channel that is open already remembers then.
    """

    channel_state: Any = None


@event("channel.declined", command="channel.decline()")
class ChannelDeclined(Event):
    """``agent_id`` does not take part: it declined, did not answer in time, or left the hub, as ``reason`` says."""

    reason: str = ""


@event("channel.opened", command="hub.channels.open()")
class ChannelOpened(Event):
    """The participants may post. ``channel_state`` is what the channel's type remembers at the beginning."""

    channel_state: Any = None


@event("channel.participant_joined", command="channel.join()")
class ChannelParticipantJoined(Event):
    """``agent_id`` takes part from now on. ``channel_state`` is what the channel's type remembers then."""

    role: str = ""
    channel_state: Any = None


@event("channel.participant_removed", command="channel.leave()")
class ChannelParticipantRemoved(Event):
    """``agent_id`` takes part no more: it left the channel, or the hub. What is in its inbox stays there."""

    reason: str = ""
    channel_state: Any = None


@event("channel.participant_hidden", command="channel.hide()")
class ChannelParticipantHidden(Event):
    """The channel goes on as if ``agent_id`` took no part: it has no turn and posts nothing, and reads on."""

    reason: str = ""
    channel_state: Any = None


@event("channel.participant_shown", command="channel.show()")
class ChannelParticipantShown(Event):
    """``agent_id``, who was hidden, has turns and posts again."""

    channel_state: Any = None


@event("channel.closing", command="channel.close()")
class ChannelClosing(Event):
    """The channel takes no more envelopes, and so many others hang on it that closing takes several commands.

    ``ends_as`` is how it will end: ``closed`` or ``expired``.
    """

    reason: str = ""
    ends_as: str = "closed"


@event("channel.closed", command="channel.close()")
class ChannelClosed(Event):
    """The channel takes no more envelopes, for ever. What is in inboxes is delivered still."""

    reason: str = ""


@event("channel.expired", command="the hub itself, when a channel's time is up")
class ChannelExpired(Event):
    """The channel's time was up: it is closed for ever. What is in inboxes is delivered still."""

    reason: str = ""
