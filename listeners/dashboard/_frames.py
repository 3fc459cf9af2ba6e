"""Frames: what the stream writes, made once for all clients at the same place."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import attrs

from ._http import encoded
from ._rows import Item, Rows, joined, pieces
from ._source import Which

__all__ = ("Form", "Frames", "told")

ROWS_MAX = 64
"""Of one frame. What a reader got at once is several frames, and one write."""
_FRAMES_HELD = 128
_FRAME_BYTES_HELD = 32 * 1024 * 1024
_SLICE_SECONDS = 0.0001
"""So long rows are made in one turn of the loop: as long as two commits."""


@attrs.frozen
class Form:
    """How a client gets events: equal ones share what was made."""

    which: Which
    contents: bool
    raw: bool
    tasks: tuple[str, ...]
    outcomes: tuple[str, ...]


class Frames:
    """Makes frames, and keeps the newest: clients at the same place get the very same bytes."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._held: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()
        self._bytes = 0
        self._making = asyncio.Lock()

    async def of(self, items: Sequence[Item], form: Form) -> bytes:
        """Return these events as frames: empty, if the form takes none of them."""
        key = (items[0].event.id, items[-1].event.id, len(items), form)
        if (found := self._held.get(key)) is not None:
            return found
        async with self._making:  # who is at the same place waits for it
            if (found := self._held.get(key)) is not None:
                return found
            found = self._held[key] = await self._made(items, form)
        self._bytes += len(found)
        while len(self._held) > _FRAMES_HELD or (self._bytes > _FRAME_BYTES_HELD and len(self._held) > 1):
            self._bytes -= len(self._held.popitem(last=False)[1])
        return found

    async def _made(self, items: Sequence[Item], form: Form) -> bytes:
        encode = self._rows.encoded_event if form.raw else self._rows.encoded_row
        made: list[tuple[Item, bytes]] = []
        begun = time.perf_counter()
        for item in items:
            if self._takes(item, form):
                made.append((item, encode(item, contents=form.contents)))
            if time.perf_counter() - begun > _SLICE_SECONDS:
                await asyncio.sleep(0)
                begun = time.perf_counter()
        name = b"events" if form.raw else b"rows"
        return b"".join(_frame(name, piece) for piece in pieces(made, ROWS_MAX))

    def _takes(self, item: Item, form: Form) -> bool:
        if not form.tasks and not form.outcomes:
            return True
        row = self._rows.row(item.event, contents=False)
        is_of_task = not form.tasks or row.get("task_id") in form.tasks
        return is_of_task and (not form.outcomes or row.get("outcome") in form.outcomes)


def _frame(name: bytes, made: Sequence[tuple[Item, bytes]]) -> bytes:
    data = joined(content for _, content in made)
    return b"event: %b\nid: %b\ndata: %b\n\n" % (name, made[-1][0].cursor.encode(), data)


def told(name: str, value: Any, cursor: str | None = None) -> bytes:
    """Return a frame of its own."""
    line = b"" if cursor is None else b"id: %b\n" % cursor.encode()
    return b"event: %b\n%bdata: %b\n\n" % (name.encode(), line, encoded(value))
