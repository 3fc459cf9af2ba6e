"""Threads for the reads of one FileStore.

They are the store's own: in a pool that the whole program shares, callers who block in it would keep the hub from its
disk. And they end with the process, also while a disk hangs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from itertools import count
from typing import Any, ParamSpec, TypeVar, TypeVarTuple, Unpack

from ._lanes import Lanes

__all__ = ("Reads",)

_THREADS_MAX = 16

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Reads(Executor):
    """Runs blocking calls side by side, each in a lane of its own; as an executor it serves aiofiles."""

    def __init__(self) -> None:
        self._lanes = Lanes(_THREADS_MAX)
        self._numbers = count()

    def run(self, call: Callable[[Unpack[Ts]], T], *args: *Ts) -> asyncio.Future[T]:
        """Run a call; cancelling the returned future ends the wait, not the call."""
        return self._lanes.submit(str(next(self._numbers)), call, *args)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        self._lanes.enqueue(str(next(self._numbers)), partial(_settle, future), partial(fn, *args, **kwargs))
        return future

    def end(self) -> None:
        """End the threads when their calls have ended, without waiting for it. A later call starts new ones."""
        lanes, self._lanes = self._lanes, Lanes(_THREADS_MAX)
        lanes.end()


def _settle(future: Future[Any], result: Any, error: BaseException | None) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
