"""CSV, as RFC 4180 has it, for spreadsheets and for programs: no cell is a formula, and each can be read back."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from .._foreign.arguments import Call
from ..errors import ConfigurationError
from ._columns import DATA, TABLE, json_text, row_of
from ._format import Format
from ._record import ExportRecord

__all__ = ("Csv", "neutral", "plain")

_CSV = Call("Csv()", ConfigurationError)
_COLUMNS_MAX = 1000
_STARTS = frozenset(("=", "+", "-", "@", "\t", "\r", "\n", "'", "＝", "＋", "－", "＠"))
"""With these a spreadsheet takes text for a formula, also where spaces stand before it; and the mark itself."""


class Csv(Format):
    """A record a row, behind a row with the names of the columns; UTF-8, and lines that end in CR LF.

    ``columns`` are names of fields, in the order that is wanted; a path goes into a field: ``"content.text"``. By
    default they are those that every event has, with ``data``, a JSON object of all other fields of the record.

    Text stands as it is, numbers, truth values, lists and objects as JSON, and a field that is not there, or None, is
    an empty cell. A text that a spreadsheet would take for a formula has an apostrophe in front, and so has one that
    begins with an apostrophe: :func:`plain` takes it away again. Numbers have none: ``-5`` is a number.

    Raises :class:`~hubwire.errors.ConfigurationError` for columns that are no names, doubled, or none.
    """

    media_type = "text/csv; charset=utf-8; header=present"
    suffix = ".csv"

    def __init__(self, columns: Iterable[str] | None = None) -> None:
        self.columns: tuple[str, ...] = TABLE if columns is None else _checked(columns)
        self._is_table = self.columns == TABLE

    def begin(self, redaction: str | None) -> bytes:  # noqa: ARG002 - it is for formats that say it
        return _rows([map(neutral, self.columns)])

    def encode(self, records: Sequence[ExportRecord]) -> bytes:
        return _rows(self._cells(record.fields) for record in records)

    def _cells(self, fields: dict[str, Any]) -> list[str]:
        if self._is_table:
            row = row_of(fields)
            return [_cell(row.get(name)) for name in TABLE]
        return [_cell(self._value(fields, name)) for name in self.columns]

    def _value(self, fields: dict[str, Any], name: str) -> Any:
        if name in fields:
            return fields[name]
        if name == DATA:
            rest = {key: value for key, value in fields.items() if key not in self.columns}
            return json_text(rest) if rest else None
        value: Any = fields
        for part in name.split("."):
            value = value.get(part) if type(value) is dict else None
        return value


def neutral(text: str) -> str:
    """Return a text as a cell that no spreadsheet takes for a formula."""
    is_taken = text[:1] in _STARTS or text.lstrip()[:1] in _STARTS
    return f"'{text}" if is_taken else text


def plain(cell: str) -> str:
    """Return the text that a cell stands for: the inverse of :func:`neutral`."""
    return cell[1:] if cell[:1] == "'" else cell


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return neutral(value) if type(value) is str else json_text(value)


def _rows(rows: Iterable[Iterable[str]]) -> bytes:
    written = io.StringIO(newline="")
    csv.writer(written).writerows(rows)
    return written.getvalue().encode()


def _checked(columns: object) -> tuple[str, ...]:
    of = 'names of fields, as ["seq", "kind", "content.text"]'
    items = _CSV.items("columns", columns, of=of, most=_COLUMNS_MAX)
    names = tuple(_CSV.text("columns", each, wanted="a name of a field", is_empty_ok=False) for each in items)
    if not names:
        raise _CSV.refusal("columns", names, f"a list of {of}, at least one", "or leave it out")
    if (doubled := next((name for name in names if names.count(name) > 1), None)) is not None:
        raise _CSV.refusal("columns", doubled, "a list that names each field once")
    return names
