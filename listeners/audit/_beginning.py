"""Where a pruned log begins: what is remembered beside it of the records that are gone, and of a pruning under way.

The file ``pruned`` is written before the first change of a pruning, and when that is done. What it says is believed by
its checksum, and only as far as the file ``kept`` and the record ``log.pruned`` of the log say the same.
"""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from hubwire import codec
from hubwire.errors import InvalidRecord, LogDamaged, NewerVersion
from hubwire.log import LogReader
from hubwire.ports import KnowledgeStore

from ._promise import Promise

__all__ = ("Anchor", "Note", "anchor_of", "read_marked", "read_note")

_VERSION = 1


@attrs.frozen
class Anchor:
    """Where a log begins, or will begin."""

    first: int = 0
    """The index of its first record."""
    h: str = ""
    """The ``h`` of the record before that."""
    promise: Promise | None = None
    """Which events the log was to hold there."""
    last_seq: int | None = None
    """The ``seq`` of the last event before that."""

    def to_fields(self) -> dict[str, Any]:
        """Return its part of a record, or of the file."""
        promise = {} if self.promise is None else self.promise.to_fields()
        return {"first": self.first, "chain": self.h, "promise": promise, "last_seq": self.last_seq}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Anchor | None:
        """Return what fields say; None if they do not say it as they should."""
        match fields:
            case {"first": int(first), "chain": str(h), "promise": dict(promise), "last_seq": int() | None as last_seq}:
                return cls(first, h, Promise.from_fields(promise), last_seq)
        return None


@attrs.frozen
class Note:
    """The file ``pruned`` of a log."""

    before: Anchor = Anchor()
    """Where the log began before the newest pruning."""
    after: Anchor = Anchor()
    """Where it begins after that."""
    is_done: bool = True
    blobs: tuple[str, ...] = ()
    """The digests of the long records whose files go with their segments, as long as it is not done."""
    shared: tuple[str, ...] = ()
    """Those of them that a record which stays may name, too."""
    pages: tuple[str, ...] = ()
    """The pages on which they have erasable contents."""

    def at(self, first: int) -> Anchor | None:
        """Return what is known of a log that begins at this record; None if that is nothing."""
        if not first:
            return Anchor()
        return next((each for each in (self.after, self.before) if each.first == first), None)

    async def write(self, store: KnowledgeStore, path: str) -> None:
        """Replace the file."""
        fields = {
            "before": self.before.to_fields(),
            "after": self.after.to_fields(),
            "done": self.is_done,
            "blobs": list(self.blobs),
            "shared": list(self.shared),
            "pages": list(self.pages),
        }
        await store.write(f"{path}/pruned", codec.encode_marker(fields, version=_VERSION))


async def read_marked(store: KnowledgeStore, file: str) -> dict[str, Any] | None:
    """Return the fields of a file with a checksum; None if it is not there.

    Raises :class:`~hubwire.errors.InvalidRecord` if it is damaged, and :class:`~hubwire.errors.NewerVersion`.
    """
    content = await store.read_bytes(file)
    if content is None:
        return None
    fields = codec.decode_marker(content)
    if fields.pop("v") > _VERSION:
        raise NewerVersion(
            f"{file} was written by a newer version of hubwire. Use a newer one; nothing was changed", path=file
        )
    return fields


class _Fields(msgspec.Struct):
    before: dict[str, Any]
    after: dict[str, Any]
    done: bool
    blobs: list[str]
    shared: list[str]
    pages: list[str] = msgspec.field(default_factory=list)


async def read_note(store: KnowledgeStore, path: str) -> Note | None:
    """Return what the file ``pruned`` says; None if it is missing or damaged: the log itself says the same."""
    try:
        fields = msgspec.convert(await read_marked(store, f"{path}/pruned"), _Fields)
    except (InvalidRecord, msgspec.ValidationError):
        return None
    before, after = Anchor.from_fields(fields.before), Anchor.from_fields(fields.after)
    if before is None or after is None:
        return None
    return Note(before, after, fields.done, tuple(fields.blobs), tuple(fields.shared), tuple(fields.pages))


async def anchor_of(store: KnowledgeStore, path: str, first: int) -> Anchor:
    """Return what is known of the beginning of a log at record ``first``: by the file, or else by reading the log.

    Raises :class:`~hubwire.errors.LogDamaged` if no ``log.pruned`` says that it begins there.
    """
    note = await read_note(store, path) or Note()
    if (known := note.at(first)) is not None:
        return known
    reader = LogReader(store, path)
    while records := await reader.read():
        for record in records:
            if b'"kind":"log.pruned"' in record.line:
                fields = codec.decode_fields(record.body)
                anchor = Anchor.from_fields(fields)
                if "seq" not in fields and anchor is not None and anchor.first == first:
                    return anchor
    raise LogDamaged(
        f"the log {path} begins at record {first}, and no log.pruned in it says so: records are missing. Nothing was"
        " changed; restore them from a copy",
        path=path,
    )
