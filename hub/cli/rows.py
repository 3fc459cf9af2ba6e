"""Rows as output: a table for people, JSON, JSON Lines and CSV for programs."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from types import NoneType
from typing import Any, Literal, Protocol

import attrs
import msgspec

from ..exports.csv import neutral
from .output import Paint, cells_of, crop, escape, escape_json, is_terminal

__all__ = ("Format", "Rows", "rows_as")

Format = Literal["pretty", "json", "jsonl", "csv", "table"]

_LOOKED_AT = 50
"""So many rows are held back to see how wide the columns are."""
_CELLS_MAX = 40
"""A column is no wider, but for the last one."""
_CELLS_MIN, _EMPTY_MIN = 8, 3
"""Where a terminal is narrow, a column of text is no narrower; nor is one that is empty."""

Row = Mapping[str, Any]


class Rows(Protocol):
    """Takes rows one after the other, each with the same keys."""

    def add(self, row: Row) -> None: ...
    def end(self) -> None: ...


def rows_as(output: Format, columns: Sequence[str]) -> Rows:
    """Return what prints rows in a format; ``columns`` are the keys that a table and CSV show."""
    if output == "json":
        return _Json()
    if output == "jsonl":
        return _JsonLines()
    return _Csv(columns) if output == "csv" else _Table(columns)


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _encoded(row: Row) -> str:
    line = msgspec.json.encode(row, enc_hook=str).decode()
    return escape_json(line) if is_terminal(sys.stdout) else line


class _JsonLines:
    """An object a line."""

    def add(self, row: Row) -> None:
        _write(_encoded(row))

    def end(self) -> None:
        sys.stdout.flush()


class _Json:
    """One array, an element a line."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, row: Row) -> None:
        sys.stdout.write(f"{',' if self._count else '['}\n{_encoded(row)}")
        self._count += 1

    def end(self) -> None:
        _write("\n]" if self._count else "[]")
        sys.stdout.flush()


class _Csv:
    """A line of names, and one for each row; objects and lists are JSON, what is not there is empty.

    No cell is a formula of a spreadsheet, as in :class:`~hubwire.exports.Csv`.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._clean: Callable[[str], str] = escape if is_terminal(sys.stdout) else str
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        self._writer.writerow(map(neutral, columns))

    def add(self, row: Row) -> None:
        self._writer.writerow([self._text(row.get(column)) for column in self._columns])

    def _text(self, value: Any) -> str:
        text = self._clean(_cell(value))
        return neutral(text) if isinstance(value, str) else text

    def end(self) -> None:
        sys.stdout.flush()


@attrs.frozen
class _Column:
    """How a column is laid out."""

    width: int
    """In cells of a terminal. The last column has all the room that is left."""
    is_numbers: bool
    """Numbers stand below each other at the right."""
    least: int
    """Where a terminal is narrow, it is no narrower; then what has no room at the right is cut."""

    def shown(self, text: str) -> str:
        """Return a text as wide as the column."""
        text = crop(text, self.width)
        space = " " * (self.width - cells_of(text))
        return f"{space}{text}" if self.is_numbers else f"{text}{space}"


class _Table:
    """Columns below each other, as wide as the first rows need; on a terminal, no line is longer than that."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._held: list[list[Any]] = []
        self._laid_out: list[_Column] | None = None
        self._paint = Paint(sys.stdout)
        self._room = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None

    def add(self, row: Row) -> None:
        cells = [row.get(column) for column in self._columns]
        if self._laid_out is not None:
            _write(self._line(self._laid_out, cells))
            return
        self._held.append(cells)
        if len(self._held) == _LOOKED_AT:
            self._begin()

    def end(self) -> None:
        if self._laid_out is None and self._held:
            self._begin()
        sys.stdout.flush()

    def _begin(self) -> None:
        columns = [self._column(number) for number in range(len(self._columns))]
        self._laid_out = columns if self._room is None else _fitted(columns, self._room)
        _write(self._paint.dim(self._line(self._laid_out, self._columns)))
        for cells in self._held:
            _write(self._line(self._laid_out, cells))
        self._held.clear()

    def _column(self, number: int) -> _Column:
        values = [cells[number] for cells in self._held]
        width = max(cells_of(self._columns[number]), *(cells_of(escape(_cell(value))) for value in values))
        is_empty = not any(map(_cell, values))
        is_numbers = all(type(value) in (int, float, NoneType) for value in values) and not is_empty
        width = min(width, _CELLS_MAX)
        return _Column(width, is_numbers, width if is_numbers else _EMPTY_MIN if is_empty else _CELLS_MIN)

    def _line(self, columns: Sequence[_Column], cells: Sequence[Any]) -> str:
        texts = [escape(_cell(cell)) for cell in cells]
        shown = [column.shown(text) for column, text in zip(columns[:-1], texts[:-1], strict=True)]
        last = columns[-1].shown(texts[-1]) if columns[-1].is_numbers else texts[-1]
        line = "  ".join([*shown, last]).rstrip()
        return line if self._room is None else crop(line, self._room)


def _fitted(columns: Sequence[_Column], room: int) -> list[_Column]:
    """Return columns of which the widest are narrower, so that each has a place: numbers stay whole."""
    widths = [each.width for each in columns]
    excess = sum(widths) + 2 * (len(columns) - 1) - room
    while excess > 0:
        wide = [at for at, each in enumerate(columns) if widths[at] > each.least]
        if not wide:
            break
        widths[max(wide, key=lambda at: widths[at])] -= 1
        excess -= 1
    return [attrs.evolve(each, width=width) for width, each in zip(widths, columns, strict=True)]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (datetime, date)):
        return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    return value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
