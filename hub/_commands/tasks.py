"""``hub.tasks``, and a task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Unpack

import attrs

from .._foreign.guards import message_of
from .._state.origin import Origin
from .._state.tasks import TaskEntry
from ..events import Event
from .agents import Agent, id_of
from .channels import Channel
from .core import Core, new_id

__all__ = ("Task", "TaskCommands")

TTL_SECONDS = 3600.0


class TaskCommands:
    """``hub.tasks``: who works on what.

    A task ends once, and for good: completed, failed or cancelled by its owner, or expired, when its time is up, its
    channel is closed, or its owner leaves the hub. It outlives a restart of the hub, with its newest checkpoint.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    async def start(
        self,
        owner: Agent | str,
        title: str,
        *,
        channel: Channel | str | None = None,
        parent: Task | str | None = None,
        ttl_seconds: float | None = TTL_SECONDS,
        capability: str = "",
        **origin: Unpack[Origin],
    ) -> Task:
        """Start a task; return it, acting as its owner.

        ``channel`` is where it belongs, ``parent`` the task that it is part of, ``capability`` what of its owner it
        shows. It expires after ``ttl_seconds`` by the hub's clock, None: never.

        Raises :class:`~hubwire.errors.NotFound` if the owner, the channel or the parent is not there,
        :class:`~hubwire.errors.AccessDenied` if the arbiter is against it, and
        :class:`~hubwire.errors.CommandRejected` if the owner has too many running, or takes no part in the channel.
        """
        settings = {"ttl_seconds": ttl_seconds, "capability": capability, **origin}
        return await self._start(owner, title, new_id(), channel, parent, settings)

    async def observe(
        self,
        owner: Agent | str,
        title: str,
        *,
        task_id: str,
        channel: Channel | str | None = None,
        parent: Task | str | None = None,
        ttl_seconds: float | None = TTL_SECONDS,
        capability: str = "",
        **origin: Unpack[Origin],
    ) -> Task:
        """Follow a task that runs elsewhere, under the id that it has there; return it, to tell what becomes of it.

        As :meth:`start`. Raises :class:`~hubwire.errors.CommandRejected` also if there is or was a task with this id;
        the last 10,000 that ended are remembered.
        """
        settings = {"ttl_seconds": ttl_seconds, "capability": capability, "is_observed": True, **origin}
        return await self._start(owner, title, task_id, channel, parent, settings)

    def get(self, task_id: str, agent: Agent | str) -> Task:
        """Return a running task, acting as ``agent``: its owner, or one who wants to ask that it be cancelled.

        Raises :class:`~hubwire.errors.NotFound` if it is unknown, and :class:`~hubwire.errors.CommandRejected` if it
        has ended.
        """
        self._core.state.tasks.get(task_id)
        return Task(self._core, task_id, id_of(agent))

    def running(self) -> tuple[TaskEntry, ...]:
        """Return what the hub knows of each running task, oldest first."""
        return tuple(entry for entry in self._core.state.tasks if not entry.left_behind)

    async def _start(
        self,
        owner: Agent | str,
        title: str,
        task_id: str,
        channel: Channel | str | None,
        parent: Task | str | None,
        settings: dict[str, Any],
    ) -> Task:
        owner_id = id_of(owner)
        channel_id = channel.id if isinstance(channel, Channel) else channel
        parent_id = parent.id if isinstance(parent, Task) else parent
        allow = await self._core.authorizer.authorize("start", owner_id, channel_id=channel_id, content=title)
        await self._core.pipeline.execute(
            lambda: self._core.state.tasks.start(
                owner_id,
                title,
                task_id=task_id,
                channel_id=channel_id,
                parent_id=parent_id,
                tasks_max=allow.tasks_max,
                delegation_depth_max=allow.delegation_depth_max,
                **settings,
            )
        )
        return Task(self._core, task_id, owner_id)


@attrs.frozen(eq=False)
class Task:
    """A task, known by its ``id``, and the agent who acts through this object.

    Only its owner changes it; every command raises :class:`~hubwire.errors.CommandRejected` for anybody else, and when
    the task has ended.
    """

    _core: Core = attrs.field(repr=False)
    id: str
    agent_id: str

    @property
    def is_running(self) -> bool:
        """Whether something can still become of it."""
        return self._core.state.tasks.find(self.id) is not None

    @property
    def is_cancel_requested(self) -> bool:
        """Whether somebody asked that the task be given up."""
        entry = self._core.state.tasks.find(self.id)
        return entry is not None and bool(entry.cancel_requested_by)

    async def progress(self, progress: Any) -> None:
        """Tell how far the task is."""
        await self._do(lambda: self._core.state.tasks.progress(self.id, self.agent_id, progress))

    async def checkpoint(self, checkpoint: Any) -> None:
        """Leave what the owner needs to go on after a crash; it is on disk when this returns. The newest one counts."""
        await self._do(lambda: self._core.state.tasks.checkpoint(self.id, self.agent_id, checkpoint))

    def read_checkpoint(self) -> Any:
        """Return the newest checkpoint, frozen; None if there is none."""
        return self._core.state.tasks.read_checkpoint(self.id, self.agent_id)

    async def complete(self, result: Any = None) -> None:
        """End the task: it is done."""
        await self._do(lambda: self._core.state.tasks.complete(self.id, self.agent_id, result))

    async def fail(self, error: BaseException | str) -> None:
        """End the task: it cannot be done."""
        is_exception = isinstance(error, BaseException)
        error_type = type(error).__name__ if is_exception else ""
        message = message_of(error) if isinstance(error, BaseException) else error
        await self._do(lambda: self._core.state.tasks.fail(self.id, self.agent_id, error_type, message))

    async def cancel(self, reason: str = "") -> None:
        """End the task: its owner gives it up."""
        await self._do(lambda: self._core.state.tasks.cancel(self.id, self.agent_id, reason))

    async def request_cancel(self, reason: str = "") -> None:
        """Ask the owner to give the task up. Each agent may ask once; in a channel, only its participants.

        Raises :class:`~hubwire.errors.AccessDenied` if the arbiter is against it.
        """
        entry = self._core.state.tasks.get(self.id)
        await self._core.authorizer.authorize(
            "request_cancel", self.agent_id, [entry.owner_id], channel_id=entry.channel_id, content=self.id
        )
        await self._do(lambda: self._core.state.tasks.request_cancel(self.id, self.agent_id, reason))

    async def _do(self, decide: Callable[[], Sequence[Event]]) -> None:
        await self._core.pipeline.execute(decide)
