"""Live tails: cursors that are signed and name a history, closing, bytes, and journals that many resume from."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from hypothesis import given, strategies as st

from hubwire import Event, GenericEvent, Hub, Limits
from hubwire._commit import ring as ring_module
from hubwire.codec import size_of
from hubwire.errors import ConfigurationError, HubClosed, InvalidCursor
from hubwire.listeners import LiveTail, Missed
from hubwire.listeners.live import Subscriber, TailItem
from hubwire.stores import MemoryStore
from support import copy_of, said, until, until_idle

KB = 1000
SECRET = "a secret of the program, kept elsewhere"


def heavy(n: int, size: int = 100 * KB) -> GenericEvent:
    return GenericEvent(kind="number.said", data={"n": n, "text": "x" * size})


def numbers_of(items: Sequence[TailItem | Missed]) -> list[int]:
    events = [item.event for item in items if isinstance(item, TailItem)]
    return [each.data["n"] for each in events if isinstance(each, GenericEvent) and each.kind == "number.said"]


async def say(hub: Hub, *numbers: int) -> None:
    for number in numbers:
        await hub.emit(said(number))


async def take(subscriber: Subscriber, count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        found += numbers_of(await subscriber.take())
    return found


async def drained(subscriber: Subscriber) -> list[TailItem | Missed]:
    return [item async for item in subscriber]


# --- cursors: signed ------------------------------------------------------------------------------------------------


async def test_a_changed_cursor_is_refused() -> None:
    """Whichever of its characters is changed, and however much is cut off or added."""
    tail = LiveTail()
    async with Hub(listeners=[tail]) as hub:
        subscriber = tail.subscribe()
        await say(hub, 1)
        cursor = (await anext(subscriber)).cursor
        tail.subscribe(cursor)
        changed = [cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :] for at in range(len(cursor))]
        for forged in (*changed, cursor[:-1], cursor + "A", cursor * 2, cursor + "=", cursor.swapcase()):
            with pytest.raises(InvalidCursor, match=r"is not a cursor .*LiveTail\(secret=\.\.\.\)"):
                tail.subscribe(forged)
        assert tail.statistics().subscribed == 2


async def test_a_cursor_made_by_hand_is_refused() -> None:
    """What it says is known, and even so nobody can say it but the tail."""
    tail = LiveTail()
    async with Hub(listeners=[tail]) as hub:
        content = f"0@{hub.id}@".encode()
        for signature in (b"", bytes(16)):
            forged = base64.urlsafe_b64encode(signature + content).rstrip(b"=").decode()
            with pytest.raises(InvalidCursor, match="is not a cursor"):
                tail.subscribe(forged)


async def test_cursors_of_another_secret_are_refused() -> None:
    """Without a secret the process has one; with one, cursors are good wherever it is given."""
    store = MemoryStore()
    ours, same, other, none = (
        LiveTail(secret=SECRET),
        LiveTail(secret=SECRET.encode()),
        LiveTail(secret="x" * 16),
        LiveTail(),
    )
    async with Hub(store, listeners=[ours]) as hub:
        await say(hub, 1)
        cursor = ours.cursor_after(0)
    async with Hub(store, listeners=[same, other, none]):
        assert await take(same.subscribe(cursor, pattern="number.said"), 1) == [1]
        for tail in (other, none):
            with pytest.raises(InvalidCursor, match="another secret"):
                tail.subscribe(cursor)


@pytest.mark.parametrize("secret", ["", b" ", "short", b"x" * 15, 12345678901234567890, ["x"] * 20, True])
def test_a_secret_that_is_none_is_refused(secret: Any) -> None:
    with pytest.raises(ConfigurationError, match="the secret of a LiveTail"):
        LiveTail(secret=secret)


@given(secret=st.text(min_size=16) | st.binary(min_size=16))
def test_any_long_text_is_a_secret(secret: str | bytes) -> None:
    LiveTail(secret=secret)


@pytest.mark.parametrize("arguments", [{"subscribers_max": "10"}, {"subscribers_max": True}, {"redactor": "none"}])
def test_arguments_of_a_tail_are_checked(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        LiveTail(**arguments)


@pytest.mark.parametrize("seq", [-2, True, 1.0, "1", None, 1 << 2000, "x" * 10_000], ids=lambda seq: str(seq)[:9])
async def test_a_cursor_is_made_after_a_number(seq: Any) -> None:
    tail = LiveTail()
    async with Hub(listeners=[tail]):
        with pytest.raises(ConfigurationError, match="is not the number of an event"):
            tail.cursor_after(seq)


# --- cursors: of a history ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_recent", [True, False], ids=["on the ring", "in the journal"])
async def test_a_restored_backup_is_noticed(is_recent: bool) -> None:
    """The hub has an event of that number, and it is another one: its new events are not shown as if none was lost."""
    store, tail = MemoryStore(), LiveTail()
    async with Hub(store) as hub:
        await say(hub, *range(5))
    backup = await copy_of(store)
    async with Hub(store, listeners=[tail]) as hub:
        viewer = tail.subscribe(pattern="number.said")
        await say(hub, *range(5))
        assert await take(viewer, 5) == list(range(5))
        cursor = viewer.cursor
    tail = LiveTail()
    async with Hub(backup, listeners=[tail]) as hub:
        await say(hub, *range(12))
        if is_recent:
            with pytest.raises(InvalidCursor, match="restored from an older copy"):
                tail.subscribe(cursor)
    if not is_recent:
        async with Hub(backup, listeners=[tail]) as hub:
            resumed = tail.subscribe(cursor)
            with pytest.raises(InvalidCursor, match="restored from an older copy"):
                await resumed.take()


async def test_every_place_names_its_event() -> None:
    """Also that of a subscriber which has seen nothing, or only what did not match; after a gap there is none."""
    tail = LiveTail()
    async with Hub(MemoryStore(), listeners=[tail]) as hub:
        await hub.flush()
        await say(hub, 1)
        silent = tail.subscribe(pattern="other.happened")
        assert tail._cursors.place(silent.cursor, hub.id).event_id
        await say(hub, 2)
        with anyio.move_on_after(0):
            await silent.take()
        newest = await hub.emit(said(3))
        one = tail.subscribe(tail.cursor_after(newest.seq - 1))
        item = await anext(one)
        for cursor in (item.cursor, one.cursor, tail.cursor_after(newest.seq)):
            place = tail._cursors.place(cursor, hub.id)
            assert (place.seq, place.event_id) == (newest.seq, newest.id)


async def test_a_place_is_proved_and_not_shown() -> None:
    """The event before the place is read to compare it; it is neither handed out again nor counted as lag."""
    store, tail = MemoryStore(), LiveTail()
    async with Hub(store, listeners=[tail]) as hub:
        await say(hub, *range(6))
        seq = hub.statistics().committed - 3
        cursor = tail.cursor_after(seq)
        newest = tail.cursor_after(hub.statistics().committed - 1)
    async with Hub(store, listeners=[tail]) as hub:
        resumed = tail.subscribe(cursor)
        behind = hub.statistics().committed - seq - 1
        assert (resumed.lag, resumed.cursor) == (behind, cursor)
        assert await take(resumed, 2) == [4, 5]
        waiting = tail.subscribe(newest, pattern="number.said")
        await say(hub, 6)
        assert await take(waiting, 1) == [6]


async def test_a_cancelled_proof_is_made_again() -> None:
    store, tail = MemoryStore(), LiveTail()
    async with Hub(store, listeners=[tail]) as hub:
        await say(hub, *range(6))
        cursor = tail.cursor_after(hub.statistics().committed - 3)
    async with Hub(store, listeners=[tail]):
        resumed = tail.subscribe(cursor, pattern="number.said")
        for _ in range(20):
            with anyio.move_on_after(0):
                await resumed.take()
        assert await take(resumed, 2) == [4, 5]


async def test_a_place_that_was_truncated_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What proved it is gone with it; a subscriber that misses nothing goes on."""
    monkeypatch.setattr(ring_module, "_TRIM", 1)
    tail = LiveTail()
    hub = Hub(ring=10)
    hub.attach(tail)
    async with hub:
        await hub.flush()
        await say(hub, 0)
        cursor = tail.subscribe().cursor
        await say(hub, *range(1, 100))
        missed = await anext(tail.subscribe(cursor))
        assert isinstance(missed, Missed)
        first = hub.statistics().committed - hub.statistics().ring_events
        assert missed.last_seq == first - 1
        at_the_edge = tail.subscribe(missed.cursor)
        item = await anext(at_the_edge)
        assert isinstance(item, TailItem)
        assert item.seq == first


# --- closing --------------------------------------------------------------------------------------------------------


async def test_a_closed_tail_ends_its_subscribers() -> None:
    """Those that wait, those with items in hand, and those that never read; each has a cursor to go on with."""
    tail = LiveTail()
    async with Hub(MemoryStore(), listeners=[tail]) as hub:
        waiting, reading, idle = (tail.subscribe(pattern="number.said") for _ in range(3))
        ended = asyncio.create_task(drained(waiting))
        await say(hub, 1, 2, 3)
        await until(lambda: waiting.lag == 0)
        assert numbers_of([await anext(reading)]) == [1]
        tail.close()
        assert numbers_of(await ended) == [1, 2, 3]
        assert numbers_of(await drained(reading)) == [2, 3]
        assert await drained(idle) == []
        assert [batch async for batch in idle.batches()] == []
        with pytest.raises(HubClosed, match="this LiveTail is closed"):
            tail.subscribe()
        await say(hub, 4)
        assert await drained(waiting) == []
        place = waiting.cursor
    again = LiveTail()
    async with Hub(hub._parts.journal.store, listeners=[again]):  # type: ignore[union-attr]
        assert await take(again.subscribe(place, pattern="number.said"), 1) == [4]


async def test_a_server_stops_with_viewers_attached() -> None:
    """It waits for its connections, and each of those waits for events: without an end to them it would not."""
    tail = LiveTail()

    async def connection(subscriber: Subscriber) -> None:
        async for _ in subscriber.batches():
            pass

    async with Hub(listeners=[tail]) as hub:
        async with anyio.create_task_group() as connections:
            for _ in range(50):
                connections.start_soon(connection, tail.subscribe())
            await say(hub, 1)
            await until_idle()
            tail.close()
        assert hub.health().healthy


async def test_a_tail_is_open_again_when_it_is_attached() -> None:
    tail = LiveTail()
    tail.close()
    async with Hub(listeners=[tail]):
        tail.subscribe()
        tail.close()
        tail.close()
    async with Hub(listeners=[tail]) as hub:
        subscriber = tail.subscribe(pattern="number.said")
        await say(hub, 1)
        assert await take(subscriber, 1) == [1]


async def test_subscribers_are_ended_in_slices() -> None:
    """Ten thousand of them do not block the loop: so many are woken in one of its turns and no more."""
    tail = LiveTail()
    ended_at: list[int] = []
    turn = 0

    async def count() -> None:
        nonlocal turn
        while True:
            await asyncio.sleep(0)
            turn += 1

    async def wait(subscriber: Subscriber) -> None:
        async for _ in subscriber.batches():
            pass
        ended_at.append(turn)

    async with Hub(listeners=[tail]), anyio.create_task_group() as tasks:
        for _ in range(2000):
            tasks.start_soon(wait, tail.subscribe())
        await until_idle()
        counting = asyncio.create_task(count())
        tail.close()
        await until(lambda: len(ended_at) == 2000)
        counting.cancel()
    assert max(ended_at.count(each) for each in set(ended_at)) <= 100


# --- bytes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_recent", [True, False], ids=["on the ring", "in the journal"])
async def test_a_subscriber_holds_few_bytes(is_recent: bool) -> None:
    """However far behind it is, and however large the events are: a batch has a quarter of a megabyte, or one event."""
    tail = LiveTail()
    async with Hub(
        MemoryStore(), listeners=[tail], limits=Limits(ring_bytes_max=(10_000 if is_recent else 1) * KB)
    ) as hub:
        subscriber = tail.subscribe(pattern="number.said")
        for n in range(30):
            await hub.emit(heavy(n))
        await hub.emit(heavy(30, 1000 * KB))
        seen: list[int] = []
        while len(seen) < 31:
            batch = await subscriber.take()
            seen += numbers_of(batch)
            sizes = [size_of(item.event) for item in batch if isinstance(item, TailItem)]
            assert len(batch) == 1 or sum(sizes[:-1]) <= 256 * 1024
        assert seen == list(range(31))


async def test_what_subscribers_share_is_bounded_in_bytes() -> None:
    tail = LiveTail()
    limits = Limits(ring_bytes_max=100 * KB)
    async with Hub(MemoryStore(), listeners=[tail], limits=limits) as hub:
        subscribers = [tail.subscribe(pattern=pattern) for pattern in ("*", "number.said", "number.*")]
        for n in range(300):
            await hub.emit(heavy(n))
            for each in subscribers:
                await each.take()
        feed = tail._feed
        assert feed is not None
        assert feed._items.bytes <= 16 * 1024 * 1024
        assert feed._batches.bytes <= 16 * 1024 * 1024
        assert len(feed._items) < 170


# --- guests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError, SystemExit, GeneratorExit, BaseException, BaseExceptionGroup]
)
async def test_a_redactor_may_raise_anything(error: type[BaseException]) -> None:
    def redact(event: Event) -> Event:
        if event.kind == "number.said":
            raise error("secret", [ValueError("secret")]) if error is BaseExceptionGroup else error("secret")
        return event

    tail = LiveTail(redactor=redact)
    async with Hub(listeners=[tail]) as hub:
        subscriber = tail.subscribe(pattern="number.said")
        await say(hub, 1)
        (item,) = await subscriber.take()
        assert isinstance(item, TailItem)
        assert b"secret" not in item.line
        assert hub.health().problems[0].startswith("listener 'LiveTail' has left out the contents of 1 events")


async def test_a_hanging_subscriber_delays_nobody() -> None:
    tail, quick_has = LiveTail(), list[int]()

    async def hang(subscriber: Subscriber) -> None:
        async for _ in subscriber:
            await anyio.sleep_forever()

    async def read(subscriber: Subscriber) -> None:
        async for batch in subscriber.batches():
            quick_has.extend(numbers_of(batch))

    hub = Hub(MemoryStore(), ring=100)
    hub.attach(tail)
    async with anyio.create_task_group() as tasks:
        async with hub:
            for function in (hang, read):
                tasks.start_soon(function, tail.subscribe(pattern="number.said"))
            await say(hub, *range(3000))
            await hub.flush()
            assert hub.statistics().ring_events < 1200
        await until(lambda: len(quick_has) == 3000)
        tasks.cancel_scope.cancel()
