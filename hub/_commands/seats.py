"""Seats, as commands: which node runs the actor of an agent; and the hub as the actor of one seat has it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import attrs

from .._foreign.arguments import Call
from .._state import State
from .._state.seats import NODE_LENGTH_MAX, Seats
from ..context import Context
from ..events import Event
from ..events._shown import shown
from .core import Core

__all__ = ("HeldSeat", "SeatCommands", "SeatedCore", "node_name")

_SEAT = Call("seats.seat()")
_LEAVE = Call("seats.leave()")
_LEAVE_ALL = Call("seats.leave_all()")
_UNSEAT = Call("hub.seats.unseat()")

BATCH = 256
"""Of how many agents a node loses its seats by one command."""

_REASON_LENGTH_MAX = 1_000


class SeatCommands:
    """Commands on seats. Arguments and results are plain values, so that a node can have the leader carry them out."""

    def __init__(self, core: Core, state: State) -> None:
        self._core = core
        self._seats: Seats = state.seats

    async def seat(self, agent_id: str, node: str, *, waits: bool = True) -> int | None:
        """Ask for the seat of an agent; return its number if the node has it then, else None.

        Another node has it then, and this one waits in line, unless it does not want to. May be called again.
        """
        agent_id, node = _agent(_SEAT, agent_id), node_name(_SEAT, node)
        waits = _SEAT.flag("waits", waits)
        await self._do(lambda: self._seats.seat(agent_id, node, self._epoch, waits=waits))
        return self._seats.held_by(agent_id, node)

    async def leave(self, agent_id: str, node: str, reason: str) -> None:
        """Give up the seat of an agent, or the place in line for it; has no effect for a node that has neither."""
        agent_id, node, reason = _agent(_LEAVE, agent_id), node_name(_LEAVE, node), _reason(_LEAVE, reason)
        await self._do(lambda: self._seats.leave(agent_id, node, reason, self._epoch))

    async def leave_all(self, node: str, reason: str) -> None:
        """Give up all that a node has and waits for: it ends, and its actors have stopped."""
        node, reason = node_name(_LEAVE_ALL, node), _reason(_LEAVE_ALL, reason)
        while self._seats.of(node):
            await self._do(lambda: self._seats.leave_all(node, reason, self._epoch, BATCH))

    async def unseat(self, agent_id: str, reason: str) -> bool:
        """Take the seat of an agent from the node that has it, and give it to the next in line.

        Returns False, without effect, if no node has it. The turns that its actor is in are abandoned, and their
        envelopes come again where it is seated then.
        """
        agent_id, reason = _agent(_UNSEAT, agent_id), _reason(_UNSEAT, reason)
        return bool(await self._do(lambda: self._seats.unseat(agent_id, reason, self._epoch)))

    async def gone(self, node: str, reason: str) -> None:
        """A node is no more: what it had goes to the next in line."""
        while self._seats.of(node):
            await self._do(lambda: self._seats.gone(node, reason, self._epoch, BATCH))

    async def settle(self) -> None:
        """Give seats that are free although nodes wait for them."""
        while await self._do(lambda: self._seats.vacant(self._epoch, BATCH)):
            pass

    def nodes(self) -> tuple[str, ...]:
        """Return the nodes that have seats, or wait for some."""
        return self._seats.nodes()

    @property
    def _epoch(self) -> int:
        return self._core.fence[0]

    async def _do(self, decide: Callable[[], Sequence[Event]]) -> Sequence[Event]:
        events = await self._core.execute(decide)
        if not events:  # it says what is so, and that may not be committed yet
            await self._core.until_all_is_committed()
        return events


@attrs.define(eq=False, repr=False)
class HeldSeat:
    """The seat of an agent, as the node knows it that has it."""

    agent_id: str
    number: int
    epoch: int
    since_seq: int = 0
    """The ``seq`` of the event by which it was given."""
    lost: str | None = None
    """Why it has it no more."""


class SeatedCore(Core):
    """A hub as the actor of one seat has it: what it does is refused when the seat has gone to another node.

    That is decided together with the command itself, so that nothing comes in between.
    """

    _held: HeldSeat
    _seats: Seats

    @classmethod
    def of(cls, core: Core, seats: Seats, held: HeldSeat) -> SeatedCore:
        """Return this hub as the actor of a seat has it."""
        face = cls.__new__(cls)
        face.__dict__.update(vars(core), _held=held, _seats=seats)
        return face

    @property
    def fence(self) -> tuple[int, int]:
        return (self._held.epoch, self._held.number)

    @property
    def seat_lost(self) -> str | None:
        return self._held.lost

    def execute(self, decide: Callable[[], Sequence[Event]]) -> Awaitable[list[Event]]:
        return super().execute(partial(self._decide, decide))

    def execute_now(self, decide: Callable[[], Sequence[Event]]) -> list[Event] | None:
        return super().execute_now(partial(self._decide, decide))

    async def execute_shielded(self, decide: Callable[[], Sequence[Event]]) -> list[Event]:
        return await super().execute_shielded(partial(self._decide, decide))

    def announce(self, events: Sequence[Event], around: Context | None = None) -> list[Event]:
        """Put events, or none and return an empty list, if the seat is lost: the hub has reported what follows."""
        if not self._seats.is_current(self._held.agent_id, self._held.number):
            return []
        return super().announce(events, around)

    def _decide(self, decide: Callable[[], Sequence[Event]]) -> Sequence[Event]:
        self._seats.check(self._held.agent_id, self._held.number)
        return decide()


def node_name(call: Call, node: object) -> str:
    """Return the name of a node, checked."""
    text = call.text("node", node, wanted="the name of a node", is_empty_ok=False)
    if len(text) > NODE_LENGTH_MAX or not text.isprintable():
        raise call.error(
            f"{call.name}: node is a name of at most {NODE_LENGTH_MAX} printable characters, not {shown(text)}"
        )
    return text


def _agent(call: Call, agent_id: object) -> str:
    return call.id("agent_id", agent_id, wanted="the id of an agent")


def _reason(call: Call, reason: object) -> str:
    return call.text("reason", reason)[:_REASON_LENGTH_MAX]
