"""Gate and GatedRecorder: listeners, and other code of a test, that are as slow as the test wants."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from ..events import Event
from .recorder import Recorder

__all__ = ("Gate", "GatedRecorder")


class Gate:
    """Holds the tasks that come to :meth:`pass_through` until it is opened."""

    def __init__(self, *, is_open: bool = True) -> None:
        self._opened = anyio.Event()
        if is_open:
            self._opened.set()

    @property
    def is_open(self) -> bool:
        return self._opened.is_set()

    def close(self) -> None:
        """Let the tasks that come from now on wait. Those that wait already go on waiting."""
        if self._opened.is_set():
            self._opened = anyio.Event()

    def open(self) -> None:
        """Let all tasks go on, those that wait and those that come."""
        self._opened.set()

    async def pass_through(self) -> None:
        """Return at once if the gate is open, and otherwise when it is opened."""
        await self._opened.wait()


class GatedRecorder(Recorder):
    """A recorder that handles events only while its gate is open: a slow listener, under the control of a test.

    It begins open. ``close()`` it, emit, look at :attr:`given` and at what the hub does meanwhile, and ``open()`` it.
    """

    def __init__(self, *, is_open: bool = True) -> None:
        super().__init__()
        self.given: list[Event] = []
        """The events that the hub has delivered, in order, whether or not they are handled yet."""
        self._gate = Gate(is_open=is_open)

    def close(self) -> None:
        """Hold the calls of :meth:`on_events` that come from now on."""
        self._gate.close()

    def open(self) -> None:
        """Let all calls of :meth:`on_events` go on."""
        self._gate.open()

    async def on_events(self, events: Sequence[Event]) -> None:
        self.given += events
        await self._gate.pass_through()
        await super().on_events(events)
