"""The machine of turns, model calls and tool calls, by random sequences of facts."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hubwire.events import (
    Event,
    ModelCalled,
    ModelCompleted,
    ModelFailed,
    ToolCalled,
    ToolCompleted,
    ToolFailed,
    TurnEnded,
    TurnExtended,
    TurnFailed,
    TurnStarted,
)
from support.state_work import Bench

agents = st.sampled_from(["a", "b", None])


ids = st.sampled_from(["1", "2"])


turns = st.sampled_from(["t", "u", None])


def about(family: str, agent_id: str | None, turn_id: str | None) -> dict[str, str | None]:
    """Whose it is; the id of a turn is its own."""
    return {"agent_id": agent_id} if family == "turn" else {"agent_id": agent_id, "turn_id": turn_id}


STARTS: dict[str, Callable[..., Event]] = {
    "turn": lambda key, **about: TurnStarted(turn_id=key, **about),
    "model": lambda key, **about: ModelCalled(model="m", call_id=key, **about),
    "tool": lambda key, **about: ToolCalled(tool="t", call_id=key, **about),
}


ENDS: dict[str, list[Callable[..., Event]]] = {
    "turn": [
        lambda key, **about: TurnEnded(turn_id=key, **about),
        lambda key, **about: TurnFailed(turn_id=key, **about),
    ],
    "model": [
        lambda key, **about: ModelCompleted(model="m", call_id=key, **about),
        lambda key, **about: ModelFailed(model="m", call_id=key, **about),
    ],
    "tool": [
        lambda key, **about: ToolCompleted(tool="t", call_id=key, **about),
        lambda key, **about: ToolFailed(tool="t", call_id=key, **about),
    ],
}


families = st.sampled_from(sorted(STARTS))


SECONDS = {"turn": 30, "model": 10, "tool": 20}


def fits(one: str | None, other: str | None) -> bool:
    """Tell whether the two may be the same."""
    return one == other or one is None or other is None


class TurnFacts(RuleBasedStateMachine):
    """Beginnings and ends in any order; the model is a list of what is open, oldest first."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.open: list[tuple[str, str, str | None, str | None, int]] = []

    @rule(family=families, key=ids, agent_id=agents, turn_id=turns)
    def begin(self, family: str, key: str, agent_id: str | None, turn_id: str | None) -> None:
        self.bench.do([STARTS[family](key, **about(family, agent_id, turn_id))])
        turn_id = key if family == "turn" else turn_id
        self.open = [each for each in self.open if each[:4] != (family, key, agent_id, turn_id)]
        due_ns = self.bench.now_ns + SECONDS[family] * 1_000_000_000
        self.open.append((family, key, agent_id, turn_id, due_ns))

    @rule(key=ids, agent_id=agents, seconds=st.sampled_from([1, 15, 40, -1, float("nan")]))
    def extend(self, key: str, agent_id: str | None, seconds: float) -> None:
        """What was extended is due later, never earlier, and counts as the newest."""
        self.bench.do([TurnExtended(turn_id=key, agent_id=agent_id, envelope_id="e", seconds=seconds)])
        for each in [each for each in self.open if each[:4] == ("turn", key, agent_id, key)]:
            due_ns = self.bench.now_ns + round((seconds + SECONDS["turn"]) * 1_000_000_000) if seconds > 0 else 0
            if due_ns > each[4]:
                self.open.remove(each)
                self.open.append((*each[:4], due_ns))

    @rule(family=families, which=st.integers(0, 1), key=ids, agent_id=agents, turn_id=turns)
    def end(self, family: str, which: int, key: str, agent_id: str | None, turn_id: str | None) -> None:
        self.bench.do([ENDS[family][which](key, **about(family, agent_id, turn_id))])
        turn_id = key if family == "turn" else turn_id
        mine = [each for each in self.open if each[:2] == (family, key) and fits(each[3], turn_id)]
        of_agent = [each for each in mine if each[2] == agent_id]
        exact = [each for each in of_agent if each[3] == turn_id]
        loose = [each for each in mine if fits(each[2], agent_id)]
        for each in (exact or of_agent or loose)[:1]:
            self.open.remove(each)

    @rule(family=families, key=ids, where=st.sampled_from(["source_id", "occurred_at"]))
    def record_what_happened_elsewhere(self, family: str, key: str, where: str) -> None:
        self.bench.do([STARTS[family](key, **{where: "2026-01-01T00:00:00Z"})])

    @rule()
    def begin_what_no_end_could_name(self) -> None:
        self.bench.do([ToolCalled(tool="t", call_id=""), ToolCompleted(tool="t", call_id="")])

    @rule(seconds=st.sampled_from([1, 9, 10, 11, 25, 40]))
    def wait(self, seconds: int) -> None:
        self.bench.now_ns += seconds * 1_000_000_000
        told = self.bench.settle_what_is_due()
        late = {each for each in self.open if each[4] <= self.bench.now_ns}
        crowded = [each for each in self.open if each not in late][: max(0, len(self.open) - len(late) - 5)]
        gone = late | set(crowded)
        assert len(told) >= len(late)
        # Which are crowded out depends on which of the late ones went first; how many remain does not.
        self.open = [each for each in self.open if each not in gone]
        if len(self.open) > len(self.bench.state.turns):
            left = {(entry.family, entry.id, entry.agent_id, entry.turn_id) for entry in self.bench.state.turns}
            self.open = [each for each in self.open if each[:4] in left]

    @rule()
    def restart(self) -> None:
        told = self.bench.do(self.bench.state.turns.repair(lambda *_: ()))
        assert len(told) == len(self.open)
        assert {getattr(each, "reason", "") for each in told} <= {"the hub was restarted"}
        self.open = []

    @invariant()
    def what_is_open_is_what_the_model_says(self) -> None:
        found = [(entry.family, entry.id, entry.agent_id, entry.turn_id) for entry in self.bench.state.turns]
        assert found == [each[:4] for each in self.open]

    def teardown(self) -> None:
        self.bench.check()


TestTurnFacts = TurnFacts.TestCase


TestTurnFacts.settings = settings(max_examples=100, stateful_step_count=30)
