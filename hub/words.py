"""The words for an event: one line that says what it is about, the same wherever people read it.

``hubwire tail``, the dashboard and views of your own use it: :func:`words_of` for the line, :func:`meaning_of` and
:func:`outcome_of` for how it looks, :class:`Names` for what agents and channels are called.
"""

from __future__ import annotations

import re
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Literal

from . import codec
from ._gists import gist_of
from .board._counts import meaning_of as _number_of
from .errors import InvalidRecord

__all__ = (
    "Meaning",
    "Names",
    "Outcome",
    "cells_of",
    "crop",
    "escape",
    "gist_of",
    "holds_name",
    "meaning_of",
    "outcome_of",
    "took_ms_of",
    "without_contents",
    "words_of",
)

Meaning = Literal["wrong", "attention"]
Outcome = Literal["ok", "failed", "refused", "denied", "expired", "abandoned", "late", "open"]

CHARS_MAX = 200
_NAMES_MAX = 10_000

_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
_NOT_ASCII = re.compile(r"[^\x20-\x7e]")


def words_of(fields: Mapping[str, Any], names: Names) -> str:
    """Return what the fields of an event say in one line, without who and where it was: at most 200 characters.

    ``fields`` are those of a record, as JSON has them. What is not printable is escaped. It never raises for what a
    field holds.
    """
    return crop(escape(gist_of(fields, names)[:CHARS_MAX]), CHARS_MAX)


# --- how it looks ---------------------------------------------------------------------------------------------------


def meaning_of(fields: Mapping[str, Any]) -> Meaning | None:
    """Return whether an event is wrong or needs attention, as boards have it; None for all others."""
    found = _number_of(str(fields.get("kind", "")), fields.get("severity"), fields.get("outcome"))
    return _MEANINGS[found]


def outcome_of(fields: Mapping[str, Any]) -> Outcome | None:
    """Return what has become of what an event tells, or ``open`` where it begins what ends later; None for neither."""
    stated = fields.get("outcome")
    if isinstance(stated, str) and (found := _STATED.get(stated)):
        return found
    kind = fields.get("kind")
    if not isinstance(kind, str):
        return None
    return _OUTCOMES.get(kind) or _BY_VERB.get(kind.rpartition(".")[2])


def took_ms_of(fields: Mapping[str, Any]) -> float | None:
    """Return how many milliseconds that took which an event ends; None where that is not told."""
    took = fields.get("duration_ms")
    return took if isinstance(took, (int, float)) and not isinstance(took, bool) and 0 <= took < 1e15 else None


# --- without contents -----------------------------------------------------------------------------------------------


def without_contents(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an event with names, numbers and sizes alone: what was said is told by its size.

    For who may see that agents work, and not on what.
    """
    return {name: value if name in _NAMING else _size_of(value) for name, value in fields.items()}


def _size_of(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return f"{len(value):,} characters" if value else ""
    if isinstance(value, dict) and isinstance(text := value.get("text"), str):
        return f"{len(text):,} characters"
    if isinstance(value, (dict, list)):
        return f"{len(value):,} {'entry' if len(value) == 1 else 'entries'}" if value else value
    return "hidden"


_NAMING = frozenset(
    (
        *("action", "actor", "agent_id", "answerer_id", "approval_id", "approvers", "asker_id", "at", "audience"),
        *("call_id", "capabilities", "capability", "causation_id", "channel_id", "correlation_id", "creator_id", "cut"),
        *(
            "d",
            "decided_by",
            "depth",
            "duty",
            "envelope_id",
            "error_type",
            "expectation",
            "fail_mode",
            "failed",
            "from",
        ),
        *("group", "guest", "h", "hub", "id", "in_reply_to", "invited", "kind", "level", "listener", "mode", "model"),
        *("name", "occurred_at", "on_violation", "outcome", "owner_id", "parent_id", "participants", "passed"),
        *(
            "pattern",
            "phase",
            "provider",
            "recipients",
            "recipient_id",
            "role",
            "scorer",
            "segment",
            "seq",
            "session_id",
        ),
        *("severity", "skill", "source", "source_id", "span_id", "stage", "state", "stop_reason", "task_id", "tenant"),
        *("timer_id", "tool", "topic", "traceparent", "turn_id", "type", "verdict", "version", "violators"),
    )
)
"""The fields that name what an event is about: the others hold what was said, done, or found."""


_MEANINGS: tuple[Meaning | None, ...] = (None, "attention", "wrong")

_STATED: Mapping[str, Outcome] = {"success": "ok", "failure": "failed", "denied": "denied"}

_OUTCOMES: Mapping[str, Outcome] = {
    "approval.requested": "open",
    "listener.suspended": "failed",
    "expectation.violated": "failed",
    "loop.blocked": "refused",
    "turn.ended": "ok",
    "turn.started": "open",
    "task.started": "open",
    "model.called": "open",
    "tool.called": "open",
}
_BY_VERB: Mapping[str, Outcome] = {
    **dict.fromkeys(("completed", "approved", "accepted"), "ok"),
    **dict.fromkeys(("crashed", "dead_lettered", "dispatch_failed", "dropped", "failed", "mirror_failed"), "failed"),
    **dict.fromkeys(("declined", "nacked", "refused", "rejected"), "refused"),
    **dict.fromkeys(("denied",), "denied"),
    **dict.fromkeys(("expired",), "expired"),
    **dict.fromkeys(("abandoned", "cancelled", "withdrawn"), "abandoned"),
}


# --- names -----------------------------------------------------------------------------------------------------------


def holds_name(line: bytes) -> bool:
    """Tell whether a line may say what an agent or a channel is called."""
    return b'"kind":"agent.registered"' in line or b'"kind":"channel.created"' in line


class Names:
    """The names of agents and the topics of channels, as far as the records read so far hold them.

    Only the last 10,000 of each, so that memory does not grow with the log. ``look_up`` is asked for the name of an
    agent that is not among them; it returns an empty text where it has none.
    """

    def __init__(self, look_up: Callable[[str], str] | None = None) -> None:
        self._look_up = look_up
        self._agents: OrderedDict[str, str] = OrderedDict()
        self._channels: OrderedDict[str, str] = OrderedDict()

    def learn_line(self, line: bytes) -> None:
        """Learn from a line, without decoding lines that hold no name."""
        if holds_name(line):
            try:
                self.learn(codec.decode_fields(line))
            except InvalidRecord:
                return

    def learn(self, fields: dict[str, Any]) -> None:
        match fields:
            case {"kind": "agent.registered", "agent_id": str(agent_id), "name": str(name)}:
                _remember(self._agents, agent_id, name)
            case {"kind": "channel.created", "channel_id": str(channel_id), "topic": str(topic)} if topic:
                _remember(self._channels, channel_id, topic)

    def agent(self, agent_id: str) -> str:
        if found := self._agents.get(agent_id):
            return found
        if self._look_up is not None and (found := self._look_up(agent_id)):
            _remember(self._agents, agent_id, found)
            return found
        return _short(agent_id)

    def channel(self, channel_id: str) -> str:
        """Return the topic of a channel, or the end of its id."""
        return self._channels.get(channel_id) or _short(channel_id)

    def any(self, identifier: str) -> str:
        """Return what an agent or a channel is called, or the end of the id."""
        return self._channels.get(identifier) or self.agent(identifier)


def _remember(names: OrderedDict[str, str], key: str, name: str) -> None:
    names[key] = name
    if len(names) > _NAMES_MAX:
        names.popitem(last=False)


def _short(identifier: str) -> str:
    """The end of an id: ids sort by time, so those of one moment have the same beginning."""
    return f"…{identifier[-8:]}" if len(identifier) == 32 else identifier


# --- safety -----------------------------------------------------------------------------------------------------------


def escape(text: str) -> str:
    r"""Return the text on one line, with every character that is not printable as ``\x1b``, ``\u202e``, ``\n``.

    Such characters move the cursor, change colours, ring the bell, reverse the direction of writing, or look like
    another character: the Unicode categories of control, format, surrogate, private and unassigned, and all spaces but
    the usual one.
    """
    return text if text.isprintable() else _NOT_ASCII.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    if char.isprintable():
        return char
    code = ord(char)
    return _ESCAPES.get(char) or (
        f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    )


def cells_of(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(char: str) -> int:
    return 2 if unicodedata.east_asian_width(char) in "WF" else not unicodedata.combining(char)


def crop(text: str, cells: int) -> str:
    """Cut the text to this many cells of a terminal, in which a wide character takes two."""
    if len(text) * 2 <= cells:
        return text
    used = 0
    for index, char in enumerate(text):
        used += _cells(char)
        if used > cells:
            return f"{text[: index - 1]}…"
    return text
