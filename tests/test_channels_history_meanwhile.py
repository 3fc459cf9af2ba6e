"""A history that is read while the journal is truncated, and what was kept of it is written anew."""

from __future__ import annotations

import asyncio
from typing import Any

from hubwire import Hub, Limits
from hubwire.stores import MemoryStore
from support import until, until_tidy

SMALL = Limits(ring=64, snapshot_bytes=20_000, journal_bytes_max=200_000)


class HeldUp(MemoryStore):
    """Holds up one reader of the history, as a slow disk does."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()
        self.reader: asyncio.Task[object] | None = None
        self.is_held = False

    async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        if path.startswith("/journal/history/") and asyncio.current_task() is self.reader and not self.is_held:
            self.is_held = True
            await self.go_on.wait()
        return await super().read_bytes(path, start, end)


async def test_a_history_is_read_while_it_is_written_anew() -> None:
    """A file that was replaced after the reader had looked for it is not damage."""
    store = HeldUp()
    async with Hub(store, limits=SMALL) as hub:
        writer, other = [await hub.agents.register(name) for name in "ab"]
        channel = await hub.channels.open([writer, other])

        async def write(beyond: int) -> set[str]:
            """Post until neither the journal nor the ring begins before this; return what is kept of the past."""
            while min((await until_tidy(hub)).first_seq, hub._parts.core.recall._ring.first) <= beyond:
                for _ in range(100):
                    await channel.post(writer, "x" * 100, to=[])
            return set(await store.list("/journal/history"))

        before = await write(0)

        async def read() -> Any:
            store.reader = asyncio.current_task()
            return await channel.history(limit=10_000)

        reading = asyncio.create_task(read())
        await until(lambda: store.is_held or reading.done())
        assert store.is_held
        after = await write(hub._parts.core.next_seq)
        assert before - after
        store.go_on.set()
        history = await reading
        assert history.missing == 0
        seqs = [entry.seq for entry in history]
        assert seqs == list(range(seqs[0], seqs[-1] + 1))
