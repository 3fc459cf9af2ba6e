"""What can happen: one frozen class per kind of event, one file per domain."""

from __future__ import annotations

from ._canonical import FrozenDict, canonical
from ._event import Event, GenericEvent, UnknownEvent, event, evolve, kind_class
from .agents import AgentRegistered, AgentUnregistered
from .channels import ChannelClosed, ChannelCreated, ChannelOpened
from .envelopes import EnvelopeAcked, EnvelopePosted, EnvelopeRejected
from .hubs import (
    HubStarted,
    HubStopped,
    ListenerAttached,
    ListenerDetached,
    ListenerFailed,
    ListenerRestarted,
    ListenerSuspended,
    MailboxOverflowed,
)
from .tools import ToolCalled, ToolCompleted, ToolFailed

__all__ = (
    "AgentRegistered",
    "AgentUnregistered",
    "ChannelClosed",
    "ChannelCreated",
    "ChannelOpened",
    "EnvelopeAcked",
    "EnvelopePosted",
    "EnvelopeRejected",
    "Event",
    "FrozenDict",
    "GenericEvent",
    "HubStarted",
    "HubStopped",
    "ListenerAttached",
    "ListenerDetached",
    "ListenerFailed",
    "ListenerRestarted",
    "ListenerSuspended",
    "MailboxOverflowed",
    "ToolCalled",
    "ToolCompleted",
    "ToolFailed",
    "UnknownEvent",
    "canonical",
    "event",
    "evolve",
    "kind_class",
)
