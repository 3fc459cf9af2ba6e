"""What a board shows for a closer look: single calls, acks, what goes on in a channel, runs in small, restarts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hubwire import Board
from hubwire.events import (
    ApprovalRequested,
    ChannelCreated,
    ChannelOpened,
    ChannelParticipantJoined,
    ChannelParticipantRemoved,
    EnvelopeAcked,
    EnvelopePosted,
    EnvelopeRejected,
    Event,
    HubStarted,
    HubStopped,
    ModelCalled,
    ModelCompleted,
    ToolAbandoned,
    ToolCalled,
    ToolCompleted,
    ToolFailed,
    TurnAbandoned,
    TurnEnded,
    TurnStarted,
)
from support.board_events import agent, at, board_of, told
from support.board_life import found

CHANNEL: dict[str, Any] = {"channel_id": "c", "agent_id": "a"}
STARTED = HubStarted(version="1", pid=1, host="h")


def opened(*events: Event) -> Board:
    """The first event after the channel was opened comes in second 4."""
    created = ChannelCreated(channel_id="c", agent_id="a", participants=("a", "b"), topic="rebook")
    return board_of(*map(agent, "ab"), created, ChannelOpened(channel_id="c"), *events)


# --- transcripts ----------------------------------------------------------------------------------------------------


def test_a_line_of_calls_tells_how_each_of_them_went() -> None:
    board = opened(
        ToolCalled(**CHANNEL, tool="ls", call_id="1", arguments={"path": "/"}),
        ToolCalled(**CHANNEL, tool="cat", call_id="2"),
        ToolFailed(**CHANNEL, tool="ls", call_id="1", error_message="no such folder", duration_ms=250),
        ToolCompleted(**CHANNEL, tool="cat", call_id="2"),
        ToolCalled(**CHANNEL, tool="rm", call_id="3"),
        ToolAbandoned(**CHANNEL, tool="rm", call_id="3", reason="the hub was restarted"),
        ToolCalled(**CHANNEL, tool="wc", call_id="4"),
    )
    (line,) = found(board.channel("c")).lines
    assert [(each.tool, each.arguments, each.outcome, each.detail, each.seconds) for each in line.items] == [
        ("ls", '{"path":"/"}', "failed", "no such folder", 0.25),
        ("cat", "", "ok", "", None),
        ("rm", "", "abandoned", "the hub was restarted", None),
        ("wc", "", "open", "", None),
    ]
    channel = found(board.channel("c")).channel
    assert (channel.calls, channel.calls_failed) == (4, 1)


def test_of_a_line_of_very_many_calls_the_first_ones_are_told() -> None:
    calls = [ToolCalled(**CHANNEL, tool="ls", call_id=str(number)) for number in range(40)]
    (line,) = found(opened(*calls).channel("c")).lines
    assert (line.recipients, len(line.items)) == (40, 12)


def test_a_failure_of_a_call_that_is_not_remembered_one_by_one_counts_for_the_newest_line() -> None:
    failed = ToolFailed(**CHANNEL, tool="ls", call_id="x", error_message="no")
    (line,) = found(opened(ToolCalled(**CHANNEL, tool="ls", call_id="1"), failed).channel("c")).lines
    assert (line.failed, line.text, line.items[0].outcome) == (1, "no", "open")
    assert found(opened(failed).channel("c")).channel.calls_failed == 1, "also where there is no line"


def test_an_ack_tells_how_long_it_took() -> None:
    posted = EnvelopePosted(envelope_id="e", content="x", recipients=("b",), **CHANNEL)
    acked = EnvelopeAcked(envelope_id="e", agent_id="b", channel_id="c")
    (line,) = found(opened(posted).channel("c")).lines
    assert line.acked_seconds is None
    (line,) = found(opened(posted, acked).channel("c")).lines
    assert (line.acked, line.acked_seconds) == (1, 1.0)


def test_those_who_come_and_go_one_after_the_other_are_one_line() -> None:
    board = opened(
        *(ChannelParticipantJoined(channel_id="c", agent_id=each) for each in "xyz"),
        ChannelParticipantJoined(channel_id="c", agent_id="x"),
        ChannelParticipantRemoved(channel_id="c", agent_id="y"),
    )
    lines = found(board.channel("c")).lines
    assert [(line.sort, line.to, line.recipients) for line in lines] == [
        ("joined", ("x", "y", "z"), 3),
        ("left", ("y",), 1),
    ]


def test_a_channel_tells_its_newest_line_and_its_newest_trouble() -> None:
    refused = EnvelopeRejected(**CHANNEL, reason="not your turn", error="PostRejected")
    said = EnvelopePosted(envelope_id="e", content="x", recipients=("b",), **CHANNEL)
    (quiet,) = opened().channels()
    assert (quiet.last, quiet.last_trouble) == (None, None)
    (channel,) = opened(refused, said).channels()
    assert (found(channel.last).text, found(channel.last_trouble).text) == ("x", "not your turn")


def test_a_channel_tells_its_tokens_and_acks() -> None:
    model: dict[str, Any] = {**CHANNEL, "model": "m", "call_id": "1"}
    board = opened(
        ModelCalled(**model),
        ModelCompleted(**model, input_tokens=30, output_tokens=4),
        EnvelopeAcked(envelope_id="unknown", agent_id="b", channel_id="c"),
    )
    channel = found(board.channel("c")).channel
    assert (channel.input_tokens, channel.output_tokens, channel.acked) == (30, 4, 1)


def test_what_goes_on_in_a_channel_is_the_innermost_that_each_agent_has_begun_there() -> None:
    turn: dict[str, Any] = {**CHANNEL, "turn_id": "t"}
    asked = ApprovalRequested(
        approval_id="p", agent_id="b", action="cancel", arguments={"id": 1}, timeout_seconds=60, channel_id="c"
    )
    elsewhere = TurnStarted(agent_id="b", turn_id="u", channel_id="d")
    board = opened(TurnStarted(**turn), ModelCalled(**turn, model="m", call_id="1"), elsewhere, asked)
    doing = found(board.channel("c", now=at(10))).doing
    assert [(each.agent, each.doing.family, each.doing.name, each.doing.seconds) for each in doing] == [
        ("name of a", "model", "m", 5.0),
        ("name of b", "approval", "cancel", 3.0),
    ]
    assert (doing[1].doing.id, doing[1].doing.preview, doing[1].doing.seconds_left) == ("p", '{"id":1}', 57.0)
    assert found(board.channel("c")).channel.approvals_waiting == 1


def test_an_agent_tells_since_when_it_is_in_its_state() -> None:
    begun = TurnStarted(agent_id="a", turn_id="t", prompt="go", channel_id="c")
    view = found(opened(begun).agent("a"))
    assert (view.state, view.since_at) == ("working", at(4))
    assert (found(view.doing).preview, found(view.doing).channel_id, found(view.doing).id) == ("go", "c", "t")
    assert found(opened(begun).agent("a", now=at(500))).since_at == at(4), "silent, since it was last heard of"


# --- runs -----------------------------------------------------------------------------------------------------------


def test_a_run_has_its_turns_in_small() -> None:
    first: dict[str, Any] = {"agent_id": "a", "turn_id": "t", "correlation_id": "r"}
    second: dict[str, Any] = {"agent_id": "b", "turn_id": "u", "correlation_id": "r"}
    board = board_of(
        TurnStarted(**first),
        ToolCalled(**first, tool="ls", call_id="1"),
        ToolFailed(**first, tool="ls", call_id="1"),
        TurnEnded(**first),
        TurnStarted(**second),
    )
    (run,) = board.runs(now=at(9))
    assert [(bar.start, bar.seconds, bar.outcome) for bar in run.bars] == [(0.0, 3.0, "ok"), (4.0, None, "open")]
    assert (run.failures, run.seconds) == ((2.0,), 9.0)
    (ended,) = board_of(TurnStarted(**first), TurnEnded(**first)).runs(now=at(9))
    assert ended.seconds == 1.0


def test_a_run_without_turns_has_its_calls_in_small() -> None:
    call: dict[str, Any] = {**CHANNEL, "tool": "ls", "call_id": "1"}
    (run,) = opened(ToolCalled(**call), ToolCompleted(**call)).runs()
    assert (run.title, [bar.seconds for bar in run.bars]) == ("rebook", [1.0]), "and is called as its channel is"


def test_a_run_tells_when_the_hub_was_away() -> None:
    turn: dict[str, Any] = {"agent_id": "a", "turn_id": "t"}
    killed = board_of(
        STARTED,
        TurnStarted(**turn),
        STARTED,
        TurnAbandoned(**turn, reason="the hub was restarted"),
        HubStopped(),
        STARTED,
    )
    restarts = found(killed.run("turn:t")).restarts
    assert [(each.down_at, each.up_at, each.was_stopped) for each in restarts] == [(at(1), at(2), False)]
    stopped = board_of(STARTED, TurnStarted(**turn), HubStopped(), STARTED)
    assert [each.was_stopped for each in found(stopped.run("turn:t")).restarts] == [True]


def test_restarts_are_remembered_within_bounds() -> None:
    board = board_of(TurnStarted(agent_id="a", turn_id="t"), *[STARTED] * 300)
    assert len(found(board.run("turn:t")).restarts) == 100


@pytest.mark.parametrize("place", range(9))
def test_a_board_that_was_kept_meanwhile_shows_the_same(place: int) -> None:
    turn: dict[str, Any] = {**CHANNEL, "turn_id": "t"}
    events = told(
        STARTED,
        ChannelCreated(channel_id="c", agent_id="a", participants=("a",), topic="t"),
        TurnStarted(**turn),
        ToolCalled(**turn, tool="ls", call_id="1"),
        ToolFailed(**turn, tool="ls", call_id="1", error_message="no"),
        EnvelopePosted(envelope_id="e", content="x", recipients=("b",), **turn),
        EnvelopeAcked(envelope_id="e", agent_id="b", channel_id="c"),
        STARTED,
        ChannelParticipantJoined(channel_id="c", agent_id="b"),
    )
    whole, half = Board(), Board()
    whole.fold_all(events)
    half.fold_all(events[:place])
    half = Board.restore(json.loads(json.dumps(half.snapshot())))
    half.fold_all(events[place:])
    for board_view in ("runs", "channels", "agents"):
        assert getattr(half, board_view)().to_json() == getattr(whole, board_view)().to_json()
    assert found(half.channel("c")).to_json() == found(whole.channel("c")).to_json()
    assert found(half.run("turn:t")).to_json() == found(whole.run("turn:t")).to_json()
