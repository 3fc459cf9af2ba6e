"""Types of channels: those that ship, and the protocol for your own. See :class:`ChannelType`."""

from __future__ import annotations

from ._state.auction import Auction
from ._state.channel_types import (
    Broadcast,
    ChannelType,
    Consulting,
    Conversation,
    Discussion,
    Manifest,
    Notification,
    Post,
)
from ._state.workflow import Workflow

__all__ = (
    "Auction",
    "Broadcast",
    "ChannelType",
    "Consulting",
    "Conversation",
    "Discussion",
    "Manifest",
    "Notification",
    "Post",
    "Workflow",
)
