"""hubwire: an asyncio-native, actor-style hub for multi-agent systems."""

from __future__ import annotations

from ._actor import Actor, BaseActor, Turn
from ._attachment import Attachment, AttachmentState, AttachmentStatistics
from ._commands import Agent, Channel, Delivery, Inbox, Task
from ._duty import Duty, Overflow
from ._hub import Hub, HubHealth, HubStatistics
from ._journal import StoreJournal
from ._matcher import Matcher
from ._state.profiles import InboxOverflow, InboxRule, Observation, Passport, Resume
from ._state.tasks import TaskEntry
from ._state.turns import OpenTurn, WatchLimits
from ._stream import EventStream
from ._supervision import ActorHandle, ActorStatistics, Group, Restart, Strategy
from ._upkeep import JournalStatistics
from ._version import installed_version
from .approvals import Approval, ApprovalPolicy
from .arbiter import Rule, RuleArbiter
from .context import scope
from .events import Event, GenericEvent, UnknownEvent, event
from .listener import BaseHubListener
from .thread import HubThread

__all__ = (
    "Actor",
    "ActorHandle",
    "ActorStatistics",
    "Agent",
    "Approval",
    "ApprovalPolicy",
    "Attachment",
    "AttachmentState",
    "AttachmentStatistics",
    "BaseActor",
    "BaseHubListener",
    "Channel",
    "Delivery",
    "Duty",
    "Event",
    "EventStream",
    "GenericEvent",
    "Group",
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
    "Restart",
    "Resume",
    "OpenTurn",
    "Rule",
    "RuleArbiter",
    "StoreJournal",
    "Strategy",
    "Task",
    "TaskEntry",
    "Turn",
    "UnknownEvent",
    "WatchLimits",
    "event",
    "installed_version",
    "scope",
)
