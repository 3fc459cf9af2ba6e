"""Cursors of a query: the place of one record in one log, as text that can stand in a URL."""

from __future__ import annotations

import re
from typing import Any
from zlib import crc32

import attrs

from .. import codec
from .._foreign.arguments import is_a, shown
from .._values import Value
from ..errors import HistoryGone, InvalidCursor, InvalidRecord
from ..log import Place, read_kept, segment_path
from ..ports import KnowledgeStore

__all__ = ("Cursor", "check_cursor", "check_index")

_TEXT = re.compile(r"q1-(\d{1,19})-(\d{1,19})-(\d{1,19})-([A-Za-z0-9_-]{8,22})-([0-9a-f]{8})", re.ASCII)
_LINE_BYTES = 64 * 1024
_LINE_BYTES_MAX = 64 * 1024 * 1024
_COUNTED_BYTES = 256 * 1024


@attrs.frozen(eq=False, repr=False)
class Cursor(Value):
    """The place of a record, and what it was: so that the same place in another log, or another history, is told."""

    segment: int
    offset: int
    index: int
    print: str
    """``h`` of the record, which stands for all before it, too; in a log without a chain, the CRC-32 of its line."""

    @classmethod
    def at(cls, place: Place, line: bytes) -> Cursor:
        return cls(place.segment, place.offset, place.index, _print_of(line))

    @classmethod
    def parse(cls, text: Any) -> Cursor:
        """Return the cursor of a text. Raises :class:`~hubwire.errors.InvalidCursor` for any other text."""
        match = _TEXT.fullmatch(str.__str__(text)) if is_a(text, str) else None
        made = None if match is None else cls(int(match[1]), int(match[2]), int(match[3]), match[4])
        if match is None or made is None or made.segment > made.index or made.check != match[5]:
            raise InvalidCursor(
                f"{shown(text)} is not a cursor of a query; give back one as a query gave it, or begin without"
            )
        return made

    def __str__(self) -> str:
        return f"{self._text}-{self.check}"

    @property
    def _text(self) -> str:
        return f"q1-{self.segment}-{self.offset}-{self.index}-{self.print}"

    @property
    def check(self) -> str:
        """What tells a cursor of which a part was changed: that the index is right is seen from no single record."""
        return f"{crc32(self._text.encode()):08x}"


def _print_of(line: bytes) -> str:
    try:
        chain = codec.seal_of(line)[1]
    except InvalidRecord:
        chain = None
    return f"{crc32(line):08x}" if chain is None else chain.decode()


async def check_cursor(store: KnowledgeStore, path: str, cursor: Cursor) -> tuple[Place, Place]:
    """Return the places before and after the record of a cursor.

    Raises :class:`~hubwire.errors.HistoryGone` if that was pruned, and :class:`~hubwire.errors.InvalidCursor` if
    the log has another record there, or none.
    """
    kept = (await read_kept(store, path)).first
    if cursor.segment < kept:
        raise HistoryGone(
            f"the cursor is after record {cursor.index} of the log {path}, which was pruned: the oldest kept is record"
            f" {kept}. Begin without a cursor; what was between is not kept any more",
            first_seq=0,
        )
    line = await _line_at(store, segment_path(path, cursor.segment), cursor.offset)
    if line is None or _print_of(line) != cursor.print:
        found = "none" if line is None else "another one"
        raise InvalidCursor(
            f"the cursor is after a record {cursor.index} of another history: the log {path} has {found} at that place."
            " It is another log, was restored from an older copy, or was begun anew. Begin without a cursor, and treat"
            " what was read so far as that of another log"
        )
    before = Place(cursor.segment, cursor.index, cursor.offset)
    return before, Place(cursor.segment, cursor.index + 1, cursor.offset + len(line) + 1)


async def check_index(store: KnowledgeStore, path: str, cursor: Cursor) -> None:
    """Count the records before that of a cursor: for where its index is in doubt, because it takes a while.

    Raises :class:`~hubwire.errors.InvalidCursor` if there is another number of them than the cursor says.
    """
    segment, index, offset = segment_path(path, cursor.segment), cursor.segment, 0
    while offset < cursor.offset:
        content = await store.read_bytes(segment, offset, min(offset + _COUNTED_BYTES, cursor.offset))
        if not content:
            return
        index += content.count(b"\n")
        offset += len(content)
    if index != cursor.index:
        raise InvalidCursor(
            f"the cursor says that it is after record {cursor.index}, but record {index} of the log {path} is at its"
            " place; give back one as a query gave it, or begin without"
        )


async def _line_at(store: KnowledgeStore, segment: str, offset: int) -> bytes | None:
    begin, size = max(offset - 1, 0), _LINE_BYTES
    while size <= _LINE_BYTES_MAX:
        content = await store.read_bytes(segment, begin, begin + size)
        if not content or (offset and content[:1] != b"\n"):
            return None
        line, feed, _ = content[offset - begin :].partition(b"\n")
        if feed or len(content) < size:
            return line or None
        size *= 4
    return None
