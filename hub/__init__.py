"""hubwire: an asyncio-native, actor-style hub for multi-agent systems.

What is named here is imported when it is first asked for: who reads a log or writes a store need not wait for the hub.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._actors.actor import Actor, BaseActor, Turn
    from ._actors.supervision import ActorHandle, ActorStatistics, Group, Restart, Strategy
    from ._commands import Agent, Channel, Delivery, Inbox, Task
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

_NAMES = {
    "_actors.actor": ("Actor", "BaseActor", "Turn"),
    "_delivery.attachment": ("Attachment", "AttachmentState", "AttachmentStatistics"),
    "_commands": ("Agent", "Channel", "Delivery", "Inbox", "Task"),
    "_delivery.duty": ("Duty", "Overflow"),
    "_hub": ("Hub", "HubHealth", "HubStatistics"),
    "_journal.store_journal": ("StoreJournal",),
    "_delivery.matcher": ("Matcher",),
    "_state.profiles": ("InboxOverflow", "InboxRule", "Observation", "Passport", "Resume"),
    "_state.tasks": ("TaskEntry",),
    "_state.turns": ("OpenTurn", "WatchLimits"),
    "_delivery.stream": ("EventStream",),
    "_actors.supervision": ("ActorHandle", "ActorStatistics", "Group", "Restart", "Strategy"),
    "_journal.upkeep": ("JournalStatistics",),
    "_version": ("installed_version",),
    "approvals": ("Approval", "ApprovalPolicy"),
    "arbiter": ("Rule", "RuleArbiter"),
    "context": ("scope",),
    "events": ("Event", "GenericEvent", "UnknownEvent", "event"),
    "listener": ("BaseHubListener",),
    "thread": ("HubThread",),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}
_SUBMODULES = (
    "approvals",
    "arbiter",
    "channel_types",
    "clock",
    "codec",
    "context",
    "errors",
    "events",
    "expectations",
    "forks",
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
