"""hubwire: an asyncio-native, actor-style hub for multi-agent systems.

What is named here is imported when it is first asked for: who reads a log or writes a store need not wait for the hub.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._actors.handles import ActorHandle, Group
    from ._actors.rules import ActorStatistics, Restart, Strategy
    from ._commands import (
        Agent,
        AgentCommands,
        ApprovalCommands,
        Channel,
        ChannelCommands,
        Delivery,
        Gated,
        Inbox,
        Task,
        TaskCommands,
        TurnCommands,
    )
    from ._delivery.attachment import Attachment, AttachmentState, AttachmentStatistics
    from ._delivery.duty import Duty, Overflow
    from ._delivery.matcher import Matcher
    from ._delivery.stream import EventStream
    from ._hub import Hub, HubHealth, HubStatistics
    from ._journal.store_journal import StoreJournal
    from ._journal.upkeep import JournalStatistics
    from ._state.profiles import InboxOverflow, InboxRule, Observation, Passport, Resume
    from ._state.tasks import TaskEntry
    from ._state.turns import OpenTurn, WatchLimits
    from ._state.verdicts import ApprovalEntry
    from ._version import installed_version
    from .actors import Actor, BaseActor, Turn
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
    "AgentCommands",
    "Approval",
    "ApprovalCommands",
    "ApprovalEntry",
    "ApprovalPolicy",
    "Attachment",
    "AttachmentState",
    "AttachmentStatistics",
    "BaseActor",
    "BaseHubListener",
    "Channel",
    "ChannelCommands",
    "Delivery",
    "Duty",
    "Event",
    "EventStream",
    "Gated",
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
    "TaskCommands",
    "TaskEntry",
    "Turn",
    "TurnCommands",
    "UnknownEvent",
    "WatchLimits",
    "event",
    "installed_version",
    "scope",
)

_NAMES = {
    "_actors.handles": ("ActorHandle", "Group"),
    "_actors.rules": ("ActorStatistics", "Restart", "Strategy"),
    "_delivery.attachment": ("Attachment", "AttachmentState", "AttachmentStatistics"),
    "_commands": (
        "Agent",
        "AgentCommands",
        "ApprovalCommands",
        "Channel",
        "ChannelCommands",
        "Delivery",
        "Gated",
        "Inbox",
        "Task",
        "TaskCommands",
        "TurnCommands",
    ),
    "_delivery.duty": ("Duty", "Overflow"),
    "_hub": ("Hub", "HubHealth", "HubStatistics"),
    "_journal.store_journal": ("StoreJournal",),
    "_delivery.matcher": ("Matcher",),
    "_state.profiles": ("InboxOverflow", "InboxRule", "Observation", "Passport", "Resume"),
    "_state.tasks": ("TaskEntry",),
    "_state.turns": ("OpenTurn", "WatchLimits"),
    "_state.verdicts": ("ApprovalEntry",),
    "_delivery.stream": ("EventStream",),
    "_journal.upkeep": ("JournalStatistics",),
    "_version": ("installed_version",),
    "actors": ("Actor", "BaseActor", "Turn"),
    "approvals": ("Approval", "ApprovalPolicy"),
    "arbiter": ("Rule", "RuleArbiter"),
    "context": ("scope",),
    "events": ("Event", "GenericEvent", "UnknownEvent", "event"),
    "listener": ("BaseHubListener",),
    "thread": ("HubThread",),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}
_SUBMODULES = (
    "actors",
    "approvals",
    "arbiter",
    "channel_types",
    "clock",
    "codec",
    "context",
    "errors",
    "events",
    "expectations",
    "listener",
    "log",
    "ports",
    "text_store",
    "thread",
    "waking",
)


if not TYPE_CHECKING:  # they know the names above, and should complain about any other

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        elif name in _SUBMODULES:
            return import_module(f".{name}", __name__)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})
