"""Annotations of fields: what they say in words, and as checks of frozen values. See :mod:`._fit` for their use."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import math
import os
import types
import typing
import uuid
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence, Set as AbstractSet
from functools import partial
from typing import Any, Literal, Union, get_args, get_origin

import attrs

from ._canonical import INT_MAX, FrozenDict, canonical, is_mark

__all__ = (
    "ANY",
    "NONE",
    "QUICK_NAMES",
    "Check",
    "Misfit",
    "check_of",
    "is_mapping",
    "members_of",
    "numbers_in",
    "plain",
    "quick",
    "rank",
    "says_mapping",
    "takes_mappings",
    "was_taken",
    "words",
)

Check = Callable[[Any], Any]

_SHORT = 256
"""Text up to this length is not weighed: a kind would need thousands of such fields to become too large."""


class Misfit(Exception):
    """A value does not fit its field. It never leaves the package: where the kind is known it becomes an error."""


# --- annotations ----------------------------------------------------------------------------------------------------

_TUPLES = (tuple, list, Sequence, MutableSequence)
_MAPPINGS = (Mapping, MutableMapping, dict, FrozenDict)
NONE, _SCALAR, _CONTAINER, _OTHER, ANY = range(5)
_UNIONS = (Union, types.UnionType)


def plain(hint: Any) -> Any:
    """Return an annotation without the names that were given to it: ``NewType``, ``type X = ...``."""
    while (inner := getattr(hint, "__supertype__", None) or getattr(hint, "__value__", None)) is not None:
        hint = inner
    return types.NoneType if hint is None else hint


def members_of(hint: Any) -> list[Any]:
    """Return the types of a union in the order in which they are tried: the narrow ones first."""
    hint = plain(hint)
    if get_origin(hint) not in _UNIONS:
        return [hint]
    inner = [each for member in get_args(hint) for each in members_of(member)]
    return sorted(inner, key=lambda member: (rank(member), member is float))


def rank(hint: Any) -> int:
    if hint is types.NoneType:
        return NONE
    origin = get_origin(hint) or hint
    if origin in _UNIONS:
        return max(map(rank, members_of(hint)))
    if origin is Literal or hint in _SCALARS:
        return _SCALAR
    if origin in _TUPLES or origin in _MAPPINGS:
        return _CONTAINER
    return _OTHER if _shape(hint) is not None else ANY


def says_mapping(hint: Any) -> bool:
    return any((get_origin(member) or member) in _MAPPINGS for member in members_of(hint))


def takes_mappings(members: Sequence[Any]) -> bool:
    """Tell whether a type takes any dictionary whose keys are text, as it is.

    One that takes text or numbers too would take some dictionaries for their marked substitutes.
    """
    if any(rank(member) == ANY for member in members):
        return True
    others = [member for member in members if member is not types.NoneType]
    if len(others) != 1 or (get_origin(others[0]) or others[0]) not in _MAPPINGS:
        return False
    args = get_args(others[0])
    return not args or (plain(args[0]) in (str, Any) and rank(args[1]) == ANY)


def is_mapping(value: Any) -> bool:
    try:
        return isinstance(value, Mapping)
    except Exception:  # noqa: BLE001 - an object may answer the question for its class with any exception
        return False


def numbers_in(members: Sequence[Any]) -> str:
    if any(map(_has_number, (part for member in members for part in get_args(member)))):
        return "parts"
    return "value" if any(map(_has_number, members)) else ""


def _has_number(hint: Any) -> bool:
    hint = plain(hint)
    if get_origin(hint) is Literal:
        return False
    return hint in (int, float) or any(map(_has_number, get_args(hint)))


# --- words and quick answers ----------------------------------------------------------------------------------------


def words(hint: Any) -> str:
    members = members_of(hint)
    if len(members) > 1:
        return " or ".join(words(member) for member in [*members[1:], *members[:1]])
    (hint,) = members
    origin, args = get_origin(hint) or hint, get_args(hint)
    if hint is types.NoneType:
        return "None"
    if hint in _SCALARS:
        return _SCALARS[hint][0]
    if origin is Literal:
        return f"one of {', '.join(map(repr, args))}"
    if origin in _MAPPINGS:
        inner = words(args[1]) if len(args) == 2 else _ANYTHING
        return "a mapping" if inner == _ANYTHING else f"a mapping whose values are {inner}"
    if origin in _TUPLES:
        inner = ", ".join(words(each) for each in args if each is not Ellipsis)
        return "a tuple or a list" if inner in ("", _ANYTHING) else f"a tuple or a list of {inner}"
    return f"of the class {origin.__qualname__}" if _shape(hint) is not None else _ANYTHING


_ANYTHING = "any value"

_QUICK_TEXT = f"kind is str and len(value) <= {_SHORT} and value.isascii()"
_QUICK_INT = f"kind is int and {-INT_MAX} <= value <= {INT_MAX}"
_QUICK_FLOAT = "kind is float and value - value == 0.0"
_QUICK = {
    str: _QUICK_TEXT,
    int: _QUICK_INT,
    float: f"{_QUICK_FLOAT} or {_QUICK_INT}",
    bool: "kind is bool",
}


def quick(hint: Any) -> str:
    if hint in _QUICK:
        return _QUICK[hint]
    origin, args = get_origin(hint) or hint, get_args(hint)
    if rank(hint) == ANY:
        return f"{_QUICK_TEXT} or kind is bool or {_QUICK_INT} or {_QUICK_FLOAT} or kind is tuple and not value"
    if origin is Literal and all(type(each) is str and each.isascii() for each in args):
        return f"kind is str and value in {args!r}"
    if origin is tuple and args == (str, Ellipsis):
        return "kind is tuple and (not value or are_texts(value))"
    if origin in _TUPLES and (origin is not tuple or not args or args[-1] is Ellipsis):
        return "kind is tuple and not value"
    if origin in _MAPPINGS and (not args or plain(args[0]) in (str, Any)):
        has_texts = " or are_sorted_texts(value)" if args and plain(args[1]) is str else ""
        return f"kind is FrozenDict and (not value{has_texts})"
    return ""


def _are_texts(value: tuple[Any, ...]) -> bool:
    if len(value) == 1:
        (text,) = value
        return type(text) is str and len(text) <= _SHORT and text.isascii()
    if len(value) > 64 or not _STR.issuperset(map(type, value)):
        return False
    together = "".join(value)
    return len(together) <= _SHORT and together.isascii()


def _are_sorted_texts(value: FrozenDict) -> bool:
    keys = tuple(value)
    return _are_texts(keys) and keys == tuple(sorted(keys)) and _are_texts(tuple(value.values()))


_STR = frozenset({str})
QUICK_NAMES: Mapping[str, Any] = {
    "are_texts": _are_texts,
    "are_sorted_texts": _are_sorted_texts,
    "FrozenDict": FrozenDict,
}
"""What the expressions of :func:`quick` need besides."""


# --- checks ---------------------------------------------------------------------------------------------------------


def check_of(hint: Any) -> Check:
    members = members_of(hint)
    if any(rank(member) == ANY for member in members):
        return _take
    if len(members) > 1:
        return partial(_check_union, tuple(map(check_of, members)))
    (hint,) = members
    origin, args = get_origin(hint) or hint, get_args(hint)
    if hint is types.NoneType:
        return _check_none
    if hint in _SCALARS:
        return _SCALARS[hint][1]
    if origin is Literal:
        return partial(_check_literal, tuple(map(canonical, args)))
    if origin in _MAPPINGS:
        return partial(_check_mapping, check_of(args[1]) if len(args) == 2 else _take)
    if origin in _TUPLES:
        if origin is tuple and args and args[-1] is not Ellipsis:
            return partial(_check_places, tuple(map(check_of, args)))
        return partial(_check_items, args[0] if args else None, check_of(args[0]) if args else _take)
    return partial(_check_other, _shape(hint))


def _take(value: Any) -> Any:
    return value


def _check_none(value: Any) -> Any:
    if value is not None:
        raise Misfit
    return value


def _check_text(value: Any) -> Any:
    if type(value) is str:
        return value
    return _marked(value, "$text")


def _check_bool(value: Any) -> Any:
    if type(value) is not bool:
        raise Misfit
    return value


def _check_int(value: Any) -> Any:
    if type(value) is int:
        return value
    text = _marked(value, "$int")
    try:
        return int(text, 16 if "x" in text else 10)
    except ValueError:
        raise Misfit from None


def _check_float(value: Any) -> Any:
    if type(value) is float:
        return value
    if type(value) is int:
        return value
    if is_mark(value) and "$int" in value:
        whole = _check_int(value)
        try:
            number = float(whole)
        except OverflowError:
            raise Misfit from None
        if number != whole:
            raise Misfit
        return number
    try:
        return _SPECIAL[_marked(value, "$float")]
    except KeyError:
        raise Misfit from None


_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
"""One object for each, so that two events with a NaN are equal."""

_SCALARS: dict[Any, tuple[str, Check]] = {
    str: ("text", _check_text),
    bool: ("True or False", _check_bool),
    int: ("a whole number", _check_int),
    float: ("a number", _check_float),
}


def _marked(value: Any, name: str) -> str:
    """Return the text of a marked substitute that stands for a value of the type; it is no other one."""
    if type(value) is FrozenDict and len(value) == 1 and type(text := value.get(name)) is str:
        return text
    raise Misfit


def _check_union(checks: Sequence[Check], value: Any) -> Any:
    for check in checks:
        try:
            return check(value)
        except Misfit:
            continue
    raise Misfit


def _check_literal(values: Sequence[Any], value: Any) -> Any:
    for each in values:
        if type(each) is type(value) and each == value:
            return each
    raise Misfit


def _check_mapping(check: Check, value: Any) -> Any:
    if type(value) is not FrozenDict:
        raise Misfit
    if check is _take or is_mark(value):
        return value
    return FrozenDict({key: check(item) for key, item in value.items()})


def _check_items(hint: Any, check: Check, value: Any) -> Any:
    if type(value) is not tuple:
        raise Misfit
    if check is _take or {hint}.issuperset(map(type, value)):
        return value
    return tuple(map(check, value))


def _check_places(checks: Sequence[Check], value: Any) -> Any:
    if type(value) is not tuple or len(value) != len(checks):
        raise Misfit
    return tuple(check(item) for check, item in zip(checks, value, strict=True))


def _check_other(shape: Check | None, value: Any) -> Any:
    if shape is not None and not is_mark(value) and not shape(value):
        raise Misfit
    return value


# --- other classes ----------------------------------------------------------------------------------------------------

_TEXTS = (dt.date, dt.time, uuid.UUID, os.PathLike)
_MARKS = (bytes, bytearray, memoryview, decimal.Decimal, AbstractSet)


def _shape(hint: Any) -> Check | None:
    """Return what tells whether a frozen value may come from an object of a class; None where any value may."""
    cls = get_origin(hint) or hint
    if not isinstance(cls, type):
        return None
    if typing.is_typeddict(cls) or attrs.has(cls) or dataclasses.is_dataclass(cls) or hasattr(cls, "model_fields"):
        return lambda value: type(value) is FrozenDict
    if issubclass(cls, enum.Flag):
        return lambda value: type(value) is int
    if issubclass(cls, enum.Enum):
        values = [canonical(member.value) for member in cls]
        return lambda value: any(type(each) is type(value) and each == value for each in values)
    if issubclass(cls, _TEXTS):
        return lambda value: type(value) is str
    if issubclass(cls, _MARKS):
        return lambda _: False
    return None


def was_taken(hint: Any, value: Any) -> bool:
    """Tell whether versions before the check of parts read such a value as one of this type."""
    for member in members_of(hint):
        origin, place = get_origin(member) or member, rank(member)
        if place >= _OTHER:
            return True
        if place == _CONTAINER and type(value) is (FrozenDict if origin in _MAPPINGS else tuple):
            return True
        if place != NONE and origin is not Literal and is_mark(value):
            return True
    return False
