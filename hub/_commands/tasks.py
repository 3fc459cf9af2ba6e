"""``hub.tasks``, and a task."""

from __future__ import annotations

from typing import Any, Unpack

import attrs

from .._foreign.guards import message_of
from .._state.origin import Origin
from .._state.tasks import TaskEntry, Tasks
from .agents import Agent, id_of
from .channels import Channel
from .core import Core, new_id

__all__ = ("Task", "TaskCommands")

TTL_SECONDS = 3600.0


class TaskCommands:
    """``hub.tasks``: starts tasks, and finds the running ones.

    A task ends once, and for good: completed, failed or cancelled by its owner, or expired, when its time is up, its
    channel is closed, or its owner leaves the hub. It outlives a restart of the hub, with its newest checkpoint.
    """

    def __init__(self, core: Core, tasks: Tasks) -> None:
        self._core = core
        self._tasks = tasks

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

        ``channel`` is where it belongs, ``parent`` the task that it is part of, ``capability`` the one of its owner
        that it needs. It expires after ``ttl_seconds`` by the hub's clock, None: never.

        Raises :class:`~hubwire.errors.NotFound` if the owner, the channel or the parent is not there,
        :class:`~hubwire.errors.AccessDenied` if the arbiter denies it, and :class:`~hubwire.errors.CommandRejected` if
        the owner has too many running, or takes no part in the channel.
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
        """Follow a task that runs elsewhere, under the id that it has there; return it, to report its progress and end.

        ``channel``, ``parent``, ``ttl_seconds`` and ``capability`` mean what they mean for :meth:`start`, and it raises
        what :meth:`start` raises; also :class:`~hubwire.errors.CommandRejected` if there is or was a task with this id.
        The last 10,000 tasks that ended are remembered.
        """
        settings = {"ttl_seconds": ttl_seconds, "capability": capability, "is_observed": True, **origin}
        return await self._start(owner, title, task_id, channel, parent, settings)

    def get(self, task_id: str, agent: Agent | str) -> Task:
        """Return a running task, acting as ``agent``: its owner, or an agent that requests that it be cancelled.

        Raises :class:`~hubwire.errors.NotFound` if it is unknown, and :class:`~hubwire.errors.CommandRejected` if it
        has ended.
        """
        self._tasks.get(task_id)
        return Task(self._core, self._tasks, task_id, id_of(agent))

    def running(self) -> tuple[TaskEntry, ...]:
        """Return what the hub knows of each running task, oldest first."""
        return tuple(entry for entry in self._tasks if not entry.left_behind)

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
        await self._core.execute(
            lambda: self._tasks.start(
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
        return Task(self._core, self._tasks, task_id, owner_id)


@attrs.frozen(eq=False)
class Task:
    """A task, known by its ``id``, and the agent that acts through this object.

    Only its owner changes it. All methods raise :class:`~hubwire.errors.CommandRejected` when the task has ended, and
    all but :meth:`request_cancel` also for any agent but its owner.
    """

    _core: Core = attrs.field(repr=False)
    _tasks: Tasks = attrs.field(repr=False)
    id: str
    agent_id: str

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._tasks.find(self.id) is not None

    @property
    def is_cancel_requested(self) -> bool:
        """Whether an agent has requested that the task be given up."""
        entry = self._tasks.find(self.id)
        return entry is not None and bool(entry.cancel_requested_by)

    async def progress(self, progress: Any) -> None:
        """Report how far the task is."""
        await self._core.execute(lambda: self._tasks.progress(self.id, self.agent_id, progress))

    async def checkpoint(self, checkpoint: Any) -> None:
        """Keep what the owner needs to go on after a crash; it is on disk when this returns. The newest one counts."""
        await self._core.execute(lambda: self._tasks.checkpoint(self.id, self.agent_id, checkpoint))

    def read_checkpoint(self) -> Any:
        """Return the newest checkpoint, frozen; None if there is none."""
        return self._tasks.read_checkpoint(self.id, self.agent_id)

    async def complete(self, result: Any = None) -> None:
        """End the task: it is done."""
        await self._core.execute(lambda: self._tasks.complete(self.id, self.agent_id, result))

    async def fail(self, error: BaseException | str) -> None:
        """End the task: it cannot be done."""
        is_exception = isinstance(error, BaseException)
        error_type = type(error).__name__ if is_exception else ""
        message = message_of(error) if isinstance(error, BaseException) else error
        await self._core.execute(lambda: self._tasks.fail(self.id, self.agent_id, error_type, message))

    async def cancel(self, reason: str = "") -> None:
        """End the task: its owner gives it up."""
        await self._core.execute(lambda: self._tasks.cancel(self.id, self.agent_id, reason))

    async def request_cancel(self, reason: str = "") -> None:
        """Request that the owner give the task up. Each other agent may do so once; in a channel, its participants.

        Raises :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        entry = self._tasks.get(self.id)
        await self._core.authorizer.authorize(
            "request_cancel", self.agent_id, [entry.owner_id], channel_id=entry.channel_id, content=self.id
        )
        await self._core.execute(lambda: self._tasks.request_cancel(self.id, self.agent_id, reason))
