"""Model calls: a pair of facts, tied together by ``call_id``. The hub watches for the end that never comes."""

from __future__ import annotations

from typing import Any

from ._declare import event
from ._event import Event

__all__ = ("ModelAbandoned", "ModelCalled", "ModelCompleted", "ModelFailed")


@event("model.called")
class ModelCalled(Event):
    """An agent asked a model. ``call_id`` is unique; ``request`` is what was asked, as far as it is to be kept."""

    model: str
    call_id: str
    request: Any = None


@event("model.completed")
class ModelCompleted(Event):
    """The model answered. A number that nobody measured is None."""

    model: str
    call_id: str
    response: Any = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    duration_ms: float | None = None


@event("model.failed")
class ModelFailed(Event):
    """The model gave no answer: it refused, or could not be reached."""

    model: str
    call_id: str
    error_type: str = ""
    error_message: str = ""
    duration_ms: float | None = None


@event("model.abandoned")
class ModelAbandoned(Event):
    """The end of the call has not come, and is no longer expected: ``reason`` says why, ``started_at`` since when."""

    model: str
    call_id: str
    reason: str
    started_at: str = ""
