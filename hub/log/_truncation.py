"""Truncation: old segments deleted, so that a crash at any moment leaves a log that is whole from some segment on."""

from __future__ import annotations

import attrs

from ..ports import KnowledgeStore
from ._marker import Kept
from ._reading import list_segments, segment_path

__all__ = ("begin_at",)


async def begin_at(store: KnowledgeStore, path: str, index: int, kept: Kept) -> tuple[Kept, list[str]]:
    """Write down that the log begins with the segment that holds record ``index``.

    ``kept`` is where it began. Return where it begins now, and the segments before that, to be deleted. The new
    beginning counts from here on, also if a delete fails: what is left is deleted with the next ones, and not counted
    again. A store may die in the middle of a delete, and leave half a segment.
    """
    segments = [first for first in await list_segments(store, path) if first <= index]
    gone = [segment_path(path, first) for first in segments[:-1]]
    before = [first for first in segments[:-1] if first >= kept.first]
    if before:
        sizes = [await store.size(segment_path(path, first)) or 0 for first in before]
        kept = attrs.evolve(
            kept,
            first=segments[-1],
            number=(kept.number or 0) + len(before),
            before_bytes=kept.before_bytes + sum(sizes),
        )
        await store.write(f"{path}/kept", kept.encode())
    return kept, gone
