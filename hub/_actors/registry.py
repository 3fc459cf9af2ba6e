"""The actors of a hub: spawned, found, stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup

from .._commands.agents import Agent, AgentCommands
from .._commands.core import Core
from .._state import State
from ..context import EMPTY
from ..errors import CommandRejected, HubClosed
from ..events import Event
from ..ports import Clock
from .actor import maker_of, name_of
from .asks import Asks
from .calls import ActorCall
from .handles import ActorHandle, Group
from .handling import Services
from .life import Life, LifePhase
from .rules import REGISTRATION, ActorStatistics, GroupRules, SpawnSettings
from .supervision import Member, Supervisor

__all__ = ("Actors",)


class Actors:
    """Starts actors in groups, and stops them all when the hub is closed."""

    def __init__(
        self, core: Core, state: State, asks: Asks, hub: object, clock: Clock, stop_seconds_max: float
    ) -> None:
        self.clock = clock
        self._core = core
        self._registered = state.agents
        self._agents = AgentCommands(core, state)
        self._services = Services(core=core, state=state, asks=asks, hub=hub, stop_deadline=self._stop_deadline)
        self._stop_seconds_max = stop_seconds_max
        self._supervisors: dict[str, Supervisor] = {}
        self._by_agent: dict[str, Member | None] = {}
        self._lost: dict[str, str] = {}
        self._deadline = math.inf
        self._is_open = False
        self._tasks: TaskGroup | None = None
        core.at_end(self._end)

    def start(self, tasks: TaskGroup) -> None:
        """Take actors from now on, and run them in this group of tasks."""
        self._tasks = tasks
        self._is_open = True

    def supervise(self, name: str, rules: GroupRules) -> Group:
        """Make a group. A name is free again when its group has stopped."""
        return Group(self._supervisor(name, rules), self, self.spawn)

    async def spawn(self, actor: Any, settings: SpawnSettings, supervisor: Supervisor | None = None) -> ActorHandle:
        """See :meth:`hubwire.Hub.spawn`."""
        self._check_open()
        make = maker_of(actor)
        concurrency = settings.concurrency_of(actor)
        if supervisor is not None and supervisor.is_stopped:
            raise CommandRejected(f"group {supervisor.name!r} has stopped; make another one with hub.supervise()")
        agent = await self._agent(settings.name or name_of(actor), actor, settings)
        if agent.id in self._by_agent:
            raise CommandRejected(f"agent {agent.name!r} has an actor already; stop that one first")
        self._by_agent[agent.id] = None
        try:
            if supervisor is None:
                supervisor = self._supervisor(agent.name, GroupRules())
            new_life = partial(
                Life, self._services, agent, concurrency=concurrency, retry_seconds=settings.retry_seconds
            )
            member = Member(supervisor=supervisor, agent=agent, make=make, restart=settings.restart, new_life=new_life)
            self._by_agent[agent.id] = member
            await supervisor.start(member)
        except BaseException:
            member_now = self._by_agent.get(agent.id)
            if member_now is None:
                self._by_agent.pop(agent.id, None)
            elif self._is_open:
                self.start_soon(member_now.stop, self.clock)
            raise
        return ActorHandle(member, self)

    async def _agent(self, name: str, actor: Any, settings: SpawnSettings) -> Agent:
        """Return the agent of this name; register it, if it is not, as the settings or the actor say."""
        if (agent := self._agents.find(name)) is not None:
            return agent
        given = settings.registration
        about = {each: value for each in REGISTRATION if (value := given.get(each) or getattr(actor, each, None))}
        return await self._agents.register(name, **about)

    # -- what supervisors use --

    def start_soon(self, function: Callable[..., Coroutine[Any, Any, object]], *args: object) -> None:
        assert self._tasks is not None
        self._tasks.start_soon(function, *args)

    def announce(self, event: Event) -> None:
        self._core.announce([event], EMPTY)

    def is_registered(self, agent: Agent) -> bool:
        return agent.id in self._registered

    def stopped(self, member: Member) -> None:
        if self._by_agent.get(member.agent.id) is member:
            del self._by_agent[member.agent.id]

    def gave_up(self, supervisor: Supervisor, reason: str) -> None:
        self._lost[supervisor.name] = reason

    # -- what the hub asks --

    def is_calling(self) -> bool:
        """Tell whether the code that runs is called by an actor of this hub, or runs in a task that one has started."""
        return ActorCall.is_inside(self._core)

    def statistics(self) -> tuple[ActorStatistics, ...]:
        return tuple(member.statistics() for member in self._members())

    def problems(self) -> list[str]:
        return [f"actor group {name!r} has stopped: {reason}" for name, reason in self._lost.items()]

    # -- the end --

    async def stop(self, seconds_max: float) -> None:
        """Stop all actors, those first that were spawned last. What they handle has half of the time to end."""
        self._is_open = False
        self._deadline = anyio.current_time() + seconds_max
        supervisors = tuple(reversed(self._supervisors.values()))
        lives = [member.life for supervisor in supervisors for member in supervisor.members if member.life is not None]
        for life in lives:
            life.drain()
        with anyio.move_on_after(seconds_max / 2):
            for life in lives:
                await life.until(LifePhase.DRAINED)
        for supervisor in supervisors:
            await supervisor.stop()

    def _end(self) -> None:
        """The hub is over: release all tasks that wait for an actor."""
        self._is_open = False
        for member in self._members():
            member.links.clear()
            member.supervisor.mark_stopped(member, "the hub has ended")

    def _stop_deadline(self) -> float:
        return min(self._deadline, anyio.current_time() + self._stop_seconds_max)

    def _members(self) -> list[Member]:
        return [member for supervisor in self._supervisors.values() for member in supervisor.members]

    def _supervisor(self, name: str, rules: GroupRules) -> Supervisor:
        self._check_open()
        if (present := self._supervisors.get(name)) is not None and not present.is_stopped and present.members:
            raise CommandRejected(f"a group of actors named {name!r} is there already; give this one another name")
        self._lost.pop(name, None)
        supervisor = self._supervisors[name] = Supervisor(self, name, rules)
        return supervisor

    def _check_open(self) -> None:
        if not self._is_open:
            raise HubClosed("the hub is not running, or closing, and takes no actors; use it inside 'async with hub:'")
