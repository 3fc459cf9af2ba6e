"""One of what a runtime has begun, where it belongs, and the header of events about it."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import attrs

from ..context import EMPTY, Context
from ..events import Event
from ._queue import Entry

__all__ = (
    "LATE_NS",
    "Place",
    "Span",
    "count",
    "header_of",
    "header_outside",
    "moment",
    "shown_above",
    "unique",
    "whole",
)

LATE_NS: Final = 1_000_000_000
"""What the hub takes in later than this says when it happened."""

_CALL_IDS_MAX: Final = 20_000
"""Of how many ids of calls in a run it is remembered how often they were used: a run may never end."""


@attrs.define(slots=True, eq=False)
class Span:
    """A turn, a model call or a tool call that has begun."""

    family: str
    key: str
    id: str
    """Its ``turn_id`` or ``call_id`` in the events."""
    name: str
    """The model or the tool; empty for a turn."""
    agent: str
    """The agent's name."""
    agent_id: str | None
    parent: Span | None
    place: Place
    begun: Entry
    begun_id: str | None = None
    """The id of the event that it has begun with; None while that is held back."""
    held: Event | None = None
    """That event, while it is held back."""
    ending: Entry | None = None
    """Its end, while that waits for what belongs to it."""
    inner: dict[str, Span] = attrs.field(factory=dict)
    """What belongs to it and has not ended, by key."""
    totals: dict[str, float] = attrs.field(factory=dict)
    """Tools called, tokens, cost: of a turn, its own and those of its calls."""

    @property
    def turn(self) -> Span | None:
        """The turn that it belongs to, or is."""
        span: Span | None = self
        while span is not None and span.family != "turn":
            span = span.parent
        return span


@attrs.frozen(slots=True, eq=False)
class Place:
    """What all events of one run have in common."""

    run: str
    session: str | None
    context: Context
    correlation: str | None = None
    """What its runtime says it belongs to."""
    call_ids: dict[str, int] = attrs.field(factory=dict)
    """How often an id of a call was used in this run: ids are unique there."""

    @property
    def correlation_id(self) -> str:
        return self.context.correlation_id or self.correlation or self.run


def header_outside(entry: Entry, source: str, session: str | None, agent_id: str | None) -> dict[str, Any]:
    """Return the header of an event about no run that is open."""
    context = entry.context or EMPTY
    return {
        "agent_id": agent_id,
        "session_id": entry.fields.get("session") or session or context.session_id,
        "tenant": context.tenant,
        "correlation_id": context.correlation_id,
        "causation_id": context.causation_id,
        "traceparent": context.traceparent,
        "channel_id": context.channel_id,
        "task_id": context.task_id,
        "source": source,
        "occurred_at": _late(entry),
    }


def header_of(span: Span, entry: Entry, source: str, agent_id: str | None = None) -> dict[str, Any]:
    """Return the header of an event about what is in a span."""
    place, turn = span.place, span.turn
    above = span.begun_id if entry is not span.begun else None
    metadata: dict[str, Any] = {"run": place.run}
    if span.family == "turn" and span.parent is not None and (outer := span.parent.turn) is not None:
        metadata["parent_turn_id"] = outer.id
    elif span.family == "turn" and place.context.turn_id is not None:
        metadata["parent_turn_id"] = place.context.turn_id
    if provenance := entry.fields.get("provenance"):
        metadata |= provenance
    return {
        "agent_id": agent_id or span.agent_id,
        "session_id": place.session or place.context.session_id,
        "turn_id": turn.id if turn is not None else place.context.turn_id,
        "tenant": place.context.tenant,
        "correlation_id": place.correlation_id,
        "causation_id": above or shown_above(span) or place.context.causation_id,
        "traceparent": place.context.traceparent,
        "channel_id": place.context.channel_id,
        "task_id": place.context.task_id,
        "source": source,
        "occurred_at": _late(entry),
        "metadata": metadata,
    }


def shown_above(span: Span) -> str | None:
    """Return the event that the nearest began with, of what it belongs to."""
    above = span.parent
    while above is not None:
        if above.begun_id is not None:
            return above.begun_id
        above = above.parent
    return None


def unique(place: Place, wanted: str, family: str) -> str:
    used = place.call_ids.get(f"{family}:{wanted}", 0) + 1
    place.call_ids[f"{family}:{wanted}"] = used
    if len(place.call_ids) > _CALL_IDS_MAX:
        del place.call_ids[next(iter(place.call_ids))]
    return wanted if used == 1 else f"{wanted}#{used}"


def count(totals: dict[str, float], fields: Any) -> None:
    for name in ("input_tokens", "output_tokens", "cost_usd"):
        if (number := fields.get(name)) is not None:
            totals[name] = totals.get(name, 0) + number


def whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _late(entry: Entry) -> str | None:
    return moment(entry.wall_ns) if entry.is_late else None


def moment(wall_ns: int) -> str:
    """Return a time of day as events have it: ISO 8601 in UTC, with microseconds."""
    seconds, rest = divmod(wall_ns // 1000, 1_000_000)
    day = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return f"{day:%Y-%m-%dT%H:%M:%S}.{rest:06}Z"
