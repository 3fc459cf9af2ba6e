"""What a field takes: the type that it is annotated with, as a check of frozen values.

A declared field holds a value of its type, live and read back. The check is made of the annotation, once for each
class, and is one for both ways: :mod:`._stamp` compiles it into the copying of an event, the codec into reading one.

* Text, numbers, booleans, tuples, mappings, ``Literal`` and unions of them are checked down to their parts. A value is
  **fitted** where that is no loss: a subclass becomes the class itself, a list a tuple, an enumeration its value, a
  number of numpy a number, a time, an id or a path its standard text.
* Text with lone surrogates stays text: they are written as backslash escapes.
* A number that JSON cannot hold, NaN or beyond 2^53, stays a number; the codec writes a marked substitute.
* A field of another class holds what the canonical form makes of such objects (:mod:`._canonical`), and takes that or
  a marked substitute.
* An annotation that does not say a type at run time is no check: ``Any``, a type variable, a name that was imported for
  type checkers alone. A default of None admits None.
* ``severity`` and ``outcome`` hold members of their enumerations, :class:`Severity` and :class:`Outcome`.
* ``traceparent`` has the form of W3C Trace Context: what is set from it has to be accepted by :mod:`hubwire.context`.
"""

from __future__ import annotations

import enum
import re
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Union

import attrs

from .._values import Value
from ._canonical import Freezer, is_mark, json_text
from ._event import HEADER, Event
from ._pairs import fields_of
from ._severity import Outcome, Severity
from ._types import (
    ANY,
    NONE,
    QUICK_NAMES as QUICK_TYPE_NAMES,
    Check,
    Misfit,
    check_of,
    is_mapping,
    members_of,
    numbers_in,
    plain,
    quick,
    rank,
    says_mapping,
    takes_mappings,
    was_taken,
    words,
)

__all__ = ("QUICK_NAMES", "TEXT", "TRACEPARENT", "FieldType", "Misfit", "types_of")

QUICK_NAMES: Mapping[str, Any] = {**QUICK_TYPE_NAMES, "Severity": Severity, "Outcome": Outcome}
"""What the expressions of :attr:`FieldType.quick` need besides."""

TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context, version-traceid-parentid-flags."""


@attrs.frozen(eq=False, repr=False)
class FieldType(Value):
    """The type of one field, compiled."""

    wanted: str
    """What it takes, in words."""
    takes_none: bool
    takes_mappings: bool
    """Whether it takes any mapping with text as keys."""
    takes_lists: bool
    """Whether it takes any list and tuple."""
    quick: str
    """An expression of ``value``, and its class ``kind``, that is true for values that are right as they are."""
    check: Check
    """Returns a frozen value as the field holds it, or raises :class:`Misfit`."""
    numbers: str
    """Where numbers are that JSON may not hold: ``""`` nowhere, ``value`` the value itself, ``parts`` inside it."""
    hint: Any

    def fit(self, freezer: Freezer, value: Any) -> Any:
        """Return a caller's value as the field holds it, frozen; raise :class:`Misfit`."""
        frozen = freezer.freeze(value)
        fitted = self.check(frozen)
        # What stands for an object is a dictionary, too, but the object was no mapping.
        if fitted is frozen and is_mark(frozen) and says_mapping(self.hint) and not is_mapping(value):
            raise Misfit
        return fitted

    def read(self, value: Any) -> Any:
        """Return a value that was read as the field holds it; raise :class:`Misfit`.

        What earlier versions took is taken: they looked at the outermost type alone, and took any marked substitute.
        """
        try:
            return self.check(value)
        except Misfit:
            if not was_taken(self.hint, value):
                raise
        return json_text(value) if is_mark(value) and str in members_of(self.hint) else value


class _TraceParent(FieldType):
    def read(self, value: Any) -> Any:
        """Return None for what is none: earlier versions took any text, and whose scope it is set in refuses it."""
        try:
            return self.check(value)
        except Misfit:
            return None if was_taken(self.hint, value) or type(value) is str else super().read(value)


class _Member(FieldType):
    """Of a field that holds a member of an enumeration whose members are text."""

    def read(self, value: Any) -> Any:
        """Return the member; text that is none as it is: earlier versions took any."""
        try:
            return self.check(value)
        except Misfit:
            return value if type(value) is str else super().read(value)


def types_of(cls: type[Event]) -> Mapping[str, FieldType]:
    """Return the types of the fields of a class that can be given, by their names."""
    fields = [field for field in fields_of(cls) if field.init and field.name not in HEADER]
    hints = _hints(cls, fields)
    return _header() | {field.name: _field_type(hints[field.name], field.default) for field in fields}


@cache
def _header() -> dict[str, FieldType]:
    fields = [field for field in fields_of(Event) if field.init]
    header = {name: _field_type(hint) for name, hint in _hints(Event, fields).items()}
    return header | {"traceparent": _TRACEPARENT, "severity": _member(Severity), "outcome": _member(Outcome)}


def _field_type(hint: Any, default: Any = attrs.NOTHING) -> FieldType:
    """Compile the type of a field with this annotation, resolved, and this default."""
    hint = plain(hint)
    if default is None and rank(hint) < ANY:
        hint = Union[hint, None]  # noqa: UP007 - the members may be classes that define no "|"
    members = members_of(hint)
    return FieldType(
        wanted=words(hint),
        takes_none=any(rank(member) in (NONE, ANY) for member in members),
        takes_mappings=takes_mappings(members),
        takes_lists=any(rank(member) == ANY for member in members),
        quick=" or ".join(filter(None, map(quick, members))) or "False",
        check=check_of(hint),
        numbers=numbers_in(members),
        hint=hint,
    )


def _hints(cls: type[Any], fields: Sequence[attrs.Attribute[Any]]) -> dict[str, Any]:
    """Return the resolved annotations of fields; ``Any`` for one that cannot be resolved at run time."""
    module = sys.modules.get(cls.__module__)
    names = vars(module) if module is not None else {}
    hints: dict[str, Any] = {}
    for field in fields:
        holder: Any = types.SimpleNamespace(__annotations__={field.name: field.type})
        try:
            hints[field.name] = typing.get_type_hints(holder, names, dict(vars(cls)))[field.name]
        except Exception:  # noqa: BLE001 - an annotation is an expression, and may raise any exception
            hints[field.name] = Any
    return hints


def _check_traceparent(value: Any) -> Any:
    if value is None or (type(value) is str and TRACEPARENT.fullmatch(value)):
        return value
    raise Misfit


TEXT = _field_type(str)

_TRACEPARENT = _TraceParent(
    wanted="a value of W3C Trace Context (00-<32 hex>-<16 hex>-<2 hex>) or None",
    takes_none=True,
    takes_mappings=False,
    takes_lists=False,
    quick="False",
    check=_check_traceparent,
    numbers="",
    hint=Union[str, None],  # noqa: UP007 - as the others
)


def _member(members: type[enum.StrEnum]) -> FieldType:
    by_text: dict[str, Any] = {str(each): each for each in members}

    def check(value: Any) -> Any:
        if value is None:
            return None
        member = by_text.get(value) if type(value) is str else None
        if member is None:
            raise Misfit
        return member

    return _Member(
        wanted=f"one of {', '.join(map(repr, by_text))}, or None",
        takes_none=True,
        takes_mappings=False,
        takes_lists=False,
        quick=f"kind is {members.__name__}",
        check=check,
        numbers="",
        hint=Union[str, None],  # noqa: UP007 - as the others
    )
