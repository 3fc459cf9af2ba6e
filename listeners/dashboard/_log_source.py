"""The events of a log: beside the hub that writes it, or of one that has ended."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs
import msgspec

from hubwire import Event, Hub, codec
from hubwire.erasable import Opener
from hubwire.errors import HistoryGone, HubError, InvalidCursor, InvalidRecord, LogDamaged
from hubwire.log import LogReader, Record, follow, list_segments, log_exists, segment_path
from hubwire.own_log import OwnLog
from hubwire.ports import KnowledgeStore
from hubwire.redaction import Redactor
from hubwire.waking import Slices, start_later
from hubwire.words import Names, holds_name

from ._source import Gap, Reader, Which

__all__ = ("LogSource",)

_HELD = 20_000
"""So many events of a log are in memory, the newest; a reader that is farther back reads the log itself."""
_FIRST = 2200
"""So many are read at first, those that a stream begins with, and some: readers get what is older from the log."""
_BATCH = 256
_AT_ONCE = 32
"""So many are read in one turn of the loop where they have to be redacted: that takes a millisecond."""
_CHUNK_BYTES = 128 * 1024
_SLICE_SECONDS = 0.001
_LOOK_SECONDS = 0.5
_REPLACED_SECONDS = 2.0
"""How often it is looked whether the log is still the same."""
_LOGS = ("/audit", "/journal")

_log = OwnLog("dashboard")


class _Beginning(msgspec.Struct):
    hub: str = ""


@attrs.frozen(eq=False)
class LogItem:
    """An event of a log, redacted."""

    event: Event
    line: bytes

    @property
    def seq(self) -> int:
        return self.event.seq

    @property
    def cursor(self) -> str:
        return _cursor(self.event.seq, self.event.hub, self.event.id)


def _cursor(seq: int, hub: str, event_id: str) -> str:
    # 16 bytes at the beginning are where others have a signature: what is asked of a log needs none.
    return base64.urlsafe_b64encode(bytes(16) + f"{seq}@{hub}@{event_id}".encode()).decode().rstrip("=")


class LogSource:
    """Reads a log on and on, and holds its newest events for all readers."""

    sort: Literal["hub", "log"] = "log"

    def __init__(self, store: KnowledgeStore, path: str | None, redactor: Redactor) -> None:
        self.hub: Hub | None = None
        self.store: KnowledgeStore = store
        self.path: str | None = path
        self.names: Names = Names()
        self.items: list[LogItem] = []
        self.seqs: list[int] = []
        self._id = ""
        self._writer = ""
        """The hub of the first record, when reading began."""
        self.life: int = 0
        """Which of the logs it is that were in this place, one after the other."""
        self._problem: tuple[str, str] | None = None
        self.redactor: Redactor = redactor
        self._task: asyncio.Task[None] | None = None
        self._is_read = asyncio.Event()
        self.changed: asyncio.Event = asyncio.Event()
        """Set when there is more, and replaced by another one."""

    def __repr__(self) -> str:
        return f"the log in {self.store!r:.200}"

    @property
    def id(self) -> str:
        return self._id

    @property
    def newest_seq(self) -> int:
        return self.seqs[-1] if self.seqs else -1

    @property
    def problem(self) -> tuple[str, str] | None:
        return self._problem

    async def open(self) -> None:
        """Begin to read, and return when the newest of what there is was read."""
        if self._task is None or self._task.done():
            self._is_read.clear()
            self._problem = None
            self._task = start_later(self._run(), name="hubwire dashboard log")
        await self._is_read.wait()

    async def close(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    def cursor_after(self, seq: int) -> str:
        at = bisect_right(self.seqs, seq) - 1
        event_id = self.items[at].event.id if at >= 0 and self.seqs[at] == seq else ""
        return _cursor(seq, self._id, event_id)

    def read(self, after: str, which: Which) -> Reader:
        return LogPlace(self, *self._place(after), which)

    def _place(self, cursor: str) -> tuple[int, str]:
        """Return after which event it is, and the id of that where it is still to be proved."""
        try:
            content = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))[16:].decode()
            seq, hub, event_id = content.split("@")
            number = int(seq)
        except (binascii.Error, ValueError) as error:
            raise InvalidCursor(f"{cursor[:80]!r} is not a cursor of this log") from error
        if hub != self._id:
            raise InvalidCursor(f"the cursor belongs to hub {hub[:80]}, and this log is one of hub {self._id}")
        if number > self.newest_seq:
            raise InvalidCursor(f"the cursor is after event {number}, and this log ends at {self.newest_seq}")
        at = bisect_right(self.seqs, number) - 1
        if at < 0 or self.seqs[at] != number:
            return number, event_id
        if event_id and self.items[at].event.id != event_id:
            raise _unknown(event_id)
        return number, ""

    # -- reading the log --

    async def _run(self) -> None:
        try:
            while await self._is_replaced_later():
                self._forget()
        except LogDamaged as error:
            self._problem = (
                str(error)[:300],
                "hubwire doctor and hubwire verify say what is damaged, and what can be done",
            )
        except HubError as error:
            self._problem = str(error)[:300], "look at the store, and start the dashboard again"
            _log.problem("the log of a dashboard cannot be read any more", error)
        finally:
            self._is_read.set()
            self._wake()

    async def _is_replaced_later(self) -> bool:
        """Follow the log; return whether another hub writes in its place now: it was removed, and begun anew."""
        self._writer = ""
        following = start_later(self._follow(), name="hubwire dashboard log reader")
        try:
            while True:
                await asyncio.wait([following], timeout=_REPLACED_SECONDS)
                now = await self._beginning()
                if self._writer and now and now != self._writer:
                    return True
                self._writer = self._writer or now
                if following.done():
                    following.result()
                    return False
        finally:
            following.cancel()
            await asyncio.wait([following])
            if not following.cancelled():
                following.exception()

    async def _beginning(self) -> str:
        """Return the hub of the first record that the log has; empty if that is not known."""
        if self.path is None:
            return ""
        try:
            segments = await list_segments(self.store, self.path)
            content = await self.store.read_bytes(segment_path(self.path, segments[0]), 0, 65_536) if segments else b""
            return msgspec.json.decode((content or b"").partition(b"\n")[0], type=_Beginning).hub
        except (HubError, msgspec.MsgspecError):
            return ""

    def _forget(self) -> None:
        """Begin with another log; who reads is told that his place is none of it."""
        self.items, self.seqs, self._id = [], [], ""
        self.life += 1
        self._wake()

    async def _follow(self) -> None:
        path = self.path = self.path or await self._find()
        self._writer = await self._beginning()
        end, reader = (LogReader(self.store, path, chunk_bytes=_CHUNK_BYTES) for _ in range(2))
        await end.seek_end()
        await self._learn_names(path)
        await reader.seek_index(max(0, end.index - min(_FIRST, _HELD)))
        opener = Opener(self.store, path)
        while records := await reader.read():
            records = await opener.records(records)
            for start in range(0, len(records), _AT_ONCE):
                self.take(records[start : start + _AT_ONCE])
                self._wake()
                await asyncio.sleep(0)
        self._is_read.set()
        async for record in follow(self.store, path, start=reader.index):
            self.take([await opener.record(record)])
            self._wake()

    async def _learn_names(self, path: str) -> None:
        """Learn what agents and channels are called that are there since the beginning: most logs begin with them."""
        slices = Slices(_SLICE_SECONDS)
        with contextlib.suppress(LogDamaged, HistoryGone):
            for record in await LogReader(self.store, path).read():
                await slices.cut()
                if holds_name(record.body) and (item := self.item(record)) is not None:
                    self.names.learn_line(item.line)

    async def _find(self) -> str:
        while True:
            for path in _LOGS:
                if await log_exists(self.store, path):
                    return path
            self._is_read.set()
            await asyncio.sleep(_LOOK_SECONDS)

    def take(self, records: Sequence[Record]) -> None:
        """Hold the events of these records."""
        for record in records:
            item = self.item(record)
            if item is None or item.seq <= self.newest_seq:
                continue
            self._id = self._id or item.event.hub
            self.items.append(item)
            self.seqs.append(item.seq)
            if item.event.kind in ("agent.registered", "channel.created"):
                self.names.learn(codec.decode_fields(item.line))
        if len(self.items) > 2 * _HELD:
            del self.items[:-_HELD], self.seqs[:-_HELD]

    def item(self, record: Record) -> LogItem | None:
        """Return the event of a record, redacted; None for a record that is none."""
        try:
            body = record.body
            if b'"seq":' not in body:
                return None
            line = self.redactor.redact_line(body)
            return LogItem(codec.decode(line), line)
        except InvalidRecord:
            return None

    def _wake(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    async def more(self, seq: int) -> bool:
        """Return when there is more than this event, or another log; false if no more will come."""
        if self.newest_seq == seq and not self.has_ended:
            await self.changed.wait()
        return self.newest_seq != seq or not self.has_ended

    @property
    def has_ended(self) -> bool:
        """Whether there will be no more."""
        return self._task is None or self._task.done()


class LogPlace:
    """A reader of a log: from memory, or from the log itself where that is farther back."""

    def __init__(self, source: LogSource, after: int, unproved: str, which: Which) -> None:
        """``unproved``: the id of the event ``after``, where the log is still to be asked whether it has that."""
        self._source = source
        self._after = after
        self._unproved = unproved
        self._takes = _taking(source, which)
        self._old: LogReader | None = None
        self._records: list[Record] = []
        self._life = source.life
        self._is_ended = asyncio.Event()

    @property
    def cursor(self) -> str:
        return self._source.cursor_after(self._after)

    @property
    def lag(self) -> int:
        return max(0, self._source.newest_seq - self._after)

    async def take(self, *, waits: bool = True) -> Sequence[LogItem] | Gap:
        source = self._source
        while not self._is_ended.is_set():
            if self._life != source.life:
                raise InvalidCursor("another hub writes its log in this place now")
            if not self.lag:
                if source.has_ended or not waits:
                    return ()
                await self._more()
                continue
            if self._unproved or not source.seqs or self._after + 1 < source.seqs[0]:
                found = await self._from_log()
                if isinstance(found, Gap):
                    return found
            else:
                self._old, self._records = None, []
                at = bisect_right(source.seqs, self._after)
                found = source.items[at : at + _BATCH]
                await asyncio.sleep(0)
            if found:
                self._after = found[-1].seq
                if taken := [item for item in found if self._takes(item.event)]:
                    return taken
        return ()

    async def _more(self) -> None:
        changed = self._source.changed
        waiting = [start_later(changed.wait()), start_later(self._is_ended.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()

    async def _from_log(self) -> list[LogItem] | Gap:
        source = self._source
        if self._old is None:
            self._old = LogReader(source.store, source.path or _LOGS[0], chunk_bytes=_CHUNK_BYTES)
            await self._old.seek_after_seq(self._after - 1 if self._unproved else self._after)
        found: list[LogItem] = []
        taken: list[Record] = []
        while not found:
            if not self._records:
                try:
                    opener = Opener(source.store, source.path or _LOGS[0])
                    self._records = await opener.records(await self._old.read())
                except HistoryGone:
                    return self._skip()
                if not self._records:
                    return self._skip()
            taken, self._records = self._records[:_AT_ONCE], self._records[_AT_ONCE:]
            found = self._items(taken)
            await asyncio.sleep(0)
        if found[0].seq > self._after + 1:
            self._records = taken + self._records
            return self._skip_to(found[0].seq)
        return found

    def _items(self, records: Sequence[Record]) -> list[LogItem]:
        """Return the events after this place; that before it proves the place.

        Raises :class:`~hubwire.errors.InvalidCursor` if it is another one.
        """
        found = []
        for record in records:
            seq = _seq_of(record)
            if seq is None or seq < self._after:
                continue
            if seq == self._after and self._unproved:
                item = self._source.item(record)
                if item is not None and item.event.id != self._unproved:
                    raise _unknown(self._unproved)
                self._unproved = ""
            if seq > self._after and (item := self._source.item(record)) is not None:
                self._unproved = ""
                found.append(item)
        return found

    def _skip(self) -> list[LogItem] | Gap:
        self._old, self._records, self._unproved = None, [], ""
        seqs = self._source.seqs
        return self._skip_to(seqs[0]) if seqs and seqs[0] > self._after + 1 else []

    def _skip_to(self, seq: int) -> Gap:
        first, self._after = self._after + 1, seq - 1
        return Gap(first, seq - 1, self._source.cursor_after(seq - 1))

    def end(self) -> None:
        self._is_ended.set()


def _unknown(event_id: str) -> InvalidCursor:
    return InvalidCursor(f"the cursor is after event {event_id[:80]}, which this log does not have")


def _seq_of(record: Record) -> int | None:
    try:
        seq = codec.decode_fields(record.body).get("seq")
    except InvalidRecord:
        return None
    return seq if type(seq) is int else None


def _taking(source: LogSource, which: Which) -> Callable[[Event], bool]:
    patterns, names = which.patterns, source.names

    def takes(event: Any) -> bool:
        agent_id, channel_id = event.agent_id, event.channel_id
        return (
            (patterns is None or patterns.matches(event.kind))
            and (which.tenant is None or event.tenant == which.tenant)
            and (which.agent is None or (agent_id and which.agent in (agent_id, names.agent(agent_id))) is True)
            and (
                which.channel is None
                or (channel_id and which.channel in (channel_id, names.channel(channel_id))) is True
            )
        )

    return takes
