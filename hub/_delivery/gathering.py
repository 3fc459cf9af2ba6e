"""Gathering: how a listener that asked for it gets fewer and larger batches."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from ..events import Event
from ..ports import Clock
from .life import Life
from .place import Place
from .settings import Settings

__all__ = ("Gatherer",)


class Gatherer:
    """Gathers events for one listener until there are ``batch_max``, or ``batch_seconds`` have passed."""

    def __init__(self, settings: Settings, place: Place, life: Life, clock: Clock) -> None:
        self._events_max = settings.batch_max
        self._seconds = settings.batch_seconds
        self._place = place
        self._life = life
        self._clock = clock
        self._is_due = False
        self._hurried_to = 0

    def hurry(self, end: int) -> None:
        """Wait for no more events while those below ``end`` are not handled: a task waits until they are."""
        self._hurried_to = max(self._hurried_to, end)
        self._place.wake()

    async def take(self) -> Sequence[Event]:
        """Take the next events, as :meth:`Cursor.take` does, and those that come soon."""
        events = await self._place.cursor.take(self._events_max)
        if not self._seconds or not events or len(events) >= self._events_max:
            return events
        gathered = list(events)
        self._is_due = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._sleep)
            await self._gather(gathered)
            tasks.cancel_scope.cancel()
        return gathered

    async def _sleep(self) -> None:
        await self._clock.sleep(self._seconds)
        self._is_due = True
        self._place.wake()

    async def _gather(self, gathered: list[Event]) -> None:
        place, cursor = self._place, self._place.cursor
        while len(gathered) < self._events_max and not (self._is_due or self._life.is_stopping or cursor.ended):
            if cursor.behind > 0:
                try:
                    gathered += await cursor.take(self._events_max - len(gathered))
                except Exception:  # noqa: BLE001 - the listener gets what there is; the next read raises it again
                    return
            elif place.done < self._hurried_to:
                return
            else:
                await cursor.wait()
