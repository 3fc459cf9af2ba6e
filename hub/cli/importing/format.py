"""What a format is, and what formats of chats have in common: a list of messages somewhere in an item."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import attrs

from ... import GenericEvent
from .conversation import ASSISTANT, Conversation, Draft, Fact, check_sizes
from .decoding import Digest, encoded
from .fields import Fields, Wrong, is_clean, named
from .moments import take_moment

__all__ = ("Chat", "Facts", "Opened", "Options", "chat_of", "messages_at")

_LABEL_MAX = 200
"""Labels are held in memory while a channel is open; what is longer is in ``conversation.imported``."""
_LABELS_MAX = 32
OUR_LABELS = ("format", "place", "continues")


@attrs.frozen
class Options:
    """What the caller says of the input."""

    messages_key: str | None = None
    """The key of the messages in an item; dots lead to keys below it."""


@attrs.frozen
class Opened:
    """An item, opened: its messages, and what else it has."""

    messages: list[Any]
    fields: Fields


class Chat(Protocol):
    """A format of which an item is a conversation, a list of messages."""

    name: str
    sign: str
    """By what it is recognised, for people."""

    def recognises(self, value: Any, options: Options) -> bool:
        """Tell whether an item has this format."""

    def open(self, value: Any, options: Options, draft: Draft) -> Opened:
        """Return the messages of an item. Raises :class:`Wrong`."""

    def put(self, draft: Draft, number: int, message: Any) -> None:
        """Add what one message says and does. Raises :class:`Wrong`."""


class Facts(Protocol):
    """A format of which an item holds facts that happened one by one, each with an identity of its own."""

    name: str
    sign: str

    def recognises(self, value: Any, options: Options) -> bool:
        """Tell whether an item has this format."""

    def facts(self, value: Any) -> Iterator[Conversation]:
        """Iterate over the facts of an item. Raises :class:`Wrong`."""


def chat_of(chat: Chat, value: Any, options: Options, place: str) -> Conversation:
    """Return the conversation that an item of a chat format holds. Raises :class:`Wrong`."""
    draft = Draft()
    opened = chat.open(value, options, draft)
    digest, chain, largest = Digest(), [], 0
    for number, message in enumerate(opened.messages):
        try:
            content = encoded(message)
            largest = max(largest, len(content))
            chain.append(digest.add(content))
            chat.put(draft, number, message)
        except Wrong as error:
            raise Wrong(f"message {number} {error}") from None
    content = encoded(opened.fields.left)
    key = digest.add(content)
    at = take_moment(opened.fields)
    labels, rest = _labels(opened.fields.left)
    draft.keep("item", opened.fields.left)
    parts = draft.parts
    if rest:
        about = {"kind": "conversation.imported", "data": {"item": rest}}
        parts = [Fact("-/item", GenericEvent, about), *parts]
    check_sizes(parts, max(largest, len(content)))
    return Conversation(
        format=chat.name,
        key=key,
        chain=tuple(chain),
        speakers=draft.speakers or (ASSISTANT,),
        parts=tuple(parts),
        labels={**labels, "format": chat.name, "place": place},
        occurred_at=at,
        kept=draft.kept,
    )


def messages_at(value: Any, messages_key: str | None, keys: Sequence[str]) -> Opened:
    """Return the messages under one of these keys, or under the one that is named. Raises :class:`Wrong`."""
    if isinstance(value, list) and messages_key is None:
        return Opened(_checked(value), Fields({}))
    if not isinstance(value, dict):
        raise Wrong(f"has {named(value)} where a list of messages should be")
    fields = Fields(value)
    for key in keys if messages_key is None else (messages_key,):
        holder, last = _holder(fields.left, key)
        if holder is not None:
            return Opened(_checked(holder.pop(last)), fields)
    wanted = " or ".join(map(repr, keys if messages_key is None else (messages_key,)))
    raise Wrong(f"has no {wanted}; name the key of its messages with --messages-key")


def _holder(fields: dict[str, Any], key: str) -> tuple[dict[str, Any] | None, str]:
    """Return the object that has the last key of a dotted path, a copy of its own within ``fields``, and that key."""
    if key in fields:
        return fields, key
    first, dot, rest = key.partition(".")
    if not dot or not isinstance(fields.get(first), dict):
        return None, key
    below = dict(fields[first])
    holder, last = _holder(below, rest)
    if holder is not None:
        fields[first] = below
    return holder, last


def _checked(messages: Any) -> list[Any]:
    if not isinstance(messages, list):
        raise Wrong(f"has {named(messages)} where a list of messages should be")
    if not messages:
        raise Wrong("has no messages")
    return messages


def _fits(text: str) -> bool:
    return len(text) <= _LABEL_MAX and is_clean(text)


def _labels(fields: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Return what labels can hold of the fields of an item, and the rest."""
    labels: dict[str, str] = {}
    rest: dict[str, Any] = {}
    for name, value in fields.items():
        text = value if isinstance(value, str) else None
        if isinstance(value, bool | int | float):
            text = json.dumps(value)
        if (
            text is not None
            and len(labels) < _LABELS_MAX
            and name
            and _fits(name)
            and name not in OUR_LABELS
            and _fits(text)
        ):
            labels[name] = text
        else:
            rest[name] = value
    return labels, rest
