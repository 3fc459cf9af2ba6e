"""The way into a hub from other threads: calls are carried over to its event loop, and each gets an answer."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from ..errors import ConfigurationError, HubClosed, HubError, HubFailed, repeat

__all__ = ("FromThreads",)

T = TypeVar("T")


class FromThreads:
    """Carries calls over, in order, between :meth:`begin` and :meth:`end`. No call is left without an answer."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._refusal: HubError | None = HubClosed("the hub is not running yet: use it inside 'async with hub:'")
        self._lock = threading.Lock()
        self._under_way: set[Future[Any]] = set()
        """What was submitted, and has not arrived on the loop."""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_forked(self) -> bool:
        """Whether this process was forked from the one that the loop runs in."""
        return self._loop is not None and self._pid != os.getpid()

    def check_here(self) -> None:
        """Raise :class:`~hubwire.errors.ConfigurationError` unless this code runs in the loop, or there is none yet."""
        if self.is_forked:
            raise _forked()
        try:
            here = self._loop is None or self._loop is asyncio.get_running_loop()
        except RuntimeError:
            here = False
        if not here:
            raise ConfigurationError(
                "the hub runs in another event loop; use it in the loop it was started in, or emit_threadsafe"
            )

    def begin(self) -> None:
        """Carry calls over to the running loop from now on."""
        self._loop, self._pid = asyncio.get_running_loop(), os.getpid()
        self._refusal = None

    def end(self, failure: HubError | None) -> None:
        """Refuse what has not arrived, and whatever comes later. Runs on the loop."""
        refusal = failure or HubClosed("the hub is closed; nothing has happened")
        with self._lock:
            self._refusal = refusal
            under_way, self._under_way = self._under_way, set()
        for future in under_way:
            _settle(future, repeat(refusal))

    def submit(self, call: Callable[[Future[T]], Coroutine[Any, Any, None]]) -> Future[T]:
        """Have ``call`` run on the loop, in the context of the caller, and settle the future that it is given.

        Works in any thread. Cancelling the future while it is pending cancels the call.
        """
        future: Future[T] = Future()
        if self.is_forked:  # first of all: a lock that another thread held when it forked is never released here
            future.set_exception(_forked())
            return future
        with self._lock:
            refusal = self._refusal
            if refusal is None:
                assert self._loop is not None
                try:
                    self._loop.call_soon_threadsafe(self._arrived, call, future)
                    self._under_way.add(future)
                except RuntimeError:
                    refusal = HubClosed("the event loop of the hub is closed; nothing has happened")
        if refusal is not None:
            future.set_exception(repeat(refusal))
        return future

    def _arrived(self, call: Callable[[Future[T]], Coroutine[Any, Any, None]], future: Future[T]) -> None:
        with self._lock:
            if future not in self._under_way:
                return
            self._under_way.remove(future)
        assert self._loop is not None
        task = self._loop.create_task(_run(call, future))  # in the context of who submitted, as this callback is
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, future))
        future.add_done_callback(partial(_cancel, self._loop, task))

    def _ended(self, future: Future[Any], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() or future.done():
            return
        if future.running():
            error: HubError = HubFailed(
                "the event loop was ended before the event was committed; the next start tells whether it is there"
            )
        else:
            error = HubClosed("this call was cancelled, by itself or because the hub was closed while it was under way")
        _settle(future, error)


async def _run(call: Callable[[Future[T]], Coroutine[Any, Any, None]], future: Future[T]) -> None:
    try:
        if not future.cancelled():
            await call(future)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the answer, SystemExit too
        _settle(future, error)


def _settle(future: Future[Any], error: BaseException) -> None:
    """Give the future an error, unless it was cancelled."""
    if future.running() or future.set_running_or_notify_cancel():
        future.set_exception(error)


def _cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None], future: Future[Any]) -> None:
    if future.cancelled():
        try:
            loop.call_soon_threadsafe(task.cancel)
        except RuntimeError:
            pass  # The loop was closed, and has cancelled its tasks before.


def _forked() -> ConfigurationError:
    return ConfigurationError(
        f"this is process {os.getpid()}, forked from the one in which the hub runs, and has a dead copy of it; start a"
        " hub of its own in the child, or use spawn instead of fork"
    )
