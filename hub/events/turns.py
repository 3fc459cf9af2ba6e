"""Turns: an agent handles one envelope or prompt, from start to end. A pair of facts with one ``turn_id``.

The hub watches a turn that has started; if its end never comes, ``turn.abandoned`` says so. See ``hub.turns``.
"""

from __future__ import annotations

from typing import Any

from ._declare import event
from ._event import Event

__all__ = ("TurnAbandoned", "TurnEnded", "TurnFailed", "TurnStarted")


@event("turn.started")
class TurnStarted(Event):
    """An agent began a turn. ``turn_id`` is unique; ``envelope_id`` or ``prompt`` is the input that it handles."""

    envelope_id: str = ""
    prompt: Any = None


@event("turn.ended")
class TurnEnded(Event):
    """The turn ended. ``content`` is its result. A number that was not measured is None."""

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
    """The end of the turn did not come and is no longer expected, as ``reason`` says. It began at ``started_at``.

    If the end comes later, it is a fact too: no event is undone.
    """

    reason: str
    started_at: str = ""
