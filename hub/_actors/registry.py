"""The actors of a hub: spawned, found, stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup

from .._commands import Agent, Core
from .._state import State
from ..context import EMPTY
from ..errors import CommandRejected, ConfigurationError, HubClosed
from ..events import Event
from ..ports import Clock
from .actor import Commands, Life, maker_of
from .asks import Asks, working
from .supervision import ActorHandle, ActorStatistics, Group, GroupRules, Member, Restart

__all__ = ("Actors",)

_NEED = ("passport", "resume", "skill", "rule", "capabilities")


class Actors:
    """Starts actors in groups, and ends them all when the hub is closed."""

    def __init__(
        self, core: Core, state: State, asks: Asks, commands: Commands, clock: Clock, stop_seconds_max: float
    ) -> None:
        self.clock = clock
        self.tasks: TaskGroup
        self._core = core
        self._state = state
        self._asks = asks
        self._commands = commands
        self._stop_seconds_max = stop_seconds_max
        self._groups: dict[str, Group] = {}
        self._by_agent: dict[str, Member | None] = {}
        self._lost: dict[str, str] = {}
        self._deadline = math.inf
        self._is_open = False
        core.at_end(self._end)

    def begin(self, tasks: TaskGroup) -> None:
        """Take actors from now on, and run them in this group."""
        self.tasks = tasks
        self._is_open = True

    def supervise(self, name: str, rules: GroupRules) -> Group:
        """Make a group. One that has stopped gives its name free."""
        self._check_open()
        if (group := self._groups.get(name)) is not None and not group.is_stopped and group.members:
            raise CommandRejected(f"a group of actors named {name!r} is there already; give this one another name")
        self._lost.pop(name, None)
        group = self._groups[name] = Group(self, name, rules)
        return group

    async def spawn(
        self,
        actor: Any,
        *,
        name: str | None,
        group: Group | None,
        concurrency: int | None,
        restart: Restart,
        retry_seconds: float,
        registration: Mapping[str, Any],
    ) -> ActorHandle:
        """See :meth:`hubwire.Hub.spawn`."""
        self._check_open()
        make = maker_of(actor)
        seats = getattr(actor, "concurrency", 1) if concurrency is None else concurrency
        if isinstance(seats, bool) or not isinstance(seats, int) or seats < 1:
            raise ConfigurationError(f"concurrency is a whole number from 1 on, not {seats!r}")
        if not isinstance(restart, Restart) or not 0 <= retry_seconds < math.inf:
            raise ConfigurationError(f"{restart=!r} must be a Restart, and {retry_seconds=!r} a number of seconds")
        if group is not None and group.is_stopped:
            raise CommandRejected(f"group {group.name!r} has stopped; make another one with hub.supervise()")
        agent = await self._agent(name or _name_of(actor), actor, registration)
        if agent.id in self._by_agent:
            raise CommandRejected(f"agent {agent.name!r} has an actor already; stop that one first")
        self._by_agent[agent.id] = None
        try:
            if group is None:
                group = self.supervise(agent.name, GroupRules())
            new_life = self._maker_of_lives(agent, seats, retry_seconds)
            member = Member(group=group, agent=agent, make=make, restart=restart, new_life=new_life)
            self._by_agent[agent.id] = member
            await group.start(member)
        except BaseException:
            member_now = self._by_agent.get(agent.id)
            if member_now is None:
                self._by_agent.pop(agent.id, None)
            elif self._is_open:
                self.tasks.start_soon(member_now.stop, self.clock)
            raise
        return ActorHandle(member, self)

    def _maker_of_lives(self, agent: Agent, seats: int, retry_seconds: float) -> Callable[[], Life]:
        return partial(
            Life,
            self._core,
            self._state,
            self._asks,
            self._commands,
            agent,
            seats=seats,
            retry_seconds=retry_seconds,
            stop_deadline=lambda: min(self._deadline, anyio.current_time() + self._stop_seconds_max),
        )

    async def _agent(self, name: str, actor: Any, registration: Mapping[str, Any]) -> Agent:
        """Return the agent of this name; register it, if it is not, as the actor or the arguments say."""
        if (agent := self._commands.agents.find(name)) is not None:
            return agent
        about = {each: given for each in _NEED if (given := registration.get(each) or getattr(actor, each, None))}
        return await self._commands.agents.register(name, **about)

    # -- what groups tell --

    def put(self, event: Event) -> None:
        self._core.announce([event], EMPTY)

    def ended(self, member: Member) -> None:
        if self._by_agent.get(member.agent.id) is member:
            del self._by_agent[member.agent.id]

    def is_registered(self, agent: Agent) -> bool:
        return agent.id in self._state.agents

    def gave_up(self, group: Group, reason: str) -> None:
        self._lost[group.name] = reason

    # -- what the hub asks --

    def is_calling(self) -> bool:
        """Tell whether the code that runs is called by an actor: in a turn, or in a task that it started."""
        return working.get() is not None

    def statistics(self) -> tuple[ActorStatistics, ...]:
        return tuple(member.statistics() for group in self._groups.values() for member in group.members)

    def problems(self) -> list[str]:
        return [f"actor group {name!r} has stopped: {reason}" for name, reason in self._lost.items()]

    # -- the end --

    async def close(self, seconds_max: float) -> None:
        """Stop all actors, those first that were spawned last. What they handle has half of the time to end."""
        self._is_open = False
        self._deadline = anyio.current_time() + seconds_max
        groups = tuple(reversed(self._groups.values()))
        lives = [member.life for group in groups for member in group.members if member.life is not None]
        for life in lives:
            life.drain()
        with anyio.move_on_after(seconds_max / 2):
            for life in lives:
                await life.drained.wait()
        for group in groups:
            await group.stop()

    def _end(self) -> None:
        """The hub is over: nobody waits for an actor any more."""
        self._is_open = False
        members = [member for group in self._groups.values() for member in group.members]
        for member in members:
            member.links.clear()
            member.group.end(member, "the hub has ended")

    def _check_open(self) -> None:
        if not self._is_open:
            raise HubClosed("the hub is not running, or closing, and takes no actors; use it inside 'async with hub:'")


def _name_of(actor: Any) -> str:
    own = getattr(actor, "name", "")
    if isinstance(own, str) and own:
        return own
    name: str = getattr(actor, "__name__", None) or type(actor).__name__
    return name
