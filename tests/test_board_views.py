"""What a board shows: the states of agents, transcripts, waterfalls, approvals, listeners and counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hubwire import Board, BoardLimits, Duty, Hub, codec
from hubwire.events import (
    ActorCrashed,
    ActorStarted,
    AgentSwitched,
    AgentUnregistered,
    ApprovalApproved,
    ApprovalChallengeCompleted,
    ApprovalChallengeIssued,
    ApprovalDenied,
    ApprovalRequested,
    ApprovalRiskScored,
    ChannelCreated,
    ChannelOpened,
    EnvelopeAcked,
    EnvelopePosted,
    EnvelopeRejected,
    ErrorRaised,
    ExpectationViolated,
    GenericEvent,
    ListenerAttached,
    ListenerFailed,
    ListenerSuspended,
    MailboxOverflowed,
    ModelCalled,
    ModelCompleted,
    TaskCompleted,
    TaskProgressed,
    TaskStarted,
    ToolCalled,
    ToolCompleted,
    ToolFailed,
    TurnAbandoned,
    TurnEnded,
    TurnFailed,
    TurnStarted,
)
from hubwire.log import LogReader
from hubwire.stores import FileStore
from support import until
from support.board_events import START, agent, at, board_of
from support.board_life import found

TURN: dict[str, Any] = {"agent_id": "a", "turn_id": "t"}
ASKED = ApprovalRequested(approval_id="p", agent_id="a", action="deploy", arguments={"to": "prod"}, timeout_seconds=100)


def state(board: Board, second: float | None = None, agent_id: str = "a") -> str:
    return found(board.agent(agent_id, now=None if second is None else at(second))).state


# --- agents ---------------------------------------------------------------------------------------------------------


def test_an_agent_is_idle_until_it_begins_work() -> None:
    assert state(board_of(agent("a"))) == "idle"
    assert state(board_of(agent("a"), TurnStarted(**TURN))) == "working"
    assert state(board_of(agent("a"), TurnStarted(**TURN), TurnEnded(**TURN))) == "idle"
    assert state(board_of(agent("a"), TaskStarted(task_id="k", owner_id="a", title="t"))) == "working"


def test_an_agent_with_work_in_its_hands_is_silent_after_two_minutes() -> None:
    working = board_of(agent("a"), TurnStarted(**TURN))
    assert state(working, 120.9) == "working"
    assert state(working, 121) == "silent"
    assert state(board_of(agent("a")), 10_000) == "idle", "who has nothing to do need not be heard"
    posted = EnvelopePosted(envelope_id="e", content="x", recipients=("a",), agent_id="b")
    assert state(board_of(agent("a"), posted), 10_000) == "silent", "its inbox is not empty"
    assert state(Board.restore(working.snapshot(), limits=BoardLimits(silent_seconds=5)), 10) == "silent"


def test_what_others_do_to_an_agent_is_no_sign_of_life() -> None:
    board = board_of(agent("a"), TurnStarted(**TURN), TurnAbandoned(**TURN, reason="late"))
    assert found(board.agent("a")).last_seen_at == at(1)


def test_an_agent_waits_for_a_person_while_an_approval_does() -> None:
    asked = (agent("a"), TurnStarted(**TURN), ASKED)
    assert state(board_of(*asked)) == "waits_for_person"
    assert state(board_of(*asked), 500) == "waits_for_person", "that it is silent is no wonder"
    shadow = ApprovalRequested(approval_id="p", agent_id="a", action="deploy", mode="shadow")
    assert state(board_of(agent("a"), shadow)) == "idle", "it acts all the same"
    denied = ApprovalDenied(approval_id="p", agent_id="a", action="deploy")
    assert state(board_of(*asked, denied)) == "working"


def test_an_agent_waits_for_an_agent_until_it_is_answered() -> None:
    """Or until what it has asked is given up."""
    question = EnvelopePosted(envelope_id="q", content="?", recipients=("b",), agent_id="a")
    asked = (agent("a"), agent("b"), question)
    board = board_of(*asked)
    assert state(board) == "waits_for_agent"
    assert found(found(board.agent("a")).doing).name == "name of b"
    answer = EnvelopePosted(envelope_id="r", content="!", recipients=("a",), agent_id="b", causation_id="event h 2")
    assert state(board_of(*asked, answer)) == "idle"
    assert state(board_of(*asked, EnvelopeAcked(envelope_id="q", agent_id="b"))) == "idle"
    assert state(board_of(*asked, AgentUnregistered(agent_id="b", name="b"))) == "idle"


async def test_a_question_to_an_agent_is_seen_in_a_hub() -> None:
    """And its answer."""
    seen: list[str] = []
    board = Board()
    async with Hub() as hub:
        hub.attach(board.fold, name="board", duty=Duty.REQUIRED)

        async def answering(turn: Any) -> None:
            seen.append(next(each.state for each in board.agents() if each.name == "asker"))
            await turn.reply("yes")

        asker = await hub.agents.register("asker")
        answerer = await hub.spawn(answering, name="answerer")
        assert await hub.ask(asker, answerer.agent, "well?") is not None
        await hub.flush()
    assert seen == ["waits_for_agent"]
    assert next(each.state for each in board.agents() if each.name == "asker") == "idle"


def test_an_agent_fails_while_its_last_turn_has() -> None:
    failed = (agent("a"), TurnStarted(**TURN), TurnFailed(**TURN, error_message="no money"))
    board = board_of(*failed)
    assert state(board) == "failing"
    assert found(board.agent("a")).why == "its last turn failed: no money"
    assert state(board, 1000) == "idle", "after a quarter of an hour it is over"
    assert state(board_of(*failed, TurnStarted(**TURN))) == "failing"
    assert state(board_of(*failed, TurnStarted(**TURN), TurnEnded(**TURN))) == "idle"


def test_an_agent_fails_after_three_calls_in_a_row() -> None:
    call = (ToolCalled(**TURN, tool="ls", call_id="1"), ToolFailed(**TURN, tool="ls", call_id="1"))
    well = (ToolCalled(**TURN, tool="ls", call_id="2"), ToolCompleted(**TURN, tool="ls", call_id="2"))
    assert state(board_of(agent("a"), *call, *call)) == "idle"
    assert state(board_of(agent("a"), *call, *call, *call)) == "failing"
    assert state(board_of(agent("a"), *call, *call, *well, *call)) == "idle"


def test_an_agent_fails_while_its_actor_lies_there() -> None:
    started = ActorStarted(agent_id="a", name="a", group="g")
    crashed = ActorCrashed(agent_id="a", name="a", group="g", error_type="KeyError", error_message="x")
    assert state(board_of(agent("a"), started, crashed), 5000) == "failing"
    assert state(board_of(agent("a"), started, crashed, started)) == "idle"


def test_who_needs_a_look_stands_first() -> None:
    board = board_of(
        *map(agent, ["idle", "gone", "full", "at work", "silent", "person", "failing"]),
        TurnStarted(agent_id="silent", turn_id="1"),
        AgentUnregistered(agent_id="gone", name="gone"),
        *(GenericEvent(kind="a.done") for _ in range(120)),
        TurnStarted(agent_id="at work", turn_id="2"),
        TurnStarted(agent_id="full", turn_id="3"),
        EnvelopePosted(envelope_id="e", content="x", recipients=("full",), channel_id="c", agent_id="idle"),
        ApprovalRequested(approval_id="p", agent_id="person", action="x"),
        TurnStarted(agent_id="failing", turn_id="4"),
        TurnFailed(agent_id="failing", turn_id="4"),
    )
    views = board.agents()
    assert [each.agent_id for each in views] == ["failing", "person", "silent", "full", "at work", "idle", "gone"]
    assert [each.group for each in views] == [*["needs_look"] * 3, *["at_work"] * 2, *["quiet"] * 2]
    assert board.hub().agents["silent"] == 1
    for limit in range(8):
        some = board.agents(limit=limit)
        assert [each.agent_id for each in some] == [each.agent_id for each in views][:limit]
        assert some.not_shown == 7 - limit


def test_an_agent_that_left_for_others_and_is_heard_again_is_still_at_work() -> None:
    """Also on a board that was restored: what it has begun is remembered either way."""
    limits = BoardLimits(agents=1)
    board = board_of(TurnStarted(**TURN), agent("b"), ToolCalled(**TURN, tool="t", call_id="1"), limits=limits)
    again = Board.restore(board.snapshot(), limits=limits)
    assert state(board) == state(again) == "working"
    assert found(board.agent("a")).in_flight == found(again.agent("a")).in_flight == 1
    gone = board_of(TurnStarted(**TURN), AgentUnregistered(agent_id="a", name="a"))
    assert (state(gone), found(gone.agent("a")).in_flight) == ("gone", 0)


def test_an_agent_does_the_innermost_of_what_it_has_begun() -> None:
    events = [
        agent("a"),
        TurnStarted(**TURN),
        ModelCalled(**TURN, model="m", call_id="1"),
        ModelCompleted(**TURN, model="m", call_id="1"),
        ToolCalled(**TURN, tool="search", call_id="2"),
    ]
    board = board_of(*events)
    view = found(board.agent("a", now=at(10)))
    doing = found(view.doing)
    assert (doing.family, doing.name, doing.since_at, doing.seconds) == ("tool", "search", at(4), 6)
    assert (view.in_flight, view.calls_open) == (1, 1)
    assert found(found(board_of(*events[:4]).agent("a")).doing).family == "turn"


def test_errors_are_those_of_the_last_quarter_of_an_hour() -> None:
    board = board_of(agent("a"), *(ErrorRaised(error_type="x", agent_id="a") for _ in range(70)))
    assert found(board.agent("a")).errors_by_minute[-2:] == (59, 11)
    assert found(board.agent("a", now=at(60 * 15 + 1))).errors == 11
    assert found(board.agent("a", now=at(60 * 17))).errors == 0


def test_tokens_and_cost_are_those_that_events_tell() -> None:
    call = ModelCompleted(**TURN, model="m", call_id="1", input_tokens=1_000_000, output_tokens=500_000)
    told_ = ModelCompleted(**TURN, model="m", call_id="1", metadata={"cost_usd": 0.25})
    view = found(board_of(agent("a"), call).agent("a"))
    assert (view.input_tokens, view.output_tokens, view.cost_usd) == (1_000_000, 500_000, None)
    priced = agent("a", passport={"cost": {"input_per_mtok": 3.0, "output_per_mtok": 15.0}})
    assert found(board_of(priced, call, told_).agent("a")).cost_usd == 10.5 + 0.25


def test_an_agent_that_was_not_registered_has_an_inbox_of_unknown_depth() -> None:
    assert found(board_of(TurnStarted(**TURN)).agent("a")).inbox is None


# --- channels -------------------------------------------------------------------------------------------------------


def test_a_transcript_reads_like_a_chat() -> None:
    about: dict[str, Any] = {"agent_id": "b", "channel_id": "c"}
    board = board_of(
        *map(agent, "ab"),
        ChannelCreated(
            channel_id="c", agent_id="a", participants=("a", "b"), topic="t", expectations=({"name": "quick"},)
        ),
        ChannelOpened(channel_id="c"),
        EnvelopePosted(
            envelope_id="e", content={"text": "do it"}, recipients=("b",), audience=("b",), agent_id="a", channel_id="c"
        ),
        *(ToolCalled(**about, tool="ls", call_id=str(number)) for number in range(2)),
        ToolFailed(**about, tool="ls", call_id="1", error_message="no such file"),
        EnvelopeAcked(envelope_id="e", **about),
        EnvelopeRejected(**about, reason="not your turn", error="PostRejected"),
        ExpectationViolated(
            expectation="quick",
            version=1,
            place=0,
            number=1,
            on_violation="warn",
            params={},
            violators=("b",),
            channel_id="c",
        ),
    )
    shown = found(board.channel("c"))
    assert [(line.sort, line.agent, line.text, line.acked, line.failed, line.calls) for line in shown.lines] == [
        ("said", "name of a", "do it", 1, 0, {}),
        ("calls", "name of b", "no such file", 0, 1, {"ls": 2}),
        ("rejected", "name of b", "not your turn", 0, 0, {}),
        ("violated", "", "quick", 0, 0, {}),
    ]
    assert shown.lines[0].to == ("name of b",)
    assert [(each.name, each.state, each.violators) for each in shown.channel.expectations] == [
        ("quick", "violated", ("name of b",))
    ]
    assert (shown.channel.posts, shown.channel.rejected, shown.channel.violations) == (1, 1, 1)
    assert [(link.from_agent, link.to_agent, link.count) for link in shown.links] == [("name of a", "name of b", 1)]


def test_an_expectation_is_kept_until_it_is_violated() -> None:
    board = board_of(ChannelCreated(channel_id="c", agent_id="a", participants=(), expectations=({"name": "quick"},)))
    assert [each.state for each in board.channels().rows[0].expectations] == ["kept"]


def test_channels_with_trouble_stand_first() -> None:
    created = [ChannelCreated(channel_id=each, agent_id="a", participants=()) for each in "xyz"]
    rejected = EnvelopeRejected(agent_id="a", channel_id="x", reason="no", error="E")
    later = EnvelopePosted(envelope_id="e", content="x", recipients=(), agent_id="a", channel_id="y")
    assert [each.channel_id for each in board_of(*created, rejected, later).channels()] == ["x", "y", "z"]


# --- runs -----------------------------------------------------------------------------------------------------------


def test_a_run_is_a_waterfall() -> None:
    board = board_of(
        TaskStarted(task_id="k", owner_id="a", agent_id="a", title="fix it"),
        TurnStarted(**TURN, task_id="k", prompt="go"),
        ModelCalled(**TURN, model="m", call_id="1"),
        ModelCompleted(**TURN, model="m", call_id="1", input_tokens=3, output_tokens=2, duration_ms=250),
        ToolCalled(**TURN, tool="ls", call_id="1", arguments={"path": "/"}),
        ToolFailed(**TURN, tool="ls", call_id="1", error_message="no"),
        ToolCalled(**TURN, tool="cat", call_id="2"),
    )
    (run,) = board.runs()
    assert (run.run_id, run.title, run.state, run.open, run.turns, run.calls) == ("task:k", "fix it", "open", 3, 1, 3)
    assert (run.failed, run.input_tokens, run.output_tokens) == (1, 3, 2)
    spans = found(board.run("task:k", now=at(10))).spans
    assert [(each.level, each.family, each.name, each.outcome, each.seconds) for each in spans] == [
        (0, "task", "fix it", "open", 10),
        (1, "turn", "", "open", 9),
        (2, "model", "m", "ok", 0.25),
        (2, "tool", "ls", "failed", 1),
        (2, "tool", "cat", "open", 4),
    ]
    assert (spans[1].preview, spans[3].preview, spans[3].detail) == ("go", '{"path":"/"}', "no")


def test_an_envelope_hands_the_work_over() -> None:
    """A turn that handles what another turn has posted belongs to the same run."""
    board = board_of(
        *map(agent, "ab"),
        TurnStarted(**TURN),
        EnvelopePosted(envelope_id="e", content="go on", recipients=("b",), agent_id="a", turn_id="t", channel_id="c"),
        TurnEnded(**TURN),
        TurnStarted(agent_id="b", turn_id="u", envelope_id="e"),
    )
    (run,) = board.runs()
    shown = found(board.run(run.run_id))
    first, second = shown.spans
    assert (second.cause, second.preview) == (first.number, "go on")
    assert [(each.from_agent, each.to_agent, each.from_span, each.to_span) for each in shown.hand_overs] == [
        ("name of a", "name of b", first.number, second.number)
    ]


async def test_actors_hand_over_to_each_other() -> None:
    """What an actor posts in a turn is handled in the same run."""
    board = Board()
    async with Hub() as hub:
        hub.attach(board.fold, name="board", in_loop=True)

        async def coding(turn: Any) -> None:
            assert turn.content == "do it"

        coder = await hub.spawn(coding, name="coder")

        async def planning(turn: Any) -> None:
            await turn.post("do it", to=[coder.agent])

        planner = await hub.spawn(planning, name="planner")
        user = await hub.agents.register("user")
        channel = await hub.channels.open([user, planner.agent, coder.agent])
        await channel.post(user, "go", to=[planner.agent])
        await until(lambda: board.hub().kinds.get("turn.ended") == 2)
    (run,) = board.runs()
    shown = found(board.run(run.run_id))
    assert (run.title, [(span.agent, span.preview) for span in shown.spans]) == (
        "go",
        [("planner", "go"), ("coder", "do it")],
    )
    assert [(each.from_agent, each.to_agent) for each in shown.hand_overs] == [("planner", "coder")]


def test_a_switch_is_a_hand_over() -> None:
    board = board_of(TurnStarted(**TURN), AgentSwitched(**TURN, from_agent="a", to_agent="b", reason="its work"))
    (hand_over,) = found(board.run("turn:t")).hand_overs
    assert (hand_over.from_agent, hand_over.to_agent, hand_over.reason) == ("a", "b", "its work")


def test_an_end_that_comes_late_counts() -> None:
    """It was abandoned, and then ended after all."""
    abandoned = (TurnStarted(**TURN), TurnAbandoned(**TURN, reason="too long"))
    board = board_of(*abandoned)
    (run,) = board.runs()
    assert (run.state, run.abandoned, run.open) == ("abandoned", 1, 0)
    assert found(board.run("turn:t")).spans[0].detail == "too long"
    (run,) = board_of(*abandoned, TurnEnded(**TURN)).runs()
    assert (run.state, run.abandoned, run.open) == ("ended", 0, 0)


def test_late_ends_are_waited_for_within_bounds() -> None:
    """Of more than a thousand that were abandoned, the oldest ones stay so."""
    turns: list[dict[str, Any]] = [
        {"agent_id": "a", "turn_id": str(number), "session_id": str(number)} for number in range(1_100)
    ]
    abandoned = [TurnAbandoned(**turn, reason="late") for turn in turns]
    limits = BoardLimits(runs=2_000)
    board = board_of(
        *(TurnStarted(**turn) for turn in turns), *abandoned, *(TurnEnded(**each) for each in turns), limits=limits
    )
    states = {run.run_id: run.state for run in board.runs()}
    assert (states["session:0"], states["session:99"], states["session:100"]) == ("abandoned", "abandoned", "ended")
    assert board.snapshot()["runs"]["held"] == []


def test_the_same_call_id_in_two_turns_is_two_calls() -> None:
    other: dict[str, Any] = {"agent_id": "b", "turn_id": "u"}
    board = board_of(
        TurnStarted(**TURN),
        TurnStarted(**other),
        ToolCalled(**TURN, tool="ls", call_id="1"),
        ToolCalled(**other, tool="cat", call_id="1"),
        ToolCompleted(**TURN, tool="ls", call_id="1"),
    )
    assert [(each.name, each.outcome) for each in found(board.run("turn:t")).spans[1:]] == [("ls", "ok")]
    assert [(each.name, each.outcome) for each in found(board.run("turn:u")).spans[1:]] == [("cat", "open")]


def test_what_was_recorded_elsewhere_is_no_work_of_now() -> None:
    """It has the times of its source, and no end of it is waited for."""
    then = "2020-05-05T00:00:00Z"
    board = board_of(agent("a"), ToolCalled(**TURN, tool="ls", call_id="1", occurred_at=then, source_id="x"))
    assert state(board, 5000) == "idle"
    (span,) = found(board.run("turn:t")).spans
    assert (span.is_recorded, span.started_at) == (True, then)


def test_an_imported_conversation_is_shown(tmp_path: Path) -> None:
    """By `hubwire import`: its agents, its channel as a transcript, its calls as a run."""
    source = tmp_path / "chat.jsonl"
    call = '{"id": "1", "type": "function", "function": {"name": "ls", "arguments": "{\\"path\\": \\"/\\"}"}}'
    source.write_text(
        '{"messages": [{"role": "user", "content": "list it"}, {"role": "assistant", "content": null, "tool_calls": ['
        + call
        + ']}, {"role": "tool", "tool_call_id": "1", "content": "bin"}, {"role": "assistant", "content": "bin"}]}\n'
    )
    command = [sys.executable, "-P", "-m", "hubwire", "import", str(source), "--store", str(tmp_path / "store")]
    subprocess.run([*command, "--format", "openai-chat"], check=True, capture_output=True)
    board = board_of_log(tmp_path / "store")
    assert {each.name for each in board.agents()} == {"chat.jsonl/user", "chat.jsonl/assistant"}
    (channel,) = board.channels()
    lines = found(board.channel(channel.channel_id)).lines
    assert [line.sort for line in lines] == ["said", "said", "calls", "said"]
    assert [span.name for run in board.runs() for span in found(board.run(run.run_id)).spans] == ["ls"]
    assert board.hub().misfits == 0


def board_of_log(path: Path) -> Board:
    """Fold a log without a hub."""
    import anyio

    async def fold() -> Board:
        board, reader = Board(), LogReader(FileStore(path), "/journal")
        while records := await reader.read():
            for record in records:
                if b'"seq":' in record.body:
                    board.fold(codec.decode(record.body))
        return board

    return anyio.run(fold)


# --- tasks, approvals, listeners ------------------------------------------------------------------------------------


def test_a_task_shows_progress_and_time_left() -> None:
    events = [
        TaskStarted(task_id="k", owner_id="a", title="t", ttl_seconds=60),
        TaskProgressed(task_id="k", owner_id="a", progress={"done": 3}),
    ]
    (task,) = board_of(*events).tasks(now=at(10))
    assert (task.state, task.progress, task.seconds, task.seconds_left) == ("running", '{"done":3}', 10, 50)
    (task,) = board_of(*events, TaskCompleted(task_id="k", owner_id="a", result="green")).tasks(now=at(10))
    assert (task.state, task.detail, task.seconds, task.seconds_left) == ("completed", "green", 2, None)


def test_an_approval_shows_who_asks_what_and_why_it_is_risky() -> None:
    scored = ApprovalRiskScored(
        approval_id="p",
        agent_id="a",
        action="deploy",
        risk_score=0.7,
        risk_level="high",
        steps=({"scorer": "name", "score": 0.7, "reason": "it deploys"},),
    )
    issued = ApprovalChallengeIssued(approval_id="p", action="deploy", challenge="confirm", risk_level="high", quorum=2)
    answered = ApprovalChallengeCompleted(
        approval_id="p", action="deploy", challenge="confirm", approver="bob", is_passed=True
    )
    events = [agent("a"), ASKED, scored, issued, answered]
    (view,) = board_of(*events).approvals(now=at(21))
    assert (view.agent, view.action, view.arguments, view.state) == ("name of a", "deploy", '{"to":"prod"}', "waiting")
    assert (view.waited_seconds, view.seconds_left, view.quorum, view.passed) == (20, 80, 2, ("bob",))
    assert (view.risk_score, view.risk_level, view.stage) == (0.7, "high", "asked")
    assert [step.to_json() for step in view.risk_steps] == [{"scorer": "name", "score": "0.70", "reason": "it deploys"}]
    approved = ApprovalApproved(approval_id="p", action="deploy", approvers=("bob", "eve"), reason="fine")
    (view,) = board_of(*events, approved).approvals(now=at(500))
    assert (view.state, view.decided_by, view.reason, view.waited_seconds) == ("approved", ("bob", "eve"), "fine", 4)
    assert view.seconds_left is None


def test_the_approval_that_waits_longest_stands_first() -> None:
    asked = [ApprovalRequested(approval_id=each, agent_id="a", action=each) for each in "pqr"]
    denied = ApprovalDenied(approval_id="p", action="p")
    board = board_of(*asked, denied)
    assert [each.approval_id for each in board.approvals()] == ["q", "r", "p"]
    assert [board.approval(each.approval_id) for each in board.approvals()] == list(board.approvals())
    assert board.approval("x") is None


def test_listeners_in_trouble_stand_first() -> None:
    def attached(name: str) -> ListenerAttached:
        return ListenerAttached(listener=name, duty="durable", pattern=("*",), since_seq=0)

    failed: dict[str, Any] = {"error_type": "E", "error_message": "boom", "event_seq": 1}
    board = board_of(
        *map(attached, ["fine", "slow", "broken", "hook"]),
        MailboxOverflowed(listener="slow", count=7, first_seq=1, last_seq=7),
        ListenerFailed(listener="hook", reason="raised", count=3, given_up=(1, 2), **failed),
        ListenerSuspended(listener="broken", reason="failed", attempts=16, **failed),
    )
    views = {each.listener: each for each in board.listeners()}
    assert list(views) == ["broken", "hook", "slow", "fine"]
    assert (views["broken"].state, views["broken"].last_error) == ("suspended", "boom")
    assert (views["hook"].failed, views["hook"].dead_letters, views["slow"].dropped) == (3, 2, 7)
    assert board.hub().listeners_troubled == 3


# --- counts ---------------------------------------------------------------------------------------------------------


def test_counts_are_stacked_by_what_they_mean() -> None:
    board = board_of(agent("a"), TurnFailed(**TURN), EnvelopeRejected(reason="no", error="E"), GenericEvent(kind="a.b"))
    buckets = board.counts("second", buckets=4).buckets
    assert [(each.wrong, each.attention, each.other) for each in buckets] == [
        (0, 0, 1),
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
    ]
    assert buckets[0].start == START.timestamp()
    assert [(each.wrong, each.attention, each.other) for each in board.counts("hour", buckets=2).buckets][-1] == (
        1,
        1,
        2,
    )
    assert (board.hub().wrong, board.hub().attention) == (1, 1)


def test_an_outcome_of_ones_own_counts() -> None:
    """A kind of the program is wrong where its header says so."""
    board = board_of(GenericEvent(kind="a.b", outcome="failure"), GenericEvent(kind="a.b", severity="warning"))
    assert (board.hub().wrong, board.hub().attention) == (1, 1)


def test_events_per_second_are_those_of_the_last_ten() -> None:
    board = board_of(*(GenericEvent(kind="a.b") for _ in range(30)))
    assert board.hub(now=at(29)).events_per_second == 1.0
    assert board.hub(now=at(1000)).events_per_second == 0.0


@pytest.mark.parametrize(
    "name", ["hub", "agents", "channels", "links", "runs", "tasks", "approvals", "listeners", "counts"]
)
def test_what_is_shown_is_json_with_stable_names(name: str) -> None:
    """Lists are objects with ``rows`` and ``not_shown``."""
    shown = getattr(board_of(agent("a"), TurnStarted(**TURN), ASKED), name)().to_json()
    assert type(shown) is dict
    if name not in ("hub", "counts"):
        assert shown.keys() == {"rows", "not_shown"}
