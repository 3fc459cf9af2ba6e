"""Pushing: readings are taken on the event loop from time to time, and handed on in a thread of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future

import anyio

from hubwire.own_log import OwnLog

from ._reading import Reading

__all__ = ("Pushing",)

_READ_SECONDS_MAX = 5.0
_log = OwnLog("metrics")


class Pushing:
    """Calls ``send`` with the readings every so many seconds, in a daemon thread that ends with :meth:`close`."""

    def __init__(
        self,
        read: Callable[[], list[Reading]],
        send: Callable[[Sequence[Reading]], None],
        finish: Callable[[], None],
        seconds: float,
        name: str,
    ) -> None:
        """``finish`` is called in the thread, after the last ``send``."""
        self.failures: int = 0
        self._finish = finish
        self._read = read
        self._send = send
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._ending = threading.Event()
        self._ended = asyncio.Event()
        self._last: list[Reading] | None = None
        self._thread = threading.Thread(target=self._run, name=f"hubwire {name}", daemon=True)
        self._thread.start()

    async def close(self, seconds: float) -> None:
        """Send the readings of this moment, and end the thread; one that hangs is left behind after that time."""
        self._last = self._read()
        self._ending.set()
        with anyio.move_on_after(seconds):
            await self._ended.wait()
        if not self._ended.is_set():
            _log.problem("what takes metrics does not end, and is left behind", thread=self._thread.name)

    def _run(self) -> None:
        try:
            while not self._ending.wait(self._seconds):
                if (readings := self._readings()) is not None:
                    self._hand_on(readings)
            if self._last is not None:
                self._hand_on(self._last)
            self._finish()
        except BaseException as error:  # noqa: BLE001 - as in _hand_on
            _log.problem("what takes metrics could not be shut down", error)
        finally:
            try:
                self._loop.call_soon_threadsafe(self._ended.set)
            except RuntimeError:  # the loop is closed: this was left behind
                pass

    def _readings(self) -> list[Reading] | None:
        """Return the readings; None if the event loop is blocked, or has ended."""
        answer: Future[list[Reading]] = Future()

        def read() -> None:
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(self._read())
                except Exception as error:  # noqa: BLE001 - it is raised in the thread
                    answer.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(read)
            return answer.result(_READ_SECONDS_MAX)
        except (RuntimeError, TimeoutError, CancelledError):
            answer.cancel()
            return None

    def _hand_on(self, readings: Sequence[Reading]) -> None:
        try:
            self._send(readings)
        except BaseException as error:  # noqa: BLE001 - it is a guest, and this is its own thread
            self.failures += 1
            _log.problem("metrics could not be handed on", error)
