"""Parquet, for DuckDB, Spark, pandas and all that reads tables: written by DuckDB, with columns that have types."""

from __future__ import annotations

import datetime as dt
import errno
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from ._columns import NUMBERS, TABLE, json_text, row_of
from ._format import Format
from ._meaning import meaning_of
from ._record import ExportRecord

__all__ = ("Parquet",)

_PIECE_BYTES = 1024 * 1024
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_TIME = "time"
"""When it happened, as a moment; ``at`` is the text of the record."""

_TYPES = {_TIME: "TIMESTAMPTZ", **{name: "BIGINT" if name in NUMBERS else "VARCHAR" for name in TABLE}}


class Parquet(Format):
    """A table with the columns of :class:`Csv`, and ``time``, a moment; ``data`` is text of JSON, and what is not there
    is null.

    It needs ``pip install 'hubwire[query]'``. The records go through a file in the temporary directory, because the end
    of a Parquet file says where its parts are: all bytes come at the end of the export.

    An export raises :class:`~hubwire.errors.ConfigurationError` without the package, and ``OSError`` with the name of
    that directory if it is full.
    """

    media_type = "application/vnd.apache.parquet"
    suffix = ".parquet"

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def begin(self, redaction: str | None) -> bytes:  # noqa: ARG002 - it is for formats that say it
        _duckdb()
        self.close()
        self._folder = tempfile.TemporaryDirectory(prefix="hubwire-export-")
        self._rows.touch(mode=0o600)
        return b""

    @property
    def _rows(self) -> Path:
        assert self._folder is not None
        return Path(self._folder.name, "rows.jsonl")

    def encode(self, records: Sequence[ExportRecord]) -> bytes:
        rows = [_row(record.fields) for record in records]
        try:
            with self._rows.open("ab") as file:
                file.write("".join(f"{json_text(row)}\n" for row in rows).encode())
        except OSError as error:  # of a file that is written it would not say which
            raise self._unwritten(error.errno, str(error.strerror)) from error
        return b""

    def _unwritten(self, number: int | None, said: str) -> OSError:
        advice = "Parquet() keeps rows there: make room, or name a place with more by TMPDIR=/path"
        return OSError(errno.EIO if number is None else number, f"{said}; {advice}", str(self._rows.parent))

    def end(self) -> Iterator[bytes]:
        made = self._rows.with_name("made.parquet")
        columns = ", ".join(f"'{name}': '{type_}'" for name, type_ in _TYPES.items())
        source = f"read_json(?, format = 'newline_delimited', columns = {{{columns}}}, maximum_object_size = 134217728)"
        with _duckdb().connect() as connection:
            connection.execute("SET preserve_insertion_order = true; SET threads = 1; SET TimeZone = 'UTC'")
            connection.execute("SET temp_directory = ?", [str(self._rows.parent)])
            copy = f"COPY (SELECT * FROM {source}) TO '{_quoted(made)}' (FORMAT parquet, COMPRESSION zstd)"  # noqa: S608 - both are ours
            try:
                connection.execute(copy, [str(self._rows)])
            except _duckdb().IOException as error:
                raise self._unwritten(None, str(error).partition("\n")[0]) from error
        with made.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece

    def close(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _row(fields: dict[str, Any]) -> dict[str, Any]:
    row = row_of(fields)
    nanoseconds = meaning_of(fields).nanoseconds
    if nanoseconds is not None:
        row[_TIME] = _as_duckdb_reads(nanoseconds)
    return row


def _as_duckdb_reads(nanoseconds: int) -> str:
    """Return a time in the one form that DuckDB reads, too: records may have it as a week, or without dashes."""
    moment = _EPOCH + dt.timedelta(microseconds=nanoseconds // 1000)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _duckdb() -> Any:
    try:
        import duckdb  # noqa: PLC0415 - only who writes Parquet needs it
    except ImportError as error:
        raise ConfigurationError("Parquet() needs DuckDB; pip install 'hubwire[query]'") from error
    return duckdb
