"""``hubwire doctor`` reads the whole journal, and compares it with what a snapshot says of it, as a start does."""

from __future__ import annotations

import pytest

from hubwire import Duty, Event, GenericEvent, Hub, StoreJournal, codec
from hubwire.cli.inspection import inspect_store
from hubwire.errors import JournalBehind
from hubwire.log import list_segments, segment_path
from hubwire.stores import MemoryStore
from support import until


async def test_a_snapshot_of_another_history_is_named() -> None:
    """The event before it has another id in the journal, which is whole otherwise."""
    store = MemoryStore()
    async with Hub(store, snapshot_bytes=2000) as hub:
        for number in range(20):
            await hub.emit(GenericEvent(kind="work.done", data={"number": number, "pad": "x" * 200}))
        await until(lambda: bool((journal := hub.statistics().journal) and journal.snapshot_seq))
    assert not (await inspect_store(store, name="it")).problems
    report = (await inspect_store(store, name="it")).journals[0]
    path = segment_path("/journal", 0)
    lines = (await store.read_bytes(path) or b"").splitlines(keepends=True)
    last = report.snapshots[-1] - 1
    index = next(n for n, line in enumerate(lines) if codec.decode_fields(line).get("seq") == last)
    line_body, durable, _ = codec.unseal(lines[index][:-1])
    fields = codec.decode_fields(line_body)
    fields["id"] = f"{fields['id'][:-1]}{'0' if fields['id'][-1] != '0' else '1'}"
    lines[index : index + 1] = codec.seal_all([codec.encode_fields(fields)], durable, index)
    await store.write(path, b"".join(lines))
    (problem,) = (await inspect_store(store, name="it")).problems
    assert "when a snapshot was taken" in problem.text
    assert problem.is_in_the_way
    with pytest.raises(JournalBehind, match="when a snapshot was taken"):
        await Hub(store).start()


async def test_damage_before_the_snapshot_is_named() -> None:
    """A start does not read it, but a listener will have to, and no copy may be made of it."""

    async def fails(event: Event) -> None:
        raise ValueError("no")

    store = MemoryStore()
    hub = Hub(journal=StoreJournal(store, segment_bytes=1000), snapshot_bytes=2000)
    hub.attach(fails, name="held", duty=Duty.DURABLE, since="start", pattern="work.*", attempts_max=1)
    async with hub:
        for number in range(20):
            await hub.emit(GenericEvent(kind="work.done", data={"number": number, "pad": "x" * 200}))
        await until(lambda: bool((journal := hub.statistics().journal) and (journal.snapshot_seq or 0) > 15))
    assert not (await inspect_store(store, name="it")).problems
    first, *later = await list_segments(store, "/journal")
    assert len(later) > 3
    path = segment_path("/journal", first)
    content = bytearray(await store.read_bytes(path) or b"")
    content[300] ^= 1
    await store.write(path, bytes(content))
    assert path in (await inspect_store(store, name="it")).problems[0].text
