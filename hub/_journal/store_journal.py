"""StoreJournal: the hub's write-ahead log on a store, at ``/journal``.

It holds full payloads, for the hub's own recovery: it is memory, not evidence.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec

from .. import codec
from ..clock import SystemClock
from ..errors import ConfigurationError, HistoryGone, InvalidRecord, LogDamaged
from ..events import Event, UnknownEvent, kind_class
from ..log import SEGMENT_BYTES, Log, LogReader, Record
from ..ports import Clock, KnowledgeStore, normalize_path

__all__ = ("StoreJournal",)


class StoreJournal:
    """A :class:`~hubwire.ports.Journal` over a :class:`~hubwire.ports.KnowledgeStore`.

    ``Hub(store)`` makes one; give the hub one of your own for another ``path``, or for segments of another size. It is
    truncated by whole segments.
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
        self.store: KnowledgeStore = store
        self.path: str = normalize_path(path)
        self._log = Log(store, self.path, clock=clock or SystemClock(), segment_bytes=segment_bytes)
        self.first_seq: int = 0
        self.hub_id: str | None = None
        self._expected_seq = 0
        self._oldest = 0
        """The index of the first record of the oldest segment."""
        self._second_seq: int | None = None
        """The first event of the segment after the oldest one; None if it is not known yet."""

    @property
    def next_seq(self) -> int:
        last_seq = self._log.last_seq
        return 0 if last_seq is None else last_seq + 1

    @property
    def size_bytes(self) -> int:
        return self._log.size_bytes

    @property
    def compaction_failure(self) -> Exception | None:
        """Why old segments could not be compacted; None if they could. It only makes a start slower."""
        return self._log.compaction_failure

    async def open(self) -> None:
        await self._log.open()
        self._expected_seq = self.next_seq
        self.hub_id = self._log.hub_id
        reader = LogReader(self.store, self.path)
        await reader.seek_index(0)
        self._oldest, self._second_seq = reader.index, None
        # Without truncation the journal begins with event 0: there is no need to look for its number.
        self.first_seq = await self._find_first_seq(reader) if self._oldest else 0

    async def append(self, events: Sequence[Event]) -> None:
        assert events[0].seq == self._expected_seq
        self._expected_seq += len(events)
        try:
            await self._log.append([codec.encode(event) for event in events], seq=events[-1].seq, hub=events[-1].hub)
        except Exception:
            self._expected_seq = self.next_seq
            raise

    async def replay(self, after: int = -1) -> AsyncIterator[Event]:
        expected, end = after + 1, self.next_seq
        if expected < self.first_seq:
            raise HistoryGone(
                f"events from {expected} on are wanted, but the journal {self.path} is truncated before"
                f" {self.first_seq}; go on from there",
                first_seq=self.first_seq,
            )
        reader = LogReader(self.store, self.path)
        await reader.seek_after_seq(after)
        while expected < end and (records := await reader.read()):
            for record in records:
                if _is_before(record, expected) or (event := self._decode(record)) is None:
                    continue
                if event.seq != expected:
                    raise self._damaged(record, f"holds event {event.seq} where {expected} should be")
                expected += 1
                yield event
                if expected == end:
                    return
        if expected < end:
            raise LogDamaged(
                f"the journal {self.path} ends before event {expected}, but had {end} events; restore it from a copy",
                path=self.path,
            )

    async def truncate_before(self, seq: int) -> None:
        if self._oldest == self._log.segment or (self._second_seq is not None and seq < self._second_seq):
            return  # known without asking the store: this is called again and again
        reader = LogReader(self.store, self.path)
        await reader.seek_after_seq(seq - 1)
        if reader.index > self._oldest:
            first_seq = await reader.first_seq_of(reader.index)
            assert first_seq is not None, "only a segment that holds an event may become the oldest: it has the numbers"
            self.first_seq = first_seq
            await self._log.truncate_before(reader.index)
            self._oldest = reader.index
        self._second_seq = await self._find_second_seq()

    async def _find_first_seq(self, reader: LogReader) -> int:
        while records := await reader.read():
            for record in records:
                if (event := self._decode(record)) is not None:
                    return event.seq
        return self.next_seq

    async def _find_second_seq(self) -> int | None:
        reader = LogReader(self.store, self.path)
        second = await reader.next_segment(self._oldest)
        return None if second is None else await reader.first_seq_of(second)

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
        return LogDamaged(f"record {record.index} of the journal {self.path} {what}", path=self.path)

    async def aclose(self) -> None:
        await self._log.aclose()


class _Numbered(msgspec.Struct):
    """What is read of a record that is skipped: a twentieth of the work of reading it."""

    seq: int | None = None


_numbered = msgspec.json.Decoder(_Numbered)


def _is_before(record: Record, seq: int) -> bool:
    try:
        number = _numbered.decode(record.line).seq
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False  # decoding it reports what is wrong
    return number is not None and number < seq
