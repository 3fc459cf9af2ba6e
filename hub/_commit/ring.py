"""The ring: one buffer of recent events, which every reader in the hub reads from a place of its own.

A watermark is a ``seq`` that only grows: events below it have got that far. **applied** counts what the state machines
know, **journaled** what the journal has, **committed** what the journal and every required listener have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..events import Event
from ..waking import Waker

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
    """The events ``[first, applied)``, at most ``capacity`` and a little more of them, unless a reader needs more."""

    def __init__(self, capacity: int) -> None:
        self.first: int = 0
        self.applied: Watermark = Watermark()
        self.journaled: Watermark = Watermark()
        self.committed: Watermark = Watermark()
        self.trim_at: int = capacity + _TRIM
        """The ``seq`` that ``applied`` has to reach before cutting is worth it."""
        self.is_numbered: bool = False
        """Whether the ``seq`` of the next event is known: not before the journal was read."""
        self._capacity = capacity
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

    def put(self, events: Sequence[Event]) -> None:
        """Add stamped events whose ``seq`` goes on from ``applied``."""
        assert events[0].seq == self.applied.value
        self._events.extend(events)
        self.applied.advance(self.applied.value + len(events))

    def slice(self, start: int, end: int) -> list[Event]:
        """Return the events ``[start, end)``, all of which must be here."""
        assert self.first <= start
        return self._events[start - self.first : end - self.first]

    @property
    def excess_end(self) -> int:
        """The ``seq`` below which events are more than the capacity."""
        return self.applied.value - self._capacity

    def forget_before(self, seq: int) -> None:
        """Drop the events below ``seq``."""
        if seq > self.first:
            del self._events[: seq - self.first]
            self.first = seq
            self.trim_at = seq + self._capacity + _TRIM
