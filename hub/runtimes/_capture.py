"""What is kept of the objects that a runtime hands over: plain JSON values, cut to a bound.

It is made inside the runtime's own call, so it is bounded in time as well: no more of a value is looked at than is
kept, and of objects, only the fields of those that are made of fields. A stranger's ``__str__`` is not called: it may
take a second, or move a tensor. Whatever an object does when it is looked at, no exception comes out.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import hashlib
import pathlib
import uuid
from collections.abc import Mapping
from itertools import islice
from typing import Any

__all__ = (
    "CUT",
    "KEY_CHARS_MAX",
    "captured",
    "error_message",
    "error_type",
    "is_made_of_fields",
    "key_text",
    "short_text",
    "size_of",
)

CUT = "…"
"""Ends a text of which the rest was left out, and is the key and the item that stand for others."""

_DEPTH_MAX = 12
_ERROR_CHARS_MAX = 1000
_NAME_CHARS_MAX = 200
KEY_CHARS_MAX = 200
_INT_BITS_MAX = 128
_WRITTEN = (dt.date, dt.time, dt.timedelta, decimal.Decimal, pathlib.PurePath, uuid.UUID)
"""Of the standard library: what their text is, is known, and is short."""


def captured(value: Any, chars_max: int) -> Any:
    """Return a plain copy of a value, with at most about so many characters of text in it."""
    if type(value) is str and len(value) <= chars_max and value.isascii():
        return value
    try:
        return _Copy(chars_max).of(value, 0)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a value of a stranger's class may do anything when it is looked at
        return f"({_class_name(value)}, which raised {_class_name(error)} when it was looked at)"


def short_text(value: object, chars_max: int = _NAME_CHARS_MAX, *, default: str = "") -> str:
    """Return a name or an id of a runtime as plain text; ``default`` for what is empty, or no text."""
    if type(value) is str and 0 < len(value) <= chars_max and value.isascii():
        return value
    if type(value) is str:
        text = value
    elif isinstance(value, str):
        text = str.__str__(value)
    elif isinstance(value, int | uuid.UUID) and not isinstance(value, bool):
        text = str(value)
    else:
        return default
    return _cut(text, chars_max) or default


def key_text(key: object) -> str:
    """Return a key as text: whole, or so that long ones that differ anywhere still differ. Raise for what is none."""
    if type(key) is str and 0 < len(key) < KEY_CHARS_MAX and key.isascii():
        return key
    text = short_text(key, KEY_CHARS_MAX)
    if not text:
        raise TypeError(f"a key is a text or a number that is unique for what it names, not {_class_name(key)}")
    if text.endswith(CUT) and len(text) == KEY_CHARS_MAX:
        digest = hashlib.sha256(str(key).encode(errors="backslashreplace")).hexdigest()
        return f"{text[:100]}{CUT}{digest[:32]}"
    return text


def error_type(error: object) -> str:
    """Return the class of an error; of a text, which some runtimes have instead, ``Error``."""
    return "Error" if isinstance(error, str) or error is None else _class_name(error)


def error_message(error: object) -> str:
    """Return what an error says. Its class may be a stranger's."""
    if error is None:
        return ""
    try:
        return _cut(str(error), _ERROR_CHARS_MAX)
    except KeyboardInterrupt:
        raise
    except BaseException as again:  # noqa: BLE001 - what a stranger's __str__ raises must not reach the runtime
        return f"(its text raised {_class_name(again)})"


def size_of(value: Any) -> int:
    """Return about how many bytes a plain copy holds."""
    kind = type(value)
    if kind is str:
        return 50 + len(value)
    if kind is dict:
        return 64 + sum(size_of(key) + size_of(item) for key, item in value.items())
    if kind is list:
        return 56 + sum(map(size_of, value))
    return 32


class _Copy:
    """A copy that is being made; ``left`` counts the characters that it may still have."""

    __slots__ = ("left",)

    def __init__(self, chars_max: int) -> None:
        self.left = chars_max

    def of(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return self._text(value)
        if value is None or kind is bool or kind is float:
            self.left -= 4
            return value
        if kind is int and value.bit_length() <= _INT_BITS_MAX:
            self.left -= 4
            return value
        if depth >= _DEPTH_MAX:
            return CUT
        if isinstance(value, Mapping):
            return self._mapping(value.items(), len(value), depth)
        if kind in (list, tuple, set, frozenset) and not hasattr(kind, "_fields"):
            return self._items(value, depth)
        return self._object(value, depth)

    def _text(self, text: str) -> str:
        kept = text if len(text) <= self.left and text.isascii() else _cut(text, max(self.left, 0))
        self.left -= len(kept)
        return kept

    def _mapping(self, pairs: Any, count: int, depth: int) -> dict[str, Any]:
        copy: dict[str, Any] = {}
        for key, item in pairs:
            if self.left <= 0:
                copy[CUT] = f"{count - len(copy)} more"
                break
            name = key if type(key) is str else short_text(key, default=_class_name(key))
            name = self._text(name)
            self.left -= 2  # else there is no end of a stranger's mapping that has none
            copy[name] = self.of(item, depth + 1)
        return copy

    def _items(self, values: Any, depth: int) -> list[Any]:
        copy: list[Any] = []
        for item in values:
            if self.left <= 0:
                copy.append(f"{CUT} {len(values) - len(copy)} more")
                break
            self.left -= 2
            copy.append(self.of(item, depth + 1))
        return copy

    def _object(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if isinstance(value, enum.Enum):
            return self.of(value.value, depth + 1)
        if isinstance(value, str):
            return self._text(str.__str__(value))
        if isinstance(value, bytes | bytearray | memoryview):
            return f"({len(value)} bytes)"
        if isinstance(value, _WRITTEN):
            return self._text(str(value))
        if isinstance(value, BaseException):
            return self._text(f"{error_type(value)}: {error_message(value)}")
        if isinstance(value, type):
            return f"({_class_name_of(value)})"
        if (names := _fields_of(kind)) is not None:
            pairs = ((name, getattr(value, name, None)) for name in names)
            return self._mapping(((name, item) for name, item in pairs if item is not None), len(names), depth)
        return f"({_class_name(value)})"


_fields: dict[type, tuple[str, ...] | None] = {}
_CLASSES_MAX = 10_000


def _fields_of(kind: type) -> tuple[str, ...] | None:
    """Return the names of the fields of a class that is made of fields; None for any other."""
    try:
        return _fields[kind]
    except KeyError:
        names = _read_fields_of(kind)
        if len(_fields) < _CLASSES_MAX:
            _fields[kind] = names
        return names


def _read_fields_of(kind: type) -> tuple[str, ...] | None:
    if (fields := getattr(kind, "__pydantic_fields__", None)) is not None:
        return tuple(islice(fields, 100))
    if (fields := getattr(kind, "__dataclass_fields__", None)) is not None:
        return tuple(name for name in islice(fields, 100) if not name.startswith("_"))
    if (fields := getattr(kind, "__attrs_attrs__", None)) is not None:
        return tuple(field.name for field in islice(fields, 100) if not field.name.startswith("_"))
    if (fields := getattr(kind, "__struct_fields__", None) or getattr(kind, "_fields", None)) is not None:
        return tuple(islice(fields, 100))
    return None


def is_made_of_fields(value: object) -> bool:
    """Tell whether an object's content is that of its fields: those of attrs, dataclasses, pydantic and the like."""
    return _fields_of(type(value)) is not None


def _cut(text: str, chars_max: int) -> str:
    if len(text) > chars_max:
        text = text[: max(chars_max - 1, 0)] + CUT
    if text.isascii():
        return text
    return text.encode(errors="backslashreplace").decode()


def _class_name(value: object) -> str:
    return _class_name_of(type(value))


def _class_name_of(kind: type) -> str:
    # Not kind.__name__: a metaclass may make that a property of its own.
    name: str = type.__dict__["__name__"].__get__(kind)
    return _cut(name, _NAME_CHARS_MAX)
