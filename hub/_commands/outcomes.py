"""Waiting for the event that ends a matter, as a verdict ends an approval."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from ..errors import HubClosed, HubFailed
from ..events import Event
from .core import Core

__all__ = ("Outcomes",)


class Outcomes:
    """The tasks that wait for one of the events that end a matter, by the id of the matter."""

    def __init__(self, core: Core, kinds: Iterable[type[Event]], id_field: str) -> None:
        self._core = core
        self._id_field = id_field
        self._futures: dict[str, list[asyncio.Future[Event]]] = {}
        for kind in kinds:
            core.on_applied(kind, self._arrived)
        core.at_end(self._end)

    @contextmanager
    def expected(self, id: str) -> Iterator[Callable[[], Awaitable[Event]]]:  # noqa: A002 - that is what it is
        """Expect the event from here on; the function that this yields waits for it.

        It returns the event when it has committed, and raises :class:`~hubwire.errors.HubClosed`, or what the hub
        failed with, if the event never comes.
        """
        self._core.check_not_ended()
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(id, []).append(future)
        try:
            yield partial(self._outcome, future)
        finally:
            self._futures[id].remove(future)
            if not self._futures[id]:
                del self._futures[id]
            if future.done() and not future.cancelled():
                future.exception()  # so that asyncio does not report an error that was never waited for

    async def _outcome(self, future: asyncio.Future[Event]) -> Event:
        event = await asyncio.shield(future)
        await self._core.until_committed(event.seq)
        return event

    def _arrived(self, event: Any) -> None:
        for future in self._futures.get(getattr(event, self._id_field), ()):
            if not future.done():
                future.set_result(event)

    def _end(self) -> None:
        for futures in self._futures.values():
            for future in futures:
                if not future.done():
                    future.set_exception(self._end_error())

    def _end_error(self) -> HubFailed | HubClosed:
        return self._core.end_error("the hub was closed before this came to its end")
