"""LiveTail: many outsiders over one hub, each going on where it was, without a gap or a duplicate."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import attrs
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings, strategies as st

from hubwire import Duty, Event, GenericEvent, Hub, UnknownEvent, event
from hubwire._commit import ring as ring_module
from hubwire.errors import (
    CallerError,
    ConfigurationError,
    HubClosed,
    InvalidCursor,
    ListenerFailed,
    Overloaded,
)
from hubwire.events import _declare
from hubwire.listeners import LiveTail, Missed
from hubwire.listeners.live import Subscriber, TailItem
from hubwire.ports import HubListener
from hubwire.stores import MemoryStore
from hubwire.testing import HubListenerContract, Recorder
from support import until

NUMBERS = "number.said"


class TestContract(HubListenerContract):
    @pytest.fixture
    def listener(self) -> HubListener:
        return LiveTail()


@asynccontextmanager
async def quiet(hub: Hub) -> AsyncIterator[Hub]:
    """A hub that has told everything about its own start."""
    async with hub:
        await anyio.wait_all_tasks_blocked()
        yield hub


def silent(hub: Hub, tail: LiveTail) -> Hub:
    """Attach a tail so that it is not told to have missed, in its own mailbox, what its subscribers read elsewhere."""
    hub.attach(tail)
    return hub


async def say(hub: Hub, *numbers: int) -> None:
    for number in numbers:
        await hub.emit(GenericEvent(kind=NUMBERS, data={"number": number}))


def number_of(item: TailItem | Missed) -> int:
    assert isinstance(item, TailItem)
    assert isinstance(item.event, GenericEvent)
    number: int = item.event.data["number"]
    return number


async def take_numbers(subscriber: Subscriber, count: int) -> list[int]:
    numbers: list[int] = []
    while len(numbers) < count:
        numbers.append(number_of(await anext(subscriber)))
    return numbers


async def drain(subscriber: Subscriber) -> list[TailItem | Missed]:
    """Everything until the hub's end."""
    return [item async for item in subscriber]


# --- resuming -------------------------------------------------------------------------------------------------------


async def test_a_subscriber_gets_committed_events_from_now() -> None:
    tail = LiveTail()
    async with Hub(listeners=[tail]) as hub:
        await say(hub, 0)
        subscriber = tail.subscribe(pattern=NUMBERS)
        await say(hub, 1, 2)
        assert await take_numbers(subscriber, 2) == [1, 2]


async def test_subscribers_see_committed_events_only() -> None:
    """They see no event that a crash can undo."""
    release = anyio.Event()

    class Slow:
        duty = Duty.REQUIRED

        async def on_events(self, events: Sequence[Event]) -> None:
            if any(each.kind == NUMBERS for each in events):
                await release.wait()

    tail = LiveTail()
    async with quiet(Hub(MemoryStore(), listeners=[Slow(), tail])) as hub:
        subscriber = tail.subscribe()
        before = subscriber.cursor
        hub.emit_nowait(GenericEvent(kind=NUMBERS, data={"number": 1}))
        with anyio.move_on_after(0):
            await anext(subscriber)
        assert (subscriber.cursor, subscriber.lag) == (before, 0)
        assert tail.subscribe().cursor == before
        release.set()
        assert await take_numbers(subscriber, 1) == [1]


async def test_every_cursor_resumes_exactly() -> None:
    """Resuming at any cursor gives exactly the rest."""
    tail = LiveTail()
    async with Hub(MemoryStore(), listeners=[tail]) as hub:
        start = tail.cursor_after(-1)
        reader = tail.subscribe(start)
        await say(hub, *range(20))
        end = hub.statistics().committed
        items = [await anext(reader) for _ in range(end)]
        for position, cursor in enumerate([start, *(item.cursor for item in items)]):
            resumed = tail.subscribe(cursor)
            assert [await anext(resumed) for _ in range(end - position)] == items[position:]
            assert resumed.lag == 0


@pytest.mark.parametrize("store", [None, MemoryStore()], ids=["memory", "journal"])
async def test_a_subscriber_may_see_all_events(store: MemoryStore | None) -> None:
    """It sees them from the very first one to `hub.stopped`."""
    tail = LiveTail()
    async with Hub(store, listeners=[tail]) as hub:
        subscriber = tail.subscribe(tail.cursor_after(-1))
        await say(hub, *range(5))
    seen = await drain(subscriber)
    assert [item.seq for item in seen if isinstance(item, TailItem)] == list(range(hub.statistics().committed))
    last = seen[-1]
    assert isinstance(last, TailItem)
    assert last.event.kind == "hub.stopped"


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(1, 400)),
        st.tuples(st.just("read items"), st.integers(1, 30)),
        st.tuples(st.just("read batches"), st.integers(1, 3)),
        st.tuples(st.just("reconnect"), st.just(0)),
        st.tuples(st.just("cancel"), st.just(0)),
    ),
    max_size=25,
)


@pytest.mark.slow
@settings(max_examples=60)
@given(steps=STEPS, pattern=st.sampled_from(["*", NUMBERS]), journal=st.booleans(), lossy=st.booleans())
async def test_each_event_is_seen_or_missed(
    steps: list[tuple[str, int]], pattern: str, journal: bool, lossy: bool
) -> None:
    """Each event is seen once or reported as missed, wherever the subscriber is cut off."""
    tail, oracle = LiveTail(), Recorder()
    seen: list[int] = []
    told: list[int] = []

    def note(batch: Sequence[TailItem | Missed]) -> None:
        for item in batch:
            if isinstance(item, Missed):
                told.extend(range(item.first_seq, item.last_seq + 1))
            else:
                seen.append(item.seq)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ring_module, "_TRIM", 1)  # a ring that forgets at once
        hub = Hub(MemoryStore() if journal else None, ring=8)
        hub.attach(oracle, duty=Duty.REQUIRED, since="start")
        async with quiet(silent(hub, tail)):
            first = hub.statistics().committed
            subscriber = tail.subscribe(pattern=pattern, lossy=lossy)
            for step, number in steps:
                if step == "say":
                    await say(hub, *range(number))
                elif step == "reconnect":
                    subscriber = tail.subscribe(subscriber.cursor, pattern=pattern, lossy=lossy)
                elif step == "cancel":
                    with anyio.move_on_after(0):
                        note([await anext(subscriber)])
                for _ in range(number):
                    if step == "read items" and subscriber.lag:
                        note([await anext(subscriber)])
                    elif step == "read batches" and subscriber.lag:
                        note(await anext(subscriber.batches()))
        note(await drain(subscriber))
    later = [each for each in oracle.events if each.seq >= first]
    wanted = [each.seq for each in later if pattern in ("*", each.kind)]
    assert [seq for seq in wanted if seq not in set(told)] == seen
    assert told == sorted(set(told))
    assert not told or lossy or not journal


async def test_the_place_passes_unmatched_events() -> None:
    tail = LiveTail()
    async with quiet(Hub(listeners=[tail])) as hub:
        subscriber = tail.subscribe(pattern="other.happened")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(drain, subscriber)
            await say(hub, *range(10))
            await until(lambda: subscriber.cursor == tail.subscribe().cursor)
            tasks.cancel_scope.cancel()


async def test_a_cancelled_read_takes_nothing() -> None:
    tail = LiveTail()
    async with Hub(MemoryStore(), listeners=[tail]) as hub:
        subscriber = tail.subscribe(pattern=NUMBERS)
        for number in range(50):
            with anyio.move_on_after(0):
                await anext(subscriber)
            await say(hub, number)
        assert await take_numbers(subscriber, 50) == list(range(50))


async def test_items_and_batches_may_alternate() -> None:
    tail = LiveTail()
    async with Hub(listeners=[tail]) as hub:
        subscriber = tail.subscribe(pattern=NUMBERS)
        for number in range(6):
            hub.emit_nowait(GenericEvent(kind=NUMBERS, data={"number": number}))
        assert await take_numbers(subscriber, 2) == [0, 1]
        place = subscriber.cursor
        assert [number_of(item) for item in await anext(subscriber.batches())] == [2, 3, 4, 5]
        assert await take_numbers(tail.subscribe(place, pattern=NUMBERS), 4) == [2, 3, 4, 5]


async def test_cursors_survive_a_restart() -> None:
    store, tail = MemoryStore(), LiveTail()
    async with Hub(store, listeners=[tail]) as hub:
        subscriber = tail.subscribe(pattern=NUMBERS)
        await say(hub, 0, 1, 2)
        assert await take_numbers(subscriber, 2) == [0, 1]
    for resuming in (tail, LiveTail()):
        async with Hub(store, listeners=[resuming]) as again:
            resumed = resuming.subscribe(subscriber.cursor, pattern=NUMBERS)
            await say(again, 3)
            assert (await take_numbers(resumed, 2)) == [2, 3]


# --- slow ones ------------------------------------------------------------------------------------------------------


@pytest.fixture
def short_ring(monkeypatch: pytest.MonkeyPatch) -> int:
    """A ring that forgets everything beyond as many events at once."""
    monkeypatch.setattr(ring_module, "_TRIM", 1)
    return 10


async def test_a_slow_subscriber_reads_the_journal(short_ring: int) -> None:
    tail = LiveTail()
    async with quiet(silent(Hub(MemoryStore(), ring=short_ring), tail)) as hub:
        slow, quick = tail.subscribe(pattern=NUMBERS), tail.subscribe(pattern=NUMBERS)
        for number in range(500):
            await say(hub, number)
            assert await take_numbers(quick, 1) == [number]
        assert hub.statistics().ring_events < 20
        assert tail.statistics().lag_max == 500
        assert await take_numbers(slow, 500) == list(range(500))
        await say(hub, 500)
        assert await take_numbers(slow, 1) == [500]
        assert tail.statistics().missed == 0


@pytest.mark.parametrize(("store", "lossy"), [(None, False), (None, True), (MemoryStore(), True)])
async def test_a_lossy_subscriber_learns_what_it_missed(
    short_ring: int, store: MemoryStore | None, lossy: bool
) -> None:
    """So does any slow subscriber of a hub without a journal."""
    tail = LiveTail()
    async with quiet(silent(Hub(store, ring=short_ring), tail)) as hub:
        slow = tail.subscribe(lossy=lossy)
        first = hub.statistics().committed
        await say(hub, *range(100))
        missed, *items = [await anext(slow) for _ in range(11)]
        assert isinstance(missed, Missed)
        assert missed.first_seq == first
        assert missed.last_seq == first + 89
        assert [number_of(item) for item in items] == list(range(90, 100))
        assert tail.statistics().missed == 90
        again = tail.subscribe(missed.cursor)
        assert await take_numbers(again, 1) == [90]
        await say(hub, 100)
        assert await take_numbers(slow, 1) == [100]


async def test_idle_subscribers_keep_nothing() -> None:
    tail = LiveTail()
    async with Hub(MemoryStore(), listeners=[tail], ring=100) as hub:
        subscribers = [tail.subscribe() for _ in range(3)]
        await say(hub, *range(1500))
        assert tail._feed is not None
        assert not tail._feed._items
        assert not any(subscriber._rest for subscriber in subscribers)


async def test_the_shared_cache_is_bounded() -> None:
    tail = LiveTail()
    async with Hub(MemoryStore(), listeners=[tail]) as hub:
        subscriber = tail.subscribe(pattern=NUMBERS)
        for number in range(6000):
            hub.emit_nowait(GenericEvent(kind=NUMBERS, data={"number": number}))
            if number % 100 == 0:
                await hub.flush()
        assert await take_numbers(subscriber, 6000) == list(range(6000))
        assert tail._feed is not None
        assert len(tail._feed._items) == 4096
        assert len(tail._feed._batches) <= 64


# --- cursors --------------------------------------------------------------------------------------------------------


async def test_a_cursor_is_safe_in_a_url() -> None:
    """It says hub and place, and no more, behind its signature."""
    tail = LiveTail()
    async with Hub(listeners=[tail]) as hub:
        cursor = tail.cursor_after(2**53)
        assert cursor.replace("-", "").replace("_", "").isalnum()
        assert base64.urlsafe_b64decode(cursor + "==")[16:].decode() == f"{2**53}@{hub.id}@"


async def test_a_cursor_of_another_hub_is_refused() -> None:
    theirs, ours = LiveTail(), LiveTail()
    async with Hub(listeners=[theirs]) as their_hub, Hub(listeners=[ours]) as our_hub:
        cursor = theirs.subscribe().cursor
        with pytest.raises(InvalidCursor, match=f"{their_hub.id}.*{our_hub.id}"):
            ours.subscribe(cursor)
        assert issubclass(InvalidCursor, CallerError)
        assert ours.statistics().subscribers == 0


async def test_a_cursor_beyond_the_end_is_refused() -> None:
    tail = LiveTail()
    async with quiet(Hub(listeners=[tail])) as hub:
        newest = hub.statistics().committed - 1
        tail.subscribe(tail.cursor_after(newest))
        with pytest.raises(InvalidCursor, match="restored from an older copy"):
            tail.subscribe(tail.cursor_after(newest + 1))


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


BAD = ["", " ", "=", "a", "!!!!", "Zm9v", "é", "0", encoded("x@hub"), encoded("-2@hub"), encoded("1@"), encoded("1")]
BAD += [
    encoded("01@hub"),
    encoded("1_0@hub"),
    encoded("١@hub"),
    encoded("1@hub") + "=",
    encoded("1@hub") + "\n",
    "A" * 600,
]


@pytest.mark.parametrize("cursor", BAD)
async def test_a_malformed_cursor_is_refused(cursor: str) -> None:
    tail = LiveTail()
    async with Hub(listeners=[tail]):
        with pytest.raises(InvalidCursor, match="is not a cursor"):
            tail.subscribe(cursor)


@pytest.mark.slow
@given(cursor=st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()) | st.integers())
async def test_only_cursors_are_cursors(cursor: Any) -> None:
    tail = LiveTail()
    async with Hub(listeners=[tail]):
        with pytest.raises(InvalidCursor):
            tail.subscribe(cursor)


# --- many -----------------------------------------------------------------------------------------------------------


async def test_the_number_of_subscribers_is_bounded() -> None:
    """One that was garbage collected does not count."""
    tail = LiveTail(subscribers_max=2)
    async with Hub(listeners=[tail]) as hub:
        first, second = tail.subscribe(), tail.subscribe()
        with pytest.raises(Overloaded, match="2 subscribers"):
            tail.subscribe()
        assert tail.statistics().refused == 1
        del first
        gc.collect()
        third = tail.subscribe(pattern=NUMBERS)
        assert tail.statistics().subscribers == 2
        await say(hub, 7)
        assert await take_numbers(third, 1) == [7]
        assert second.lag == 1


async def test_a_cancelled_reader_leaves_no_subscriber() -> None:
    tail = LiveTail()
    async with Hub(listeners=[tail]):
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(drain, tail.subscribe())
            await anyio.wait_all_tasks_blocked()
            assert tail.statistics().subscribers == 10
            tasks.cancel_scope.cancel()
        gc.collect()
        assert tail.statistics().subscribers == 0


@pytest.mark.slow
@pytest.mark.parametrize("events", [1, 3000], ids=["one event", "more than ten batches each"])
async def test_ten_thousand_subscribers_share_the_loop(events: int) -> None:
    """Counted in turns of the loop: in none of them may more than a slice of the subscribers have been served."""
    tail = LiveTail()
    async with Hub(listeners=[tail]) as hub:
        served = turn = worst = 0
        counts = [0] * 10_000
        started = 0

        async def read(number: int, subscriber: Subscriber) -> None:
            nonlocal served, started
            started += 1
            async for batch in subscriber.batches():
                served += 1
                counts[number] += len(batch)
                if counts[number] >= events:
                    return

        async def watch() -> None:
            nonlocal turn, served, worst
            while True:
                await asyncio.sleep(0)
                turn += 1
                worst = max(worst, served)
                served = 0

        async with anyio.create_task_group() as tasks:
            async with anyio.create_task_group() as readers:
                for number in range(10_000):
                    readers.start_soon(read, number, tail.subscribe(pattern=NUMBERS))
                while started < 10_000:
                    await checkpoint()
                tasks.start_soon(watch)
                await checkpoint()
                for number in range(events):
                    hub.emit_nowait(GenericEvent(kind=NUMBERS, data={"number": number}))
                    if number % 1000 == 999:
                        await hub.flush()
            tasks.cancel_scope.cancel()
        assert counts == [events] * 10_000
        assert worst <= 1000
        assert turn >= 20
        assert tail.statistics().sent == events * 10_000


# --- what leaves ----------------------------------------------------------------------------------------------------


async def test_an_event_is_redacted_once_for_all() -> None:
    """It is encoded once, too."""
    calls: list[int] = []

    def redact(event: Event) -> Event:
        calls.append(event.seq)
        return attrs.evolve(event, data={"number": 0}) if isinstance(event, GenericEvent) else event  # type: ignore[misc]

    tail = LiveTail(redactor=redact)
    async with quiet(Hub(MemoryStore(), listeners=[tail])) as hub:
        subscribers = [tail.subscribe(pattern=pattern) for pattern in ("*", NUMBERS, "number.*") for _ in range(5)]
        await say(hub, *range(1, 11))
        items = [[await anext(subscriber) for _ in range(10)] for subscriber in subscribers]
        assert sorted(calls) == sorted(set(calls))
        assert len({id(item) for each in items for item in each}) == 10
        first = items[0][0]
        assert isinstance(first, TailItem)
        assert json.loads(first.line)["data"] == {"number": 0}
        assert first.line is first.line
        late = tail.subscribe(items[0][4].cursor)
        assert [await anext(late) for _ in range(5)] == items[0][5:]
        assert len(calls) == len(set(calls))


async def test_subscribers_at_one_place_share_a_batch() -> None:
    tail = LiveTail()
    async with Hub(listeners=[tail]) as hub:
        one, other = tail.subscribe(pattern=NUMBERS), tail.subscribe(pattern=NUMBERS)
        await say(hub, 1, 2)
        assert await one.take() is await other.take()


async def test_a_withheld_event_is_not_seen() -> None:
    """An event that the redactor withholds delays no other event."""

    def redact(event: Event) -> Event | None:
        return None if isinstance(event, GenericEvent) and event.data["number"] % 2 else event

    tail = LiveTail(redactor=redact)
    async with Hub(listeners=[tail]) as hub:
        subscriber = tail.subscribe(pattern=NUMBERS)
        await say(hub, 1, 2, 3, 4)
        assert await take_numbers(subscriber, 2) == [2, 4]


@pytest.mark.parametrize("answer", ["raises", "no event", "no JSON"])
async def test_a_failing_redactor_leaks_no_payload(answer: str) -> None:
    def redact(event: Event) -> Any:
        if answer == "raises":
            raise ValueError("secret")
        return {"secret": 1} if answer == "no event" else attrs.evolve(event, metadata=object())  # type: ignore[misc]

    tail = LiveTail(redactor=redact)
    async with quiet(Hub(listeners=[tail])) as hub:
        subscriber = tail.subscribe()
        emitted = await hub.emit(GenericEvent(kind="secret.said", data={"text": "secret"}, metadata={"who": "secret"}))
        item = await anext(subscriber)
        assert isinstance(item, TailItem)
        assert b"secret" not in item.line.replace(b"secret.said", b"")
        assert (item.event.seq, item.event.id, item.event.kind) == (emitted.seq, emitted.id, "secret.said")
        assert tail.statistics().redaction_failures == 1
        assert hub.health().problems[0].startswith("listener 'LiveTail' has left out the contents of 1 events")
        assert hub.statistics().attachments[0].withheld == 1


@pytest.fixture
def forgotten_kind() -> Iterator[type[Event]]:
    @event("secret.kept")
    class SecretKept(Event):
        text: str

    yield SecretKept
    _declare._kinds.pop("secret.kept", None)


async def test_unknown_events_are_redacted_in_their_bytes(forgotten_kind: Any) -> None:
    def redact(event: Event) -> Event:
        return attrs.evolve(event, fields={"text": "***"}) if isinstance(event, UnknownEvent) else event  # type: ignore[misc]

    store, tail = MemoryStore(), LiveTail(redactor=redact)
    async with Hub(store) as hub:
        seq = (await hub.emit(forgotten_kind(text="secret", agent_id="a"))).seq
    _declare._kinds.pop("secret.kept")
    async with Hub(store, listeners=[tail]):
        item = await anext(tail.subscribe(tail.cursor_after(seq - 1)))
        assert isinstance(item, TailItem)
        assert json.loads(item.line)["text"] == "***"
        assert json.loads(item.line)["agent_id"] == "a"
        assert b"secret" not in item.line.replace(b"secret.kept", b"")


# --- beginning and end ----------------------------------------------------------------------------------------------


async def test_a_tail_needs_a_running_hub() -> None:
    tail = LiveTail()
    with pytest.raises(ConfigurationError, match="not attached"):
        tail.subscribe()
    hub = Hub(listeners=[tail])
    with pytest.raises(HubClosed):
        tail.subscribe()
    async with hub:
        with pytest.raises(ConfigurationError, match="no pattern is given"):
            tail.subscribe(pattern=())
    with pytest.raises(ConfigurationError, match="at least 1"):
        LiveTail(subscribers_max=0)


async def test_subscribers_end_with_the_hub() -> None:
    tail = LiveTail()
    kinds: list[str] = []
    async with anyio.create_task_group() as tasks, quiet(Hub(listeners=[tail])) as hub:
        waiting = tail.subscribe()

        async def read() -> None:
            async for batch in waiting.batches():
                kinds.extend(item.event.kind for item in batch if isinstance(item, TailItem))

        tasks.start_soon(read)
        await say(hub, 1)
    assert kinds == [NUMBERS, "hub.stopped"]
    assert await waiting.take() == ()


async def test_subscribers_raise_the_failure_of_the_hub() -> None:
    class Broken:
        duty = Duty.REQUIRED

        async def on_events(self, events: Sequence[Event]) -> None:
            if any(each.kind == NUMBERS for each in events):
                raise RuntimeError("broken")

    tail = LiveTail()
    hub = Hub(MemoryStore(), listeners=[Broken(), tail])
    await hub.start()
    await anyio.wait_all_tasks_blocked()
    subscriber = tail.subscribe()
    with pytest.raises(ListenerFailed):
        await say(hub, 1)
    with pytest.raises(ListenerFailed):
        await anext(subscriber)
    with pytest.raises(ListenerFailed):
        await hub.aclose()


async def test_statistics_of_a_tail() -> None:
    tail = LiveTail(subscribers_max=7)
    async with quiet(Hub(listeners=[tail])) as hub:
        quick, slow = tail.subscribe(pattern=NUMBERS), tail.subscribe()
        await say(hub, *range(10))
        await take_numbers(quick, 10)
        await anext(slow)
        statistics = tail.statistics()
        assert attrs.asdict(statistics) == {
            "subscribers": 2,
            "subscribers_max": 7,
            "subscribed": 2,
            "refused": 0,
            "lag_max": 9,
            "sent": 20,
            "missed": 0,
            "redaction_failures": 0,
        }
