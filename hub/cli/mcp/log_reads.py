"""The log of a store, also while a hub writes it. Nothing is held, and nothing written."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from contextlib import aclosing, suppress
from functools import cached_property
from typing import Any, cast

import anyio
import anyio.lowlevel

from ...board import Board as FoldedBoard
from ...clock import SystemClock
from ...codec import decode_fields
from ...errors import HistoryGone, InvalidRecord, LogDamaged
from ...log import LogReader, Record
from ...ports import KnowledgeStore
from ...query import Found, Selection, count, names_of, query
from ...query._matching import BadLine, Matcher
from ..failures import CommandFailed
from ..feed import Feed
from ..meant import meant
from ..output import plural
from ..query import notes_on
from ..redacted import Shown, shown
from ..show import found_record, missing_record, whole_record
from ..target import Names, beginning_of, fields_of, find_log, holds_name, open_target
from .answers import Answer, Kept, as_json, row_of
from .kept import KeptBoard, KeptBoards
from .reading import SECONDS, WHOLE_BYTES_MAX, Asked, Board, Boarded, Row, Taken, Verdict

__all__ = ("LogReads",)

_LEARN_RECORDS_MAX = 100_000
_BOARDS_MAX = 4
"""Of tenants whose boards are at hand."""
_SAID_BEFORE = 5
_KEEP_EVENTS = 20_000
_KEEP_AT_END_EVENTS = 5_000
"""So many events are read in a fraction of a second: what has fewer is not kept for them."""


class LogReads:
    """Reads the log of one store. A log that is not there yet is looked for at each call."""

    def __init__(self, target: str, log: str | None, keep: KnowledgeStore | None = None) -> None:
        """``keep``: where boards are kept, so that the next start has them at once; None keeps none."""
        self.name: str = target
        self._log = log
        self._keep = keep
        self._store = open_target(target)
        self._learnt = _Learnt()
        self._kept = Kept()
        self._boards: OrderedDict[tuple[str, str | None], _BoardOfLog] = OrderedDict()

    @cached_property
    def _shown_as(self) -> Shown:
        return shown(raw=False)

    async def _path(self) -> str:
        return await find_log(self._store, self._log, self.name)

    # -- records --

    async def events(self, asked: Asked, into: Answer) -> Taken:
        path = await self._path()
        taking = _Taking(asked, self._shown_as, self._learnt.names, into)
        found = query(
            self._store, path, asked.selection, after=asked.after, newest_first=asked.newest_first, call="the log"
        )
        notes: list[str] = []
        with anyio.move_on_after(SECONDS) as scope:
            await self._learnt.more(self._store, path, self._shown_as)
            async with aclosing(cast(Any, found)):
                async for each in found:
                    if not taking.takes(each):
                        break
        if scope.cancelled_caught:
            notes.append(_too_slow(taking.count))
        notes += notes_on(found.looked, path)
        if not taking.count and not scope.cancelled_caught and asked.after is None:
            notes.append(await self._why_none(path, asked.selection))
        is_more = taking.is_more or (scope.cancelled_caught and bool(taking.count))
        return Taken(first=taking.first, last=taking.last, is_more=is_more, notes=tuple(notes))

    async def _why_none(self, path: str, chosen: Selection) -> str:
        advice, beginning = "", await beginning_of(self._store, path)
        with anyio.move_on_after(SECONDS / 4):
            advice = await meant(
                self._store, path, self._shown_as, kinds=chosen.kind, agents=chosen.agent, channels=chosen.channel
            )
        return f"no record of {path} is selected{advice}{'; ' if beginning else ''}{beginning}"

    async def counts(self, selection: Selection) -> dict[str, int]:
        with anyio.move_on_after(SECONDS / 2):
            counted = await count(self._store, await self._path(), selection, by="kind", call="the log")
            return {str(each.values[0]): each.count for each in counted.rows}
        return {}

    async def one(self, wanted: str) -> dict[str, Any]:
        path = await self._path()
        what, found = "", None
        with anyio.move_on_after(SECONDS) as scope:
            what, found = await found_record(self._store, path, wanted)
        if scope.cancelled_caught:
            raise CommandFailed(
                f"looking for {wanted[:80]!r} took longer than {SECONDS:g} s; ask for it by its seq, or by index:7"
            )
        if found is None:
            raise await missing_record(self._store, path, self.name, what, wanted)
        return self._kept.keep(wanted, self._shown_as.fields(await whole_record(self._store, path, found)))

    async def again(self, wanted: str) -> dict[str, Any]:
        return self._kept.find(wanted) or await self.one(wanted)

    # -- boards --

    async def hub(self) -> dict[str, Any]:
        folded = await self._folded(None)
        return {"log": await self._path(), **folded.board.hub(now=folded.now).to_json()}

    async def board(self, board: Board, tenant: str | None, limit: int) -> Boarded:
        if board == "listeners" and tenant is not None:
            return Boarded(rows=[], not_shown=0, notes=("listeners are of the whole hub, and not of a tenant",))
        folded = await self._folded(tenant)
        shows, now = folded.board, folded.now
        shown_by: dict[Board, Callable[[], Any]] = {
            "agents": lambda: shows.agents(now=now, limit=limit),
            "channels": lambda: shows.channels(limit=limit),
            "runs": lambda: shows.runs(now=now, limit=limit),
            "tasks": lambda: shows.tasks(now=now, limit=limit),
            "approvals": lambda: shows.approvals(now=now, limit=limit),
            "links": lambda: shows.links(limit=limit),
            "listeners": shows.listeners,
            "troubles": lambda: shows.troubles(limit=limit),
        }
        rows = shown_by[board]()
        return Boarded(rows=[each.to_json() for each in rows][:limit], not_shown=rows.not_shown, notes=(*folded.notes,))

    async def _folded(self, tenant: str | None) -> _BoardOfLog:
        path = await self._path()
        found = self._boards.pop((path, tenant), None) or _BoardOfLog(self._store, path, tenant, self._kept_of(path))
        self._boards[path, tenant] = found
        if len(self._boards) > _BOARDS_MAX:
            self._boards.popitem(last=False)
        await found.go_on()
        return found

    def _kept_of(self, path: str) -> KeptBoards | None:
        return None if self._keep is None else KeptBoards(self._keep, self.name, path)

    # -- approvals --

    async def arguments(self, approval: Row) -> Any:
        try:
            return (await self.one(str(approval["requested_seq"]))).get("arguments")
        except CommandFailed:  # pruned
            return None

    async def said_before(self, approval: Row) -> list[Row]:
        channel_id = approval.get("channel_id")
        transcript = None if channel_id is None else (await self._folded(None)).board.channel(channel_id)
        lines: list[Row] = [] if transcript is None else [each.to_json() for each in transcript.lines]
        return [each for each in lines if each["seq"] < approval["requested_seq"]][-_SAID_BEFORE:]

    async def decide(self, approval_id: str, verdict: Verdict, reason: str) -> Row:  # noqa: ARG002 - as hubs take it
        raise CommandFailed(f"{self.name} is a store, and a store is only read: the hub decides")

    async def aclose(self) -> None:
        """Close the store, and keep what was read."""
        try:
            for board in self._boards.values():
                await board.keep()
        finally:
            await self._store.aclose()
            if self._keep is not None:
                await self._keep.aclose()


def _too_slow(count: int) -> str:
    more = "go on by the cursor" if count else "narrow it by since, until, kind or agent"
    return f"reading took longer than {SECONDS:g} s, and was stopped there; {more}"


class _Taking:
    """Takes what a query finds, one record after the other, as it is shown."""

    def __init__(self, asked: Asked, shown_as: Shown, names: Names, into: Answer) -> None:
        self.count = 0
        self.is_more = False
        self._asked = asked
        self._shown_as = shown_as
        self._names = names
        self._into = into
        self._ends: list[Found] = []
        chosen = asked.selection
        looks_inside = chosen.text is not None or bool(chosen.where)
        # What is left out must not be found either: a reader could try out what it was.
        self._inside = Matcher(Selection(text=chosen.text, where=chosen.where)) if looks_inside else None

    @property
    def first(self) -> str | None:
        return self._ends[0].cursor if self._ends else None

    @property
    def last(self) -> str | None:
        return self._ends[-1].cursor if self._ends else None

    def takes(self, found: Found) -> bool:
        """Take a record, if it is asked for; return whether there is room for others."""
        record = self._shown_as.record(Record(found.index, found.shown))
        fields = _fields_of(record)
        if fields is None:
            row: dict[str, Any] = {"index": record.index, "damaged": record.line[:80].decode(errors="backslashreplace")}
        elif not (self._asked.takes(fields) and self._is_inside(record.line)):
            return True
        else:
            self._names.learn(fields)
            row = self._row(record.index, fields)
        if self.count == self._asked.limit or not self._into.add(row):
            self.is_more = True
            return False
        self.count += 1
        self._ends[1:] = [found]
        return True

    def _is_inside(self, line: bytes) -> bool:
        try:
            return self._inside is None or self._inside.takes(line)
        except BadLine:
            return False

    def _row(self, index: int, fields: dict[str, Any]) -> dict[str, Any]:
        row = row_of(fields, self._names, index=index, chars=self._asked.chars)
        cut = fields.get("cut")
        if type(cut) is dict and type(size := cut.get("bytes")) is int:  # most of it is in a file beside the log
            row.pop("says", None)
        elif not self._asked.is_whole:
            return row
        else:
            size = len(as_json(fields).encode())
        if size > WHOLE_BYTES_MAX:
            by = f"seq {fields['seq']}" if type(fields.get("seq")) is int else f"index:{index}"
            return {**row, "too_large": f"{size:,} bytes: show {by} has all of it"}
        called: dict[str, Any] = {name: row[name] for name in ("agent", "channel") if name in row}
        return {"index": index, **called, "record": fields}


def _fields_of(record: Record) -> dict[str, Any] | None:
    if (fields := fields_of(record)) is not None:
        return fields
    with suppress(InvalidRecord):
        return decode_fields(record.line)  # a stranger's line has no end as ours do
    return None


class _Learnt:
    """How agents and channels are called, as far as the log says it by now."""

    def __init__(self) -> None:
        self.names = Names()
        self._path = ""
        self._reader: LogReader | None = None
        self._turns = anyio.Lock()

    async def more(self, store: KnowledgeStore, path: str, shown_as: Shown) -> None:
        """Learn what is new since the call before; what is damaged there names none."""
        async with self._turns:
            if self._reader is None or self._path != path:
                reader = LogReader(store, path)
                await reader.seek_end()
                async for key, identifier, name in names_of(store, path, read_records_max=_LEARN_RECORDS_MAX):
                    kind, called = ("agent.registered", "name") if key == "agent_id" else ("channel.created", "topic")
                    self.names.learn(shown_as.fields({"kind": kind, key: identifier, called: name}))
                self._reader, self._path = reader, path
            try:
                while records := await self._reader.read():
                    for record in records:
                        if holds_name(record.line) and (fields := fields_of(shown_as.record(record))) is not None:
                            self.names.learn(fields)
            except (HistoryGone, LogDamaged):
                self._reader = None


class _BoardOfLog:
    """A board that goes on with the log at each look, and in between remembers how far it is."""

    def __init__(self, store: KnowledgeStore, path: str, tenant: str | None, kept: KeptBoards | None) -> None:
        self._make: Callable[[], Feed] = lambda: Feed(store, path, FoldedBoard(tenant=tenant), raw=False)
        self._feed = self._make()
        self._tenant = tenant
        self._kept = kept
        self._kept_seq = -1
        """How far it was kept last."""
        self._has_begun = False
        self._turns = anyio.Lock()
        self._clock = SystemClock()
        self.notes: tuple[str, ...] = ()

    @property
    def board(self) -> FoldedBoard:
        return self._feed.board

    @property
    def now(self) -> float | None:
        # What a hub has left behind that was stopped is shown as it was then.
        return None if self.board.hub().state == "stopped" else self._clock.now_ns() / 1e9

    async def go_on(self) -> None:
        """Fold what is new, for a while."""
        async with self._turns:
            await self._begin()
            try:
                self.notes = await self._read()
            except HistoryGone:  # it was pruned before it was read: what is left is the log
                self._feed = self._make()
                self.notes = await self._read()
            if self.board.seq - self._kept_seq >= _KEEP_EVENTS:
                await self._put()

    async def keep(self) -> None:
        """Keep the board, if it has so much more than was kept that the next start would notice."""
        async with self._turns:
            if self.board.seq - max(self._kept_seq, 0) >= _KEEP_AT_END_EVENTS:
                await self._put()

    async def _begin(self) -> None:
        """Go on with the board that was kept, if there is one, and it is of this log."""
        if self._has_begun or self._kept is None:
            return
        self._has_begun = True
        found = await self._kept.find(self._tenant)
        if found is None:
            return
        board = found.board
        if await self._feed.go_on(board, found.digest, state=found.state, damaged=found.damaged):
            self._kept_seq = board.seq

    async def _put(self) -> None:
        if self._kept is None or not self._feed.newest:
            return
        digest = hashlib.sha256(self._feed.newest).hexdigest()
        await self._kept.keep(KeptBoard(self.board, digest, self._feed.state, self._feed.damaged))
        self._kept_seq = self.board.seq

    async def _read(self) -> tuple[str, ...]:
        until = anyio.current_time() + SECONDS
        try:
            while await self._read_some():
                if anyio.current_time() > until:
                    return (
                        (
                            f"the log is long: this is how it was at #{self.board.seq:,}, {self.board.hub().at};"
                            " ask again, and it goes on from there"
                        ),
                    )
        except LogDamaged as error:
            return (f"the log is damaged, and this is how it was before that: {error}",)
        if damaged := self._feed.damaged:
            return (f"without what cannot be read ({plural(damaged, 'record')}): hubwire doctor says more",)
        return ()

    async def _read_some(self) -> bool:
        # What is cancelled in the middle of it would leave out what it has read.
        with anyio.CancelScope(shield=True):
            is_more = await self._feed.read()
        await anyio.lowlevel.checkpoint()
        return is_more
