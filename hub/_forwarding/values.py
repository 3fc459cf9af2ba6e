"""Arguments and results of commands as JSON, and back: the same values, no code, and only classes that are named here.

What JSON has is itself; all else is an object whose key ``$`` says what it is. A list stays a list, a tuple a tuple.
What no command takes is made canonical, as it would be in an event.
"""

from __future__ import annotations

import base64
import math
import re
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from itertools import islice
from types import GeneratorType
from typing import Any, Protocol

import msgspec

from .. import codec
from .._journal.entries import decode_entry, encode_entry
from ..errors import Fault, InvalidRecord
from ..events import Event, FrozenDict, canonical
from ..events._canonical import INT_MAX, freeze_json
from ..events._stamp import EMPTY, stamp

__all__ = ("Handles", "Unreadable", "decode", "encode", "event_of")

_DEPTH_MAX = 60
_ITEMS_MAX = 100_001
_HEX = re.compile(r"-?0x[0-9a-f]{1,100000}")

_CLASSES: Mapping[str, str] = {
    "Approval": "approvals",
    "DeadLetter": "_state.dead_letters",
    "DeadLetterEntry": "_delivery.letter",
    "Expectation": "expectations",
    "Fault": "_fault",
    "InboxRule": "_state.profiles",
    "Passport": "_state.profiles",
    "Resume": "_state.profiles",
    "RetryResult": "_delivery.letter",
    "TaskOutcome": "_commands.tasks",
}
"""The classes of values, each with the module that has it."""

_HANDLES: Mapping[str, tuple[str, ...]] = {
    "Agent": ("id", "name"),
    "Channel": ("id",),
    "Task": ("id", "agent_id"),
    "Timer": ("id",),
}
"""What is known by an id, and the fields that make it."""


class Unreadable(Exception):
    """What was received is no value; it says why."""


class _TooDeep(Exception):
    pass


class Handles(Protocol):
    """Makes objects of a hub of what is known of them."""

    def handle(self, kind: str, fields: Mapping[str, str]) -> Any:
        """Return an agent, a channel, a task or a timer."""

    def delivery(self, agent_id: str, event: Event, attempt: int) -> Any: ...


# -- writing --


def encode(value: Any) -> Any:
    """Return what JSON can hold of a value."""
    try:
        return _encoded(value, 0)
    except _TooDeep:
        return {"$": "frozen", "v": canonical(value)}


def _encoded(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        return _text(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -INT_MAX <= value <= INT_MAX else {"$": "int", "v": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$": "float", "v": repr(value)}
    if depth > _DEPTH_MAX:
        raise _TooDeep
    if (write := _WRITERS.get(kind)) is not None:
        return write(value, depth + 1)
    return _encoded_object(value, kind, depth + 1)


def _encoded_object(value: Any, kind: type, depth: int) -> Any:
    if issubclass(kind, Event):
        return event_of(value)
    # The class of a handle may be that of a face, which has the name of its base.
    if (fields := _HANDLES.get(kind.__name__)) is not None and _is_of_house(kind):
        return {"$": kind.__name__, **{name: getattr(value, name) for name in fields}}
    if kind.__name__ == "Delivery" and _is_of_house(kind):
        return {"$": "Delivery", "agent_id": value.agent_id, "event": event_of(value.event), "attempt": value.attempt}
    if _class_of(kind.__name__) is kind:
        if kind is Fault:
            return {"$": "Fault", "v": [_encoded(each, depth) for each in value]}
        return {"$": kind.__name__, "v": encode_entry(value)}
    if issubclass(kind, BaseException):
        return {"$": "error", "type": _written(kind.__name__), "v": _written(_said(value))}
    if issubclass(kind, str):
        return _text(str.__str__(value))
    if kind in (GeneratorType, *_VIEWS):
        return [_encoded(each, depth) for each in islice(value, _ITEMS_MAX)]
    return {"$": "frozen", "v": canonical(value)}


def _is_of_house(kind: type) -> bool:
    return any(each.__module__.startswith("hubwire._commands.") for each in kind.__mro__)


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the error is a stranger's
        return ""


def _written(text: str) -> str:
    return str.encode(text, errors="backslashreplace").decode()


def _text(value: str) -> Any:
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return {"$": "text", "v": value.encode("utf-16-be", "surrogatepass").hex()}
    return value


def _list(value: list[Any], depth: int) -> Any:
    return [_encoded(each, depth) for each in value]


def _tuple(value: tuple[Any, ...], depth: int) -> Any:
    return {"$": "tuple", "v": [_encoded(each, depth) for each in value]}


def _set(value: Any, depth: int) -> Any:
    return {"$": "set", "v": [_encoded(each, depth) for each in value]}


def _mapping(value: Mapping[Any, Any], depth: int) -> Any:
    if "$" not in value and all(type(key) is str and type(_text(key)) is str for key in value):
        return {key: _encoded(each, depth) for key, each in value.items()}
    return {"$": "map", "v": [[_encoded(key, depth), _encoded(each, depth)] for key, each in value.items()]}


def _bytes(value: bytes, _: int) -> Any:
    return {"$": "bytes", "v": base64.b64encode(value).decode()}


_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()))

_WRITERS: Mapping[type, Callable[[Any, int], Any]] = {
    list: _list,
    tuple: _tuple,
    dict: _mapping,
    FrozenDict: lambda value, _: {"$": "frozen", "v": value},
    set: _set,
    frozenset: _set,
    bytes: _bytes,
}


def event_of(event: Event) -> Any:
    """Return an event as a value; one that was not stamped is fitted to its class first, as it would be."""
    if event.seq < 0:
        event = stamp(event, -1, "", "", "", EMPTY, sys.maxsize)
    return {"$": "event", "v": msgspec.Raw(codec.encode(event))}


# -- reading --


def decode(value: Any, handles: Handles) -> Any:
    """Return the value that :func:`encode` has written. Raises :class:`Unreadable` for what it has not."""
    try:
        return _decoded(value, handles)
    except (Unreadable, RecursionError):
        raise
    except (InvalidRecord, TypeError, ValueError, KeyError, AttributeError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def _decoded(value: Any, handles: Handles) -> Any:
    kind = type(value)
    if kind is list:
        return [_decoded(each, handles) for each in value]
    if kind is not dict:
        return value
    if "$" not in value:
        return {key: _decoded(each, handles) for key, each in value.items()}
    mark = value["$"]
    if type(mark) is not str:
        raise Unreadable(f"a mark is text, not {mark!r:.60}")
    if (read := _READERS.get(mark)) is not None:
        return read(value["v"], handles)
    if (fields := _HANDLES.get(mark)) is not None:
        given = {name: value[name] for name in fields}
        if not all(type(each) is str for each in given.values()):
            raise Unreadable(f"the fields of {mark} are texts, not {given!r:.60}")
        return handles.handle(mark, given)
    if mark == "Delivery":
        return _delivery(value, handles)
    if mark == "error":
        return _error(value["type"], value["v"])
    if mark == "Fault":
        return Fault(*_decoded(value["v"], handles))
    if (cls := _class_of(mark)) is not None:
        return decode_entry(cls, value["v"])
    raise Unreadable(f"{mark!r:.60} is no value that this version knows")


def _delivery(value: Mapping[str, Any], handles: Handles) -> Any:
    agent_id, attempt, event = value["agent_id"], value["attempt"], _decoded(value["event"], handles)
    if type(agent_id) is not str or type(attempt) is not int or not isinstance(event, Event):
        raise Unreadable("a delivery has an agent, an event and a number")
    return handles.delivery(agent_id, event, attempt)


def _error(name: Any, message: Any) -> Exception:
    if type(name) is not str or type(message) is not str:
        raise Unreadable("an error has a name and a text")
    error: Exception = type(name, (Exception,), {"__module__": "elsewhere"})(message)
    return error


def _int(value: Any, _: Handles) -> int:
    if type(value) is not str or not _HEX.fullmatch(value):
        raise Unreadable("a large number is written in hex")
    return int(value, 16)


def _map(value: Any, handles: Handles) -> dict[Any, Any]:
    return {_decoded(key, handles): _decoded(each, handles) for key, each in value}


def _event(value: Any, _: Handles) -> Event:
    return codec.decode(codec.encode_fields(value))


_READERS: Mapping[str, Callable[[Any, Handles], Any]] = {
    "tuple": lambda value, handles: tuple(_decoded(each, handles) for each in value),
    "set": lambda value, handles: {_decoded(each, handles) for each in value},
    "map": _map,
    "int": _int,
    "float": lambda value, _: float(value),
    "text": lambda value, _: bytes.fromhex(value).decode("utf-16-be", "surrogatepass"),
    "bytes": lambda value, _: base64.b64decode(value, validate=True),
    "frozen": lambda value, _: freeze_json(value),
    "event": _event,
}


def _class_of(name: str) -> type | None:
    """Return the class of a value by its name, if it is one."""
    module = _CLASSES.get(name)
    if module is None:
        return None
    found: type = getattr(import_module(f"..{module}", __package__), name)
    return found
