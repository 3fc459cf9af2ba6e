"""Channels: where agents talk to each other."""

from __future__ import annotations

from ._event import Event, event

__all__ = ("ChannelClosed", "ChannelCreated", "ChannelOpened")


@event("channel.created", command="hub.channels.open()")
class ChannelCreated(Event):
    """A channel exists, but nothing can be posted yet. ``participants`` are agent ids; the first is the creator."""

    participants: tuple[str, ...]
    topic: str = ""


@event("channel.opened", command="hub.channels.open()")
class ChannelOpened(Event):
    """The participants may post."""


@event("channel.closed", command="channel.close()")
class ChannelClosed(Event):
    """The channel takes no more envelopes, for ever. What is in inboxes is delivered still."""

    reason: str = ""
