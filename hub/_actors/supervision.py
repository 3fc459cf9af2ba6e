"""Supervision: what happens to an actor when it crashes, and to the others of its group.

In the words of Erlang's OTP: a group restarts one for one, one for all, or the rest for one; an actor is permanent,
transient or temporary; and a group that crashes too often is stopped, or, in another group, crashes there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Any, Protocol

import anyio
import attrs

from .._commands.agents import Agent
from .._commit.backoff import Backoff, FailureWindow
from .._foreign.guards import class_name, message_of, text_of
from ..errors import CommandRejected
from ..events import ActorCrashed, ActorStarted, ActorStopped, Event, GroupCrashed, GroupStopped
from ..own_log import OwnLog
from ..ports import Clock
from .contexts import Around
from .draining import Drained
from .life import Life, LifePhase
from .members import Crew, Member, until_drained
from .rules import GroupRules, Restart, Strategy

__all__ = ("Supervisor", "Surroundings")


_log = OwnLog("hub")


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

    async def drain(
        self, crews: Callable[[], Iterable[Crew]], stop: Callable[[], Awaitable[None]], seconds: float
    ) -> Drained:
        """Let actors handle what is in their inboxes, and stop them."""

    def appeared(self, supervisor: Supervisor) -> None:
        """A group that stands in no other has its first actor."""

    def vanished(self, supervisor: Supervisor) -> None:
        """A group that stands in no other has no actor any more."""


@attrs.define(eq=False, repr=False)
class _Restarting:
    """Some children of a group on their way down and up again."""

    children: list[Child]
    scope: anyio.CancelScope = attrs.field(factory=anyio.CancelScope)


class Supervisor:
    """Starts the actors of a group, and starts them again as its rules say.

    Its children are actors, and groups that stand in it. It is present, which is to be found and to be kept, while it
    has any.
    """

    def __init__(
        self, around: Surroundings, name: str, rules: GroupRules, *, above: Supervisor | None, is_alone: bool
    ) -> None:
        self.name: str = name
        self.rules: GroupRules = rules
        self.above: Supervisor | None = above
        """The group in which this one stands."""
        self.is_alone: bool = is_alone
        """Whether it was made for one actor that was spawned into no group."""
        self._around = around
        self._clock = around.clock
        self._children: list[Child] = []
        self._is_closed = False
        self._is_down = False
        """Whether it has crashed, and waits for the group above to start it again."""
        self._recent_crashes = FailureWindow(rules.restarts_max, rules.within_seconds)
        self._backoff = Backoff(rules.backoff_seconds, rules.backoff_seconds_max, jitter=1.0)
        self._restarting: list[_Restarting] = []

    @property
    def is_stopped(self) -> bool:
        """Whether the group, or one above it, was stopped, or has crashed too often. It takes no actors any more."""
        return self._is_closed or (self.above is not None and self.above.is_stopped)

    @property
    def members(self) -> tuple[Member, ...]:
        """The actors that have not stopped for good, in the order in which they were spawned."""
        return tuple(each for each in self._children if isinstance(each, Member))

    def all_members(self) -> Iterator[Member]:
        """Return its actors, and those of the groups in it, in the order in which they are started."""
        for child in self._children:
            if isinstance(child, Member):
                yield child
            else:
                yield from child.all_members()

    async def start(self, member: Member) -> None:
        """Start an actor for the first time; raise what it crashes with before it reads its inbox."""
        self._add(member)
        life = await self.start_life(member, Around())
        if life.has_started:
            return
        raise life.error or CommandRejected(f"actor {member.agent.name!r} was stopped before it had started")

    def take(self, member: Member) -> None:
        """Take an actor that is started later, by its :meth:`~.members.Member.start_again`."""
        self._add(member)

    def _add(self, child: Child) -> None:
        if not self._children:
            if self.above is None:
                self._around.appeared(self)
            else:
                self.above._add(self)  # noqa: SLF001 - its own class
        self._children.append(child)

    def _remove(self, child: Child) -> None:
        if child not in self._children:
            return
        self._children.remove(child)
        if not self._children:
            if self.above is None:
                self._around.vanished(self)
            else:
                self.above._remove(self)  # noqa: SLF001 - its own class

    # -- the end --

    async def stop(self, grace_seconds: float = 0.0) -> None:
        """Stop all actors of the group for good, the newest first, in a task of the hub's: it may be one of them."""
        self._is_closed = True
        if not self._children:
            return
        done = anyio.Event()
        self._around.start_soon(self._stop_and_tell, grace_seconds, done)
        await done.wait()

    async def _stop_and_tell(self, grace_seconds: float, done: anyio.Event) -> None:
        try:
            await self.stop_all(grace_seconds)
        finally:
            done.set()

    async def stop_all(self, grace_seconds: float = 0.0) -> None:
        """Stop all actors in this task. What they handle has ``grace_seconds`` to end."""
        self._is_closed = True
        self._cancel_restarts()
        if grace_seconds > 0:
            lives = [member.life for member in self.all_members() if member.life is not None]
            await until_drained(lives, self._clock, grace_seconds)
        for child in reversed(tuple(self._children)):
            await (child.stop(self._clock) if isinstance(child, Member) else child.stop_all())

    def mark_stopped(self, member: Member, reason: str) -> None:
        """An actor has stopped for good: report it."""
        if member.reason is not None:
            return
        around, agent = self._around, member.agent
        member.reason = reason
        around.announce(
            ActorStopped(agent_id=agent.id, name=agent.name, group=self.name, reason=reason, worker=member.worker)
        )
        member.stopped.set()
        around.stopped(member)
        self._remove(member)

    # -- lives --

    async def start_life(self, member: Member, spawned_in: Around | None = None) -> Life:
        """Start a life; return when the actor reads its inbox, or has crashed before.

        ``spawned_in``: what waits for that, if it is the first one.
        """
        life = member.life = member.new_life()
        life.spawned_in = spawned_in
        member.context.copy().run(self._around.start_soon, self._run_life, member, life)
        await life.until(LifePhase.READING)
        return life

    async def _run_life(self, member: Member, life: Life) -> None:
        def started() -> None:
            agent = member.agent
            member.starts += 1
            self._around.announce(
                ActorStarted(
                    agent_id=agent.id,
                    name=agent.name,
                    group=self.name,
                    starts=member.starts,
                    worker=member.worker,
                )
            )

        try:
            await life.run(member.make, started)
        finally:
            member.life = None
            member.handled += life.handled
            member.failed += life.failed
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
            self._start_again(member, "", lambda _: None)
        else:
            self.mark_stopped(member, "it came to its end")

    def _crashed(self, member: Member, error: Exception, *, is_first: bool) -> None:
        if is_first or member.restart is Restart.TEMPORARY:
            self._report_crash(member, error, None)
            self.mark_stopped(member, f"it crashed with {text_of(error)}")
        else:
            last = f", last {member.agent.name!r} with {text_of(error)}"
            self._start_again(member, last, lambda pause: self._report_crash(member, error, pause))

    def _report_crash(self, member: Member, error: Exception, backoff_seconds: float | None) -> None:
        crashed = ActorCrashed(
            agent_id=member.agent.id,
            name=member.agent.name,
            group=self.name,
            error_type=class_name(error),
            error_message=message_of(error),
            backoff_seconds=backoff_seconds,
            worker=member.worker,
        )
        self._around.announce(crashed)
        _log.problem("an actor has crashed", error, actor=member.agent.name, group=self.name)

    # -- restarts --

    def _start_again(self, child: Child, last: str, report: Callable[[float | None], None]) -> None:
        """Start a child again after a pause, and with it those that the strategy names; or give up.

        ``last`` says what the child ended with; ``report`` is called with the pause, None if the child is not started
        again.
        """
        if self.is_stopped:
            report(None)
            if isinstance(child, Member):
                self.mark_stopped(child, f"its group was stopped: {self.name}")
            return
        if self._is_down:
            report(None)  # the group above starts it again, with this whole group
            return
        pause = self._pause()
        report(pause)
        if pause is None:
            self._give_up(f"more than {self.rules.restarts_max} restarts within {self.rules.within_seconds:g} s{last}")
            return
        affected = self._affected_by(child)
        for restarting in self._restarting:
            if any(each in affected for each in restarting.children):
                restarting.scope.cancel()
                affected |= set(restarting.children)
        restarting = _Restarting([each for each in self._children if each in affected])
        self._restarting.append(restarting)
        self._around.start_soon(self._restart, restarting, pause)

    def _pause(self) -> float | None:
        """Return how long to wait before the next restart; None if it would be one too many."""
        failures = self._recent_crashes.add(self._clock.monotonic())
        return None if failures is None else self._backoff.pause_seconds(failures)

    def _affected_by(self, child: Child) -> set[Child]:
        if self.rules.strategy is Strategy.ONE_FOR_ONE:
            return {child}
        if self.rules.strategy is Strategy.ONE_FOR_ALL:
            return set(self._children)
        return set(self._children[self._children.index(child) :])

    async def _restart(self, restarting: _Restarting, pause: float) -> None:
        try:
            with restarting.scope:
                for child in reversed(restarting.children):
                    await child.interrupt()
                await self._clock.sleep(pause)
                for child in restarting.children:
                    # One that crashes at its start has led to a restart of its own, perhaps of all of these.
                    if restarting.scope.cancel_called or self.is_stopped or self._is_down:
                        return
                    await child.start_again()
        finally:
            self._restarting.remove(restarting)

    async def interrupt(self) -> None:
        """Stop all actors of the group, the newest first, to be started again by the group above."""
        self._cancel_restarts()
        for child in reversed(tuple(self._children)):
            await child.interrupt()

    async def start_again(self) -> None:
        """Start all actors of the group again, in order; earlier crashes do not count any more."""
        self._is_down = False
        self._recent_crashes = FailureWindow(self.rules.restarts_max, self.rules.within_seconds)
        for child in tuple(self._children):
            # One that has crashed at its start has led to a restart of this group's own, perhaps of others, too.
            if not any(child in restarting.children for restarting in self._restarting):
                await child.start_again()

    def _cancel_restarts(self) -> None:
        for restarting in self._restarting:
            restarting.scope.cancel()

    def _give_up(self, reason: str) -> None:
        if self.above is not None and not self.above.is_stopped:
            self._is_down = True
            self.above._escalated(self, reason)  # noqa: SLF001 - its own class
            return
        self._is_closed = True
        members = tuple(each.agent.name for each in self.all_members())
        self._around.announce(GroupStopped(group=self.name, reason=reason, members=members))
        self._around.gave_up(self, reason)
        self._around.start_soon(self.stop_all)

    def _escalated(self, group: Supervisor, reason: str) -> None:
        """A group that stands in this one has crashed too often: that is a crash here."""

        def report(pause: float | None) -> None:
            self._around.announce(GroupCrashed(group=group.name, above=self.name, reason=reason, backoff_seconds=pause))
            _log.problem("a group of actors has crashed", group=group.name, above=self.name, reason=reason)

        self._start_again(group, f", last group {group.name!r}: {reason}", report)


Child = Member | Supervisor
"""What a group starts and stops: an actor, or another group."""
