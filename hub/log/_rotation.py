"""Rotation: when the segment that is being written is full, and the log goes on in a new one."""

from __future__ import annotations

import attrs

from ._tail import Tail

__all__ = ("SEGMENT_BYTES", "Rotation")

SEGMENT_BYTES = 16 * 1024 * 1024
"""A segment of this size is full. Opening after a crash reads one segment."""


@attrs.frozen
class Rotation:
    """Decides before each batch whether the batch goes into a new segment. A batch is never divided."""

    segment_bytes: int = SEGMENT_BYTES

    def is_due(self, tail: Tail) -> bool:
        """Return whether the last segment of a log with this tail is full."""
        return tail.size >= self.segment_bytes
