"""hubwire: an asyncio-native, actor-style hub for multi-agent systems.

Names are imported when they are first used: a program that reads a log or writes a store does not wait for the hub.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Type checkers read this block and programs the table below it; tests/test_import.py holds them equal.
if TYPE_CHECKING:
    from ._actors.handles import ActorHandle as ActorHandle, Group as Group
    from ._actors.rules import ActorStatistics as ActorStatistics, Restart as Restart, Strategy as Strategy
    from ._commands import (
        Agent as Agent,
        AgentCommands as AgentCommands,
        ApprovalCommands as ApprovalCommands,
        Channel as Channel,
        ChannelCommands as ChannelCommands,
        Delivery as Delivery,
        Gated as Gated,
        Inbox as Inbox,
        Task as Task,
        TaskCommands as TaskCommands,
        TurnCommands as TurnCommands,
    )
    from ._delivery.attachment import (
        Attachment as Attachment,
        AttachmentState as AttachmentState,
        AttachmentStatistics as AttachmentStatistics,
    )
    from ._delivery.duty import Duty as Duty, Overflow as Overflow
    from ._delivery.matcher import Matcher as Matcher
    from ._delivery.stream import EventStream as EventStream
    from ._hub import Hub as Hub, HubHealth as HubHealth, HubStatistics as HubStatistics
    from ._journal.store_journal import StoreJournal as StoreJournal
    from ._journal.upkeep import JournalStatistics as JournalStatistics
    from ._state.profiles import (
        InboxOverflow as InboxOverflow,
        InboxRule as InboxRule,
        Observation as Observation,
        Passport as Passport,
        Resume as Resume,
    )
    from ._state.tasks import TaskEntry as TaskEntry
    from ._state.turns import OpenTurn as OpenTurn, WatchLimits as WatchLimits
    from ._state.verdicts import ApprovalEntry as ApprovalEntry
    from ._version import installed_version as installed_version
    from .actors import Actor as Actor, BaseActor as BaseActor, Turn as Turn
    from .approvals import Approval as Approval, ApprovalPolicy as ApprovalPolicy
    from .arbiter import Rule as Rule, RuleArbiter as RuleArbiter
    from .context import scope as scope
    from .events import Event as Event, GenericEvent as GenericEvent, UnknownEvent as UnknownEvent, event as event
    from .limits import Limits as Limits
    from .listener import BaseHubListener as BaseHubListener
    from .thread import HubThread as HubThread

_NAMES = {
    "_actors.handles": ("ActorHandle", "Group"),
    "_actors.rules": ("ActorStatistics", "Restart", "Strategy"),
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
    "_delivery.attachment": ("Attachment", "AttachmentState", "AttachmentStatistics"),
    "_delivery.duty": ("Duty", "Overflow"),
    "_delivery.matcher": ("Matcher",),
    "_delivery.stream": ("EventStream",),
    "_hub": ("Hub", "HubHealth", "HubStatistics"),
    "_journal.store_journal": ("StoreJournal",),
    "_journal.upkeep": ("JournalStatistics",),
    "_state.profiles": ("InboxOverflow", "InboxRule", "Observation", "Passport", "Resume"),
    "_state.tasks": ("TaskEntry",),
    "_state.turns": ("OpenTurn", "WatchLimits"),
    "_state.verdicts": ("ApprovalEntry",),
    "_version": ("installed_version",),
    "actors": ("Actor", "BaseActor", "Turn"),
    "approvals": ("Approval", "ApprovalPolicy"),
    "arbiter": ("Rule", "RuleArbiter"),
    "context": ("scope",),
    "events": ("Event", "GenericEvent", "UnknownEvent", "event"),
    "limits": ("Limits",),
    "listener": ("BaseHubListener",),
    "thread": ("HubThread",),
}
"""The public names, by the module that defines them."""

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
    "forks",
    "limits",
    "listener",
    "log",
    "ports",
    "text_store",
    "thread",
    "waking",
)
"""The public modules, which are attributes of the package too."""

_MODULES = {name: module for module, names in _NAMES.items() for name in names}

if not TYPE_CHECKING:  # checkers know the names above, and should complain about any other
    __all__ = tuple(sorted(_MODULES))

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
    return sorted({*globals(), *_MODULES, *_SUBMODULES})
