"""hubwire: an asyncio-native, actor-style hub for multi-agent systems.

Names are imported when they are first used: a program that reads a log or writes a store does not wait for the hub.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = (
    False  # as of `typing`: a hook of a coding agent does not wait for that, which takes a third of its time
)

# Type checkers read this block and programs the table below it; tests/test_import.py holds them equal.
if TYPE_CHECKING:
    from typing import Any

    from ._acting import ActingHub as ActingHub
    from ._actors.draining import Drained as Drained
    from ._actors.handles import ActorHandle as ActorHandle, Group as Group
    from ._actors.on_demand import OnDemand as OnDemand
    from ._actors.rules import (
        ActorStatistics as ActorStatistics,
        Escalate as Escalate,
        Restart as Restart,
        RetryPolicy as RetryPolicy,
        Strategy as Strategy,
    )
    from ._commands import (
        Agent as Agent,
        AgentCommands as AgentCommands,
        Channel as Channel,
        ChannelCommands as ChannelCommands,
        ChannelEnding as ChannelEnding,
        Delivery as Delivery,
        History as History,
        HistoryEntry as HistoryEntry,
        Inbox as Inbox,
        InboxCommands as InboxCommands,
        InboxState as InboxState,
        ModelCall as ModelCall,
        RecordedTurn as RecordedTurn,
        Task as Task,
        TaskCommands as TaskCommands,
        TaskOutcome as TaskOutcome,
        Timer as Timer,
        TimerCommands as TimerCommands,
        ToolCall as ToolCall,
        TopicCommands as TopicCommands,
        TurnCommands as TurnCommands,
        WaitingEnvelope as WaitingEnvelope,
    )
    from ._commands.approvals import ApprovalCommands as ApprovalCommands
    from ._commands.batches import Batch as Batch
    from ._commands.dead_letters import DeadLetterCommands as DeadLetterCommands
    from ._commands.gating import Gated as Gated, GatedBlocking as GatedBlocking
    from ._commit.backoff import Backoff as Backoff
    from ._delivery.attachment import Attachment as Attachment, AttachmentState as AttachmentState
    from ._delivery.duty import Duty as Duty, Overflow as Overflow
    from ._delivery.letter import (
        DeadLetterEntry as DeadLetterEntry,
        DeadLetterPolicy as DeadLetterPolicy,
        DeadLetterReason as DeadLetterReason,
        DeadLetterStatistics as DeadLetterStatistics,
        RetryOutcome as RetryOutcome,
        RetryResult as RetryResult,
    )
    from ._delivery.matcher import Matcher as Matcher
    from ._delivery.reports import AttachmentStatistics as AttachmentStatistics
    from ._delivery.stream import EventStream as EventStream
    from ._feeds.handle import FeedHandle as FeedHandle
    from ._feeds.states import FeedState as FeedState, FeedStatistics as FeedStatistics
    from ._following import FollowingStatistics as FollowingStatistics
    from ._health import TenantStatistics as TenantStatistics
    from ._hub import Hub as Hub, HubHealth as HubHealth, HubStatistics as HubStatistics
    from ._journal.statistics import JournalStatistics as JournalStatistics
    from ._journal.store_journal import StoreJournal as StoreJournal
    from ._state.dead_letters import DeadLetter as DeadLetter
    from ._state.profiles import (
        InboxOverflow as InboxOverflow,
        InboxRule as InboxRule,
        Observation as Observation,
        Passport as Passport,
        Resume as Resume,
    )
    from ._state.subscriptions import Subscription as Subscription
    from ._state.tasks import TaskEntry as TaskEntry
    from ._state.timers import TimerEntry as TimerEntry
    from ._state.turns import OpenTurn as OpenTurn, WatchLimits as WatchLimits
    from ._tenant import TenantHub as TenantHub
    from ._version import installed_version as installed_version
    from .actors import Actor as Actor, BaseActor as BaseActor, HeldPost as HeldPost, Turn as Turn
    from .approvals import Approval as Approval, ApprovalPolicy as ApprovalPolicy, PendingApproval as PendingApproval
    from .arbiter import Rule as Rule, RuleArbiter as RuleArbiter
    from .board import Board as Board, BoardLimits as BoardLimits
    from .context import scope as scope
    from .events import (
        Event as Event,
        GenericEvent as GenericEvent,
        Outcome as Outcome,
        Severity as Severity,
        UnknownEvent as UnknownEvent,
        event as event,
    )
    from .functions import Chain as Chain
    from .limits import Limits as Limits, TenantLimits as TenantLimits
    from .listener import BaseHubListener as BaseHubListener
    from .messages import handles as handles, message as message
    from .position import Position as Position
    from .thread import HubThread as HubThread

_NAMES = {
    "_acting": ("ActingHub",),
    "_tenant": ("TenantHub",),
    "_actors.draining": ("Drained",),
    "_actors.handles": ("ActorHandle", "Group"),
    "_actors.on_demand": ("OnDemand",),
    "_actors.rules": ("ActorStatistics", "Escalate", "Restart", "RetryPolicy", "Strategy"),
    "_commands": (
        "Agent",
        "AgentCommands",
        "Channel",
        "ChannelCommands",
        "ChannelEnding",
        "Delivery",
        "History",
        "HistoryEntry",
        "Inbox",
        "InboxCommands",
        "InboxState",
        "ModelCall",
        "RecordedTurn",
        "Task",
        "TaskCommands",
        "TaskOutcome",
        "Timer",
        "TimerCommands",
        "ToolCall",
        "TopicCommands",
        "TurnCommands",
        "WaitingEnvelope",
    ),
    "_commands.approvals": ("ApprovalCommands",),
    "_commands.batches": ("Batch",),
    "_commands.dead_letters": ("DeadLetterCommands",),
    "_commands.gating": ("Gated", "GatedBlocking"),
    "_commit.backoff": ("Backoff",),
    "_delivery.attachment": ("Attachment", "AttachmentState"),
    "_delivery.duty": ("Duty", "Overflow"),
    "_delivery.letter": (
        "DeadLetterEntry",
        "DeadLetterPolicy",
        "DeadLetterReason",
        "DeadLetterStatistics",
        "RetryOutcome",
        "RetryResult",
    ),
    "_delivery.matcher": ("Matcher",),
    "_delivery.reports": ("AttachmentStatistics",),
    "_delivery.stream": ("EventStream",),
    "_feeds.handle": ("FeedHandle",),
    "_feeds.states": ("FeedState", "FeedStatistics"),
    "_following": ("FollowingStatistics",),
    "_health": ("TenantStatistics",),
    "_hub": ("Hub", "HubHealth", "HubStatistics"),
    "_journal.statistics": ("JournalStatistics",),
    "_journal.store_journal": ("StoreJournal",),
    "_state.dead_letters": ("DeadLetter",),
    "_state.profiles": ("InboxOverflow", "InboxRule", "Observation", "Passport", "Resume"),
    "_state.subscriptions": ("Subscription",),
    "_state.tasks": ("TaskEntry",),
    "_state.timers": ("TimerEntry",),
    "_state.turns": ("OpenTurn", "WatchLimits"),
    "_version": ("installed_version",),
    "actors": ("Actor", "BaseActor", "HeldPost", "Turn"),
    "approvals": ("Approval", "ApprovalPolicy", "PendingApproval"),
    "arbiter": ("Rule", "RuleArbiter"),
    "board": ("Board", "BoardLimits"),
    "context": ("scope",),
    "events": ("Event", "GenericEvent", "Outcome", "Severity", "UnknownEvent", "event"),
    "functions": ("Chain",),
    "limits": ("Limits", "TenantLimits"),
    "messages": ("handles", "message"),
    "listener": ("BaseHubListener",),
    "position": ("Position",),
    "thread": ("HubThread",),
}
"""The public names, by the module that defines them."""

_SUBMODULES = (
    "actors",
    "addresses",
    "approvals",
    "arbiter",
    "asgi",
    "board",
    "challenges",
    "channel_types",
    "clock",
    "cloudevents",
    "cluster",
    "codec",
    "context",
    "erasable",
    "coverage",
    "errors",
    "events",
    "expectations",
    "exports",
    "forks",
    "functions",
    "grading",
    "guests",
    "late_modules",
    "late_types",
    "limits",
    "listener",
    "log",
    "messages",
    "outbound",
    "own_log",
    "patterns",
    "ports",
    "position",
    "proof",
    "provenance",
    "query",
    "redaction",
    "risk",
    "runtimes",
    "spool",
    "standby",
    "text_store",
    "thread",
    "tracing",
    "validation",
    "waking",
    "words",
)
"""The public modules, which are attributes of the package too."""

_BESIDE = ("listeners", "stores", "testing")
"""The packages beside these, imported when they are asked for."""

_MODULES = {name: module for module, names in _NAMES.items() for name in names}

if not TYPE_CHECKING:  # checkers know the names above, and should complain about any other
    __all__ = tuple(sorted(_MODULES))

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        elif name in _SUBMODULES or name in _BESIDE:
            return import_module(f".{name}", __name__)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    own = (name for name in globals() if name.startswith("__"))
    return sorted({*own, *_MODULES, *_SUBMODULES, *_BESIDE})
