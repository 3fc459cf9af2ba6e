"""Arguments that are approved: only those that can be made canonical, so that approvers see all that they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Set as AbstractSet
from enum import Enum
from typing import Any

import attrs

from .._foreign.arguments import Call
from ..events import canonical
from ..events._shown import shown

__all__ = ("exact",)

_LOSSY = frozenset({"$object", "$cycle", "$depth"})
"""Substitutes that do not say all of what they stand for."""

_ADVICE = "pass plain values: numbers, text, lists, mappings, dates, or classes of public fields alone"


def exact(call: Call, argument: str, value: Any) -> Any:
    """Return arguments in their canonical form, or refuse them, because more is in them than that shows."""
    frozen = canonical(value)
    mark = _lossy(frozen)
    if mark is not None:
        what = f"an object of class {mark['$object']}" if "$object" in mark else "a value inside itself, or too deep"
    elif (hidden := _hidden(value, set())) is not None:
        what = f"{shown(hidden)}, which has more in it than its public fields"
    else:
        return frozen
    raise call.error(f"{call.name}: an approver could not see all of {argument}: in it is {what}; {_ADVICE}")


def _lossy(frozen: Any) -> Any:
    if isinstance(frozen, Mapping):
        if not _LOSSY.isdisjoint(frozen):
            return frozen
        frozen = tuple(frozen.values())
    if isinstance(frozen, tuple):
        for each in frozen:
            if (found := _lossy(each)) is not None:
                return found
    return None


def _hidden(value: Any, seen: set[int]) -> Any:
    """Return a part with fields that its canonical form does not show. The form was made, so it is finite."""
    if id(value) in seen or value is None or isinstance(value, Enum | type):
        return None
    seen.add(id(value))
    shown = _public_fields(type(value))
    if shown is not None:
        if not set(_state_of(value)) <= set(shown):
            return value
        parts: Iterable[Any] = [getattr(value, name) for name in shown]
    elif isinstance(value, (str, int, float, bytes, Mapping, list, tuple, AbstractSet)):
        if _state_of(value) and type(value).__module__ != "collections":
            return value
        parts = _parts_of(value)
    else:
        return None
    for part in parts:
        if (found := _hidden(part, seen)) is not None:
            return found
    return None


def _parts_of(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return [part for pair in value.items() for part in pair]
    return value if isinstance(value, (list, tuple, AbstractSet)) else ()


def _public_fields(kind: type[Any]) -> list[str] | None:
    if attrs.has(kind):
        names = [field.name for field in attrs.fields(kind)]
    elif dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
    elif isinstance(models := getattr(kind, "model_fields", None), dict):
        names = list(models)
    else:
        return None
    return [name for name in names if not name.startswith("_")]


def _state_of(value: Any) -> list[str]:
    """Return the names of all that an object holds, in its dictionary and in slots."""
    slots = [
        name
        for kind in type(value).__mro__
        for name in _listed(kind.__dict__.get("__slots__", ()))
        if name not in ("__weakref__", "__dict__", "__pydantic_fields_set__", "__pydantic_extra__")
    ]
    held = [name for name in slots if getattr(value, name, None) is not None]
    return [*vars(value), *held] if hasattr(value, "__dict__") else held


def _listed(slots: Any) -> Iterable[str]:
    return (slots,) if isinstance(slots, str) else slots
