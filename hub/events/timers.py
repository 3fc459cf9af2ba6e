"""Timers of programs and agents: set, fired when due, gone when they are cancelled or have fired often enough."""

from __future__ import annotations

from typing import Any

from ._declare import event
from ._event import Event

__all__ = ("TimerCancelled", "TimerFired", "TimerSet")


@event("timer.set", command="hub.timers.after() or hub.timers.every()")
class TimerSet(Event):
    """A timer was set. It is due ``after_seconds`` later; one with ``every_seconds``, again and again.

    ``agent_id``, ``channel_id`` and ``task_id`` are what it belongs to: it is cancelled with them. ``times_max`` is how
    often it fires; None: until it is cancelled.
    """

    timer_id: str
    after_seconds: float
    every_seconds: float | None = None
    times_max: int | None = None
    name: str = ""
    payload: Any = None


@event("timer.fired", command="the hub itself, when a timer is due")
class TimerFired(Event):
    """A timer was due at ``due_at``. ``number`` counts its firings from 1.

    ``missed`` is how many times it was due before that and did not fire, because the hub was not running.
    """

    timer_id: str
    number: int
    due_at: str
    missed: int = 0
    name: str = ""
    payload: Any = None


@event("timer.cancelled", command="timer.cancel()")
class TimerCancelled(Event):
    """A timer does not fire any more, for this ``reason``."""

    timer_id: str
    name: str = ""
    reason: str = ""
