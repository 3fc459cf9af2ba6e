"""Which methods are commands: each public one is in one of three tables."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest

from hubwire import Agent, Channel, Delivery, Hub, Inbox, Task
from hubwire._commands.timers import Timer
from hubwire._forwarding.results import RESULTS
from hubwire._forwarding.table import COMMANDS, HERE, MADE_HERE, PREFIXES, READS

CLASSES: dict[str, Any] = {
    "hub": Hub,
    **{
        PREFIXES[name]: getattr(import_module(f"hubwire._commands.{module}"), name)
        for name, module in {
            "AgentCommands": "agents",
            "ChannelCommands": "channels",
            "InboxCommands": "places",
            "TaskCommands": "tasks",
            "TurnCommands": "turns",
            "TimerCommands": "timers",
            "TopicCommands": "topics",
            "ApprovalCommands": "approvals",
            "DeadLetterCommands": "dead_letters",
        }.items()
    },
    "agent": Agent,
    "channel": Channel,
    "task": Task,
    "timer": Timer,
    "delivery": Delivery,
    "inbox": Inbox,
}


def methods_of(cls: type) -> set[str]:
    return {name for name, each in inspect.getmembers(cls, inspect.isfunction) if not name.startswith("_")}


@pytest.mark.parametrize("prefix", CLASSES)
def test_each_public_method_is_a_command_or_a_read_or_works_here(prefix: str) -> None:
    """A new one is put where it belongs: what changes the hub is a command, unless it takes code of this process."""
    places = [COMMANDS[prefix], READS[prefix], frozenset(HERE.get(prefix, {}))]
    assert set().union(*places) == methods_of(CLASSES[prefix])
    assert sum(map(len, places)) == len(set().union(*places))
    assert MADE_HERE.get(prefix, frozenset()) <= READS[prefix]


def test_all_commands_are_coroutines_and_all_results_are_of_commands() -> None:
    for prefix, names in COMMANDS.items():
        assert all(inspect.iscoroutinefunction(getattr(CLASSES[prefix], name)) for name in names)
    for name in RESULTS:
        prefix, _, method = name.partition(".")
        assert method in COMMANDS[prefix]
