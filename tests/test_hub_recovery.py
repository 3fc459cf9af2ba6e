"""What a start makes of a journal that ends in the middle of something."""

from __future__ import annotations

from typing import Any

from hubwire import GenericEvent, Hub, codec
from hubwire.listeners import AuditLog
from hubwire.log import LogReader
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder

SEGMENT = "/journal/log/00000000000000000000.jsonl"


async def test_a_half_open_channel_is_closed_at_start() -> None:
    """The hub died between `channel.created` and `channel.opened`."""
    store = MemoryStore()
    async with Hub(store) as hub:
        planner = await hub.agents.register("planner")
        await hub.channels.open([planner], topic="never to be")
    content = await store.read_bytes(SEGMENT) or b""
    opened = content.index(b'"kind":"channel.opened"')
    died = MemoryStore()
    await died.write(SEGMENT, content[: content.rindex(b"\n", 0, opened) + 1])

    recorder = Recorder()
    async with Hub(died, listeners=[recorder]) as hub:
        assert hub.statistics().channels == 0
        await hub.flush()
    assert recorder.kinds.count("channel.closed") == 1
    async with Hub(died) as hub:
        assert hub.statistics().channels == 0


async def test_every_prefix_of_a_journal_is_a_history() -> None:
    """A hub goes on from each."""
    store = MemoryStore()
    async with Hub(store) as hub:
        planner = await hub.agents.register("planner")
        coder = await hub.agents.register("coder")
        channel = await hub.channels.open([planner, coder])
        await channel.post(planner, {"text": "do it"})
        async for delivery in coder.inbox():
            await delivery.ack()
            break
        await channel.close()
        await coder.unregister()
    lines = (await store.read_bytes(SEGMENT) or b"").split(b"\n")[:-1]
    for kept in range(len(lines) + 1):
        died = MemoryStore()
        if kept:
            await died.write(SEGMENT, b"".join(line + b"\n" for line in lines[:kept]))
        async with Hub(died) as hub:
            assert hub.health().healthy
            await hub.agents.register("another")
        bodies = [record.body for record in await LogReader(died, "/journal").read()]
        seqs = [codec.decode(body).seq for body in bodies if b'"kind":"log.' not in body]
        assert seqs == list(range(len(seqs)))
        assert len(seqs) >= kept + 3


class Noting(MemoryStore):
    """A store that notes which files are changed, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.changed: list[str] = []

    async def write(self, path: str, content: str | bytes, **terms: Any) -> None:
        self.changed.append(path)
        await super().write(path, content, **terms)

    async def append(self, path: str, content: str | bytes, **terms: Any) -> int:
        self.changed.append(path)
        return await super().append(path, content, **terms)


async def test_the_journal_is_repaired_before_a_listener_stores_its_events() -> None:
    """What a start has read of it may not be on the disk: no log may be ahead of the journal after a loss of power."""
    store = Noting()
    async with Hub(store) as hub:
        await hub.emit(GenericEvent(kind="work.done"))
    store.changed = []
    async with Hub(store, listeners=[AuditLog(store)]):
        pass
    audited = next(number for number, path in enumerate(store.changed) if path.startswith("/audit/log/"))
    assert "/journal/clean" in store.changed[:audited]
