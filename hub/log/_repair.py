"""Repair: what an inspection of a log found to be done is done."""

from __future__ import annotations

from ..ports import CuttableStore, KnowledgeStore
from ._inspection import Inspection
from ._marker import Marker

__all__ = ("repair",)


async def repair(store: KnowledgeStore, inspection: Inspection, *, is_held: bool) -> None:
    """Carry out what an inspection found to be done, and mark the log as open. It may be called again after an error.

    What was truncated goes first, which makes room on a full disk. No more is deleted: torn bytes are set aside.
    """
    inspection.check()
    for leftover in inspection.leftovers:
        await store.delete(leftover)
    if inspection.writes_kept:
        await store.write(f"{inspection.path}/kept", inspection.kept.encode())
    tail, torn = inspection.tail, inspection.torn
    path = inspection.last_segment
    # After a failed fsync the page cache may show what the disk does not have, and a second fsync would report success.
    # A new file is written through. (A log that cannot be held is on objects, which are whole.)
    is_rewritten = is_held and not inspection.is_clean and bool(inspection.found_bytes)
    if torn is not None or inspection.lacks_feed or is_rewritten:
        content = await store.read_bytes(path) or b""
        found_bytes = inspection.found_bytes
        if len(content) != tail.size or tail.size == found_bytes:  # otherwise an attempt that failed later has done it
            if torn is not None:
                await store.write(torn.torn_path, content[tail.size :])
            if isinstance(store, CuttableStore) and not inspection.lacks_feed:
                await store.cut(path, tail.size, expect=found_bytes)  # a full disk has no room for a second copy
            else:
                kept = content[: tail.size] + (b"\n" if inspection.lacks_feed else b"")
                await store.write(path, kept, expect=found_bytes)
    await store.write(f"{inspection.path}/clean", Marker.of(tail, is_closed=False).encode())
