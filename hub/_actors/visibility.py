"""Visibility: for how long a turn may hold its envelope before it is cancelled, and others get that."""

from __future__ import annotations

from ..errors import CommandRejected
from ..ports import Clock

__all__ = ("Visibility",)


class Visibility:
    """How long a turn may still hold its envelope. To what waits for the end of that, it is a clock."""

    __slots__ = ("_begun", "_clock", "_ends", "_times", "seconds")

    def __init__(self, clock: Clock, seconds: float | None) -> None:
        """None: there is no limit."""
        self.seconds: float | None = seconds
        self._clock = clock
        self._begun = 0.0 if seconds is None else clock.monotonic()
        self._ends: float | None = None if seconds is None else self._begun + seconds
        self._times = 0

    @property
    def text(self) -> str:
        """For how long the turn had its envelope, as its failure says it."""
        if not self._times or self._ends is None:
            return f"visibility_seconds={self.seconds:g}"
        held = self._ends - self._begun
        return f"{held:g} s (visibility_seconds={self.seconds:g}, extended {self._times} times)"

    def check(self, turn_id: str) -> None:
        """Raise if the time is over, and the turn is being cancelled."""
        if self._ends is not None and self._clock.monotonic() >= self._ends:
            raise CommandRejected(
                f"turn {turn_id} has held its envelope for its time and is being cancelled, so that it cannot extend"
                f" that any more: {self.text}; extend it earlier"
            )

    def extend(self, seconds: float) -> bool:
        """Let it end so many seconds from now, unless that is earlier; return whether that is later, or never."""
        if self._ends is None:
            return True
        if (ends := self._clock.monotonic() + seconds) <= self._ends:
            return False
        self._ends = ends
        self._times += 1
        return True

    # -- as a clock --

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return when the time of the turn is over, however often it is extended meanwhile."""
        left = seconds
        while left > 0:
            await self._clock.sleep(left)
            left = 0.0 if self._ends is None else self._ends - self._clock.monotonic()
