"""Section 10 of the design, "log.py": appending, group commit, rotation, closing, reading (recovery: its own file)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from hubwire import codec
from hubwire.errors import StoreError, StoreFull, StoreUnavailable
from hubwire.log import log_exists
from hubwire.stores import MemoryStore
from support import until_idle
from support.log import MEBIBYTE, HoldableSpy, Spy, body, check_chain, event_body, log_on, numbers, records, settled

# --- appending --------------------------------------------------------------------------------------------------------


async def test_records_are_in_the_order_of_calls() -> None:
    """Each call learns the index of its last record."""
    store = Spy()
    log = log_on(store)
    tasks = []
    for number in range(200):
        bodies = [body(1000 * number + each) for each in range(number % 4)]
        tasks.append(asyncio.create_task(log.append(bodies)))
        if number % 7 == 0:
            await checkpoint()
    indexes = await settled(tasks)
    found = await numbers(store)
    for number, index in enumerate(indexes):
        expected = [1000 * number + each for each in range(number % 4)]
        assert found[index : index + len(expected)] == expected
    assert found == sorted(found)
    assert log.records == len(found) == sum(number % 4 for number in range(200))


async def test_appends_before_opening_keep_their_order() -> None:
    store = HoldableSpy()
    store.close_gate()
    log = log_on(store)
    tasks = [asyncio.create_task(log.append([body(number)])) for number in range(5)]
    await until_idle()
    assert store.calls == [("hold", "/log/.lock")]
    store.gate.set()
    # Those that come while it opens must not overtake those that have waited for it.
    for number in range(5, 20):
        tasks.append(asyncio.create_task(log.append([body(number)])))
        await checkpoint()
    assert await settled(tasks) == list(range(20))
    assert await numbers(store) == list(range(20))


async def test_the_batch_grows_during_a_write() -> None:
    store = Spy()
    log = log_on(store)
    await log.repair()
    store.close_gate()
    tasks = [asyncio.create_task(log.append([body(number)])) for number in range(3)]
    await until_idle()
    tasks += [asyncio.create_task(log.append([body(number)])) for number in range(3, 500)]
    await until_idle()
    assert store.count("append") == 1
    store.gate.set()
    assert await settled(tasks) == list(range(500))
    assert store.count("append") == len(store.appended) == 2
    assert [content.count(b"\n") for content in store.appended] == [1, 499]
    assert all(content.endswith(b"\n") for content in store.appended)


async def test_concurrent_appenders_share_batches() -> None:
    store = Spy()
    log = log_on(store)
    await log.repair()

    async def append_again_and_again() -> None:
        for number in range(20):
            await log.append([body(number)])

    await asyncio.gather(*(append_again_and_again() for _ in range(10)))
    assert [content.count(b"\n") for content in store.appended] == [1, 9, *[10] * 19]


async def test_a_batch_is_at_most_a_mebibyte() -> None:
    """Only a single call may be larger."""
    store = Spy()
    log = log_on(store)
    await asyncio.gather(*(log.append([body(number, 100_000)]) for number in range(40)))
    assert [content.count(b"\n") for content in store.appended] == [11, 11, 11, 7]
    assert max(map(len, store.appended)) < MEBIBYTE + 200_000


async def test_one_call_is_never_divided() -> None:
    store = Spy()
    log = log_on(store)
    assert await log.append([body(number, 100_000) for number in range(40)]) == 0
    assert len(store.appended) == 1


async def test_appending_nothing_writes_nothing() -> None:
    for chained in (False, True):
        store = Spy()
        log = log_on(store, chained=chained, announce_opening=True)
        await log.append([])
        assert store.appended == []
        await log.append([body(0)])
        await log.append([])
        assert await numbers(store) == ["log.opened", 0]


async def test_a_record_knows_its_parts() -> None:
    store = MemoryStore()
    log = log_on(store, chained=True)
    await log.append([body(0)])
    await log.append([body(1), body(2)])
    one, two, three = await records(store)
    assert (one.index, one.body, one.durable, one.chain) == (0, body(0), 0, codec.unseal(one.line)[2])
    assert (two.body, two.durable) == (body(1), 1)
    assert (three.body, three.durable) == (body(2), 1)
    assert not await log_exists(store, "/elsewhere")
    assert await log_exists(store, "/log")


async def test_d_is_the_number_of_durable_records() -> None:
    """It counts those that were durable when the record was written."""
    store = Spy()
    log = log_on(store, segment_bytes=300)
    durable = 0
    for size in (1, 3, 1, 5, 2, 4):
        await log.append([body(number) for number in range(size)])
        found = await records(store)
        for record in found[durable:]:
            if json.loads(record.line).get("kind") == "log.rotated":
                durable += 1
            else:
                assert record.durable == durable
        durable = len(found)


async def test_the_position_follows_the_last_event() -> None:
    """Bodies without a `seq` do not move it."""
    log = log_on(MemoryStore())
    await log.open()
    assert (log.last_seq, log.hub_id, log.records) == (None, None, 0)
    await log.append([event_body(4), event_body(5)], seq=5, hub="a hub")
    await log.append([body(0)])
    assert (log.last_seq, log.hub_id, log.records) == (5, "a hub", 3)


async def test_on_appended_is_called_in_order() -> None:
    """It is called before the appenders go on."""
    told: list[tuple[int, list[bytes]]] = []

    def note(first: int, bodies: Sequence[bytes]) -> None:
        told.append((first, list(bodies)))

    store = Spy()
    log = log_on(store, on_appended=note, segment_bytes=200)
    for number in range(10):
        index = await log.append([body(number)])
        assert told[-1] == (index, [body(number)])
    assert len(told) == 10


# --- cancelling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", [0, 1, 7, 8, 15])
async def test_cancelling_an_appender_loses_nothing(victim: int) -> None:
    """It ends its own wait alone."""
    store = Spy()
    log = log_on(store)
    await log.open()
    store.close_gate()
    tasks = [asyncio.create_task(log.append([body(number)])) for number in range(8)]
    await until_idle()
    tasks += [asyncio.create_task(log.append([body(number)])) for number in range(8, 16)]
    await until_idle()
    tasks[victim].cancel()
    await until_idle()
    assert [task.done() for task in tasks] == [number == victim for number in range(16)]
    store.gate.set()
    expected = [asyncio.CancelledError if number == victim else number for number in range(16)]
    assert await settled(tasks) == expected
    assert await numbers(store) == list(range(16))
    assert await log.append([body(16)]) == 16


async def test_cancelling_all_appenders_loses_nothing() -> None:
    store = Spy()
    log = log_on(store)
    await log.open()
    store.close_gate()
    with anyio.move_on_after(0.01) as scope:
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(log.append, [body(number)])
    assert scope.cancelled_caught
    store.gate.set()
    await log.aclose()
    assert await numbers(store) == [0, 1, 2, 3, 4]


async def test_a_cancelled_append_moves_the_position() -> None:
    store = Spy()
    log = log_on(store)
    await log.open()
    store.close_gate()
    task = asyncio.create_task(log.append([event_body(7)], seq=7, hub="a hub"))
    await until_idle()
    task.cancel()
    closing = asyncio.create_task(log.aclose())
    await until_idle()
    store.gate.set()
    await closing
    again = log_on(store)
    await again.open()
    assert (again.last_seq, again.hub_id, again.records) == (7, "a hub", 1)


class EagerSpy(Spy):
    """A store whose append begins at the call, and that nobody tells of the end of the loop."""

    def begin_append(
        self,
        path: str,
        content: bytes,
        *,
        expect: int | None = None,
        done: Callable[[int | None, BaseException | None], None],
    ) -> None:
        if self.gate.is_set():
            asyncio.ensure_future(self.append(path, content, expect=expect)).add_done_callback(
                lambda future: done(future.result(), None)
            )
        else:
            self._note("append", path)


@pytest.mark.parametrize("kind", [Spy, EagerSpy])
def test_a_log_is_unusable_after_its_loop(kind: type[Spy]) -> None:
    """An append that is under way when its loop ends leaves a log that refuses to go on."""
    store = kind()
    log = log_on(store)

    async def leave_it_hanging() -> None:
        await log.repair()
        store.gate = anyio.Event()
        asyncio.create_task(log.append([body(0)]))  # noqa: RUF006 - that is the point
        await checkpoint()
        await checkpoint()
        assert store.count("append") == 1

    async def go_on() -> None:
        with pytest.raises(StoreError, match="the loop ended while /log was being written; open the log again"):
            await log.append([body(1)])
        store.gate = anyio.Event()
        store.gate.set()
        await log.aclose()
        assert b'"closed":true' not in (await store.read_bytes("/log/clean") or b"")
        assert await log_on(store).append([body(2)]) == 0

    asyncio.run(leave_it_hanging())
    asyncio.run(go_on())


async def test_a_cancelled_writer_releases_all_waiters() -> None:
    store = Spy()
    log = log_on(store)
    await log.open()
    store.close_gate()
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(log.append([body(0)]))]
    await until_idle()
    tasks += [asyncio.create_task(log.append([body(1)])), asyncio.create_task(log.open())]
    await until_idle()
    (writing,) = [each for each in asyncio.all_tasks() if each.get_name() == "hubwire log /log"]
    writing.cancel()
    assert await settled(tasks) == [StoreError, StoreError, None]
    with pytest.raises(StoreError, match="open the log again"):
        await log.append([body(2)])
    await log.aclose()


# --- failures ---------------------------------------------------------------------------------------------------------


async def test_a_full_store_fails_only_the_batch() -> None:
    store = Spy()
    log = log_on(store, chained=True)
    await log.append([body(0)])
    store.close_gate()
    in_flight = asyncio.create_task(log.append([body(1)]))
    await until_idle()
    store.failures["append"] = [StoreFull("no space", path="/log")]
    batch = [asyncio.create_task(log.append([event_body(number)], seq=number)) for number in range(3)]
    await until_idle()
    store.gate.set()
    assert await in_flight == 1
    assert await settled(batch) == [StoreFull] * 3
    assert (log.records, log.last_seq) == (2, None)
    assert await log.append([body(2)], seq=9, hub="h") == 2
    assert (log.records, log.last_seq) == (3, 9)
    assert await numbers(store) == [0, 1, 2]
    check_chain(await records(store))


async def test_each_waiter_gets_its_own_error() -> None:
    store = Spy()
    store.failures["append"] = [StoreFull("no space", path="/p", byte_offset=3)]
    log = log_on(store)
    done = await asyncio.gather(*(log.append([body(number)]) for number in range(3)), return_exceptions=True)
    assert len(set(map(id, done))) == 3
    for error in done:
        assert isinstance(error, StoreFull)
        assert (str(error), error.path, error.byte_offset) == ("no space", "/p", 3)


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), StoreError("odd"), OSError(5, "EIO"), KeyError("bug")])
async def test_any_other_error_fails_the_log(error: Exception) -> None:
    """Those that wait, and all later callers, get the same words."""
    store = HoldableSpy()
    log = log_on(store)
    await log.append([body(0)])
    store.close_gate()
    in_flight = asyncio.create_task(log.append([body(1)]))
    await until_idle()
    queued = [asyncio.create_task(log.append([body(number)])) for number in range(2, 5)]
    closing = asyncio.create_task(log.aclose())
    after = asyncio.create_task(log.append([body(5)]))
    await until_idle()
    in_flight.cancel()
    await until_idle()
    store.failures["append"] = [error]
    store.gate.set()
    assert await settled(queued) == [type(error)] * 3
    await closing
    assert await settled([after]) == [type(error)]
    for call in (log.open, lambda: log.append([body(9)])):
        with pytest.raises(type(error), match=re.escape(str(error))):
            await call()
    assert await numbers(store) == [0, 1]
    assert b'"closed":true' not in (await store.read_bytes("/log/clean") or b"")
    # It has let go: another one can take over, and finds what was written.
    assert await log_on(store).append([body(6)]) == 2


async def test_a_failing_on_appended_fails_the_log() -> None:
    def complain(_first: int, _bodies: Sequence[bytes]) -> None:
        raise ZeroDivisionError

    log = log_on(Spy(), on_appended=complain)
    with pytest.raises(ZeroDivisionError):
        await log.append([body(0)])
    with pytest.raises(ZeroDivisionError):
        await log.append([body(1)])
    await log.aclose()
