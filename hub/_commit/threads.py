"""The way into a hub from other threads: calls are carried over to its event loop, and each gets an answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from .._reraise import repeat
from ..errors import ConfigurationError, HubClosed, HubError, HubFailed, Overloaded
from ..events import Event, FrozenDict
from ..events._event import field_names
from ..waking import start_later
from .phase import HomeLoop

__all__ = ("FromThreads", "rough_bytes")

T = TypeVar("T")

_CALL_BYTES = 256
"""What a call that waits costs at least: its future, its task."""

_LOOKED_AT_MAX = 100_000
"""How many values of a payload are looked at: a cycle has no end."""


class FromThreads:
    """Carries calls over, in order, between :meth:`open` and :meth:`close`. No call is left without an answer."""

    def __init__(self, home: HomeLoop, bytes_max: int | None = None) -> None:
        """``home`` is the loop that calls are carried over to, from :meth:`open` on.

        ``bytes_max`` bounds what waits.
        """
        self._home = home
        self._bytes_max = bytes_max
        self._waiting: dict[Future[Any], int] = {}
        """What each call holds in memory that waits."""
        self.waiting_bytes: int = 0
        """The sum of these."""
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

    def check_elsewhere(self) -> None:
        """Raise :class:`~hubwire.errors.ConfigurationError` in the loop that calls are carried over to.

        It would wait for itself.
        """
        if self._home.is_here and not self._home.is_forked:
            raise ConfigurationError("the hub's own event loop would wait for itself here; call this in a thread")

    def submit(self, call: Callable[[Future[T]], Coroutine[Any, Any, None]], size: int = 0) -> Future[T]:
        """Have ``call`` run on the loop, in the context of the caller, and settle the future that it is given.

        Works in any thread. Cancelling the future while it is pending cancels the call. A call that holds ``size``
        bytes is refused with :class:`~hubwire.errors.Overloaded` while those that wait have too many; it counts until
        :meth:`taken`.
        """
        future: Future[T] = Future()
        home = self._home
        if home.is_forked:  # first of all: a lock that another thread held when it forked is never released here
            future.set_exception(home.forked())
            return future
        with self._lock:
            refusal = self._refusal or self._overload(size)
            if refusal is None:
                try:
                    home.running().call_soon_threadsafe(self._arrived, call, future)
                    self._under_way.add(future)
                    if size:
                        self._waiting[future] = size + _CALL_BYTES
                        self.waiting_bytes += size + _CALL_BYTES
                except RuntimeError:
                    refusal = HubClosed("the event loop of the hub is closed; nothing has happened")
        if refusal is not None:
            future.set_exception(repeat(refusal))
        elif size:
            future.add_done_callback(self.taken)
        return future

    def taken(self, future: Future[Any]) -> None:
        """What a call holds is counted elsewhere from now on, or nowhere."""
        with self._lock:
            self.waiting_bytes -= self._waiting.pop(future, 0)

    def _overload(self, size: int) -> Overloaded | None:
        if not size or self._bytes_max is None or not self._waiting:
            return None
        if self.waiting_bytes + size + _CALL_BYTES <= self._bytes_max:
            return None
        return Overloaded(
            f"{len(self._waiting)} events of {self.waiting_bytes} bytes wait to be taken from other threads, and"
            f" thread_bytes_max is {self._bytes_max}; wait for the futures of some before you emit more"
        )

    def _arrived(self, call: Callable[[Future[T]], Coroutine[Any, Any, None]], future: Future[T]) -> None:
        with self._lock:
            if future not in self._under_way:
                return
            self._under_way.remove(future)
        loop = self._home.running()
        task = start_later(_run(call, future))  # in the context of the submitter, as this callback is
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


def rough_bytes(event: Any, enough: int) -> int:
    """Return about how many bytes of text an event holds that was not frozen yet; it stops counting at ``enough``."""
    names = field_names(type(event)) if issubclass(type(event), Event) else ()
    rest: list[Any] = [getattr(event, name) for name in names]
    total, looked_at = 1, 0
    while rest and total < enough and looked_at < _LOOKED_AT_MAX:
        each = rest.pop()
        looked_at += 1
        total += 8
        cls = type(each)  # of others, the methods may be a stranger's, and so may be how the class compares
        if cls is str or cls is bytes or cls is bytearray:
            total += len(each)
        elif cls is dict or cls is FrozenDict:
            rest += each.keys()
            rest += each.values()
        elif cls is list or cls is tuple or cls is set or cls is frozenset:
            rest += each
    return total
