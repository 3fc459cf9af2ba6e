"""Opening and closing a log."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from hubwire.errors import StoreFull, StoreUnavailable
from hubwire.stores import MemoryStore
from support import until_idle
from support.log import HoldableSpy, body, check_chain, event_body, log_on, numbers, records, settled


async def test_a_log_is_lazy() -> None:
    """Nothing is read or written before its first use."""
    store = HoldableSpy()
    log = log_on(store, announce_opening=True)
    await log.aclose()
    assert store.calls == []
    assert not log.is_open
    await log.open()
    await log.open()
    assert store.count("hold") == 1
    assert store.count("append") == store.count("write") == 0
    assert log.is_open


async def test_opening_after_a_clean_close_is_cheap() -> None:
    """It reads one line of one segment, and asks for the size of that one alone."""
    store = HoldableSpy()
    log = log_on(store, chained=True, segment_bytes=300)
    for number in range(20):
        await log.append([event_body(number)], seq=number, hub="a hub")
    known = (log.records, log.last_seq, log.hub_id, log.size_bytes)
    await log.aclose()
    assert not log.is_open
    store.calls.clear()
    again = log_on(store, chained=True, segment_bytes=300)
    await again.open()
    assert (again.records, again.last_seq, again.hub_id, again.size_bytes) == known
    assert again.recovery is None
    assert store.count("read_bytes", "/log/log/") == store.count("size") == store.count("list") == 1
    assert max(store.read_sizes) < 500
    assert store.count("read", "/log/log/") == store.count("read_range") == 0
    assert store.count("write") == 0
    await again.append([body(99)])
    check_chain(await records(store))


async def test_an_empty_log_is_reopened() -> None:
    store = MemoryStore()
    await (log := log_on(store)).open()
    await log.aclose()
    assert await log_on(store).append([body(0)]) == 0


async def test_closing_completes_earlier_appends() -> None:
    store = HoldableSpy()
    log = log_on(store)
    await log.open()
    store.close_gate()
    tasks = [asyncio.create_task(log.append([event_body(0)], seq=0, hub="a hub"))]
    await until_idle()
    tasks += [asyncio.create_task(log.append([event_body(n)], seq=n, hub="a hub")) for n in range(1, 4)]
    closing = asyncio.create_task(log.aclose())
    await until_idle()
    assert not closing.done()
    store.gate.set()
    await closing
    assert await settled(tasks) == [0, 1, 2, 3]
    store.calls.clear()
    again = log_on(store)
    await again.open()
    assert (again.records, again.last_seq) == (4, 3)
    assert store.count("read_bytes", "/log/log/") == 1


async def test_an_append_during_the_close_reopens() -> None:
    store = HoldableSpy()
    log = log_on(store, announce_opening=True)
    await log.open()
    store.close_gate()
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(log.append([body(0)]))]
    await until_idle()
    tasks += [asyncio.create_task(log.aclose()), asyncio.create_task(log.append([body(1)]))]
    tasks += [asyncio.create_task(log.aclose()), asyncio.create_task(log.append([body(2)]))]
    await until_idle()
    store.gate.set()
    assert await settled(tasks) == [1, None, 3, None, 5]
    assert await numbers(store) == ["log.opened", 0, "log.opened", 1, "log.opened", 2]
    assert log.is_open


async def test_steady_appenders_do_not_prevent_closing() -> None:
    store = HoldableSpy()
    log = log_on(store)
    stop = False

    async def go_on() -> None:
        number = 0
        while not stop:
            await log.append([body(number)])
            number += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(go_on)
        for _ in range(20):
            await checkpoint()
        await log.aclose()
        await log.aclose()
        stop = True
    assert store.count("hold") == 3
    found = await records(store)
    assert [record.durable <= record.index for record in found] == [True] * len(found)
    assert log.records == len(found)


async def test_opening_during_the_close_waits() -> None:
    store = HoldableSpy()
    log = log_on(store)
    await log.append([body(0)])
    store.close_gate()
    closing = asyncio.create_task(log.aclose())
    opening = asyncio.create_task(log.open())
    await until_idle()
    assert not opening.done()
    store.gate.set()
    await closing
    await opening
    assert log.is_open
    assert log.records == 1


async def test_cancelling_aclose_closes_the_log() -> None:
    store = HoldableSpy()
    log = log_on(store)
    await log.append([body(0)])
    store.close_gate()
    closing = asyncio.create_task(log.aclose())
    await until_idle()
    closing.cancel()
    assert await settled([closing]) == [asyncio.CancelledError]
    store.gate.set()
    await until_idle()
    assert await store.exists("/log/clean")
    assert await log_on(store).append([body(1)]) == 1


@pytest.mark.slow
async def test_cancelling_open_leaves_the_log_free() -> None:
    store = HoldableSpy()
    store.close_gate()
    log = log_on(store)
    opening = asyncio.create_task(log.open())
    await until_idle()
    opening.cancel()
    assert await settled([opening]) == [asyncio.CancelledError]
    store.gate.set()
    await until_idle()
    assert not log.is_open
    other = log_on(store)
    assert await other.append([body(0)]) == 0
    await other.aclose()
    assert await log.append([body(1)]) == 1


async def test_a_log_without_a_clean_mark_is_released() -> None:
    """A log that cannot be marked clean is given up all the same."""
    store = HoldableSpy()
    log = log_on(store)
    await log.append([body(0)])
    store.failures["write"] = [StoreFull("no space")]
    with pytest.raises(StoreFull):
        await log.aclose()
    assert not log.is_open
    assert await log_on(store).append([body(1)]) == 1


async def test_a_failed_open_can_be_repeated() -> None:
    """The log is not held in between."""
    store = HoldableSpy()
    await log_on(store.inner).append([body(9)])
    store.inner._holds.clear()
    log = log_on(store)
    for method in ("hold", "list", "size", "read_bytes"):
        store.failures[method] = [StoreUnavailable("gone")]
        with pytest.raises(StoreUnavailable):
            await log.open()
        assert not log.is_open
        assert store.inner._holds == {}
    assert await log.append([body(0)]) == 1


async def test_a_closed_log_goes_on_when_used() -> None:
    store = HoldableSpy()
    log = log_on(store, chained=True, announce_opening=True, segment_bytes=400)
    for number in range(12):
        await log.append([event_body(number)], seq=number, hub="a hub")
        if number % 3 == 2:
            await log.aclose()
            await log.aclose()
    found = await records(store)
    check_chain(found)
    kinds = [json.loads(record.line).get("kind") for record in found]
    assert kinds.count("log.opened") == 4
    assert [json.loads(record.line)["seq"] for record in found if b'"seq"' in record.line] == list(range(12))


async def test_an_empty_opening_is_not_announced() -> None:
    store = HoldableSpy()
    log = log_on(store, announce_opening=True)
    for _ in range(3):
        await log.open()
        await log.aclose()
    await log.append([body(0)])
    assert await numbers(store) == ["log.opened", 0]
