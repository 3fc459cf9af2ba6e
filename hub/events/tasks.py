"""Tasks: pieces of work with an owner and an end. ``owner_id`` is the owner, ``agent_id`` the agent that acted."""

from __future__ import annotations

from typing import Any

from ._declare import event
from ._event import Event

__all__ = (
    "TaskCancelRequested",
    "TaskCancelled",
    "TaskCheckpointed",
    "TaskCompleted",
    "TaskExpired",
    "TaskFailed",
    "TaskMirrorFailed",
    "TaskProgressed",
    "TaskStarted",
)


@event("task.started", command="hub.tasks.start() or hub.tasks.observe()")
class TaskStarted(Event):
    """An agent began a piece of work. With ``is_observed`` it runs elsewhere, and its progress is reported to the hub.

    ``parent_id`` is the task that it is part of, ``delegation_depth`` how many of the steps above it handed work
    over to another owner. The hub ends it ``ttl_seconds`` later; None: never.
    """

    owner_id: str
    title: str
    ttl_seconds: float | None = None
    is_observed: bool = False
    parent_id: str | None = None
    delegation_depth: int = 0
    capability: str = ""


@event("task.progressed", command="task.progress()")
class TaskProgressed(Event):
    """The owner reported its progress. ``progress`` replaces the report before."""

    owner_id: str
    progress: Any


@event("task.checkpointed", command="task.checkpoint()")
class TaskCheckpointed(Event):
    """The owner saved what it needs to go on after a crash. The newest checkpoint is kept until the task ends."""

    owner_id: str
    checkpoint: Any


@event("task.cancel_requested", command="task.request_cancel()")
class TaskCancelRequested(Event):
    """``agent_id`` requested that the owner give the task up. The owner decides whether it does."""

    owner_id: str
    reason: str = ""


@event("task.completed", command="task.complete()")
class TaskCompleted(Event):
    """The task is done."""

    owner_id: str
    result: Any = None
    capability: str = ""
    started_at: str = ""


@event("task.failed", command="task.fail()")
class TaskFailed(Event):
    """The task cannot be done."""

    owner_id: str
    error_type: str = ""
    error_message: str = ""
    capability: str = ""
    started_at: str = ""


@event("task.cancelled", command="task.cancel()")
class TaskCancelled(Event):
    """The owner gave the task up."""

    owner_id: str
    reason: str = ""
    capability: str = ""
    started_at: str = ""


@event("task.expired", command="the hub itself, when a task's time is up")
class TaskExpired(Event):
    """The hub ended the task: its time was up, its channel was closed, or its owner left the hub."""

    owner_id: str
    reason: str
    capability: str = ""
    started_at: str = ""


@event("task.mirror_failed")
class TaskMirrorFailed(Event):
    """The system that runs a task elsewhere could not report to the hub: ``operation`` is the report that failed."""

    operation: str
    owner_id: str = ""
    error_type: str = ""
    error_message: str = ""
