"""Stamping: the copy of an event that the hub commits, numbered, dated and frozen.

It is the hottest path of the hub, so the copying of each class is compiled: see :mod:`._pairs` for the classes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import attrs

from .._values import Value
from ..errors import EventInvalid, EventTooLarge, Fault
from ._canonical import Freezer, PayloadTooLarge
from ._event import HEADER, OWN_DOMAINS, Event, GenericEvent
from ._fit import QUICK_NAMES, TEXT, FieldType, Misfit, types_of
from ._making import given_to
from ._pairs import fields_of, set_class
from ._plain import freeze_plain
from ._shown import FAULTS_MAX, said, shown

__all__ = ("EMPTY", "Context", "stamp", "stamp_own")

_STAMPED = ("seq", "id", "at", "hub", "depth")
_INHERITED = ("tenant", "correlation_id", "traceparent", "causation_id")
_PLACE = ("agent_id", "session_id", "turn_id", "channel_id", "task_id")
_PLACE_OF_COMMANDS = ("session_id", "turn_id")
"""The other three are what a command is about, or not: where it leaves one out, that has a meaning."""

_stampers: dict[type[Event], Callable[..., Event]] = {}
_placing: dict[type[Event], Callable[..., Event]] = {}
"""Of contexts that name a place: few do, and looking for it takes time."""
_in_place: dict[type[Event] | int, Callable[..., Event]] = {}
_placing_in_place: dict[type[Event] | int, Callable[..., Event]] = {}
"""By class; for an event of a maker by its number, which stands in the place of the weight: see :mod:`._making`."""


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
        stamper = stampers[cls] = _compile_stamper(cls, _inherited(cls, context))
    try:
        return stamper(event, seq, id, at, hub, context, bytes_max)
    except PayloadTooLarge as error:
        raise _too_large(event, error, bytes_max) from None
    except AttributeError:
        for field in fields_of(cls):
            if not hasattr(event, field.name):
                raise _unmade(event, field.name) from None
        raise


def _unmade(event: Event, name: str) -> EventInvalid:
    kind, made_by = str(getattr(event, "kind", "")), type(event).__name__
    return EventInvalid(
        f"the {made_by} is refused: it has no {name}, because it was not made by calling {made_by}(...); make it so",
        kind=kind,
        field=name,
        faults=(Fault(path=name, wanted="a value", given="nothing"),),
    )


def stamp_own(event: Event, seq: int, id: str, at: str, hub: str, context: Context, bytes_max: int) -> Event:  # noqa: A002
    """Stamp the event itself, as :func:`stamp` does a copy: one that was made for this, and that no other code has."""
    cls = type(event)
    stampers = _placing_in_place if context.is_placed else _in_place
    number = event._weight  # noqa: SLF001 - it has none yet
    key = number if number < 0 else cls
    try:
        stamper = stampers[key]
    except KeyError:
        stamper = stampers[key] = _compile_stamper_in_place(cls, _inherited(cls, context), number)
    try:
        return stamper(event, seq, id, at, hub, context, bytes_max)
    except BaseException as error:
        event.__class__ = cls
        if isinstance(error, PayloadTooLarge):
            raise _too_large(event, error, bytes_max) from None
        raise


def _too_large(event: Event, error: PayloadTooLarge, bytes_max: int) -> EventTooLarge:
    return EventTooLarge(
        f"event {event.kind!r} has more than {bytes_max} bytes of payload; store it elsewhere and emit a reference",
        kind=event.kind,
        size_bytes=error.size_bytes,
        limit_bytes=bytes_max,
    )


def _inherited(cls: type[Event], context: Context) -> tuple[str, ...]:
    """Return the fields that events of this class take from such a context."""
    return (*_INHERITED, *(_place_of(cls) if context.is_placed else ()))


def _place_of(cls: type[Event]) -> tuple[str, ...]:
    """Return the fields that events of this class take from a place that they do not name themselves."""
    if cls is not GenericEvent and cls.kind.partition(".")[0] in OWN_DOMAINS:
        return ()
    return _PLACE if cls.command is None else _PLACE_OF_COMMANDS


def _compile_stamper(cls: type[Event], inherited: Collection[str]) -> Callable[..., Event]:
    """Compile the copying of one class: a loop over names and ``getattr`` would take three times as long."""
    types = {name: type_ for name, type_ in types_of(cls).items() if name not in _STAMPED}
    lines = [
        "    copy = new(open_class)",
        "    copy.seq = seq; copy.id = id; copy.at = at; copy.hub = hub; copy.depth = context.depth; copy._body = None",
        "    freezer = None; weight = 0",
    ]
    for name, type_ in types.items():
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
    return _compiled(cls, types, lines)


def _compile_stamper_in_place(cls: type[Event], inherited: Collection[str], number: int) -> Callable[..., Event]:
    """Compile the stamping of the event itself: what is right is only looked at, and most fields are None.

    ``number``: of the maker of these events, if it is negative; fields that it is not given have their defaults.
    """
    types = {name: type_ for name, type_ in types_of(cls).items() if name not in _STAMPED}
    # What is right whenever it is given: most fields keep their defaults.
    defaults = {
        field.name: field.default for field in fields_of(cls) if type(field.default) in (bool, int, float, str, tuple)
    }
    defaults = {name: value for name, value in defaults.items() if name in types and _is_right(types[name], value)}
    lines = [
        "    set_class(event, open_class)",
        "    event.seq = seq; event.id = id; event.at = at; event.hub = hub; event.depth = context.depth",
        "    event._body = None; freezer = None; weight = 0",
    ]
    looked_at: Collection[str] = types.keys()
    if number < 0:
        given, known = given_to(number)
        empty = {field.name for field in fields_of(cls) if field.default is None}  # which each of these may be
        looked_at = types.keys() - known - ((empty | defaults.keys()) - given)
    for name, type_ in types.items():
        if name not in looked_at:
            continue
        check = _check_lines(name, type_, f"type_{name}", stored=f"event.{name} = value")
        is_default = "None" if type_.takes_none else f"default_{name}" if name in defaults else ""
        if is_default:
            lines += [f"    if (value := event.{name}) is not {is_default}:", *_indented(check)]
        else:
            lines += [f"    value = event.{name}", *check]
    lines.append("    if context is not EMPTY:")
    for name in inherited:
        taken = _check_lines(name, TEXT, "TEXT")
        lines += [
            f"        if event.{name} is None and context.{name} is not None:",
            f"            value = context.{name}",
            *_indented(taken, depth=2),
            f"            event.{name} = value",
        ]
    lines += [
        "    event._weight = weight + freezer.weight if freezer else weight",
        "    event.__class__ = frozen_class",
        "    return event",
    ]
    return _compiled(cls, types, lines, defaults)


def _is_right(type_: FieldType, value: Any) -> bool:
    """Tell whether a field holds this value as it is, and it weighs nothing."""
    return bool(eval(type_.quick, {**QUICK_NAMES, "value": value, "kind": type(value)}))  # noqa: S307 - an expression of ours


def _compiled(
    cls: type[Event], types: Mapping[str, FieldType], lines: list[str], defaults: Mapping[str, object] | None = None
) -> Callable[..., Event]:
    namespace: dict[str, Any] = {
        **QUICK_NAMES,
        **{f"default_{name}": value for name, value in (defaults or {}).items()},
        **{f"type_{name}": type_ for name, type_ in types.items()},
        "new": object.__new__,
        "set_class": set_class,
        "open_class": cls.__mro__[1],
        "frozen_class": cls,
        "Freezer": Freezer,
        "fit": partial(_fit, types),
        "TEXT": TEXT,
        "EMPTY": EMPTY,
        "freeze_plain": freeze_plain,
    }
    lines = ["def stamp(event, seq, id, at, hub, context, bytes_max):", *lines]
    exec("\n".join(lines), namespace)  # noqa: S102 - the names in it are those of declared fields
    stamper: Callable[..., Event] = namespace["stamp"]
    return stamper


def _check_lines(name: str, type_: FieldType, type_name: str, *, stored: str = "") -> list[str]:
    """Return the lines that check ``value``, and fit it where it is not right, and do ``stored`` with it then."""
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
    fit += [stored] if stored else []
    return ["    kind = type(value)", f"    if not ({type_.quick}):", *(f"        {line}" for line in fit)]


def _indented(lines: list[str], *, optional: bool = False, depth: int = 1) -> list[str]:
    if optional:
        lines = ["    if value is not None:", *(f"    {line}" for line in lines)]
    return ["    " * depth + line for line in lines]


def _fit(
    types: Mapping[str, FieldType], event: Event, name: str, type_: FieldType, freezer: Freezer, value: Any
) -> Any:
    """Return the value as the field holds it, or refuse the event."""
    try:
        return type_.fit(freezer, value)
    except Misfit:
        raise _refusal(types, event, Fault(path=name, wanted=type_.wanted, given=shown(value)), freezer) from None


def _refusal(types: Mapping[str, FieldType], event: Event, first: Fault, freezer: Freezer) -> EventInvalid:
    """Return the error for an event with a field that does not fit; it names all others that do not."""
    others = [
        Fault(path=name, wanted=type_.wanted, given=shown(value))
        for name, type_ in types.items()
        if name != first.path and not _fits(type_, freezer, value := getattr(event, name))
    ]
    faults = (first, *others)[:FAULTS_MAX]
    declared = "" if first.path in HEADER else ", or declare the field with another type"
    return EventInvalid(
        f"event {event.kind!r} is refused: its field {first.path!r} takes {first.wanted}, and was given {first.given};"
        f" give it such a value{declared}{''.join(f'; {each}' for each in said(others))}",
        kind=event.kind,
        field=first.path,
        faults=faults,
    )


def _fits(type_: FieldType, freezer: Freezer, value: Any) -> bool:
    if value is None and type_.takes_none:
        return True
    try:
        type_.fit(freezer, value)
    except Misfit:
        return False
    except PayloadTooLarge:
        return True  # too much was looked at already: the event is refused all the same
    return True
