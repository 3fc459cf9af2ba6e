"""An actor in its group, and the actors of one agent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import attrs

from .._commands.agents import Agent
from .._commands.core import Core
from ..late_types import late_type
from ..ports import Clock
from .life import Life, LifePhase
from .rules import ActorStatistics, Restart
from .shared_inbox import SharedInbox

if TYPE_CHECKING:
    from .._commands.seats import HeldSeat  # imported with the first node
else:
    HeldSeat = late_type("hubwire._commands.seats", "HeldSeat")

__all__ = ("Crew", "Keeper", "Member", "Place", "until_drained")


class Keeper(Protocol):
    """The group of an actor, as the actor needs it."""

    name: str

    @property
    def is_stopped(self) -> bool: ...

    def mark_stopped(self, member: Member, reason: str) -> None:
        """An actor has stopped for good."""

    async def start_life(self, member: Member) -> Life:
        """Start a life; return when the actor reads its inbox, or has crashed before."""


class Place(Protocol):
    """The seat of the agent of some actors, as they need it."""

    @property
    def may_run(self) -> bool:
        """Whether their node has it."""

    @property
    def held(self) -> HeldSeat | None: ...

    @property
    def core(self) -> Core | None:
        """The hub as the seat has it."""


@attrs.define(eq=False, repr=False, kw_only=True)
class Member:
    """An actor in its group."""

    supervisor: Keeper
    agent: Agent
    crew: Crew
    """The actors of this agent, which it is one of."""
    make: Callable[[], Any]
    restart: Restart
    new_life: Callable[[], Life]
    context: Context
    """In which it was spawned; each of its lives runs in a copy of its own."""
    worker: int | None = None
    """Its number among the workers of its agent, from 1; None if it is the only one."""
    life: Life | None = None
    """None before, between and after its lives."""
    starts: int = 0
    crashes: int = 0
    handled: int = 0
    failed: int = 0
    is_stopping: bool = False
    reason: str | None = None
    """Why it has stopped for good; None while it may be started again."""
    stopped: anyio.Event = attrs.field(factory=anyio.Event)

    @property
    def is_running(self) -> bool:
        return self.life is not None and self.life.phase is LifePhase.READING

    async def stop(self, clock: Clock, grace_seconds: float = 0.0) -> None:
        """Stop the actor for good; return when it has stopped."""
        await _stop([self], clock, grace_seconds)

    def cancel(self) -> None:
        """Stop it for good, now: what it handles is cancelled."""
        if self.life is not None:
            self.life.cancel()
        elif self.reason is None:
            self.supervisor.mark_stopped(self, "stopped")

    async def interrupt(self) -> None:
        """Stop the actor, to be started again; one that is temporary is not."""
        if (life := self.life) is not None:
            life.cancel()
            await life.until(LifePhase.ENDED)
        if self.restart is Restart.TEMPORARY:
            self.supervisor.mark_stopped(self, "its group was started again, and it is temporary")

    async def start_again(self) -> None:
        """Start the actor, if it is neither running nor stopped for good; return when it reads its inbox or failed.

        While another node has the seat of its agent, it is not started: it is when the seat comes.
        """
        if self.reason is None and self.life is None and self.crew.may_run:
            await self.supervisor.start_life(self)

    def statistics(self) -> ActorStatistics:
        return ActorStatistics(
            name=self.agent.name,
            worker=self.worker,
            agent_id=self.agent.id,
            group=self.supervisor.name,
            is_running=self.is_running,
            starts=self.starts,
            crashes=self.crashes,
            handled=self.handled + (0 if self.life is None else self.life.handled),
            failed=self.failed + (0 if self.life is None else self.life.failed),
        )


@attrs.define(eq=False, repr=False)
class Crew:
    """The actors of one agent, in the order of their numbers."""

    agent: Agent
    inbox: SharedInbox
    members: list[Member] = attrs.field(factory=list)
    links: set[Crew] = attrs.field(factory=set)
    place: Place | None = None
    """What they wait for before they run: the seat of the agent; None where its actor can run nowhere else."""

    @property
    def may_run(self) -> bool:
        return self.place is None or self.place.may_run

    @property
    def is_stopped(self) -> bool:
        """Whether all have stopped for good."""
        return all(member.reason is not None for member in self.members)

    @property
    def is_running(self) -> bool:
        return any(member.is_running for member in self.members)

    @property
    def is_idle(self) -> bool:
        """Whether all wait for envelopes, and handle none."""
        return all(member.life is not None and member.life.is_idle for member in self.members)

    def workers(self) -> tuple[ActorStatistics, ...]:
        return tuple(member.statistics() for member in self.members)

    def statistics(self) -> ActorStatistics:
        """Return what all have done together."""
        return _sum(self.workers())

    async def stop(self, clock: Clock, grace_seconds: float = 0.0) -> None:
        """Stop all for good, together; return when they have stopped."""
        await _stop(self.members, clock, grace_seconds)

    async def wait(self) -> str:
        """Return why the last one has stopped, when it has."""
        reason = ""
        for member in tuple(self.members):
            await member.stopped.wait()
            reason = member.reason or reason
        return reason


def _sum(each: Sequence[ActorStatistics]) -> ActorStatistics:
    if len(each) == 1:
        return each[0]
    return attrs.evolve(
        each[0],
        worker=None,
        is_running=any(one.is_running for one in each),
        **{name: sum(getattr(one, name) for one in each) for name in ("starts", "crashes", "handled", "failed")},
    )


async def _stop(members: Sequence[Member], clock: Clock, grace_seconds: float) -> None:
    """Stop actors for good, together; return when they have stopped. What they handle has ``grace_seconds`` to end."""
    stopping = [member for member in members if member.reason is None]
    for member in stopping:
        member.is_stopping = True
    lives = [member.life for member in stopping if member.life is not None]
    for life in lives:
        life.drain()
    if lives and grace_seconds > 0:
        await until_drained(lives, clock, grace_seconds)
    for member in stopping:
        member.cancel()
    for member in stopping:
        await member.stopped.wait()


async def until_drained(lives: Sequence[Life], clock: Clock, seconds: float) -> None:
    """Let lives begin no more envelopes; return when they handle none any more, or after so many seconds."""
    for life in lives:
        life.drain()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_cancel_when_drained, lives, tasks.cancel_scope)
        await clock.sleep(seconds)
        tasks.cancel_scope.cancel()


async def _cancel_when_drained(lives: Sequence[Life], scope: anyio.CancelScope) -> None:
    for life in lives:
        await life.until(LifePhase.DRAINED)
    scope.cancel()
