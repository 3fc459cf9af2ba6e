"""What a board takes out of events: their fields, whatever class they are of, as values of a known type and size."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

import msgspec

from ..events import Event, FrozenDict, GenericEvent, UnknownEvent
from ..events._preview import preview

__all__ = (
    "NAME_MAX",
    "TEXT_MAX",
    "Loose",
    "Misfit",
    "gist",
    "identifier",
    "names",
    "number",
    "optional",
    "place_of",
    "readable",
    "short",
    "text_or",
    "time_of",
    "whole",
    "words",
)

ID_MAX = 512
NAME_MAX = 255
TEXT_MAX = 200
_NAMES_MAX = 10_000
"""How many ids of one event are looked at."""
_UTC = dt.UTC


class Misfit(Exception):
    """A field of an event has not the type that its kind says."""


class Loose:
    """An event without a declared class, read like one that has it: what it has no field for is None."""

    __slots__ = ("_event", "_fields")

    def __init__(self, event: GenericEvent | UnknownEvent) -> None:
        self._event = event
        self._fields: Mapping[str, Any] = event.data if type(event) is GenericEvent else event.fields  # type: ignore[union-attr]

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._event, name, None)
        if value is None and isinstance(self._fields, dict):
            value = self._fields.get(name)
        return value


def readable(event: Event) -> Any:
    """Return what the fields of an event's kind are read from."""
    return Loose(event) if type(event) is UnknownEvent or type(event) is GenericEvent else event


def identifier(value: Any) -> str:
    """Return an id. Raises :class:`Misfit` for what cannot be one."""
    if type(value) is str and 0 < len(value) <= ID_MAX:
        return value
    raise Misfit


def optional(value: Any) -> str | None:
    """Return an id, or None for None and for what is empty."""
    return identifier(value) if value is not None and value != "" else None


def place_of(event: Any) -> tuple[str | None, str | None, str | None, str | None]:
    """Return the ids of the agent, turn, channel and task that an event is about, each None where it names none."""
    found = event.agent_id, event.turn_id, event.channel_id, event.task_id
    for each in found:
        if each is not None and (type(each) is not str or not 0 < len(each) <= ID_MAX):
            return optional(found[0]), optional(found[1]), optional(found[2]), optional(found[3])
    return found


def words(value: Any, most: int = NAME_MAX) -> str:
    """Return text, cut to so many characters; empty for None. Raises :class:`Misfit` for what is no text."""
    if type(value) is str:
        return value if len(value) <= most else f"{value[: most - 1]}…"
    if value is None:
        return ""
    if isinstance(value, str):  # a severity, an outcome
        return short(str.__str__(value), most)
    raise Misfit


def text_or(value: Any, other: str = "", most: int = NAME_MAX) -> str:
    """Return text, cut to so many characters; the other one for what is no text, or empty."""
    return (value if len(value) <= most else f"{value[: most - 1]}…") if type(value) is str and value else other


def short(text: str, most: int = TEXT_MAX) -> str:
    """Cut text to so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def names(value: Any, most: int = _NAMES_MAX) -> list[str]:
    """Return a list of ids, the first ones; none for None. Raises :class:`Misfit` for what is no such list."""
    if value is None:
        return []
    if type(value) is not tuple and type(value) is not list:
        raise Misfit
    if len(value) > most:
        value = value[:most]
    for each in value:
        if type(each) is not str or len(each) > ID_MAX:
            raise Misfit
    return list(value)


def number(value: Any) -> float | None:
    """Return a number that is finite and not negative; None for all else: it was not measured."""
    if type(value) is float or type(value) is int:
        return float(value) if 0 <= value < 1e18 and math.isfinite(value) else None
    return None


def whole(value: Any, other: int = 0) -> int:
    """Return a whole number that is not negative; the other one for all else."""
    return value if type(value) is int and 0 <= value < 2**53 else other


def gist(content: Any) -> str:
    """Return the beginning of a payload: its text where it has one, else as JSON."""
    kind = type(content)
    if kind is str:
        return short(content)
    if kind is FrozenDict or kind is dict:
        said = content.get("text")
        if type(said) is str and said:
            return short(said)
    if _is_small(content, 3):
        try:
            return short(_json.encode(content).decode())
        except (TypeError, ValueError, OverflowError):  # a number that JSON has no place for, half a character
            pass
    return short(preview(content), TEXT_MAX)


_json = msgspec.json.Encoder()
_PLAIN = frozenset({int, float, bool, type(None)})
_CONTAINERS = frozenset({list, tuple})


def _is_small(value: Any, depth: int) -> bool:
    """Tell whether all of a payload may be written, to show its beginning: larger ones are walked step by step."""
    kind = type(value)
    if kind is str:
        return len(value) <= 1000
    if kind in _PLAIN:
        return True
    if not depth:
        return False
    if kind is FrozenDict or kind is dict:
        return len(value) <= 16 and all(_is_small(each, depth - 1) for each in value.values())
    return kind in _CONTAINERS and len(value) <= 16 and all(_is_small(each, depth - 1) for each in value)


def time_of(at: Any) -> float | None:
    """Return a time as events have it, in seconds since 1970; None for what is none."""
    if type(at) is not str or not 10 <= len(at) <= 40:
        return None
    try:
        moment = dt.datetime.fromisoformat(at)
        return (moment if moment.tzinfo else moment.replace(tzinfo=_UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
