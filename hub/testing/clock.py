"""ManualClock: time that a test moves by hand."""

from __future__ import annotations

import heapq
from itertools import count

import anyio
import anyio.lowlevel

__all__ = ("ManualClock",)


class ManualClock:
    """A :class:`~hubwire.ports.Clock` that stands still until :meth:`advance`.

    With ``seconds_per_look`` it moves on by so much at each look, after the answer, as a real clock does: code that
    looks twice and takes both answers for the same moment is found by it.
    """

    def __init__(self, *, start_ns: int = 1_767_225_600_000_000_000, seconds_per_look: float = 0.0) -> None:
        self._seconds_per_look = seconds_per_look
        self._now_ns = start_ns
        self._elapsed = 0.0
        self._order = count()
        self._sleepers: list[tuple[float, int, anyio.Event]] = []

    def __repr__(self) -> str:
        return f"<ManualClock after {self._elapsed:g} s: {len(self._sleepers)} sleepers>"

    def now_ns(self) -> int:
        now_ns = self._now_ns
        self._looked()
        return now_ns

    def monotonic(self) -> float:
        elapsed = self._elapsed
        self._looked()
        return elapsed

    def _looked(self) -> None:
        if self._seconds_per_look:
            self.advance(self._seconds_per_look)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await anyio.lowlevel.checkpoint()
            return
        awake = anyio.Event()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), awake))
        await awake.wait()

    @property
    def sleepers(self) -> int:
        """How many sleeps have not come to their end."""
        return len(self._sleepers)

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` go by, and end the sleeps that are over then."""
        self._elapsed += seconds
        self._now_ns += round(seconds * 1e9)
        while self._sleepers and self._sleepers[0][0] <= self._elapsed:
            heapq.heappop(self._sleepers)[2].set()

    def step(self, seconds: float) -> None:
        """Set the time of day, as an administrator would: no sleep gets shorter or longer."""
        self._now_ns += round(seconds * 1e9)
