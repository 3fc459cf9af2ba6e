"""Code that is not ours, around an audit log: subscribers, on_head, clocks, and another log at the same place."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import anyio
import pytest

from hubwire import GenericEvent, Hub
from hubwire.errors import AlreadyRunning, ConfigurationError, LogDamaged
from hubwire.events import HubStopped
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Head, Outcome, examine, verify
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import until, until_idle
from support.odd import Stranger


async def hang(_: object) -> None:
    await asyncio.Event().wait()


async def swallow(_: object) -> None:
    """Hang, and swallow two cancellations."""
    for _ in range(3):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


# --- subscribers ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("guest", [hang, swallow])
async def test_a_hung_subscriber_is_left_behind(guest: Callable[[object], Awaitable[None]]) -> None:
    """The log is closed in good order first."""
    store = MemoryStore()
    log = AuditLog(store, close_seconds_max=0.01)
    log.subscribe(guest)
    await log.append({"kind": "a.b"})
    await log.aclose()
    assert log.subscriber_errors == 1
    assert (await verify(store)).completeness.outcome is Outcome.HOLDS
    await AuditLog(store).append({"kind": "a.b"})  # it is not held any more


async def test_a_hub_closes_beside_a_hung_subscriber() -> None:
    store = MemoryStore()
    log = AuditLog(store, close_seconds_max=0.01)
    log.subscribe(hang)
    async with Hub(store, listeners=[log]) as hub:
        await hub.emit(GenericEvent(kind="a.b"))
    assert await store.exists("/audit/clean")
    async with Hub(store, listeners=[AuditLog(store)]):
        pass


@pytest.mark.parametrize(
    "error",
    [asyncio.CancelledError(), SystemExit(3), GeneratorExit(), BaseExceptionGroup("x", [SystemExit()])],
    ids=repr,
)
async def test_what_a_subscriber_raises_is_counted(error: BaseException) -> None:
    """The next one is called, and the next record comes."""
    log, heard = AuditLog(MemoryStore()), []

    async def fail(_: dict[str, Any]) -> None:
        raise error

    async def hear(record: dict[str, Any]) -> None:
        heard.append(record["n"])

    log.subscribe(fail)
    log.subscribe(hear)
    for number in range(3):
        await log.append({"kind": "a.b", "n": number})
    await log.aclose()
    assert (heard, log.subscriber_errors) == ([0, 1, 2], 3)


async def test_a_slow_subscriber_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The callbacks behind it go on."""
    monkeypatch.setattr("hubwire.listeners.audit._guests.CALL_SECONDS_MAX", 0.0)
    log, heard = AuditLog(MemoryStore()), []

    async def hear(record: dict[str, Any]) -> None:
        heard.append(record["n"])

    log.subscribe(hang)
    log.subscribe(hear)
    await log.append({"kind": "a.b", "n": 0})
    await until(lambda: heard == [0])
    assert log.subscriber_errors == 1


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="eager tasks are new in Python 3.12")
async def test_subscribers_are_called_under_eager_tasks() -> None:
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
    log, heard = AuditLog(MemoryStore()), []

    async def hear(record: dict[str, Any]) -> None:
        heard.append(record["n"])

    log.subscribe(hear)
    for number in range(5):
        await log.append({"kind": "a.b", "n": number})
        await until(lambda: heard[-1:] == [number])  # noqa: B023
    assert heard == list(range(5))


async def test_subscribers_and_read_all_agree() -> None:
    """Records as they were appended: long ones whole, and none of the log's own."""
    log, heard = AuditLog(MemoryStore(), rotation=1), []

    async def hear(record: dict[str, Any]) -> None:
        heard.append(record)

    log.subscribe(hear)
    for number in range(3):
        await log.append({"kind": "a.b", "n": number, "text": "x" * 50_000 * number})
    await log.aclose()
    assert heard == await log.read_all()
    assert [len(record["text"]) for record in heard] == [0, 50_000, 100_000]


async def test_records_for_subscribers_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow one gets the others from the log."""
    monkeypatch.setattr("hubwire.listeners.audit._subscribers.HELD_BYTES_MAX", 3000)
    log, heard, gate = AuditLog(MemoryStore()), [], asyncio.Event()

    async def hear(record: dict[str, Any]) -> None:
        await gate.wait()
        heard.append(record["n"])

    log.subscribe(hear)
    for number in range(20):
        await log.append({"kind": "a.b", "n": number, "text": "x" * 1000})
    held = log._subscribers._held
    assert sum(len(body) for _, body in held) <= 3000
    gate.set()
    await log.aclose()
    assert heard == list(range(20))


async def test_a_log_lost_under_a_subscriber_ends_its_calls(caplog: pytest.LogCaptureFixture) -> None:
    """It misses what is gone; the log says so, and is closed."""
    store, gate = MemoryStore(), asyncio.Event()
    log = AuditLog(store)

    async def hear(_: dict[str, Any]) -> None:
        await gate.wait()

    log.subscribe(hear)
    await log.append({"kind": "a.b"})
    log._subscribers._held.clear()
    await store.delete("/audit/log")
    log._subscribers._end += 1
    gate.set()
    await until_idle()
    assert log.subscriber_errors == 1
    assert "cannot be read for its subscribers" in caplog.text


@pytest.mark.parametrize("callback", [None, 5, "name", dict])
def test_what_cannot_be_called_is_refused(callback: Any) -> None:
    with pytest.raises(ConfigurationError, match="a subscriber is an async function"):
        AuditLog(MemoryStore()).subscribe(callback)


def test_a_log_may_be_used_in_one_loop_after_another() -> None:
    """In each it is closed, though its task was lost with the one before."""
    store = MemoryStore()
    log = AuditLog(store, close_seconds_max=0.01)
    log.subscribe(hang)
    for number in range(3):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(log.append({"kind": "a.b", "n": number}))
        if number == 1:
            loop.run_until_complete(log.aclose())
        loop.close()  # tasks and all
    assert [record["n"] for record in asyncio.run(log.read_all())] == [0, 1, 2]
    asyncio.run(log.aclose())
    assert asyncio.run(verify(store)).holds
    gc.collect()  # what is said of the tasks that were lost is said here


# --- heads ----------------------------------------------------------------------------------------------------------


async def test_the_head_is_kept_elsewhere() -> None:
    """It is given when the log is closed, and later proves that nothing was cut off."""
    store, heads = MemoryStore(), []

    async def keep(head: Head) -> None:
        heads.append(head)

    log = AuditLog(store, on_head=keep)
    assert log.head is None
    await log.append({"kind": "a.b"})
    present = log.head
    assert heads == []
    await log.aclose()
    assert heads == [present]
    assert present == (await verify(store, expect_head=heads[-1])).head
    await store.write("/audit/log/00000000000000000000.jsonl", b"")
    await store.delete("/audit/clean")
    with pytest.raises(LogDamaged, match="is expected to have 2 records, and has 0"):
        await verify(store, expect_head=heads[-1])


async def test_the_head_is_given_at_each_rotation() -> None:
    heads = []

    async def keep(head: Head) -> None:
        heads.append(head.records)

    log = AuditLog(MemoryStore(), rotation=1, on_head=keep)
    for _ in range(3):
        await log.append({"kind": "a.b"})
        await until_idle()
    assert heads == [4, 6]
    await log.aclose()
    assert heads == [4, 6]


async def test_the_head_is_given_as_time_goes_by() -> None:
    """At most once in the time, and the last one for certain."""
    heads = []

    async def keep(head: Head) -> None:
        heads.append(head.records)

    log = AuditLog(MemoryStore(), on_head=keep, head_seconds=0)
    await log.append({"kind": "a.b"})
    await until(lambda: heads == [2])
    for _ in range(50):
        await log.append({"kind": "a.b"})
    await until(lambda: heads[-1] == 52)
    await until_idle()
    log._heads._seconds = 3600
    await log.append({"kind": "a.b"})
    await until_idle()
    assert heads[-1] == 52
    await log.aclose()
    assert heads[-1] == 53


async def test_the_last_head_may_take_its_time() -> None:
    """Closing waits for it, as long as it may."""
    heads = []

    async def keep(head: Head) -> None:
        await asyncio.sleep(0.05)
        heads.append(head.records)

    log = AuditLog(MemoryStore(), on_head=keep)
    await log.append({"kind": "a.b"})
    await log.aclose()
    assert (heads, log.head_errors) == ([2], 0)


@pytest.mark.slow
@pytest.mark.parametrize("guest", [hang, swallow])
async def test_a_hung_on_head_is_left_behind(
    guest: Callable[[object], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubwire.listeners.audit._guests.CALL_SECONDS_MAX", 1.0)  # the end of the loop waits for it
    store = MemoryStore()
    log = AuditLog(store, on_head=guest, close_seconds_max=0.01)
    await log.append({"kind": "a.b"})
    await log.aclose()
    assert log.head_errors == 1
    assert (await verify(store)).completeness.outcome is Outcome.HOLDS


async def test_a_closed_log_gives_no_head_later() -> None:
    """Records came while a call hung: the one that was to follow is called off."""
    called = anyio.Event()

    async def hang_on_head(_: Head) -> None:
        called.set()
        await anyio.sleep_forever()

    log = AuditLog(MemoryStore(), on_head=hang_on_head, head_seconds=3600, rotation=1, close_seconds_max=0.01)
    await log.append({"kind": "a.b"})
    await log.append({"kind": "a.b"})
    await called.wait()
    log._heads.appended(log._heads._segment or 0)
    waiting = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    of_log = [each for each in waiting if getattr(each._callback, "__self__", None) is log._heads]
    assert [each.cancelled() for each in of_log] == [False]
    await log.aclose()
    assert [each.cancelled() for each in of_log] == [True]


@pytest.mark.parametrize("error", [ValueError("x"), asyncio.CancelledError(), SystemExit(3)], ids=repr)
async def test_an_on_head_that_raises_breaks_no_log(error: BaseException) -> None:
    async def fail(_: Head) -> None:
        raise error

    log = AuditLog(MemoryStore(), on_head=fail, rotation=1)
    for _ in range(3):
        await log.append({"kind": "a.b"})
        await until_idle()
    await log.aclose()
    assert log.head_errors == 2
    assert len(await log.read_all()) == 3


async def test_on_head_may_append_to_the_log() -> None:
    """A record for each head does not lead to a head for each record at once."""
    calls = 0

    async def note(head: Head) -> None:
        nonlocal calls
        calls += 1
        if calls < 50:
            await log.append({"kind": "head.noted", "head": str(head)})

    log = AuditLog(MemoryStore(), on_head=note, head_seconds=3600, rotation=1)
    await log.append({"kind": "a.b"})
    await log.append({"kind": "a.b"})
    await until_idle()
    assert calls == 1


async def test_hub_stopped_names_the_heads() -> None:
    store, seen = MemoryStore(), Recorder()
    log = AuditLog(store)
    async with Hub(store, listeners=[log, seen]) as hub:
        await hub.emit(GenericEvent(kind="a.b"))
        await hub.flush()
        head = log.head
    (stopped,) = [event for event in seen.events if isinstance(event, HubStopped)]
    assert stopped.heads == {"AuditLog": str(head)}
    assert (await verify(store, expect_head=stopped.heads["AuditLog"])).records == head.records + 1 if head else None


async def test_hub_stopped_names_no_head_of_a_stranger() -> None:
    """A listener's attribute of that name may be what it likes, or raise."""

    class Odd:
        async def on_events(self, events: object) -> None:
            pass

        head = "9:x"

    class Worse(Odd):
        @property
        def head(self) -> str:  # type: ignore[override]
            raise RuntimeError("no")

    seen = Recorder()
    async with Hub(listeners=[Odd(), Worse(), seen]):
        pass
    (stopped,) = [event for event in seen.events if isinstance(event, HubStopped)]
    assert stopped.heads is None


# --- clocks ---------------------------------------------------------------------------------------------------------

MOMENT = datetime(2026, 11, 21, 9, 30, 0, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    "answer",
    [
        "2026-11-21T09:30:00.250000+00:00",
        "2026-11-21T09:30:00.250Z",
        "2026-11-21T10:30:00.250000+01:00",
        "2026-11-21T09:30:00.250000",
        MOMENT,
        MOMENT.replace(tzinfo=None),
        MOMENT.astimezone(timezone(timedelta(hours=5))),
        MOMENT.timestamp(),
    ],
    ids=str,
)
async def test_a_clock_may_be_a_function(answer: Any) -> None:
    """As AG2's, which returns text."""
    log = AuditLog(MemoryStore(), clock=lambda: answer)
    await log.append({"kind": "a.b"})
    assert [record.fields["at"] async for record in log.read()] == ["2026-11-21T09:30:00.250000Z"] * 2


@pytest.mark.parametrize(
    "answer", [None, "yesterday", "", b"x", True, float("nan"), float("inf"), 1e300, [], 10**400], ids=repr
)
async def test_a_clock_without_a_time_fails_the_append(answer: Any) -> None:
    """In words; the next one may do."""
    answers = [answer] * 3
    log = AuditLog(MemoryStore(), clock=lambda: answers.pop() if answers else 0)
    with pytest.raises(ConfigurationError, match="which is no time"):
        await log.append({"kind": "a.b"})
    await log.append({"kind": "a.b", "at": "now"})  # it needs no clock; the log takes the machine's for log.opened
    answers.clear()
    await log.append({"kind": "a.b"})
    assert [record["at"] for record in await log.read_all()] == ["now", "1970-01-01T00:00:00.000000Z"]


@pytest.mark.parametrize("ns", [None, "x", 10**30, -(10**30), float("nan")], ids=repr)
async def test_a_clock_object_without_a_time_fails_the_append(ns: Any) -> None:
    class Odd(ManualClock):
        def now_ns(self) -> int:
            return ns  # type: ignore[no-any-return]

    log = AuditLog(MemoryStore(), clock=Odd(), rotation=1)
    with pytest.raises(ConfigurationError, match="has no time that can be written"):
        await log.append({"kind": "a.b"})
    for number in range(3):
        await log.append({"kind": "a.b", "at": "now", "n": number})
    assert len(await log.read_all()) == 3


@pytest.mark.parametrize("clock", ["now", 5, datetime])
def test_what_is_no_clock_is_refused(clock: Any) -> None:
    with pytest.raises(ConfigurationError, match="clock"):
        AuditLog(MemoryStore(), clock=clock)


# --- arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"path": 5},
        {"path": None},
        {"rotation": 0},
        {"rotation": "16 MB"},
        {"rotation": 1.5},
        {"rotation": True},
        {"on_head": "keep"},
        {"on_head": Head},
        {"head_seconds": -1},
        {"head_seconds": float("nan")},
        {"head_seconds": "60"},
        {"close_seconds_max": float("inf")},
        {"close_seconds_max": None},
    ],
    ids=str,
)
def test_arguments_that_cannot_be_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        AuditLog(MemoryStore(), **arguments)


@pytest.mark.parametrize("store", ["./data", b"./data", None, 5, MemoryStore, Stranger()], ids="{!r:.30}".format)
def test_a_log_is_kept_on_a_store(store: Any) -> None:
    with pytest.raises(ConfigurationError, match="an audit log is kept on a store, such as FileStore"):
        AuditLog(store)


# --- another log at the same place ----------------------------------------------------------------------------------


async def test_the_holder_of_this_process_is_named(tmp_path: Any) -> None:
    first = AuditLog(FileStore(tmp_path))
    await first.append({"kind": "a"})
    with pytest.raises(AlreadyRunning) as refused:
        await AuditLog(FileStore(tmp_path)).append({"kind": "b"})
    assert str(refused.value).startswith(f"AuditLog(FileStore('{tmp_path}'")
    assert "call its aclose() first" in str(refused.value)
    with pytest.raises(AlreadyRunning, match="of this process has been open"):
        await AuditLog(FileStore(tmp_path)).__aenter__()
    await first.aclose()


async def called(log: AuditLog, name: str) -> None:
    await log.on_agent_event("a", "registered", {"name": name})


@pytest.mark.parametrize("is_kept", [True, False])
async def test_logs_of_ag2_hubs_give_way(tmp_path: Any, *, is_kept: bool) -> None:
    """A hub of AG2's never closes its audit log: the next one of the process takes its place, and it takes it back."""
    store = FileStore(tmp_path)
    first = AuditLog(store)
    await called(first, "one")
    second = AuditLog(FileStore(tmp_path))
    if not is_kept:
        del first
        gc.collect()
    await called(second, "two")
    if is_kept:
        await called(first, "three")
        await called(second, "four")
    names = [record["name"] for record in await second.read_all()]
    assert names == (["one", "two", "three", "four"] if is_kept else ["one", "two"])
    assert second.hook_failures == 0
    await second.aclose()
    assert (await examine(store)).completeness.outcome is Outcome.HOLDS


async def test_a_log_in_other_use_does_not_give_way() -> None:
    """One that is written by hand, or belongs to a hub of ours, keeps its place."""
    store = MemoryStore()
    first = AuditLog(store)
    await called(first, "one")
    await first.append({"kind": "a.b"})
    second = AuditLog(store)
    with pytest.raises(AlreadyRunning, match="of this process has been open"):
        await called(second, "two")
    assert second.hook_failures == 1
    await first.aclose()
    async with Hub(store, listeners=[first]):
        with pytest.raises(AlreadyRunning):
            await called(second, "two")


class HungStore(MemoryStore):
    """A store whose markers and compactions do not come to their end."""

    is_hung = False

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        if self.is_hung and path.endswith("/clean"):
            await asyncio.Event().wait()
        await super().write(path, content, if_absent=if_absent, expect=expect)

    async def compact(self, path: str) -> bool:
        await asyncio.Event().wait()
        return True


def test_what_a_lost_loop_left_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A marker and a compaction were under way when the loop ended without cancelling them."""
    monkeypatch.setattr("hubwire.log._marking.IDLE_SECONDS", 0.0)
    store = HungStore()
    log = AuditLog(store, rotation=300)

    async def use() -> None:
        await log.append({"kind": "a.b"})
        store.is_hung = True
        await log.append({"kind": "a.b"})
        await until(lambda: log._log._segments.marking._task is not None)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(use())
    loop.close()
    store.is_hung = False
    asyncio.run(asyncio.wait_for(log.aclose(), 5))
    gc.collect()
