"""Spans as this package has them, before OpenTelemetry does: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from ._ids import Place

__all__ = ("Begun", "Link", "Note", "SpanData", "Status")

Status = Literal["unset", "ok", "error"]


@attrs.frozen
class Link:
    """A span that this one belongs to in another way than as its child."""

    place: Place
    attributes: Mapping[str, Any]


@attrs.frozen
class Note:
    """What happened while a span was open: an event of it."""

    name: str
    at_ns: int
    attributes: Mapping[str, Any]


@attrs.frozen(kw_only=True)
class SpanData:
    """A span that has ended. Times are nanoseconds since the epoch."""

    place: Place
    parent_id: int | None
    name: str
    is_client: bool
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any]
    links: tuple[Link, ...] = ()
    notes: tuple[Note, ...] = ()
    status: Status = "unset"
    message: str = ""

    def chars(self) -> int:
        """Return how long its texts are, together."""
        all_attributes = (self.attributes, *(note.attributes for note in self.notes))
        return sum(len(text) for some in all_attributes for text in some.values() if isinstance(text, str))


@attrs.define(kw_only=True, eq=False)
class Begun:
    """A span that has not ended."""

    what: str
    place: Place
    parent_id: int | None
    name: str
    start_ns: int
    attributes: dict[str, Any]
    links: list[Link]
    agent_id: str | int | None = None
    correlation_id: str | int | None = None
    handles: tuple[str | int, ...] = ()
    """Of a turn: the ids of its envelope, and of the event with that."""
    notes: list[Note] = attrs.field(factory=list)

    def ended(self, end_ns: int, attributes: Mapping[str, Any], status: Status, message: str) -> SpanData:
        """Return the span as it is with its end."""
        return SpanData(
            place=self.place,
            parent_id=self.parent_id,
            name=self.name,
            is_client=self.what == "model",
            start_ns=self.start_ns,
            end_ns=max(end_ns, self.start_ns),
            attributes={**self.attributes, **attributes},
            links=tuple(self.links),
            notes=tuple(self.notes),
            status=status,
            message=message,
        )
