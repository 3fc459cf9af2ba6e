"""StoreJournal: the hub's write-ahead log on a store, at ``/journal``.

It holds full payloads, for the hub's own recovery: it is memory, not evidence.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from . import codec
from .clock import SystemClock
from .errors import ConfigurationError, InvalidRecord, LogDamaged
from .events import Event, UnknownEvent, kind_class
from .log import SEGMENT_BYTES, Log, LogReader, Record
from .ports import Clock, KnowledgeStore, normalize_path

__all__ = ("StoreJournal",)


class StoreJournal:
    """A :class:`~hubwire.ports.Journal` over a :class:`~hubwire.ports.KnowledgeStore`.

    ``Hub(store)`` makes one; give the hub one of your own for another ``path``, or for segments of another size.
    """

    def __init__(
        self,
        store: KnowledgeStore,
        *,
        path: str = "/journal",
        segment_bytes: int = SEGMENT_BYTES,
        clock: Clock | None = None,
    ) -> None:
        if not hasattr(store, "read_bytes"):
            raise ConfigurationError(
                f"{type(store).__name__} cannot hold a journal: it has no appends that expect a place and are durable."
                " Give the hub a store of hubwire.stores; an AuditLog may be on this one"
            )
        self._store = store
        self._path = normalize_path(path)
        self._log = Log(store, self._path, clock=clock or SystemClock(), segment_bytes=segment_bytes)
        self.first_seq = 0
        self.next_seq: int = 0
        self.hub_id: str | None = None

    async def open(self) -> None:
        await self._log.open()
        self.next_seq = 0 if self._log.last_seq is None else self._log.last_seq + 1
        self.hub_id = self._log.hub_id

    async def append(self, events: Sequence[Event]) -> None:
        assert events[0].seq == self.next_seq
        await self._log.append([codec.encode(event) for event in events], seq=events[-1].seq, hub=events[-1].hub)
        self.next_seq += len(events)

    async def replay(self, after: int = -1) -> AsyncIterator[Event]:
        reader = LogReader(self._store, self._path)
        await reader.seek_after_seq(after)
        expected, end = after + 1, self.next_seq
        while expected < end and (records := await reader.read()):
            for record in records:
                event = self._decode(record)
                if event is None or event.seq < expected:
                    continue
                if event.seq != expected:
                    raise self._damaged(record, f"holds event {event.seq} where {expected} should be")
                expected += 1
                yield event
                if expected == end:
                    return
        if expected < end:
            raise LogDamaged(
                f"the journal {self._path} ends before event {expected}, but had {end} events; restore it from a copy",
                path=self._path,
            )

    def _decode(self, record: Record) -> Event | None:
        """Return the event of a record; None for one of the log's own, which has no ``seq``."""
        try:
            body = record.body
            if b'"kind":"log.' in body and "seq" not in codec.decode_fields(body):
                return None
            event = codec.decode(body)
        except InvalidRecord as error:
            raise self._damaged(record, str(error)) from error
        if type(event) is UnknownEvent and (declared := kind_class(event.kind)) is not None and declared.command:
            raise self._damaged(
                record,
                f"holds an event {event.kind!r} in another shape than this version of hubwire knows; use a newer one",
            )
        return event

    def _damaged(self, record: Record, what: str) -> LogDamaged:
        return LogDamaged(f"record {record.index} of the journal {self._path} {what}", path=self._path)

    async def aclose(self) -> None:
        await self._log.aclose()
