"""The ring: one buffer of recent events, which every reader in the hub reads from a place of its own.

A watermark is a ``seq`` that only grows: events below it have got that far. **applied** counts what the state machines
know, **journaled** what the journal has, **committed** what the journal and every required listener have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..events import Event
from ..limits import BATCH_BYTES_MAX, RING_BYTES_MAX
from ..waking import Waker
from .groups import Groups
from .weights import Weights

__all__ = ("Ring", "Watermark")

_SIFT_MIN = 500
"""How many futures are looked through at least before those that are done are thrown away."""

_TRIM = 1024
"""The ring forgets in steps: cutting a list costs its length."""


class Watermark:
    """A number that only grows, and that one can wait for."""

    def __init__(self) -> None:
        self.value: int = 0
        self.ended: bool = False
        self._waiters: list[asyncio.Future[None]] = []
        self._waker = Waker()
        self._sift_at = _SIFT_MIN

    def advance(self, value: int) -> None:
        self.value = value
        if self._waiters:
            self._wake()

    def end(self) -> None:
        """The watermark does not move any more: wake all waiters, and let no later one wait."""
        self.ended = True
        self._wake()

    def next_move(self) -> asyncio.Future[None]:
        """Return a future that is done when the watermark moves or ends."""
        future = asyncio.get_running_loop().create_future()
        if self.ended:
            future.set_result(None)
            return future
        if len(self._waiters) >= self._sift_at:
            # A task that waits with a timeout leaves a future each time, and a hub may be idle for days.
            self._waiters = [waiter for waiter in self._waiters if not waiter.done()]
            self._sift_at = max(_SIFT_MIN, 2 * len(self._waiters))
        self._waiters.append(future)
        return future

    async def wait_beyond(self, value: int) -> bool:
        """Return True as soon as the watermark is more than ``value``; False if it never will be."""
        while self.value <= value:
            if self.ended:
                return False
            await self.next_move()
        return True

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        self._waker.wake(waiters)


class Ring:
    """The events ``[first, applied)``: at most ``capacity`` and a little more of them, and no more bytes than a budget.

    Both are exceeded while a reader needs more, or what was put last is not committed.
    """

    def __init__(
        self, capacity: int, *, bytes_max: int = RING_BYTES_MAX, batch_bytes_max: int = BATCH_BYTES_MAX
    ) -> None:
        self.first: int = 0
        self.applied: Watermark = Watermark()
        self.journaled: Watermark = Watermark()
        self.committed: Watermark = Watermark()
        self.trim_at: int = capacity + _TRIM
        """The ``seq`` that ``applied`` has to reach before cutting is worth it."""
        self.weights: Weights = Weights()
        """What the heavy ones among the events weigh."""
        self.groups: Groups = Groups()
        """Which of the events that are not journaled have to be journaled together."""
        self.is_numbered: bool = False
        """Whether the ``seq`` of the next event is known: not before the journal was read."""
        self._capacity = capacity
        self._bytes_max = bytes_max
        self.batch_bytes_max: int = batch_bytes_max
        """What a batch weighs at most, unless its reader asks for less."""
        self._events: list[Event] = []

    @property
    def in_flight(self) -> int:
        """How many events are applied and not yet committed."""
        return self.applied.value - self.committed.value

    def start_at(self, next_seq: int) -> None:
        """Go on numbering from ``next_seq``: events before it are committed, and not here."""
        assert not self._events
        self.is_numbered = True
        self.first = next_seq
        self.trim_at = next_seq + self._capacity + _TRIM
        for watermark in (self.applied, self.journaled, self.committed):
            watermark.advance(next_seq)

    @property
    def bytes_in_flight(self) -> int:
        """How much the events weigh that are applied and not yet committed."""
        return self.weights.between(self.committed.value, self.applied.value) if self.weights.seqs else 0

    def weigh(self, seq: int, weight: int) -> None:
        """Note the weight of a heavy event that is about to be put."""
        weights = self.weights
        weights.add(seq, weight)
        if weights.held() > self._bytes_max:
            self.trim_at = seq

    def is_full_from(self, seq: int) -> bool:
        """Return whether a reader at ``seq`` holds as much of the ring as it may."""
        weights = self.weights
        return bool(weights.seqs) and weights.between(seq, self.applied.value) >= self._bytes_max

    def batch_end(self, start: int, end: int, bytes_max: int | None = None) -> int:
        """Return the end, at most ``end``, of a batch of events from ``start`` on: one event at least."""
        weights = self.weights
        return weights.end_within(start, end, bytes_max or self.batch_bytes_max) if weights.seqs else end

    def put(self, events: Sequence[Event]) -> None:
        """Add stamped events whose ``seq`` goes on from ``applied``."""
        applied = self.applied
        assert events[0].seq == applied.value
        self._events += events
        applied.advance(applied.value + len(events))

    def slice(self, start: int, end: int) -> list[Event]:
        """Return the events ``[start, end)``, all of which must be here."""
        assert self.first <= start
        return self._events[start - self.first : end - self.first]

    @property
    def excess_end(self) -> int:
        """The ``seq`` below which events are more than the ring keeps."""
        applied = self.applied.value
        excess = applied - self._capacity
        if self.weights.held() > self._bytes_max:
            # A quarter more than is needed, so that not every event makes the ring forget. The newest event stays.
            excess = max(excess, min(self.weights.start_within(self._bytes_max * 3 // 4), applied - 1))
        return excess

    def forget_before(self, seq: int) -> None:
        """Drop the events below ``seq``."""
        if seq > self.first:
            del self._events[: seq - self.first]
            self.first = seq
            self.trim_at = seq + self._capacity + _TRIM
            self.weights.forget_before(seq)
