"""Rotation: when the segment that is being written is full, and the log goes on in a new one."""

from __future__ import annotations

import attrs

from .. import codec
from .._values import Value
from ..ports import KnowledgeStore
from ._tail import Tail

__all__ = ("SEGMENT_BYTES", "Rotation", "next_named")

SEGMENT_BYTES = 16 * 1024 * 1024
"""A segment of this size is full. Opening after a crash reads one segment."""

_LAST_LINE_BYTES = 64 * 1024
"""As much of a segment is read to find ``log.rotated`` at its end."""


@attrs.frozen(eq=False, repr=False)
class Rotation(Value):
    """Decides before each batch whether the batch goes into a new segment. A batch is never divided."""

    segment_bytes: int = SEGMENT_BYTES

    def is_due(self, tail: Tail) -> bool:
        """Return whether the last segment of a log with this tail is full."""
        return tail.size >= self.segment_bytes


async def next_named(store: KnowledgeStore, path: str, size: int) -> object:
    """Return which segment the end of this one of ``size`` bytes names as the next; None if it names none.

    Raises :class:`~hubwire.errors.InvalidRecord` if it does not end in a record.
    """
    end = await store.read_bytes(path, max(0, size - _LAST_LINE_BYTES), size) or b""
    fields = codec.decode_fields(end[end.rfind(b"\n", 0, -1) + 1 :])
    return fields.get("next_segment") if fields.get("kind") == "log.rotated" and "seq" not in fields else None
