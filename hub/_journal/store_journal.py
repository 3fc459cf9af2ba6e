"""StoreJournal: the hub's write-ahead log on a store, at ``/journal``.

It holds full payloads, for the hub's own recovery: it is memory, not evidence. Below its path are the segments
(``log/``), what the hub keeps beside them (``beside/``: positions and the pointer to snapshots) and the snapshots.

**Copying a live journal** file by file gives a copy that starts, or one that is refused with words and unchanged. It
starts if the audit log is copied first, then ``beside/``, then ``snapshots/``, then the segments from the oldest to the
newest: each of these is ahead of none that is copied after it. In the other order the copy may hold a listener, a
position or a snapshot of which the copied journal has not heard.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from .. import codec
from ..clock import SystemClock
from ..errors import ConfigurationError, HistoryGone, InvalidRecord, LogDamaged, NewerVersion
from ..events import Event, HubStarted, UnknownEvent, kind_class
from ..events._shown import shown
from ..events.hubs import FORMAT
from ..log import SEGMENT_BYTES, SPACING_BYTES, Log, LogReader, Place, Record, SeqIndex
from ..ports import Clock, KnowledgeStore, normalize_path
from .beside import Beside

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
        self._index = SeqIndex()
        self._unnoted_bytes = 0
        """What was appended since the end was noted in the index."""
        self._beside = Beside(store, self.path)
        self.epoch: int = 0
        self.first_seq: int = 0
        self.hub_id: str | None = None
        self._expected_seq = 0
        self._oldest = 0
        """The index of the first record of the oldest segment."""
        self._second_seq: int | None = None
        """The first event of the segment after the oldest one; None if it is not known yet."""

    def __repr__(self) -> str:
        return f"StoreJournal({self.store!r:.200}, path={self.path!r})"

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

    @property
    def recovery(self) -> tuple[str, ...]:
        """What the last opening found that is not usual, and did about it; empty if the journal ended well."""
        found = self._log.inspection
        return (*(f"the start had to {each}" for each in found.repairs), *found.notes)

    async def open(self) -> None:
        await self._log.open()
        # Of two that open the log at the same end one appends there: its epoch is its own from then on.
        self.epoch = self._log.records
        self._expected_seq = self.next_seq
        self._note_end()
        self.hub_id = self._log.hub_id
        reader = LogReader(self.store, self.path)
        await reader.seek_index(0)
        self._oldest, self._second_seq = reader.index, None
        # Without truncation the journal begins with event 0: there is no need to look for its number.
        self.first_seq = await self._find_first_seq(reader) if self._oldest else 0

    async def append(self, events: Sequence[Event]) -> None:
        await self._append(events, [codec.encode(event) for event in events])

    async def append_batches(self, events: Sequence[Event], batches: Sequence[range]) -> None:
        bodies = [codec.encode(event) for event in events]
        for batch in reversed(batches):
            bodies.insert(batch.start, self._log.batch_mark(len(batch)))
        await self._append(events, bodies)

    async def _append(self, events: Sequence[Event], bodies: Sequence[bytes]) -> None:
        assert events[0].seq == self._expected_seq
        self._expected_seq += len(events)
        try:
            await self._log.append(bodies, seq=events[-1].seq, hub=events[-1].hub)
        except Exception:
            self._expected_seq = self.next_seq
            raise
        self._unnoted_bytes += sum(map(len, bodies))
        if self._unnoted_bytes >= SPACING_BYTES // 2:
            self._note_end(has_checksums=True)

    def _note_end(self, *, has_checksums: bool = False) -> None:
        log = self._log
        self._unnoted_bytes = 0
        self._index.note(self.next_seq, Place(log.segment, log.records, log.segment_bytes, has_checksums))

    async def check(self) -> None:
        await self._log.check()

    async def keep(self, name: str, content: bytes | None) -> None:
        await self._log.check()
        await self._beside.keep(name, content, self.epoch)

    async def kept(self) -> Mapping[str, bytes]:
        return await self._beside.load()

    async def replay(self, after: int = -1) -> AsyncIterator[Event]:
        expected, end = after + 1, self.next_seq
        self._check_holds(expected)
        reader = LogReader(self.store, self.path, self._index)
        await reader.seek_after_seq(after)
        while expected < end and (records := await reader.read()):
            for record in records:
                if _is_before(record, expected) or (event := self._decode(record)) is None:
                    continue
                if event.seq != expected:
                    self._check_holds(expected)  # a truncation may have come between
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

    def _check_holds(self, seq: int) -> None:
        if seq < self.first_seq:
            raise HistoryGone(
                f"events from {seq} on are wanted, but the journal {self.path} is truncated before {self.first_seq}; go"
                " on from there",
                first_seq=self.first_seq,
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
            self._index.forget_before(self._oldest)
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
        if type(event) is HubStarted and event.format > FORMAT:
            raise NewerVersion(
                f"record {record.index} of the journal {self.path} begins events of hubwire {shown(event.version)},"
                f" some of kinds that this version does not know (format {event.format}, not {FORMAT}); use the newer"
                " version",
                path=self.path,
            )
        return event

    def _damaged(self, record: Record, what: str) -> LogDamaged:
        return LogDamaged(f"record {record.index} of the journal {self.path} {what}", path=self.path)

    async def repair(self) -> None:
        """Do what :meth:`open` found to be done; the hub calls it before a listener is given what the journal holds.

        After a failed sync, or a kill before it, the disk may not have what was read. Then nothing must stand on it.
        """
        await self._log.repair()

    async def aclose(self) -> None:
        await self._log.aclose()

    async def release(self) -> None:
        """Give the journal up without a clean marker: see :meth:`hubwire.Hub.abort`."""
        await self._log.release()


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
