"""Recorder: a listener that keeps the events that it gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, overload

import anyio

from ..events import Event

__all__ = ("Recorder",)

E = TypeVar("E", bound=Event)


class Recorder:
    """Attach it, act, ``await recorder.wait_for(kind)``, and look at :attr:`events`."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        """The events heard, in order."""
        self.batches: list[int] = []
        """How many events each call brought."""
        self._heard = anyio.Condition()

    @property
    def kinds(self) -> list[str]:
        """The kinds of the events heard, in order."""
        return [event.kind for event in self.events]

    @overload
    def of(self, kind: str) -> list[Any]: ...
    @overload
    def of(self, kind: type[E]) -> list[E]: ...
    def of(self, kind: str | type[Event]) -> list[Any]:
        """Return the events of one kind, in order. A class as ``kind`` gives the result a type, a name does not."""
        if isinstance(kind, str):
            return [event for event in self.events if event.kind == kind]
        return [event for event in self.events if type(event) is kind]

    async def on_events(self, events: Sequence[Event]) -> None:
        async with self._heard:
            self.events.extend(events)
            self.batches.append(len(events))
            self._heard.notify_all()

    async def wait_for(self, kind: str, *, count: int = 1) -> Event:
        """Return the ``count``-th event of this kind, as soon as it is heard."""
        found: list[Event] = []
        async with self._heard:
            while len(found := self.of(kind)) < count:
                await self._heard.wait()
        return found[count - 1]
