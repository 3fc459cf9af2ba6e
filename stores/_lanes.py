"""Threads for blocking calls: calls with the same key run one after another, in the order they were submitted.

A thread pool's futures cost as much again as the hop itself, and an order per key would have to be built on top.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar, TypeVarTuple, Unpack

from hubwire.forks import register_at_fork

__all__ = ("Lanes",)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_Done = Callable[[Any, "BaseException | None"], None]
_Job = tuple[asyncio.AbstractEventLoop, _Done, Callable[..., Any], tuple[Any, ...]]

_EXIT_SECONDS_MAX = 5.0

_NO_LANE: deque[_Job] = deque()


class Lanes:
    """A lane is the queue of calls with one key; up to ``threads_max`` lanes move at the same time."""

    def __init__(self, threads_max: int = 8) -> None:
        self._threads_max = threads_max
        self._reset()
        register_at_fork(self)
        _alive.add(self)

    def _reset(self) -> None:
        self._threads: list[threading.Thread] = []
        self._lanes: dict[str, deque[_Job]] = {}
        self._lock = threading.Lock()
        self._ready: SimpleQueue[str | None] = SimpleQueue()
        self._end_threads = weakref.finalize(self, _end_threads, self._ready, self._threads)

    def submit(self, key: str, call: Callable[[Unpack[Ts]], T], *args: *Ts) -> asyncio.Future[T]:
        """Run ``call`` in its lane; cancelling the returned future ends the wait, not the call."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.enqueue(key, partial(_settle, future), call, *args)
        return future

    def enqueue(
        self, key: str, done: Callable[[Any, BaseException | None], None], call: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> None:
        """Run ``call`` in its lane; when it ends, ``done`` is called in the running loop with its result or error."""
        job: _Job = (asyncio.get_running_loop(), done, call, args)
        with self._lock:
            lane = self._lanes.get(key)
            if lane is not None:
                lane.append(job)
                return
            self._lanes[key] = deque((job,))
            if len(self._lanes) > len(self._threads) < self._threads_max:
                arguments = (self._ready, self._lanes, self._lock)
                thread = threading.Thread(target=_run, args=arguments, name="hubwire-store", daemon=True)
                thread.start()
                self._threads.append(thread)
        self._ready.put(key)

    def end(self) -> None:
        """End the threads when all submitted calls have ended."""
        self._end_threads()

    def stop(self, *, until: float | None = None) -> None:
        """Wait for all submitted calls, but no longer than ``until`` of ``time.monotonic``; end the threads. Blocks."""
        self.end()
        for thread in self._threads:
            thread.join(None if until is None else max(0.0, until - time.monotonic()))

    def after_fork_in_child(self) -> None:
        """Start over in a forked process: the threads are the parent's."""
        self._end_threads.detach()
        self._reset()


def _run(ready: SimpleQueue[str | None], lanes: dict[str, deque[_Job]], lock: threading.Lock) -> None:
    while (key := ready.get()) is not None:
        lane = lanes[key]
        while lane:
            loop, done, call, args = lane.popleft()
            result, error = None, None
            try:
                result = call(*args)
            except BaseException as caught:  # noqa: BLE001 - it belongs to the caller, which waits for the result
                error = caught
            # Before the result is delivered: a caller that makes one call after another then needs one thread only.
            with lock:
                if not lane:
                    del lanes[key]
                    lane = _NO_LANE
            try:
                loop.call_soon_threadsafe(done, result, error)
            except RuntimeError:
                pass  # The loop was closed before the call ended, so no caller waits for the result.
            del loop, done, call, args, result, error  # An idle thread must not keep a caller's objects alive.


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _end_threads(ready: SimpleQueue[str | None], threads: list[threading.Thread]) -> None:
    for _ in threads:
        ready.put(None)


_alive: weakref.WeakSet[Lanes] = weakref.WeakSet()


@atexit.register
def _complete_calls_under_way() -> None:
    """Let calls end that were submitted before the interpreter ends, but not for as long as a disk may hang."""
    until = time.monotonic() + _EXIT_SECONDS_MAX
    for lanes in list(_alive):
        lanes.stop(until=until)
