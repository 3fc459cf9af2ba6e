"""What a program holds of its actors: an actor that was spawned, and a group."""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

from .._commands.agents import Agent
from .._foreign.arguments import Call
from ..errors import ConfigurationError
from .draining import Drained
from .members import Crew
from .rules import ActorStatistics, GroupRules, Restart, RetryPolicy, SpawnSettings, Strategy
from .supervision import Supervisor, Surroundings

__all__ = ("ActorHandle", "Group")

_STOP = Call("actor.stop()", ConfigurationError)
_DRAIN = Call("actor.drain()", ConfigurationError)
_GROUP_DRAIN = Call("group.drain()", ConfigurationError)
_GROUP_STOP = Call("group.stop()", ConfigurationError)
_SPAWN = Call("group.spawn()", ConfigurationError)
_SUPERVISE = Call("group.supervise()", ConfigurationError)
_LINK = Call("actor.link()", ConfigurationError)


class ActorHandle:
    """An actor that was spawned, with all its workers."""

    def __init__(self, crew: Crew, around: Surroundings) -> None:
        self.agent: Agent = crew.agent
        """The agent whose inbox it reads."""
        self._crew = crew
        self._around = around

    def __repr__(self) -> str:
        return f"ActorHandle(agent={self.agent!r}, is_running={self.is_running})"

    @property
    def name(self) -> str:
        return self.agent.name

    @property
    def is_running(self) -> bool:
        """Whether it, or one of its workers, reads its inbox; not while it starts, or waits to be started again."""
        return self._crew.is_running

    def statistics(self) -> ActorStatistics:
        """Return what it has done since it was spawned, all its workers together."""
        return self._crew.statistics()

    def workers(self) -> tuple[ActorStatistics, ...]:
        """Return what each of its workers has done, in the order of their numbers."""
        return self._crew.workers()

    async def stop(self, *, grace_seconds: float = 0.0) -> None:
        """Stop the actor for good, with all its workers: no envelope is begun any more; the inbox keeps what is left.

        What it handles at present is cancelled after ``grace_seconds`` by the hub's clock, and comes again to the next
        reader of the inbox. Returns when ``on_stop`` has returned. The agent stays registered.
        """
        grace_seconds = _STOP.seconds("grace_seconds", grace_seconds, is_zero_ok=True)
        await self._crew.stop(self._around.clock, grace_seconds)

    async def drain(self, *, timeout: float = 60.0) -> Drained:
        """Handle what is in the inbox, and stop then for good: see :meth:`Group.drain`."""
        timeout = _DRAIN.seconds("timeout", timeout, is_zero_ok=True)
        return await self._around.drain(lambda: (self._crew,), partial(self._crew.stop, self._around.clock), timeout)

    async def wait(self) -> str:
        """Return why the actor has stopped, when it and all its workers have, and are not started again."""
        return await self._crew.wait()

    def link(self, other: ActorHandle) -> None:
        """Tie two actors together: when one has stopped for good, the other is stopped."""
        _LINK.instance("other", other, ActorHandle, wanted="the handle of an actor")
        ours, theirs = self._crew, other._crew
        for one, another in ((ours, theirs), (theirs, ours)):
            if one.is_stopped and not another.is_stopped:
                self._around.start_soon(another.stop, self._around.clock)
            one.links.add(another)


class Maker(Protocol):
    """Makes actors and groups."""

    async def spawn(self, actor: Any, settings: SpawnSettings, supervisor: Supervisor) -> ActorHandle: ...

    def supervise(self, name: str, rules: GroupRules, above: Supervisor) -> Group: ...


class Group:
    """Actors that are supervised together."""

    def __init__(self, supervisor: Supervisor, around: Surroundings, maker: Maker) -> None:
        self.name: str = supervisor.name
        self._supervisor = supervisor
        self._around = around
        self._maker = maker

    def __repr__(self) -> str:
        return f"Group(name={self.name!r}, members={len(self.members)}, is_stopped={self.is_stopped})"

    @property
    def is_stopped(self) -> bool:
        """Whether the group was stopped, or has crashed too often. It takes no actors any more."""
        return self._supervisor.is_stopped

    @property
    def members(self) -> tuple[ActorHandle, ...]:
        """The actors that have not stopped for good, in the order in which they were spawned."""
        crews = dict.fromkeys(member.crew for member in self._supervisor.members)
        return tuple(ActorHandle(crew, self._around) for crew in crews)

    async def spawn(
        self,
        actor: Any,
        *,
        name: str | None = None,
        workers: int = 1,
        concurrency: int | None = None,
        visibility_seconds: float | None = None,
        restart: Restart = Restart.PERMANENT,
        retry: RetryPolicy | None = None,
        **registration: Any,
    ) -> ActorHandle:
        """Start an actor in this group: see :meth:`hubwire.Hub.spawn`."""
        settings = SpawnSettings(
            name=name,
            workers=workers,
            concurrency=concurrency,
            visibility_seconds=visibility_seconds,
            restart=restart,
            retry=retry,
            registration=registration,
            call=_SPAWN,
        )
        return await self._maker.spawn(actor, settings, self._supervisor)

    def supervise(
        self,
        name: str,
        *,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        restarts_max: int = 3,
        within_seconds: float = 5.0,
        backoff_seconds: float = 0.1,
        backoff_seconds_max: float = 30.0,
    ) -> Group:
        """Make a group that stands in this one, as an actor does: see :meth:`hubwire.Hub.supervise`.

        When its actors crash more often than it may, it crashes as a whole: reported by ``group.crashed``, counted by
        this group, and started again with those that the strategy of this group names. It is stopped with this group.
        """
        name = _SUPERVISE.text("name", name, wanted="the group's name, a text", is_empty_ok=False)
        rules = GroupRules(
            strategy=strategy,
            restarts_max=restarts_max,
            within_seconds=within_seconds,
            backoff_seconds=backoff_seconds,
            backoff_seconds_max=backoff_seconds_max,
            call=_SUPERVISE,
        )
        return self._maker.supervise(name, rules, self._supervisor)

    async def stop(self, *, grace_seconds: float = 0.0) -> None:
        """Stop all actors of the group for good, and of the groups in it, the newest first.

        They begin no envelope any more; what they handle at present is cancelled after ``grace_seconds`` by the hub's
        clock. Who waits for an answer of one of them gets :class:`~hubwire.errors.AskFailed`. It may be called in a
        turn of one of them, which is cancelled then, too.
        """
        grace_seconds = _GROUP_STOP.seconds("grace_seconds", grace_seconds, is_zero_ok=True)
        await self._supervisor.stop(grace_seconds)

    async def drain(self, *, timeout: float = 60.0) -> Drained:
        """Let the actors of the group, and of the groups in it, handle what is in their inboxes; then stop them.

        They begin no envelope any more that comes from elsewhere after this call; what they post to each other is
        handled, too. What fails meanwhile is repeated, and what crashes is started again, as always. They are stopped
        when all of it is done, or after ``timeout`` seconds by the hub's clock: then what they handle is cancelled, and
        comes again to the next reader of the inbox. What is delayed for longer than that is not waited for.

        Returns what is left, and what has come meanwhile. It goes on if the caller is cancelled. Raises
        :class:`~hubwire.errors.CommandRejected` in a turn, ``on_start`` or ``on_stop`` of one of these actors, which
        would wait for itself.
        """
        timeout = _GROUP_DRAIN.seconds("timeout", timeout, is_zero_ok=True)
        supervisor = self._supervisor
        return await self._around.drain(
            lambda: {member.crew: None for member in supervisor.all_members()}, supervisor.stop_all, timeout
        )
