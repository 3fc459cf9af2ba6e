"""How long appends to the journal take: the latency of the store, of the last minute."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from time import perf_counter_ns

__all__ = ("AppendTimes",)

_HALF_NS = 30_000_000_000
_STEPS = 8
"""So many buckets for each doubling: what is told is wrong by 6 % at most."""
_STEP_BITS = 3
_BUCKETS = 44 * _STEPS
"""Up to an hour: what takes longer counts as that."""


class AppendTimes:
    """Counts durations in buckets, for half a minute; those of the half minute before are still told.

    It is real time, as of the pulse of a hub: no clock of the hub's may say how long a disk takes.
    """

    def __init__(self) -> None:
        self._now: list[int] = [0] * _BUCKETS
        self._before: list[int] = [0] * _BUCKETS
        self._ends_ns = 0
        """When the half minute is over."""

    def add(self, begun_ns: int, ended_ns: int) -> None:
        """Count an append, by two readings of ``time.perf_counter_ns()``."""
        if ended_ns >= self._ends_ns:
            self._turn(ended_ns)
        self._now[min(_bucket(ended_ns - begun_ns), _BUCKETS - 1)] += 1

    def seconds(self, *shares: float, at_ns: int | None = None) -> Iterator[float | None]:
        """Return what so large shares of all appends took at most: 0.99 for the 99th percentile; None without any."""
        now_ns = perf_counter_ns() if at_ns is None else at_ns
        if now_ns >= self._ends_ns:
            self._turn(now_ns)
        sums = list(accumulate(a + b for a, b in zip(self._now, self._before, strict=True)))
        for share in shares:
            wanted = share * sums[-1]
            yield next((_middle(at) / 1e9 for at, so_far in enumerate(sums) if so_far >= wanted), 0) if wanted else None

    def _turn(self, now_ns: int) -> None:
        is_next = now_ns < self._ends_ns + _HALF_NS
        self._before = self._now if is_next else [0] * _BUCKETS
        self._now = [0] * _BUCKETS
        self._ends_ns = self._ends_ns + _HALF_NS if is_next else now_ns + _HALF_NS


def _bucket(ns: int) -> int:
    """Return the bucket of a duration: exact below eight, then eight for each doubling."""
    shift = max(ns.bit_length() - _STEP_BITS - 1, 0)
    return shift * _STEPS + (ns >> shift)


def _middle(bucket: int) -> float:
    """Return the duration in the middle of a bucket, in nanoseconds."""
    shift = max(bucket // _STEPS - 1, 0)
    return float((bucket - shift * _STEPS) << shift) + ((1 << shift) - 1) / 2
