"""AuditLog: a listener that appends every event to a log, and a log to append one's own records to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import attrs

from hubwire import BaseHubListener, Duty, Event, codec
from hubwire.clock import SystemClock, timestamp
from hubwire.errors import InvalidRecord
from hubwire.log import SEGMENT_BYTES, Log, LogReader, Record, follow
from hubwire.ports import Clock, KnowledgeStore, normalize_path
from hubwire.text_store import TextStore, as_knowledge_store

from . import _ag2
from ._blobs import BODY_BYTES_MAX, cut, restore
from ._subscribers import AuditSubscriber, Subscribers

__all__ = ("AuditLog", "AuditRecord", "AuditSubscriber")

_RESERVED = frozenset({"seq", "d", "h"})


@attrs.frozen
class AuditRecord:
    """A record as it stands in the log."""

    index: int
    """Its number in this log, from 0."""
    fields: dict[str, Any]
    """All fields of its line: those that were appended, then ``d`` and ``h``."""


class AuditLog(BaseHubListener):
    """Appends every event of a hub, and records of your own, to an append-only log below ``path`` of a store.

    On a hub it is REQUIRED: an event is acknowledged when its record is stored, each event is in the log exactly once,
    in order, also after a crash, and a log that cannot be written stops the hub. (Attach it with another duty if you
    would rather work unaudited than stop.) It works without a hub, too, and its nine hooks, called by an AG2 hub, write
    the records of AG2's own audit log. A log belongs to one hub and has one writer; readers need no permission.

    On a store of AG2's, or any other :class:`~hubwire.text_store.TextStore`, the log's promises are weaker:
    :attr:`durability` is ``"unknown"``, and :func:`~hubwire.text_store.as_knowledge_store` describes the others.

    ``rotation`` is the size in bytes at which a segment is closed and the next one begun. The store is not used before
    the first call. Errors are those of :class:`hubwire.log.Log`: :class:`~hubwire.errors.AlreadyRunning`,
    :class:`~hubwire.errors.LogDamaged`, :class:`~hubwire.errors.StoreFull`, :class:`~hubwire.errors.Fenced`.
    """

    duty = Duty.REQUIRED
    since = "start"

    def __init__(
        self,
        store: KnowledgeStore | TextStore,
        *,
        path: str = "/audit",
        rotation: int = SEGMENT_BYTES,
        clock: Clock | None = None,
    ) -> None:
        self.path: str = normalize_path(path)
        self.hook_failures: int = 0
        """How many records of an AG2 hub were not stored. That hub drops the exceptions of its listeners: look here."""
        self._store = as_knowledge_store(store)
        self._clock = clock or SystemClock()
        self._subscribers = Subscribers(self._store, self.path)
        self._log = Log(
            self._store,
            self.path,
            clock=self._clock,
            chained=True,
            announce_opening=True,
            segment_bytes=rotation,
            on_appended=self._subscribers.appended,
        )

    # -- on a hub --

    async def __aenter__(self) -> Self:
        await self._log.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def last_seq(self) -> int | None:
        """Return the ``seq`` of the last event in the log; None if it holds none, or is not open."""
        return self._log.last_seq if self._log.is_open else None

    @property
    def hub_id(self) -> str | None:
        """The id of the hub whose events are in the log; None if it holds none, or is not open."""
        return self._log.hub_id if self._log.is_open else None

    async def on_events(self, events: Sequence[Event]) -> None:
        """Append events. They are on disk when it returns, all of them or none."""
        bodies = [codec.encode(event) for event in events]
        for number, body in enumerate(bodies):
            if len(body) > BODY_BYTES_MAX:
                bodies[number] = await cut(self._store, self.path, body)
        await self._log.append(bodies, seq=events[-1].seq, hub=events[-1].hub)

    # -- records of one's own --

    async def append(self, record: Mapping[str, Any]) -> int:
        """Append a record, with the time as ``at`` if it has none; return its index. It is stored when it returns.

        Values that JSON cannot hold are kept as marked substitutes. Raises :class:`~hubwire.errors.InvalidRecord` if
        it uses a key that is reserved for the log: ``seq``, ``d`` or ``h``; and
        :class:`~hubwire.errors.EventTooLarge` for more than 8 MiB.
        """
        if not _RESERVED.isdisjoint(record):
            taken = sorted(_RESERVED.intersection(record))
            raise InvalidRecord(f"a record cannot have the keys {', '.join(taken)}: the log writes them; rename them")
        fields = dict(record)
        if "at" not in fields:
            fields["at"] = timestamp(self._clock.now_ns())
        body = codec.encode_record(fields)
        if len(body) > BODY_BYTES_MAX:
            body = await cut(self._store, self.path, body)
        return await self._log.append((body,))

    @property
    def subscriber_errors(self) -> int:
        """How many calls of subscribers have raised."""
        return self._subscribers.errors

    @property
    def durability(self) -> str:
        """What a stored record survives, as its store states it: one of ``Durability``, or ``"unknown"``."""
        return str(getattr(self._store, "durability", "unknown"))

    @property
    def bytes_written(self) -> int:
        """The size of all segments of the log in bytes, with those of earlier starts; 0 until it is open."""
        return self._log.size_bytes

    def subscribe(self, callback: AuditSubscriber) -> None:
        """Call ``callback`` with every record appended from now on, in order, as a dictionary of its own.

        A quick callback has run when ``append`` returns; a slow one delays only the callbacks after it. One that
        raises is logged and called again for the next record. Added twice, it is called twice.
        """
        self._subscribers.add(callback)

    def unsubscribe(self, callback: AuditSubscriber) -> None:
        """Stop calling ``callback``; if it was added twice, call it once. Unknown is not an error."""
        self._subscribers.remove(callback)

    async def aclose(self) -> None:
        """Wait for calls under way, mark the log as cleanly closed, and close it. The next append opens it again."""
        await self._subscribers.aclose()
        await self._log.aclose()

    # -- reading --

    async def read_all(self) -> list[dict[str, Any]]:
        """Return the appended records, oldest first: without ``d`` and ``h``, and without the log's own records.

        It holds the whole log in memory; :meth:`read` does not.
        """
        records = []
        async for record in self._records(0):
            fields = codec.decode_fields(await restore(self._store, record.body))
            if "seq" in fields or not str(fields.get("kind")).startswith("log."):
                records.append(fields)
        return records

    async def read(self, *, start: int = 0) -> AsyncIterator[AuditRecord]:
        """Iterate over the records from index ``start`` to the present end, as they stand in the log."""
        async for record in self._records(start):
            yield AuditRecord(record.index, codec.decode_fields(record.line))

    async def tail(self, *, start: int | None = None) -> AsyncIterator[AuditRecord]:
        """Iterate like :meth:`read`, and go on as the log grows; by default from the present end. It never ends."""
        async for record in follow(self._store, self.path, start=start):
            yield AuditRecord(record.index, codec.decode_fields(record.line))

    async def _records(self, start: int) -> AsyncIterator[Record]:
        reader = LogReader(self._store, self.path)
        await reader.seek_index(start)
        while records := await reader.read():
            for record in records:
                yield record

    # -- on an AG2 hub --

    async def on_agent_event(self, agent_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        await self._append_from_hook(_ag2.agent_record(agent_id, kind, payload), payload)

    async def on_channel_event(self, channel_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        await self._append_from_hook(_ag2.channel_record(channel_id, kind, payload), payload)

    async def on_task_event(self, task_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        await self._append_from_hook(_ag2.task_record(task_id, kind, payload), payload)

    async def on_expectation_fired(self, channel_id: str, expectation: Any, violation: Any) -> None:  # noqa: ARG002
        await self._append_from_hook(_ag2.expectation_record(channel_id, violation), {})

    async def on_turn_failed(self, channel_id: str, agent_id: str, envelope_id: str, exc: Any) -> None:
        await self._append_from_hook(_ag2.turn_failed_record(channel_id, agent_id, envelope_id, exc), {})

    async def _append_from_hook(self, record: dict[str, Any] | None, payload: Mapping[str, Any]) -> None:
        if record is None:
            return
        at = payload.get("at")
        try:
            await self.append({**record, "at": at} if at else record)
        except Exception:
            self.hook_failures += 1
            raise
