"""One timer for all the questions that wait: a timer each, which is nearly always cancelled, costs more."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping

from .calls import Ask

__all__ = ("Alarm",)

_PAUSE_SECONDS = 3e-6
"""How long after a look at all the next one is at the earliest, for each that is looked at: ten times what it takes."""


class Alarm:
    """Lets each question expire when its time is over, by the clock of the system."""

    def __init__(self, asks: Mapping[str, Ask]) -> None:
        """``asks``: all that wait now."""
        self._asks = asks
        self._end = math.inf
        """When the timer ends."""
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, ask: Ask) -> None:
        """Let this one expire in its time, if it waits then."""
        if ask.end < self._end:
            self._set(ask.end, ask.left())

    def stop(self) -> None:
        """Let none expire any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._end = None, math.inf

    def _set(self, end: float, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._end = end
        self._timer = asyncio.get_running_loop().call_later(seconds, self._ring)

    def _ring(self) -> None:
        self._timer, self._end = None, math.inf
        following: Ask | None = None
        for ask in self._asks.values():
            if ask.left() <= 0:
                ask.expire()
            elif following is None or ask.end < following.end:
                following = ask
        if following is not None:
            self._set(following.end, max(following.left(), len(self._asks) * _PAUSE_SECONDS))
