"""Following a log: its records as it grows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import anyio

from ..ports import KnowledgeStore
from ._reading import LogReader, Record

__all__ = ("follow",)

FOLLOW_SECONDS = 5.0
"""A follower that is not notified of a change looks for one after this time."""


async def follow(store: KnowledgeStore, path: str, *, start: int | None = None) -> AsyncIterator[Record]:
    """Iterate over the records of a log from index ``start``, by default from its present end, as it grows.

    It never ends. A log that does not exist yet is waited for.
    """
    changed = asyncio.Event()

    async def wake(_: str) -> None:
        changed.set()

    subscription = await store.on_change(f"{path}/log", wake)
    try:
        reader = LogReader(store, path)
        if start is None:
            await reader.seek_end()
        else:
            await reader.seek_index(start)
        while True:
            changed.clear()
            while records := await reader.read():
                for record in records:
                    yield record
            # A subscription may end, or miss a change: look now and then all the same.
            with anyio.move_on_after(FOLLOW_SECONDS):
                await changed.wait()
    finally:
        await subscription.close()
