"""What stands in a redacted copy in the place of records that are withheld, and what may not be done with a copy."""

from __future__ import annotations

from base64 import b64decode, b64encode

import attrs

from hubwire import codec
from hubwire.errors import ConfigurationError, InvalidRecord
from hubwire.log import Record, chain_value
from hubwire.ports import KnowledgeStore
from hubwire.proof import leaf_hash

__all__ = ("BEGIN", "Leaves", "StandIn", "refuse_copy", "stand_in_of")

BEGIN = b'{"$withheld":{'


@attrs.frozen
class StandIn:
    """What stands in the place of a record that is withheld."""

    leaf: bytes
    seq: int | None


def stand_in_of(line: bytes) -> StandIn | None:
    """Return what a line of a copy stands for; None if it is a record."""
    if not line.startswith(BEGIN):
        return None
    try:
        fields = codec.decode_fields(codec.body_of(line))
        match fields:
            case {"$withheld": {"leaf": str(leaf), "seq": int() | None as seq, **rest}} if (
                not rest and len(fields) == 1
            ):
                digest = b64decode(leaf, validate=True)
                is_exact = b64encode(digest).decode() == leaf  # decoding passes over bits of the last character
                return StandIn(digest, seq) if is_exact and len(digest) == 32 else None  # a SHA-256
    except (InvalidRecord, ValueError):
        pass
    return None


class Leaves:
    """The hashes that records have in the tree of their log, which for withheld ones of a copy stand in their lines.

    Fed with records that follow each other: a record that only looks like a stand-in has an ``h`` that follows.
    """

    def __init__(self, *, is_copy: bool) -> None:
        self._is_copy = is_copy
        self._last: Record | None = None

    @classmethod
    async def of_log(cls, store: KnowledgeStore, path: str) -> Leaves:
        """Return those of a log, or of a copy."""
        return cls(is_copy=await _is_copy(store, path))

    def of(self, record: Record) -> bytes:
        """Return the hash of the next record."""
        stand_in = self.stand_in(record)
        return leaf_hash(record.line) if stand_in is None else stand_in.leaf

    def stand_in(self, record: Record) -> StandIn | None:
        """Return what the next record stands for; None if it is a record."""
        if not self._is_copy:
            return None
        last, self._last = self._last, record
        found = stand_in_of(record.line)
        if found is None or record.chain is None:
            return found
        if record.index == 0:
            before: bytes | None = b""
        else:
            before = last.chain if last is not None and last.index == record.index - 1 else None
        is_record = before is not None and chain_value(before, codec.unchained(record.line)) == record.chain
        return None if is_record else found


async def refuse_copy(store: KnowledgeStore, path: str) -> None:
    """Raise :class:`~hubwire.errors.ConfigurationError` if a log is a redacted copy: nothing in it is changed."""
    if await _is_copy(store, path):
        raise ConfigurationError(
            f"the log {path} is a redacted copy: nothing is appended to it, or erased in it. Write to the"
            " log that it is a copy of; or to a log at another path"
        )


async def _is_copy(store: KnowledgeStore, path: str) -> bool:
    return await store.read_bytes(f"{path}/copy") is not None
