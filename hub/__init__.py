"""hubwire: an asyncio-native, actor-style hub for multi-agent systems."""

from __future__ import annotations

from ._attachment import Attachment, AttachmentState, AttachmentStatistics
from ._commands import Agent, Channel, Delivery, Inbox
from ._duty import Duty, Overflow
from ._hub import Hub, HubHealth, HubStatistics
from ._journal import StoreJournal
from ._matcher import Matcher
from ._state.profiles import InboxOverflow, InboxRule, Observation, Passport, Resume
from ._stream import EventStream
from ._upkeep import JournalStatistics
from ._version import installed_version
from .context import scope
from .events import Event, GenericEvent, UnknownEvent, event
from .listener import BaseHubListener
from .thread import HubThread

__all__ = (
    "Agent",
    "Attachment",
    "AttachmentState",
    "AttachmentStatistics",
    "BaseHubListener",
    "Channel",
    "Delivery",
    "Duty",
    "Event",
    "EventStream",
    "GenericEvent",
    "Hub",
    "HubHealth",
    "HubStatistics",
    "HubThread",
    "Inbox",
    "JournalStatistics",
    "InboxOverflow",
    "InboxRule",
    "Matcher",
    "Observation",
    "Overflow",
    "Passport",
    "Resume",
    "StoreJournal",
    "UnknownEvent",
    "event",
    "installed_version",
    "scope",
)
