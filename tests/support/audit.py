"""Audit logs for tests: written, taken apart, altered, and chained anew as a forger would."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hubwire import Duty, GenericEvent, Hub, codec
from hubwire.listeners import AuditLog
from hubwire.log import chain_value, list_segments, segment_path
from hubwire.ports import KnowledgeStore
from hubwire.stores import MemoryStore

__all__ = ("Lines", "alter", "filled", "lines_of", "rewrite", "work")

Lines = dict[int, list[dict[str, Any]]]
"""The fields of all lines, with `d` and without `h`, by the segment that they are in."""


async def work(store: KnowledgeStore, events: int = 5, *, rotation: int = 1 << 20, **terms: Any) -> None:
    """Have a hub emit events of two kinds, `odd.seen` and `even.seen`, to an audit log."""
    hub = Hub(store)
    hub.attach(AuditLog(store, rotation=rotation), **terms)
    async with hub:
        for number in range(events):
            kind = "odd.seen" if number % 2 else "even.seen"
            await hub.emit(GenericEvent(kind=kind, data={"number": number}))


async def filled(events: int = 5, *, rotation: int = 1 << 20, duty: Duty = Duty.REQUIRED) -> MemoryStore:
    """Return a store with the journal and the audit log of a hub."""
    store = MemoryStore()
    await work(store, events, rotation=rotation, duty=duty)
    return store


async def lines_of(store: KnowledgeStore, path: str = "/audit") -> Lines:
    """Return what is in the log."""
    lines = {}
    for first in await list_segments(store, path):
        content = await store.read_bytes(segment_path(path, first)) or b""
        lines[first] = [json.loads(line) for line in content.split(b"\n")[:-1]]
        for fields in lines[first]:
            del fields["h"]
    return lines


async def rewrite(store: KnowledgeStore, lines: Lines) -> None:
    """Write the log anew, with a chain that holds, and without a marker."""
    await store.delete("/audit/log")
    await store.delete("/audit/clean")
    chain = b""
    for first, segment in sorted(lines.items()):
        content = b""
        for fields in segment:
            durable = fields["d"]
            body = codec.encode_fields({name: value for name, value in fields.items() if name != "d"})
            chain = chain_value(chain, codec.seal(body, durable))
            content += codec.seal(body, durable, chain) + b"\n"
        await store.write(segment_path("/audit", first), content)


async def alter(store: KnowledgeStore, change: Callable[[Lines], object]) -> None:
    """Change the fields of lines, chain the log anew, and forget its marker, as a forger would."""
    lines = await lines_of(store)
    change(lines)
    await rewrite(store, lines)
