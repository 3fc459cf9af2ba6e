"""Events that a listener is to get again, by itself, between two of its batches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import attrs

from .._values import Value
from ..events import Event
from .handling import Failure

__all__ = ("Again", "Answered")


@attrs.frozen(eq=False, repr=False)
class Answered(Value):
    """The listener was called; it has handled the events if there is no failure."""

    failure: Failure | None


class Again:
    """Events, and what comes of them."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events: Sequence[Event] = events
        self.answer: asyncio.Future[Answered | None] = asyncio.get_running_loop().create_future()

    def settle(self, answered: Answered | None) -> None:
        """Say what has come of it; None: the listener was not called, or in the middle of it came to its end."""
        if not self.answer.done():
            self.answer.set_result(answered)
