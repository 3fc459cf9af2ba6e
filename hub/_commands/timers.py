"""``hub.timers``, and a timer."""

from __future__ import annotations

from typing import Any

import attrs

from .._foreign.arguments import Call
from .._state.timers import EVERY_SECONDS_MIN, TimerEntry, TimerTable
from .._values import Shown
from .agents import Agent, actor_of
from .channels import Channel, channel_id_of
from .core import Core, new_id
from .group import Group
from .tasks import Task, task_id_of

__all__ = ("Timer", "TimerCommands")

_AFTER = Call("hub.timers.after()")
_EVERY = Call("hub.timers.every()")
_GET = Call("hub.timers.get()")
_LIST = Call("hub.timers.list()")
_CANCEL = Call("timer.cancel()")


class TimerCommands(Group):
    """``hub.timers``: timers that fire although the program was started again in between.

    When one is due, ``timer.fired`` is committed, with its name and its payload: handle it with a listener, DURABLE if
    none may be missed. A timer goes by the hub's clock. It may belong to an agent, a channel and a task, and is
    cancelled when one of them ends.
    """

    def __init__(self, core: Core, timers: TimerTable) -> None:
        self._core = core
        self._timers = timers

    async def after(
        self,
        seconds: float,
        name: str = "",
        payload: Any = None,
        *,
        agent: Agent | str | None = None,
        channel: Channel | str | None = None,
        task: Task | str | None = None,
    ) -> Timer:
        """Set a timer that fires once, so many seconds from now; return it when it is on disk.

        Raises :class:`~hubwire.errors.NotFound` if the agent, the channel or the task is not there,
        :class:`~hubwire.errors.AccessDenied` if the arbiter denies it, and
        :class:`~hubwire.errors.CommandRejected` for an argument that is not of its form, or when
        10,000 timers wait or its payload is larger than 16 KiB.
        """
        seconds = _AFTER.seconds("seconds", seconds)
        return await self._set(_AFTER, seconds, None, None, name, payload, agent, channel, task)

    async def every(
        self,
        seconds: float,
        name: str = "",
        payload: Any = None,
        *,
        times_max: int | None = None,
        agent: Agent | str | None = None,
        channel: Channel | str | None = None,
        task: Task | str | None = None,
    ) -> Timer:
        """Set a timer that fires again and again, the first time so many seconds from now; return it.

        It keeps to these times: a late firing delays no other. Those that it missed while the hub was not running come
        as one, whose ``missed`` says how many they were. ``times_max``: how often it fires; None: until it is
        cancelled. Raises what :meth:`after` raises, also for less than a tenth of a second.
        """
        seconds = _EVERY.seconds("seconds", seconds)
        if seconds < EVERY_SECONDS_MIN:
            raise _EVERY.refusal("seconds", seconds, f"a number of seconds from {EVERY_SECONDS_MIN} on")
        times_max = _EVERY.whole("times_max", times_max, least=1, is_optional=True)
        return await self._set(_EVERY, seconds, seconds, times_max, name, payload, agent, channel, task)

    async def _set(
        self,
        call: Call,
        seconds: float,
        every_seconds: float | None,
        times_max: int | None,
        name: str,
        payload: Any,
        agent: Agent | str | None,
        channel: Channel | str | None,
        task: Task | str | None,
    ) -> Timer:
        timer_id, name = new_id(), call.text("name", name)
        core = self._core
        agent_id = core.acting.agent_id if agent is None else actor_of(core, agent, call)
        if agent_id is None and core.acting.tenancy is not None:
            raise call.refusal("agent", agent, "an agent of the tenant", "a timer belongs to the tenant of its agent")
        channel_id, task_id = channel_id_of(core, channel, call), task_id_of(core, task, call)
        payload = core.authorizer.freeze(payload)
        facts = {"name": name, "seconds": seconds, "every_seconds": every_seconds, "times_max": times_max}
        await core.authorizer.authorize(
            "timer", agent_id, channel_id=channel_id, content=payload, facts={**facts, "task_id": task_id}
        )
        await core.execute(
            lambda: self._timers.set(
                seconds,
                timer_id=timer_id,
                every_seconds=every_seconds,
                times_max=times_max,
                name=name,
                payload=payload,
                agent_id=agent_id,
                channel_id=channel_id,
                task_id=task_id,
            )
        )
        return Timer(self._core, self._timers, timer_id)

    def get(self, timer_id: str) -> Timer:
        """Return a timer that waits. Raises :class:`~hubwire.errors.NotFound` if it does not.

        Through the hub of an agent, only one of its own.
        """
        timer = Timer(self._core, self._timers, _GET.id("timer_id", timer_id, wanted="the id of a timer"))
        if (tenancy := self._core.acting.tenancy) is not None:
            tenancy.check_timer(timer.id)
        self._core.acting.check(self._timers.get(timer.id).agent_id or "", _GET, "its agent")
        return timer

    def list(self, name: str | None = None) -> tuple[TimerEntry, ...]:
        """Return the timers that wait, with this name or all, in the order in which they were set.

        Through the hub of an agent, only its own.
        """
        name = _LIST.text("name", name, is_optional=True)
        acting = self._core.acting
        return tuple(
            each
            for each in self._timers
            if not each.left_behind
            and name in (None, each.name)
            and acting.may_act_as(each.agent_id or "")
            and acting.sees(each.agent_id)
        )


@attrs.frozen(eq=False, repr=False)
class Timer(Shown):
    """A timer, known by its ``id``."""

    _core: Core = attrs.field(repr=False)
    _timers: TimerTable = attrs.field(repr=False)
    id: str

    @property
    def is_waiting(self) -> bool:
        """Whether it will fire."""
        return self._timers.find(self.id) is not None

    @property
    def entry(self) -> TimerEntry:
        """What the hub knows of it. Raises :class:`~hubwire.errors.NotFound` if it does not wait."""
        return self._timers.get(self.id)

    async def cancel(self, reason: str = "") -> None:
        """Let it fire no more; on disk when this returns.

        Raises :class:`~hubwire.errors.NotFound` if it has fired for the last time, or was cancelled, and
        :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        reason = _CANCEL.text("reason", reason)
        entry = self.entry
        self._core.acting.check(entry.agent_id or "", _CANCEL, "its agent")
        await self._core.authorizer.authorize(
            "cancel_timer",
            entry.agent_id,
            channel_id=entry.channel_id,
            content=entry.payload,
            facts={"name": entry.name, "timer_id": self.id, "task_id": entry.task_id, "reason": reason},
        )
        await self._core.execute(lambda: self._timers.cancel(self.id, reason))
