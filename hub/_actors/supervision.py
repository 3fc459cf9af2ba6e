"""Supervision: what happens to an actor when it crashes, and to the others of its group.

In the words of Erlang's OTP: a group restarts one for one, one for all, or the rest for one; an actor is permanent,
transient or temporary; and a group that crashes too often is stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import anyio
import attrs

from .._commands.agents import Agent
from .._commit.backoff import Backoff, FailureWindow
from .._foreign.guards import message_of, text_of
from ..errors import CommandRejected
from ..events import ActorCrashed, ActorStarted, ActorStopped, Event, GroupStopped
from ..ports import Clock
from .life import Life, LifePhase
from .rules import ActorStatistics, GroupRules, Restart, Strategy

__all__ = ("Member", "Supervisor", "Surroundings")


class Surroundings(Protocol):
    """What supervisors need of their hub."""

    clock: Clock

    def start_soon(self, function: Callable[..., Coroutine[Any, Any, object]], *args: object) -> None:
        """Run this in a task of the hub's."""

    def is_registered(self, agent: Agent) -> bool: ...

    def announce(self, event: Event) -> None:
        """Put this event, unless the hub puts none any more."""

    def stopped(self, member: Member) -> None:
        """An actor has stopped for good."""

    def gave_up(self, supervisor: Supervisor, reason: str) -> None:
        """A group has crashed too often."""


@attrs.define(eq=False, kw_only=True)
class Member:
    """An actor in its group."""

    supervisor: Supervisor
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
    """Why it has stopped for good; None while it may be started again."""
    stopped: anyio.Event = attrs.field(factory=anyio.Event)
    links: set[Member] = attrs.field(factory=set)

    @property
    def is_running(self) -> bool:
        return self.life is not None and self.life.phase is LifePhase.READING

    async def stop(self, clock: Clock, grace_seconds: float = 0.0) -> None:
        """Stop the actor for good; return when it has stopped."""
        self.is_stopping = True
        life = self.life
        if life is None:
            self.supervisor.mark_stopped(self, "stopped")
            return
        life.drain()
        if grace_seconds > 0:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_cancel_when_drained, life, tasks.cancel_scope)
                await clock.sleep(grace_seconds)
                tasks.cancel_scope.cancel()
        life.cancel()
        await self.stopped.wait()

    def statistics(self) -> ActorStatistics:
        return ActorStatistics(
            name=self.agent.name,
            agent_id=self.agent.id,
            group=self.supervisor.name,
            is_running=self.is_running,
            starts=self.starts,
            crashes=self.crashes,
            handled=self.handled + (0 if self.life is None else self.life.handled),
        )


async def _cancel_when_drained(life: Life, scope: anyio.CancelScope) -> None:
    await life.until(LifePhase.DRAINED)
    scope.cancel()


@attrs.define(eq=False)
class _Restarting:
    """Some actors of a group on their way down and up again."""

    members: list[Member]
    scope: anyio.CancelScope = attrs.field(factory=anyio.CancelScope)


class Supervisor:
    """Starts the actors of a group, and starts them again as its rules say."""

    def __init__(self, around: Surroundings, name: str, rules: GroupRules) -> None:
        self.name: str = name
        self.is_stopped: bool = False
        """Whether the group was stopped, or has crashed too often. It takes no actors any more."""
        self._around = around
        self._clock = around.clock
        self._members: list[Member] = []
        self._rules = rules
        self._recent_crashes = FailureWindow(rules.restarts_max, rules.within_seconds)
        self._backoff = Backoff(rules.backoff_seconds, rules.backoff_seconds_max)
        self._restarting: list[_Restarting] = []

    @property
    def members(self) -> tuple[Member, ...]:
        """The actors that have not stopped for good, in the order in which they were spawned."""
        return tuple(self._members)

    async def start(self, member: Member) -> None:
        """Start an actor for the first time; raise what it crashes with before it reads its inbox."""
        self._members.append(member)
        life = await self._start_life(member)
        if life.has_started:
            return
        raise life.error or CommandRejected(f"actor {member.agent.name!r} was stopped before it had started")

    async def stop(self) -> None:
        """Stop all actors of the group for good, the newest first."""
        self.is_stopped = True
        for restarting in self._restarting:
            restarting.scope.cancel()
        for member in reversed(self.members):
            await member.stop(self._clock)

    def mark_stopped(self, member: Member, reason: str) -> None:
        """An actor has stopped for good: report it, and stop the actors that are linked to it."""
        if member.reason is not None:
            return
        around, agent = self._around, member.agent
        member.reason = reason
        if member in self._members:
            self._members.remove(member)
        around.announce(ActorStopped(agent_id=agent.id, name=agent.name, group=self.name, reason=reason))
        member.stopped.set()
        around.stopped(member)
        for other in member.links:
            if other.reason is None:
                around.start_soon(other.stop, self._clock)

    # -- lives --

    async def _start_life(self, member: Member) -> Life:
        """Start a life; return when the actor reads its inbox, or has crashed before."""
        life = member.life = member.new_life()
        self._around.start_soon(self._run_life, member, life)
        await life.until(LifePhase.READING)
        return life

    async def _run_life(self, member: Member, life: Life) -> None:
        def started() -> None:
            agent = member.agent
            member.starts += 1
            self._around.announce(
                ActorStarted(agent_id=agent.id, name=agent.name, group=self.name, starts=member.starts)
            )

        try:
            await life.run(member.make, started)
        finally:
            member.life = None
            member.handled += life.handled
        if life.error is not None:
            member.crashes += 1
        if member.is_stopping:
            suffix = "" if life.error is None else f", after it crashed with {text_of(life.error)}"
            self.mark_stopped(member, f"stopped{suffix}")
        elif life.is_interrupted:
            if life.error is not None:  # while it was being stopped, to be started again
                self._report_crash(member, life.error, 0.0)
        elif life.error is not None:
            self._crashed(member, life.error, is_first=not member.starts)
        else:
            self._ended_normally(member)

    def _ended_normally(self, member: Member) -> None:
        if not self._around.is_registered(member.agent):
            self.mark_stopped(member, "its agent has left the hub")
        elif member.restart is Restart.PERMANENT:
            self._start_again(member, None)
        else:
            self.mark_stopped(member, "it came to its end")

    def _crashed(self, member: Member, error: Exception, *, is_first: bool) -> None:
        if is_first or member.restart is Restart.TEMPORARY:
            self._report_crash(member, error, None)
            self.mark_stopped(member, f"it crashed with {text_of(error)}")
        else:
            self._start_again(member, error)

    def _report_crash(self, member: Member, error: Exception, backoff_seconds: float | None) -> None:
        crashed = ActorCrashed(
            agent_id=member.agent.id,
            name=member.agent.name,
            group=self.name,
            error_type=type(error).__name__,
            error_message=message_of(error),
            backoff_seconds=backoff_seconds,
        )
        self._around.announce(crashed)

    # -- restarts --

    def _start_again(self, member: Member, error: Exception | None) -> None:
        if self.is_stopped:
            self.mark_stopped(member, f"its group was stopped: {self.name}")
            return
        pause = self._pause()
        if error is not None:
            self._report_crash(member, error, pause)
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
        self._around.start_soon(self._restart, restarting, pause)

    def _pause(self) -> float | None:
        """Return how long to wait before the next restart; None if it would be one too many."""
        failures = self._recent_crashes.add(self._clock.monotonic())
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
                        await life.until(LifePhase.ENDED)
                await self._clock.sleep(pause)
                for member in restarting.members:
                    if member.reason is None and member.life is None:
                        life = await self._start_life(member)
                        if life.error is not None and not life.has_started:
                            return  # that was a crash, which led to a restart of its own, or to none
        finally:
            self._restarting.remove(restarting)

    def _give_up(self, reason: str) -> None:
        self.is_stopped = True
        members = tuple(each.agent.name for each in self._members)
        self._around.announce(GroupStopped(group=self.name, reason=reason, members=members))
        self._around.gave_up(self, reason)
        self._around.start_soon(self.stop)
