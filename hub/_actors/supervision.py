"""Supervision: what happens when an actor crashes, to it and to the others of its group.

In the words of Erlang's OTP: a group restarts one for one, one for all, or the rest for one; an actor is permanent,
transient or temporary; and a group that crashes too often is stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Protocol

import anyio
import attrs
from anyio.abc import TaskGroup

from .._commands import Agent
from .._commit.backoff import Backoff, FailureWindow
from .._foreign.guards import message_of, text_of
from ..errors import CommandRejected, ConfigurationError
from ..events import ActorCrashed, ActorStarted, ActorStopped, Event, GroupStopped
from ..ports import Clock
from .actor import Life

__all__ = ("ActorHandle", "ActorStatistics", "Group", "GroupRules", "Member", "Restart", "Strategy")

RETRY_SECONDS = 1.0
"""Before an envelope that crashed its actor comes again, doubled each time: five crashes in a row take 15 seconds, so
that one bad envelope is dead-lettered before its group has crashed too often."""


class Strategy(Enum):
    """Who is started again when one actor of a group crashes.

    ONE_FOR_ONE: that actor. ONE_FOR_ALL: all of the group. REST_FOR_ONE: that actor, and those spawned after it. The
    others are stopped first, the newest before; then they are started in the order in which they were spawned.
    """

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


class Restart(Enum):
    """When an actor is started again: PERMANENT, whenever it ends; TRANSIENT, when it crashed; TEMPORARY, never."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


@attrs.frozen(kw_only=True)
class GroupRules:
    """How a group goes on after a crash: see :meth:`hubwire.Hub.supervise`."""

    strategy: Strategy = Strategy.ONE_FOR_ONE
    restarts_max: int = 3
    within_seconds: float = 5.0
    backoff_seconds: float = 0.1
    backoff_seconds_max: float = 30.0

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.strategy, Strategy):
            raise ConfigurationError(f"a strategy is a Strategy, as Strategy.ONE_FOR_ALL, not {self.strategy!r}")
        if self.restarts_max < 0 or self.within_seconds <= 0 or min(self.backoff_seconds, self.backoff_seconds_max) < 0:
            raise ConfigurationError(
                "restarts_max and the backoffs must not be negative, and within_seconds must be positive"
            )


@attrs.frozen(kw_only=True)
class ActorStatistics:
    """What an actor has done since it was spawned."""

    name: str
    agent_id: str
    group: str
    is_running: bool
    """Whether it reads its inbox now; not while it starts, or waits to be started again."""
    starts: int
    crashes: int
    handled: int
    """How many envelopes."""


class Surroundings(Protocol):
    """What groups need of their hub."""

    clock: Clock
    tasks: TaskGroup

    def is_registered(self, agent: Agent) -> bool: ...

    def put(self, event: Event) -> None:
        """Tell this, if the hub still tells anything."""

    def ended(self, member: Member) -> None:
        """An actor is not started again."""

    def gave_up(self, group: Group, reason: str) -> None:
        """A group has crashed too often."""

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
    ) -> ActorHandle: ...


@attrs.define(eq=False, kw_only=True)
class Member:
    """An actor in its group."""

    group: Group
    agent: Agent
    make: Callable[[], Any]
    restart: Restart
    new_life: Callable[[], Life]
    life: Life | None = None
    """None before, between and after its lives."""
    starts: int = 0
    crashes: int = 0
    handled: int = 0
    is_stopping: bool = False
    reason: str | None = None
    """Why it is not started again; None while it may be."""
    ended: anyio.Event = attrs.field(factory=anyio.Event)
    links: set[Member] = attrs.field(factory=set)

    @property
    def is_running(self) -> bool:
        return self.life is not None and self.life.has_started

    async def stop(self, clock: Clock, grace_seconds: float = 0.0) -> None:
        self.is_stopping = True
        life = self.life
        if life is None:
            self.group.end(self, "stopped")
            return
        life.drain()
        if grace_seconds > 0:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_cancel_when_set, life.drained, tasks.cancel_scope)
                await clock.sleep(grace_seconds)
                tasks.cancel_scope.cancel()
        life.cancel()
        await self.ended.wait()

    def statistics(self) -> ActorStatistics:
        return ActorStatistics(
            name=self.agent.name,
            agent_id=self.agent.id,
            group=self.group.name,
            is_running=self.is_running,
            starts=self.starts,
            crashes=self.crashes,
            handled=self.handled + (0 if self.life is None else self.life.handled),
        )


async def _cancel_when_set(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


class ActorHandle:
    """An actor that was spawned."""

    def __init__(self, member: Member, around: Surroundings) -> None:
        self.agent: Agent = member.agent
        """Whose inbox it reads."""
        self._member = member
        self._around = around

    @property
    def name(self) -> str:
        return self.agent.name

    @property
    def is_running(self) -> bool:
        """Whether it reads its inbox now; not while it starts, or waits to be started again."""
        return self._member.is_running

    def statistics(self) -> ActorStatistics:
        """Return what it has done since it was spawned."""
        return self._member.statistics()

    async def stop(self, *, grace_seconds: float = 0.0) -> None:
        """End the actor for good: it begins no envelope any more, and what is left stays in its inbox.

        What it handles at present is cancelled after ``grace_seconds`` by the hub's clock, and comes again to who acts
        as its agent next. Returns when ``on_stop`` has returned. The agent stays registered.
        """
        await self._member.stop(self._around.clock, grace_seconds)

    async def wait(self) -> str:
        """Return why the actor ended, when it has, and is not started again."""
        await self._member.ended.wait()
        assert self._member.reason is not None
        return self._member.reason

    def link(self, other: ActorHandle) -> None:
        """Tie two actors together: when one has ended for good, the other is stopped."""
        ours, theirs = self._member, other._member
        for one, another in ((ours, theirs), (theirs, ours)):
            if one.reason is not None and another.reason is None:
                self._around.tasks.start_soon(another.stop, self._around.clock)
            one.links.add(another)


@attrs.define(eq=False)
class _Restarting:
    """Some actors of a group on their way down and up again."""

    members: list[Member]
    scope: anyio.CancelScope = attrs.field(factory=anyio.CancelScope)


class Group:
    """Actors that are supervised together."""

    def __init__(self, around: Surroundings, name: str, rules: GroupRules) -> None:
        self.name: str = name
        self.is_stopped: bool = False
        """Whether it was stopped, by somebody or because it crashed too often. It takes no actors any more."""
        self._around = around
        self._members: list[Member] = []
        self._rules = rules
        self._recent_crashes = FailureWindow(rules.restarts_max, rules.within_seconds)
        self._backoff = Backoff(rules.backoff_seconds, rules.backoff_seconds_max)
        self._restarting: list[_Restarting] = []

    async def spawn(
        self,
        actor: Any,
        *,
        name: str | None = None,
        concurrency: int | None = None,
        restart: Restart = Restart.PERMANENT,
        retry_seconds: float = RETRY_SECONDS,
        **registration: Any,
    ) -> ActorHandle:
        """Start an actor in this group: see :meth:`hubwire.Hub.spawn`."""
        return await self._around.spawn(
            actor,
            name=name,
            group=self,
            concurrency=concurrency,
            restart=restart,
            retry_seconds=retry_seconds,
            registration=registration,
        )

    @property
    def members(self) -> tuple[Member, ...]:
        """Those that may still run, in the order in which they were spawned."""
        return tuple(self._members)

    async def start(self, member: Member) -> None:
        """Start an actor for the first time; raise what it crashes with before it reads anything."""
        self._members.append(member)
        life = await self._begin(member)
        if life.has_started:
            return
        raise life.error or CommandRejected(f"actor {member.agent.name!r} was stopped before it had started")

    async def stop(self) -> None:
        """Stop all actors of the group for good, the newest first."""
        self.is_stopped = True
        for restarting in self._restarting:
            restarting.scope.cancel()
        for member in reversed(self.members):
            await member.stop(self._around.clock)

    def end(self, member: Member, reason: str) -> None:
        """Let an actor not be started again."""
        if member.reason is not None:
            return
        member.reason = reason
        if member in self._members:
            self._members.remove(member)
        self._around.put(ActorStopped(agent_id=member.agent.id, name=member.agent.name, group=self.name, reason=reason))
        member.ended.set()
        self._around.ended(member)
        for other in member.links:
            if other.reason is None:
                self._around.tasks.start_soon(other.stop, self._around.clock)

    # -- lives --

    async def _begin(self, member: Member) -> Life:
        """Begin a life; return when the actor reads its inbox, or has crashed before."""
        life = member.life = member.new_life()
        self._around.tasks.start_soon(self._live, member, life)
        await life.begun.wait()
        return life

    async def _live(self, member: Member, life: Life) -> None:
        def started() -> None:
            member.starts += 1
            about = ActorStarted(
                agent_id=member.agent.id, name=member.agent.name, group=self.name, starts=member.starts
            )
            self._around.put(about)

        try:
            await life.run(member.make, started)
        finally:
            member.life = None
            member.handled += life.handled
        if life.error is not None:
            member.crashes += 1
        if member.is_stopping:
            suffix = "" if life.error is None else f", after it crashed with {text_of(life.error)}"
            self.end(member, f"stopped{suffix}")
        elif life.is_interrupted:
            if life.error is not None:  # on its way down; who interrupted it starts it again
                self._tell_crash(member, life.error, 0.0)
        elif life.error is not None:
            self._crashed(member, life.error, is_first=not member.starts)
        else:
            self._ended_normally(member)

    def _ended_normally(self, member: Member) -> None:
        if not self._around.is_registered(member.agent):
            self.end(member, "its agent has left the hub")
        elif member.restart is Restart.PERMANENT:
            self._start_again(member, None)
        else:
            self.end(member, "it came to its end")

    def _crashed(self, member: Member, error: Exception, *, is_first: bool) -> None:
        if is_first or member.restart is Restart.TEMPORARY:
            self._tell_crash(member, error, None)
            self.end(member, f"it crashed with {text_of(error)}")
        else:
            self._start_again(member, error)

    def _tell_crash(self, member: Member, error: Exception, backoff_seconds: float | None) -> None:
        crashed = ActorCrashed(
            agent_id=member.agent.id,
            name=member.agent.name,
            group=self.name,
            error_type=type(error).__name__,
            error_message=message_of(error),
            backoff_seconds=backoff_seconds,
        )
        self._around.put(crashed)

    # -- restarts --

    def _start_again(self, member: Member, error: Exception | None) -> None:
        if self.is_stopped:
            self.end(member, f"its group was stopped: {self.name}")
            return
        pause = self._pause()
        if error is not None:
            self._tell_crash(member, error, pause)
        if pause is None:
            last = "" if error is None else f", last {member.agent.name!r} with {text_of(error)}"
            rules = self._rules
            self._give_up(f"more than {rules.restarts_max} restarts within {rules.within_seconds:g} s{last}")
            return
        affected = self._affected_by(member)
        for restarting in self._restarting:
            if any(each in affected for each in restarting.members):
                restarting.scope.cancel()
                affected |= set(restarting.members)
        restarting = _Restarting([each for each in self._members if each in affected])
        self._restarting.append(restarting)
        self._around.tasks.start_soon(self._restart, restarting, pause)

    def _pause(self) -> float | None:
        """Return how long to wait before the next restart; None if it would be one too many."""
        failures = self._recent_crashes.add(self._around.clock.monotonic())
        return None if failures is None else self._backoff.pause_seconds(failures)

    def _affected_by(self, member: Member) -> set[Member]:
        if self._rules.strategy is Strategy.ONE_FOR_ONE:
            return {member}
        if self._rules.strategy is Strategy.ONE_FOR_ALL:
            return set(self._members)
        return set(self._members[self._members.index(member) :])

    async def _restart(self, restarting: _Restarting, pause: float) -> None:
        try:
            with restarting.scope:
                for member in reversed(restarting.members):
                    if (life := member.life) is not None:
                        life.cancel()
                        await life.finished.wait()
                await self._around.clock.sleep(pause)
                for member in restarting.members:
                    if member.reason is None and member.life is None:
                        life = await self._begin(member)
                        if life.error is not None and not life.has_started:
                            return  # that was a crash, which led to a restart of its own, or to none
        finally:
            self._restarting.remove(restarting)

    def _give_up(self, reason: str) -> None:
        self.is_stopped = True
        members = tuple(each.agent.name for each in self._members)
        self._around.put(GroupStopped(group=self.name, reason=reason, members=members))
        self._around.gave_up(self, reason)
        self._around.tasks.start_soon(self.stop)
