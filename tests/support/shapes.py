"""Events of every kind, and with every type that a field may have."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any, Literal

import attrs

import hubwire.events
from hubwire import Event, GenericEvent, UnknownEvent, event
from hubwire.events import Outcome
from hubwire.events._event import own_fields

HEADER = {
    "tenant",
    "source",
    "source_id",
    "occurred_at",
    "actor",
    "agent_id",
    "session_id",
    "turn_id",
    "channel_id",
    "task_id",
    "correlation_id",
    "causation_id",
    "traceparent",
    "severity",
    "outcome",
}


@event("codec_tests.shaped")
class Shaped(Event):
    """Every type a field may have, and some that people write all the same."""

    text: str
    number: int = 0
    real: float = 0.0
    flag: bool = False
    maybe: str | None = None
    names: tuple[str, ...] = ()
    pair: tuple[int, str] | None = None
    items: list[str] = attrs.field(factory=list)
    details: Mapping[str, Any] | None = None
    table: dict[str, int] | None = None
    level: Literal["low", "high"] = "low"
    either: int | str | None = None
    anything: Any = None


def shipped_kinds() -> list[type[Event]]:
    exported = [getattr(hubwire.events, name) for name in hubwire.events.__all__]
    kinds = [each for each in exported if isinstance(each, type) and issubclass(each, Event)]
    return [each for each in kinds if each not in (Event, GenericEvent, UnknownEvent)]


def a_value_of(hint: Any) -> Any:
    """Return some value of a field's type."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and args[-1] is not Ellipsis:
        return tuple(map(a_value_of, args))
    if origin in (tuple, list):
        return (a_value_of(args[0]), a_value_of(args[0]))
    if origin in (Mapping, dict):
        return {"b": a_value_of(args[1]), "a": a_value_of(args[1])}
    if origin is Literal:
        return typing.get_args(hint)[0]
    if origin is not None:
        return a_value_of(typing.get_args(hint)[0])
    return {str: "text\u0085", int: 3, float: 1.5, bool: True, Any: {"k": ({"z": 1, "a": 2},)}}[hint]


def an_event_of(cls: type[Event], *, header: bool) -> Event:
    hints = typing.get_type_hints(cls)
    values = {name: a_value_of(hints[name]) for name in own_fields(cls)}
    if header:
        values |= {name: f"some {name}" for name in HEADER} | {"metadata": {"b": 1, "a": 2}}
        values |= {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01", "severity": "warning", "outcome": Outcome.DENIED}
    return cls(**values)
