r"""Payloads, made canonical: frozen, and made of JSON values alone. An event is never lost because of its payload.

A value that JSON cannot hold becomes a marked substitute, an object with one key that begins with ``$``:

================================================  ==================================================================
value                                             substitute
================================================  ==================================================================
NaN, infinities                                   ``{"$float": "nan"}``, ``"inf"``, ``"-inf"``
integers beyond 2^53 - 1 (RFC 7493)               ``{"$int": "9007199254740993"}``, in hex above 600 digits
text with lone surrogates                         ``{"$text": "a\\ud800b"}``, the surrogates backslash-escaped
bytes, bytearray, memoryview                      ``{"$bytes": "<base64>"}``
sets                                              ``{"$set": [...]}``, sorted
mappings with a key that is not clean text        ``{"$map": [[key, value], ...]}``
decimals                                          ``{"$decimal": "1.10"}``
a container inside itself                         ``{"$cycle": <levels up>}``
a value more than 64 levels deep                  ``{"$depth": 64}``
any other object                                  ``{"$object": "module.Class", "text": str(object)}``
an object that raises while it is read            ``{"$object": "module.Class", "error": "<exception class>"}``
================================================  ==================================================================

Dates, times, UUIDs and paths become their standard text; enumerations their value; numbers of numpy the number; attrs
classes, dataclasses and pydantic models an object of their fields; lists and tuples a tuple; mappings a
:class:`FrozenDict` with sorted keys.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import numbers
import operator
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Set as AbstractSet
from typing import Any, NoReturn

import attrs

from ..errors import EventTooLarge

__all__ = (
    "DEPTH_MAX",
    "INT_MAX",
    "Freezer",
    "FrozenDict",
    "PayloadTooLarge",
    "canonical",
    "class_name",
    "freeze_json",
    "is_mark",
    "json_numbers",
    "json_text",
)

DEPTH_MAX = 64
INT_MAX = 2**53 - 1


class PayloadTooLarge(Exception):
    """The payload's JSON would be longer than the limit; ``size_bytes`` of it were counted until then.

    It never leaves the package: where the kind is known it becomes :class:`~hubwire.errors.EventTooLarge`.
    """

    def __init__(self, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self.size_bytes = size_bytes


_FROZEN = "an event's payload is frozen; copy it with dict(...) to change it"


class FrozenDict(dict[str, Any]):
    """A dictionary that cannot be changed. ``dict(frozen)`` makes a copy that can."""

    __slots__ = ()

    def __setitem__(self, key: str, value: Any, /) -> NoReturn:
        raise TypeError(_FROZEN)

    def __delitem__(self, key: str, /) -> NoReturn:
        raise TypeError(_FROZEN)

    def __ior__(self, other: Any, /) -> NoReturn:  # type: ignore[misc]
        raise TypeError(_FROZEN)

    def clear(self) -> NoReturn:
        raise TypeError(_FROZEN)

    def pop(self, *_: Any) -> NoReturn:
        raise TypeError(_FROZEN)

    def popitem(self) -> NoReturn:
        raise TypeError(_FROZEN)

    def setdefault(self, *_: Any) -> NoReturn:
        raise TypeError(_FROZEN)

    def update(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(_FROZEN)

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)

    def __copy__(self) -> FrozenDict:
        return self

    def __deepcopy__(self, memo: object) -> FrozenDict:
        return self


_SHARED_WEIGHT = 64 * 1024
"""A payload is large from this weight on."""

_PLAIN_CONTAINERS = frozenset({dict, list, tuple, FrozenDict})


class Freezer:
    """Makes the payload of one event canonical, and counts its weight.

    ``weight`` is a lower bound of the bytes of JSON, but for one byte a level (the comma that the last of a list does
    not have); six times it is an upper bound (a control character is six bytes). It is counted during the walk, before
    the copy is made: so a small structure that refers to its parts a billion times over is refused. To refuse it
    quickly, a large payload's containers are walked once, however often they are referred to.
    """

    def __init__(self, bytes_max: int) -> None:
        self.weight = 0
        self._bytes_max = bytes_max
        self._path: list[int] = []
        self._seen: dict[int, tuple[Any, Any, int, int]] = {}
        """By the id of a container: the container, its copy, its weight, the greatest depth at which both are valid."""
        self._placed = 0
        """How many substitutes were made that depend on their place: for cycles, and for values too deep."""

    def freeze(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            self._weigh(len(value) + 2)
            return value if value.isascii() else self._clean_text(value)
        if value is None or kind is bool:
            self._weigh(1)
            return value
        if kind is int:
            self._weigh(1 + (value.bit_length() >> 2))
            return value if -INT_MAX <= value <= INT_MAX else self._mark("$int", _digits(value))
        if kind is float:
            # The shortest and the longest spelling of a number without an exponent, and of one that may have one.
            self._weigh(4 if 1e-4 <= abs(value) < 1e16 or value == 0 else 5)
            return value if math.isfinite(value) else self._mark("$float", repr(value))
        try:
            if kind in _PLAIN_CONTAINERS:
                return self._freeze_container(value)
            return self._freeze_object(value)
        except PayloadTooLarge:
            raise
        except KeyboardInterrupt:  # it is meant for the program
            raise
        except BaseException as error:  # noqa: BLE001 - no exception of an object that is read may stop the event
            return self._object(value, "error", class_name(error).rpartition(".")[2])

    def _weigh(self, size: int) -> None:
        self.weight += size
        if self.weight > self._bytes_max:
            raise PayloadTooLarge(self.weight)

    def _freeze_object(self, value: Any) -> Any:
        if isinstance(value, enum.Enum):
            return self.freeze(value.value)
        if isinstance(value, (Mapping, list, tuple, AbstractSet)) or _fields(value) is not None:
            return self._freeze_container(value)
        if isinstance(value, (str, int, float)):
            # A subclass: its additions are not JSON. It cannot override the base class's own method, so that is called.
            if isinstance(value, str):
                return self.freeze(str.__str__(value))
            return self.freeze(int.__pos__(value) if isinstance(value, int) else float.__pos__(value))
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._freeze_bytes(bytes(value))
        if isinstance(value, dt.datetime) and value.tzinfo is not None:
            return self.freeze(value.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"))
        if isinstance(value, (dt.date, dt.time)):
            return self.freeze(value.isoformat())
        if isinstance(value, uuid.UUID):
            return self.freeze(str(value))
        if isinstance(value, os.PathLike):
            return self.freeze(os.fspath(value))
        if isinstance(value, decimal.Decimal):
            return self._mark("$decimal", self.freeze(str(value)))
        if (number := _number(value)) is not None:
            return self.freeze(number)
        return self._object(value, "text", str(value))

    def _object(self, value: object, key: str, text: str) -> FrozenDict:
        self._weigh(20)
        return FrozenDict({"$object": self.freeze(class_name(value)), key: self.freeze(text)})

    def _freeze_bytes(self, value: bytes) -> FrozenDict:
        self._weigh(len(value) * 4 // 3)
        return self._mark("$bytes", base64.b64encode(value).decode())

    def _clean_text(self, text: str) -> Any:
        if _is_clean(text):
            return text
        escaped = text.encode(errors="backslashreplace").decode()
        self._weigh(len(escaped) - len(text))
        return self._mark("$text", escaped)

    def _mark(self, name: str, value: Any) -> FrozenDict:
        self._weigh(len(name) + 5)
        return FrozenDict({name: value})

    def _freeze_container(self, value: Any) -> Any:
        depth = len(self._path)
        if id(value) in self._path:
            self._placed += 1
            return self._mark("$cycle", depth - self._path.index(id(value)))
        if depth >= DEPTH_MAX:
            self._placed += 1
            return self._mark("$depth", DEPTH_MAX)
        if self.weight < _SHARED_WEIGHT:
            return self._walk(value)
        if (seen := self._seen.get(id(value))) is not None and depth <= seen[3]:
            self._weigh(seen[2])
            return seen[1]
        weight, placed = self.weight, self._placed
        frozen = self._walk(value)
        if placed == self._placed:
            self._seen[id(value)] = (value, frozen, self.weight - weight, depth)
        return frozen

    def _walk(self, value: Any) -> Any:
        self._weigh(2)
        self._path.append(id(value))
        try:
            if isinstance(value, Mapping):
                return self._freeze_mapping(value.items())
            if isinstance(value, (list, tuple)):
                return tuple(map(self.freeze, value))
            if isinstance(value, AbstractSet):
                return self._mark("$set", tuple(sorted(map(self.freeze, value), key=json_text)))
            return self._freeze_mapping(_fields(value) or ())
        finally:
            self._path.pop()

    def _freeze_mapping(self, items: Iterable[tuple[Any, Any]]) -> FrozenDict:
        pairs = list(items)
        for key, _ in pairs:
            if type(key) is not str or not (key.isascii() or _is_clean(key)):
                self._weigh(2 * len(pairs))
                return self._mark("$map", tuple((self.freeze(name), self.freeze(value)) for name, value in pairs))
        pairs.sort(key=_first)
        fields = {}
        for key, value in pairs:
            # Most values are plain text, and most payloads are made of these two lines.
            self.weight += len(key) + 3
            if type(value) is str and value.isascii():
                self.weight += len(value) + 2
                fields[key] = value
            else:
                fields[key] = self.freeze(value)
        self._weigh(0)
        return FrozenDict(fields)


def canonical(value: Any, *, bytes_max: int = 8 * 1024 * 1024) -> Any:
    """Return the value as an event holds it: frozen, with marked substitutes for values that JSON cannot hold.

    Raises :class:`~hubwire.errors.EventTooLarge` if its JSON would certainly be longer than ``bytes_max``.
    """
    if value is None or (type(value) is str and len(value) < bytes_max and value.isascii()):
        return value
    try:
        return Freezer(bytes_max).freeze(value)
    except PayloadTooLarge as error:
        raise EventTooLarge(
            f"a payload has more than {bytes_max} bytes of JSON; store it elsewhere and refer to it",
            kind="",
            size_bytes=error.size_bytes,
            limit_bytes=bytes_max,
        ) from None


def freeze_json(value: Any) -> Any:
    """Freeze the result of a JSON decoder: the same value that :class:`Freezer` made before it was encoded."""
    if type(value) is dict:
        # Most values are none of the two, and a call each would be half of the work.
        return FrozenDict(
            {key: freeze_json(item) if type(item) in _JSON_CONTAINERS else item for key, item in value.items()}
        )
    if type(value) is list:
        return tuple(map(freeze_json, value))
    return value


_JSON_CONTAINERS = frozenset({dict, list})


def json_numbers(frozen: Any) -> Any:
    """Return a frozen value with marked substitutes for the numbers in it that JSON cannot hold."""
    kind = type(frozen)
    if kind is float:
        return frozen if math.isfinite(frozen) else {"$float": repr(frozen)}
    if kind is int:
        return frozen if -INT_MAX <= frozen <= INT_MAX else {"$int": _digits(frozen)}
    if kind is tuple:
        return tuple(map(json_numbers, frozen))
    if kind is FrozenDict:
        return {key: json_numbers(item) for key, item in frozen.items()}
    return frozen


def is_mark(frozen: Any) -> bool:
    """Tell whether a frozen value is a marked substitute."""
    return type(frozen) is FrozenDict and next(iter(frozen), "").startswith("$")


_first = operator.itemgetter(0)


def _is_clean(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _digits(value: int) -> str:
    # CPython refuses to write many decimal digits, because that takes quadratic time; its lowest limit is 640.
    return str(value) if value.bit_length() < 2000 else hex(value)


def _number(value: object) -> bool | int | float | None:
    """Return the number that an object of another library, as numpy, is; None if it is none, or not exactly."""
    if isinstance(value, numbers.Integral):
        return operator.index(value)
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Rational):
        real = float(value)
        return real if real == value or math.isnan(real) else None
    # Numpy's booleans are no numbers by its own account.
    return bool(value) if class_name(value) in ("numpy.bool", "numpy.bool_") else None


def class_name(value: object) -> str:
    """Return the name of the class of a value, with its module."""
    cls = type(value)
    try:
        return f"{cls.__module__}.{cls.__qualname__}"
    except Exception as error:  # noqa: BLE001 - a metaclass may raise any exception, too
        return f"?.{type(error).__name__}"


def json_text(frozen: Any) -> str:
    """Return a frozen value as JSON, in one line."""
    return json.dumps(frozen, sort_keys=True)


def _fields(value: Any) -> Iterator[tuple[str, Any]] | None:
    """Return the public fields of an attrs, dataclass or pydantic instance; None for another value."""
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
