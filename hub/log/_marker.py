"""The two files beside the segments: ``clean``, how far the log is known to go, and ``kept``, where it begins.

Both carry a version and a checksum. A file that does not match its checksum is not believed, and one of a newer version
is left alone. Files of before there were checksums are read: they vouch for less.
"""

from __future__ import annotations

import re
from binascii import crc32
from typing import Any

import attrs
import msgspec

from .. import codec
from .._values import Value
from ..errors import InvalidRecord, LogDamaged, NewerVersion
from ..ports import KnowledgeStore
from ._tail import VERSION, Tail

__all__ = ("Kept", "Marker", "marked_end", "read_kept", "read_marker")

_OLD_KEPT = re.compile(rb"\d{1,20}\s*")


class _CleanFields(msgspec.Struct, forbid_unknown_fields=True):
    """What the file ``clean`` holds. In a file without a version, the last five are not there."""

    first: int
    size: int
    records: int
    chain: str
    seq: int | None
    hub: str | None
    rotated: bool
    number: int = 0
    before_bytes: int = 0
    line_bytes: int = 0
    line_crc: int = 0
    closed: bool = False


@attrs.frozen(eq=False, repr=False)
class Marker(Value):
    """The file ``clean``: up to this end the records were durable when it was written."""

    tail: Tail
    line_bytes: int = 0
    """The length of the last line of the segment, with its line feed; 0 if it is empty."""
    line_crc: int = 0
    """The CRC-32 of that line."""
    is_closed: bool = False
    """Whether the log was closed here: then it ends here. Otherwise it goes on, for as long as it was written."""
    is_old: bool = False
    """Whether it is of before there were checksums. Then the log may have been opened again after it."""

    @classmethod
    def of(cls, tail: Tail, *, is_closed: bool) -> Marker:
        """Return the marker of a log that ends here."""
        return cls(tail, len(tail.last_line), crc32(tail.last_line), is_closed)

    def encode(self) -> bytes:
        """Return the content of the file."""
        tail = self.tail
        fields = {name: getattr(tail, name) for name in _TAIL_FIELDS}
        fields["chain"] = (tail.chain or b"").decode()
        fields |= {"line_bytes": self.line_bytes, "line_crc": self.line_crc, "closed": self.is_closed}
        return codec.encode_marker(fields, version=VERSION)

    def matches(self, line: bytes) -> bool:
        """Return whether this is the last line of the segment as it was written, with its line feed."""
        return (len(line), crc32(line)) == (self.line_bytes, self.line_crc)


_TAIL_FIELDS = ("first", "size", "records", "chain", "seq", "hub", "rotated", "number", "before_bytes")


async def read_marker(store: KnowledgeStore, path: str) -> Marker | None:
    """Return what the file ``clean`` of a log says; None if there is none.

    Raises :class:`~hubwire.errors.InvalidRecord` if it is damaged, and :class:`~hubwire.errors.NewerVersion` if a newer
    version of hubwire wrote it.
    """
    file = f"{path}/clean"
    content = await store.read_bytes(file)
    if content is None:
        return None
    try:
        fields, is_old = _decode(file, content), False
    except InvalidRecord:
        fields, is_old = codec.decode_fields(content), True
        if "v" in fields or "c" in fields or fields.keys() - _CleanFields.__struct_fields__:
            raise  # it had a checksum when it was written
    try:
        clean = msgspec.convert(fields, _CleanFields)
    except msgspec.ValidationError as error:
        raise InvalidRecord(f"it has another shape ({error}): {content[:60]!r}…") from error
    tail = Tail(**{name: getattr(clean, name) for name in _TAIL_FIELDS if name != "chain"}, chain=clean.chain.encode())
    return Marker(tail, clean.line_bytes, clean.line_crc, clean.closed, is_old)


async def marked_end(store: KnowledgeStore, path: str) -> Marker | None:
    """Return what the log at ``path`` says of its end beside its records; None without a marker.

    Raises :class:`~hubwire.errors.LogDamaged` if that cannot be read.
    """
    try:
        return await read_marker(store, path)
    except InvalidRecord as error:
        marker = f"{path}/clean"
        raise LogDamaged(f"{marker} should say where the log ended, and is damaged: {error}", path=marker) from error


class _KeptFields(msgspec.Struct, forbid_unknown_fields=True):
    first: int
    number: int
    before_bytes: int


@attrs.frozen(eq=False, repr=False)
class Kept(Value):
    """The file ``kept``: the segment with which the log begins. What is left of those before it was truncated."""

    first: int = 0
    """The index of its first record."""
    number: int | None = 0
    """How many segments came before it; None if the file was written before there were checksums, or by hand."""
    before_bytes: int = 0
    """The bytes of these segments."""

    def encode(self) -> bytes:
        """Return the content of the file."""
        return codec.encode_marker(attrs.asdict(self), version=VERSION)


async def read_kept(store: KnowledgeStore, path: str) -> Kept:
    """Return where a log begins.

    Raises :class:`~hubwire.errors.LogDamaged` if the file is damaged, and :class:`~hubwire.errors.NewerVersion` if a
    newer version of hubwire wrote it.
    """
    file = f"{path}/kept"
    content = await store.read_bytes(file)
    if content is None:
        return Kept()
    if _OLD_KEPT.fullmatch(content):
        return Kept(int(content), None)
    try:
        kept = msgspec.convert(_decode(file, content), _KeptFields)
    except (InvalidRecord, msgspec.ValidationError) as error:
        raise LogDamaged(
            f"{file} should say with which segment the log begins, and is damaged ({error}); restore it from a copy, or"
            " write into it the number in the name of the first segment that has to be kept, and nothing else",
            path=file,
        ) from error
    return Kept(kept.first, kept.number, kept.before_bytes)


def _decode(file: str, content: bytes) -> dict[str, Any]:
    fields = codec.decode_marker(content)
    version = fields.pop("v")
    if version > VERSION:
        raise NewerVersion(
            f"{file} was written by a newer version of hubwire: it has version {version}, and this one knows {VERSION}."
            " Use a newer one; nothing was changed",
            path=file,
        )
    return fields
