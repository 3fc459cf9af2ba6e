"""Stamping: the copy of an event that the hub commits, numbered, dated and frozen.

It is the hottest path of the hub, so the copying of each class is compiled: see :mod:`._pairs` for the classes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import attrs

from .._values import Value
from ..errors import EventInvalid, EventTooLarge
from ._canonical import Freezer, PayloadTooLarge
from ._event import HEADER, OWN_DOMAINS, Event, GenericEvent
from ._fit import QUICK_NAMES, TEXT, FieldType, Misfit, types_of
from ._plain import freeze_plain
from ._shown import shown

__all__ = ("EMPTY", "Context", "stamp")

_STAMPED = ("seq", "id", "at", "hub", "depth")
_INHERITED = ("tenant", "correlation_id", "traceparent", "causation_id")
_PLACE = ("agent_id", "session_id", "turn_id", "channel_id", "task_id")
_PLACE_OF_COMMANDS = ("session_id", "turn_id")
"""The other three are what a command is about, or not: where it leaves one out, that has a meaning."""

_stampers: dict[type[Event], Callable[..., Event]] = {}
_placing: dict[type[Event], Callable[..., Event]] = {}
"""Of contexts that name a place: few do, and looking for it takes time."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Context(Value):
    """What an event inherits from the code that emits it: see :mod:`hubwire.context`."""

    tenant: str | None = None
    correlation_id: str | None = None
    traceparent: str | None = None
    causation_id: str | None = None
    depth: int = 0
    agent_id: str | None = None
    session_id: str | None = None
    turn_id: str | None = None
    channel_id: str | None = None
    task_id: str | None = None
    is_placed: bool = attrs.field(init=False, repr=False, eq=False)
    """Whether it has one of the last five: what happens is about it, unless it says otherwise."""

    @is_placed.default
    def _has_place(self) -> bool:
        return any(getattr(self, name) is not None for name in _PLACE)


EMPTY = Context()


def stamp(event: Event, seq: int, id: str, at: str, hub: str, context: Context, bytes_max: int) -> Event:  # noqa: A002
    """Return a stamped copy: numbered, dated, in its context, its payload canonical and frozen.

    Each field holds a value of its type then: see :mod:`._fit`. Raises :class:`~hubwire.errors.EventInvalid` if one
    cannot, and :class:`~hubwire.errors.EventTooLarge` if its JSON would certainly be longer than ``bytes_max``;
    otherwise ``_weight`` says whether it could be.
    """
    cls = type(event)
    stampers = _placing if context.is_placed else _stampers
    try:
        stamper = stampers[cls]
    except KeyError:
        stamper = stampers[cls] = _compile_stamper(cls, (*_INHERITED, *(_place_of(cls) if context.is_placed else ())))
    try:
        return stamper(event, seq, id, at, hub, context, bytes_max)
    except PayloadTooLarge as error:
        raise EventTooLarge(
            f"event {event.kind!r} has more than {bytes_max} bytes of payload; store it elsewhere and emit a reference",
            kind=event.kind,
            size_bytes=error.size_bytes,
            limit_bytes=bytes_max,
        ) from None


def _place_of(cls: type[Event]) -> tuple[str, ...]:
    """Return the fields that events of this class take from a place that they do not name themselves."""
    if cls is not GenericEvent and cls.kind.partition(".")[0] in OWN_DOMAINS:
        return ()
    return _PLACE if cls.command is None else _PLACE_OF_COMMANDS


def _compile_stamper(cls: type[Event], inherited: Collection[str]) -> Callable[..., Event]:
    """Compile the copying of one class: a loop over names and ``getattr`` would take three times as long."""
    namespace: dict[str, Any] = {
        **QUICK_NAMES,
        "new": object.__new__,
        "open_class": cls.__mro__[1],
        "frozen_class": cls,
        "Freezer": Freezer,
        "fit": _fit,
        "TEXT": TEXT,
        "freeze_plain": freeze_plain,
    }
    lines = [
        "def stamp(event, seq, id, at, hub, context, bytes_max):",
        "    copy = new(open_class)",
        "    copy.seq = seq; copy.id = id; copy.at = at; copy.hub = hub; copy.depth = context.depth; copy._body = None",
        "    freezer = None; weight = 0",
    ]
    for name, type_ in types_of(cls).items():
        if name in _STAMPED:
            continue
        namespace[f"type_{name}"] = type_
        check = _check_lines(name, type_, f"type_{name}")
        lines.append(f"    value = event.{name}")
        if name in inherited:
            taken = _check_lines(name, TEXT, "TEXT")
            lines += ["    if value is None:", f"        value = context.{name}", *_indented(taken, optional=True)]
            lines += ["    else:", *_indented(check)]
        else:
            lines += _indented(check, optional=type_.takes_none, depth=0)
        lines.append(f"    copy.{name} = value")
    lines += [
        "    copy._weight = weight + freezer.weight if freezer else weight",
        "    copy.__class__ = frozen_class",
        "    return copy",
    ]
    exec("\n".join(lines), namespace)  # noqa: S102 - the names in it are those of declared fields
    stamper: Callable[..., Event] = namespace["stamp"]
    return stamper


def _check_lines(name: str, type_: FieldType, type_name: str) -> list[str]:
    fit = ["freezer = freezer or Freezer(bytes_max)", f"value = fit(event, {name!r}, {type_name}, freezer, value)"]
    if type_.takes_mappings:
        lists = " or kind is list or kind is tuple" if type_.takes_lists else ""
        fit = [
            f"plain = freeze_plain(value) if kind is dict or kind is FrozenDict{lists} else None",
            "if plain is None:",
            *(f"    {line}" for line in fit),
            "else:",
            "    value = plain[0]; weight += plain[1]",
        ]
    return ["    kind = type(value)", f"    if not ({type_.quick}):", *(f"        {line}" for line in fit)]


def _indented(lines: list[str], *, optional: bool = False, depth: int = 1) -> list[str]:
    if optional:
        lines = ["    if value is not None:", *(f"    {line}" for line in lines)]
    return ["    " * depth + line for line in lines]


def _fit(event: Event, name: str, type_: FieldType, freezer: Freezer, value: Any) -> Any:
    """Return the value as the field holds it, or refuse the event."""
    try:
        return type_.fit(freezer, value)
    except Misfit:
        raise EventInvalid(
            f"event {event.kind!r} is refused: its field {name!r} takes {type_.wanted}, and was given {shown(value)};"
            f" give it such a value{'' if name in HEADER else ', or declare the field with another type'}",
            kind=event.kind,
            field=name,
        ) from None
