"""Pruning: the oldest segments of a log deleted, so that a crash at any moment leaves a log that opens and verifies.

The steps, each on the store before the next one begins:

1. What goes is read and checked, and copied to the archive, if there is one; the file ``pruned`` says what is about to
   happen.
2. The record ``log.pruned`` says in the log where it will begin, and which ``h`` the record before that has.
3. The file ``kept`` says that the log begins there. From here on, what is before is no part of it.
4. The segments before are deleted, the oldest first.
5. Their indexes, and the files of long records and the erasable contents that only they named are deleted; the file
   ``pruned`` says that this is done.

A pruning that ended before step 3 has not happened, and the next one decides anew. Later ones are finished by the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from msgspec import UNSET

from hubwire.clock import timestamp
from hubwire.errors import AlreadyExists, ConfigurationError, InvalidRecord, LogDamaged, NotFound
from hubwire.log import Log, LogReader, Record, read_kept
from hubwire.ports import Clock, KnowledgeStore

from ._archive import Archive
from ._beginning import Anchor, Note, anchor_of, read_note
from ._holds import Keeping, forget_beside, read_keeping, set_beside
from ._old_contents import OldContents, page_of
from ._one_by_one import OneByOne
from ._plan import Plan, plan_for
from ._promise import Promise
from ._records import RecordChecks, RecordHead, fields_of
from .blobs import Blob, blob_of
from .retention import Hold, Pruning, Retention
from .stand_ins import refuse_copy

__all__ = ("Pruner", "PruningEnded")

_YIELD_EVERY = 256


class PruningEnded(ConfigurationError):
    """The log was closed while it was pruned."""


class Pruner:
    """Prunes one log, and keeps its holds: one call at a time, in the order of the calls."""

    def __init__(
        self,
        store: KnowledgeStore,
        log: Log,
        clock: Clock,
        long_records: OneByOne,
        keep_tree: Callable[[int], Awaitable[None]],
        contents: OldContents,
        archive: Archive | None,
    ) -> None:
        """``keep_tree`` is awaited before the records before an index are removed: their hashes have to stay."""
        self._archive = archive
        self._store = store
        self._log = log
        self._path = log.path
        self._clock = clock
        self._calls = OneByOne()
        self._long_records = long_records
        """Held by who writes the file of a record of the caller's own, or deletes one."""
        self._keep_tree = keep_tree
        self._contents = contents
        self._is_closing = False

    # -- pruning --

    async def prune(
        self, retention: Retention, *, by: str | None, reason: str | None, is_dry_run: bool, floor: float | None
    ) -> Pruning:
        """Remove what the retention does not keep; with ``is_dry_run`` only say what that is.

        ``floor`` are the days for which the log's program keeps records at least; None: as it has said before.
        """
        if is_dry_run:
            await refuse_copy(self._store, self._path)
            keeping = await read_keeping(self._store, self._path)
            plan = await plan_for(self._store, self._path, retention, keeping, self._clock.now_ns())
            return plan.report(is_dry_run=True)
        async with self._calls:
            await self._open()
            self._check_going_on()
            await self._finish()
            await self._take_in()
            keeping = await self._with_floor(floor)
            plan = await plan_for(self._store, self._path, retention, keeping, self._clock.now_ns())
            held = plan.segments and await self._carry_out(plan, max(keeping.days_min, retention.days_min), by, reason)
            report = (plan.held_by(held) if held else plan).report(is_dry_run=False)
            return attrs.evolve(report, is_archived=bool(report.segments and self._archive is not None))

    async def _open(self) -> None:
        await refuse_copy(self._store, self._path)
        await self._log.open()

    async def _with_floor(self, days_min: float | None) -> Keeping:
        """Write the floor down beside the log, for who prunes it later without its program."""
        keeping = await read_keeping(self._store, self._path)
        if days_min is None or keeping.days_min == days_min:
            return keeping
        keeping = attrs.evolve(keeping, days_min=float(days_min))
        await keeping.write(self._store, self._path)
        return keeping

    async def _carry_out(self, plan: Plan, days_min: float, by: str | None, reason: str | None) -> tuple[Hold, ...]:
        """Do what is planned; or return the holds that were set beside the program meanwhile."""
        before = await anchor_of(self._store, self._path, plan.begins)
        seen = _Seen(self._path, before)
        await self._read(plan, seen)
        last_seq = before.last_seq if seen.checks.last_seq is None else seen.checks.last_seq
        after = Anchor(plan.first, seen.checks.head.h, seen.promise, last_seq)
        await self._keep_tree(plan.first)
        if self._archive is not None:
            await self._archive.take(plan, before, (*seen.blobs, *seen.shared), has_erasable=bool(seen.pages))
            self._check_going_on()
        note = Note(
            before, after, is_done=False, blobs=tuple(seen.blobs), shared=tuple(seen.shared), pages=tuple(seen.pages)
        )
        await note.write(self._store, self._path)
        # After the note, so that a hold which is not seen here is set by code that sees the note.
        if held := (await read_keeping(self._store, self._path)).holds:
            await Note(before, before).write(self._store, self._path)
            return held
        record = self._log.own_record(
            "log.pruned",
            **after.to_fields(),
            records=plan.first - plan.begins,
            segments=len(plan.segments),
            bytes=plan.size_bytes,
            days_min=float(days_min),
            by=by,
            reason=reason or "; ".join(plan.reasons),
            **({} if self._archive is None else {"archive": str(self._archive)}),
        )
        await self._log.append([record])
        self._check_going_on()
        await self._log.truncate_before(plan.first)
        await self._remove_blobs(note)
        return ()

    async def _read(self, plan: Plan, seen: _Seen) -> None:
        """Read and check all that goes. Raises :class:`~hubwire.errors.LogDamaged`: damage is not removed unseen."""
        reader = LogReader(self._store, self._path)
        await reader.seek_index(plan.begins)
        while reader.index < plan.first and (records := await reader.read()):
            self._check_going_on()
            seen.checks.begin_segment(reader.segment)
            for record in records:
                if record.index < plan.first:
                    seen.add(record)
                if record.index % _YIELD_EVERY == 0:
                    await asyncio.sleep(0)

    async def _finish(self) -> None:
        """Finish a pruning that a crash has ended after its third step."""
        note = await read_note(self._store, self._path)
        if note is None or note.is_done:
            return
        if (await read_kept(self._store, self._path)).first == note.after.first:
            await self._log.truncate_before(note.after.first)
            await self._remove_blobs(note)

    async def _remove_blobs(self, note: Note) -> None:
        from hubwire.query import drop_indexes  # noqa: PLC0415 - few logs are pruned, and all would pay for it

        await drop_indexes(self._store, self._path, note.after.first)
        for digest in note.blobs:
            self._check_going_on()
            await self._store.delete(f"{self._path}/{Blob(digest, 0).name}")
        if note.shared:
            unnamed, reader = set(note.shared), LogReader(self._store, self._path)
            await self._leave_named(unnamed, reader)
            async with self._long_records:  # what was appended meanwhile may have the same content
                await self._log.append(())
                await self._leave_named(unnamed, reader)
                for digest in sorted(unnamed):
                    await self._store.delete(f"{self._path}/{Blob(digest, 0).name}")
        await self._contents.remove(note.pages)
        await Note(note.after, note.after).write(self._store, self._path)

    async def _leave_named(self, digests: set[str], reader: LogReader) -> None:
        """Take out of the digests those that records name, from the place of the reader to the end."""
        while digests and (records := await reader.read()):
            self._check_going_on()
            for record in records:
                if b'"cut":{' in record.line and (blob := blob_of(fields_of(record))) is not None:
                    digests.discard(blob.sha256)
            await asyncio.sleep(0)

    # -- what was cut off --

    async def is_said(self, first: int, *, before: int | None = None) -> bool:
        """Tell whether a ``log.pruned`` of the log, up to a record, names ``first`` as the beginning."""
        reader = LogReader(self._store, self._path)
        try:
            while records := await reader.read():
                for record in records:
                    if before is not None and record.index >= before:
                        return False
                    if _names(record, first):
                        return True
        except LogDamaged:
            return False
        return False

    async def say_again(self, by: str, reason: str) -> bool:
        """Say in the log where it begins, if no record says so any more; return whether that was done."""
        async with self._calls:
            await self._open()
            first = (await read_kept(self._store, self._path)).first
            note = await read_note(self._store, self._path)
            anchor = None if note is None else note.at(first)
            if not first or anchor is None or await self.is_said(first):
                return False
            days_min = (await read_keeping(self._store, self._path)).days_min
            gone: dict[str, Any] = {"records": 0, "segments": 0, "bytes": 0, "days_min": days_min}
            record = self._log.own_record("log.pruned", **anchor.to_fields(), **gone, by=by, reason=reason)
            await self._log.append([record])
            return True

    # -- holds --

    async def hold(self, name: str, reason: str, by: str | None) -> None:
        """Hold all records."""
        async with self._calls:
            await self._open()
            keeping = await self._take_in()
            if keeping.named(name) is not None:
                raise self._taken(name)
            hold = self._hold(name, reason, by)
            await Keeping((*keeping.holds, hold), keeping.days_min).write(self._store, self._path)
            await self._log.append([self._log.own_record("log.held", hold=name, reason=reason, by=by)])

    async def release(self, name: str, reason: str, by: str | None) -> None:
        """Release a hold."""
        async with self._calls:
            await self._open()
            keeping = await self._take_in()
            if keeping.named(name) is None:
                names = ", ".join(repr(hold.name) for hold in keeping.holds) or "none"
                raise NotFound(f"the log {self._path} has no hold {name!r:.80}; its holds: {names:.500}")
            await self._log.append([self._log.own_record("log.released", hold=name, reason=reason, by=by)])
            holds = tuple(hold for hold in keeping.holds if hold.name != name)
            await Keeping(holds, keeping.days_min).write(self._store, self._path)

    async def hold_beside(self, name: str, reason: str, by: str | None) -> int | None:
        """Hold all records of a log that another program may have open.

        Return the first record that is held for certain, where a pruning has begun before; None if all are.
        """
        await refuse_copy(self._store, self._path)
        if (await read_keeping(self._store, self._path)).named(name) is not None:
            raise self._taken(name)
        try:
            await set_beside(self._store, self._path, self._hold(name, reason, by))
        except AlreadyExists:
            raise self._taken(name) from None
        note = await read_note(self._store, self._path)
        return None if note is None or note.is_done else note.after.first

    async def _take_in(self) -> Keeping:
        """Take into the log the holds that were set beside this program; return what keeps records."""
        keeping = await read_keeping(self._store, self._path)
        new = keeping.beside
        if new:
            own = self._log.own_record
            await self._log.append([own("log.held", hold=hold.name, reason=hold.reason, by=hold.by) for hold in new])
            # After a crash here it is done once more.
            await attrs.evolve(keeping, beside=()).write(self._store, self._path)
        for name in (*(hold.name for hold in new), *keeping.left_over):
            await forget_beside(self._store, self._path, name)
        return attrs.evolve(keeping, beside=(), left_over=())

    def _hold(self, name: str, reason: str, by: str | None) -> Hold:
        return Hold(name=name, reason=reason, by=by, at=timestamp(self._clock.now_ns()))

    def _taken(self, name: str) -> InvalidRecord:
        return InvalidRecord(f"the log {self._path} has a hold {name!r:.80} already; give this one another name")

    # -- closing --

    async def close(self) -> None:
        """Have a pruning under way end at its next step, and wait for that."""
        self._is_closing = True
        if self._archive is not None:
            self._archive.give_up()
        async with self._calls:
            self._is_closing = False

    def _check_going_on(self) -> None:
        if self._is_closing or not self._log.is_open:
            raise PruningEnded(
                f"the log {self._path} was closed while it was pruned; the next pruning finishes what was begun"
            )


def _names(record: Record, first: int) -> bool:
    """Tell whether a record is the log's own, and says that it begins with ``first``."""
    if b'"kind":"log.pruned"' not in record.line:
        return False
    fields = fields_of(record)
    anchor = Anchor.from_fields(fields)
    return "seq" not in fields and anchor is not None and anchor.first == first


class _Seen:
    """What was read of the records that go."""

    def __init__(self, path: str, before: Anchor) -> None:
        self.checks = RecordChecks(path, before.first, before.h.encode())
        self.promise: Promise | None = before.promise
        self.blobs: dict[str, None] = {}
        """The digests of long records that no other record can name: events, of which each is in a log once."""
        self.shared: dict[str, None] = {}
        """Those of records of the caller's own."""
        self.pages: dict[str, None] = {}
        """The pages on which they have erasable contents."""

    def add(self, record: Record) -> None:
        head = self.checks.add(record)
        if head.seq is UNSET and head.kind == "log.opened":
            self.promise = Promise.from_fields(fields_of(record))
        if head.cut is not UNSET:
            self._add_cut(record, head)
        if head.contents is not UNSET and (page := page_of(fields_of(record))) is not None:
            self.pages[page] = None

    def _add_cut(self, record: Record, head: RecordHead) -> None:
        blob = blob_of(fields_of(record))
        if blob is not None:
            (self.shared if head.seq is UNSET else self.blobs)[blob.sha256] = None
