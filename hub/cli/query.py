"""``hubwire query``: the selected records of a log, in one of several forms."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import Any, Protocol

import attrs

from ..log import Record
from ..ports import KnowledgeStore
from ..query import Found, Looked, Query, Selection, query
from .output import escape_json, is_terminal, say
from .pretty import Pretty
from .redacted import Shown, shown
from .rows import Format, rows_as
from .target import Names, beginning_of, fields_of, find_log, open_target

__all__ = ("Page", "print_records")

COLUMNS = ("index", "at", "seq", "kind", "agent_id", "channel_id", "task_id", "tenant", "outcome", "severity", "rest")
"""Of CSV and tables; ``rest`` are all other fields, as JSON."""

_LEARN_RECORDS_MAX = 100_000
_NAMING = Selection(kind=("agent.registered", "channel.created"))


@attrs.frozen
class Page:
    """Which part of what is selected is printed."""

    after: str | None = None
    limit: int | None = None
    newest_first: bool = False


async def print_records(
    target: str,
    selection: Selection,
    page: Page,
    *,
    output: Format,
    columns: Sequence[str],
    raw: bool,
    log: str | None,
) -> None:
    """Print the selected records; then, if there may be more of them, the cursor of the last one on standard error."""
    store = open_target(target)
    try:
        path = await find_log(store, log, target)
        found = query(
            store, path, selection, after=page.after, limit=page.limit, newest_first=page.newest_first, call="query"
        )
        as_shown = shown(raw=raw)
        printer = _printer(output, as_shown, columns)
        if isinstance(printer, _Lines):
            await _learn(store, path, as_shown, printer.names)
        count = 0
        async for each in found:
            printer.add(each)
            count += 1
        printer.end()
        if count and count == page.limit:
            say(f"cursor: {found.cursor}", sys.stderr)
        await _explain(store, path, target, found, is_empty=not count)
    finally:
        await store.aclose()


async def _learn(store: KnowledgeStore, path: str, as_shown: Shown, names: Names) -> None:
    """Learn how agents and channels are called, from the first records: those hold most names."""
    async for each in query(store, path, _NAMING):
        names.learn_line(as_shown.record(Record(each.index, each.line)).line)
        if each.index > _LEARN_RECORDS_MAX:
            return


async def _explain(store: KnowledgeStore, path: str, target: str, found: Query, *, is_empty: bool) -> None:
    """Say on standard error what was not looked at, and why no record may have been found."""
    notes = notes_on(found.looked, path)
    if is_empty:
        beginning = await beginning_of(store, path)
        where = shlex.quote(target)
        notes.append(
            f"no record of {path} is selected{'; ' if beginning else ''}{beginning}; `hubwire stats {where}` lists its"
            f" kinds, `hubwire query {where} --kind agent.registered` its agents, `--kind channel.created` its channels"
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
    if looked.unread_bytes:
        notes.append(
            f"the last {looked.unread_bytes:,} bytes of {path} are no record: one that is being written, or what a"
            " crash or damage has left; hubwire doctor says which"
        )
    return notes + looked.faults


class _Printer(Protocol):
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
        fields = fields_of(record) or found.fields
        sys.stdout.write(f"{self._pretty.line(fields)}\n")

    def end(self) -> None:
        sys.stdout.flush()


class _Whole:
    """The record itself, an object a line, or an element of one array."""

    def __init__(self, as_shown: Shown, *, is_array: bool) -> None:
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
        self._columns = tuple(columns) or COLUMNS
        self._rows = rows_as(output, self._columns)

    def add(self, found: Found) -> None:
        fields = self._shown_as.fields(found.fields)
        row: dict[str, Any] = {column: _at(fields, column) for column in self._columns}
        if "index" in row:
            row["index"] = found.index
        if "rest" in row:
            named = {column.partition(".")[0] for column in self._columns}
            row["rest"] = {name: value for name, value in fields.items() if name not in named and name not in _HEADER}
        self._rows.add(row)

    def end(self) -> None:
        self._rows.end()


_HEADER = ("hub", "id")


def _at(fields: dict[str, Any], column: str) -> Any:
    value: Any = fields.get(column)
    if value is None and "." in column:
        value = fields
        for key in column.split("."):
            value = value.get(key) if isinstance(value, dict) else None
    return value
