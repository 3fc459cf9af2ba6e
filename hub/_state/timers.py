"""Timers: ``(absent) -- set --> waiting [-- fired --> waiting] -- fired for the last time | cancelled --> (absent)``.

A repeating one keeps to the times that follow from when it was set. What it missed while the hub was not running comes
as one firing, which says how many there would have been.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import attrs

from .._values import Value
from ..errors import CommandRejected, NotFound
from ..events import (
    AgentUnregistered,
    ChannelClosed,
    ChannelExpired,
    Event,
    TaskCancelled,
    TaskCompleted,
    TaskExpired,
    TaskFailed,
    TimerCancelled,
    TimerFired,
    TimerSet,
    canonical,
)
from .agents import Agents
from .channels import Channels
from .moments import Deadlines, deadline_ns, text_of_ns
from .owned import Owned
from .tasks import Tasks

__all__ = ("EVERY_SECONDS_MIN", "TIMERS_MAX", "TimerEntry", "TimerTable")

TIMERS_MAX = 10_000
PAYLOAD_BYTES_MAX = 16 * 1024
"""As JSON; all of them are in each snapshot."""
EVERY_SECONDS_MIN = 0.1
"""Each firing is an event on disk."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TimerEntry(Value):
    """A timer that waits."""

    timer_id: str
    name: str
    due_ns: int
    """When it fires next, in nanoseconds since the epoch."""
    every_seconds: float | None
    """None: it fires once."""
    times_max: int | None
    fired: int
    """How often it has fired."""
    payload: Any
    agent_id: str | None
    channel_id: str | None
    task_id: str | None
    left_behind: str = ""
    """Why it is cancelled although its event is still to come; empty while it waits."""

    @property
    def due_at(self) -> str:
        """When it fires next, ISO 8601 in UTC."""
        return text_of_ns(self.due_ns)


class TimerTable:
    """The timers that wait, in the order in which they were set."""

    entry_types: ClassVar[tuple[type, ...]] = (TimerEntry,)

    def __init__(self, agents: Agents, channels: Channels, tasks: Tasks) -> None:
        self._agents = agents
        self._channels = channels
        self._tasks = tasks
        self._timers: Owned[str, TimerEntry] = Owned(groups=("agent_id", "channel_id", "task_id"), mark="left_behind")
        self._timed: dict[tuple[str, int], None] = {}
        """By id and number of the firing: an id has one deadline after the other."""
        self._deadlines: Deadlines[tuple[str, int]] = Deadlines(self._timed)

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        ended = dict.fromkeys((TaskCompleted, TaskFailed, TaskCancelled, TaskExpired), self._task_ended)
        return {
            TimerSet: self._set,
            TimerFired: self._fired,
            TimerCancelled: lambda event: self._remove(event.timer_id),
            AgentUnregistered: self._agent_left,
            ChannelClosed: self._channel_ended,
            ChannelExpired: self._channel_ended,
            **ended,
        }

    def snapshot(self) -> Sequence[TimerEntry]:
        return tuple(self._timers)

    def restore(self, entries: Sequence[TimerEntry]) -> None:
        for entry in entries:
            self._timers.restore(entry.timer_id, entry)
            self._time(entry)

    def __len__(self) -> int:
        return len(self._timers)

    def __iter__(self) -> Iterator[TimerEntry]:
        return iter(tuple(self._timers))

    def find(self, timer_id: str) -> TimerEntry | None:
        """Return the timer if it waits."""
        entry = self._timers.find(timer_id)
        return None if entry is None or entry.left_behind else entry

    # -- commands --

    def set(
        self,
        after_seconds: float,
        *,
        timer_id: str,
        every_seconds: float | None,
        times_max: int | None,
        name: str,
        payload: Any,
        agent_id: str | None,
        channel_id: str | None,
        task_id: str | None,
    ) -> list[Event]:
        if len(self._timers) >= TIMERS_MAX:
            raise CommandRejected(f"{TIMERS_MAX} timers wait, and no more can be set; cancel those of no use")
        payload = canonical(payload)
        if (size := len(json.dumps(payload, ensure_ascii=False).encode())) > PAYLOAD_BYTES_MAX:
            raise CommandRejected(
                f"the payload of a timer has {size} bytes as JSON, and {PAYLOAD_BYTES_MAX} are allowed; store it"
                " elsewhere, and give the timer a reference"
            )
        if agent_id is not None:
            self._agents.get(agent_id)
        if channel_id is not None:
            self._channels.get(channel_id)
        if task_id is not None:
            self._tasks.get(task_id)
        return [
            TimerSet(
                timer_id=timer_id,
                after_seconds=after_seconds,
                every_seconds=every_seconds,
                times_max=times_max,
                name=name,
                payload=payload,
                agent_id=agent_id,
                channel_id=channel_id,
                task_id=task_id,
            )
        ]

    def cancel(self, timer_id: str, reason: str) -> list[Event]:
        return [_cancelled(self.get(timer_id), reason)]

    def get(self, timer_id: str) -> TimerEntry:
        """Return the timer. Raises :class:`~hubwire.errors.NotFound` if it does not wait."""
        entry = self.find(timer_id)
        if entry is None:
            raise self.not_waiting(timer_id)
        return entry

    def not_waiting(self, timer_id: str) -> NotFound:
        """Return the error for what is no timer that waits."""
        return NotFound(
            f"timer {timer_id} does not wait: it has fired for the last time, was cancelled, or never was; see"
            " hub.timers.list()"
        )

    # -- what happens by itself --

    def next_due_ns(self) -> int | None:
        return 0 if self._timers.left_behind else self._deadlines.next_ns

    def due(self, now_ns: int, limit: int) -> list[Event]:
        events: list[Event] = [_cancelled(entry, entry.left_behind) for entry in self._timers.due(now_ns, limit)]
        if events:
            return events
        for timer_id, _ in self._deadlines.passed(now_ns):
            if len(events) >= limit:
                break
            events.append(self._firing(self._timers[timer_id], now_ns))
        return events

    def _firing(self, entry: TimerEntry, now_ns: int) -> Event:
        missed = 0
        if entry.every_seconds is not None:
            missed = (now_ns - entry.due_ns) // _ns(entry.every_seconds)
            if entry.times_max is not None:
                missed = min(missed, entry.times_max - entry.fired - 1)
        due_ns = entry.due_ns + missed * _ns(entry.every_seconds or 0)
        return TimerFired(
            timer_id=entry.timer_id,
            number=entry.fired + missed + 1,
            due_at=text_of_ns(due_ns),
            missed=missed,
            name=entry.name,
            payload=entry.payload,
            agent_id=entry.agent_id,
            channel_id=entry.channel_id,
            task_id=entry.task_id,
        )

    # -- applying --

    def _set(self, event: TimerSet) -> None:
        entry = TimerEntry(
            timer_id=event.timer_id,
            name=event.name,
            due_ns=deadline_ns(event.at, event.after_seconds),
            every_seconds=event.every_seconds,
            times_max=event.times_max,
            fired=0,
            payload=event.payload,
            agent_id=event.agent_id,
            channel_id=event.channel_id,
            task_id=event.task_id,
        )
        self._timers.add(entry.timer_id, entry)
        self._time(entry)

    def _fired(self, event: TimerFired) -> None:
        entry = self._timers[event.timer_id]
        if entry.every_seconds is None or event.number == entry.times_max:
            self._remove(event.timer_id)
            return
        due_ns = entry.due_ns + (event.missed + 1) * _ns(entry.every_seconds)
        del self._timed[entry.timer_id, entry.fired]
        self._timers.change(event.timer_id, fired=event.number, due_ns=due_ns)
        self._time(self._timers[event.timer_id])
        self._deadlines.tidy()

    def _remove(self, timer_id: str) -> None:
        entry = self._timers.remove(timer_id)
        del self._timed[timer_id, entry.fired]
        self._deadlines.tidy()

    def _time(self, entry: TimerEntry) -> None:
        self._timed[entry.timer_id, entry.fired] = None
        self._deadlines.add(entry.due_ns, (entry.timer_id, entry.fired))

    def _agent_left(self, event: AgentUnregistered) -> None:
        self._timers.leave_behind("agent_id", event.agent_id, mark="its agent left the hub")

    def _channel_ended(self, event: ChannelClosed | ChannelExpired) -> None:
        self._timers.leave_behind("channel_id", event.channel_id, mark="its channel has ended")

    def _task_ended(self, event: Event) -> None:
        self._timers.leave_behind("task_id", event.task_id, mark="its task has ended")


def _cancelled(entry: TimerEntry, reason: str) -> TimerCancelled:
    return TimerCancelled(
        timer_id=entry.timer_id,
        name=entry.name,
        reason=reason,
        agent_id=entry.agent_id,
        channel_id=entry.channel_id,
        task_id=entry.task_id,
    )


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
