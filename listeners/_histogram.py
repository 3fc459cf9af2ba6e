"""A histogram of durations, in buckets as Prometheus has them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

__all__ = ("Histogram",)


class Histogram:
    """Collects microseconds in buckets; ``bounds_seconds`` are their upper bounds, and the last one has none."""

    def __init__(self, bounds_seconds: Sequence[float]) -> None:
        self._bounds_seconds = tuple(bounds_seconds)
        self._bounds = tuple(round(bound * 1_000_000) for bound in bounds_seconds)
        self._count = 0
        self._sum = 0
        self._max = 0
        self._min: int | None = None
        self._buckets = [0] * (len(self._bounds) + 1)

    def add(self, values: list[int]) -> None:
        """Add values; negative ones, from a clock that was set back, count as 0."""
        if not values:
            return
        smallest, largest = min(values), max(values)
        if smallest < 0:
            values = [max(value, 0) for value in values]
            smallest, largest = 0, max(largest, 0)
        self._count += len(values)
        self._sum += sum(values)
        self._max = max(self._max, largest)
        self._min = smallest if self._min is None else min(self._min, smallest)
        # Events of one batch are of similar age, and usually fall into one bucket.
        bucket = bisect_left(self._bounds, smallest)
        if bucket == bisect_left(self._bounds, largest):
            self._buckets[bucket] += len(values)
            return
        for value in values:
            self._buckets[bisect_left(self._bounds, value)] += 1

    def numbers(self) -> dict[str, Any]:
        """Return what a :class:`hubwire.listeners.metrics.Latency` is made of."""
        return {
            "count": self._count,
            "sum_seconds": self._sum / 1e6,
            "max_seconds": self._max / 1e6,
            "bounds_seconds": self._bounds_seconds,
            "buckets": tuple(self._buckets),
            "min_seconds": (self._min or 0) / 1e6,
        }
