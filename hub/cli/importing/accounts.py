"""The accounts of an import: what became of every item, by name and number."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import attrs

from ...events import ToolCalled, ToolCompleted, ToolFailed
from ..output import plural
from .conversation import BadItem, Conversation, Envelope, Fact

__all__ = ("Accounts",)

_NAMES_MAX = 12
_VARYING = re.compile(r"(?<=message )\d+|(?<=character )[\d,]+|(?<=byte )[\d,]+")


@attrs.define
class Accounts:
    """What an input holds, and what becomes of it."""

    items: int = 0
    messages: int = 0
    channels: int = 0
    envelopes: int = 0
    calls: int = 0
    completed: int = 0
    failed: int = 0
    facts: int = 0
    """The events that are none of these."""
    kept: Counter[str] = attrs.field(factory=Counter)
    refused: Counter[str] = attrs.field(factory=Counter)
    """By reason, how many items are refused."""
    there: int = 0
    """How many channels, envelopes and other parts were in the store before."""
    grown: int = 0
    """How many conversations go on that were in the store before."""

    @property
    def parts(self) -> int:
        return self.channels + self.envelopes + self.calls + self.completed + self.failed + self.facts

    def add(self, conversation: Conversation) -> None:
        """Count what is to be there of a conversation in the end."""
        self.channels += conversation.has_channel
        self.messages += len(conversation.chain)
        self.kept.update(conversation.kept)
        for part in conversation.parts:
            if isinstance(part, Envelope):
                self.envelopes += 1
            else:
                self._add_fact(part)

    def refuse(self, error: BadItem) -> None:
        """Count an item that is not imported, by what its refusal says beside the numbers and names of the item."""
        self.refused[_VARYING.sub("…", error.reason)] += 1

    def _add_fact(self, part: Fact) -> None:
        if part.kind is ToolCalled:
            self.calls += 1
        elif part.kind is ToolCompleted:
            self.completed += 1
        elif part.kind is ToolFailed:
            self.failed += 1
        else:
            self.facts += 1

    def summary(self) -> str:
        """Return what the input holds in one line."""
        facts = f", {plural(self.facts, 'other fact')}" if self.facts else ""
        return (
            f"{plural(self.channels, 'channel')}, {plural(self.envelopes, 'envelope')},"
            f" {plural(self.calls, 'tool call')}, {self.completed:,} completed, {self.failed:,} failed{facts}"
        )

    def lines(self) -> Iterator[str]:
        """Iterate over what is to be said besides: what was kept, and what was refused."""
        if self.kept:
            yield f"kept beside what is mapped: {_names(self.kept)}"
        if self.grown:
            yield f"{plural(self.grown, 'conversation')} had grown: only what is new was imported"
        if self.refused:
            yield f"refused, and not imported: {_names(self.refused)}"

    def as_json(self) -> dict[str, Any]:
        return {**attrs.asdict(self), "kept": dict(self.kept), "refused": dict(self.refused), "parts": self.parts}


def _names(names: Counter[str]) -> str:
    shown = [f"{name} {count:,}" for name, count in names.most_common(_NAMES_MAX)]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {plural(more, 'more name')}; --json has all" if more else "")
