"""Live subscribers of an audit log: called in order, one record after the other, without delaying an append.

One task calls them, and lives as long as there are records to call them with. It is scheduled before the appenders are
woken, so a quick subscriber has run when ``append`` returns. When a slow one falls far behind, the records that are no
longer in memory are read from the log.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from hubwire import codec
from hubwire.log import LogReader
from hubwire.ports import KnowledgeStore

__all__ = ("AuditSubscriber", "Subscribers")

AuditSubscriber = Callable[[dict[str, Any]], Awaitable[None]]

HELD_MAX = 10_000
"""How many records are held in memory for subscribers that are behind."""

_log = structlog.get_logger("hubwire.audit")


class Subscribers:
    """The subscribers of one log."""

    def __init__(self, store: KnowledgeStore, path: str) -> None:
        self._store = store
        self._path = path
        self._callbacks: list[AuditSubscriber] = []
        self._held: deque[tuple[int, bytes]] = deque()
        self._next = 0
        self._end = 0
        self._task: asyncio.Task[None] | None = None
        self.errors = 0
        """How many calls of subscribers have raised."""

    def add(self, callback: AuditSubscriber) -> None:
        self._callbacks.append(callback)

    def remove(self, callback: AuditSubscriber) -> None:
        if callback in self._callbacks:
            self._callbacks.remove(callback)

    def appended(self, first: int, bodies: Sequence[bytes]) -> None:
        """Have the subscribers called with records that were appended, soon."""
        self._end = first + len(bodies)
        if not self._callbacks:
            return
        if self._task is None:
            self._next = first
            self._task = asyncio.create_task(self._run(), name="hubwire audit subscribers")
        self._held.extend(enumerate(bodies, first))
        while len(self._held) > HELD_MAX:
            self._held.popleft()

    async def _run(self) -> None:
        try:
            while self._next < self._end and self._callbacks:
                if self._held and self._held[0][0] <= self._next:
                    index, body = self._held.popleft()
                    if index == self._next:
                        await self._call(body)
                else:
                    await self._catch_up()
        finally:
            self._held.clear()
            self._task = None

    async def _catch_up(self) -> None:
        reader = LogReader(self._store, self._path)
        await reader.seek_index(self._next)
        for record in await reader.read():
            await self._call(record.body)

    async def _call(self, body: bytes) -> None:
        self._next += 1
        for callback in tuple(self._callbacks):
            try:
                await callback(codec.decode_fields(body))
            except Exception:  # noqa: BLE001 - a subscriber's failure is counted and logged, and the next one is called
                self.errors += 1
                _log.exception("audit subscriber raised", subscriber=repr(callback), log=self._path)

    async def aclose(self) -> None:
        """Wait until the calls under way have ended."""
        if self._task is not None and self._task is not asyncio.current_task():
            await asyncio.wait([self._task])
