"""Seats: on which node the actor of an agent runs: ``free -- seated --> taken -- unseated --> free``.

There is one seat an agent, and a node has it, or none. Each time that it is given its number grows, so that what an
actor does by an earlier one is told apart. Nodes that want a seat which another one has wait in line.

A node is one run of a program: started again, it is another one. So a seat that a node has is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from .._values import Value
from ..errors import CommandRejected, SeatLost
from ..events import AgentUnregistered, Event
from ..events._shown import shown
from .agents import Agents
from .changing import changed
from .inboxes import Inboxes
from .turns import Turns

if TYPE_CHECKING:
    from ..events.seats import ActorQueued, ActorSeated, ActorUnseated, ActorWithdrawn

__all__ = ("CANDIDATES_MAX", "NODE_LENGTH_MAX", "Seat", "Seats")

CANDIDATES_MAX = 1_000
"""How many nodes may wait for one seat."""
NODE_LENGTH_MAX = 200


@attrs.frozen(eq=False, repr=False)
class Seat(Value):
    """The seat of an agent's actor."""

    agent_id: str
    number: int
    """It grows each time that the seat is given."""
    node: str | None
    """Which has it; None while it is free."""
    epoch: int = 0
    """Of the journal when it was given."""
    candidates: tuple[str, ...] = ()
    """The nodes that wait for it, the first one first."""


class Seats:
    """The seats that were ever given to nodes, by agent: none in a hub whose actors all run beside it."""

    entry_types: ClassVar[tuple[type, ...]] = (Seat,)

    def __init__(self, agents: Agents, inboxes: Inboxes, turns: Turns) -> None:
        self._agents = agents
        self._inboxes = inboxes
        self._turns = turns
        self._seats: dict[str, Seat] = {}
        self._by_node: dict[str, dict[str, None]] = {}
        """By node, the agents whose seats it has or waits for."""
        self._vacant: dict[str, None] = {}
        """The agents whose seats are free although nodes wait for them: between two events of one command."""

    def appliers(self) -> Mapping[type[Event], Callable[[Any], None]]:
        return {AgentUnregistered: self._unregistered}

    def late_appliers(self) -> Mapping[str, Callable[[Any], None]]:
        """Return what applies events, by kind; the kinds are declared when they are needed."""
        return {
            "actor.seated": self._seated,
            "actor.unseated": self._unseated,
            "actor.queued": self._queued,
            "actor.withdrawn": self._withdrawn,
        }

    def snapshot(self) -> Sequence[Seat]:
        return tuple(self._seats.values())

    def restore(self, entries: Sequence[Seat]) -> None:
        for entry in entries:
            self._put(entry)

    def __len__(self) -> int:
        return len(self._seats)

    def __iter__(self) -> Iterator[Seat]:
        return iter(tuple(self._seats.values()))

    def find(self, agent_id: str) -> Seat | None:
        """Return the seat of an agent; None if it was never given."""
        return self._seats.get(agent_id)

    def is_taken(self, agent_id: str) -> bool:
        """Tell whether a node has the seat of an agent."""
        seat = self._seats.get(agent_id)
        return seat is not None and seat.node is not None

    def held_by(self, agent_id: str, node: str) -> int | None:
        """Return the number of the seat if this node has it."""
        seat = self._seats.get(agent_id)
        return None if seat is None or seat.node != node else seat.number

    def is_current(self, agent_id: str, number: int) -> bool:
        """Tell whether what an actor does by the seat of this number counts."""
        seat = self._seats.get(agent_id)
        return seat is not None and seat.node is not None and seat.number == number

    def check(self, agent_id: str, number: int) -> None:
        """Raise :class:`~hubwire.errors.SeatLost` unless it counts."""
        if not self.is_current(agent_id, number):
            raise self.lost(agent_id, number)

    def lost(self, agent_id: str, number: int) -> SeatLost:
        """Return the error for what an actor does by a seat that it has no more."""
        seat = self._seats.get(agent_id)
        now = "is free" if seat is None or seat.node is None else f"is seat {seat.number}, of node {shown(seat.node)}"
        return SeatLost(
            f"the actor of {self._agents.label(agent_id)} has lost its seat {number}, which {now} now; nothing has"
            " happened, and what it had in hand comes again where the actor is seated: end its work here",
            agent_id=agent_id,
            seat=number,
        )

    def nodes(self) -> tuple[str, ...]:
        """Return the nodes that have seats, or wait for some."""
        return tuple(self._by_node)

    def agents_of(self, node: str) -> tuple[str, ...]:
        """Return the agents whose seats a node has or waits for."""
        return tuple(self._by_node.get(node, ()))

    def of(self, node: str) -> int:
        """Return how many seats a node has or waits for."""
        return len(self._by_node.get(node, ()))

    # -- commands --

    def seat(self, agent_id: str, node: str, epoch: int, *, waits: bool = True) -> list[Event]:
        """Give a node the seat of an agent, if it is free; else let it wait in line, unless it does not want to."""
        self._agents.get(agent_id)
        _check(node, epoch)
        seat = self._seats.get(agent_id)
        if seat is None:
            return [_seated_event(agent_id, node, 1, epoch)]
        if seat.node == node:
            return []
        events: list[Event] = []
        if seat.node is None:  # those that wait come first: a crash may have kept them from it
            first = seat.candidates[0] if seat.candidates else node
            events.append(_seated_event(agent_id, first, seat.number + 1, epoch))
            if first == node:
                return events
        if waits and node not in seat.candidates:
            if len(seat.candidates) >= CANDIDATES_MAX:
                raise CommandRejected(
                    f"{CANDIDATES_MAX} nodes wait for the seat of {self._agents.label(agent_id)} already; spawn its"
                    " actor on fewer of them"
                )
            events.append(_queued_event(agent_id, node))
        return events

    def leave(self, agent_id: str, node: str, reason: str, epoch: int) -> list[Event]:
        """Take back a seat, or a place in line, that a node gives up; the next one in line gets the seat."""
        _check(node, epoch)
        seat = self._seats.get(agent_id)
        if seat is None:
            return []
        if seat.node != node:
            return [_withdrawn_event(agent_id, node, reason)] if node in seat.candidates else []
        turns = self._turns.interrupted(agent_id, f"its actor has left node {shown(node)}")
        return self._move(seat, reason, turns, seat.candidates, epoch)

    def unseat(self, agent_id: str, reason: str, epoch: int) -> list[Event]:
        """Take the seat of an agent from the node that has it; the next one in line gets it."""
        seat = self._seats.get(agent_id)
        if seat is None or seat.node is None:
            return []
        turns = self._turns.interrupted(agent_id, f"its actor was taken from node {shown(seat.node)}")
        return self._move(seat, reason, turns, seat.candidates, epoch)

    def gone(self, node: str, reason: str, epoch: int, limit: int) -> list[Event]:
        """Take seats and places in line from a node that is no more, of ``limit`` agents at most; call again for more.

        The turns that its actors were in are attempts of their envelopes: one of them may have ended the node.
        """
        events: list[Event] = []
        for agent_id in islice(self._by_node.get(node, ()), limit):
            seat = self._seats[agent_id]
            if seat.node != node:
                events.append(_withdrawn_event(agent_id, node, reason))
                continue
            turns = self._turns.interrupted(agent_id, f"node {shown(node)} is gone", self._inboxes.interrupted)
            events += self._move(seat, reason, turns, seat.candidates, epoch)
        return events

    def leave_all(self, node: str, reason: str, epoch: int, limit: int) -> list[Event]:
        """Take back what a node gives up, of ``limit`` agents at most; call again for more."""
        agent_ids = islice(self._by_node.get(node, ()), limit)
        return [event for each in agent_ids for event in self.leave(each, node, reason, epoch)]

    def vacant(self, epoch: int, limit: int) -> list[Event]:
        """Give seats that are free although nodes wait for them: a crash came between two events."""
        waiting = [self._seats[each] for each in islice(self._vacant, limit)]
        return [_seated_event(each.agent_id, each.candidates[0], each.number + 1, epoch) for each in waiting]

    def _move(
        self, seat: Seat, reason: str, turns: Sequence[Event], candidates: Sequence[str], epoch: int
    ) -> list[Event]:
        assert seat.node is not None
        events: list[Event] = [_unseated_event(seat.agent_id, seat.node, seat.number, reason), *turns]
        if candidates:
            events.append(_seated_event(seat.agent_id, candidates[0], seat.number + 1, epoch))
        return events

    # -- applying --

    def _put(self, seat: Seat) -> None:
        self._change(seat)
        for node in (seat.node, *seat.candidates):
            if node is not None:
                self._by_node.setdefault(node, {})[seat.agent_id] = None

    def _change(self, seat: Seat) -> None:
        self._seats[seat.agent_id] = seat
        if seat.node is None and seat.candidates:
            self._vacant[seat.agent_id] = None
        else:
            self._vacant.pop(seat.agent_id, None)

    def _forget(self, node: str, agent_id: str) -> None:
        if (agents := self._by_node.get(node)) is not None:
            agents.pop(agent_id, None)
            if not agents:
                del self._by_node[node]

    def _seated(self, event: ActorSeated) -> None:
        assert event.agent_id is not None
        seat = self._seats.get(event.agent_id)
        candidates = () if seat is None else tuple(each for each in seat.candidates if each != event.node)
        self._put(Seat(event.agent_id, event.seat, event.node, event.epoch, candidates))

    def _unseated(self, event: ActorUnseated) -> None:
        assert event.agent_id is not None
        self._change(changed(self._seats[event.agent_id], {"node": None}))
        self._forget(event.node, event.agent_id)

    def _queued(self, event: ActorQueued) -> None:
        seat = self._seats[event.agent_id or ""]
        self._put(changed(seat, {"candidates": (*seat.candidates, event.node)}))

    def _withdrawn(self, event: ActorWithdrawn) -> None:
        assert event.agent_id is not None
        seat = self._seats[event.agent_id]
        left = tuple(each for each in seat.candidates if each != event.node)
        self._change(changed(seat, {"candidates": left}))
        self._forget(event.node, event.agent_id)

    def _unregistered(self, event: AgentUnregistered) -> None:
        seat = self._seats.pop(event.agent_id or "", None)
        if seat is None:
            return
        self._vacant.pop(seat.agent_id, None)
        for node in (seat.node, *seat.candidates):
            if node is not None:
                self._forget(node, seat.agent_id)


def _check(node: str, epoch: int) -> None:
    if type(node) is not str or not 0 < len(node) <= NODE_LENGTH_MAX or not node.isprintable():
        raise CommandRejected(f"a node has a name of 1 to {NODE_LENGTH_MAX} printable characters, not {shown(node)}")
    if type(epoch) is not int or epoch < 0:
        raise CommandRejected(f"an epoch is a whole number from 0 on, not {shown(epoch)}")


def _seated_event(agent_id: str, node: str, number: int, epoch: int) -> Event:
    from ..events.seats import ActorSeated  # noqa: PLC0415 - most hubs have no nodes

    return ActorSeated(agent_id=agent_id, node=node, seat=number, epoch=epoch)


def _unseated_event(agent_id: str, node: str, number: int, reason: str) -> Event:
    from ..events.seats import ActorUnseated  # noqa: PLC0415

    return ActorUnseated(agent_id=agent_id, node=node, seat=number, reason=reason)


def _queued_event(agent_id: str, node: str) -> Event:
    from ..events.seats import ActorQueued  # noqa: PLC0415

    return ActorQueued(agent_id=agent_id, node=node)


def _withdrawn_event(agent_id: str, node: str, reason: str) -> Event:
    from ..events.seats import ActorWithdrawn  # noqa: PLC0415

    return ActorWithdrawn(agent_id=agent_id, node=node, reason=reason)
