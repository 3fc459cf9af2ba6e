"""``hubwire query``: the selected records of a log, in one of several forms."""

from __future__ import annotations

import shlex
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import attrs

from ..codec import decode_fields
from ..errors import InvalidRecord
from ..log import Record
from ..ports import KnowledgeStore
from ..query import ApprovalRow, Found, Looked, Selection, approvals, count, index_log, names_of, query
from .meant import meant
from .output import escape_json, is_terminal, plural, say
from .pretty import Pretty
from .redacted import Shown, shown
from .rows import Format, rows_as
from .target import Names, beginning_of, fields_of, find_log, open_target

__all__ = (
    "Asked",
    "Page",
    "explain",
    "notes_on",
    "opened",
    "print_approvals",
    "print_at",
    "print_counts",
    "print_records",
)

COLUMNS = ("index", "at", "seq", "kind", "agent_id", "channel_id", "task_id", "tenant", "outcome", "severity", "rest")
"""Of CSV; ``rest`` are all other fields, as JSON."""

TABLE_COLUMNS = ("index", "at", "kind", "agent_id", "channel_id", "outcome", "rest")

_LEARN_RECORDS_MAX = 100_000


@attrs.frozen
class Page:
    """Which part of what is selected is printed."""

    after: str | None = None
    limit: int | None = None
    newest_first: bool = False


@attrs.frozen(kw_only=True)
class Asked:
    """What is asked of which log, and how it is printed."""

    target: str
    selection: Selection
    output: Format
    columns: tuple[str, ...]
    raw: bool
    log: str | None
    makes_index: bool

    @property
    def is_for_people(self) -> bool:
        return self.output in ("pretty", "table")


@asynccontextmanager
async def opened(asked: Asked) -> AsyncIterator[tuple[KnowledgeStore, str]]:
    """Open the store, and find the log; write the indexes that it lacks, if that is asked for."""
    store = open_target(asked.target)
    try:
        path = await find_log(store, asked.log, asked.target)
        if asked.makes_index:
            done = await index_log(store, path)
            growing = f"; that of the last one covers {done.growing_bytes:,} bytes" if done.growing_bytes else ""
            say(f"hubwire: {done.made} of {plural(done.segments, 'sealed segment')} indexed now{growing}", sys.stderr)
        yield store, path
    finally:
        await store.aclose()


async def print_records(asked: Asked, page: Page) -> None:
    """Print the selected records; then, if there may be more of them, the cursor of the last one on standard error."""
    async with opened(asked) as (store, path):
        found = query(
            store,
            path,
            asked.selection,
            after=page.after,
            limit=page.limit,
            newest_first=page.newest_first,
            call="query",
        )
        as_shown = shown(raw=asked.raw)
        printer = _printer(asked.output, as_shown, asked.columns)
        if isinstance(printer, _Lines) or asked.output == "table":
            await _learn(store, path, as_shown, printer.names)
        count = 0
        async for each in found:
            printer.add(each)
            count += 1
        printer.end()
        if count and count == page.limit:
            say(f"cursor: {found.cursor}", sys.stderr)
        await explain(store, path, asked, found.looked, is_empty=not count)


async def print_at(asked: Asked, page: Page) -> None:
    """Print the selected events of a running hub."""
    from .remote import query as query_at

    printer = _printer(asked.output, shown(raw=False), asked.columns)
    newest_first = page.newest_first
    count = await query_at(
        asked.target, asked.selection, printer, limit=page.limit, newest_first=newest_first, names=printer.names
    )
    if not count:
        say(f"hubwire: no event of {asked.target} is selected", sys.stderr)


async def print_counts(asked: Asked, by: Sequence[str], every: str | None, zone: str | None) -> None:
    """Print how many of the selected records there are, by fields and over time."""
    async with opened(asked) as (store, path):
        counts = await count(store, path, asked.selection, by=by, every=every, zone=zone, call="query")
        as_shown = shown(raw=asked.raw)
        rows = rows_as(asked.output, (*(["begins"] if every else []), *counts.fields, "count"))
        names = Names()
        if asked.is_for_people and {"agent_id", "channel_id"}.intersection(counts.fields):
            await _learn(store, path, as_shown, names)
        for each in counts.rows:
            period = {"begins": None if each.begins is None else each.begins.isoformat()} if every else {}
            values = as_shown.fields(dict(zip(counts.fields, each.values, strict=True)))
            if asked.is_for_people:
                values = _named(values, names)
            rows.add({**period, **values, "count": each.count})
        rows.end()
        await explain(store, path, asked, counts.looked, is_empty=not counts.total)


async def print_approvals(asked: Asked, is_wanted: Callable[[ApprovalRow], bool], limit: int | None) -> None:
    """Print approvals, a row each."""
    async with opened(asked) as (store, path):
        as_shown = shown(raw=asked.raw)
        is_short = asked.is_for_people and not asked.columns
        rows = rows_as(asked.output, asked.columns or (_SHORT_COLUMNS if is_short else _APPROVAL_COLUMNS))
        names = Names()
        await _learn(store, path, as_shown, names)
        printed = 0
        async for each in approvals(store, path, asked.selection, call="query"):
            if printed == limit:
                break
            if is_wanted(each):
                row = as_shown.fields(_as_row(each, names))
                rows.add(_shortened(row) if is_short else row)
                printed += 1
        rows.end()
        if not printed:
            say(f"hubwire: no approval of {path} is selected", sys.stderr)


_APPROVAL_COLUMNS = (
    "requested_at",
    "agent",
    "action",
    "risk_level",
    "risk_score",
    "verdict",
    "approvers",
    "review_seconds",
    "review_seconds_min",
    "reason",
)


_SHORT_COLUMNS = ("asked", "agent", "action", "risk", "verdict", "by", "review", "reason")


def _shortened(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row that a narrow terminal has room for; a review that was too short says how long it had to be."""
    score, taken, least = row["risk_score"], row["review_seconds"], row["review_seconds_min"]
    review = "" if taken is None else f"{taken:.1f}s"
    return {
        **row,
        "asked": str(row["requested_at"] or "-")[:19].replace("T", " "),
        "risk": row["risk_level"] if score is None else f"{row['risk_level']} {score:.2g}",
        "by": ", ".join(row["approvers"]),
        "review": f"{review} < {least:g}s" if row["is_review_too_short"] else review,
    }


def _named(fields: dict[str, Any], names: Names) -> dict[str, Any]:
    """Return fields as people read them: names in the place of ids, and the time to the millisecond."""
    agent, channel, at = fields.get("agent_id"), fields.get("channel_id"), fields.get("at")
    named = dict(fields)
    if isinstance(at, str):
        named["at"] = at[:23].replace("T", " ")
    if isinstance(agent, str):
        named["agent_id"] = names.agent(agent)
    if isinstance(channel, str):
        named["channel_id"] = names.channel(channel)
    return named


def _as_row(row: ApprovalRow, names: Names) -> dict[str, Any]:
    agent = None if row.agent_id is None else names.agent(row.agent_id)
    return {**attrs.asdict(row, recurse=False), "agent": agent, "is_review_too_short": row.is_review_too_short}


async def _learn(store: KnowledgeStore, path: str, as_shown: Shown, names: Names) -> None:
    """Learn how agents and channels are called, from indexes and from the first records: those hold most names."""
    async for key, identifier, name in names_of(store, path, read_records_max=_LEARN_RECORDS_MAX):
        kind, called = ("agent.registered", "name") if key == "agent_id" else ("channel.created", "topic")
        names.learn(as_shown.fields({"kind": kind, key: identifier, called: name}))


async def explain(store: KnowledgeStore, path: str, asked: Asked, looked: Looked, *, is_empty: bool) -> None:
    """Say on standard error what was not looked at, and why no record may have been found."""
    notes = notes_on(looked, path)
    if is_empty:
        beginning = await beginning_of(store, path)
        where, chosen = shlex.quote(asked.target), asked.selection
        advice = await meant(
            store, path, shown(raw=asked.raw), kinds=chosen.kind, agents=chosen.agent, channels=chosen.channel
        )
        notes.append(
            f"no record of {path} is selected{advice}{'; ' if beginning else ''}{beginning};"
            f" `hubwire stats {where}` lists its kinds, `hubwire query {where} --kind agent.registered` its agents,"
            " `--kind channel.created` its channels"
        )
    for note in notes:
        say(f"hubwire: {note}", sys.stderr)


def notes_on(looked: Looked, path: str) -> list[str]:
    """Return what is to be said of what a query has not looked at."""
    notes = []
    if looked.undated:
        notes.append(
            f"{looked.undated:,} more records have no time, or none that can be read, so they are not selected"
        )
    if looked.cut:
        notes.append(
            f"{plural(looked.cut, 'record')} of those read are too long for a line: what is only in their files was not"
            " looked at; hubwire show prints it"
        )
    if looked.unread_bytes:
        notes.append(
            f"the last {looked.unread_bytes:,} bytes of {path} are no record: one that is being written, or what a"
            " crash or damage has left; hubwire doctor says which"
        )
    return notes + looked.faults


class _Printer(Protocol):
    names: Names

    def add(self, found: Found) -> None: ...
    def end(self) -> None: ...


def _printer(output: Format, as_shown: Shown, columns: Sequence[str]) -> _Printer:
    if output == "pretty":
        return _Lines(as_shown)
    if output in ("json", "jsonl"):
        return _Whole(as_shown, is_array=output == "json")
    return _Cells(output, as_shown, columns)


class _Lines:
    """A line for people."""

    def __init__(self, as_shown: Shown) -> None:
        self.names = Names()
        self._shown_as = as_shown
        self._pretty = Pretty(self.names)

    def add(self, found: Found) -> None:
        record = self._shown_as.record(Record(found.index, found.line))
        try:
            fields = fields_of(record) or decode_fields(record.line)  # a stranger's line has no end as ours do
        except InvalidRecord:
            line = self._pretty.damaged(record.index, record.line)
        else:
            line = self._pretty.line(fields)
        sys.stdout.write(f"{line}\n")

    def end(self) -> None:
        sys.stdout.flush()


class _Whole:
    """The record itself, an object a line, or an element of one array."""

    def __init__(self, as_shown: Shown, *, is_array: bool) -> None:
        self.names = Names()
        self._shown_as = as_shown
        self._is_array = is_array
        self._is_terminal = is_terminal(sys.stdout)
        self._count = 0

    def add(self, found: Found) -> None:
        line = self._shown_as.record(Record(found.index, found.line)).line.decode(errors="backslashreplace")
        line = escape_json(line) if self._is_terminal else line
        sys.stdout.write(f"{',' if self._count else '['}\n{line}" if self._is_array else f"{line}\n")
        self._count += 1

    def end(self) -> None:
        if self._is_array:
            sys.stdout.write("\n]\n" if self._count else "[]\n")
        sys.stdout.flush()


class _Cells:
    """A row of some fields."""

    def __init__(self, output: Format, as_shown: Shown, columns: Sequence[str]) -> None:
        self._shown_as = as_shown
        self.names = Names()
        self._is_named = output == "table"
        self._columns = tuple(columns) or (TABLE_COLUMNS if self._is_named else COLUMNS)
        self._rows = rows_as(output, self._columns)

    def add(self, found: Found) -> None:
        fields = self._shown_as.fields(_fields_of(found))
        row: dict[str, Any] = {column: _at(fields, column) for column in self._columns}
        if "index" in row:
            row["index"] = found.index
        if "rest" in row:
            named = {*_HEADER, *(column.partition(".")[0] for column in self._columns)}
            rest = {name: value for name, value in fields.items() if name not in named}
            row["rest"] = {name: value for name, value in rest.items() if value or not self._is_named}
        self._rows.add(_named(row, self.names) if self._is_named else row)

    def end(self) -> None:
        self._rows.end()


_HEADER = ("hub", "id")


def _fields_of(found: Found) -> dict[str, Any]:
    """Return the fields of a record; of one whose numbers no program can hold, as exports do, its text."""
    try:
        return found.fields
    except InvalidRecord:
        return {"$damaged": found.line.decode(errors="backslashreplace")}


def _at(fields: dict[str, Any], column: str) -> Any:
    value: Any = fields.get(column)
    if value is None and "." in column:
        value = fields
        for key in column.split("."):
            value = value.get(key) if isinstance(value, dict) else None
    return value
