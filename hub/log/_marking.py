"""Marking: how far the log goes is written down beside it, so that a lost end is seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..ports import KnowledgeStore
from ..waking import start_later
from ._marker import Marker
from ._tail import Tail

__all__ = ("Marking",)

IDLE_SECONDS = 0.2
"""A log that was not appended to for so long is marked."""
MARK_SECONDS = 1.0
"""What was appended is vouched for by the marker this long after it, at the latest."""
_LOOKS_MAX = round(MARK_SECONDS / IDLE_SECONDS)
UNHELD_FACTOR = 30.0
"""Both are longer on stores that cannot be held, where each marker costs a request."""


class Marking:
    """Writes the file ``clean`` of one log: when it is opened, rotated and closed, and now and then in between.

    A marker that could not be written in between is written the next time: it only vouches for more.
    """

    def __init__(self, store: KnowledgeStore, path: str, tail: Callable[[], Tail]) -> None:
        self.failure: Exception | None = None
        """What the newest attempt in between failed with; None if it went well."""
        self._store = store
        self._path = f"{path}/clean"
        self._name = f"hubwire log {path}"
        self._tail = tail
        self._seconds = IDLE_SECONDS
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        """Until the end is looked at again."""
        self._task: asyncio.Task[None] | None = None
        """The marker under way."""
        self._looks = 0
        """How often the end was looked at since the newest marker, and had moved."""
        self._seen = self._marked = 0
        """How many records there were when the end was last looked at, and when it was last marked."""

    def open(self, *, is_held: bool) -> None:
        """The log was opened and marked: :meth:`moved` has an effect from now on."""
        self._seconds = IDLE_SECONDS if is_held else IDLE_SECONDS * UNHELD_FACTOR
        self._timer = self._task = None
        self._looks, self._marked = 0, self._tail().records

    def moved(self) -> None:
        """Records were appended: mark them, soon."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # what an earlier loop was to do, it never will
            self._loop, self._timer, self._task = loop, None, None
        if self._timer is None and self._task is None:
            self._timer = loop.call_later(self._seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        records = self._tail().records
        self._looks += 1
        if records == self._seen or self._looks >= _LOOKS_MAX:
            self._looks, self._marked = 0, records
            self._task = start_later(self._write(), name=self._name)
            self._task.add_done_callback(self._go_on)
        else:
            self._seen = records
            self.moved()

    def _go_on(self, task: asyncio.Task[None]) -> None:
        if self._task is task and not task.get_loop().is_closed():
            self._task = None
            if self._tail().records != self._marked:
                self.moved()

    async def _write(self) -> None:
        try:
            await self.write(is_closed=False)
            self.failure = None
        except Exception as error:  # noqa: BLE001 - the log goes on, and the next marker says as much
            self.failure = error

    async def write(self, *, is_closed: bool) -> None:
        """Write a marker of the present end."""
        await self._store.write(self._path, Marker.of(self._tail(), is_closed=is_closed).encode())

    async def close(self) -> None:
        """Write no more in between; one under way comes to its end first."""
        timer, self._timer = self._timer, None
        task, self._task = self._task, None
        if timer is not None:
            timer.cancel()
        # A task of an event loop that has ended never comes to its end.
        if task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop():
            await asyncio.wait([task])
