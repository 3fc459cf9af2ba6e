"""Pieces of work: ``(absent) -- started --> running -- completed | failed | cancelled | expired --> (ended)``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, ClassVar, Unpack

import attrs

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
from .agents import Agents
from .channels import Channels, ChannelState
from .moments import Deadlines, deadline_ns, is_duration
from .origin import Origin

__all__ = ("EndedTask", "TaskEntry", "Tasks")

ENDED_MAX = 10_000
"""How many ended tasks are remembered: their ids are not used again, and a late command is told what happened."""

_REASON_LENGTH_MAX = 500


@attrs.frozen(kw_only=True)
class TaskEntry:
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
    """Why nothing can become of it any more, until the hub says so; empty while all is well."""


@attrs.frozen
class EndedTask:
    """A task that has ended; ``how`` is the last word of the kind that told so."""

    task_id: str
    how: str


class Tasks:
    """The tasks that run, and a bounded memory of how others ended."""

    entry_types: ClassVar[tuple[type, ...]] = (TaskEntry, EndedTask)

    def __init__(self, agents: Agents, channels: Channels) -> None:
        self._agents = agents
        self._channels = channels
        self._by_id: dict[str, TaskEntry] = {}
        self._ended: OrderedDict[str, str] = OrderedDict()
        self._by_owner: dict[str, dict[str, None]] = {}
        self._by_channel: dict[str, dict[str, None]] = {}
        self._left_behind: dict[str, None] = {}
        self._deadlines: Deadlines[str] = Deadlines(self._by_id)

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        return {
            TaskStarted: self._started,
            TaskProgressed: lambda event: self._change(event, progress=event.progress),
            TaskCheckpointed: lambda event: self._change(event, checkpoint=event.checkpoint),
            TaskCancelRequested: self._cancel_requested,
            TaskCompleted: self._end,
            TaskFailed: self._end,
            TaskCancelled: self._end,
            TaskExpired: self._end,
            ChannelClosed: self._channel_ended,
            ChannelExpired: self._channel_ended,
            AgentUnregistered: self._owner_left,
        }

    def snapshot(self) -> Sequence[TaskEntry | EndedTask]:
        return (*self._by_id.values(), *(EndedTask(task_id, how) for task_id, how in self._ended.items()))

    def restore(self, entries: Sequence[TaskEntry | EndedTask]) -> None:
        for entry in entries:
            if isinstance(entry, TaskEntry):
                self._remember(entry)
            else:
                self._ended[entry.task_id] = entry.how

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[TaskEntry]:
        return iter(tuple(self._by_id.values()))

    def find(self, task_id: str) -> TaskEntry | None:
        """Return the task if it is running."""
        entry = self._by_id.get(task_id)
        return None if entry is None or entry.left_behind else entry

    def get(self, task_id: str) -> TaskEntry:
        """Return a task that is running."""
        entry = self._by_id.get(task_id)
        if entry is None:
            if (word := self._ended.get(task_id)) is not None:
                raise CommandRejected(f"task {task_id} has ended: it was {word}, and that is final")
            raise NotFound(f"no task {task_id!r} is running: it ended long ago, or never was")
        if entry.left_behind:
            raise CommandRejected(f"task {task_id} has ended: {entry.left_behind}")
        return entry

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
        self._agents.get(owner_id)
        _check_text(title=title, capability=capability, task_id=task_id)
        if canonical(task_id) != task_id or not task_id:
            raise CommandRejected(f"a task's id must be text that can be written, not {task_id!r}")
        if ttl_seconds is not None and not is_duration(ttl_seconds):
            raise CommandRejected(f"a task's ttl_seconds is a positive number, or None for no end, not {ttl_seconds!r}")
        if task_id in self._by_id or task_id in self._ended:
            raise CommandRejected(f"there is or was a task {task_id!r} already; give a new one a new id")
        if channel_id is not None:
            self._check_channel(channel_id, owner_id)
        depth = 0 if parent_id is None else self.get(parent_id).delegation_depth + 1
        if delegation_depth_max is not None and depth > delegation_depth_max:
            raise CommandRejected(
                f"the task would be delegated {depth} times, and {delegation_depth_max} are allowed; do it yourself"
            )
        if tasks_max is not None and self.count(owner_id) >= tasks_max:
            raise CommandRejected(
                f"agent {owner_id} has {self.count(owner_id)} tasks running, and {tasks_max} are allowed; end one first"
            )
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

    def count(self, owner_id: str) -> int:
        """Return how many tasks the agent has running."""
        return len(self._by_owner.get(owner_id, ()))

    def progress(self, task_id: str, by: str, progress: Any) -> list[Event]:
        return [TaskProgressed(**self._owned(task_id, by), progress=progress)]

    def checkpoint(self, task_id: str, by: str, checkpoint: Any) -> list[Event]:
        return [TaskCheckpointed(**self._owned(task_id, by), checkpoint=checkpoint)]

    def read_checkpoint(self, task_id: str, by: str) -> Any:
        self._owned(task_id, by)
        return self._by_id[task_id].checkpoint

    def complete(self, task_id: str, by: str, result: Any) -> list[Event]:
        return [TaskCompleted(**self._owned(task_id, by), **self._epilogue(task_id), result=result)]

    def fail(self, task_id: str, by: str, error_type: str, error_message: str) -> list[Event]:
        about = self._owned(task_id, by)
        _check_text(error_type=error_type, error_message=error_message)
        errors: dict[str, Any] = {"error_type": error_type, "error_message": error_message}
        return [TaskFailed(**about, **self._epilogue(task_id), **errors)]

    def cancel(self, task_id: str, by: str, reason: str) -> list[Event]:
        about = self._owned(task_id, by)
        _check_text(reason=reason)
        return [TaskCancelled(**about, **self._epilogue(task_id), reason=reason)]

    def request_cancel(self, task_id: str, by: str, reason: str) -> list[Event]:
        entry = self.get(task_id)
        self._agents.get(by)
        _check_text(reason=reason)
        if len(reason) > _REASON_LENGTH_MAX:
            raise CommandRejected(f"a reason has at most {_REASON_LENGTH_MAX} characters, and this has {len(reason)}")
        if by == entry.owner_id:
            raise CommandRejected(f"agent {by} owns task {task_id}, and cancels it instead of asking itself")
        if entry.channel_id is not None:
            self._check_channel(entry.channel_id, by)
        if by in entry.cancel_requested_by:
            raise CommandRejected(f"agent {by} has asked already that task {task_id} be cancelled")
        about: dict[str, Any] = {**self._about(entry), "agent_id": by}
        return [TaskCancelRequested(**about, reason=reason)]

    # -- what happens by itself --

    def next_due_ns(self) -> int | None:
        """Return when :meth:`due` will have something; 0 for now, None for never."""
        if self._left_behind:
            return 0
        return self._deadlines.next_ns

    def due(self, now_ns: int, limit: int) -> list[Event]:
        """Decide which tasks have ended by themselves, at most ``limit`` of them."""
        # No more of them than fit: they may be many, and are asked about again and again.
        reasons = {task_id: self._by_id[task_id].left_behind for task_id in islice(self._left_behind, limit)}
        for task_id in self._deadlines.passed(now_ns):
            if len(reasons) >= limit:
                break
            reasons.setdefault(task_id, "its time was up")
        return [
            TaskExpired(**self._about(self._by_id[task_id]), **self._epilogue(task_id), reason=reason)
            for task_id, reason in list(reasons.items())[:limit]
        ]

    # -- inside --

    def _about(self, entry: TaskEntry) -> dict[str, Any]:
        return {
            "task_id": entry.task_id,
            "agent_id": entry.owner_id,
            "owner_id": entry.owner_id,
            "channel_id": entry.channel_id,
        }

    def _check_channel(self, channel_id: str, agent_id: str) -> None:
        channel = self._channels.get(channel_id)
        if channel.state is ChannelState.CLOSING:
            raise CommandRejected(f"channel {channel_id} is closing, and its tasks end with it")
        if not self._channels.takes_part(channel, agent_id):
            raise CommandRejected(f"agent {agent_id} is no participant of channel {channel_id}, and has no say there")

    def _owned(self, task_id: str, by: str) -> dict[str, Any]:
        entry = self.get(task_id)
        if by != entry.owner_id:
            raise CommandRejected(f"agent {by} does not own task {task_id}; only agent {entry.owner_id} may do that")
        return self._about(entry)

    def _epilogue(self, task_id: str) -> dict[str, Any]:
        entry = self._by_id[task_id]
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
        )
        self._remember(entry)

    def _remember(self, entry: TaskEntry) -> None:
        self._by_id[entry.task_id] = entry
        self._by_owner.setdefault(entry.owner_id, {})[entry.task_id] = None
        if entry.channel_id is not None:
            self._by_channel.setdefault(entry.channel_id, {})[entry.task_id] = None
        if entry.deadline_ns is not None:
            self._deadlines.add(entry.deadline_ns, entry.task_id)
        if entry.left_behind:
            self._left_behind[entry.task_id] = None

    def _change(self, event: Event, **changes: Any) -> None:
        assert event.task_id is not None
        self._by_id[event.task_id] = attrs.evolve(self._by_id[event.task_id], **changes)

    def _cancel_requested(self, event: TaskCancelRequested) -> None:
        assert event.task_id is not None
        earlier = self._by_id[event.task_id].cancel_requested_by
        self._change(event, cancel_requested_by=(*earlier, event.agent_id))

    def _channel_ended(self, event: ChannelClosed | ChannelExpired) -> None:
        self._leave_behind(self._by_channel, event.channel_id, "its channel was closed")

    def _owner_left(self, event: AgentUnregistered) -> None:
        self._leave_behind(self._by_owner, event.agent_id, "its owner left the hub")

    def _leave_behind(self, index: dict[str, dict[str, None]], key: str | None, reason: str) -> None:
        for task_id in index.get(key or "", ()):
            entry = self._by_id[task_id]
            self._by_id[task_id] = attrs.evolve(entry, left_behind=entry.left_behind or reason)
            self._left_behind[task_id] = None

    def _end(self, event: Event) -> None:
        assert event.task_id is not None
        entry = self._by_id.pop(event.task_id)
        self._left_behind.pop(entry.task_id, None)
        _drop(self._by_owner, entry.owner_id, entry.task_id)
        if entry.channel_id is not None:
            _drop(self._by_channel, entry.channel_id, entry.task_id)
        self._deadlines.tidy()
        self._ended[entry.task_id] = event.kind.rpartition(".")[2]
        if len(self._ended) > ENDED_MAX:
            self._ended.popitem(last=False)


def _drop(index: dict[str, dict[str, None]], key: str, task_id: str) -> None:
    del index[key][task_id]
    if not index[key]:
        del index[key]


def _check_text(**texts: object) -> None:
    for name, value in texts.items():
        if not isinstance(value, str):
            raise CommandRejected(f"a task's {name} is text, which {value!r} is not")
