"""Payloads, made canonical: frozen, and holding only what JSON holds. An event is never lost because of its payload.

What JSON cannot hold becomes a marked substitute, an object with one key that begins with ``$``:

================================================  ==================================================================
value                                             substitute
================================================  ==================================================================
NaN, infinities                                   ``{"$float": "nan"}``, ``"inf"``, ``"-inf"``
integers beyond 2^53 - 1 (RFC 7493)               ``{"$int": "9007199254740993"}``, in hex above 4,000 digits
text with lone surrogates                         ``{"$text": "a\\\\ud800b"}``, the surrogates backslash-escaped
bytes, bytearray, memoryview                      ``{"$bytes": "<base64>"}``
sets                                              ``{"$set": [...]}``, sorted
mappings with a key that is not clean text        ``{"$map": [[key, value], ...]}``
decimals                                          ``{"$decimal": "1.10"}``
a container inside itself                         ``{"$cycle": <levels up>}``
what lies more than 64 levels deep                ``{"$depth": 64}``
any other object                                  ``{"$object": "module.Class", "text": str(object)}``
an object that raises while it is looked at       ``{"$object": "module.Class", "error": "<exception class>"}``
================================================  ==================================================================

Dates, times, UUIDs and paths become their standard text; enumerations their value; attrs classes, dataclasses and
pydantic models an object of their fields; lists and tuples a tuple; mappings a :class:`FrozenDict` with sorted keys.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import os
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, NoReturn

import attrs

__all__ = ("DEPTH_MAX", "INT_MAX", "Freezer", "FrozenDict", "PayloadTooLarge", "canonical", "freeze_json")

DEPTH_MAX = 64
INT_MAX = 2**53 - 1


class PayloadTooLarge(Exception):  # noqa: N818 - internal signal, translated to EventTooLarge where the kind is known
    """The payload's JSON would be longer than the limit; ``size_bytes`` of it were counted before giving up."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self.size_bytes = size_bytes


class FrozenDict(dict[str, Any]):
    """A dictionary that refuses to change. ``dict(frozen)`` makes one that may be changed."""

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("an event's payload is frozen; copy it with dict(...) to change it")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse  # type: ignore[assignment]

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)

    def __copy__(self) -> FrozenDict:
        return self

    def __deepcopy__(self, memo: object) -> FrozenDict:
        return self


class Freezer:
    """Makes the payload of one event canonical, and counts what it will weigh.

    ``weight`` is a lower bound of the bytes of JSON, six times it an upper bound (a control character is six bytes).
    Counting while walking is what stops a small structure that refers to itself a billion times over.
    """

    def __init__(self, bytes_max: int) -> None:
        self.weight = 0
        self._bytes_max = bytes_max
        self._path: list[int] = []

    def freeze(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            self._weigh(len(value) + 2)
            return value if value.isascii() else _clean_text(value)
        self._weigh(1)
        if value is None or kind is bool:
            return value
        if kind is int:
            return value if -INT_MAX <= value <= INT_MAX else _mark("$int", _digits(value))
        if kind is float:
            return value if math.isfinite(value) else _mark("$float", repr(value))
        try:
            return self._freeze_object(value)
        except PayloadTooLarge:
            raise
        except Exception as error:  # whatever an object does when looked at, the event goes on without it
            return FrozenDict({"$object": _class_name(value), "error": type(error).__name__})

    def _weigh(self, size: int) -> None:
        self.weight += size
        if self.weight > self._bytes_max:
            raise PayloadTooLarge(self.weight)

    def _freeze_object(self, value: Any) -> Any:
        if isinstance(value, enum.Enum):
            return self.freeze(value.value)
        if isinstance(value, (Mapping, list, tuple, Set)) or _fields(value) is not None:
            return self._freeze_container(value)
        if isinstance(value, (str, int, float)):
            # A subclass: what it adds is not JSON's. The base class's own method is what it cannot override.
            base = next(b for b in (str, int, float) if isinstance(value, b))
            return self.freeze(str.__str__(value) if base is str else base.__pos__(value))
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._freeze_bytes(bytes(value))
        if isinstance(value, dt.datetime) and value.tzinfo is not None:
            return value.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        if isinstance(value, (dt.date, dt.time)):
            return value.isoformat()
        if isinstance(value, uuid.UUID):
            return str(value)
        if isinstance(value, os.PathLike):
            return self.freeze(os.fspath(value))
        if isinstance(value, decimal.Decimal):
            return _mark("$decimal", str(value))
        return FrozenDict({"$object": _class_name(value), "text": self.freeze(str(value))})

    def _freeze_bytes(self, value: bytes) -> FrozenDict:
        self._weigh(len(value) * 4 // 3)
        return _mark("$bytes", base64.b64encode(value).decode())

    def _freeze_container(self, value: Any) -> Any:
        if id(value) in self._path:
            return _mark("$cycle", len(self._path) - self._path.index(id(value)))
        if len(self._path) >= DEPTH_MAX:
            return _mark("$depth", DEPTH_MAX)
        self._path.append(id(value))
        try:
            if isinstance(value, Mapping):
                return self._freeze_mapping(value.items())
            if isinstance(value, (list, tuple)):
                return tuple(map(self.freeze, value))
            if isinstance(value, Set):
                return _mark("$set", tuple(sorted(map(self.freeze, value), key=_sort_key)))
            return self._freeze_mapping(_fields(value) or ())
        finally:
            self._path.pop()

    def _freeze_mapping(self, items: Iterable[tuple[Any, Any]]) -> FrozenDict:
        pairs = list(items)
        if all(type(key) is str and (key.isascii() or _is_clean(key)) for key, _ in pairs):
            for key, _ in pairs:
                self._weigh(len(key) + 3)
            return FrozenDict({key: self.freeze(value) for key, value in sorted(pairs, key=_first)})
        return _mark("$map", tuple((self.freeze(key), self.freeze(value)) for key, value in pairs))


def canonical(value: Any) -> Any:
    """Return the value as an event would hold it: frozen, and with marked substitutes for what JSON cannot hold."""
    return Freezer(bytes_max=sys.maxsize).freeze(value)


def freeze_json(value: Any) -> Any:
    """Freeze what a JSON decoder returned: the same value that :class:`Freezer` made before it was encoded."""
    if type(value) is dict:
        return FrozenDict({key: freeze_json(item) for key, item in value.items()})
    if type(value) is list:
        return tuple(map(freeze_json, value))
    return value


def _first(pair: tuple[Any, Any]) -> Any:
    return pair[0]


def _mark(name: str, value: Any) -> FrozenDict:
    return FrozenDict({name: value})


def _is_clean(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _clean_text(text: str) -> Any:
    return text if _is_clean(text) else _mark("$text", text.encode(errors="backslashreplace").decode())


def _digits(value: int) -> str:
    # CPython refuses to write more than 4,300 decimal digits, because that takes quadratic time.
    return str(value) if value.bit_length() < 4000 * 3 else hex(value)


def _class_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _sort_key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _fields(value: Any) -> Iterator[tuple[str, Any]] | None:
    """Return the public fields of an attrs, dataclass or pydantic instance; None for anything else."""
    kind = type(value)
    if attrs.has(kind):
        names = [field.name for field in attrs.fields(kind)]
    elif dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
    elif isinstance(model_fields := getattr(kind, "model_fields", None), dict):
        names = list(model_fields)
    else:
        return None
    return ((name, getattr(value, name)) for name in names if not name.startswith("_"))
