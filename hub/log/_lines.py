"""Lines that are checked one after the other, and what a crash leaves behind the last good one."""

from __future__ import annotations

import re
from typing import Any

import attrs

from .. import codec
from ..errors import InvalidRecord, NewerVersion
from ._chain import chain_value
from ._sound import head_of
from ._tail import VERSION, Tail

__all__ = ("BATCH_BEGUN", "LineCheck", "batch_end", "durable_claimed", "is_fork", "is_tear")

_BATCH_BEGUN = "log.batch_begun"

BATCH_BEGUN = b'"kind":"log.batch_begun"'
"""What is in the line that begins a batch; perhaps in others, too."""

OWN_KINDS = frozenset(
    {
        "log.opened",
        "log.recovered",
        "log.rotated",
        "log.pruned",
        "log.held",
        "log.released",
        "log.key_rotated",
        "log.heartbeat",
        "log.forked",
        _BATCH_BEGUN,
    }
)
"""The kinds of the records that a log writes by itself; they have no ``seq``."""

_SECTOR_BYTES = 512
_ZEROS = re.compile(rb"\0+")


class LineCheck:
    """Moves a tail past lines that are as they were written."""

    def __init__(self, tail: Tail, *, is_chained: bool | None) -> None:
        """``is_chained`` says whether lines end in a chain value; None: as the first one does."""
        self.tail: Tail = tail
        self._is_chained = is_chained
        self._suffix = b""
        """How the last line with a checksum ends before that."""
        self._durable = 0
        """``d`` of the last line."""
        self._batch: tuple[Tail, int] | None = None
        """The tail before the newest batch, and the number of the record after the batch."""
        self.has_checksums: bool = False
        """Whether a line had a checksum: then all that follow have one."""
        self.has_version: bool = False
        """Whether a line, or a record of the log itself, is of a version that always writes a marker."""

    @property
    def begun(self) -> Tail | None:
        """The tail before the last batch, if not all of its records are there; None if all are, or it is not known.

        A batch is one append, so that a line with a greater ``d`` was written when what is there of it was durable:
        a version that knows no batches has gone on behind it.
        """
        if self._batch is None or self.tail.records >= self._batch[1] or self._durable > self._batch[0].records:
            return None
        return self._batch[0]

    def add(self, line: bytes, *, is_checked: bool = False) -> None:
        """Move past a line. ``is_checked``: whether its checksum, if it has one, was found right.

        Raises :class:`~hubwire.errors.InvalidRecord` if it is not the next one of the log, and
        :class:`~hubwire.errors.NewerVersion` if it is, and a newer version of hubwire has begun to write there.
        """
        if codec.has_checksum(line) and self._is_chained is not True:
            self._add_with_checksum(line, is_checked=is_checked)
            return
        tail = self.tail
        body, durable, chain = codec.unseal(line)
        fields = codec.decode_fields(line)
        if durable > tail.records:
            raise InvalidRecord(f'it has "d" {durable}, more than there are records before it')
        if self._is_chained is None:
            self._is_chained = chain is not None
        if (chain is not None) is not self._is_chained:
            raise InvalidRecord('it has no "h"' if self._is_chained else 'it has an "h", and its log has none')
        self.has_checksums = codec.check_line(line, tail.records, is_due=self.has_checksums)
        if chain is not None and tail.chain is not None and chain != chain_value(tail.chain, codec.seal(body, durable)):
            raise InvalidRecord('its "h" does not follow from the record before it')
        self._durable = durable
        self._move(line, fields)
        tail.chain = tail.chain if chain is None else chain

    def _move(self, line: bytes, fields: dict[str, Any]) -> None:
        """Move past a line whose fields were read."""
        self._note_version(fields)
        tail = self.tail
        if _begins_batch(fields):
            self._batch = (attrs.evolve(tail), tail.records + 1 + fields["records"])
        tail.size += len(line) + 1
        tail.records += 1
        tail.last_line = line + b"\n"
        tail.rotated = fields.get("kind") == "log.rotated" and "seq" not in fields
        if type(fields.get("seq")) is int:
            tail.seq, tail.hub = fields["seq"], fields.get("hub")
        elif tail.rotated and tail.seq is None:
            tail.seq, tail.hub = fields.get("last_seq"), fields.get("last_hub")

    def _add_with_checksum(self, line: bytes, *, is_checked: bool) -> None:
        """Move past a line that has a checksum: little needs to be read of one that is as it was written."""
        tail = self.tail
        suffix = line[line.rfind(b',"d":') : -codec.CHECKSUM_BYTES]
        if suffix != self._suffix:  # those of one batch have the same
            self._suffix, self._durable = suffix, codec.seal_of(line)[0]
        if (durable := self._durable) > tail.records:
            raise InvalidRecord(f'it has "d" {durable}, more than there are records before it')
        if not is_checked:
            codec.check_line(line, tail.records, is_due=True)
        head = head_of(line)
        self._is_chained, self.has_checksums = False, True
        if type(head.seq) is not int or head.kind in OWN_KINDS:
            self._move(line, codec.decode_fields(line))
            return
        self.has_version = True
        tail.size += len(line) + 1
        tail.records += 1
        tail.last_line = line + b"\n"
        tail.rotated = False
        tail.seq, tail.hub = head.seq, head.hub

    def _note_version(self, fields: dict[str, Any]) -> None:
        """Note the version of which a record of the log itself is."""
        version = fields.get("v")
        if type(version) is int and fields.get("kind") in OWN_KINDS and "seq" not in fields:
            if version > VERSION:
                raise NewerVersion(
                    f"record {self.tail.records} of the log {fields.get('path')} was written by a newer version of"
                    f" hubwire: it has version {version}, and this one knows {VERSION}. Use a newer one; nothing was"
                    " changed",
                    path=str(fields.get("path")),
                    byte_offset=self.tail.size,
                )
            self.has_version = True
        self.has_version = self.has_version or self.has_checksums


def batch_end(line: bytes, index: int) -> int | None:
    """Return the index of the record behind the batch that this record begins; None if it begins none."""
    fields = codec.decode_fields(line)
    return index + 1 + fields["records"] if _begins_batch(fields) else None


def _begins_batch(fields: dict[str, Any]) -> bool:
    return fields.get("kind") == _BATCH_BEGUN and "seq" not in fields and type(fields.get("records")) is int


def is_tear(content: bytes, start: int) -> bool:
    """Return whether the bytes of a segment from ``start`` on may be what a crash left of an append.

    A crash leaves the beginning of what was to be written, or some sectors of it, and zeros where the others should be.
    Whole lines that are only not as they were written are no tear: they were changed.
    """
    if content.find(b"\n", start) < 0:
        return True
    for zeros in _ZEROS.finditer(content, start):
        first, end = zeros.span()
        begins = first % _SECTOR_BYTES == 0 or first == start or content[first - 1 : first] == b"\n"
        if begins and (end % _SECTOR_BYTES == 0 or end == len(content)):
            return True
    return False


def is_fork(good: bytes, rest: bytes) -> bool:
    """Return whether ``rest`` are whole records that follow, by their chain, from earlier ones than the last.

    On a store whose appends expect no length, a writer that lost its log to another one leaves them; it has told its
    callers that they failed.
    """
    chains = [b"", *[codec.unseal(line)[2] or b"" for line in good.split(b"\n")[:-1]]]
    *lines, after = rest.split(b"\n")
    for line in lines:
        try:
            body, durable, chain = codec.unseal(line)
        except InvalidRecord:
            return False
        unchained = codec.seal(body, durable)
        if chain is None or all(chain != chain_value(each, unchained) for each in reversed(chains)):
            return False
        chains.append(chain)
    return not after


def durable_claimed(torn: bytes) -> int:
    """Return the greatest number of durable records of which a line behind the end of a log tells."""
    claimed = 0
    *lines, rest = torn.split(b"\n")
    for line in (*lines, rest):
        try:
            durable = codec.unseal(line)[1]
            if line is rest:
                # Without its end, a line may stop at any "d" that is in it. With its end, its "d" is the true one
                # even if the line begins with bytes of a damaged record: the line feed between may be missing.
                codec.decode_fields(line)
        except InvalidRecord:
            continue
        claimed = max(claimed, durable)
    return claimed
