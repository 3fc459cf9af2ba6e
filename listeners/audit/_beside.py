"""What lies beside a log and speaks of it: the journal of the same hub, torn records set aside, long ones, a marker."""

from __future__ import annotations

from collections import deque

import attrs
import msgspec

from hubwire.errors import HistoryGone, LogDamaged
from hubwire.log import Head, LogReader, list_segments, marked_end
from hubwire.ports import KnowledgeStore

from ._promise import Coverage
from ._records import RecordHead
from .blobs import Blob

__all__ = ("Blobs", "EndMarker", "JournalBeside", "unknown_files")

_DIGESTS_MAX = 100_000
_CHUNK_BYTES = 128 * 1024
"""So much of a journal is read and decoded in one turn of the loop."""


@attrs.define
class EndMarker:
    """Up to where a log goes, as the marker beside it says; and what the log says of that place."""

    head: Head | None = None
    is_closed: bool = False
    """Whether the log was closed there, so that it ends there."""
    is_old: bool = False
    """Whether it is one of earlier versions, which did not say so when they opened the log again."""
    fault: str | None = None
    is_met: bool = False
    """Whether the log has as many records, and the ``h`` that the marker names."""

    @classmethod
    async def read(cls, store: KnowledgeStore, path: str) -> EndMarker:
        try:
            marker = await marked_end(store, path)
        except LogDamaged as error:
            return cls(fault=f"{error}; restore it from a copy")
        if marker is None:
            return cls()
        head = Head(marker.tail.records, (marker.tail.chain or b"").decode())
        return cls(head, marker.is_closed or marker.is_old, marker.is_old, is_met=head.records == 0)

    def meet(self, path: str, head: Head) -> None:
        """The log has this head at some place."""
        if self.head is None or head.records != self.head.records:
            return
        self.is_met = head == self.head
        if not self.is_met:
            self.fault = (
                f"record {head.records - 1} of the log {path} has h {head.h}, but the marker beside the log says"
                f" {self.head.h}: one of them was changed; restore it from a copy"
            )


class _Event(msgspec.Struct):
    """What is compared of an event."""

    seq: int | None = None
    id: str | None = None
    kind: str | None = None
    hub: str | None = None


_decode = msgspec.json.Decoder(_Event).decode


class JournalBeside:
    """The journal of the same hub, read side by side with the log, as far back as it still goes."""

    def __init__(self, store: KnowledgeStore, path: str) -> None:
        self.path = path
        self.events_compared: int = 0
        self.ahead: int = 0
        """How many events it holds, and the log was to hold, after the last one of the log."""
        self.last_seq: int | None = None
        self.is_closed: bool = False
        """Whether it was closed after its last event."""
        self.trouble: str | None = None
        """Why it was not looked at, or not to its end."""
        self._store = store
        self._reader = LogReader(store, path, chunk_bytes=_CHUNK_BYTES)
        self._next: deque[_Event] = deque()
        self._hub: str | None = None

    def is_met_by(self, head: RecordHead) -> bool:
        """Compare an event of the log with the journal's next one, if that is read; return whether it is the same."""
        if not self._next:
            return False
        event = self._next[0]
        if event.hub != self._hub or event.seq != head.seq or event.id != head.id or event.kind != head.kind:
            return False
        self._next.popleft()
        self.events_compared += 1
        self.last_seq = event.seq
        return True

    async def meet(self, head: RecordHead, coverage: Coverage) -> str | None:
        """Compare an event of the log with the journal's; return what is wrong, if it is.

        The events that the journal has before it, and that the log was to hold, are missing.
        """
        if self._hub is None:
            await self._begin(head.seq, head.hub)
        seq = head.seq
        while (event := await self._peek()) is not None and _seq(event) < seq:
            self._next.popleft()
            self._pass(event, coverage)
        if event is None or event.seq != seq:
            return None
        self._next.popleft()
        self.events_compared += 1
        self.last_seq = seq
        if (event.id, event.kind) != (head.id, head.kind):
            return (
                f"event {seq} is {head.kind!r:.80} with id {head.id!r:.40} in the log, and"
                f" {event.kind!r:.80} with id {event.id!r:.40} in the journal {self.path}: one of them"
                " was replaced, or they have parted after a restore"
            )
        return None

    async def finish(self, coverage: Coverage) -> None:
        """Read on to the end of the journal."""
        if self._hub is None:
            return
        while (event := await self._peek()) is not None:
            self._next.popleft()
            self.last_seq = event.seq
            promise = coverage.last_promise
            self.ahead += promise is not None and promise.is_gapless and promise.takes(str(event.kind))
        try:
            marker = await marked_end(self._store, self.path)
        except LogDamaged as error:
            self._stop(str(error))
            return
        if marker is not None and self.trouble is None:
            self.is_closed = (marker.is_closed or marker.is_old) and marker.tail.seq == self.last_seq

    async def _begin(self, seq: int, hub: str) -> None:
        self._hub = hub
        if not await list_segments(self._store, self.path):
            self._stop("there is none")
            return
        await self._reader.seek_after_seq(seq - 1)

    async def _peek(self) -> _Event | None:
        try:
            while not self._next and self.trouble is None:
                records = await self._reader.read()
                if not records:
                    return None
                decoded = [_decode(record.line) for record in records]
                self._next.extend(event for event in decoded if event.seq is not None)
        except (msgspec.DecodeError, UnicodeDecodeError, LogDamaged, HistoryGone) as error:
            self._stop(f"it cannot be read to its end ({error})")
        if self.trouble is None and self._next and self._next[0].hub != self._hub:
            self._stop("it is another hub's")
        return self._next[0] if self._next and self.trouble is None else None

    def _pass(self, event: _Event, coverage: Coverage) -> None:
        promise, seq = coverage.promise, _seq(event)
        if promise is None or coverage.next_seq is None or promise.takes_all or not promise.is_gapless:
            return  # the gap itself says all that there is to say
        if seq >= coverage.next_seq and promise.takes(str(event.kind)):
            coverage.missing.add(seq, seq)

    def _stop(self, trouble: str) -> None:
        self.trouble = trouble
        self._next.clear()


def _seq(event: _Event) -> int:
    assert event.seq is not None
    return event.seq


class Blobs:
    """The files with whole records: those that the log names, and those that are there."""

    def __init__(self, store: KnowledgeStore, path: str) -> None:
        self.checked: int = 0
        self.orphans: int | None = None
        """How many are there that no record names; None if they were too many to remember."""
        self._store = store
        self._path = path
        self._named: set[bytes] = set()

    async def check(self, blob: Blob) -> bytes:
        """Check the file that a record names, and return it. Raises ``LogDamaged`` if it is missing or altered."""
        if len(self._named) <= _DIGESTS_MAX:
            self._named.add(bytes.fromhex(blob.sha256))
        whole = await blob.read(self._store, self._path)
        self.checked += 1
        return whole

    async def count_orphans(self) -> None:
        """Count the files that no record names."""
        if len(self._named) > _DIGESTS_MAX:
            return
        orphans = 0
        for folder in await self._store.list(f"{self._path}/blob"):
            names = await self._store.list(f"{self._path}/blob/{folder.rstrip('/')}") if folder.endswith("/") else [""]
            orphans += sum(not self._is_named(name) for name in names)
        self.orphans = orphans

    def _is_named(self, name: str) -> bool:
        try:
            return bytes.fromhex(name.removesuffix(".json")) in self._named
        except ValueError:
            return False


async def unknown_files(store: KnowledgeStore, path: str, torn: set[str]) -> tuple[list[str], list[str]]:
    """Return the names of torn records set aside which the log does not name, and of files that are no part of it."""
    unexplained, foreign = [], []
    for name in await store.list(f"{path}/log"):
        if ".jsonl.torn-" in name:
            if name not in torn:
                unexplained.append(name)
        elif not (len(name) == 26 and name[:20].isdigit() and name.endswith(".jsonl")):
            foreign.append(name)
    return unexplained, foreign
