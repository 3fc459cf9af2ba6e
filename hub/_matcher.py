"""Patterns over kinds of events: ``*`` stands for any part of a kind, ``"tool.*"``, ``"*.failed"``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .errors import ConfigurationError
from .events import Event

__all__ = ("Matcher",)


class Matcher:
    """Selects the events whose kind one of the patterns matches, but none about the attachment named ``about``."""

    def __init__(self, pattern: str | Iterable[str], *, about: str | None = None) -> None:
        patterns = (pattern,) if isinstance(pattern, str) else tuple(pattern)
        if not patterns or not all(isinstance(pattern, str) and pattern for pattern in patterns):
            raise ConfigurationError(f"pattern {patterns!r} matches nothing; give kinds, with * for any part: 'tool.*'")
        self._expression = re.compile("|".join(re.escape(pattern).replace(r"\*", ".*") for pattern in patterns))
        self._about = about
        self.patterns = patterns
        self.takes_all = "*" in patterns
        self._known: dict[str, bool | None] = {}

    def select(self, events: Sequence[Event]) -> Sequence[Event]:
        known = self._known
        try:
            answers = [known[event.kind] for event in events]
        except KeyError:
            for event in events:
                if event.kind not in known:
                    known[event.kind] = self._ask(event.kind)
            answers = [known[event.kind] for event in events]
        if all(answers):
            return events
        return [event for event, answer in zip(events, answers, strict=True) if answer or self._is_other(event, answer)]

    def _ask(self, kind: str) -> bool | None:
        if not self._expression.fullmatch(kind):
            return False
        return None if kind.startswith(("listener.", "mailbox.")) else True

    def _is_other(self, event: Event, answer: bool | None) -> bool:
        return answer is None and getattr(event, "listener", None) != self._about
