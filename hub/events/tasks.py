"""Tasks: pieces of work with an owner and an end. ``owner_id`` is the owner, ``agent_id`` whoever did what happened."""

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
    """An agent works on something. ``is_observed``: it runs elsewhere, and the hub is told what becomes of it.

    ``parent_id`` is the task that it is part of, ``delegation_depth`` how many such steps lie above it. It ends by
    itself ``ttl_seconds`` later; None: never.
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
    """The owner tells how far it is. ``progress`` is the newest word, and replaces what was told before."""

    owner_id: str
    progress: Any


@event("task.checkpointed", command="task.checkpoint()")
class TaskCheckpointed(Event):
    """The owner left what it needs to go on after a crash. The newest checkpoint is kept until the task ends."""

    owner_id: str
    checkpoint: Any


@event("task.cancel_requested", command="task.request_cancel()")
class TaskCancelRequested(Event):
    """``agent_id`` asks the owner to give up. Whether it does is the owner's."""

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
    """What runs a task elsewhere could not tell the hub what became of it: ``operation`` is what it wanted to tell."""

    operation: str
    owner_id: str = ""
    error_type: str = ""
    error_message: str = ""
