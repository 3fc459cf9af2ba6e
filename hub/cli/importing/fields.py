"""The keys of an object: those that a format maps are taken out of it, so that the rest can be kept."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable
from typing import Any

from .decoding import NotJson, parse_json

__all__ = ("Fields", "Wrong", "as_object", "as_text", "clean", "is_clean", "is_one_of", "named")


class Wrong(Exception):
    """The reason why an item is refused, without its place. It never leaves the package."""


class Fields:
    """An object of the input. What was taken is mapped; what is left has to be kept."""

    def __init__(self, value: Any, what: str = "") -> None:
        if not isinstance(value, dict):
            raise Wrong(f"{what or 'is'} {named(value)}, not an object")
        self.left: dict[str, Any] = dict(value)

    def __contains__(self, key: str) -> bool:
        return key in self.left

    def peek(self, *keys: str) -> Any:
        """Return the first value that is there and not null, and leave it."""
        return next((self.left[key] for key in keys if self.left.get(key) is not None), None)

    def take(self, *keys: str) -> Any:
        """Take out the first of these keys that is there; return its value, None if none is."""
        for key in keys:
            if key in self.left:
                return self.left.pop(key)
        return None

    def text(self, *keys: str) -> str:
        """Take out a text that is not empty and that an event can hold. Raises :class:`Wrong`."""
        key = next((key for key in keys if key in self.left), keys[0])
        value = self.take(key)
        if value == "":
            raise Wrong(f"has an empty {key!r}")
        if not isinstance(value, str):
            raise Wrong(f"has {named(value)} as its {key!r}, which must be text")
        return clean(value, key)

    def items(self, key: str) -> list[Any]:
        """Take out a list; none, where the key is missing or null. Raises :class:`Wrong`."""
        value = self.take(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise Wrong(f"has {named(value)} as its {key}, which must be a list")
        return value

    def drop_if(self, key: str, values: Iterable[Any]) -> None:
        """Leave out a key whose value says no more than the event does: the type of a block, for example."""
        if key in self.left and self.left[key] in values:
            del self.left[key]


def clean(value: str, key: str) -> str:
    """Return a text that a field of an event can hold. Raises :class:`Wrong`."""
    if not is_clean(value):
        raise Wrong(f"has half a character in its {key!r}")
    return value


def is_clean(value: str) -> bool:
    """Tell whether UTF-8 can hold a text, so that every field of an event can."""
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def as_object(value: Any) -> Any:
    """Return the object that a text holds as JSON; models also write text that is not JSON: that stays as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return value
    try:
        return parse_json(value)
    except NotJson:
        return value


def is_one_of(value: Any, names: Container[Any]) -> bool:
    """Tell whether a value is one of these texts; it may be of a kind that no set can look up."""
    return isinstance(value, str) and value in names


def as_text(value: Any) -> str:
    """Return a value as text: as it is, or as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def named(value: Any) -> str:
    """Say what kind of JSON value it is."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "no value"}
    return names.get(type(value), "a number")
