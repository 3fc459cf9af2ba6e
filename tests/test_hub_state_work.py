"""Rules of turns, tasks and approvals that no random sequence of commands would find."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from hubwire._state.risks import FailMode, Mode, RiskLevel, adjusted, level_of
from hubwire.approvals import DEFAULT_CHALLENGES
from hubwire.events import (
    ToolCalled,
    ToolCompleted,
)
from support.state_work import Bench


@pytest.mark.parametrize(
    ("score", "trust", "left"),
    [(0.5, 0.3, 0.5), (0.5, 0.0, 0.59), (0.5, 1.0, 0.29), (1.0, 1.0, 0.8), (0.85, 1.0, 0.8), (0.0, 1.0, 0.0)],
)
def test_trust_lowers_a_risk(score: float, trust: float, left: float) -> None:
    """But what is critical stays critical."""
    assert adjusted(score, trust) == left
    if level_of(score) is RiskLevel.CRITICAL:
        assert level_of(left) is RiskLevel.CRITICAL


def test_ended_tasks_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire._state.tasks.ENDED_MAX", 3)
    bench = Bench()
    tasks = bench.state.tasks
    for number in range(5):
        bench.do(tasks.start("a", "t", task_id=str(number)))
        bench.do(tasks.complete(str(number), "a", None))
    assert sum(type(entry).__name__ == "EndedTask" for entry in tasks.snapshot()) == 3
    bench.refused(lambda: tasks.start("a", "t", task_id="4"))
    assert tasks.start("a", "t", task_id="0")


def test_abandoned_work_ends_in_batches() -> None:
    """The rest of it is not looked at meanwhile."""
    bench = Bench()
    state = bench.state
    for number in range(300):
        bench.do(state.tasks.start("a", "t", task_id=str(number), ttl_seconds=None))
        bench.do([ToolCalled(tool="t", call_id=str(number), agent_id="a")])
    bench.do(state.endings.unregister("a"))
    for machine, owned in ((state.tasks, state.tasks._tasks), (state.turns, state.turns._open)):
        owned._left_behind = looked_at = Counted(owned._left_behind)
        assert len(machine.due(0, 7)) == 7
        assert looked_at.count <= 8
    while due := state.due(0, 100):
        assert len(due) <= 100
        bench.do(due)
    assert (len(state.tasks), len(state.turns)) == (0, 0)


class Counted(dict[Any, None]):
    """Counts how many of its keys are looked at by iterating."""

    count = 0

    def __iter__(self) -> Any:
        for key in super().__iter__():
            self.count += 1
            yield key


def test_channels_count_for_their_creator() -> None:
    bench = Bench()
    quotas = bench.state.quotas
    bench.do(bench.state.membership.open(["a"], "", channel_id="second"))
    assert (quotas.channels("a"), quotas.channels("b")) == (2, 0)
    opening = bench.state.membership.open(["a"], "", channel_id="third")
    bench.refused(lambda: quotas.checked(opening, 2, str))
    assert quotas.checked(opening, 3, str) is opening
    assert quotas.checked(opening, None, str) is opening
    bench.do(bench.state.endings.close("ab", ""))
    assert quotas.channels("a") == 1
    bench.check()


def test_an_approver_counts_once() -> None:
    bench = Bench()
    approvals = bench.state.approvals
    about: dict[str, Any] = {"mode": Mode.ENFORCE, "fail_mode": FailMode.DENY, "timeout_seconds": 10}
    bench.do(approvals.request("a", "drop", None, approval_id="1", **about))
    bench.do(approvals.assess("1", risk_score=0.9, trust=0.3, challenges=DEFAULT_CHALLENGES, approvers=(), quorum=1))
    bench.do(approvals.answer("1", "x", is_passed=True, reason=""))
    for passes in (True, False):
        bench.refused(partial(approvals.answer, "1", "x", is_passed=passes, reason=""))
    assert len(approvals) == 1
    bench.do(approvals.answer("1", "y", is_passed=True, reason=""))
    assert len(approvals) == 0


def test_an_end_without_an_agent_ends_the_oldest() -> None:
    bench = Bench()
    bench.do([ToolCalled(tool="t", call_id="1", agent_id=agent_id) for agent_id in ("a", "b")])
    bench.do([ToolCompleted(tool="t", call_id="1")])
    assert [entry.agent_id for entry in bench.state.turns] == ["b"]
    bench.do([ToolCompleted(tool="t", call_id="1", agent_id="a")])
    assert [entry.agent_id for entry in bench.state.turns] == ["b"]
    bench.do([ToolCompleted(tool="t", call_id="1", agent_id="b")])
    assert len(bench.state.turns) == 0
