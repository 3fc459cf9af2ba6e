"""The last event of an audit log, looked for when the log is opened: with its id the hub compares histories."""

from __future__ import annotations

from hubwire import codec
from hubwire.errors import InvalidRecord
from hubwire.log import list_segments, segment_path
from hubwire.ports import KnowledgeStore

__all__ = ("id_of_last_event",)

_END_BYTES = 128 * 1024
"""A record has half as much at most."""

_SEGMENTS = 2
"""The last one may have no events yet."""


async def id_of_last_event(store: KnowledgeStore, path: str, seq: int) -> str | None:
    """Return the id of the event of this ``seq``, the last one; None if it is not near the end of the log."""
    for first in reversed((await list_segments(store, path))[-_SEGMENTS:]):
        segment = segment_path(path, first)
        size = await store.size(segment) or 0
        end = await store.read_bytes(segment, max(0, size - _END_BYTES), size) or b""
        for line in reversed(end.split(b"\n")):
            try:
                fields = codec.decode_fields(line)
            except InvalidRecord:
                continue  # the log itself reports what is damaged
            if fields.get("seq") == seq:
                found = fields.get("id")
                return found if isinstance(found, str) else None
    return None
