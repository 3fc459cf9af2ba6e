"""Two writers of one log, and its rotation."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import anyio
import pytest

from hubwire.errors import AlreadyRunning, Fenced, StoreFull
from support import until_idle
from support.log import FIRST, HoldableSpy, Spy, body, check_chain, event_body, log_on, numbers, records, settled

# --- two writers ------------------------------------------------------------------------------------------------------


async def test_the_older_writer_is_fenced() -> None:
    """On a store without holds it learns of the newer one at its next append."""
    store = Spy()
    older, newer = log_on(store), log_on(store)
    await older.append([body(0)])
    assert await newer.append([body(1)]) == 1
    waiting = [asyncio.create_task(older.append([body(number)])) for number in range(3)]
    assert await settled(waiting) == [Fenced] * 3
    for call in (older.open, lambda: older.append([body(9)])):
        with pytest.raises(Fenced, match="another writer has written to the log /log") as caught:
            await call()
        assert caught.value.path == "/log"
        assert caught.value.__cause__ is not None
    await older.aclose()
    assert b'"closed":true' not in (await store.read_bytes("/log/clean") or b"")
    assert await newer.append([body(2)]) == 2
    assert await numbers(store) == [0, 1, 2]


async def test_rotation_fences_the_older_writer() -> None:
    store = Spy()
    older, newer = log_on(store, segment_bytes=100), log_on(store, segment_bytes=100)
    await older.append([body(0, 200)])
    await newer.append([body(1)])
    with pytest.raises(Fenced):
        await older.append([body(2)])
    assert await numbers(store) == [0, "log.rotated", 1]


async def test_the_older_writer_spares_a_new_segment() -> None:
    """It does not overwrite the segment that the newer writer has begun."""
    store = Spy()
    older, newer = log_on(store, segment_bytes=100), log_on(store.inner, segment_bytes=100)
    await older.append([body(0, 200)])
    makes_segment = store.write
    made = anyio.Event()

    async def hesitate(path: str, *arguments: Any, **settings: Any) -> None:
        await made.wait()
        await makes_segment(path, *arguments, **settings)

    store.write = hesitate  # type: ignore[method-assign]
    appending = asyncio.create_task(older.append([body(1)]))
    await until_idle()
    assert await numbers(store) == [0, "log.rotated"]
    await newer.append([body(2)])
    made.set()
    assert await settled([appending]) == [Fenced]
    assert await numbers(store) == [0, "log.rotated", 2]


async def test_a_recovering_writer_is_fenced() -> None:
    """A writer that opens while another one writes is the one that is fenced."""
    store = Spy()
    older, newer = log_on(store), log_on(store)
    await older.append([body(0)])
    await newer.open()
    await older.append([body(1)])
    with pytest.raises(Fenced):
        await newer.append([body(2)])
    assert await older.append([body(3)]) == 2
    assert await numbers(store) == [0, 1, 3]


async def test_a_held_log_is_refused_unread() -> None:
    store = HoldableSpy()
    first = log_on(store)
    await first.append([body(0)])
    before = len(store.calls)
    second = log_on(store)
    tasks = [asyncio.create_task(second.append([body(1)])), asyncio.create_task(second.open())]
    assert await settled(tasks) == [AlreadyRunning] * 2
    assert {*store.calls[before:]} == {("hold", "/log/.lock")}
    assert not second.is_open
    await second.aclose()
    assert await first.append([body(2)]) == 1
    await first.aclose()
    assert await second.append([body(3)]) == 2
    assert await numbers(store) == [0, 2, 3]


# --- rotation ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chained", [False, True], ids=["plain", "chained"])
async def test_a_full_segment_is_followed_by_another(chained: bool) -> None:
    store = Spy()
    log = log_on(store, chained=chained, segment_bytes=250)
    indexes = [await log.append([event_body(number)], seq=number, hub="a hub") for number in range(20)]
    found = await records(store)
    assert [record.index for record in found] == list(range(len(found)))
    fields = [json.loads(record.line) for record in found]
    assert [fields[index]["seq"] for index in indexes] == list(range(20))

    names = await store.inner.list("/log/log")
    firsts = [int(name.removesuffix(".jsonl")) for name in names]
    assert names == [f"{first:020d}.jsonl" for first in firsts]
    assert len(firsts) > 3
    for first, following in pairwise(firsts):
        rotated = fields[following - 1]
        assert rotated["kind"] == "log.rotated"
        assert rotated["next_segment"] == f"/log/log/{following:020d}.jsonl"
        assert (rotated["last_seq"], rotated["last_hub"]) == (fields[following - 2]["seq"], "a hub")
        assert "seq" not in rotated
        content = await store.inner.read(f"/log/log/{first:020d}.jsonl")
        assert content is not None
        assert content.count("\n") == following - first
        assert len(content) >= 250
    assert log.records == len(found)
    sizes = [await store.inner.size(f"/log/log/{name}") or 0 for name in names]
    assert log.size_bytes == sum(sizes)
    if chained:
        check_chain(found)


@pytest.mark.parametrize("failing", [1, 2, 3], ids=["log.rotated", "the next segment", "the batch"])
async def test_a_full_store_during_rotation(failing: int) -> None:
    """The log goes on when there is space again."""
    store = Spy()
    log = log_on(store, chained=True, segment_bytes=100)
    await log.append([body(0, 100)])
    full = StoreFull("no space")
    if failing == 2:
        store.failures["write"] = [full]
    elif failing == 1:
        store.failures["append"] = [full]
    else:
        store.failures["append"] = []
        original = store.append

        async def fail_second(path: str, content: str | bytes, *, expect: int | None = None) -> int:
            if path != FIRST and not store.failures.get("done"):
                store.failures["done"] = [full]
                raise full
            return await original(path, content, expect=expect)

        store.append = fail_second  # type: ignore[method-assign]
    with pytest.raises(StoreFull):
        await log.append([body(1)])
    assert await log.append([body(2)]) == 2
    assert await numbers(store) == [0, "log.rotated", 2]
    check_chain(await records(store))
