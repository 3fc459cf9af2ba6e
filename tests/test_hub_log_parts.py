"""The parts of a log: its phases, its queue, its tail and rotation, and the writer between event loops."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import Any

import pytest
from anyio import wait_all_tasks_blocked

from hubwire import GenericEvent, codec
from hubwire._journal.store_journal import StoreJournal
from hubwire.context import EMPTY
from hubwire.errors import InvalidRecord, StoreError, StoreFull, StoreUnavailable
from hubwire.events import Event
from hubwire.events._stamp import stamp
from hubwire.log import Log, LogReader, chain_value
from hubwire.log._marker import Marker, read_marker
from hubwire.log._phase import MOVES, Lifecycle, LogPhase
from hubwire.log._queue import Append, Close, Command, Open, Queue
from hubwire.log._rotation import Rotation
from hubwire.log._tail import Tail
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock


class Refusing(MemoryStore):
    """A store that raises what it is given, once for each call of a method."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, list[Exception]] = {}

    def _raise(self, method: str) -> None:
        if errors := self.errors.get(method):
            raise errors.pop(0)

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        self._raise("append")
        return await super().append(path, content, expect=expect)

    async def list(self, path: str = "/") -> list[str]:
        self._raise("list")
        return await super().list(path)


def log_on(store: Any, **settings: Any) -> Log:
    return Log(store, "/log", clock=ManualClock(), **settings)


def body(number: int) -> bytes:
    return codec.encode_fields({"at": "now", "n": number})


async def numbers(store: Any) -> list[Any]:
    reader = LogReader(store, "/log")
    return [codec.decode_fields(record.line).get("n") for record in await reader.read()]


# --- phases -----------------------------------------------------------------------------------------------------------


def lifecycle_in(phase: LogPhase) -> Lifecycle:
    life = Lifecycle()
    life.phase = phase
    if phase in (LogPhase.FAILED, LogPhase.RELEASED):
        life.failure = StoreError("the disk is gone")
    return life


@pytest.mark.parametrize(("start", "end"), list(product(LogPhase, LogPhase)))
def test_a_phase_follows_another_only_as_the_table_says(start: LogPhase, end: LogPhase) -> None:
    life = lifecycle_in(start)
    if life.failure is not None:
        life.move(end)
        assert life.phase is start, "a log that has failed stays failed"
    elif end in MOVES[start]:
        life.move(end)
        assert life.phase is end
    else:
        with pytest.raises(AssertionError, match="cannot be followed by"):
            life.move(end)


def test_every_phase_can_be_reached() -> None:
    reached = {LogPhase.CLOSED}
    while more := {end for start in reached for end in MOVES[start]} - reached:
        reached |= more
    assert reached == set(LogPhase) == set(MOVES)


def test_the_first_failure_is_kept_and_each_call_raises_a_copy() -> None:
    life = lifecycle_in(LogPhase.OPEN)
    first = StoreError("the disk is gone")
    life.fail(first)
    life.fail(StoreError("the loop ended"))
    raised = []
    for _ in range(2):
        with pytest.raises(StoreError, match="the disk is gone") as caught:
            life.check_not_failed()
        raised.append(caught.value)
    assert len({id(error) for error in (first, *raised)}) == 3
    phases = [life.phase]
    for _ in range(2):
        life.release()
        phases.append(life.phase)
    assert phases == [LogPhase.FAILED, LogPhase.RELEASED, LogPhase.RELEASED]


# --- the queue --------------------------------------------------------------------------------------------------------


def queue_of(*commands: type[Command] | int) -> Queue:
    """Return a queue of appends, by their bytes, and of other commands."""
    loop = asyncio.get_running_loop()
    return Queue(
        Append(loop.create_future(), [b"x" * each], None, None) if isinstance(each, int) else each(loop.create_future())
        for each in commands
    )


async def test_a_batch_ends_before_another_command() -> None:
    for other in (Open, Close):
        queue = queue_of(1, 2, other, 3)
        assert [append.bodies for append in queue.take_appends()] == [[b"x"], [b"xx"]]
        assert queue.take_appends() == []
        assert isinstance(queue.popleft(), other)
        assert len(queue.take_appends()) == 1


async def test_a_batch_ends_with_the_append_that_reaches_a_megabyte() -> None:
    half = 512 * 1024
    queue = queue_of(half, half - 1, half, 1)
    assert len(queue.take_appends()) == 3
    assert len(queue) == 1


async def test_closings_outlive_a_failure() -> None:
    queue = queue_of(1, Close, Open, 2, Close)
    commands = list(queue)
    commands[3].future.cancel()
    assert queue.has_close
    queue.fail_all(StoreError("the disk is gone"))
    assert list(queue) == [commands[1], commands[4]]
    for failed in (commands[0], commands[2]):
        with pytest.raises(StoreError, match="the disk is gone"):
            failed.future.result()
    queue.clear()
    assert not queue.has_close


# --- the tail ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chained", [False, True])
def test_sealed_records_move_the_tail(chained: bool) -> None:
    tail = Tail(first=3, size=100, records=7, chain=b"h" * 22 if chained else b"")
    sealed = (tail.seal_chained if chained else tail.seal)([body(7), body(8)])
    lines = sealed.content.split(b"\n")[:-1]
    expected = tail.chain
    for line, number in zip(lines, (7, 8), strict=True):
        unsealed, durable, chain = codec.unseal(line)
        assert (unsealed, durable) == (body(number), 7)
        if chained:
            assert expected is not None
            expected = chain_value(expected, codec.seal(unsealed, durable))
            assert chain == expected
        else:
            assert chain is None
    tail.advance(sealed)
    assert (tail.first, tail.size, tail.records) == (3, 100 + len(sealed.content), 9)
    assert tail.chain == expected
    tail.rotated = True
    tail.rotate()
    assert (tail.first, tail.size, tail.records, tail.rotated) == (9, 0, 9, False)


async def test_a_marker_gives_the_tail_back() -> None:
    """No bit of it can change unseen."""
    store = MemoryStore()
    tail = Tail(
        first=3,
        size=9,
        records=7,
        chain=b"h" * 22,
        seq=5,
        hub="é",
        rotated=True,
        number=2,
        before_bytes=8,
        last_line=b"x",
    )
    for each in (Tail(), tail):
        for is_closed in (False, True):
            marker = Marker.of(each, is_closed=is_closed)
            await store.write("/log/clean", marker.encode())
            assert await read_marker(store, "/log") == marker
    content = Marker.of(tail, is_closed=True).encode()
    flipped = [
        content[:n] + bytes([content[n] ^ 1 << bit]) + content[n + 1 :] for n in range(len(content)) for bit in range(8)
    ]
    for spoilt in (b"", b"{}", b'{"first":"x"}', b"\xff", content[:-1], content[1:], content + b"\n", *flipped):
        await store.write("/log/clean", spoilt)
        with pytest.raises(InvalidRecord):
            await read_marker(store, "/log")


def test_a_segment_is_full_at_its_size() -> None:
    rotation = Rotation(bytes_max=100)
    assert [rotation.is_due(Tail(size=size)) for size in (0, 99, 100, 101)] == [False, False, True, True]


# --- the writer -------------------------------------------------------------------------------------------------------


async def test_a_failed_log_is_not_open_and_its_end_stays_readable() -> None:
    store = Refusing()
    log = log_on(store)
    await log.append([body(0)], seq=4, hub="a hub")
    size = log.size_bytes
    store.errors["append"] = [StoreUnavailable("gone")]
    with pytest.raises(StoreUnavailable):
        await log.append([body(1)], seq=5, hub="a hub")
    assert not log.is_open
    await log.aclose()
    await log.aclose()
    assert (log.records, log.last_seq, log.hub_id, log.size_bytes) == (1, 4, "a hub", size)
    with pytest.raises(StoreUnavailable):
        await log.open()


async def test_a_full_store_does_not_fail_an_opening_behind_the_append() -> None:
    store = Refusing()
    log = log_on(store)
    await log.append([body(0)])
    store.errors["append"] = [StoreFull("no space")]
    calls: list[asyncio.Task[Any]] = [
        asyncio.create_task(each) for each in (log.aclose(), log.append([body(1)]), log.open(), log.append([body(2)]))
    ]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) if isinstance(each, Exception) else each for each in results] == [None, StoreFull, None, 1]
    assert await numbers(store) == [0, 2]
    await log.aclose()


async def test_closing_twice_at_the_same_time_closes_once() -> None:
    store = MemoryStore()
    log = log_on(store)
    await log.append([body(0)])
    await asyncio.gather(log.aclose(), log.aclose())
    assert await store.exists("/log/clean")
    assert store._holds == {}


async def test_cancelling_an_opening_that_then_fails_leaves_the_log_closed() -> None:
    store = Refusing()
    log = log_on(store)
    store.errors["list"] = [StoreUnavailable("gone")]
    opening = asyncio.create_task(log.open())
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    assert opening.cancelled()
    assert not log.is_open
    assert store._holds == {}
    assert await log.append([body(0)]) == 0
    await log.aclose()


def test_a_log_whose_last_batch_was_shared_is_used_in_the_next_loop() -> None:
    """Between a shared batch and the next one a turn of the loop passes. A loop that ends in it has lost no append."""
    store = MemoryStore()
    log = log_on(store)

    async def append_together() -> None:
        calls = [asyncio.create_task(log.append([body(number)])) for number in range(3)]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(calls, return_when=asyncio.ALL_COMPLETED)

    asyncio.run(append_together())
    assert asyncio.run(log.append([body(3)])) == 3
    asyncio.run(log.aclose())
    assert asyncio.run(numbers(store)) == [0, 1, 2, 3]


def test_a_log_is_closed_in_another_loop_than_its_compaction_ran_in() -> None:
    class Compactable(MemoryStore):
        async def compact(self, path: str) -> bool:
            return path == ""

        async def uncompacted(self, path: str) -> list[str]:
            return []

    store = Compactable()
    log = log_on(store, segment_bytes=1)

    async def rotate() -> None:
        for number in range(2):
            await log.append([body(number)])
        await wait_all_tasks_blocked()

    asyncio.run(rotate())
    asyncio.run(log.aclose())
    assert store._holds == {}


# --- the journal over it ----------------------------------------------------------------------------------------------


def stamped(seq: int) -> Event:
    event = GenericEvent(kind="number.said", data={"n": seq})
    return stamp(event, seq=seq, id=f"id-{seq}", at="now", hub="a hub", context=EMPTY, bytes_max=10**6)


async def test_a_journal_that_cannot_be_written_ends_behind_its_last_durable_event() -> None:
    store = Refusing()
    journal = StoreJournal(store, clock=ManualClock())
    await journal.open()
    await journal.append([stamped(0)])
    await journal.append([stamped(1), stamped(2)])
    store.errors["append"] = [StoreUnavailable("gone")]
    with pytest.raises(StoreUnavailable):
        await journal.append([stamped(3)])
    assert journal.next_seq == 3
    assert [event.seq async for event in journal.replay()] == [0, 1, 2]
    await journal.aclose()
    assert journal.next_seq == 3


def test_a_call_of_a_closed_loop_is_passed_over() -> None:
    """It cannot be settled any more: that would raise an error to the calls of the present loop."""
    closed = asyncio.new_event_loop()
    calls = []
    for _ in range(2):
        future: asyncio.Future[int] = closed.create_future()
        future.add_done_callback(lambda _: None)  # as an await does, which is then called in the closed loop
        calls.append(Append(future, bodies=[b"{}"], seq=None, hub=None))
    closed.close()
    calls[0].settle(1)
    calls[1].fail(StoreError("the loop ended"))
    assert [call.future.done() for call in calls] == [False, False]
