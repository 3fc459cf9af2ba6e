"""What a command of a follower leads to, as it is kept in the state: a value, or where one is.

It is made of the events of the command, before they are stamped, so it is in the same batch. A result is small: an
event is known by its ``seq``, an object by its id. The answer that the follower gets at once is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..events import EnvelopeDeadLettered, EnvelopePosted, Event

__all__ = ("INTERRUPTED", "RESULTS", "at", "result_of")

INTERRUPTED = {"interrupted": True}
"""The call went on after its first events, and what it would have returned is not known."""


def at(seq: int, count: int | None = None) -> dict[str, Any]:
    """Return the reference to an event, or to several."""
    return {"$": "at", "seq": seq} if count is None else {"$": "all", "seq": seq, "count": count}


def _of(kind: str, **fields: str) -> Callable[[Sequence[Event]], Any]:
    """Return what finds an object in the first event that has its id."""

    def find(events: Sequence[Event]) -> Any:
        for event in events:
            found = {name: getattr(event, field, None) for name, field in fields.items()}
            if all(type(each) is str for each in found.values()):
                return {"$": kind, **found}
        return INTERRUPTED

    return find


def _posted(events: Sequence[Event]) -> Any:
    found = [event.seq for event in events if isinstance(event, EnvelopePosted)]
    return at(found[0]) if len(found) == 1 else INTERRUPTED


def _approval_id(events: Sequence[Event]) -> Any:
    return next((each for event in events if type(each := getattr(event, "approval_id", None)) is str), INTERRUPTED)


_POST = _posted

RESULTS: Mapping[str, Callable[[Sequence[Event]], Any]] = {
    "hub.emit": lambda events: at(events[0].seq),
    "hub.emit_many": lambda events: at(events[0].seq, len(events)),
    "hub.ask": lambda _: INTERRUPTED,
    "agents.register": _of("Agent", id="agent_id", name="name"),
    "channels.open": _of("Channel", id="channel_id"),
    "tasks.start": _of("Task", id="task_id", agent_id="owner_id"),
    "tasks.observe": _of("Task", id="task_id", agent_id="owner_id"),
    "timers.after": _of("Timer", id="timer_id"),
    "timers.every": _of("Timer", id="timer_id"),
    "topics.publish": _POST,
    "topics.subscribe": lambda _: True,
    "topics.unsubscribe": lambda _: True,
    "agent.observe": lambda _: True,
    "channel.post": _POST,
    "delivery.reply": _POST,
    "delivery.ack": lambda _: True,
    "delivery.nack": lambda events: not isinstance(events[0], EnvelopeDeadLettered),
    "approvals.request": _approval_id,
    "approvals.record": _approval_id,
    "approvals.gate": lambda events: {"gate": _approval_id(events)},
    "approvals.wait": lambda _: None,
    "dead_letters.retry": lambda _: INTERRUPTED,
    "dead_letters.retry_all": lambda _: INTERRUPTED,
    "dead_letters.discard_all": lambda _: INTERRUPTED,
}
"""By command; the others return None."""


def result_of(name: str, events: Sequence[Event]) -> Any:
    """Return what a command returns that has led to these stamped events."""
    find = RESULTS.get(name)
    return None if find is None else find(events)
