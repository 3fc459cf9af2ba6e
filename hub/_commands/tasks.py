"""``hub.tasks``, and a task."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Unpack, cast

import attrs

from .._foreign.arguments import Call
from .._foreign.guards import message_of
from .._state.origin import Origin
from .._state.tasks import TaskEntry, Tasks
from .._values import Shown, Value
from ..arbiter import Allow
from ..errors import NotFound, TaskNotCompleted
from ..events import Event, TaskCancelled, TaskCompleted, TaskExpired, TaskFailed
from ..events._shown import shown, type_name
from ..provenance import provenance_of
from .agents import Agent, actor_of
from .channels import Channel, channel_id_of
from .core import Core, new_id
from .group import Group
from .origins import origin_of
from .outcomes import Outcomes
from .provenances import said_of
from .rules import seconds_or_rule

__all__ = ("Task", "TaskCommands", "TaskOutcome", "task_id_of")

_START = Call("hub.tasks.start()")
_OBSERVE = Call("hub.tasks.observe()")
_GET = Call("hub.tasks.get()")
_OUTCOME = Call("hub.tasks.outcome()")
_PROGRESS = Call("task.progress()")
_COMPLETE = Call("task.complete()")
_FAIL = Call("task.fail()")
_CANCEL = Call("task.cancel()")
_REQUEST_CANCEL = Call("task.request_cancel()")

TTL_SECONDS = 3600.0


class TaskCommands(Group):
    """``hub.tasks``: starts tasks, and finds the running ones.

    A task ends once, and for good: completed, failed or cancelled by its owner, or expired, when its time is up, its
    channel is closed, or its owner leaves the hub. It outlives a restart of the hub, with its newest checkpoint.
    """

    def __init__(self, core: Core, tasks: Tasks) -> None:
        self._core = core
        self._tasks = tasks
        self._outcomes = Outcomes(core, (TaskCompleted, TaskFailed, TaskCancelled, TaskExpired), "task_id")

    def _through(self, core: Core) -> TaskCommands:
        """Return the same commands as an agent has them, by its own ``core``."""
        face = copy.copy(self)
        face._core = core  # noqa: SLF001 - it is one of this class
        return face

    async def start(
        self,
        owner: Agent | str,
        title: str,
        *,
        channel: Channel | str | None = None,
        parent: Task | str | None = None,
        ttl_seconds: float | Literal["rule"] | None = "rule",
        capability: str = "",
        provenance: Iterable[str] = (),
        **origin: Unpack[Origin],
    ) -> Task:
        """Start a task; return it, acting as its owner.

        ``channel`` is where it belongs, ``parent`` the task that it is part of, ``capability`` the one of its owner
        that it needs. It expires after ``ttl_seconds`` by the hub's clock, None: never; by default after what its
        owner's rule says, if an arbiter applies it, else after an hour. ``provenance``: where the title comes from, as
        :meth:`hubwire.Channel.post` takes it.

        Raises :class:`~hubwire.errors.NotFound` if the owner, the channel or the parent is not there,
        :class:`~hubwire.errors.AccessDenied` if the arbiter denies it, and :class:`~hubwire.errors.CommandRejected` if
        the owner has too many running, or takes no part in the channel.
        """
        origin = {**origin_of(_START, origin, self.start), **said_of(_START, provenance)}
        settings = {"ttl_seconds": ttl_seconds, "capability": capability, **origin}
        return await self._start(_START, owner, title, new_id(), channel, parent, settings)

    async def observe(
        self,
        owner: Agent | str,
        title: str,
        *,
        task_id: str,
        channel: Channel | str | None = None,
        parent: Task | str | None = None,
        ttl_seconds: float | Literal["rule"] | None = "rule",
        capability: str = "",
        provenance: Iterable[str] = (),
        **origin: Unpack[Origin],
    ) -> Task:
        """Follow a task that runs elsewhere, under the id that it has there; return it, to report its progress and end.

        The other arguments mean what they mean for :meth:`start`, and it raises what that raises; also
        :class:`~hubwire.errors.CommandRejected` if there is or was a task with this id.
        The last 10,000 tasks that ended are remembered.
        """
        origin = {**origin_of(_OBSERVE, origin, self.observe), **said_of(_OBSERVE, provenance)}
        settings = {"ttl_seconds": ttl_seconds, "capability": capability, "is_observed": True, **origin}
        task_id = _OBSERVE.id("task_id", task_id, wanted="the task's id, a text")
        return await self._start(_OBSERVE, owner, title, task_id, channel, parent, settings)

    def get(self, task_id: str, agent: Agent | str) -> Task:
        """Return a running task, acting as ``agent``: its owner, or an agent that requests that it be cancelled.

        Raises :class:`~hubwire.errors.NotFound` if it is unknown, and :class:`~hubwire.errors.CommandRejected` if it
        has ended.
        """
        task_id, agent_id = _GET.id("task_id", task_id, wanted="the id of a task"), actor_of(self._core, agent, _GET)
        self._core.acting.check_task(task_id)
        self._tasks.get(task_id)
        return Task(self._core, self._tasks, self._outcomes, task_id, agent_id)

    async def outcome(self, task_id: str) -> TaskOutcome:
        """Wait for the end of a task; return how it ended, at once if it has.

        The last 10,000 tasks that ended are remembered, and what they ended with for as long as a channel's history is
        kept: see :meth:`hubwire.Channel.history`. Raises :class:`~hubwire.errors.NotFound` for others.
        """
        task_id = _OUTCOME.id("task_id", task_id, wanted="an id")
        if (tenancy := self._core.acting.tenancy) is not None and self._tasks.tenant_of(task_id) != tenancy.tenant:
            raise _not_known(task_id)
        return await _outcome(self._core, self._tasks, self._outcomes, task_id)

    def running(self) -> tuple[TaskEntry, ...]:
        """Return what the hub knows of each running task, oldest first."""
        tenancy = self._core.acting.tenancy
        running = (entry for entry in self._tasks if not entry.left_behind)
        return tuple(entry for entry in running if tenancy is None or entry.tenant == tenancy.tenant)

    async def _start(
        self,
        call: Call,
        owner: Agent | str,
        title: str,
        task_id: str,
        channel: Channel | str | None,
        parent: Task | str | None,
        settings: dict[str, Any],
    ) -> Task:
        owner_id = actor_of(self._core, owner, call, "owner")
        title = call.text("title", title)
        channel_id = channel_id_of(self._core, channel, call)
        parent_id = task_id_of(self._core, parent, call, "parent")
        settings["ttl_seconds"] = seconds_or_rule(call, settings["ttl_seconds"])
        settings["capability"] = call.text("capability", settings["capability"])
        allow = await self._authorize(owner_id, title, channel_id, parent_id, settings)
        if settings["ttl_seconds"] == "rule":
            settings["ttl_seconds"] = allow.task_ttl_seconds or TTL_SECONDS
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
        return Task(self._core, self._tasks, self._outcomes, task_id, owner_id)

    async def _authorize(
        self, owner_id: str, title: str, channel_id: str | None, parent_id: str | None, settings: Mapping[str, Any]
    ) -> Allow:
        parent = None if parent_id is None else self._tasks.find(parent_id)
        authorizer = self._core.authorizer
        return await authorizer.authorize(
            "start",
            owner_id,
            [] if parent is None or parent.owner_id == owner_id else [parent.owner_id],
            channel_id=channel_id,
            present=authorizer.participants(channel_id),
            content=title,
            facts={
                "parent_id": parent_id,
                "delegation_depth": 0 if parent is None else self._tasks.depth_below(parent_id, owner_id),
                "ttl_seconds": settings["ttl_seconds"],
                "capability": settings["capability"],
                "is_observed": settings.get("is_observed", False),
                **settings.get("metadata", {}),
            },
        )


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TaskOutcome(Value):
    """How a task ended."""

    how: str
    """``completed``, ``failed``, ``cancelled`` or ``expired``."""
    result: Any = None
    provenance: tuple[str, ...] = ()
    """Where the result comes from, as its owner has said: see :mod:`hubwire.provenance`."""
    reason: str = ""
    """Why it was not completed."""
    error_type: str = ""
    """The class of the exception with which it failed."""
    seq: int
    at: str


@attrs.frozen(eq=False, repr=False)
class Task(Shown):
    """A task, known by its ``id``, and the agent that acts through this object.

    Only its owner changes it. All methods raise :class:`~hubwire.errors.CommandRejected` when the task has ended, and
    all but :meth:`request_cancel` also for any agent but its owner.
    """

    _core: Core = attrs.field(repr=False)
    _tasks: Tasks = attrs.field(repr=False)
    _outcomes: Outcomes = attrs.field(repr=False)
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

    async def progress(self, progress: Any, *, provenance: Iterable[str] = ()) -> None:
        """Report how far the task is; ``provenance`` is where that comes from: see :meth:`hubwire.Channel.post`."""
        said = said_of(_PROGRESS, provenance)
        await self._core.execute(lambda: self._tasks.progress(self.id, self.agent_id, progress, **said))

    async def checkpoint(self, checkpoint: Any) -> None:
        """Keep what the owner needs to go on after a crash; it is on disk when this returns. The newest one counts."""
        await self._core.execute(lambda: self._tasks.checkpoint(self.id, self.agent_id, checkpoint))

    def read_checkpoint(self) -> Any:
        """Return the newest checkpoint, frozen; None if there is none."""
        return self._tasks.read_checkpoint(self.id, self.agent_id)

    async def complete(self, result: Any = None, *, provenance: Iterable[str] = ()) -> None:
        """End the task: it is done; ``provenance`` is where the result comes from: see :meth:`hubwire.Channel.post`.

        An agent that waits for the result finds that in :attr:`TaskOutcome.provenance`.
        """
        said = said_of(_COMPLETE, provenance)
        await self._core.execute(lambda: self._tasks.complete(self.id, self.agent_id, result, **said))

    async def fail(self, error: BaseException | str) -> None:
        """End the task: it cannot be done."""
        if issubclass(type(error), BaseException):
            error_type, message = type_name(error), _written(message_of(cast(BaseException, error)))
        else:
            error_type, message = "", _FAIL.text("error", error, wanted="an exception, or text")
        await self._core.execute(lambda: self._tasks.fail(self.id, self.agent_id, error_type, message))

    async def cancel(self, reason: str = "") -> None:
        """End the task: its owner gives it up."""
        reason = _CANCEL.text("reason", reason)
        await self._core.execute(lambda: self._tasks.cancel(self.id, self.agent_id, reason))

    async def ended(self) -> TaskOutcome:
        """Wait for the end of the task, by any agent or the hub: see :meth:`TaskCommands.outcome`."""
        return await _outcome(self._core, self._tasks, self._outcomes, self.id)

    async def result(self) -> Any:
        """Wait for the end of the task; return its result, frozen.

        Raises :class:`~hubwire.errors.TaskNotCompleted` if it has failed, was cancelled or has expired, and what
        :meth:`ended` raises.
        """
        outcome = await self.ended()
        if outcome.how != "completed":
            raise TaskNotCompleted(
                f"task {self.id} has no result: it was {outcome.how} ({outcome.reason or 'without a reason'})",
                how=outcome.how,
                reason=outcome.reason,
            )
        return outcome.result

    async def request_cancel(self, reason: str = "") -> None:
        """Request that the owner give the task up. Each other agent may do so once; in a channel, its participants.

        Raises :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        reason = _REQUEST_CANCEL.text("reason", reason)
        entry = self._tasks.get(self.id)
        await self._core.authorizer.authorize(
            "request_cancel",
            self.agent_id,
            [entry.owner_id],
            channel_id=entry.channel_id,
            content=self.id,
            facts={"reason": reason},
        )
        await self._core.execute(lambda: self._tasks.request_cancel(self.id, self.agent_id, reason))


def task_id_of(core: Core, task: Task | str | None, call: Call, argument: str = "task") -> str | None:
    """Return the id of a task, given as itself or as its id; refuse all else in the name of this call."""
    if task is None:
        return None
    is_task = issubclass(type(task), Task)  # or of a hub that follows
    task_id = cast(Task, task).id if is_task else call.id(argument, task, wanted="a Task, or the id of one")
    core.acting.check_task(task_id)
    return task_id


def _written(message: str) -> str:
    """Return the text of a foreign exception as UTF-8 can hold it."""
    return message.encode(errors="backslashreplace").decode()


async def _outcome(core: Core, tasks: Tasks, outcomes: Outcomes, task_id: str) -> TaskOutcome:
    ended = tasks.ended(task_id)
    if ended is not None:
        await core.until_committed(ended.seq)
        event = (await core.recall.events([ended.seq], key="")).get(ended.seq)
        if event is None:
            raise NotFound(f"task {task_id} was {ended.how}, and what it ended with is not kept any more")
        return _outcome_of(event)
    if not tasks.knows(task_id):
        raise _not_known(task_id)
    core.check_may_wait("the end of a task")
    with outcomes.expected(task_id) as outcome:
        return _outcome_of(await outcome())


def _not_known(task_id: str) -> NotFound:
    return NotFound(f"no task {shown(task_id)} is known: it ended long ago, or was never started")


def _outcome_of(event: Event) -> TaskOutcome:
    about: dict[str, Any] = {"how": event.kind.rpartition(".")[2], "seq": event.seq, "at": event.at}
    if isinstance(event, TaskCompleted):
        return TaskOutcome(**about, result=event.result, provenance=provenance_of(event))
    if isinstance(event, TaskFailed):
        return TaskOutcome(**about, reason=event.error_message, error_type=event.error_type)
    return TaskOutcome(**about, reason=getattr(event, "reason", ""))
