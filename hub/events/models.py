"""Model calls: a pair of facts with one ``call_id``. The hub watches for the end that never comes."""

from __future__ import annotations

from typing import Any

from ._declare import event
from ._event import Event
from ._severity import Severity

__all__ = ("ModelAbandoned", "ModelCalled", "ModelCompleted", "ModelFailed", "ModelProgressed")


@event("model.called")
class ModelCalled(Event):
    """An agent called a model. ``call_id`` is unique; ``request`` is the request, as far as it is to be kept."""

    model: str
    call_id: str
    request: Any = None


@event("model.completed")
class ModelCompleted(Event):
    """The model answered. A number that was not measured is None."""

    model: str
    call_id: str
    response: Any = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    duration_ms: float | None = None
    cost_usd: float | None = None
    """What the call cost, in US dollars, as the runtime reckons it."""


@event("model.progressed")
class ModelProgressed(Event):
    """The answer of a model comes in pieces: ``pieces`` of them by now, with ``characters``; ``text`` is their end.

    The first piece is told, and then how far it is every few seconds; ``model.completed`` has the whole.
    """

    model: str
    call_id: str
    pieces: int
    characters: int
    text: Any = None


@event("model.failed", severity=Severity.ERROR)
class ModelFailed(Event):
    """The model did not answer: it refused, or could not be reached."""

    model: str
    call_id: str
    error_type: str = ""
    error_message: str = ""
    duration_ms: float | None = None


@event("model.abandoned")
class ModelAbandoned(Event):
    """The end of the call did not come and is no longer expected, as ``reason`` says. It began at ``started_at``."""

    model: str
    call_id: str
    reason: str
    started_at: str = ""
