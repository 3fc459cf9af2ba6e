"""Truncation: old segments deleted, so that a crash at any moment leaves a log that is whole from some segment on."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ..ports import KnowledgeStore
from ._reading import first_kept, list_segments, segment_path

__all__ = ("finish_truncation", "truncate")


async def truncate(store: KnowledgeStore, path: str, index: int) -> AsyncIterator[int]:
    """Delete the segments before the one that holds record ``index``; yield the size of each.

    The new beginning is written first: a store may die in the middle of a delete, and leave half a segment.
    """
    segments = await list_segments(store, path)
    kept = max((first for first in segments if first <= index), default=0)
    if kept > await first_kept(store, path):
        await store.write(f"{path}/kept", b"%d\n" % kept)
    for first in segments:
        if first < kept:
            segment = segment_path(path, first)
            size = await store.size(segment) or 0
            await store.delete(segment)
            yield size


async def finish_truncation(store: KnowledgeStore, path: str) -> None:
    """Delete what a crash has left of truncated segments."""
    if kept := await first_kept(store, path):
        async for _ in truncate(store, path, kept):
            pass
