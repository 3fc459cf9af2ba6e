"""Runs as a board shows them: when they were, and whether they wait for a person."""

from __future__ import annotations

from typing import Any

import pytest

from hubwire import Board, Hub
from hubwire.board import RunView
from hubwire.events import Event, TurnEnded, TurnStarted
from hubwire.runtimes import Recorder
from hubwire.testing import Recorder as Heard


def at(minute: int) -> str:
    return f"2026-03-02T09:{minute:02d}:00.000000Z"


def turn(turn_id: str, begun: str | None, ended: str | None, run: str = "the run") -> list[Event]:
    header: dict[str, Any] = {"correlation_id": run, "turn_id": turn_id, "agent_id": "ann"}
    return [
        TurnStarted(prompt=turn_id, occurred_at=begun, **header),
        TurnEnded(content="done", occurred_at=ended, **header),
    ]


async def board_of(*events: Event) -> Board:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        for event in events:
            await hub.emit(event)
        await heard.wait_for(events[-1].kind)
    board = Board()
    board.fold_all(heard.events)
    return board


async def test_a_run_that_was_recorded_before_was_when_its_events_say() -> None:
    """As of a spool that is drained days later, with two files whose events come one after the other."""
    board = await board_of(*turn("second", at(5), at(9)), *turn("first", at(2), at(3)))
    (run,) = board.runs()
    assert (run.started_at, run.last_at, run.seconds) == (at(2), at(9), 7 * 60.0)
    assert [bar.start for bar in run.bars] == [180.0, 0.0] or [bar.start for bar in run.bars] == [0.0, 180.0]


async def test_what_was_before_is_not_the_newest_because_it_came_last() -> None:
    board = await board_of(*turn("now", None, None, "new"), *turn("before", at(5), at(9), "old"))
    assert [run.run_id for run in board.runs()] == ["correlation:new", "correlation:old"]
    new, old = board.runs()
    assert old.last_at == at(9)
    assert new.last_at > at(9)


@pytest.mark.parametrize("odd", ["", "yesterday", "9999-99-99T00:00:00Z", "x" * 40, "2026-03-02T09:07:00+09:00"])
async def test_odd_times_leave_a_run_as_it_was(odd: str) -> None:
    board = await board_of(*turn("fine", at(5), at(9)), *turn("odd", odd or None, odd or None))
    (run,) = board.runs()
    assert run.turns == 2
    assert run.seconds is not None
    assert Board.restore(board.snapshot()).runs() == board.runs()


async def test_a_hand_over_is_when_the_turn_began_that_it_led_to() -> None:
    board = await board_of(*turn("a", at(5), at(9)))
    waterfall = board.run("correlation:the run")
    assert waterfall is not None
    assert [span.started_at for span in waterfall.spans] == [at(5)]
    assert [span.ended_at for span in waterfall.spans] == [at(9)]


async def asked_in_a_run(hub: Hub, recorder: Recorder, heard: Heard) -> str:
    """As frameworks do it: the turn ends, and its program asks."""
    recorder.begin_turn("run", agent="planner", prompt="deploy it")
    recorder.end("run", {"waits_for_approval": ["deploy"]})
    await recorder.flush()
    started = next(event for event in heard.events if event.kind == "turn.started")
    from hubwire.context import scope

    with scope(correlation_id=started.correlation_id):
        approval_id: str = await hub.approvals.request("planner", "deploy", arguments={"to": "live"})
    return approval_id


def shown(heard: Heard) -> RunView:
    board = Board()
    board.fold_all(heard.events)
    again = Board.restore(board.snapshot())
    (run,) = board.runs()
    assert again.runs() == board.runs()
    return run


async def test_a_run_that_waits_for_a_person_has_not_ended_well() -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with Recorder(hub, source="mine") as recorder:
            approval_id = await asked_in_a_run(hub, recorder, heard)
            await heard.wait_for("approval.challenge_issued")
            run = shown(heard)
            assert (run.state, run.open, run.waiting) == ("waiting", 0, 1)
            await hub.approvals.answer(approval_id, "ann", is_passed=True)
            await heard.wait_for("approval.approved")
            run = shown(heard)
            assert (run.state, run.waiting) == ("ended", 0)


async def test_a_run_that_waits_inside_of_its_turn_is_open_and_says_that_it_waits() -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        planner = await hub.agents.register("planner")
        async with hub.turns.turn(planner):
            await hub.approvals.request(planner, "deploy")
            await heard.wait_for("approval.challenge_issued")
            run = shown(heard)
            assert (run.state, run.open, run.waiting) == ("open", 1, 1)


async def test_runs_that_wait_stand_before_those_that_have_ended() -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with Recorder(hub, source="mine") as recorder:
            await asked_in_a_run(hub, recorder, heard)
            await heard.wait_for("approval.challenge_issued")
            recorder.begin_turn("newer", agent="coder", prompt="lint")
            recorder.fail("newer", ValueError("no"))
            await recorder.flush()
    board = Board()
    board.fold_all(each for each in heard.events if each.kind != "approval.withdrawn")
    assert [run.state for run in board.runs()] == ["waiting", "failed"]
