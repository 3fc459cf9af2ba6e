"""Seats of agents' actors, decided by a state machine: one an agent, numbers that grow, and none is left behind."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from hubwire._state import State
from hubwire._state.seats import CANDIDATES_MAX, Seat, Seats
from hubwire.context import EMPTY
from hubwire.errors import CommandRejected, NotFound, SeatLost
from hubwire.events import AgentRegistered, AgentUnregistered, EnvelopePosted, Event, ToolCalled, TurnStarted
from hubwire.events._stamp import stamp
from support import AT
from support.odd import ODD

NODES = ("n0", "n1", "n2", "n3")


class Played:
    """A state, and the events that made it."""

    def __init__(self, agents: int = 1) -> None:
        self.state = State()
        self.events: list[Event] = []
        for number in range(agents):
            self.put([AgentRegistered(agent_id=f"{number:032x}", name=f"a{number}")])

    def put(self, events: Sequence[Event]) -> Sequence[Event]:
        for each in events:
            seq = len(self.events)
            stamped = stamp(each, seq=seq, id=f"{seq}", at=AT, hub="h", context=EMPTY, bytes_max=1 << 20)
            self.events.append(stamped)
            self.state.apply(stamped)
        return events

    def until(self, count: int) -> Played:
        """Return what a crash leaves of it."""
        left = Played(0)
        left.put(self.events[:count])
        return left


A = f"{0:032x}"


def test_a_seat_is_given_once_and_the_others_wait_in_line() -> None:
    played = Played()
    seats = played.state.seats
    assert [each.kind for each in played.put(seats.seat(A, "n0", 7))] == ["actor.seated"]
    assert seats.seat(A, "n0", 7) == []
    for node in ("n1", "n2"):
        assert [each.kind for each in played.put(seats.seat(A, node, 7))] == ["actor.queued"]
        assert seats.seat(A, node, 7) == []
    assert seats.seat(A, "n3", 7, waits=False) == []
    assert seats.find(A) == Seat(A, 1, "n0", 7, ("n1", "n2"))
    played.put(seats.leave(A, "n0", "done", 8))
    assert seats.find(A) == Seat(A, 2, "n1", 8, ("n2",))
    played.put(seats.leave(A, "n2", "done", 8))
    played.put(seats.unseat(A, "moved", 8))
    assert seats.find(A) == Seat(A, 2, None, 8, ())
    assert seats.nodes() == ()
    played.put(seats.seat(A, "n0", 9))
    assert seats.find(A) == Seat(A, 3, "n0", 9, ())


def test_what_is_done_by_an_earlier_seat_is_told_apart() -> None:
    played = Played()
    seats = played.state.seats
    with pytest.raises(SeatLost, match="has lost its seat 1, which is free now"):
        seats.check(A, 1)
    played.put(seats.seat(A, "n0", 0))
    seats.check(A, 1)
    for number in (0, 2, -1):
        with pytest.raises(SeatLost):
            seats.check(A, number)
    played.put(seats.unseat(A, "moved", 0))
    with pytest.raises(SeatLost, match="nothing has happened, and what it had in hand comes again"):
        seats.check(A, 1)
    played.put(seats.seat(A, "n1", 0))
    with pytest.raises(SeatLost, match="is seat 2, of node 'n1' now"):
        seats.check(A, 1)
    played.put([AgentUnregistered(agent_id=A, name="a0")])
    with pytest.raises(SeatLost):
        seats.check(A, 2)
    with pytest.raises(NotFound):
        seats.seat(A, "n0", 0)


def test_in_any_order_there_is_one_seat_an_agent_and_numbers_only_grow() -> None:
    for seed in range(20):
        dice = random.Random(seed)
        played, agents = Played(3), [f"{number:032x}" for number in range(3)]
        given: dict[str, list[tuple[int, str]]] = {each: [] for each in agents}
        for _ in range(40):
            agent, node = dice.choice(agents), dice.choice(NODES)
            deed = dice.choice(("seat", "seat", "once", "leave", "unseat", "gone", "leave_all", "vacant", "crash"))
            events = decided(played.state.seats, deed, agent, node, dice.randint(1, 3))
            played.put(events)
            if deed == "crash":  # somewhere between two events of the last command, or of none
                played = played.until(max(3, len(played.events) - dice.randint(0, 2)))
                given = {each: [pair for pair in pairs if pair in told(played)[each]] for each, pairs in given.items()}
            check(played, given)
        played.put(played.state.seats.vacant(1, 100))
        assert not any(seat.node is None and seat.candidates for seat in played.state.seats)


def decided(seats: Seats, deed: str, agent: str, node: str, limit: int) -> Sequence[Event]:
    match deed:
        case "seat":
            return seats.seat(agent, node, 1)
        case "once":
            return seats.seat(agent, node, 1, waits=False)
        case "leave":
            return seats.leave(agent, node, "ended", 1)
        case "unseat":
            return seats.unseat(agent, "moved", 1)
        case "gone":
            return seats.gone(node, "silent", 1, limit)
        case "leave_all":
            return seats.leave_all(node, "closed", 1, limit)
        case "vacant":
            return seats.vacant(1, limit)
    return ()


def told(played: Played) -> dict[str, list[tuple[int, str]]]:
    """Return the seats that were given, by agent, in order."""
    found: dict[str, list[tuple[int, str]]] = {f"{number:032x}": [] for number in range(3)}
    for event in played.events:
        if event.kind == "actor.seated":
            found[event.agent_id or ""].append((event.seat, event.node))  # type: ignore[attr-defined]
    return found


def check(played: Played, given: dict[str, list[tuple[int, str]]]) -> None:
    seats = played.state.seats
    for agent, pairs in told(played).items():
        numbers = [number for number, _ in pairs]
        assert numbers == list(range(1, len(pairs) + 1))
        assert pairs[: len(given[agent])] == given[agent]
        given[agent] = pairs
        seat = seats.find(agent)
        assert (seat.number if seat else 0) == len(pairs)
        if seat is not None and seat.node is not None:
            assert seat.node == pairs[-1][1]
            assert seat.node not in seat.candidates
            assert len(set(seat.candidates)) == len(seat.candidates)
        for number in range(len(pairs) + 2):
            assert seats.is_current(agent, number) == (
                seat is not None and seat.node is not None and number == len(pairs)
            )
    # What a node has, one way round and the other.
    for node in NODES:
        assert seats.of(node) == sum(node == seat.node or node in seat.candidates for seat in seats)
    other = State()
    other.restore({name: list(entries) for name, entries in played.state.snapshot().items()})
    assert list(other.seats) == list(seats)
    assert other.seats._by_node == seats._by_node
    assert other.seats._vacant == seats._vacant


def test_a_node_that_is_gone_is_an_attempt_of_what_its_actors_had_in_hand() -> None:
    played = Played(2)
    state = played.state
    played.put(state.seats.seat(A, "n0", 0))
    played.put(state.seats.seat(A, "n1", 0))
    posted = EnvelopePosted(agent_id=f"{1:032x}", envelope_id="e", content=1, recipients=(A,))
    played.put([posted, TurnStarted(agent_id=A, turn_id="t", envelope_id="e")])
    played.put([ToolCalled(agent_id=A, turn_id="t", call_id="c", tool="ls")])
    played.put([ToolCalled(agent_id=A, call_id="by the program", tool="ls")])
    events = played.put(state.seats.gone("n0", "silent", 0, 256))
    kinds = ["actor.unseated", "turn.abandoned", "envelope.nacked", "tool.abandoned", "actor.seated"]
    assert [each.kind for each in events] == kinds
    (waiting,) = state.inboxes.pending(A)
    assert waiting.attempts == 1
    assert [entry.id for entry in state.turns] == ["by the program"]
    # Cut after each event, the next leader comes to the same.
    whole = len(played.events)
    for cut in range(whole - len(events), whole + 1):
        left = played.until(cut)
        if left.state.seats.is_taken(A):
            assert [each.kind for each in left.state.repair()] == ["tool.abandoned"]
            left.put(left.state.seats.gone("n0", "silent", 0, 256))
        else:
            left.put(left.state.repair())
        left.put(left.state.seats.vacant(0, 10))
        assert left.state.seats.find(A) == Seat(A, 2, "n1", 0, ())
        assert [each.id for each in left.state.turns] in ([], ["by the program"])


@pytest.mark.slow
def test_a_hundred_thousand_seats_go_and_nothing_is_left_but_their_numbers() -> None:
    played = Played(0)
    seats, agents = played.state.seats, [f"{number:032x}" for number in range(100_000)]
    for number, agent in enumerate(agents):
        played.state.apply(made(AgentRegistered(agent_id=agent, name=f"a{number}")))
        for node in ("n0", "n1"):
            for event in seats.seat(agent, node, 0):
                played.state.apply(made(event))
    commands = 0
    while events := seats.gone("n0", "silent", 0, 256):
        assert len(events) <= 512
        commands += 1
        for event in events:
            played.state.apply(made(event))
    assert commands == 391
    assert seats.nodes() == ("n1",)
    assert seats.of("n1") == 100_000
    for agent in agents:
        played.state.apply(made(AgentUnregistered(agent_id=agent, name="")))
    assert len(seats) == 0
    assert seats.nodes() == ()


def made(event: Event) -> Event:
    return stamp(event, seq=1, id="1", at=AT, hub="h", context=EMPTY, bytes_max=1 << 20)


def test_only_so_many_nodes_wait_for_one_seat() -> None:
    played = Played()
    for number in range(CANDIDATES_MAX + 1):
        played.put(played.state.seats.seat(A, f"n{number}", 0))
    with pytest.raises(CommandRejected, match="1000 nodes wait for the seat of agent 'a0' already; spawn its actor on"):
        played.state.seats.seat(A, "one more", 0)
    assert played.state.seats.seat(A, "one more", 0, waits=False) == []


def test_odd_arguments_change_nothing() -> None:
    played = Played()
    seats = played.state.seats
    played.put(seats.seat(A, "n0", 0))
    odds: tuple[Any, ...] = ODD
    for odd in odds:
        if not (type(odd) is str and 0 < len(odd) <= 200 and odd.isprintable()):
            with pytest.raises(CommandRejected, match="a node has a name of 1 to 200 printable characters"):
                seats.seat(A, odd, 0)
            with pytest.raises(CommandRejected):
                seats.leave(A, odd, "x", 0)
        if not (type(odd) is int and odd >= 0):
            with pytest.raises(CommandRejected, match="an epoch is a whole number from 0 on"):
                seats.seat(A, "n1", odd)
        assert list(seats) == [Seat(A, 1, "n0", 0, ())]
