"""Events: what of one is looked at, and the copy that is made of it."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, cast
from weakref import WeakValueDictionary

import attrs

from .. import codec
from ..events import Event, FrozenDict, GenericEvent, UnknownEvent
from ..events._event import evolve, field_names, own_fields
from ..events._shown import is_a

__all__ = (
    "STAMP",
    "Made",
    "is_as_written",
    "is_own_kind",
    "line_of",
    "looked_at",
    "names_of",
    "unread_of",
    "values_of",
    "with_changes",
    "withheld",
)

_CONTEXT = (
    *("tenant", "source", "source_id", "actor", "agent_id", "session_id", "turn_id", "channel_id", "task_id"),
    *("correlation_id", "metadata"),
)
"""The fields of every event that an application fills with texts of its own; names of keys do not count here."""

_HELD_MAX = 1024
_HELD_BYTES_MAX = 64 * 1024
"""How many events are remembered, and how many bytes of JSON each of them may have."""


_readers: dict[type[Event], Callable[[Event], tuple[Any, ...]]] = {}


def values_of(event: Event) -> tuple[Any, ...]:
    """Return all fields of an event that are looked at."""
    read = _readers.get(type(event))
    if read is None:
        read = _readers[type(event)] = operator.attrgetter(*_CONTEXT, *names_of(type(event)))
    return read(event)


def names_of(kind: type[Event]) -> tuple[str, ...]:
    """Return the names of a kind's own fields that are looked at."""
    if issubclass(kind, UnknownEvent):
        return ("fields",)
    return tuple(name for name in own_fields(kind) if name != "kind")


def is_own_kind(kind: type[Event]) -> bool:
    """Tell whether a kind is one of the hub, whose names of fields are no hint."""
    return kind.__module__.startswith("hubwire.")


def is_as_written(event: Event) -> bool:
    """Tell whether all of an event is sure to be in its line: the codec has written it, or stamping has frozen it."""
    is_known = type(event) is not UnknownEvent and is_a(event, Event)
    return is_known and (event._body is not None or event._weight > 0)  # noqa: SLF001


def line_of(event: Event) -> bytes:
    """Return the line of an event without the one name in it that is no hint there."""
    line = codec.encode(event)
    # A second one is the application's, and stays.
    return line if event.session_id is None else line.replace(b'"session_id":', b'"":', 1)


def unread_of(event: Event) -> dict[str, Any]:
    """Return the fields that the bytes of an event have, and its class has not: it is written as it was read."""
    body = event._body  # noqa: SLF001 - what the codec has read
    if body is None or type(event) is UnknownEvent:
        return {}
    known = {*field_names(type(event)), "kind"}
    return {name: value for name, value in codec.decode_fields(body).items() if name not in known}


def looked_at(event: Event) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return two groups of fields: those whose names are no hint, and those whose names are the application's."""
    kind = type(event)
    context = {name: value for name in _CONTEXT if (value := getattr(event, name)) is not None}
    own = {name: getattr(event, name) for name in names_of(kind)}
    return (context | own, {}) if is_own_kind(kind) else (context, own)


STAMP = "redacted"
"""The key in the metadata of an event that was changed; its value are the rules."""


def with_changes(event: Event, changes: Mapping[str, Any], stamp: str) -> Event:
    """Return the event with these fields, and the stamp of the rules in its metadata."""
    metadata = changes.get("metadata", event.metadata) or {}
    made = evolve(event, **{**changes, "metadata": FrozenDict(sorted({**metadata, STAMP: stamp}.items()))})
    # An unknown event is written as the bytes that it was read from, and these hold what was replaced.
    return _with_own_body(made) if isinstance(made, UnknownEvent) else made


def _with_own_body(event: UnknownEvent) -> UnknownEvent:
    header = [field for field in attrs.fields(cast(Any, Event)) if field.init]
    given = {field.name: value for field in header if (value := getattr(event, field.name)) != field.default}
    body = codec.encode_fields({**event.fields, **given, "kind": event.kind})
    return evolve(event, body=body)


def withheld(event: Event, error: str, stamp: str) -> GenericEvent:
    """Return what is left of an event that could not be redacted: when it happened, and of which kind it was."""
    header = {name: getattr(event, name) for name in ("seq", "id", "at", "hub", "causation_id", "depth", "kind")}
    marks = FrozenDict({STAMP: stamp})
    return GenericEvent(**header, metadata=marks, data=FrozenDict({"$redacted": error}))


class Made:
    """The events that were redacted last, so that all listeners with the same rules share the work."""

    def __init__(self) -> None:
        self._held: OrderedDict[int, tuple[Event, Event]] = OrderedDict()

    @classmethod
    def of(cls, stamp: str) -> Made:
        """Return the events that all redactors with this stamp have made."""
        return _by_stamp.setdefault(stamp, cls())

    def get(self, event: Event, make: Callable[[Event], Event]) -> Event:
        held = self._held.get(id(event))
        if held is not None and held[0] is event:
            return held[1]
        made = make(event)
        if codec.size_of(event) <= _HELD_BYTES_MAX:
            self._held[id(event)] = (event, made)
            while len(self._held) > _HELD_MAX:
                self._forget()
        return made

    def _forget(self) -> None:
        try:
            self._held.popitem(last=False)
        except KeyError:  # another thread was quicker
            pass


_by_stamp: WeakValueDictionary[str, Made] = WeakValueDictionary()
