"""Section 10 of the design, "log.py": appending, group commit, rotation, closing, reading (recovery: its own file)."""

from __future__ import annotations

import asyncio
import base64
import builtins
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from hubwire import GenericEvent, codec
from hubwire._journal.store_journal import StoreJournal
from hubwire.context import EMPTY
from hubwire.errors import AlreadyRunning, Fenced, LogDamaged, StoreError, StoreFull, StoreUnavailable
from hubwire.events import Event
from hubwire.events._stamp import stamp
from hubwire.log import Log, LogReader, Record, chain_value, follow, log_exists
from hubwire.ports import ChangeCallback, ChangeSubscription, Hold
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock
from support import until_idle

MEBIBYTE = 1024 * 1024
FIRST = "/log/log/00000000000000000000.jsonl"


class Spy:
    """A store that notes every call, lets appends through only while its gate is open, and fails when told to.

    It cannot be held, as object stores cannot; :class:`HoldableSpy` can.
    """

    def __init__(self, inner: MemoryStore | None = None) -> None:
        self.inner = inner or MemoryStore()
        self.calls: builtins.list[tuple[str, str]] = []
        self.read_sizes: builtins.list[int] = []
        self.appended: builtins.list[bytes] = []
        self.failures: dict[str, builtins.list[Exception]] = {}
        self.gate = anyio.Event()
        self.gate.set()

    def close_gate(self) -> None:
        self.gate = anyio.Event()

    def count(self, method: str, path: str = "") -> int:
        """Return how many calls there were whose path contains this."""
        return sum(each == method and path in its_path for each, its_path in self.calls)

    def _note(self, method: str, path: str) -> None:
        self.calls.append((method, path))
        if failures := self.failures.get(method):
            raise failures.pop(0)

    async def read(self, path: str) -> str | None:
        self._note("read", path)
        return await self.inner.read(path)

    async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        self._note("read_bytes", path)
        content = await self.inner.read_bytes(path, start, end)
        self.read_sizes.append(len(content or b""))
        return content

    async def read_range(self, path: str, start: int, end: int | None = None) -> str:
        self._note("read_range", path)
        return await self.inner.read_range(path, start, end)

    async def size(self, path: str) -> int | None:
        self._note("size", path)
        return await self.inner.size(path)

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        self._note("write", path)
        await self.gate.wait()
        await self.inner.write(path, content, if_absent=if_absent, expect=expect)

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        self._note("append", path)
        await self.gate.wait()
        offset = await self.inner.append(path, content, expect=expect)
        self.appended.append(content.encode() if isinstance(content, str) else content)
        return offset

    async def list(self, path: str = "/") -> builtins.list[str]:
        self._note("list", path)
        return await self.inner.list(path)

    async def exists(self, path: str) -> bool:
        self._note("exists", path)
        return await self.inner.exists(path)

    async def delete(self, path: str) -> None:
        self._note("delete", path)
        await self.inner.delete(path)

    async def on_change(self, path: str, callback: ChangeCallback) -> ChangeSubscription:
        return await self.inner.on_change(path, callback)

    async def aclose(self) -> None:
        await self.inner.aclose()


class HoldableSpy(Spy):
    async def hold(self, path: str) -> Hold:
        self._note("hold", path)
        await self.gate.wait()
        return await self.inner.hold(path)


def log_on(store: Any, **settings: Any) -> Log:
    return Log(store, "/log", clock=ManualClock(), **settings)


def body(number: int, size: int = 0) -> bytes:
    return codec.encode_fields({"at": "now", "n": number, "text": "x" * size})


def event_body(seq: int) -> bytes:
    return codec.encode_fields({"at": "now", "hub": "a hub", "kind": "a.b", "seq": seq})


async def records(store: Any, start: int = 0) -> list[Record]:
    reader = LogReader(store, "/log")
    await reader.seek_index(start)
    found: list[Record] = []
    while some := await reader.read():
        found += some
    return found


async def numbers(store: Any) -> list[Any]:
    """Return the ``n`` of every record, in order; the kind of the log's own."""
    fields = [json.loads(record.line) for record in await records(store)]
    return [each.get("n", each.get("kind")) for each in fields]


async def settled(tasks: Sequence[asyncio.Task[Any]]) -> list[Any]:
    """Return the results of the tasks; the class of what they raised."""
    done = await asyncio.gather(*tasks, return_exceptions=True)
    return [type(each) if isinstance(each, BaseException) else each for each in done]


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
    await log.open()
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
    await log.open()

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
        await log.open()
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
        assert not await store.exists("/log/clean")
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
    assert not await store.exists("/log/clean")
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
    assert not await store.exists("/log/clean")
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


def check_chain(found: Sequence[Record]) -> None:
    """Check every line as the documentation says: h = base64url(SHA-256(previous h || line without h)[:16])."""
    previous = b""
    for record in found:
        matched = re.fullmatch(rb'(\{.*),"h":"([A-Za-z0-9_-]{22})"\}', record.line)
        assert matched is not None
        digest = hashlib.sha256(previous + matched[1] + b"}").digest()
        assert base64.urlsafe_b64encode(digest[:16]).rstrip(b"=") == matched[2]
        assert record.chain == matched[2] == chain_value(previous, matched[1] + b"}")
        previous = matched[2]


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


# --- opening and closing ----------------------------------------------------------------------------------------------


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
    """It reads no segment."""
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
    assert store.count("read_bytes", "/log/log/") == store.count("read", "/log/log/") == store.count("read_range") == 0
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
    assert store.count("read_bytes", "/log/log/") == 0


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
    log = log_on(store)
    for method in ("hold", "list", "size", "read_bytes"):
        store.failures[method] = [StoreUnavailable("gone")]
        with pytest.raises(StoreUnavailable):
            await log.open()
        assert not log.is_open
        assert store.inner._holds == {}
    assert await log.append([body(0)]) == 0


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


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def segmented() -> Spy:
    """A log of 40 events in several segments, between which there are records without a seq."""
    store = Spy()
    log = log_on(store, segment_bytes=400)
    for number in range(40):
        await log.append([event_body(number), body(number)], seq=number, hub="a hub")
    assert len(await store.inner.list("/log/log")) > 5
    return store


async def test_a_reader_finds_every_index(segmented: Spy) -> None:
    everything = await records(segmented)
    for index in range(len(everything)):
        reader = LogReader(segmented, "/log")
        await reader.seek_index(index)
        assert reader.index == index
        first, *_ = await reader.read()
        assert first == everything[index]
        assert await records(segmented, index) == everything[index:]


async def test_seeking_beyond_the_end_waits_there(segmented: Spy) -> None:
    total = len(await records(segmented))
    for index in (total, total + 1, 10**9):
        reader = LogReader(segmented, "/log")
        await reader.seek_index(index)
        assert reader.index == total
        assert await reader.read() == []
    await (reader := LogReader(segmented, "/log")).seek_end()
    assert reader.index == total


async def test_a_reader_finds_every_seq_with_few_reads(segmented: Spy) -> None:
    for seq in range(-1, 42):
        segmented.calls.clear()
        reader = LogReader(segmented, "/log")
        await reader.seek_after_seq(seq)
        assert segmented.count("read_bytes") <= 5
        seqs: list[int] = []
        while some := await reader.read():
            seqs += [fields["seq"] for each in some if "seq" in (fields := json.loads(each.line))]
        assert [each for each in seqs if each > seq] == list(range(seq + 1, 40))
        assert seq > 38 or len([each for each in seqs if each <= seq]) < 8


async def test_a_reader_waits_for_a_log_to_exist() -> None:
    store = Spy()
    for seek in (lambda _: checkpoint(), lambda r: r.seek_index(0), lambda r: r.seek_after_seq(3), LogReader.seek_end):
        reader = LogReader(store, f"/log{len(store.calls)}")
        await seek(reader)
        assert await reader.read() == []
        log = Log(store, reader._path, clock=ManualClock())
        await log.append([body(0)])
        assert [record.body for record in await reader.read()] == [body(0)]


async def test_a_reader_follows_a_growing_log() -> None:
    """It goes on from segment to segment."""
    store = Spy()
    log = log_on(store, segment_bytes=300)
    reader = LogReader(store, "/log")
    found: list[Record] = []
    for number in range(50):
        await log.append([body(number)])
        while some := await reader.read():
            found += some
        assert json.loads(found[-1].line)["n"] == number
    assert found == await records(store)


async def test_a_reader_never_sees_a_partial_line() -> None:
    store = MemoryStore()
    await (log := log_on(store)).append([body(0), body(1)])
    content = await store.read_bytes(FIRST) or b""
    whole = content.index(b"\n") + 1
    for end in range(len(content) + 1):
        partial = MemoryStore()
        await partial.append(FIRST, content[:end])
        found = await records(partial)
        assert len(found) == (end >= whole) + (end == len(content))
        reader = LogReader(partial, "/log")
        seen = await reader.read()
        assert await reader.read() == []
        await partial.append(FIRST, content[end:])
        assert [*seen, *await reader.read()] == await records(store)
    await log.aclose()


async def test_a_reader_skips_nothing_in_a_race() -> None:
    """The reader finds the end of a segment; before it lists the segments, the writer adds records and rotates."""

    class Racing(Spy):
        async def list(self, path: str = "/") -> builtins.list[str]:
            if racing:
                racing.clear()
                for number in range(1, 16):
                    await log.append([body(number)])
            return await super().list(path)

    racing: list[bool] = []
    store = Racing()
    log = log_on(store, segment_bytes=150)
    await log.append([body(0)])
    reader = LogReader(store, "/log")
    found = await reader.read()
    racing.append(True)
    while some := await reader.read():
        found += some
    assert found == await records(store)
    assert len(await store.inner.list("/log/log")) > 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: content[:-5] + b"\n",
        lambda content: content + content.splitlines(keepends=True)[0],
        lambda content: content.replace(b"\n", b" ", 1),
        lambda content: content.replace(b"x", b"\n", 1),
        lambda content: content[content.index(b"\n") + 1 :],
    ],
    ids=["no feed", "half", "empty", "cut", "longer", "joined", "split", "one less"],
)
async def test_an_incomplete_closed_segment_is_damage(damage: Callable[[bytes], bytes]) -> None:
    store = MemoryStore()
    log = log_on(store, segment_bytes=300)
    for number in range(40):
        await log.append([body(number, 20)])
    names = await store.list("/log/log")
    path = f"/log/log/{names[1]}"
    content = await store.read_bytes(path) or b""
    spoilt = damage(content)
    if spoilt.count(b"\n") == content.count(b"\n") and spoilt.endswith(b"\n"):
        # What is in a line is for who reads it to judge; the reader counts them.
        assert len(await records(store)) == log.records
        return
    await store.write(path, spoilt)
    with pytest.raises(LogDamaged, match="the next segment begins at") as caught:
        await records(store)
    assert caught.value.path == path
    assert caught.value.byte_offset is not None


async def test_a_missing_segment_is_damage() -> None:
    store = MemoryStore()
    log = log_on(store, segment_bytes=300)
    for number in range(40):
        await log.append([body(number, 20)])
    names = await store.list("/log/log")
    await store.delete(f"/log/log/{names[1]}")
    with pytest.raises(LogDamaged):
        await records(store)


async def test_reading_takes_a_mebibyte_at_a_time() -> None:
    """The length of the log and of its lines does not matter."""
    store = Spy()
    log = log_on(store)
    for number in range(12):
        await log.append([body(number, 400_000)])
    await log.append([body(12, 3 * MEBIBYTE)])
    await log.append([body(13)])
    store.read_sizes.clear()
    assert await numbers(store) == list(range(14))
    reader = LogReader(store, "/log")
    await reader.seek_after_seq(5)
    await reader.seek_end()
    assert max(store.read_sizes) <= MEBIBYTE
    # A long line is not read anew for each of its parts.
    assert sum(store.read_sizes) < 40 * MEBIBYTE


async def test_a_file_without_line_feeds_is_given_up() -> None:
    """It is not collected in memory."""

    class Endless(Spy):
        async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes:
            assert end is not None
            return b"x" * (end - start)

    store = Endless()
    await store.inner.append(FIRST, b"x")
    with pytest.raises(LogDamaged, match="has no line feed") as caught:
        await LogReader(store, "/log").read()
    assert caught.value.path == FIRST


async def test_following_waits_for_a_log() -> None:
    """When the log is there, following it never ends by itself."""
    store = MemoryStore()
    log = log_on(store, segment_bytes=300)
    seen: list[int] = []
    enough = anyio.Event()

    async def tail(start: int | None) -> None:
        stream = follow(store, "/log", start=start)
        async for record in stream:
            seen.append(record.index)
            if record.index >= 30:
                break
        await stream.aclose()  # type: ignore[attr-defined]
        enough.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tail, None)
        await until_idle()
        for number in range(40):
            await log.append([body(number)])
        await enough.wait()
    assert seen == list(range(31))
    seen.clear()
    await tail(7)
    assert seen == list(range(7, 31))


# --- the journal ------------------------------------------------------------------------------------------------------


def stamped(seq: int, size: int = 0) -> Event:
    made = GenericEvent(kind="a.b", data={"text": "x" * size})
    return stamp(made, seq=seq, id=f"id {seq}", at="now", hub="a hub", context=EMPTY, bytes_max=MEBIBYTE * 8)


async def replayed(journal: StoreJournal, after: int = -1) -> list[Event]:
    return [each async for each in journal.replay(after)]


@pytest.mark.parametrize("segment_bytes", [1, 250, 600, MEBIBYTE])
async def test_a_journal_replays_after_any_seq(segment_bytes: int) -> None:
    store = Spy()
    journal = StoreJournal(store, segment_bytes=segment_bytes, clock=ManualClock())
    await journal.open()
    assert (journal.first_seq, journal.next_seq, journal.hub_id) == (0, 0, None)
    assert await replayed(journal) == []
    events = [stamped(seq) for seq in range(30)]
    for start, end in ((0, 1), (1, 5), (5, 6), (6, 20), (20, 29), (29, 30)):
        await journal.append(events[start:end])
        assert journal.next_seq == end
        assert await replayed(journal) == events[:end]
    for after in range(-1, 32):
        assert await replayed(journal, after) == events[after + 1 :]
    await journal.aclose()
    again = StoreJournal(store, segment_bytes=segment_bytes, clock=ManualClock())
    await again.open()
    assert (again.next_seq, again.hub_id) == (30, "a hub")
    for after in (-1, 3, 28, 29):
        assert await replayed(again, after) == events[after + 1 :]
    await again.append([stamped(30)])
    assert (await replayed(again, 28))[-1].seq == 30


async def test_a_replay_ends_where_it_began() -> None:
    """It gives back what the journal held when the replay began."""
    store = Spy()
    journal = StoreJournal(store, segment_bytes=400, clock=ManualClock())
    await journal.open()
    await journal.append([stamped(seq) for seq in range(5)])
    replay = journal.replay()
    seen = [(await anext(replay)).seq]
    await journal.append([stamped(5)])
    seen += [each.seq async for each in replay]
    assert seen == [0, 1, 2, 3, 4]


async def test_a_replay_leaves_out_unwritten_events() -> None:
    store = Spy()
    journal = StoreJournal(store, clock=ManualClock())
    await journal.open()
    await journal.append([stamped(0)])
    store.close_gate()
    appending = asyncio.create_task(journal.append([stamped(1)]))
    await until_idle()
    assert [each.seq for each in await replayed(journal)] == [0]
    assert journal.next_seq == 1
    store.gate.set()
    await appending
    assert [each.seq for each in await replayed(journal)] == [0, 1]


async def test_a_full_journal_can_be_appended_again() -> None:
    store = Spy()
    journal = StoreJournal(store, clock=ManualClock())
    await journal.open()
    store.failures["append"] = [StoreFull("no space")]
    with pytest.raises(StoreFull):
        await journal.append([stamped(0), stamped(1)])
    assert journal.next_seq == 0
    await journal.append([stamped(0), stamped(1)])
    assert await replayed(journal) == [stamped(0), stamped(1)]


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda lines: [lines[0], lines[2]], "holds event 2 where 1 should be"),
        (lambda lines: lines[:2], "ends before event 2, but had 3 events"),
        (lambda lines: [lines[0], b'{"x":1}', lines[2]], 'does not end in "d"'),
        (lambda lines: [lines[0], lines[1].replace(b'"seq":1', b'"seq":x'), lines[2]], "not JSON"),
        (lambda lines: [lines[0], lines[1].replace(b"a hub", b"\xff"), lines[2]], "not JSON"),
        (lambda lines: [lines[0], lines[1].replace(b'"seq":1', b'"sea":1'), lines[2]], 'no "seq"'),
        (
            lambda lines: [
                lines[0],
                b'{"at":"","hub":"","id":"","kind":"agent.registered","name":5,"seq":1,"d":0}',
                lines[2],
            ],
            "another shape than this version of hubwire knows",
        ),
    ],
    ids=["missing", "short", "no record", "no number", "no text", "no event", "another shape"],
)
async def test_damaged_journal_records_are_reported(
    spoil: Callable[[list[bytes]], list[bytes]], complaint: str
) -> None:
    store = MemoryStore()
    journal = StoreJournal(store, clock=ManualClock())
    await journal.open()
    await journal.append([stamped(seq) for seq in range(3)])
    path = "/journal/log/00000000000000000000.jsonl"
    lines = (await store.read_bytes(path) or b"").splitlines()
    await store.write(path, b"".join(line + b"\n" for line in spoil(lines)))
    with pytest.raises(LogDamaged, match=complaint) as caught:
        await replayed(journal)
    assert "/journal" in str(caught.value)
    assert caught.value.path == "/journal"


async def test_a_replay_passes_over_own_records() -> None:
    """But not over events with similar names."""
    store = MemoryStore()
    journal = StoreJournal(store, segment_bytes=200, clock=ManualClock())
    await journal.open()
    made = GenericEvent(kind="log.kept", data={"kind": "log.rotated"})
    events = [stamp(made, seq=seq, id="i", at="now", hub="h", context=EMPTY, bytes_max=MEBIBYTE) for seq in range(10)]
    for each in events:
        await journal.append([each])
    assert len(await store.list("/journal/log")) > 2
    assert await replayed(journal) == events


async def test_a_clean_journal_opens_without_reading() -> None:
    store = Spy()
    journal = StoreJournal(store, segment_bytes=400, clock=ManualClock())
    await journal.open()
    await journal.append([stamped(seq) for seq in range(10)])
    await journal.aclose()
    store.calls.clear()
    again = StoreJournal(store, segment_bytes=400, clock=ManualClock())
    await again.open()
    assert again.next_seq == 10
    assert store.count("read_bytes", "/journal/log/") == 0
