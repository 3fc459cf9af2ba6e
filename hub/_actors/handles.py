"""What a program holds of its actors: an actor that was spawned, and a group."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from .._commands.agents import Agent
from .rules import RETRY_SECONDS, ActorStatistics, Restart, SpawnSettings
from .supervision import Member, Supervisor, Surroundings

__all__ = ("ActorHandle", "Group")


class ActorHandle:
    """An actor that was spawned."""

    def __init__(self, member: Member, around: Surroundings) -> None:
        self.agent: Agent = member.agent
        """The agent whose inbox it reads."""
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
        """Stop the actor for good: it begins no envelope any more, and what is left stays in its inbox.

        What it handles at present is cancelled after ``grace_seconds`` by the hub's clock, and comes again to the next
        reader of the inbox. Returns when ``on_stop`` has returned. The agent stays registered.
        """
        await self._member.stop(self._around.clock, grace_seconds)

    async def wait(self) -> str:
        """Return why the actor has stopped, when it has, and is not started again."""
        member = self._member
        await member.stopped.wait()
        assert member.reason is not None
        return member.reason

    def link(self, other: ActorHandle) -> None:
        """Tie two actors together: when one has stopped for good, the other is stopped."""
        ours, theirs = self._member, other._member
        for one, another in ((ours, theirs), (theirs, ours)):
            if one.reason is not None and another.reason is None:
                self._around.start_soon(another.stop, self._around.clock)
            one.links.add(another)


class Group:
    """Actors that are supervised together."""

    def __init__(
        self,
        supervisor: Supervisor,
        around: Surroundings,
        spawn: Callable[[Any, SpawnSettings, Supervisor], Awaitable[ActorHandle]],
    ) -> None:
        self.name: str = supervisor.name
        self._supervisor = supervisor
        self._around = around
        self._spawn = spawn

    @property
    def is_stopped(self) -> bool:
        """Whether the group was stopped, or has crashed too often. It takes no actors any more."""
        return self._supervisor.is_stopped

    @property
    def members(self) -> tuple[ActorHandle, ...]:
        """The actors that have not stopped for good, in the order in which they were spawned."""
        return tuple(ActorHandle(member, self._around) for member in self._supervisor.members)

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
        settings = SpawnSettings(
            name=name,
            concurrency=concurrency,
            restart=restart,
            retry_seconds=retry_seconds,
            registration=registration,
        )
        return await self._spawn(actor, settings, self._supervisor)

    async def stop(self) -> None:
        """Stop all actors of the group for good, the newest first."""
        await self._supervisor.stop()
