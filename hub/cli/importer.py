"""Recorded conversations in OpenAI's chat format, parsed and checked, without a hub or a store.

An item is a list of messages, or an object that has such a list under some key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import attrs
import msgspec

from .. import codec
from ..errors import EventTooLarge
from ..events import canonical
from .failures import CommandFailed
from .source import NOT_JSON, Item

__all__ = ("EVENT_BYTES_MAX", "BadItem", "Call", "Conversation", "Envelope", "Part", "Result", "parse")

EVENT_BYTES_MAX = 8 * 1024 * 1024
_ROOM_FOR_HEADER = 64 * 1024
_ESCAPED_BYTES_MAX = 6
"""How many bytes one byte of the input may become in a record."""

_SPEAKERS = ("system", "developer", "user", "assistant")
_MESSAGE_KEYS = ("messages", "traj")


class BadItem(CommandFailed):
    """One item is not a conversation; ``place`` says which one, for example ``line 7``."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place


@attrs.frozen
class Envelope:
    """The content of one message of one role; it may be empty."""

    id: str
    role: str
    content: dict[str, Any]


@attrs.frozen
class Call:
    """A tool that the assistant called."""

    id: str
    tool: str
    call_id: str
    arguments: Any


@attrs.frozen
class Result:
    """The result of a tool."""

    id: str
    tool: str
    call_id: str
    content: Any

    @property
    def failed(self) -> bool:
        return isinstance(self.content, str) and self.content.startswith("Error")


Part = Envelope | Call | Result


@attrs.frozen
class Conversation:
    """A conversation: its roles, and its parts in order. A part's ``id`` is ``<message>/<part>``."""

    number: int
    roles: tuple[str, ...]
    parts: tuple[Part, ...]


def parse(item: Item, *, messages_key: str | None = None) -> Conversation:
    """Return the conversation that an item holds. Raises :class:`BadItem` with the reason."""
    try:
        messages = _messages(_decode(item.raw), messages_key)
        tools: dict[str, str] = {}
        parts: list[Part] = []
        for number, message in enumerate(messages):
            try:
                parts += _parts(number, message, tools)
            except _WrongError as error:
                raise _WrongError(f"message {number} {error}") from None
        if len(item.raw) * _ESCAPED_BYTES_MAX > EVENT_BYTES_MAX - _ROOM_FOR_HEADER:
            _check_sizes(parts)
    except _WrongError as error:
        raise BadItem(item.place, str(error)) from None
    present = {part.role if isinstance(part, Envelope) else "assistant" for part in parts}
    return Conversation(item.number, tuple(role for role in _SPEAKERS if role in present), tuple(parts))


class _WrongError(Exception):
    """The reason why an item is bad, without its place."""


def _decode(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except NOT_JSON as strict:
        # The standard library also takes the output of models and json.dumps(): lone surrogates, NaN.
        try:
            return json.loads(raw)
        except (ValueError, RecursionError):
            raise _WrongError(f"is not JSON: {strict}") from None


def _messages(item: Any, messages_key: str | None) -> list[Any]:
    if isinstance(item, dict):
        keys = _MESSAGE_KEYS if messages_key is None else (messages_key,)
        key = next((key for key in keys if key in item), None)
        if key is None:
            raise _WrongError(
                f"has no {' or '.join(map(repr, keys))}; name the key of its messages with --messages-key"
            )
        item = item[key]
    if not isinstance(item, list):
        raise _WrongError(f"has {_named(item)} where a list of messages should be")
    if not item:
        raise _WrongError("has no messages")
    return item


def _parts(number: int, message: Any, tools: dict[str, str]) -> Iterator[Part]:
    """Iterate over the parts of one message; ``tools`` are the names of the tools called so far, by call id."""
    if not isinstance(message, dict):
        raise _WrongError(f"is {_named(message)}, not an object")
    role, content = message.get("role"), message.get("content")
    if not (content is None or isinstance(content, str | list)):
        raise _WrongError(f"has {_named(content)} as its content, which must be text, null or a list")
    if role == "tool":
        call_id = _text(message, "tool_call_id")
        tool = _text(message, "name") if message.get("name") is not None else tools.get(call_id)
        if tool is None:
            raise _WrongError(f"has the result of call {call_id!r}, which was not made, and no 'name' of the tool")
        yield Result(f"{number}/result", tool, call_id, content)
        return
    if role not in _SPEAKERS:
        raise _WrongError(f"has the role {role!r}; roles are {', '.join(_SPEAKERS)} and tool")
    rest = {key: value for key, value in message.items() if key not in ("role", "content", "tool_calls")}
    said: dict[str, Any] = {"parts": content} if isinstance(content, list) else {"text": content}
    yield Envelope(f"{number}/envelope", role, {**said, "more": rest} if rest else said)
    calls = message.get("tool_calls")
    if not isinstance(calls, list | None):
        raise _WrongError(f"has {_named(calls)} as its tool_calls, which must be a list")
    for index, call in enumerate(calls or ()):
        function = call.get("function") if isinstance(call, dict) else None
        if role != "assistant" or not isinstance(function, dict):
            raise _WrongError(f"has a tool call {index} that is not a function call of the assistant")
        tool, call_id = _text(function, "name"), _text(call, "id")
        tools[call_id] = tool
        yield Call(f"{number}/call-{index}", tool, call_id, _arguments(function.get("arguments")))


def _text(fields: dict[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        raise _WrongError(f"has {_named(value)} as its {key!r}, which must be text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _WrongError(f"has half a character in its {key!r}") from None
    return value


def _arguments(arguments: Any) -> Any:
    """Return the arguments as a mapping if they are JSON in a text; models also write text that is not JSON."""
    if isinstance(arguments, str):
        try:
            decoded = msgspec.json.decode(arguments.encode())
        except (*NOT_JSON, UnicodeEncodeError):
            return arguments
        return decoded if isinstance(decoded, dict) else arguments
    return arguments


def _check_sizes(parts: list[Part]) -> None:
    for part in parts:
        payload = part.arguments if isinstance(part, Call) else part.content
        try:
            size = len(codec.encode_fields({"payload": canonical(payload)}))
        except EventTooLarge as error:
            size = error.size_bytes
        if size > EVENT_BYTES_MAX - _ROOM_FOR_HEADER:
            number = part.id.partition("/")[0]
            raise _WrongError(f"message {number} is longer than an event may be, which is {EVENT_BYTES_MAX:,} bytes")


def _named(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "no value"}
    return names.get(type(value), "a number")
