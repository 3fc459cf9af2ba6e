"""Waiting for a commit: the one mechanism by which a caller learns that its event is on disk."""

from __future__ import annotations

import asyncio
from bisect import insort
from collections import deque
from operator import itemgetter

from .._reraise import repeat
from ..errors import HubClosed, HubFailed
from ..waking import Waker

__all__ = ("CommitWaiters", "never_committed")

_SIFT_MIN = 500
"""How many futures are looked through at least before those that are done are thrown away."""


class CommitWaiters:
    """The tasks that wait for a commit, in the order of ``seq``: a commit wakes those it is for, and no others."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._waker = Waker()
        self._sift_at = _SIFT_MIN

    def add(self, seq: int) -> asyncio.Future[None]:
        """Return a future that is settled when the event ``seq`` is committed, or never will be."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self.waiting
        if len(waiting) >= self._sift_at:
            # A task that waits with a timeout leaves a future each time, and a store may hang for hours.
            waiting = self.waiting = deque(each for each in waiting if not each[1].done())
            self._sift_at = max(_SIFT_MIN, 2 * len(waiting))
        if not waiting or waiting[-1][0] <= seq:
            waiting.append((seq, future))
        else:
            insort(waiting, (seq, future), key=itemgetter(0))
        return future

    def wake_below(self, seq: int) -> None:
        """The events below ``seq`` are committed."""
        waiting = self.waiting
        if waiting and waiting[0][0] < seq:
            futures = []
            while waiting and waiting[0][0] < seq:
                futures.append(waiting.popleft()[1])
            self._waker.wake(futures)

    def end(self, failure: HubFailed | None) -> None:
        """No event is committed any more: raise the failure, or that the hub was closed."""
        waiting, self.waiting = self.waiting, deque()
        for seq, future in waiting:
            if not future.done():
                future.set_exception(never_committed(seq) if failure is None else repeat(failure))


def never_committed(seq: int) -> HubClosed:
    """Return the error for an event that was not committed when the hub was closed."""
    return HubClosed(f"the hub was closed before event {seq} was committed; the journal decides at the next start")
