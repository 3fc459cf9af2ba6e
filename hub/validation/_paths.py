"""Paths: where in an event a value is, ``source`` or ``data.items.0.price``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from .._foreign.arguments import Call
from ..events import Event, FrozenDict
from ..events._event import HEADER

__all__ = ("MISSING", "Path", "path_of")

MISSING: Any = object()
"""What is at a path that leads nowhere."""

Field = Callable[[str], Any]
"""Returns the value of a field of an event, frozen, and :data:`MISSING` for one that it does not have."""

_CHARS_MAX = 500

_BY_THE_HUB = frozenset({"seq", "id", "at", "hub", "depth"})
_NO_FIELDS = frozenset(name for name in dir(Event) if name not in HEADER) | {"kind"}


@attrs.frozen
class Path:
    """A field, and the keys and places in it that lead to a value."""

    text: str
    field: str
    keys: tuple[str, ...]

    def value(self, field: Field) -> Any:
        """Return what is there, or :data:`MISSING`."""
        value = field(self.field)
        for key in self.keys:
            if type(value) is FrozenDict:
                value = value.get(key, MISSING)
            elif type(value) is tuple and key.isdecimal() and int(key[:9]) < len(value):
                value = value[int(key[:9])]
            else:
                return MISSING
        return value


def path_of(call: Call, argument: str, value: object) -> Path:
    """Return a path of a rule; refuse one that can lead to no field of an event that a caller sets."""
    text = call.text(argument, value, wanted="the name of a field, or a path as 'data.amount'", is_empty_ok=False)
    first, *keys = text.split(".")
    if len(text) > _CHARS_MAX or not all((first, *keys)) or not first.isidentifier():
        raise call.refusal(
            argument, text, f"the name of a field, or a path as 'data.amount', of at most {_CHARS_MAX} characters"
        )
    if first in _BY_THE_HUB:
        raise call.refusal(argument, text, "the name of a field that callers set", "the hub sets this one")
    if first in _NO_FIELDS or first.startswith("_"):
        raise call.refusal(argument, text, "the name of a field", "events have this, but it is no field")
    return Path(text, first, tuple(keys))
