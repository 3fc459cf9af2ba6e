"""Sessions of Claude Code, as it keeps them: lines with a message each, among others that are about the session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from ...grading import Deed
from ..importing.anthropic import Anthropic
from ..importing.conversation import Draft
from ..importing.fields import Wrong
from .conversations import clean_text, deeds_of_parts

__all__ = ("SessionDeeds", "is_session_line")

_MESSAGES = ("user", "assistant")
_OTHERS = frozenset(
    {"summary", "system", "file-history-snapshot", "queue-operation", "progress", "attachment", "last-prompt"}
)


def is_session_line(value: Any) -> bool:
    """Tell whether a value is a line of a session of Claude Code."""
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        return False
    if value["type"] in _MESSAGES:
        return isinstance(value.get("message"), Mapping) and ("sessionId" in value or "uuid" in value)
    return value["type"] in _OTHERS and not ("content" in value and "role" in value)


@attrs.define
class _Session:
    draft: Draft = attrs.field(factory=Draft)
    places: list[str] = attrs.field(factory=list)


class SessionDeeds:
    """Reads lines, and gives the deeds of each session; a session of a subagent is one of its own."""

    def __init__(self) -> None:
        self._sessions: dict[str, _Session] = {}
        self._others: Counter[str] = Counter()
        self._format = Anthropic()
        self._seen: set[str] = set()

    def add(self, value: Mapping[str, Any], place: str) -> None:
        """Take a line. Raises :class:`~hubwire.cli.importing.fields.Wrong` for a message that cannot be read."""
        kind = value.get("type")
        if kind not in _MESSAGES:
            self._others[clean_text(kind)] += 1
            return
        if value.get("isMeta") is True or value.get("isApiErrorMessage") is True:
            self._others["notes of the program itself"] += 1
            return
        uuid = clean_text(value.get("uuid"))
        if uuid and uuid in self._seen:  # a session that was resumed begins with what it goes on from
            return
        self._seen.add(uuid)
        group = clean_text(value.get("sessionId"))
        if value.get("isSidechain") is True:
            group += f"/{clean_text(value.get('agentId') or 'subagent')}"
        session = self._sessions.setdefault(group, _Session())
        message = value.get("message")
        if not isinstance(message, Mapping):
            raise Wrong("has no message")
        self._format.put(session.draft, len(session.places), _bare(message))
        session.places.append(place)

    def deeds(self) -> Iterator[Deed]:
        for group, session in self._sessions.items():
            yield from deeds_of_parts(session.draft.parts, group, session.places)

    @property
    def notes(self) -> Iterator[str]:
        """What of the lines says nothing that a log could have."""
        if self._others:
            counts = ", ".join(f"{count:,} {name}" for name, count in sorted(self._others.items()))
            yield f"lines that are no messages: {counts}"
        yield "Claude Code keeps no record of what it asked its user to allow: approvals of the log stand alone"


def _bare(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message without what the API says of it: tokens, and why it stopped."""
    return {key: message[key] for key in ("role", "content", "type") if key in message}
