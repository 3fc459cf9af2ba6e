"""Folding: what a board takes in, what it leaves out, and what it says of that."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from hubwire import Board, BoardLimits, GenericEvent, codec
from hubwire.errors import CallerError, ConfigurationError, InvalidRecord
from hubwire.events import (
    AgentUnregistered,
    ApprovalRequested,
    ChannelCreated,
    ChannelOpened,
    EnvelopeAcked,
    EnvelopeDropped,
    EnvelopePosted,
    Event,
    HubStarted,
    ListenerAttached,
    ModelCompleted,
    TaskStarted,
    ToolCalled,
    ToolFailed,
    TurnEnded,
    TurnStarted,
    UnknownEvent,
    evolve,
)
from hubwire.listeners.audit import AuditLog
from hubwire.stores import MemoryStore
from support.board_events import agent, at, board_of, told
from support.board_life import found
from support.odd import ODD


def posted(number: int, *to: str, channel: str | None = None, **fields: Any) -> EnvelopePosted:
    return EnvelopePosted(envelope_id=f"envelope {number}", content="x", recipients=to, channel_id=channel, **fields)


def dropped(number: int, agent_id: str) -> EnvelopeDropped:
    return EnvelopeDropped(envelope_id=f"envelope {number}", agent_id=agent_id, reason="drop_oldest")


def inboxes(board: Board) -> dict[str, int | None]:
    return {each.agent_id: each.inbox for each in board.agents()}


# --- order ----------------------------------------------------------------------------------------------------------


def test_the_same_seq_twice_changes_nothing() -> None:
    events = told(agent("a"), posted(1, "a", agent_id="b"), posted(2, "a", agent_id="b"))
    board = Board()
    assert board.fold_all((*events, events[1], events[2])) == 3
    assert inboxes(board)["a"] == 2


def test_a_gap_is_told() -> None:
    board = Board()
    events = told(*(GenericEvent(kind="a.done") for _ in range(10)), start=5)
    board.fold_all(event for event in events if event.seq not in (7, 8, 11))
    assert [(gap.first_seq, gap.last_seq) for gap in board.gaps] == [(7, 8), (11, 11)]
    assert board.hub().missing == 3
    assert board.hub().first_seq == 5, "what was before the first is not known, and no gap"


def test_a_board_can_be_told_what_it_will_not_get() -> None:
    board = Board()
    board.fold_all(told(agent("a")))
    board.missed(0, 9, "the journal begins at 10")
    assert [(gap.first_seq, gap.last_seq, gap.reason) for gap in board.gaps] == [(1, 9, "the journal begins at 10")]
    board.missed(3, 9)
    assert len(board.gaps) == 1
    assert board.fold_all(told(agent("b"), start=9)) == 0
    assert board.fold_all(told(agent("b"), start=10)) == 1
    assert len(board.gaps) == 1


def test_an_event_that_no_hub_has_stamped_is_left_out() -> None:
    board = Board()
    assert board.fold_all([GenericEvent(kind="a.done")]) == 0
    assert board.seq == -1
    assert board.hub().events == 0


def test_times_of_the_source_may_come_in_any_order() -> None:
    """Counts go by when the hub took an event; turns and lines show when it was at its source."""
    times = [f"2020-01-0{day}T00:00:00Z" for day in (3, 1, 2)]
    events = [
        EnvelopePosted(envelope_id=day, content=day, recipients=(), channel_id="c", agent_id="a", occurred_at=day)
        for day in times
    ]
    board = board_of(*events)
    assert [line.at for line in found(board.channel("c")).lines] == times
    assert sum(bucket.other for bucket in board.counts("minute").buckets) == 3


def test_another_hub_makes_all_before_it_gone() -> None:
    first = told(agent("a"), TurnStarted(agent_id="a", turn_id="t"), TaskStarted(task_id="k", owner_id="a", title="t"))
    second = told(agent("b"), hub="other")
    board = Board()
    board.fold_all([*first, *second])
    assert {each.agent_id: each.state for each in board.agents()} == {"a": "gone", "b": "idle"}
    assert {each.outcome for run in board.runs() for each in found(board.run(run.run_id)).spans} == {"abandoned"}
    assert [each.state for each in board.tasks()] == ["expired"]
    assert not board.gaps
    before = board.snapshot()
    assert board.fold_all([*first, *second]) == 0
    assert board.snapshot() == before


def test_a_hub_that_numbers_on_leaves_no_gap() -> None:
    """As a hub without a store does behind its audit log."""
    board = Board()
    board.fold_all(
        [*told(agent("a")), *told(agent("b"), start=1, hub="other"), *told(agent("c"), start=4, hub="third")]
    )
    assert [(gap.first_seq, gap.last_seq) for gap in board.gaps] == [(2, 3)]


def test_a_hub_that_starts_again_has_no_listeners_and_no_actors() -> None:
    """It says anew who listens."""
    attached = ListenerAttached(listener="l", duty="required", pattern=("*",), since_seq=0)
    started = HubStarted(version="1", pid=1, host="h")
    board = board_of(started, attached, attached)
    assert [(each.listener, each.state) for each in board.listeners()] == [("l", "attached")]
    board = board_of(started, attached, started)
    assert [(each.listener, each.state) for each in board.listeners()] == [("l", "detached")]
    assert board_of(started, attached, started, attached).listeners().rows[0].state == "attached"


# --- inboxes --------------------------------------------------------------------------------------------------------


def test_an_envelope_that_was_dropped_on_arrival_was_in_no_inbox() -> None:
    """Where it made room for itself, an older one has left the inbox."""
    some = (agent("a"), agent("b"), posted(1, "a", "b", agent_id="c"))
    assert inboxes(board_of(*some, posted(2, "b", agent_id="c"), dropped(2, "a"))) == {"a": 1, "b": 2, "c": None}
    assert inboxes(board_of(*some, posted(2, "a", agent_id="c"), dropped(1, "a"))) == {"a": 1, "b": 1, "c": None}


def test_a_snapshot_between_an_envelope_and_its_drop_goes_on_the_same() -> None:
    events = told(agent("a"), agent("b"), posted(1, "a", agent_id="b"), posted(2, "b", agent_id="b"), dropped(2, "a"))
    board = Board()
    board.fold_all(events[:4])
    board = Board.restore(board.snapshot())
    board.fold_all(events[4:])
    assert inboxes(board) == {"a": 1, "b": 1}


def test_an_ack_too_many_leaves_an_inbox_empty() -> None:
    """After a gap, for example."""
    acked = EnvelopeAcked(envelope_id="envelope 1", agent_id="a")
    assert inboxes(board_of(agent("a"), acked, acked)) == {"a": 0}


# --- tenants --------------------------------------------------------------------------------------------------------


def test_the_board_of_a_tenant_has_its_events_alone() -> None:
    """Others' lie between: that is no gap."""
    events = [agent("a", tenant="acme"), agent("b", tenant="other"), agent("c"), agent("d", tenant="acme")]
    board = board_of(*events, tenant="acme")
    assert {each.agent_id for each in board.agents()} == {"a", "d"}
    assert board.hub().events == 2
    alone = Board(tenant="acme")
    alone.fold_all(event for event in told(*events) if event.tenant == "acme")
    assert not alone.gaps
    assert {each.agent_id for each in alone.agents()} == {"a", "d"}


def test_a_snapshot_keeps_whose_board_it_is() -> None:
    board = Board.restore(board_of(agent("a", tenant="acme"), tenant="acme").snapshot())
    assert board.tenant == "acme"
    board.fold_all(told(agent("b"), start=1))
    assert {each.agent_id for each in board.agents()} == {"a"}


# --- kinds and payloads ---------------------------------------------------------------------------------------------


def test_kinds_of_other_versions_are_read_by_their_names() -> None:
    """An UnknownEvent with the fields of a kind, and a GenericEvent of one; a kind of one's own is counted alone."""
    fields = {"agent_id": "a", "at": at(0), "call_id": "c", "hub": "h", "id": "e", "kind": "tool.called", "seq": 0}
    strange = codec.decode(
        codec.encode_fields({**fields, "tool": "ls", "arguments": {"path": "/"}, "tool_version": [2]})
    )
    older = UnknownEvent(
        kind="tool.called", seq=1, id="f", at=at(1), hub="h", agent_id="a", fields={"call_id": "d", "tool": "cat"}
    )
    generic = GenericEvent(
        kind="tool.called", seq=2, id="g", at=at(2), hub="h", agent_id="a", data={"call_id": "e", "tool": "rm"}
    )
    board = Board()
    board.fold_all([strange, older, generic, *told(GenericEvent(kind="billing.charged"), start=3)])
    (run,) = board.runs()
    assert [span.name for span in found(board.run(run.run_id)).spans] == ["ls", "cat", "rm"]
    assert board.hub().kinds == {"tool.called": 3, "billing.charged": 1}
    assert board.hub().misfits == 0


def test_huge_texts_are_cut() -> None:
    huge = "x" * 1_000_000
    board = board_of(
        agent("a"),
        ChannelCreated(channel_id="c", agent_id="a", participants=("a",), topic=huge),
        EnvelopePosted(envelope_id="e", content={"text": huge}, recipients=(), channel_id="c", agent_id="a"),
        EnvelopePosted(envelope_id="f", content={huge: [huge]}, recipients=(), channel_id="c", agent_id="a"),
        ToolCalled(tool=huge, call_id="1", agent_id="a", channel_id="c", arguments=[huge] * 5),
        ToolFailed(tool=huge, call_id="1", agent_id="a", channel_id="c", error_message=huge),
        TaskStarted(task_id="t", owner_id="a", title=huge),
        ApprovalRequested(approval_id="p", agent_id="a", action=huge, arguments={"x": {"y": {"z": {huge: huge}}}}),
    )
    assert len(str(board.snapshot())) < 20_000
    assert board.hub().misfits == 0


def test_ids_that_are_none_are_counted_and_show_nothing() -> None:
    """An id of a megabyte, or one that is a number."""
    long = "i" * 1_000_000
    board = board_of(
        TurnStarted(agent_id="a", turn_id=long),
        ToolCalled(tool="ls", call_id=long, agent_id="a"),
        TaskStarted(task_id=long, owner_id="a", title="t"),
    )
    assert board.hub().misfits == 3
    assert board.hub().events == 3
    assert not board.runs()


STRANGE: tuple[Any, ...] = (
    *(
        None,
        True,
        0,
        -1,
        10**30,
        1.5,
        float("nan"),
        "",
        "x",
        "x" * 100_000,
        "2026-13-01T00:00:00Z",
        (),
        ("",),
        ("x", 5),
    ),
    *((("x",) * 20_000), ({},), {}, {"name": 5}, {"inbox": {"capacity": "x"}}, {"cost": {"input_per_mtok": "x"}}),
    *({"x": {"x": {"x": {"x": 1}}}}, {"text": 5}, {"score": {}, "scorer": []}),
)
"""What JSON can hold, and no field expects."""

SOME: tuple[Event, ...] = (
    agent("a"),
    ChannelCreated(channel_id="c", agent_id="a", participants=("a",), expectations=({"name": "x"},), roles={"a": "b"}),
    ChannelOpened(channel_id="c"),
    posted(1, "a", channel="c", agent_id="a"),
    posted(2, "a", agent_id="b"),
    TurnStarted(agent_id="a", turn_id="t", envelope_id="envelope 1"),
    ToolCalled(tool="ls", call_id="1", agent_id="a", turn_id="t", channel_id="c"),
    ToolFailed(tool="ls", call_id="1", agent_id="a", turn_id="t", channel_id="c"),
    ModelCompleted(model="m", call_id="1", agent_id="a", turn_id="t"),
    TurnEnded(agent_id="a", turn_id="t"),
    TaskStarted(task_id="k", owner_id="a", title="t", agent_id="a"),
    ApprovalRequested(approval_id="p", agent_id="a", action="x"),
    ListenerAttached(listener="l", duty="required", pattern=("*",), since_seq=0),
)


@pytest.mark.parametrize(
    "number", range(len(SOME)), ids=[f"{event.kind} {number}" for number, event in enumerate(SOME)]
)
def test_fields_of_any_type_never_raise(number: int) -> None:
    """Each field of each kind gets odd values, as if read by a version that knows no types."""
    event = SOME[number]
    names = [field.name for field in event.__attrs_attrs__ if field.init and field.name not in ("seq", "id", "hub")]
    dice = random.Random(number)
    for name in names:
        for value in dice.sample(STRANGE, 4):
            board = Board()
            for other in told(*SOME):
                board.fold(_with(other, name, value) if other.seq == number else other)
            board.hub(now=0)
            assert Board.restore(board.snapshot()).snapshot() == board.snapshot()
            for run in board.runs():
                board.run(run.run_id)
            for channel in board.channels():
                board.channel(channel.channel_id)


def _with(event: Event, name: str, value: Any) -> Event:
    """Return a copy of an event with a field that no version of it would have."""
    changed = evolve(event)
    type(event).__mro__[1].__dict__[name].__set__(changed, value) if name in type(event).__mro__[1].__dict__ else (
        Event.__dict__[name].__set__(changed, value)
    )
    return changed


# --- bounds ---------------------------------------------------------------------------------------------------------


def test_what_leaves_is_counted() -> None:
    limits = BoardLimits(agents=2, channels=1, lines=2, links=1, runs=1, tasks=1, approvals=1)
    board = board_of(
        *(agent(each) for each in "abc"),
        *(ChannelCreated(channel_id=each, agent_id="b", participants=("b", "c")) for each in "xy"),
        *(posted(number, "c", channel="y", agent_id="b") for number in range(3)),
        posted(9, "b", channel="y", agent_id="c"),
        *(TurnStarted(agent_id="b", turn_id=each) for each in "pq"),
        *(TaskStarted(task_id=each, owner_id="b", title=each) for each in "kl"),
        *(ApprovalRequested(approval_id=each, agent_id="b", action=each) for each in "rs"),
        limits=limits,
    )
    assert [each.agent_id for each in board.agents(limit=1)] == ["b"]
    assert board.agents(limit=1).not_shown == 2
    assert [board.agents().not_shown, board.channels().not_shown, board.tasks().not_shown] == [1, 1, 1]
    assert [board.approvals().not_shown, len(board.runs())] == [1, 1]
    transcript = found(board.channel("y"))
    assert (len(transcript.lines), transcript.lines_not_shown) == (2, 2)
    assert (len(transcript.links), transcript.links_not_shown) == (1, 1)


def test_a_wide_post_is_one_link() -> None:
    board = board_of(posted(1, *(f"agent {number}" for number in range(10_000)), channel="c", agent_id="a"))
    assert [(link.to_agent, link.count) for link in board.links()] == [("everyone", 1)]


def test_a_long_history_takes_bounded_room() -> None:
    """Whatever the number of events, agents, channels, runs and kinds: what has ended leaves."""

    def size(times: int) -> int:
        board, seq = (
            Board(limits=BoardLimits(agents_gone=5, runs=5, lines=5, kinds=5, seconds=5, minutes=5, spans_open=20)),
            0,
        )
        for number in range(times):
            about: dict[str, Any] = {"agent_id": "a", "turn_id": f"turn {number}", "channel_id": "c"}
            events = told(
                TurnStarted(**about),
                ToolCalled(**about, tool="ls", call_id="1"),
                posted(number, "a", channel="c", agent_id="a"),
                EnvelopeAcked(envelope_id=f"envelope {number}", agent_id="a", channel_id="c"),
                TurnEnded(**about),
                GenericEvent(kind=f"own.kind{number}"),
                start=seq,
            )
            board.fold_all(events)
            seq += len(events)
        kept = board.snapshot()
        kept["runs"]["trail"] = None  # what follows from the newest envelopes has a bound of its own
        return len(str(kept))

    assert size(600) < size(300) * 1.2


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_hundred_thousand_agents_leave_a_bounded_board() -> None:
    """Each comes, says one thing to the next one, and goes."""
    board, seq, sizes = Board(), 0, []
    for number in range(100_000):
        name = f"{number:032x}"
        events = told(
            agent(name),
            posted(number, f"{number - 1:032x}", channel=f"c{number % 5000}", agent_id=name),
            AgentUnregistered(agent_id=name, name=f"name of {name}"),
            start=seq,
        )
        board.fold_all(events)
        seq += len(events)
        if number in (50_000, 99_999):
            sizes.append(len(str(board.snapshot())))
    assert board.agents().not_shown > 90_000
    assert sizes[1] < sizes[0] * 1.1


def test_folding_touches_no_more_the_longer_the_history() -> None:
    """An event costs the same number of calls at the end as at the beginning."""
    import sys

    board, seq, calls = Board(), 0, [0, 0]
    for number in range(400):
        about: dict[str, Any] = {
            "agent_id": f"agent {number % 7}",
            "turn_id": f"turn {number}",
            "channel_id": f"c{number % 5}",
        }
        events = told(
            TurnStarted(**about),
            ToolCalled(**about, tool="ls", call_id="1", arguments={"path": "/"}),
            ToolFailed(**about, tool="ls", call_id="1"),
            posted(number, f"agent {number % 5}", channel=f"c{number % 5}", agent_id="a"),
            EnvelopeAcked(envelope_id=f"envelope {number}", agent_id=f"agent {number % 5}"),
            TurnEnded(**about),
            start=seq,
        )
        seq += len(events)
        count = 0

        def counting(frame: Any, what: str, arg: Any) -> None:
            nonlocal count
            count += what in ("call", "c_call")

        sys.setprofile(counting)
        try:
            board.fold_all(events)
        finally:
            sys.setprofile(None)
        if 50 <= number < 100:
            calls[0] += count
        elif number >= 350:
            calls[1] += count
    assert calls[1] <= calls[0] * 1.1


# --- arguments ------------------------------------------------------------------------------------------------------


def test_odd_arguments_are_refused_in_words() -> None:
    """By an error of ours that names the call; and the board is as before."""
    board = board_of(*SOME)
    before, dice = board.snapshot(), random.Random(1)
    refusals: list[tuple[str, str]] = []
    calls: dict[str, list[Any]] = {
        "fold": [board.fold],
        "hub": [lambda value: board.hub(now=value)],
        "agents": [lambda value: board.agents(now=value), lambda value: board.agents(limit=value)],
        "agent": [board.agent, lambda value: board.agent("a", now=value)],
        "channel": [board.channel],
        "channels": [lambda value: board.channels(limit=value)],
        "run": [board.run],
        "counts": [board.counts, lambda value: board.counts(buckets=value), lambda value: board.counts(now=value)],
        "missed": [lambda value: board.missed(value, 0), lambda value: board.missed(0, 0, value)],
        "Board": [lambda value: Board(tenant=value), lambda value: Board(limits=value)],
        "restore": [Board.restore],
    }
    for name, each in calls.items():
        for call in each:
            for value in dice.sample(list(ODD), len(ODD)):
                try:
                    call(value)
                except (ConfigurationError, InvalidRecord) as error:
                    refusals.append((name, str(error)))
    assert all(name in text and text.encode() for name, text in refusals)
    assert {name for name, _ in refusals} == set(calls)
    assert board.snapshot() == before


def test_bounds_that_cannot_be_are_refused() -> None:
    for value in (0, -1, 1.5, "many", None, True):
        with pytest.raises(ConfigurationError, match="agents"):
            BoardLimits(agents=value)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="silent_seconds"):
        BoardLimits(silent_seconds=float("nan"))


def test_a_moment_may_be_said_in_three_ways() -> None:
    board = board_of(agent("a"))
    moment = dt.datetime(2026, 1, 1, 0, 1, tzinfo=dt.UTC)
    for now in (moment, moment.timestamp(), "2026-01-01T00:01:00Z"):
        assert found(board.agent("a", now=now)).silent_seconds == 60
    with pytest.raises(ConfigurationError, match="a datetime with a zone"):
        board.agents(now=dt.datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize("change", [{"version": 1}, {"version": "2"}, {"agents": 5}, {"place": None}, {"runs": {}}])
def test_a_snapshot_that_cannot_be_read_is_refused(change: dict[str, Any]) -> None:
    snapshot = {**board_of(*SOME).snapshot(), **change}
    with pytest.raises(InvalidRecord, match="make the board anew, by folding the log from its beginning"):
        Board.restore(snapshot)


@pytest.mark.parametrize("tenant", ["", "\ud800"])
def test_a_snapshot_of_a_tenant_without_a_name_is_refused(tenant: str) -> None:
    with pytest.raises(InvalidRecord, match="make the board anew"):
        Board.restore({**board_of(*SOME).snapshot(), "tenant": tenant})


@pytest.mark.slow
@pytest.mark.parametrize("value", ["DELETED", None, "\ud800", "", -1, [], [[]], {}, 1.5])
def test_a_snapshot_that_was_changed_anywhere_is_refused_or_of_use(value: Any) -> None:
    """Whatever stands at any of its places: what is restored shows itself, folds on, and makes a snapshot."""
    whole = json.dumps(board_of(*SOME).snapshot())
    for place in places(json.loads(whole)):
        snapshot = json.loads(whole)
        inner = snapshot
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        if value == "DELETED":
            del inner[place[-1]]
        try:
            board = Board.restore(snapshot)
        except InvalidRecord:
            continue
        for show in (board.hub, board.agents, board.channels, board.runs, board.tasks, board.troubles, board.snapshot):
            show()
        board.fold_all(SOME)


def places(value: Any, *before: Any) -> Iterator[tuple[Any, ...]]:
    """Return the way to each value within another one."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*before, key)
        yield from places(value[key], *before, key)


def test_a_snapshot_that_contradicts_itself_is_refused() -> None:
    snapshot = board_of(*SOME).snapshot()
    snapshot["runs"]["held"] = [77]
    with pytest.raises(CallerError, match="damaged"):
        Board.restore(snapshot)


def test_a_board_is_made_without_a_hub_or_a_store() -> None:
    """And it is not needed to write logs: importing it imports neither."""
    assert AuditLog(MemoryStore()) is not None
    assert board_of().hub().state == "unknown"
