"""The seats of one node: its actors run while it has their seats, and wait in line while another node has them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import anyio
import attrs

from .._commands.agents import Agent
from .._commands.core import Core
from .._commands.seats import HeldSeat, SeatedCore
from .._state import State
from ..errors import HubClosed, HubError, HubFailed
from ..events.seats import ActorSeated, ActorUnseated
from ..own_log import OwnLog
from .life import LifePhase
from .members import Crew, Member

__all__ = ("Place", "SeatPort", "Seating")

_log = OwnLog("hub")


class SeatPort(Protocol):
    """How a node asks for seats: :class:`~hubwire._commands.seats.SeatCommands` where it leads, else by forwarding.

    When a call returns, the node's own state has seen what it has led to.
    """

    async def seat(self, agent_id: str, node: str, *, waits: bool = True) -> int | None: ...

    async def leave(self, agent_id: str, node: str, reason: str) -> None: ...

    async def leave_all(self, node: str, reason: str) -> None: ...


@attrs.define(eq=False, repr=False)
class Place:
    """The actors of one agent on this node, and the seat that they run by."""

    crew: Crew
    held: HeldSeat | None = None
    """None while they wait for it."""
    core: Core | None = None
    """The hub as the seat has it."""
    is_entered: bool = False
    """Whether the spawn has returned: from then on, they are started when the seat comes."""

    @property
    def may_run(self) -> bool:
        return self.held is not None


class Seating:
    """Asks for the seats of the agents whose actors are spawned on this node, and starts and stops these."""

    def __init__(
        self,
        node: str,
        port: SeatPort,
        core: Core,
        state: State,
        start_soon: Callable[..., object] | None = None,
    ) -> None:
        self.node: str = node
        """One run of a program: no other one has this name, nor the same program when it is started again."""
        self.on_free: Callable[[str], None] = lambda _: None
        """Called with an agent whose seat was taken from another node."""
        self._port = port
        self._core = core
        self._state = state
        self._start_soon: Callable[..., object] | None = start_soon
        self._places: dict[str, Place] = {}
        self._leaving: dict[str, anyio.Event] = {}
        """By agent, what ends when the leader knows that this node gives its seat up."""
        self._unsure: dict[str, None] = {}
        """The agents about which the leader could not be asked, or told."""
        core.on_applied(ActorSeated, self._seated)
        core.on_applied(ActorUnseated, self._unseated)

    def start(self, start_soon: Callable[..., object]) -> None:
        """Run what there is to do by this function, in tasks of the hub's."""
        self._start_soon = start_soon

    def is_elsewhere(self, agent_id: str) -> bool:
        """Tell whether another node has the seat of an agent."""
        seat = self._state.seats.find(agent_id)
        return seat is not None and seat.node not in (None, self.node)

    async def enter(self, crew: Crew, *, waits: bool = True) -> bool:
        """Ask for the seat of new actors; return whether they are to be started now.

        If they are not, they are started when the seat comes; or they are to be forgotten, if they do not wait.
        """
        agent_id = crew.agent.id
        place = crew.place = Place(crew)
        while (leaving := self._leaving.get(agent_id)) is not None:
            await leaving.wait()
        self._places[agent_id] = place
        try:
            await self._port.seat(agent_id, self.node, waits=waits)
        except BaseException:
            self.leave(crew, "its actor was not spawned")  # it may have come to it all the same
            raise
        self._take_found(place)
        if place.held is None and not waits:
            self._drop(crew)
        place.is_entered = True
        return place.may_run

    def leave(self, crew: Crew, reason: str) -> None:
        """Its actors have stopped for good: give the seat, or the place in line, to others."""
        if self._drop(crew):
            self._soon(self._leave, crew.agent.id, reason)

    async def leave_all(self, reason: str) -> None:
        """The node ends, and its actors have stopped: give up all seats."""
        self._places.clear()
        try:
            await self._port.leave_all(self.node, reason)
        except HubError as error:
            _log.problem("a node could not give up its seats; it loses them when it is silent", error, node=self.node)

    def look_again(self) -> None:
        """Ask and tell the leader again what it could not be asked or told before; call it every second or so."""
        unsure, self._unsure = self._unsure, {}
        for agent_id in unsure:
            self._compare(agent_id)

    def compare(self) -> None:
        """Go by the state as it is: events may have been passed over, where it was restored from a snapshot."""
        for agent_id in {**self._places, **dict.fromkeys(self._state.seats.agents_of(self.node))}:
            self._compare(agent_id)

    def _compare(self, agent_id: str) -> None:
        seats, place = self._state.seats, self._places.get(agent_id)
        number = seats.held_by(agent_id, self.node)
        seat = seats.find(agent_id)
        waits = seat is not None and self.node in seat.candidates
        if place is None:
            if (waits or number is not None) and agent_id not in self._leaving:
                self._soon(self._leave, agent_id, "its actor is not there any more")
        elif place.is_entered:
            if place.held is not None and place.held.number != number:
                self._lose(place, place.held, "the hub has taken it")
            elif place.held is None and number is not None:
                self._take_found(place)
            elif place.held is None and not waits:
                self._soon(self._wait_again, place)

    def _drop(self, crew: Crew) -> bool:
        if crew.place is None or self._places.get(crew.agent.id) is not crew.place:
            return False
        del self._places[crew.agent.id]
        return True

    async def _leave(self, agent_id: str, reason: str) -> None:
        self._leaving[agent_id] = done = anyio.Event()
        try:
            await self._asked(lambda: self._port.leave(agent_id, self.node, reason), "given up", agent_id)
        finally:
            del self._leaving[agent_id]
            done.set()

    # -- what the leader has decided --

    def _seated(self, event: ActorSeated) -> None:
        if event.node != self.node:
            return
        place = self._places.get(event.agent_id or "")
        if place is None:
            if event.agent_id not in self._leaving:  # it waited for it, and has left before it came
                self._soon(self._leave, event.agent_id, "its actor is not there any more")
            return
        self._take(place, HeldSeat(place.crew.agent.id, event.seat, event.epoch, event.seq))

    def _take(self, place: Place, held: HeldSeat) -> None:
        agent, place.held = place.crew.agent, held
        place.core = SeatedCore.of(self._core, self._state.seats, held)
        place.crew.inbox.read_as(Agent(place.core, self._state, agent.id, agent.name))
        if place.is_entered:
            self._soon(self._run, place, held)

    def _unseated(self, event: ActorUnseated) -> None:
        agent_id = event.agent_id or ""
        place = self._places.get(agent_id) if event.node == self.node else None
        if event.node != self.node:
            self.on_free(agent_id)
        if place is None or place.held is None or place.held.number != event.seat:
            return
        self._lose(place, place.held, event.reason or "the hub has taken it")

    def _take_found(self, place: Place) -> None:
        """Take a seat that the node has already: no event comes that gives it."""
        seat = self._state.seats.find(place.crew.agent.id)
        if place.held is None and seat is not None and seat.node == self.node:
            self._take(place, HeldSeat(seat.agent_id, seat.number, seat.epoch, self._core.next_seq - 1))

    def _lose(self, place: Place, held: HeldSeat, reason: str) -> None:
        held.lost, place.held = reason, None
        for member in place.crew.members:
            if member.life is not None:
                member.life.cancel()
        self._soon(self._wait_again, place)

    async def _run(self, place: Place, held: HeldSeat) -> None:
        """Start actors whose seat has come, one after the other; one that fails to has stopped for good."""
        try:
            await self._core.until_committed(held.since_seq)
            for member in tuple(place.crew.members):
                if place.held is held:
                    await member.start_again()
        except (HubClosed, HubFailed):
            return

    async def _wait_again(self, place: Place) -> None:
        """Ask for a seat that was lost, when the actors have stopped: two of them never run at a time."""
        for member in tuple(place.crew.members):
            await _until_ended(member)
        agent_id = place.crew.agent.id
        if self._places.get(agent_id) is place and place.held is None:
            await self._asked(lambda: self._port.seat(agent_id, self.node), "asked for", agent_id)
            if self._places.get(agent_id) is place:
                self._take_found(place)

    async def _asked(self, ask: Callable[[], Coroutine[Any, Any, object]], what: str, agent_id: str) -> None:
        try:
            await ask()
        except (HubClosed, HubFailed):
            return
        except HubError as error:
            self._unsure[agent_id] = None
            _log.problem(f"a seat could not be {what}; this is tried again", error, node=self.node, agent=agent_id)

    def _soon(self, function: Callable[..., Coroutine[Any, Any, object]], *args: object) -> None:
        if self._start_soon is not None and not self._core.is_stopped:
            self._start_soon(function, *args)


async def _until_ended(member: Member) -> None:
    if (life := member.life) is not None:
        await life.until(LifePhase.ENDED)
