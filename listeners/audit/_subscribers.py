"""Live subscribers of an audit log: called in order, one record after the other, without delaying an append.

One task calls them, and lives as long as there are records to call them with. It is scheduled before the appenders are
woken, so a quick subscriber has run when ``append`` returns. When a slow one falls far behind, the records that are no
longer in memory are read from the log. They get what :meth:`AuditLog.read_all` returns: records as they were appended,
long ones whole, and none of the log's own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from hubwire import codec
from hubwire.errors import HubError, StoreError
from hubwire.log import LogReader
from hubwire.own_log import OwnLog
from hubwire.ports import KnowledgeStore

from ._fields import ERASED_KIND
from ._guests import Worker, call
from .blobs import opened

__all__ = ("AuditSubscriber", "Subscribers", "is_own")

AuditSubscriber = Callable[[dict[str, Any]], Awaitable[None]]

HELD_MAX = 10_000
"""How many records are held in memory for subscribers that are behind."""
HELD_BYTES_MAX = 8 * 1024 * 1024
"""How many bytes of them."""

_log = OwnLog("audit")


def is_own(fields: dict[str, Any]) -> bool:
    """Tell whether a record is one of the log's own, which was not appended by a caller."""
    kind = str(fields.get("kind"))
    return "seq" not in fields and (kind.startswith("log.") or kind == ERASED_KIND)


class Subscribers:
    """The subscribers of one log."""

    def __init__(self, store: KnowledgeStore, path: str) -> None:
        self._store = store
        self._path = path
        self._callbacks: list[AuditSubscriber] = []
        self._held: deque[tuple[int, bytes]] = deque()
        self._held_bytes = 0
        self._due: deque[AuditSubscriber] = deque()
        """Those that have not been called yet with the record that is given out."""
        self._body = b""
        self._next = 0
        self._end = 0
        self._worker = Worker("hubwire audit subscribers")
        self.errors: int = 0
        """How many calls of subscribers have failed."""

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
        if not self._worker.is_at_work:
            self._forget_held()
            self._next = first
            self._worker.start(self._run)
        self._held.extend(enumerate(bodies, first))
        self._held_bytes += sum(map(len, bodies))
        while len(self._held) > HELD_MAX or self._held_bytes > HELD_BYTES_MAX:
            self._pop()

    async def _run(self) -> None:
        try:
            await self._give_out()  # where another task was left behind with a subscriber, the record is not done
            while self._worker.is_current and self._next < self._end and self._callbacks:
                if self._held and self._held[0][0] <= self._next:
                    index, body = self._pop()
                    if index == self._next:
                        await self._call(body)
                else:
                    await self._catch_up()
        except HubError as error:
            self.errors += 1
            _log.failure("an audit log cannot be read for its subscribers, who miss records", error, log=self._path)
        if self._worker.is_current:
            self._forget_held()

    async def _catch_up(self) -> None:
        reader = LogReader(self._store, self._path)
        await reader.seek_index(self._next)
        records = await reader.read()
        if not records:
            raise StoreError(f"the log {self._path} has lost record {self._next}, which was appended", path=self._path)
        for record in records:
            if not self._worker.is_current:
                return
            self._next = record.index
            await self._call(record.body)

    async def _call(self, body: bytes) -> None:
        self._next += 1
        fields = codec.decode_fields(body)
        if is_own(fields):
            return
        if "cut" in fields or "$c" in fields:
            body = await opened(self._store, self._path, body)
        self._due, self._body = deque(self._callbacks), body
        await self._give_out()

    async def _give_out(self) -> None:
        while self._worker.is_current and self._due:
            callback = self._due.popleft()
            try:
                await call(callback, codec.decode_fields(self._body), partial(self._leave_behind, callback))
            except Exception as error:  # noqa: BLE001 - a subscriber's failure is counted and logged, and the next one is called
                self.errors += 1
                _log.failure("audit subscriber raised", error, subscriber=callback, log=self._path)

    def _leave_behind(self, callback: AuditSubscriber) -> None:
        """A subscriber swallows its cancellation: it is called no more, and another task calls the others."""
        self.errors += 1
        self.remove(callback)
        _log.problem("an audit subscriber goes on though it was cancelled", subscriber=callback, log=self._path)
        self._worker.leave_behind()
        self._worker.start(self._run)

    def _pop(self) -> tuple[int, bytes]:
        index, body = self._held.popleft()
        self._held_bytes -= len(body)
        return index, body

    def _forget_held(self) -> None:
        self._due.clear()
        self._held.clear()
        self._held_bytes = 0

    async def aclose(self, seconds: float) -> None:
        """Wait for the calls under way for so long; those that are not done then are cancelled, and have failed."""
        if not await self._worker.finish(seconds):
            self.errors += 1
            _log.problem("audit subscribers were not done when the log was closed, and miss records", log=self._path)
            self._forget_held()
