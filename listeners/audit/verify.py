"""Checking an audit log: what is known of it from its own content, and from what lies beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import UNSET

from hubwire import codec
from hubwire.errors import ConfigurationError, HistoryGone, LogDamaged
from hubwire.log import Head, LogReader, Record, list_segments, read_kept, segment_path
from hubwire.ports import HoldableStore, KnowledgeStore, normalize_path
from hubwire.proof import Note, VerifierKey
from hubwire.text_store import TextStore
from hubwire.waking import Slices

from ._anchors import PRUNED, Anchors
from ._arguments import store_for
from ._asked import Asked, checked_keys, checked_state
from ._beginning import read_note
from ._beside import Blobs, EndMarker, JournalBeside, unknown_files
from ._copying import CopyMark
from ._declared import COVERED
from ._erased import ContentChecks
from ._findings import Findings
from ._gaps import Gaps
from ._promise import Coverage, Promise
from ._records import RecordChecks, RecordHead, at_byte, fields_of
from ._signed import SignedChecks
from ._state import VerifierState
from ._timestamped import roots_of
from ._verdicts import Verification
from ._witnessed import witnesses_of
from .blobs import blob_of
from .stand_ins import stand_in_of

__all__ = ("examine", "verify")

_ATTEMPTS = 5
_TOGETHER = 16
_SLICE_SECONDS = 0.001
"""So long records are looked at in one turn of the loop: a hub may be at work in it."""
CHUNK_BYTES = 128 * 1024
"""So much is read at once: a megabyte of records would take several milliseconds."""


async def verify(
    store: KnowledgeStore | TextStore,
    path: str = "/audit",
    *,
    expect_head: Head | str | None = None,
    expect_records: int | None = None,
    journal: str | None = "/journal",
    vkey: VerifierKey | str | None = None,
    expect_checkpoint: Note | str | bytes | None = None,
    witnesses: Iterable[VerifierKey | str] = (),
    witness_quorum: int | None = None,
    timestamp_certificates: Iterable[str | bytes] | str | bytes = (),
) -> Verification:
    """Examine a log, as :func:`examine` does; return what it holds if no verdict on it fails.

    Raises :class:`~hubwire.errors.LogDamaged`, which names the first fault and its place.
    """
    verification = await examine(
        store,
        path,
        expect_head=expect_head,
        expect_records=expect_records,
        journal=journal,
        vkey=vkey,
        expect_checkpoint=expect_checkpoint,
        witnesses=witnesses,
        witness_quorum=witness_quorum,
        timestamp_certificates=timestamp_certificates,
    )
    verification.check()
    return verification


async def examine(
    store: KnowledgeStore | TextStore,
    path: str = "/audit",
    *,
    expect_head: Head | str | None = None,
    expect_records: int | None = None,
    journal: str | None = "/journal",
    vkey: VerifierKey | str | None = None,
    expect_checkpoint: Note | str | bytes | None = None,
    witnesses: Iterable[VerifierKey | str] = (),
    witness_quorum: int | None = None,
    timestamp_certificates: Iterable[str | bytes] | str | bytes = (),
    gap_seconds_max: float | None = None,
    all_faults: bool = False,
    state: VerifierState | None = None,
    progress: Callable[[int], object] | None = None,
    share: float = 1.0,
) -> Verification:
    """Read a log from its beginning, with constant memory; return what it holds, and three verdicts on it.

    * Integrity: each record is as it was written, in its place. Read are every ``h``, ``d``, ``seq`` and ``hub``, the
      names and ends of the segments, the files of long records, and erasable contents: each is there, or was erased as
      a record of the log says, or is missing.
      A log that was pruned begins with the record that a ``log.pruned`` in it names, and has to follow the ``h`` there.
    * Completeness: every event is there that the log was to hold, as its ``log.opened`` records say, and its end is
      where the marker of the last closing, the ``journal`` of the same hub on the same store, and what you expect say
      that it is. Pass ``journal=None`` not to read a journal.
    * Signer: which records are signed by ``vkey``, the verifier key of the owner of the log, or by one to which it was
      handed over. Without ``vkey`` that is not known. Checkpoints are compared with the records in any case.

    ``expect_head`` is a head of this log that was kept elsewhere, ``expect_records`` a number of records that it has at
    least: without one of them a program that can write to the store can write all of it anew, and it would hold.

    ``expect_checkpoint`` is a checkpoint of this log that was kept elsewhere: it does as well. With ``vkey`` it has to
    be one of that name. ``gap_seconds_max`` is how far apart in time two records that follow each other may be:
    a longer gap is time of which the log knows nothing, and needs a reason.
    ``witnesses`` are the verifier keys of witnesses that the reader trusts, and ``witness_quorum`` how many of them
    have to have seen the log, by default all: the verdict on the signer says up to which record they have, and when.
    What they have seen cannot have been written anew since, also not by who has the key. ``timestamp_certificates`` are
    PEM texts with the roots of a timestamping authority: all timestamps of the log that are met have to hold by them.
    ``all_faults`` goes on behind a damaged record and names all of them, up to a thousand; not only the first.

    ``state`` is the :attr:`Verification.state` of an earlier examination, kept by who verifies: only what came since is
    read, and has to follow.

    ``progress`` is called again and again with the index of the record up to which it has read; what it raises ends the
    reading, and is raised. ``share`` is how much of the event loop it takes at most, more than 0: with 0.5 it rests as
    long as it works, for the sake of a hub in the same loop.

    It needs no hold, and may run beside a hub at work. Raises what the store raises, and
    :class:`~hubwire.errors.ConfigurationError` for arguments that cannot be.
    """
    path = normalize_path(path)
    if progress is not None and not callable(progress):
        raise ConfigurationError(f"progress is a function of a number, not {progress!r:.80}")
    head = Head.parse(expect_head) if isinstance(expect_head, str) else expect_head
    if head is not None and not isinstance(head, Head):
        raise ConfigurationError(f"expect_head is a Head, or its text, not {head!r:.80}")
    if expect_records is not None and (type(expect_records) is not int or expect_records < 0):
        raise ConfigurationError(f"expect_records is a number of records, not {expect_records!r:.80}")
    if type(share) not in (int, float) or not 0.01 <= share <= 1:
        raise ConfigurationError(f"share is a number from 0.01 to 1, not {share!r:.80}")
    if gap_seconds_max is not None and (
        type(gap_seconds_max) not in (int, float) or not 0 < gap_seconds_max < math.inf
    ):
        raise ConfigurationError(f"gap_seconds_max is a number of seconds above 0, not {gap_seconds_max!r:.80}")
    if type(all_faults) is not bool:
        raise ConfigurationError(f"all_faults is True or False, not {type(all_faults).__name__}")
    asked = Asked(
        head,
        *checked_keys(vkey, expect_checkpoint),
        gap_seconds_max,
        all_faults,
        checked_state(state, path),
        witnesses_of(witnesses, witness_quorum, vkey),
        roots_of(timestamp_certificates),
    )
    knowledge, beside = store_for(store), None if journal is None else normalize_path(journal)
    attempts = 1
    while True:
        examination = _Examination(knowledge, path, asked, beside, progress, Slices(_SLICE_SECONDS, share))
        try:
            await examination.read()
        except HistoryGone:  # the log was pruned meanwhile: it begins later now
            attempts += 1
            if attempts > _ATTEMPTS:
                raise
        else:
            break
    await examination.look_beside()
    return examination.findings.verification(expect_records)


class _Examination:
    """One reading of a log from its beginning to its end."""

    def __init__(
        self,
        store: KnowledgeStore,
        path: str,
        asked: Asked,
        journal: str | None,
        progress: Callable[[int], object] | None,
        slices: Slices,
    ) -> None:
        self._progress = progress
        self._slices = slices
        self._store = store
        self._path = path
        self._torn: set[str] = set()
        self._journal = None if journal is None else JournalBeside(store, journal)
        self._blobs = Blobs(store, path)
        self._coverage = Coverage()
        self._asked = asked
        self._gaps = Gaps(path, asked.gap_seconds_max)
        self._signed = SignedChecks(store, path, asked.vkey, asked.checkpoint, asked.witnesses, asked.timestamp_roots)
        self._contents = ContentChecks(store, path)
        self.findings = Findings(path, asked, self._coverage, self._blobs, self._journal, self._signed, self._gaps)
        self.findings.contents = self._contents

    async def read(self) -> None:
        """Read all records, up to the first that is damaged."""
        findings = self.findings
        findings.marker = await EndMarker.read(self._store, self._path)
        findings.copy = await CopyMark.read(self._store, self._path)
        self._contents.is_copy = findings.copy is not None
        findings.segments = await list_segments(self._store, self._path)
        reader = LogReader(self._store, self._path, chunk_bytes=CHUNK_BYTES)
        try:
            await self._begin(reader)
            while records := await self._next(reader):
                if self._progress is not None:
                    self._progress(records[0].index)
                await self._add_all(records, reader)
        except LogDamaged as error:
            findings.damaged(error)
            return
        size = await self._store.size(segment_path(self._path, reader.segment)) or 0
        findings.unfinished_bytes = max(size - reader.offset, 0)

    async def _next(self, reader: LogReader) -> list[Record]:
        """Return the next records; if all faults are asked for, behind what cannot be read."""
        while True:
            try:
                return await reader.read()
            except LogDamaged as error:
                if not self._asked.all_faults:
                    raise
                self.findings.skipped(error)
                self.findings.checks.skip()
                if not await reader.skip_damaged():
                    return []

    async def _add_all(self, records: list[Record], reader: LogReader) -> None:
        findings, journal, coverage, gaps = self.findings, self._journal, self._coverage, self._gaps
        try:
            findings.checks.begin_segment(reader.segment)
        except LogDamaged as error:
            if not self._asked.all_faults:
                raise
            findings.integrity.add(str(error))
        for number, record in enumerate(records):
            if not number % _TOGETHER:
                await self._slices.cut()
            if findings.copy is not None and self._is_withheld(record):
                continue
            try:
                head = findings.checks.add(record)
            except LogDamaged as error:
                offset = reader.offset - sum(len(each.line) + 1 for each in records[number:])
                located = at_byte(error, segment_path(self._path, reader.segment), offset)
                if not self._asked.all_faults:
                    await self._signed.add(records[:number])
                    raise located from error
                findings.integrity.add(str(located))
                findings.checks.resume(record)
                continue
            if not findings.is_skipping:
                findings.meet_heads()
            if head.kind == COVERED and head.cut is UNSET:
                findings.declared.covered(fields_of(record))
            if gaps.is_asked:
                gaps.add(record.index, head.at)
            is_plain = head.seq is not UNSET and head.cut is UNSET and head.contents is UNSET
            if is_plain and (journal is None or journal.is_met_by(head)):
                coverage.event(head.seq)
            elif head.may_be_own or not (head.seq is head.cut is head.contents is UNSET):
                await self._look_at(record, head)
        await self._signed.add(records)

    def _is_withheld(self, record: Record) -> bool:
        """Pass over what stands in a copy for a record that is withheld; tell whether it is that."""
        stand_in, checks = stand_in_of(record.line), self.findings.checks
        if stand_in is None or checks.follows_last(record):  # else it is a record that looks like it
            return False
        checks.resume(record)
        self._signed.withheld[record.index] = stand_in.leaf
        self.findings.withheld_records += 1
        if stand_in.seq is not None:
            checks.last_seq = stand_in.seq
            self._coverage.event(stand_in.seq)
        self.findings.meet_heads()
        return True

    async def _begin(self, reader: LogReader) -> None:
        """Find where the log begins: what is before was pruned, and a crash may have left some of it."""
        findings, kept = self.findings, (await read_kept(self._store, self._path)).first
        findings.segments = [first for first in findings.segments if first >= kept]
        first = findings.segments[0] if findings.segments else 0
        state = self._asked.state
        findings.anchors = Anchors(self._path, first)
        if state is not None:
            is_newly_signed = state.tree is None and await self._signed.is_signed()
            if first <= state.records and not is_newly_signed and await self._reaches(state, reader):
                await self._go_on(state, reader)
                return
            findings.begin_anew(state)
            await reader.seek_index(first)
        findings.checks = RecordChecks(self._path, first)
        self._contents.begin(first)
        await self._signed.begin(first, known=0 if state is None else state.signed or 0)
        if first:
            note = await read_note(self._store, self._path)
            remembered = None if note is None else note.at(first)
            # It is believed when the log itself has said the same.
            findings.anchors.remembered = remembered
            if remembered is not None:
                self._coverage.resume(remembered.promise, remembered.last_seq)

    async def _reaches(self, state: VerifierState, reader: LogReader) -> bool:
        """Go behind what was read at the last examination; return whether the log goes so far."""
        try:
            await reader.seek_index(state.records)
        except LogDamaged:  # before there, where it was whole: what is wrong is said when all is read
            return False
        return reader.index == state.records

    async def _go_on(self, state: VerifierState, reader: LogReader) -> None:
        """Begin behind what was read at the last examination."""
        checks = RecordChecks(self._path, state.records, state.h.encode())
        self.findings.checks = checks
        self._contents.begin(state.records, is_whole=False)
        await self._signed.begin(state.records, state)
        self._gaps.go_on(state.records, state.at, is_closed=state.is_closed)
        self._coverage.resume(state.promise, state.last_seq)
        if self.findings.segments and (first := self.findings.segments[0]) > state.first_record:
            await self._find_pruned(first, state.records)
        checks.go_on(segment=reader.segment, durable=state.durable, last_seq=state.last_seq, hub=state.hub)
        self.findings.meet_heads()  # the log may have gone on by no record since

    async def _find_pruned(self, first: int, end: int) -> None:
        """Find what the log says of records that are gone, and were there at the last examination, before its end."""
        reader = LogReader(self._store, self._path, chunk_bytes=CHUNK_BYTES)
        await reader.seek_index(first)
        while reader.index < end and (records := await reader.read()):
            await self._slices.cut()
            for record in records:
                if record.index < end and PRUNED in record.line:
                    fields = fields_of(record)
                    if "seq" not in fields:
                        self.findings.anchors.add(fields, record.index)

    async def _look_at(self, record: Record, head: RecordHead) -> None:
        """Look closer at a record: most are events in one line, and the journal has the same event next."""
        findings = self.findings
        if head.seq is not UNSET:
            journal = self._journal
            if journal is not None and not journal.is_met_by(head):
                fault = await journal.meet(head, self._coverage)
                if fault is not None:
                    findings.integrity.add(fault)
            self._coverage.event(head.seq)
        else:
            self._add_own(fields_of(record), record.index)
        if head.cut is UNSET and head.contents is UNSET:
            return
        try:
            fields = fields_of(record)
            if (blob := blob_of(fields)) is not None:
                whole = await self._blobs.check(blob)
                fields = codec.decode_fields(whole) if head.contents is not UNSET else {}
            await self._contents.look(record.index, fields)
        except LogDamaged as error:
            if record.index < (await read_kept(self._store, self._path)).first:
                raise HistoryGone(f"record {record.index} of the log {self._path} was pruned", first_seq=0) from error
            findings.integrity.add(str(error))

    def _add_own(self, fields: dict[str, Any], index: int) -> None:
        self.findings.anchors.add(fields, index)
        self._signed.announced(index, fields)
        self._contents.announced(index, fields)
        self.findings.forks.add(fields, index)
        if self.findings.heartbeats.add(fields, index):
            self._gaps.closed(index)
        if fields.get("kind") == "log.opened":
            self._coverage.opened(Promise.from_fields(fields))
            self.findings.declared.opened(fields)
        elif fields.get("kind") == "log.recovered":
            self._torn.add(str(fields.get("torn_path")).rpartition("/")[2])

    async def look_beside(self) -> None:
        """Look at what lies beside the log."""
        findings, marker = self.findings, self.findings.marker
        if marker.is_closed and not marker.is_old and isinstance(self._store, HoldableStore):
            now = await EndMarker.read(self._store, self._path)  # a hub may have opened the log in the meantime
            findings.is_sealed = (now.is_closed, now.head) == (True, marker.head)
        if self._journal is not None and not findings.is_damaged:
            await self._journal.finish(self._coverage)
        if not findings.is_damaged:
            await self._blobs.count_orphans()
        await self._contents.finish(is_damaged=findings.is_damaged)
        findings.unexplained, findings.foreign = await unknown_files(self._store, self._path, self._torn)
