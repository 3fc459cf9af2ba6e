"""Pieces of work: ``(absent) -- started --> running -- completed | failed | cancelled | expired --> (ended)``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Unpack

import attrs

from .._values import Value
from ..errors import CommandRejected, NotFound
from ..events import (
    AgentUnregistered,
    ChannelClosed,
    ChannelExpired,
    Event,
    TaskCancelled,
    TaskCancelRequested,
    TaskCheckpointed,
    TaskCompleted,
    TaskExpired,
    TaskFailed,
    TaskProgressed,
    TaskStarted,
    canonical,
)
from ..events._shown import shown
from .agents import Agents
from .channels import Channels, ChannelState
from .moments import deadline_ns, is_duration
from .origin import Origin
from .owned import Owned

__all__ = ("EndedTask", "TaskEntry", "Tasks")

ENDED_MAX = 10_000
"""How many ended tasks are remembered: their ids are refused for new tasks, and late commands learn how they ended."""

_REASON_LENGTH_MAX = 500

_ENDS: Mapping[type[Event], str] = {
    TaskCompleted: "completed",
    TaskFailed: "failed",
    TaskCancelled: "cancelled",
    TaskExpired: "expired",
}


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TaskEntry(Value):
    """What the hub knows of a running task."""

    task_id: str
    owner_id: str
    title: str
    channel_id: str | None
    is_observed: bool
    parent_id: str | None
    delegation_depth: int
    capability: str
    started_at: str
    deadline_ns: int | None
    progress: Any = None
    checkpoint: Any = None
    cancel_requested_by: tuple[str, ...] = ()
    left_behind: str = ""
    """Why it has ended although its event is still to come; empty while it runs."""
    tenant: str | None = None
    """Whose it is: that of its owner."""


@attrs.frozen(eq=False, repr=False)
class EndedTask(Value):
    """A task that has ended; ``how`` is the last word of the event's kind."""

    task_id: str
    how: str
    seq: int = -1
    """The event with which it ended, and which has its result; -1 in snapshots of versions that kept no note of it."""
    tenant: str | None = None


class Tasks:
    """The tasks that run, and a bounded memory of how others ended."""

    entry_types: ClassVar[tuple[type, ...]] = (TaskEntry, EndedTask)

    def __init__(self, agents: Agents, channels: Channels) -> None:
        self._agents = agents
        self._channels = channels
        self._tasks: Owned[str, TaskEntry] = Owned(groups=("owner_id", "channel_id"), mark="left_behind")
        self._ended: OrderedDict[str, EndedTask] = OrderedDict()

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        return {
            TaskStarted: self._started,
            TaskProgressed: lambda event: self._tasks.change(event.task_id, progress=event.progress),
            TaskCheckpointed: lambda event: self._tasks.change(event.task_id, checkpoint=event.checkpoint),
            TaskCancelRequested: self._cancel_requested,
            **dict.fromkeys(_ENDS, self._end),
            ChannelClosed: self._channel_ended,
            ChannelExpired: self._channel_ended,
            AgentUnregistered: self._owner_left,
        }

    def snapshot(self) -> Sequence[TaskEntry | EndedTask]:
        return (*self._tasks, *self._ended.values())

    def restore(self, entries: Sequence[TaskEntry | EndedTask]) -> None:
        for entry in entries:
            if isinstance(entry, TaskEntry):
                self._tasks.restore(entry.task_id, entry, entry.deadline_ns)
            else:
                self._ended[entry.task_id] = entry

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[TaskEntry]:
        return iter(tuple(self._tasks))

    def find(self, task_id: str) -> TaskEntry | None:
        """Return the task if it is running."""
        entry = self._tasks.find(task_id)
        return None if entry is None or entry.left_behind else entry

    def get(self, task_id: str) -> TaskEntry:
        """Return a task that is running."""
        entry = self._tasks.find(task_id)
        if entry is None:
            if (ended := self._ended.get(task_id)) is not None:
                raise CommandRejected(f"task {task_id} has ended: it was {ended.how}, and that is final")
            raise NotFound(f"no task {shown(task_id)} is running: it ended long ago, or was never started")
        if entry.left_behind:
            raise CommandRejected(f"task {task_id} has ended: {entry.left_behind}")
        return entry

    def tenant_of(self, task_id: str) -> str | None:
        """Return whose task this is, if it runs, or has ended and is remembered."""
        entry = self._tasks.find(task_id) or self._ended.get(task_id)
        return None if entry is None else entry.tenant

    def knows(self, task_id: str) -> bool:
        """Return whether the task runs, or its end is still to come."""
        return task_id in self._tasks

    def ended(self, task_id: str) -> EndedTask | None:
        """Return how a task ended, if that is still remembered."""
        return self._ended.get(task_id)

    def remembers(self, event: Event) -> bool:
        """Return whether the event ended a task that is still remembered."""
        if type(event) not in _ENDS:
            return False
        ended = self._ended.get(event.task_id or "")
        return ended is not None and ended.seq == event.seq

    # -- commands --

    def start(
        self,
        owner_id: str,
        title: str,
        *,
        task_id: str,
        channel_id: str | None = None,
        ttl_seconds: float | None = None,
        parent_id: str | None = None,
        capability: str = "",
        is_observed: bool = False,
        tasks_max: int | None = None,
        delegation_depth_max: int | None = None,
        **origin: Unpack[Origin],
    ) -> list[Event]:
        """Start a task, or, with ``is_observed``, follow one that runs elsewhere."""
        self._agents.get(owner_id)
        _check_text(title=title, capability=capability, task_id=task_id)
        self._check_new(task_id, ttl_seconds)
        if channel_id is not None:
            self._check_channel(channel_id, owner_id)
        depth = self.depth_below(parent_id, owner_id)
        self._check_limits(owner_id, depth, tasks_max, delegation_depth_max)
        return [
            TaskStarted(
                task_id=task_id,
                agent_id=owner_id,
                channel_id=channel_id,
                owner_id=owner_id,
                title=title,
                ttl_seconds=None if ttl_seconds is None else float(ttl_seconds),
                is_observed=is_observed,
                parent_id=parent_id,
                delegation_depth=depth,
                capability=capability,
                **origin,
            )
        ]

    def depth_below(self, parent_id: str | None, owner_id: str) -> int:
        """Return how often the work was handed over that a task of this owner below the parent would be part of."""
        if parent_id is None:
            return 0
        parent = self.get(parent_id)
        return parent.delegation_depth + (parent.owner_id != owner_id)

    def count(self, owner_id: str) -> int:
        """Return how many tasks the agent has running."""
        return len(self._tasks.ids("owner_id", owner_id))

    def progress(self, task_id: str, by: str, progress: Any, **origin: Unpack[Origin]) -> list[Event]:
        return [TaskProgressed(**self._about_own(task_id, by), progress=progress, **origin)]

    def checkpoint(self, task_id: str, by: str, checkpoint: Any) -> list[Event]:
        return [TaskCheckpointed(**self._about_own(task_id, by), checkpoint=checkpoint)]

    def read_checkpoint(self, task_id: str, by: str) -> Any:
        self._about_own(task_id, by)
        return self._tasks[task_id].checkpoint

    def complete(self, task_id: str, by: str, result: Any, **origin: Unpack[Origin]) -> list[Event]:
        return [TaskCompleted(**self._about_own(task_id, by), **self._epilogue(task_id), result=result, **origin)]

    def fail(self, task_id: str, by: str, error_type: str, error_message: str) -> list[Event]:
        about = self._about_own(task_id, by)
        _check_text(error_type=error_type, error_message=error_message)
        errors: dict[str, Any] = {"error_type": error_type, "error_message": error_message}
        return [TaskFailed(**about, **self._epilogue(task_id), **errors)]

    def cancel(self, task_id: str, by: str, reason: str) -> list[Event]:
        about = self._about_own(task_id, by)
        _check_text(reason=reason)
        return [TaskCancelled(**about, **self._epilogue(task_id), reason=reason)]

    def request_cancel(self, task_id: str, by: str, reason: str) -> list[Event]:
        entry = self.get(task_id)
        self._agents.get(by)
        _check_text(reason=reason)
        if len(reason) > _REASON_LENGTH_MAX:
            raise CommandRejected(f"a reason has at most {_REASON_LENGTH_MAX} characters, and this has {len(reason)}")
        if by == entry.owner_id:
            raise CommandRejected(f"{self._agents.label(by)} owns task {task_id}; use cancel(), not request_cancel()")
        if entry.channel_id is not None:
            self._check_channel(entry.channel_id, by)
        if by in entry.cancel_requested_by:
            raise CommandRejected(f"{self._agents.label(by)} has requested already that task {task_id} be cancelled")
        about: dict[str, Any] = {**self._about(entry), "agent_id": by}
        return [TaskCancelRequested(**about, reason=reason)]

    # -- what happens by itself --

    def next_due_ns(self) -> int | None:
        return self._tasks.next_due_ns()

    def due(self, now_ns: int, limit: int) -> list[Event]:
        """Decide which tasks have expired, at most ``limit`` of them."""
        return [
            TaskExpired(
                **self._about(entry), **self._epilogue(entry.task_id), reason=entry.left_behind or "its time was up"
            )
            for entry in self._tasks.due(now_ns, limit)
        ]

    # -- inside --

    def _about(self, entry: TaskEntry) -> dict[str, Any]:
        return {
            "task_id": entry.task_id,
            "agent_id": entry.owner_id,
            "owner_id": entry.owner_id,
            "channel_id": entry.channel_id,
        }

    def _check_new(self, task_id: str, ttl_seconds: float | None) -> None:
        if canonical(task_id) != task_id or not task_id:
            raise CommandRejected(f"a task's id must be text that can be written, not {shown(task_id)}")
        if ttl_seconds is not None and not is_duration(ttl_seconds):
            raise CommandRejected(
                f"a task's ttl_seconds is a positive number, or None for no end, not {shown(ttl_seconds)}"
            )
        if task_id in self._tasks or task_id in self._ended:
            raise CommandRejected(f"there is or was a task {shown(task_id)} already; give a new one a new id")

    def _check_limits(self, owner_id: str, depth: int, tasks_max: int | None, delegation_depth_max: int | None) -> None:
        if delegation_depth_max is not None and depth > delegation_depth_max:
            raise CommandRejected(
                f"the task would be delegated {depth} times, and {delegation_depth_max} are allowed; do it yourself"
            )
        if tasks_max is not None and self.count(owner_id) >= tasks_max:
            raise CommandRejected(
                f"{self._agents.label(owner_id)} has {self.count(owner_id)} tasks running, and {tasks_max} are allowed;"
                " end one first"
            )

    def _check_channel(self, channel_id: str, agent_id: str) -> None:
        channel = self._channels.get(channel_id)
        if channel.state is ChannelState.CLOSING:
            raise CommandRejected(f"channel {channel_id} is closing, and its tasks end with it")
        if not self._channels.takes_part(channel, agent_id):
            raise CommandRejected(
                f"{self._agents.label(agent_id)} is not a participant of channel {channel_id}; let it join first"
            )

    def _about_own(self, task_id: str, by: str) -> dict[str, Any]:
        """Return what all events of a task say; raise if it does not run, or does not belong to ``by``."""
        entry = self.get(task_id)
        if by != entry.owner_id:
            raise CommandRejected(
                f"{self._agents.label(by)} does not own task {task_id}; only"
                f" {self._agents.label(entry.owner_id)} may do that"
            )
        return self._about(entry)

    def _epilogue(self, task_id: str) -> dict[str, Any]:
        entry = self._tasks[task_id]
        return {"capability": entry.capability, "started_at": entry.started_at}

    def _started(self, event: TaskStarted) -> None:
        assert event.task_id is not None
        deadline = None if event.ttl_seconds is None else deadline_ns(event.at, event.ttl_seconds)
        entry = TaskEntry(
            task_id=event.task_id,
            owner_id=event.owner_id,
            title=event.title,
            channel_id=event.channel_id,
            is_observed=event.is_observed,
            parent_id=event.parent_id,
            delegation_depth=event.delegation_depth,
            capability=event.capability,
            started_at=event.at,
            deadline_ns=deadline,
            tenant=self._agents.tenant_of(event.owner_id),
        )
        self._tasks.add(entry.task_id, entry, deadline)

    def _cancel_requested(self, event: TaskCancelRequested) -> None:
        assert event.task_id is not None
        earlier = self._tasks[event.task_id].cancel_requested_by
        self._tasks.change(event.task_id, cancel_requested_by=(*earlier, event.agent_id))

    def _channel_ended(self, event: ChannelClosed | ChannelExpired) -> None:
        self._tasks.leave_behind("channel_id", event.channel_id, mark="its channel was closed")

    def _owner_left(self, event: AgentUnregistered) -> None:
        self._tasks.leave_behind("owner_id", event.agent_id, mark="its owner left the hub")

    def _end(self, event: Event) -> None:
        assert event.task_id is not None
        tenant = self._tasks[event.task_id].tenant
        self._tasks.remove(event.task_id)
        self._ended[event.task_id] = EndedTask(event.task_id, _ENDS[type(event)], event.seq, tenant)
        if len(self._ended) > ENDED_MAX:
            self._ended.popitem(last=False)


def _check_text(**texts: object) -> None:
    for name, value in texts.items():
        if not isinstance(value, str):
            raise CommandRejected(f"a task's {name} must be text, not {shown(value)}")
