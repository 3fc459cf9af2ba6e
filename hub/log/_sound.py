"""Lines with checksums: which of them are as they were written, and the little that is read of those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import msgspec

from .. import codec
from ..codec import CHECKSUM_BYTES
from ..errors import InvalidRecord

__all__ = ("LineHead", "count_sound", "head_of")


def count_sound(lines: Sequence[bytes], index: int, *, is_due: bool) -> tuple[int, bool, InvalidRecord | None]:
    """Check lines from record ``index`` on, as :func:`check_line` does, up to the first that is not as it was written.

    Return how many are, whether the last of these has a checksum, and what is wrong with the one after them.
    """
    suffix, begin = b"", 0
    for number, line in enumerate(lines, index):
        if line[-CHECKSUM_BYTES:-10] == b',"c":"':
            at = line.rfind(b',"d":')
            if (own := line[at:-CHECKSUM_BYTES]) != suffix:  # those of one batch have the same
                suffix, begin = own, crc32(own)
            if b"%08x" % crc32(line[:at] + b"}", begin ^ number) == line[-10:-2]:
                is_due = True
                continue
        try:
            is_due = codec.check_line(line, number, is_due=is_due)
        except InvalidRecord as error:
            return number - index, is_due, error
    return len(lines), is_due, None


class LineHead(msgspec.Struct):
    """What a log reads of a line that is known to be as it was written: a third of the work of reading all of it."""

    kind: Any = None
    seq: Any = None
    hub: Any = None


_line_head = msgspec.json.Decoder(LineHead)


def head_of(line: bytes) -> LineHead:
    """Return the head of a line; raise :class:`~hubwire.errors.InvalidRecord` if that is not one JSON object."""
    try:
        return _line_head.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRecord(f"the line is no JSON object ({error}): {line[:60]!r}…") from error
