"""Turns: an agent handles one envelope or prompt, from start to end. A pair of facts with one ``turn_id``.

The hub watches a turn that has started; if its end never comes, ``turn.abandoned`` says so. See ``hub.turns``.
"""

from __future__ import annotations

from typing import Any

from ._declare import event
from ._event import Event
from ._preview import preview
from ._severity import Severity

__all__ = ("TurnAbandoned", "TurnCommitted", "TurnEnded", "TurnExtended", "TurnFailed", "TurnStarted")


@event("turn.started")
class TurnStarted(Event):
    """An agent began a turn. ``turn_id`` is unique; ``envelope_id`` or ``prompt`` is the input that it handles."""

    envelope_id: str = ""
    prompt: Any = None

    @property
    def prompt_preview(self) -> str:
        """The first 200 characters of the prompt, as text or JSON."""
        return preview(self.prompt)


@event("turn.committed", command="turn.commit()")
class TurnCommitted(Event):
    """A turn commits what it held, with ``events``: they follow at once, as events of their own.

    It is written where there is a journal, so that a start can complete what a crash has torn.
    """

    envelope_id: str
    events: Any = ()


@event("turn.extended", command="turn.extend()")
class TurnExtended(Event):
    """A turn may hold its envelope for at least so many ``seconds`` from now on."""

    envelope_id: str
    seconds: float


@event("turn.ended")
class TurnEnded(Event):
    """The turn ended. ``content`` is its result. A number that was not measured is None."""

    content: Any = None
    tool_calls: int | None = None
    duration_ms: float | None = None

    @property
    def content_preview(self) -> str:
        """The first 200 characters of the content, as text or JSON."""
        return preview(self.content)


@event("turn.failed", severity=Severity.ERROR)
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
