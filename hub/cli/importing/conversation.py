"""A conversation that an input holds, ready to be put into a hub: who speaks, what was said, called and returned."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from ... import codec
from ...errors import EventTooLarge
from ...events import Event, ToolCalled, ToolCompleted, ToolFailed, canonical
from ..failures import CommandFailed
from .fields import Wrong, as_text, clean, is_clean

__all__ = (
    "ASSISTANT",
    "EVENT_BYTES_MAX",
    "UNKNOWN_TOOL",
    "BadItem",
    "Conversation",
    "Draft",
    "Envelope",
    "Fact",
    "Part",
    "Speaker",
    "check_sizes",
    "said",
    "speaker_of",
)

EVENT_BYTES_MAX = 8 * 1024 * 1024
_PAYLOAD_MAX = EVENT_BYTES_MAX - 64 * 1024
_ESCAPED_BYTES_MAX = 6
"""How many bytes one byte of the input may become in a record."""
UNKNOWN_TOOL = "unknown"
"""The tool of a result that names none, and of which the call is not in the record."""


class BadItem(CommandFailed):
    """One item is refused; ``place`` says which one, for example ``line 7``."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


@attrs.frozen(order=True)
class Speaker:
    """Who says or does: one agent for each role and name."""

    role: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.role}:{self.name}" if self.name else self.role


ASSISTANT = Speaker("assistant")


def speaker_of(role: str, name: Any) -> Speaker:
    """Return the speaker of a message; a name that no agent can have is refused."""
    if name is None or name == "":
        return Speaker(role)
    return Speaker(role, clean(as_text(name), "name"))


@attrs.frozen
class Envelope:
    """The content of one message of one speaker; it may be empty."""

    id: str
    speaker: Speaker
    content: Any
    occurred_at: str | None = None

    @property
    def message(self) -> int:
        return message_of(self.id)


@attrs.frozen
class Fact:
    """An event that a program may emit: a call, a result."""

    id: str
    kind: type[Event]
    fields: Mapping[str, Any]
    speaker: Speaker | None = None
    """The agent that it is about; None if the record names it by an id of its own, or not at all."""
    occurred_at: str | None = None
    metadata: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def message(self) -> int:
        return message_of(self.id)


def message_of(part_id: str) -> int:
    """Return the number of the message that a part is of; -1 for what is said of the item as a whole."""
    number = part_id.partition("/")[0]
    return int(number) if number.isdecimal() else -1


Part = Envelope | Fact


@attrs.frozen(kw_only=True)
class Conversation:
    """What becomes one channel, or, without ``speakers``, facts that are in none.

    The ``id`` of a part is ``<message>/<part>``.
    """

    format: str
    key: str
    """The digest of the item: the same content has the same, wherever it is."""
    chain: tuple[str, ...] = ()
    """The digests of the first message, the first two, and so on."""
    speakers: tuple[Speaker, ...] = ()
    parts: tuple[Part, ...]
    labels: Mapping[str, str] = attrs.field(factory=dict)
    occurred_at: str | None = None
    kept: Mapping[str, int] = attrs.field(factory=dict)
    """By where it stood, how often each name was kept that is not mapped."""
    has_channel: bool = True


@attrs.define(eq=False)
class _Made:
    """A call that was made."""

    call_id: str
    tool: str
    speaker: Speaker
    is_answered: bool = False


class _Calls:
    """The calls of a conversation, so that each result finds its own.

    The nth result of an id belongs to its nth call. One without an id belongs to the first call of its tool that has
    no result yet, and without a tool, too, to the first of all.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, list[_Made]] = {}
        self._answers: Counter[str] = Counter()
        self._by_tool: dict[str, deque[_Made]] = {}
        self._all: deque[_Made] = deque()
        self._taken: dict[str, int] = {}

    def make(self, given: str, tool: str, speaker: Speaker, fallback: str) -> str:
        """Add a call; return its id, which no other call of the conversation has."""
        made = _Made(self.unique(given or fallback), tool, speaker)
        if given:
            self._by_id.setdefault(given, []).append(made)
        self._by_tool.setdefault(tool, deque()).append(made)
        self._all.append(made)
        return made.call_id

    def answer(self, given: str, tool: str | None) -> _Made | None:
        """Return the call that a result belongs to; None if it is not in the record."""
        made = self._of_id(given) if given else self._next(self._all if tool is None else self._by_tool.get(tool))
        if made is not None:
            made.is_answered = True
        return made

    def unique(self, wanted: str) -> str:
        """Return an id that no other call has: the second of ``x`` is ``x#2``."""
        number = self._taken.get(wanted, 0) + 1
        call_id = wanted if number == 1 else f"{wanted}#{number}"
        while call_id in self._taken and call_id != wanted:  # the record has an id that looks like this
            number += 1
            call_id = f"{wanted}#{number}"
        self._taken[wanted] = number
        self._taken.setdefault(call_id, 1)
        return call_id

    def _of_id(self, given: str) -> _Made | None:
        calls = self._by_id.get(given, ())
        number = self._answers[given]
        self._answers[given] += 1
        return calls[number] if number < len(calls) else None

    def _next(self, waiting: deque[_Made] | None) -> _Made | None:
        while waiting and waiting[0].is_answered:
            waiting.popleft()
        return waiting[0] if waiting else None


class Draft:
    """A conversation while a format reads it, message by message."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.kept: Counter[str] = Counter()
        self._speakers: dict[Speaker, None] = {}
        self._calls = _Calls()

    @property
    def speakers(self) -> tuple[Speaker, ...]:
        return tuple(self._speakers)

    def keep(self, place: str, rest: Mapping[str, Any]) -> None:
        """Count names that are kept, and not mapped."""
        self.kept.update(f"{place}.{name}" for name in rest)

    def say(
        self,
        number: int,
        speaker: Speaker,
        content: Mapping[str, Any],
        rest: Mapping[str, Any] | None = None,
        *,
        at: str | None = None,
    ) -> None:
        """Add what a message says, with what else it has."""
        self._speakers[speaker] = None
        if rest:
            self.keep("message", rest)
            content = {**content, "more": dict(rest)}
        self.parts.append(Envelope(f"{number}/envelope", speaker, dict(content), at))

    def call(
        self,
        part: str,
        speaker: Speaker,
        tool: str,
        call_id: Any,
        arguments: Any,
        *,
        rest: Mapping[str, Any] | None = None,
        at: str | None = None,
    ) -> str:
        """Add a call, of a ``part`` such as ``3/call-0``; return the id that it has here."""
        self._speakers[speaker] = None
        given = _id_text(call_id)
        metadata = dict(rest or {})
        made = self._calls.make(given, tool, speaker, part.replace("/", "-"))
        if made != call_id and call_id is not None:
            metadata["call_id"] = call_id
        self.keep("call", metadata)
        fields = {"tool": tool, "call_id": made, "arguments": arguments}
        self.parts.append(Fact(part, ToolCalled, fields, speaker, at, metadata))
        return made

    def result(
        self,
        part: str,
        tool: str | None,
        call_id: Any,
        content: Any,
        *,
        failed: bool = False,
        error_type: str = "Error",
        rest: Mapping[str, Any] | None = None,
        at: str | None = None,
    ) -> None:
        """Add the result of a call, which may not be in the record."""
        given = _id_text(call_id)
        made = self._calls.answer(given, tool)
        metadata = dict(rest or {})
        if made is None:
            name, speaker = tool or UNKNOWN_TOOL, ASSISTANT
            own_id = self._calls.unique(given or part.replace("/", "-"))
        else:
            name, speaker, own_id = made.tool, made.speaker, made.call_id
            if tool is not None and tool != name:
                metadata["tool"] = tool
        if own_id != call_id and call_id is not None:
            metadata["call_id"] = call_id
        self._speakers[speaker] = None
        self.keep("result", metadata)
        about: dict[str, Any] = {"tool": name, "call_id": own_id}
        if not failed:
            self.parts.append(Fact(part, ToolCompleted, {**about, "result": content}, speaker, at, metadata))
            return
        text = "" if content is None else as_text(content)
        if not is_clean(text):
            metadata["error_message"], text = content, text.encode(errors="backslashreplace").decode()
        about |= {"error_type": error_type, "error_message": text}
        self.parts.append(Fact(part, ToolFailed, about, speaker, at, metadata))

    def fact(
        self, part: str, kind: type[Event], fields: Mapping[str, Any], speaker: Speaker | None, **more: Any
    ) -> None:
        """Add another fact."""
        if speaker is not None:
            self._speakers[speaker] = None
        self.parts.append(Fact(part, kind, fields, speaker, **more))


def _id_text(call_id: Any) -> str:
    """Return an id as text; none, where it is missing, null or empty."""
    return "" if call_id is None else clean(as_text(call_id), "id")


_MAY_BE_EMPTY = ("annotations", "logprobs")
_TEXT_TYPES = (None, "text", "input_text", "output_text")


def said(content: Any) -> dict[str, Any]:
    """Return the content of an envelope for the content of a message: text, parts, or another value.

    One part that is text and no more is text.
    """
    if isinstance(content, list):
        text = _only_text(content[0]) if len(content) == 1 else None
        return {"parts": content} if text is None else {"text": text}
    return {"value": content} if isinstance(content, dict) else {"text": content}


def _only_text(part: Any) -> str | None:
    if not isinstance(part, dict) or part.get("type") not in _TEXT_TYPES or not isinstance(part.get("text"), str):
        return None
    if any(part[key] not in (None, []) for key in part if key in _MAY_BE_EMPTY):
        return None
    return str(part["text"]) if set(part) <= {"type", "text", *_MAY_BE_EMPTY} else None


def check_sizes(parts: Iterable[Part], bytes_of_input: int) -> None:
    """Refuse an item of which a part would be longer than an event may be. Raises :class:`Wrong`."""
    if bytes_of_input * _ESCAPED_BYTES_MAX <= _PAYLOAD_MAX:
        return
    for part in parts:
        payload = part.content if isinstance(part, Envelope) else [part.fields, part.metadata]
        try:
            size = len(codec.encode_fields({"payload": canonical(payload)}))
        except EventTooLarge as error:
            size = error.size_bytes
        if size > _PAYLOAD_MAX:
            what = f"message {part.message} is longer" if part.message >= 0 else "what it says of itself is longer"
            raise Wrong(f"{what} than an event may be, which is {EVENT_BYTES_MAX:,} bytes")
