"""Errors of commands as JSON, and back: of the same class, with the same text and the same facts."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

from .. import errors
from .._foreign.guards import class_name, message_of
from ..errors import ForwardingFailed, HubError
from .values import Handles, Unreadable, decode, encode

__all__ = ("decode_failure", "encode_failure")

_BUILTINS = frozenset(
    {
        "ArithmeticError",
        "AttributeError",
        "IndexError",
        "KeyError",
        "LookupError",
        "NotImplementedError",
        "OverflowError",
        "RecursionError",
        "RuntimeError",
        "TimeoutError",
        "TypeError",
        "ValueError",
    }
)


def encode_failure(error: Exception) -> dict[str, Any]:
    """Return an error as JSON can hold it."""
    name = type(error).__name__
    is_ours = getattr(errors, name, None) is type(error)
    if not is_ours and not (name in _BUILTINS and getattr(builtins, name) is type(error)):
        text = f"the hub that leads has failed at the command: {class_name(error)}: {message_of(error)}"
        return {"class": "ForwardingFailed", "text": encode(text), "facts": {"may_have_happened": True}}
    facts = {key: encode(each) for key, each in vars(error).items() if key.isidentifier()} if is_ours else {}
    return {"class": name, "text": encode(_text_of(error)), "facts": facts}


def _text_of(error: Exception) -> str:
    given = error.args[0] if len(error.args) == 1 else None
    return str.__str__(given) if isinstance(given, str) else message_of(error)


def decode_failure(value: Any, handles: Handles) -> Exception:
    """Return the error. Raises :class:`~.values.Unreadable` for what is none."""
    if type(value) is not dict or type(value.get("class")) is not str or type(value.get("facts")) is not dict:
        raise Unreadable("an error has a class, a text and facts")
    name, text = value["class"], decode(value.get("text"), handles)
    if type(text) is not str:
        raise Unreadable("the text of an error is text")
    cls = getattr(errors, name, None) if name in errors.__all__ else None
    if cls is None and name in _BUILTINS:
        return getattr(builtins, name)(text)  # type: ignore[no-any-return]
    if not isinstance(cls, type) or not issubclass(cls, HubError):
        return ForwardingFailed(f"the hub that leads has answered with a {name:.60}, which is not known here: {text}")
    error: HubError = cls.__new__(cls, text)
    error.args = (text,)
    error.__dict__.update(_facts(cls, value["facts"], handles))
    return error


def _facts(cls: type, given: Mapping[str, Any], handles: Handles) -> dict[str, Any]:
    """Return the attributes of an error. Those that its class has, and an older version has not sent, are None."""
    facts = {name: decode(each, handles) for name, each in given.items() if name.isidentifier() and name[0] != "_"}
    wanted = [name for each in cls.__mro__ if "__init__" in vars(each) for name in _keywords(each)]
    return {**dict.fromkeys(wanted), **facts}


def _keywords(cls: type) -> tuple[str, ...]:
    code = getattr(vars(cls)["__init__"], "__code__", None)
    if code is None or cls.__module__ != errors.__name__:
        return ()
    first = code.co_argcount
    return tuple(code.co_varnames[first : first + code.co_kwonlyargcount])
