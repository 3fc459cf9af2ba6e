"""JSON Lines: each record as it stands in the log, so that what is redacted nowhere is the log, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence

from .. import codec
from ._format import Format
from ._record import ExportRecord

__all__ = ("Jsonl",)


class Jsonl(Format):
    """A record a line, one JSON object, UTF-8, each line ended by a line feed.

    The lines are those of the log, with ``d`` and ``h``: the chain can be computed from them. Only a record that was
    too long for a line of its log stands here whole, with ``cut``, which says what stands in the log.
    """

    media_type = "application/jsonl"
    suffix = ".jsonl"

    def encode(self, records: Sequence[ExportRecord]) -> bytes:
        return b"".join(b"%b\n" % _line(record) for record in records)


def _line(record: ExportRecord) -> bytes:
    return record.line if record.whole is None else codec.encode_fields(record.fields)
