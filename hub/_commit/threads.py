"""The way into a hub from other threads: calls are carried over to its event loop, and each gets an answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from ..errors import HubClosed, HubError, HubFailed, repeat
from .phase import HomeLoop

__all__ = ("FromThreads",)

T = TypeVar("T")


class FromThreads:
    """Carries calls over, in order, between :meth:`open` and :meth:`close`. No call is left without an answer."""

    def __init__(self, home: HomeLoop) -> None:
        """``home`` is the loop that calls are carried over to, from :meth:`open` on."""
        self._home = home
        self._refusal: HubError | None = HubClosed("the hub is not running yet: use it inside 'async with hub:'")
        self._lock = threading.Lock()
        self._under_way: set[Future[Any]] = set()
        """What was submitted, and has not arrived on the loop."""
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Carry calls over from now on."""
        self._refusal = None

    def close(self, failure: HubError | None) -> None:
        """Refuse what has not arrived, and all later calls. Runs on the loop."""
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
        home = self._home
        if home.is_forked:  # first of all: a lock that another thread held when it forked is never released here
            future.set_exception(home.forked())
            return future
        with self._lock:
            refusal = self._refusal
            if refusal is None:
                try:
                    home.running().call_soon_threadsafe(self._arrived, call, future)
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
        loop = self._home.running()
        task = loop.create_task(_run(call, future))  # in the context of the submitter, as this callback is
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, future))
        future.add_done_callback(partial(_cancel, loop, task))

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
    except BaseException as error:  # noqa: BLE001 - it belongs to the caller that waits, SystemExit too
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
