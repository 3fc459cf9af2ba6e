"""Attributes: what the spans say of the events that they were made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast

import attrs

from hubwire import Event, GenericEvent, UnknownEvent

from . import names

__all__ = ("VALUE_CHARS_MAX", "content_of", "field", "moment_of", "of_begin", "of_end", "text_of")

VALUE_CHARS_MAX = 1000
"""How much of a text an attribute has."""

CONTENT_CHARS_MAX = 8000
"""How much of the JSON of arguments, results and messages, where they are wanted."""

_TEXTS = {
    names.CONVERSATION_ID: "channel_id",
    names.TENANT: "tenant",
    names.SESSION_ID: "session_id",
    names.TURN_ID: "turn_id",
    names.TASK_ID: "task_id",
    names.CORRELATION_ID: "correlation_id",
    names.TOOL_NAME: "tool",
    names.REQUEST_MODEL: "model",
    names.APPROVAL_ID: "approval_id",
    names.WORKFLOW_NAME: "title",
    names.RISK_LEVEL: "risk_level",
    names.GROUP: "group",
    names.REASON: "reason",
    names.ERROR_TYPE: "error_type",
}
_NUMBERS = {names.INPUT_TOKENS: "input_tokens", names.OUTPUT_TOKENS: "output_tokens"}
_CONTENTS = {
    names.TOOL_ARGUMENTS: "arguments",
    names.TOOL_RESULT: "result",
    names.INPUT_MESSAGES: ("request", "prompt"),
    names.OUTPUT_MESSAGES: ("response", "content"),
}
_EPOCH_DIGITS = 1_000_000_000
_MOMENT_MAX = 2**63 - 1
"""In the year 2262. OTLP has no time before 1970, and its readers none after this."""


def field(event: Event, name: str) -> Any:
    """Return a field of an event of any class; None if it has no field of that name."""
    own = getattr(event, name, None)
    if own is not None:
        return own
    if isinstance(event, GenericEvent):
        return event.data.get(name)
    return event.fields.get(name) if isinstance(event, UnknownEvent) else None


def text_of(event: Event, name: str) -> str:
    """Return a field that is a text, as far as it is shown; empty where it is none."""
    value = field(event, name)
    if type(value) is str:
        return value if len(value) < VALUE_CHARS_MAX and value.isascii() else _cut(value, VALUE_CHARS_MAX)
    return _cut(str.__str__(value), VALUE_CHARS_MAX) if isinstance(value, str) else ""


def moment_of(text: Any) -> int | None:
    """Return a time as nanoseconds since the epoch; None for what is no time with a zone, or none that OTLP has."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            return None
        found = int(moment.replace(microsecond=0).timestamp()) * _EPOCH_DIGITS + moment.microsecond * 1000
    except (TypeError, ValueError, OverflowError):
        return None
    return found if 0 <= found <= _MOMENT_MAX else None


def of_begin(event: Event, *, content: bool) -> dict[str, Any]:
    """Return the attributes of a span that begins with this event."""
    found: dict[str, Any] = {names.HUB_ID: event.hub, names.SEQ: event.seq, **of_end(event, content=content)}
    if event.agent_id:
        found[names.AGENT_ID] = _cut(event.agent_id, VALUE_CHARS_MAX)
    return found


def of_end(event: Event, *, content: bool) -> dict[str, Any]:
    """Return what an event adds to the attributes of its span. What is empty is left out."""
    texts, numbers = _fields_of(cast(Any, type(event)))
    found: dict[str, Any] = {name: text for name, each in texts if (text := text_of(event, each))}
    for name, each in numbers:
        if type(number := field(event, each)) is int and 0 <= number < 2**63:
            found[name] = number
    if content:
        found |= content_of(event)
    return found


@cache
def _fields_of(cls: type[Event]) -> tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]]]:
    """Return which fields events of a class may have, with their attributes: most have few of them."""
    if cls in (GenericEvent, UnknownEvent):
        return tuple(_TEXTS.items()), tuple(_NUMBERS.items())
    own = {each.name for each in attrs.fields(cast(Any, cls))}
    texts = tuple((name, each) for name, each in _TEXTS.items() if each in own)
    return texts, tuple((name, each) for name, each in _NUMBERS.items() if each in own)


def content_of(event: Event) -> dict[str, Any]:
    """Return what was said, asked and answered, as JSON."""
    found = {}
    for name, fields in _CONTENTS.items():
        for each in (fields,) if isinstance(fields, str) else fields:
            if (value := field(event, each)) is not None:
                found[name] = _cut(value if isinstance(value, str) else _json(value), CONTENT_CHARS_MAX)
    return found


def _json(value: Any) -> str:
    try:
        return json.dumps(value, default=_plain, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return f"({type(value).__name__})"


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _cut(text: str, chars_max: int) -> str:
    text = text if text.isascii() else text.encode(errors="backslashreplace").decode()
    return text if len(text) <= chars_max else f"{text[: chars_max - 1]}…"
