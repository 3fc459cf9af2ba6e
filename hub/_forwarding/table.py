"""Which public methods are commands, which only read, and which work where they are called, and why."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ("COMMANDS", "HERE", "MADE_HERE", "PREFIXES", "READS")

PREFIXES: Mapping[str, str] = {
    "Hub": "hub",
    "AgentCommands": "agents",
    "ChannelCommands": "channels",
    "InboxCommands": "inboxes",
    "TaskCommands": "tasks",
    "TurnCommands": "turns",
    "TimerCommands": "timers",
    "TopicCommands": "topics",
    "ApprovalCommands": "approvals",
    "DeadLetterCommands": "dead_letters",
    "Agent": "agent",
    "Channel": "channel",
    "Task": "task",
    "Timer": "timer",
    "Delivery": "delivery",
    "Inbox": "inbox",
}
"""By the name of a class, how its commands begin."""

COMMANDS: Mapping[str, frozenset[str]] = {
    "hub": frozenset({"emit", "emit_many", "ask"}),
    "agents": frozenset({"register"}),
    "channels": frozenset({"open"}),
    "inboxes": frozenset({"redeliver", "discard"}),
    "tasks": frozenset({"start", "observe"}),
    "turns": frozenset(),
    "timers": frozenset({"after", "every"}),
    "topics": frozenset({"publish", "subscribe", "unsubscribe"}),
    "approvals": frozenset(
        {
            "gate",
            "request",
            "wait",
            "use",
            "withdraw",
            "record",
            "answer",
            "send_back",
            "arguments",
            "record_incident",
            "revoke_trust",
            "restore_trust",
        }
    ),
    "dead_letters": frozenset({"list", "get", "retry", "retry_all", "discard", "discard_all"}),
    "agent": frozenset({"set_resume", "set_skill", "set_rule", "observe", "unregister"}),
    "channel": frozenset({"accept", "decline", "join", "leave", "hide", "show", "post", "close"}),
    "task": frozenset({"progress", "checkpoint", "complete", "fail", "cancel", "request_cancel"}),
    "timer": frozenset({"cancel"}),
    "delivery": frozenset({"ack", "nack", "reply"}),
    "inbox": frozenset(),
}
"""What is carried out by the hub that leads. Dead letters are looked at there, too: only it has their files."""

READS: Mapping[str, frozenset[str]] = {
    "hub": frozenset(
        {
            "acting_as",
            "events",
            "finished",
            "for_tenant",
            "health",
            "matcher",
            "statistics",
        }
    ),
    "agents": frozenset({"find", "get", "list", "named"}),
    "channels": frozenset({"get", "list", "recall"}),
    "inboxes": frozenset({"dead_letters", "get", "list", "peek"}),
    "tasks": frozenset({"get", "outcome", "running"}),
    "turns": frozenset({"open"}),
    "timers": frozenset({"get", "list"}),
    "topics": frozenset({"list", "subscribers"}),
    "approvals": frozenset({"pending"}),
    "dead_letters": frozenset({"statistics"}),
    "agent": frozenset({"inbox"}),
    "channel": frozenset({"ended", "history", "ready", "view"}),
    "task": frozenset({"ended", "read_checkpoint", "result"}),
    "timer": frozenset(),
    "delivery": frozenset(),
    "inbox": frozenset({"arrive", "look", "take_back"}),
}
"""What is answered by the hub that is asked, from what it has; also what waits until it has it."""

MADE_HERE: Mapping[str, frozenset[str]] = {
    "agents": frozenset({"find", "get", "list", "named"}),
    "channels": frozenset({"get", "list", "recall"}),
    "tasks": frozenset({"get"}),
    "timers": frozenset({"get"}),
    "topics": frozenset({"subscribers"}),
    "agent": frozenset({"inbox"}),
}
"""The reads that return objects with commands."""

_WAITS_FOR_NOTHING = "returns at once, and so cannot ask another hub; await the command that waits"
_CALLS_BACK = "is given code, which runs in this process"
_LISTENS = "is about listeners of this process"
_ACTS = "runs an actor in this process"
_LIVES = "is about the life of this hub"
_BLOCK = "is a block of code, whose beginning and end are emitted where it runs"

HERE: Mapping[str, Mapping[str, str]] = {
    "hub": {
        "attach": _LISTENS,
        "on": _LISTENS,
        "detach": _LISTENS,
        "forget": _LISTENS,
        "flush": _LISTENS,
        "measure_calls": _CALLS_BACK,
        "feed": _CALLS_BACK,
        "spawn": _ACTS,
        "spawn_on_demand": _ACTS,
        "supervise": _ACTS,
        "emit_nowait": _WAITS_FOR_NOTHING,
        "offer": _WAITS_FOR_NOTHING,
        "emit_threadsafe": "goes by the loop of this hub; await hub.emit() there",
        "batch": "gathers events, which emit_many() forwards",
        "connect": _LIVES,
        "follow": _LIVES,
        "lead": _LIVES,
        "start": _LIVES,
        "aclose": _LIVES,
        "abort": _LIVES,
    },
    "channels": {
        "register_type": _CALLS_BACK,
        "register_evaluator": _CALLS_BACK,
        "register_violation_handler": _CALLS_BACK,
    },
    "turns": {"turn": _BLOCK, "model": _BLOCK, "tool": _BLOCK},
    "dead_letters": {"take_requests": "does what the command line has left in the store of this hub"},
    "approvals": {
        "gated": "decorates a function, which calls gate()",
        "gated_blocking": "decorates a function, which calls gate()",
        "from_thread": "calls another method in the loop of this hub",
    },
}
"""What works where it is called, and why."""
