"""What ``hubwire tail`` prints of a record: a line for people, the record itself, or a form of it for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import tzinfo
from typing import Any, Literal

from .. import cloudevents
from ..log import Record
from ..words import Names
from .output import complain, escape_json, is_terminal, say
from .pretty import Pretty
from .query_printers import COLUMNS
from .redacted import Shown
from .rows import rows_as
from .target import fields_of

__all__ = ("Output", "Printer")

Output = Literal["pretty", "json", "jsonl", "csv", "cloudevents"]

_HEADER = frozenset({"hub", "id", *COLUMNS})


class Printer:
    """Prints records, each at once, so that the reader of a pipe gets it now."""

    def __init__(self, output: Output, shown: Shown, names: Names, zone: tzinfo | None) -> None:
        self.shown: int = 0
        """How many records were printed."""
        self.is_for_people: bool = output == "pretty"
        self._shown_as = shown
        self._is_terminal = is_terminal(sys.stdout)
        self._pretty = Pretty(names, zone=zone)
        self._print: Callable[[Record, str], None] = {
            "pretty": self._line,
            "json": self._record,
            "jsonl": self._record,
            "csv": self._cells,
            "cloudevents": self._event,
        }[output]
        self._rows = rows_as("csv", COLUMNS) if output == "csv" else None

    def show(self, record: Record, source: str = "") -> None:
        """Print a record; ``source`` is the name of where it is from, if there are several."""
        self.shown += 1
        self._print(self._shown_as.record(record), source)

    def _line(self, record: Record, source: str) -> None:
        fields = fields_of(record)
        if fields is None:
            say(self._pretty.damaged(record.index, record.line))
        else:
            say(self._pretty.line(fields, source))

    def _record(self, record: Record, _: str) -> None:
        self._say(record.line.decode(errors="backslashreplace"))

    def _event(self, record: Record, _: str) -> None:
        fields = self._fields(record)
        if fields is not None:
            self._say(cloudevents.encode(fields).decode())

    def _cells(self, record: Record, _: str) -> None:
        fields = self._fields(record)
        if fields is not None and self._rows is not None:
            row: dict[str, Any] = {column: fields.get(column) for column in COLUMNS}
            row["index"] = record.index
            row["rest"] = {name: value for name, value in fields.items() if name not in _HEADER}
            self._rows.add(row)
            sys.stdout.flush()

    def _fields(self, record: Record) -> dict[str, Any] | None:
        fields = fields_of(record)
        if fields is None:
            complain(f"record {record.index} is damaged, and left out; hubwire tail prints it as it is")
        return fields

    def _say(self, line: str) -> None:
        say(escape_json(line) if self._is_terminal else line)
