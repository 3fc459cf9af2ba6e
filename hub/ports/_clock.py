"""What a hub's clock is."""

from __future__ import annotations

from typing import Protocol

__all__ = ("Clock",)


class Clock(Protocol):
    """The source of a hub's time. :class:`hubwire.testing.ManualClock` is one that a test moves by hand."""

    def now_ns(self) -> int:
        """The time of day in nanoseconds since 1970-01-01T00:00:00Z. It may step, also backwards."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Return ``seconds`` later by this clock. Cancellable."""
