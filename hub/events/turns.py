"""Turns: an agent at work on what it was told, from start to end. A pair of facts, tied together by ``turn_id``.

The hub watches a turn that has started; if its end never comes, ``turn.abandoned`` says so. See ``hub.turns``.
"""

from __future__ import annotations

from typing import Any

from ._declare import event
from ._event import Event

__all__ = ("TurnAbandoned", "TurnEnded", "TurnFailed", "TurnStarted")


@event("turn.started")
class TurnStarted(Event):
    """An agent began a turn. ``turn_id`` is unique; ``envelope_id`` is what it answers, ``prompt`` what it was told."""

    envelope_id: str = ""
    prompt: Any = None


@event("turn.ended")
class TurnEnded(Event):
    """The turn came to its end. ``content`` is what came out of it; None for a number that nobody counted."""

    content: Any = None
    tool_calls: int | None = None
    duration_ms: float | None = None


@event("turn.failed")
class TurnFailed(Event):
    """The agent crashed in the turn, or gave up."""

    envelope_id: str = ""
    error_type: str = ""
    error_message: str = ""
    duration_ms: float | None = None


@event("turn.abandoned")
class TurnAbandoned(Event):
    """The end of the turn has not come, and is no longer expected: ``reason`` says why, ``started_at`` since when.

    If it comes after all, that is a fact too: nothing is undone.
    """

    reason: str
    started_at: str = ""
