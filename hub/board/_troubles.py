"""The newest events that are wrong, or need attention."""

from __future__ import annotations

from collections import deque
from typing import Any

import attrs

from ._reading import NAME_MAX, TEXT_MAX, optional, text_or, whole

__all__ = ("TroubleEntry", "Troubles")

_SAYING = ("error_message", "reason", "error_type", "expectation", "guest", "listener")
"""The fields that say what is wrong, the best one first."""


@attrs.define(eq=False)
class TroubleEntry:
    seq: int
    at: str
    kind: str
    meaning: int
    agent_id: str | None
    channel_id: str | None
    name: str
    """The tool, model, action, listener or expectation that it is about."""
    text: str


class Troubles:
    """What went wrong last."""

    def __init__(self, most: int) -> None:
        self.entries: deque[TroubleEntry] = deque(maxlen=most)

    def add(self, event: Any, kind: str, meaning: int) -> None:
        """Take in an event that is wrong, or needs attention."""
        text = ""
        for field in _SAYING:
            text = text_or(getattr(event, field, None), "", TEXT_MAX)
            if text:
                break
        if kind == "inbox.pressured":
            text = f"{whole(event.pending)} of {whole(event.cap)} envelopes wait in its inbox"
        name = ""
        for field in ("tool", "model", "action", "listener", "expectation"):
            name = text_or(getattr(event, field, None))
            if name:
                break
        about = optional(event.agent_id), optional(event.channel_id)
        self.entries.append(TroubleEntry(event.seq, event.at, kind[:NAME_MAX], meaning, *about, name, text))

    def snapshot(self) -> list[TroubleEntry]:
        return list(self.entries)

    def restore(self, kept: list[TroubleEntry]) -> None:
        self.entries.extend(kept)
