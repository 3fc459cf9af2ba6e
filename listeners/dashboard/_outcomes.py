"""Outcomes as people know them: what became of what an event tells, whether its kind says so or its header."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import attrs

from hubwire.words import Outcome, outcome_of

from ._http import refused

__all__ = ("OUTCOMES", "Outcomes")

OUTCOMES: tuple[str, ...] = get_args(Outcome)

_STATED = {"success": "ok", "failure": "failed"}
"""The words that records have for the same."""


@attrs.frozen
class Outcomes:
    """Which outcomes are asked for; all events, if none is."""

    wanted: frozenset[str] = frozenset()

    @classmethod
    def of(cls, texts: tuple[str, ...]) -> Outcomes:
        """Return those that a request names. Raises :class:`~._http.Problem` for a word that is none."""
        found = frozenset(_STATED.get(text, text) for text in texts)
        for each in sorted(found.difference(OUTCOMES)):
            raise refused(f"outcome is one of {', '.join(OUTCOMES)}, not {each[:40]!r}", "outcome=failed")
        return cls(found)

    def takes(self, fields: Mapping[str, Any]) -> bool:
        """Tell whether an event has one of them; its ``kind`` and ``outcome`` are enough."""
        return not self.wanted or outcome_of(fields) in self.wanted
