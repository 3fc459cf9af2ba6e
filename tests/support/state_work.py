"""What the tests of state work share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hubwire import codec
from hubwire._state import State
from hubwire._state.turns import WatchLimits
from hubwire.clock import timestamp
from hubwire.context import EMPTY
from hubwire.errors import CommandRejected
from hubwire.events import (
    Event,
)
from hubwire.events._stamp import stamp
from support import restored

MACHINES = ("quotas", "turns", "tasks", "approvals")


DOMAINS = ("turn", "model", "tool", "task", "approval")


LIMITS = WatchLimits(turn_seconds_max=30, model_seconds_max=10, tool_seconds_max=20, open_max=5)


START_NS = 1_767_225_600_000_000_000


def known(state: State) -> dict[str, Any]:
    """Everything the machines remember, indexes too."""
    others = set(map(id, state.machines.values()))
    return {
        name: {key: value for key, value in vars(state.machines[name]).items() if id(value) not in others}
        for name in MACHINES
    }


class Bench:
    """A state, the history that led to it, and a clock."""

    def __init__(self) -> None:
        self.state = State(LIMITS)
        self.history: list[bytes] = []
        self.events: list[Event] = []
        self.now_ns = START_NS
        for agent_id in "abc":
            self.do(self.state.agents.register(f"name of {agent_id}", (), agent_id=agent_id))
        self.do(self.state.membership.open(["a", "b"], "", channel_id="ab"))

    def do(self, events: list[Event]) -> list[Event]:
        done = []
        for each in events:
            made = stamp(
                each,
                seq=len(self.history),
                id=f"id {len(self.history)}",
                at=timestamp(self.now_ns),
                hub="a hub",
                context=EMPTY,
                bytes_max=1 << 20,
            )
            self.history.append(codec.encode(made))
            self.state.apply(made)
            done.append(made)
        self.events += done
        return done

    def settle_what_is_due(self) -> list[Event]:
        """Do what the timers do, and see that it comes to an end."""
        done: list[Event] = []
        for _ in range(1000):
            events = self.state.due(self.now_ns, 2)
            if not events:
                due_ns = self.state.next_due_ns()
                assert due_ns is None or due_ns > self.now_ns, "something is due, and nothing is decided"
                return done
            ours = [each for each in self.do(events) if each.kind.partition(".")[0] in DOMAINS]
            assert len(ours) <= 2
            done += ours
        raise AssertionError("what is due never comes to an end")

    def refused(self, decide: Callable[[], object]) -> None:
        before, length = repr(known(self.state)), len(self.history)
        with pytest.raises(CommandRejected):
            decide()
        assert repr(known(self.state)) == before
        assert len(self.history) == length

    def check(self) -> None:
        """Replaying the journal gives the state, and so does a snapshot of it."""
        replayed = State(LIMITS)
        for body in self.history:
            replayed.apply(codec.decode(body))
        assert known(replayed) == known(self.state)
        assert known(restored(self.state, State(LIMITS))) == known(self.state)
