"""The actors of a hub: spawned, found, stopped."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import Context
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import anyio
import anyio.lowlevel
import attrs
from anyio.abc import TaskGroup

from .._commands.agents import REGISTER, Agent, AgentCommands
from .._commands.core import Core
from .._foreign.abandoned import Abandoned
from .._state import State
from ..context import EMPTY
from ..errors import CommandRejected, HubClosed
from ..events import Event
from ..late_types import late_type
from ..ports import Clock
from .actor import maker_of
from .asks import Asks
from .contexts import Around
from .crews import members_of
from .demands import Demands
from .draining import Drained, Draining
from .handles import ActorHandle, Group
from .handling import Services
from .life import LifePhase
from .members import Crew, Member
from .on_demand import OnDemand, rule_of
from .rules import REGISTRATION, ActorStatistics, GroupRules, Handling, SpawnSettings, name_of
from .shared_inbox import SharedInbox
from .supervision import Supervisor

if TYPE_CHECKING:
    from .seating import Seating  # imported with the first node
else:
    Seating = late_type("hubwire._actors.seating", "Seating")

__all__ = ("Actors",)

_LOST_MAX = 100
"""How many groups that have stopped are named, the newest; others are counted."""


class Actors:
    """Starts actors in groups, and stops them all when the hub is closed."""

    def __init__(
        self,
        core: Core,
        state: State,
        asks: Asks,
        acting_as: Callable[[Agent], object],
        clock: Clock,
        abandoned: Abandoned,
        stop_seconds_max: float,
    ) -> None:
        self.clock = clock
        self._core = core
        self._registered = state.agents
        self._agents = AgentCommands(core, state)
        self._asks = asks
        self._services = Services(
            core=core,
            state=state,
            clock=clock,
            asks=asks,
            acting_as=acting_as,
            abandoned=abandoned,
            is_recovered=self._is_recovered,
            stop_deadline=self._stop_deadline,
        )
        self._stop_seconds_max = stop_seconds_max
        self._groups: WeakValueDictionary[str, Supervisor] = WeakValueDictionary()
        """All that a program or an actor holds, by name."""
        self._present: dict[Supervisor, None] = {}
        """Those that stand in no other and have actors, in the order in which they got the first one."""
        self._by_agent: dict[str, Crew] = {}
        self._lost: dict[str, str] = {}
        """Why groups have stopped that have crashed too often, by name."""
        self._lost_more = 0
        self._draining = Draining(core, state.inboxes, clock)
        self._demands = Demands(core, state, self)
        self._seating: Seating | None = None
        """Where several nodes run the actors of the hub, the seats of this one."""
        self._deadline = math.inf
        self._is_open = False
        self._first_seq = 0
        self._tasks: TaskGroup | None = None
        self._around = Around()
        core.at_end(self._end)

    def seat_by(self, seating: Seating) -> None:
        """Run actors while this node has the seats of their agents, from the start on: before it, and once."""
        self._seating = seating
        seating.on_free = self._demands.look_at

    def start(self, tasks: TaskGroup, first_seq: int, around: Around) -> None:
        """Take actors from now on, and run them in this group of tasks; what is below ``first_seq`` is recovered.

        ``around``: what the hub runs inside of, and its actors, too.
        """
        self._tasks = tasks
        self._around = around
        self._first_seq = first_seq
        self._is_open = True
        if self._seating is not None:
            self._seating.start(self.start_soon)

    def supervise(self, name: str, rules: GroupRules, above: Supervisor | None = None) -> Group:
        """Make a group, or return the one of this name with these rules. The name of a stopped one is free again."""
        self._check_open()
        if above is not None and above.is_stopped:
            raise _stopped(above)
        present = self._groups.get(name)
        if present is None or present.is_stopped:
            present = self._new_group(name, rules, above=above, is_alone=False)
        elif present.is_alone:
            raise CommandRejected(
                f"a group of actors named {name!r} is there already: that of the actor {name!r}, which was spawned into"
                " no group; give this one another name"
            )
        elif present.above is not above or present.rules != rules:
            where = "in no other group" if present.above is None else f"in group {present.above.name!r}"
            raise CommandRejected(
                f"a group of actors named {name!r} is there already, {where} and with {present.rules}; use these, or"
                " give this one another name"
            )
        return Group(present, self, self)

    async def spawn(
        self,
        actor: Any,
        settings: SpawnSettings,
        supervisor: Supervisor | None = None,
        agents: AgentCommands | None = None,
    ) -> ActorHandle:
        """See :meth:`hubwire.Hub.spawn`; ``agents`` registers its agent."""
        self._check_open()
        make, handling = maker_of(actor, settings.workers), settings.handling_of(actor)
        if supervisor is not None and supervisor.is_stopped:
            raise _stopped(supervisor)
        registered = await self._agent(settings.name or name_of(actor), actor, settings, agents or self._agents)
        agent = self._agents.get(registered.id)  # for the actor, which is not the one that has registered it
        if agent.id in self._by_agent:
            raise CommandRejected(
                f"agent {agent.name!r} has an actor already; stop that one first, or spawn it with workers=2"
            )
        if supervisor is None:
            supervisor = self._group_of_one(self._group_name(agent))
        crew = self._by_agent[agent.id] = Crew(agent, SharedInbox(agent))
        self._asks.open(agent.id)
        await self._start(crew, supervisor, make, settings, handling)
        return ActorHandle(crew, self)

    def spawn_on_demand(
        self,
        pattern: object,
        factory: Any,
        idle_seconds: object,
        active_max: object,
        settings: SpawnSettings,
        tenant: str | None = None,
    ) -> OnDemand:
        """See :meth:`hubwire.Hub.spawn_on_demand`; ``tenant``: whose agents it is for."""
        rule = rule_of(pattern, factory, idle_seconds, active_max, settings, tenant)
        self._check_open()
        return self._demands.add(rule)

    async def start_crew(
        self,
        agent: Agent,
        make: Callable[[], Any],
        handling: Handling,
        settings: SpawnSettings,
        on_wait: Callable[[], None],
    ) -> Crew | None:
        """Start the actor of an agent for which envelopes wait; None if another node has its seat."""
        supervisor = self._group_of_one(self._group_name(agent))
        crew = self._by_agent[agent.id] = Crew(agent, SharedInbox(agent))
        crew.inbox.on_wait = on_wait
        self._asks.open(agent.id)
        is_here = await self._start(crew, supervisor, make, settings, handling, waits=False)
        return crew if is_here else None

    def new_context(self) -> Context:
        return self._around.context()

    def has_actor(self, agent_id: str) -> bool:
        """Tell whether an agent has an actor, here or on another node."""
        return agent_id in self._by_agent or (self._seating is not None and self._seating.is_elsewhere(agent_id))

    def reopen(self, agent_id: str) -> None:
        self._asks.open(agent_id)

    def ended(self, rule: OnDemand) -> None:
        self._demands.remove(rule)

    async def _start(
        self,
        crew: Crew,
        supervisor: Supervisor,
        make: Callable[[], Any],
        settings: SpawnSettings,
        handling: Handling,
        *,
        waits: bool = True,
    ) -> bool:
        """Start the actors of an agent, one after the other; if one fails to, none is left.

        If another node has the agent's seat, they wait for it; False: they do not, and none is left.
        """
        lives = (self._services, handling)
        crew.members = members_of(crew, supervisor, make, settings, lives, self.new_context())
        begun = 0
        try:
            if self._seating is None:
                await self._take_seat(crew.agent)
            elif not await self._enter(self._seating, crew, supervisor, waits=waits):
                return self._enlist(crew, supervisor, waits=waits)
            for member in tuple(crew.members):
                begun += 1
                await supervisor.start(member)
        except BaseException as error:
            del crew.members[begun:]
            if crew.is_stopped:
                self._release(crew)
            elif self._is_open and isinstance(error, Exception):
                with anyio.CancelScope(shield=True):
                    await crew.stop(self.clock)
            elif self._is_open:
                self.start_soon(crew.stop, self.clock)
            raise
        return True

    async def _enter(self, seating: Seating, crew: Crew, supervisor: Supervisor, *, waits: bool) -> bool:
        """Ask for the seat; raise if the actors cannot start any more when the answer comes."""
        is_seated = await seating.enter(crew, waits=waits)
        self._check_open()
        if supervisor.is_stopped:
            raise _stopped(supervisor)
        return is_seated

    def _enlist(self, crew: Crew, supervisor: Supervisor, *, waits: bool) -> bool:
        """Let actors wait for their seat, and return True; or forget them."""
        if not waits:
            crew.members.clear()
            self._release(crew)
            return False
        for member in crew.members:
            supervisor.take(member)
        return True

    async def _take_seat(self, agent: Agent) -> None:
        """Without other nodes, no seat is asked for; one that is left from a time with them is taken back."""
        seats = self._services.state.seats
        while seats.is_taken(agent.id):
            from .._commands.seats import SeatCommands  # noqa: PLC0415 - most hubs have no nodes

            await SeatCommands(self._core, self._services.state).unseat(agent.id, "its actor was spawned by the hub")

    async def _agent(self, name: str, actor: Any, settings: SpawnSettings, agents: AgentCommands) -> Agent:
        """Return the agent of this name; register it, if it is not, as the settings or the actor say."""
        if (agent := agents.find(name)) is not None:
            return agent
        given = settings.registration
        about: dict[str, Any] = {
            each: given[each] if each in given else getattr(actor, each, None) for each in REGISTRATION
        }
        call = attrs.evolve(REGISTER, name=settings.call.name)
        about = {each: value for each, value in about.items() if value is not None}
        return await agents._register(call, name, **about)  # noqa: SLF001 - it is no command

    def check_may_drain(self, crews: Iterable[Crew]) -> None:
        if self._core.is_stopped:
            raise self._core.end_error(
                "the hub is closed, and its actors have stopped; what they left is in its journal"
            )
        self._draining.check(crews)

    async def drain(
        self, crews: Callable[[], Iterable[Crew]], stop: Callable[[], Awaitable[None]], seconds: float
    ) -> Drained:
        """Drain actors, and stop them, in a task of the hub's: it goes on if the caller is cancelled."""
        self.check_may_drain(crews())
        drained: list[Drained] = []
        done = anyio.Event()

        async def drain() -> None:
            try:
                drained.append(await self._draining.run(crews, stop, seconds))
            finally:
                done.set()

        self.start_soon(drain)
        await done.wait()
        if not drained:
            raise self._core.end_error("the hub was closed while actors were drained")
        return drained[0]

    # -- what supervisors use --

    def start_soon(self, function: Callable[..., Coroutine[Any, Any, object]], *args: object) -> None:
        assert self._tasks is not None
        self._tasks.start_soon(function, *args)

    def announce(self, event: Event) -> None:
        self._core.announce([event], EMPTY)

    def is_registered(self, agent: Agent) -> bool:
        return agent.id in self._registered

    def stopped(self, member: Member) -> None:
        agent_id = member.agent.id
        if not member.crew.is_stopped or not self._release(member.crew):
            return
        if member.supervisor.is_stopped and self._is_open and agent_id in self._registered:
            self._asks.close(agent_id, f"its group of actors has stopped: {member.supervisor.name}")

    def _release(self, crew: Crew) -> bool:
        """The last actor of an agent has stopped for good: stop those that are linked to it; False if that is done."""
        if self._by_agent.get(crew.agent.id) is not crew:
            return False
        del self._by_agent[crew.agent.id]
        for other in crew.links:
            other.links.discard(crew)
            if not other.is_stopped:
                self.start_soon(other.stop, self.clock)
        crew.links.clear()
        if self._seating is not None and self._is_open:
            self._seating.leave(crew, "its actor has stopped")
        if self._is_open:
            self._demands.look_at(crew.agent.id)
        return True

    def appeared(self, supervisor: Supervisor) -> None:
        self._present[supervisor] = None

    def vanished(self, supervisor: Supervisor) -> None:
        self._present.pop(supervisor, None)

    def gave_up(self, supervisor: Supervisor, reason: str) -> None:
        self._lost[supervisor.name] = reason
        if len(self._lost) > _LOST_MAX:
            del self._lost[next(iter(self._lost))]
            self._lost_more += 1

    # -- what the hub asks --

    def statistics(self) -> tuple[ActorStatistics, ...]:
        return tuple(member.statistics() for member in self._members())

    def problems(self) -> list[str]:
        problems = [f"actor group {name!r} has stopped: {reason}" for name, reason in self._lost.items()]
        return [*problems, f"{self._lost_more} more actor groups had stopped before"] if self._lost_more else problems

    # -- the end --

    async def stop(self, until: float, at_last: float) -> None:
        """Stop all actors, those first that were spawned last. What they handle has half of the time to end.

        At ``until``, in the loop's time, those that have not stopped are cancelled together. Who has not ended
        ``at_last`` is not waited for.
        """
        self._is_open = False
        self._deadline = until
        now = anyio.current_time()
        supervisors = tuple(reversed(self._present))
        lives = [
            member.life for supervisor in supervisors for member in supervisor.all_members() if member.life is not None
        ]
        for life in lives:
            life.drain()
        with anyio.move_on_at(now + (until - now) / 2):
            for life in lives:
                await life.until(LifePhase.DRAINED)
        with anyio.move_on_at(until) as in_order:
            for supervisor in supervisors:
                await supervisor.stop_all()
        if in_order.cancelled_caught:
            for life in lives:
                life.cancel()
            with anyio.move_on_at(at_last):
                for life in lives:
                    await life.until(LifePhase.ENDED)
                await anyio.lowlevel.checkpoint()  # what they were is reported now
        if self._seating is not None:
            with anyio.move_on_at(at_last):
                await self._seating.leave_all("its node was closed")

    def _end(self) -> None:
        """The hub is over: release all tasks that wait for an actor."""
        self._is_open = False
        for crew in self._by_agent.values():
            crew.links.clear()
        for member in self._members():
            member.supervisor.mark_stopped(member, "the hub has ended")

    def _is_recovered(self, event: Event) -> bool:
        return event.seq < self._first_seq

    def _stop_deadline(self) -> float:
        return min(self._deadline, anyio.current_time() + self._stop_seconds_max)

    def _members(self) -> list[Member]:
        return [member for supervisor in self._present for member in supervisor.all_members()]

    def _group_name(self, agent: Agent) -> str:
        """Return the name of the group that an actor is alone in: agents of several tenants may have one name."""
        tenant = self._registered.tenant_of(agent.id)
        if tenant is None:
            return agent.name
        name = f"{agent.name} of {tenant}"
        # The name of another agent, or of a group of the program, may read alike; it must not stand in the way.
        return f"{name} ({agent.id})" if self._is_taken(name) else name

    def _group_of_one(self, name: str) -> Supervisor:
        if self._is_taken(name):
            raise CommandRejected(f"a group of actors named {name!r} is there already; give the actor another name")
        return self._new_group(name, GroupRules(), above=None, is_alone=True)

    def _is_taken(self, name: str) -> bool:
        present = self._groups.get(name)
        is_there = present is not None and not present.is_stopped and present in self._present
        return present is not None and is_there and not self._is_of_gone(present)

    def _is_of_gone(self, supervisor: Supervisor) -> bool:
        """Tell whether it is of the actors of an agent that has left: another agent may have its name now."""
        return supervisor.is_alone and not any(self.is_registered(member.agent) for member in supervisor.members)

    def _new_group(self, name: str, rules: GroupRules, *, above: Supervisor | None, is_alone: bool) -> Supervisor:
        self._check_open()
        self._lost.pop(name, None)
        supervisor = self._groups[name] = Supervisor(self, name, rules, above=above, is_alone=is_alone)
        return supervisor

    def _check_open(self) -> None:
        if not self._is_open:
            raise HubClosed("the hub is not running, or closing, and takes no actors; use it inside 'async with hub:'")


def _stopped(supervisor: Supervisor) -> CommandRejected:
    return CommandRejected(f"group {supervisor.name!r} has stopped; make another one with hub.supervise()")
