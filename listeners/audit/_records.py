"""The checks of one record after the other: ``h``, ``d``, ``seq``, ``hub``, and the ends of segments."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from hubwire import codec
from hubwire.errors import InvalidRecord, LogDamaged
from hubwire.log import Head, Record, chain_value, segment_path

__all__ = ("RecordChecks", "RecordHead", "at_byte", "fields_of")


class RecordHead(msgspec.Struct):
    """What is looked at of each record; reading all of its fields takes twice as long."""

    seq: Any = UNSET
    id: Any = None
    kind: Any = None
    at: Any = None
    hub: Any = None
    cut: Any = UNSET


_head_of = msgspec.json.Decoder(RecordHead).decode


def fields_of(record: Record) -> dict[str, Any]:
    """Return all fields of a record that was checked."""
    return codec.decode_fields(record.body)


class RecordChecks:
    """Fed with all records of a log in their order. Each method raises ``LogDamaged`` at what cannot have been written.

    A log that does not begin with record 0 has lost the ``h`` that its first record follows. If that is not given as
    ``before``, it is taken on trust until :meth:`follows` is asked.
    """

    def __init__(self, path: str, first_index: int, before: bytes | None = None) -> None:
        self.records: int = first_index
        self.events: int = 0
        self.first_seq: int | None = None
        self.last_seq: int | None = None
        self.hub: str | None = None
        self.last_at: Any = None
        """The time of the last good record, as it says."""
        self._path = path
        self._durable = 0
        self._chain: bytes | None = before if first_index else b""
        self._first: tuple[bytes, bytes] | None = None
        """The first record without its ``h``, and that, if it was taken on trust."""
        self._rotated: dict[str, Any] | None = None
        """The fields of the record before, if that was ``log.rotated``."""
        self._segment = first_index
        self._begin = first_index
        self._is_unsure = False
        """Whether the ``log.rotated`` before the next segment may be among what could not be read."""
        self._lacking: int = 0
        """How many records of the present segment are known to be missing before the next one."""

    @property
    def head(self) -> Head:
        """The head of the log up to the last good record."""
        return Head(self.records, (self._chain or b"").decode())

    @property
    def durable(self) -> int:
        """``d`` of the last good record."""
        return self._durable

    def go_on(self, *, segment: int, durable: int, last_seq: int | None, hub: str | None) -> None:
        """Go on in the middle of a segment, behind records that were checked before."""
        self._segment, self._durable, self.last_seq, self.hub = segment, durable, last_seq, hub

    def follows(self, before: bytes) -> bool:
        """Tell whether the first record, which was taken on trust, follows this ``h``."""
        return self._first is None or self._first[1] == chain_value(before, self._first[0])

    def begin_segment(self, first: int) -> None:
        """The records that follow are those of the segment that is named by the record ``first``."""
        if first == self._segment:
            return
        self._segment, self._lacking = first, 0
        if self._is_unsure:
            self._is_unsure = False
            return
        rotated, name = self._rotated, segment_path("", first)
        if rotated is None or not str(rotated.get("next_segment")).endswith(name):
            raise LogDamaged(
                f"the segment of the log {self._path} that begins with record {first} was not announced by a"
                " log.rotated at the end of the one before it; restore both from a copy",
                path=segment_path(self._path, first),
            )
        if (rotated.get("last_seq"), rotated.get("last_hub")) != (self.last_seq, self.hub) and self.events:
            raise LogDamaged(
                f"the log.rotated before record {first} of the log {self._path} says that the last seq was"
                f" {rotated.get('last_seq')}, but it was {self.last_seq}; restore the segment before it from a copy",
                path=segment_path(self._path, first),
            )

    def add(self, record: Record) -> RecordHead:
        """Check one more record; return what is looked at of all its fields."""
        if self._rotated is not None and record.index != self._segment:
            raise self._damaged(record, "comes after a log.rotated, which ends its segment")
        try:
            durable, chain = codec.seal_of(record.line)
            head = _head_of(record.line)
        except (InvalidRecord, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._damaged(record, f"is not a record ({error})") from error
        if chain is None:
            raise self._damaged(record, "has no h; an audit log is chained, a journal is not")
        if self._chain is not None and chain != chain_value(self._chain, codec.unchained(record.line)):
            raise self._damaged(record, "or one before it was changed: its h does not follow from the record before it")
        if self._chain is None and record.index == self._begin:
            self._first = (codec.unchained(record.line), chain)
        if not self._durable <= durable <= record.index + self._lacking:
            raise self._damaged(record, f"has d {durable}, after a record with {self._durable}")
        if head.seq is not UNSET:
            self._add_event(record, head.seq, head.hub)
            self._rotated = None
        else:
            self._rotated = fields_of(record) if head.kind == "log.rotated" else None
        self.records, self.last_at = record.index + 1, head.at
        self._durable, self._chain = durable, chain
        return head

    def resume(self, record: Record) -> None:
        """Go on behind a record that is damaged: what follows is checked against what is there of it."""
        try:
            self._durable, self._chain = codec.seal_of(record.line)
        except InvalidRecord:
            self._durable, self._chain = 0, None
        self._lacking = max(self._lacking, self._durable - record.index)
        self._rotated, self._is_unsure = None, True
        self.records = record.index + 1

    def skip(self) -> None:
        """Go on behind what could not be read at all."""
        self._durable, self._chain, self._rotated, self._is_unsure = 0, None, None, True

    def _add_event(self, record: Record, seq: Any, hub: Any) -> None:
        if type(seq) is not int or seq < 0 or type(hub) is not str:
            raise self._damaged(record, f"has seq {seq!r:.40} and hub {hub!r:.40}, which no event has")
        if self.last_seq is not None and seq <= self.last_seq:
            raise self._damaged(record, f"has seq {seq}, after {self.last_seq}")
        if self.hub is not None and hub != self.hub:
            raise self._damaged(record, f"is of hub {hub:.40}, but the log is that of {self.hub}")
        self.events += 1
        self.first_seq = seq if self.first_seq is None else self.first_seq
        self.last_seq, self.hub = seq, hub

    def _damaged(self, record: Record, what: str) -> LogDamaged:
        return LogDamaged(
            f"record {record.index} of the log {self._path} {what}; restore it from a copy", path=self._path
        )


def at_byte(error: LogDamaged, segment: str, offset: int) -> LogDamaged:
    """Return the same error, which says at which byte of its segment the record begins."""
    if error.byte_offset is not None:
        return error
    return LogDamaged(f"{error}. It begins at byte {offset} of {segment}", path=segment, byte_offset=offset)
