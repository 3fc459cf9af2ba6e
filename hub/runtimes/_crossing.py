"""From any thread and any event loop to the hub's: what is awaited there, and what is waited for here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar

import anyio

from .. import FeedHandle, FeedState, Hub
from ..errors import ConfigurationError, HubClosed

__all__ = ("Crossing", "settle")

T = TypeVar("T")

_LOOK_SECONDS: Final = 1.0
"""How often what waits looks whether the hub is still there: one that never started tells no feed that it ends."""


class Crossing:
    """The way to a hub, and whether it is still there."""

    def __init__(self) -> None:
        self.hub: Hub | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.handle: FeedHandle | None = None

    def enter(self, hub: Hub) -> None:
        """The hub runs, in this loop."""
        self.hub, self.loop = hub, asyncio.get_running_loop()

    def leave(self) -> None:
        """Have no part in the hub any more."""
        self.hub = self.loop = None

    @property
    def is_over(self) -> bool:
        """Whether the hub will never do anything more."""
        if self.handle is not None and self.handle.state is FeedState.ENDED:
            return True
        return self.loop is not None and self.loop.is_closed()

    # -- what is done there --

    def check_elsewhere(self, instead: str) -> None:
        """Raise in the hub's own loop."""
        if self._is_here():
            raise ConfigurationError(f"the hub's own event loop would wait for itself; use 'await recorder.{instead}'")

    async def here(self, work: Callable[[Hub], Coroutine[Any, Any, T]]) -> T:
        """Await what is done in the hub's loop; what cancels this cancels that."""
        if self._is_here() and self.hub is not None:
            return await work(self.hub)
        return await asyncio.wrap_future(self.there(work))

    def there(self, work: Callable[[Hub], Coroutine[Any, Any, T]]) -> Future[T]:
        """Begin what is done in the hub's loop. Raises :class:`~hubwire.errors.HubClosed`."""
        hub = self.hub
        if hub is None:
            raise HubClosed("the hub of the recorder is not running: use it inside 'async with hub:'")

        async def run() -> T:
            return await work(hub)

        return hub.approvals.from_thread(run)

    def _is_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self.loop
        except RuntimeError:
            return False

    # -- what is waited for --

    async def done(self, future: Future[T]) -> T:
        """Wait for a future in any loop; what cancels this does not cancel the future.

        Raises :class:`~hubwire.errors.HubClosed` if the hub is over before.
        """
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def tell(_: object) -> None:
            try:
                loop.call_soon_threadsafe(done.set)
            except RuntimeError:
                pass  # its loop was closed meanwhile: nothing waits

        future.add_done_callback(tell)
        while not future.done():
            with anyio.move_on_after(_LOOK_SECONDS):
                await done.wait()
            if self.is_over and not future.done():
                raise _gone()
        return future.result()

    def result(self, future: Future[T], timeout: float | None = None) -> T:
        """Wait for a future in a thread. Raises ``TimeoutError``, and likewise."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _LOOK_SECONDS if until is None else min(_LOOK_SECONDS, max(until - time.monotonic(), 0))
            try:
                return future.result(left)
            except TimeoutError:
                if future.done():
                    continue  # it has come just now, or is what it was settled with
                if until is not None and time.monotonic() >= until:
                    raise
            if self.is_over and not future.done():
                raise _gone()


def settle(future: Future[Any] | None, error: BaseException) -> None:
    """Give a future an error, unless it has what it waits for."""
    if future is not None and not future.done():
        future.set_exception(error)


def _gone() -> HubClosed:
    return HubClosed("the hub has ended before it was asked")
