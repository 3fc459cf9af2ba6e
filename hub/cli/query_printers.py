"""How the records that a query finds are printed: a line for people, the record itself, or a row of some fields."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Protocol

from .._gone import in_words
from ..codec import decode_fields
from ..errors import InvalidRecord
from ..log import Record
from ..query import Found
from .output import escape_json, is_terminal
from .pretty import Pretty
from .redacted import Shown
from .rows import Format, rows_as
from .target import Names, fields_of

__all__ = ("COLUMNS", "TABLE_COLUMNS", "RecordPrinter", "named", "printer_of")

COLUMNS = ("index", "at", "seq", "kind", "agent_id", "channel_id", "task_id", "tenant", "outcome", "severity", "rest")
"""Of CSV; ``rest`` are all other fields, as JSON."""

TABLE_COLUMNS = ("index", "at", "kind", "agent_id", "channel_id", "outcome", "rest")


def named(fields: dict[str, Any], names: Names) -> dict[str, Any]:
    """Return fields as people read them: names in the place of ids, and the time to the millisecond."""
    agent, channel, at = fields.get("agent_id"), fields.get("channel_id"), fields.get("at")
    found = dict(fields)
    if isinstance(at, str):
        found["at"] = at[:23].replace("T", " ")
    if isinstance(agent, str):
        found["agent_id"] = names.agent(agent)
    if isinstance(channel, str):
        found["channel_id"] = names.channel(channel)
    return found


class RecordPrinter(Protocol):
    """Prints the records that a query finds, and learns how agents and channels are called."""

    names: Names
    learns: bool
    """Whether it shows names that it should have learnt before."""

    def add(self, found: Found) -> None: ...
    def end(self) -> None: ...


def printer_of(output: Format, as_shown: Shown, columns: Sequence[str]) -> RecordPrinter:
    """Return what prints records in this form."""
    if output == "pretty":
        return _Lines(as_shown)
    if output in ("json", "jsonl"):
        return _Whole(as_shown, is_array=output == "json")
    return _Cells(output, as_shown, columns)


class _Lines:
    """A line for people."""

    learns = True

    def __init__(self, as_shown: Shown) -> None:
        self.names = Names()
        self._shown_as = as_shown
        self._pretty = Pretty(self.names)

    def add(self, found: Found) -> None:
        record = self._shown_as.record(Record(found.index, found.shown))
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

    learns = False

    def __init__(self, as_shown: Shown, *, is_array: bool) -> None:
        self.names = Names()
        self._shown_as = as_shown
        self._is_array = is_array
        self._is_terminal = is_terminal(sys.stdout)
        self._count = 0

    def add(self, found: Found) -> None:
        line = self._shown_as.record(Record(found.index, found.shown)).line.decode(errors="backslashreplace")
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
        self.learns = self._is_named = output == "table"
        self._columns = tuple(columns) or (TABLE_COLUMNS if self._is_named else COLUMNS)
        self._rows = rows_as(output, self._columns)

    def add(self, found: Found) -> None:
        fields = self._shown_as.fields(_fields_of(found))
        row: dict[str, Any] = {column: _at(fields, column) for column in self._columns}
        if "index" in row:
            row["index"] = found.index
        if "rest" in row:
            apart = {*_HEADER, *(column.partition(".")[0] for column in self._columns)}
            rest = {name: value for name, value in fields.items() if name not in apart}
            row["rest"] = {name: value for name, value in rest.items() if value or not self._is_named}
        if self._is_named:
            row = named({column: in_words(value) for column, value in row.items()}, self.names)
        self._rows.add(row)

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
