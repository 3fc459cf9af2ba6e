"""Budgets of bytes: what the ring, emitters, batches and listeners may hold, whatever the number of events is."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Sequence

import anyio
import pytest
from hypothesis import given, strategies as st

from hubwire import Duty, Event, GenericEvent, Hub, Limits, Overflow
from hubwire._commit.ring import Ring
from hubwire._commit.weights import LIGHT, Weights
from hubwire.codec import size_of
from hubwire.errors import ConfigurationError, Overloaded
from hubwire.events import MailboxOverflowed
from hubwire.stores import MemoryStore
from hubwire.testing import GatedRecorder, Recorder
from support import GatedStore, numbers, said, until, until_idle

KB = 1000
BUDGETS = ["ring_bytes_max", "in_flight_bytes_max", "batch_bytes_max", "thread_bytes_max"]


def heavy(n: int = 0, size: int = 10 * KB) -> GenericEvent:
    return GenericEvent(kind="number.said", data={"n": n, "text": "x" * size})


class Batches(Recorder):
    """Notes how much each batch weighs."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[int] = []

    async def on_events(self, events: Sequence[Event]) -> None:
        self.weights.append(sum(size_of(each) for each in events))
        await super().on_events(events)


class Turns:
    """Counts how often the loop turns."""

    def __init__(self) -> None:
        self.count = -1
        self._turn()

    def _turn(self) -> None:
        self.count += 1
        self._handle = asyncio.get_running_loop().call_soon(self._turn)

    def end(self) -> int:
        self._handle.cancel()
        return self.count


# --- limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUDGETS)
@pytest.mark.parametrize("value", [0, -1, True, 1.5, "1", float("nan"), None, [1]])
def test_a_budget_that_cannot_work_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be a whole number"):
        Limits(**{name: value})  # type: ignore[arg-type]


# --- weights --------------------------------------------------------------------------------------------------------


@given(
    steps=st.lists(st.one_of(st.integers(0, 9), st.just("forget")), max_size=40),
    start=st.integers(0, 30),
    length=st.integers(1, 30),
    bytes_max=st.integers(1, 40),
)
def test_weights_are_sums_over_stretches(steps: list[int | str], start: int, length: int, bytes_max: int) -> None:
    """Every answer is that of adding up one by one. Weights of 0 stand for light events, which are not noted."""
    weights, all_of_them, first = Weights(), list[int](), 0
    for step in steps:
        if isinstance(step, int):
            if step:
                weights.add(len(all_of_them), step)
            all_of_them.append(step)
        else:
            first = (first + len(all_of_them)) // 2
            weights.forget_before(first)
    assert weights.held() == sum(all_of_them[first:])
    start, end = first + start, first + start + length
    assert weights.between(start, end) == sum(all_of_them[start:end])
    fitting = [until for until in range(start, end + 1) if sum(all_of_them[start:until]) <= bytes_max]
    assert weights.end_within(start, end, bytes_max) == max(fitting[-1], start + 1)
    kept = weights.start_within(bytes_max)
    assert sum(all_of_them[max(kept, first) :]) <= bytes_max
    assert kept == 0 or sum(all_of_them[kept - 1 :]) > bytes_max


def test_a_ring_forgets_bytes_in_steps() -> None:
    """It keeps three quarters of its budget or more, and the newest event whatever that weighs."""
    ring = Ring(1000, bytes_max=100 * KB)
    for seq in range(10):
        ring.weigh(seq, 10 * KB)
        ring.put([GenericEvent(seq=seq, kind="number.said")])
    assert ring.applied.value < ring.trim_at
    ring.weigh(10, 10 * KB)
    ring.put([GenericEvent(seq=10, kind="number.said")])
    assert ring.applied.value >= ring.trim_at
    assert ring.excess_end == 4
    ring.forget_before(4)
    assert (ring.weights.held(), ring.first) == (70 * KB, 4)
    assert ring.applied.value < ring.trim_at
    ring.weigh(11, 500 * KB)
    ring.put([GenericEvent(seq=11, kind="number.said")])
    assert ring.excess_end == 11


# --- the ring -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_store", [False, True])
async def test_the_ring_holds_its_budget_of_bytes(has_store: bool) -> None:
    limits = Limits(ring_bytes_max=200 * KB)
    async with Hub(MemoryStore() if has_store else None, limits=limits) as hub:
        held = []
        for n in range(200):
            await hub.emit(heavy(n))
            held.append(hub.statistics().ring_events)
        assert 15 <= max(held[100:]) <= 22
        for n in range(200):
            await hub.emit(said(n))
        assert hub.statistics().ring_events > 200, "light events are bounded by their number"


async def test_large_events_do_not_fill_memory() -> None:
    """What five thousand of them held stays below the budget and what is kept with it."""
    async with Hub(limits=Limits(ring_bytes_max=1000 * KB, batch_bytes_max=200 * KB)) as hub:
        for n in range(200):
            await hub.emit(heavy(n))
        tracemalloc.start()
        try:
            for n in range(2000):
                await hub.emit(heavy(n))
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert held < 3000 * KB


async def test_every_reader_finds_what_the_ring_forgot() -> None:
    """DURABLE and the stream read it in the journal; BEST_EFFORT is told what it misses."""
    durable, slow, best_effort = GatedRecorder(), GatedRecorder(), Recorder()
    hub = Hub(MemoryStore(), limits=Limits(ring_bytes_max=100 * KB))
    hub.attach(durable, duty=Duty.DURABLE, pattern="number.said", name="durable")
    missing = hub.attach(slow, pattern="number.said", name="slow")
    hub.attach(best_effort, pattern="mailbox.overflowed")
    async with hub:
        await hub.flush()
        stream = hub.events(pattern="number.said")
        durable.close()
        slow.close()
        for n in range(100):
            await hub.emit(heavy(n))
        assert hub.statistics().ring_events < 15
        durable.open()
        slow.open()
        await hub.flush()
        assert numbers(durable.events) == list(range(100))
        assert [(await anext(stream)).seq for _ in range(100)] == [each.seq for each in durable.events]
    dropped = missing.statistics().dropped
    assert dropped == sum(each.count for each in best_effort.of(MailboxOverflowed)) > 50
    assert len(slow.events) + dropped == 100


async def test_one_event_may_be_heavier_than_any_budget() -> None:
    limits = Limits(ring_bytes_max=1, in_flight_bytes_max=1, batch_bytes_max=1)
    for store in (None, MemoryStore()):
        required, best_effort = Batches(), Batches()
        hub = Hub(store, limits=limits)
        hub.attach(required, duty=Duty.REQUIRED, pattern="number.said")
        hub.attach(best_effort, pattern="number.said")
        async with hub:
            for n in range(20):
                await hub.emit(heavy(n))
                await hub.flush()
            await hub.flush()
        assert numbers(required.events) == numbers(best_effort.events) == list(range(20))
        assert required.batches == [1] * 20


# --- in flight ------------------------------------------------------------------------------------------------------


async def test_emitters_wait_for_bytes_in_flight() -> None:
    store = GatedStore()
    async with Hub(store, limits=Limits(in_flight_bytes_max=100 * KB)) as hub:
        await hub.flush()
        store.gate.close()
        for n in range(10):
            hub.emit_nowait(heavy(n))
        with pytest.raises(Overloaded, match=r"10 events of 100,\d{3} bytes wait to be committed"):
            hub.emit_nowait(said())
        assert not hub.offer(said())
        waiting = asyncio.create_task(hub.emit(said(10)))
        await until_idle()
        assert not waiting.done()
        assert hub.statistics().emitters_waiting == 1
        store.gate.open()
        assert (await waiting).seq == hub.statistics().applied - 1


async def test_heavy_emitters_are_let_in_one_by_one() -> None:
    """However many wait, what is in flight stays near its budget, and all come in their order."""
    store, heard = GatedStore(), Recorder()
    hub = Hub(store, limits=Limits(in_flight_bytes_max=100 * KB, in_flight_max=64, ring_bytes_max=1000 * KB))
    hub.attach(heard, duty=Duty.REQUIRED, pattern="number.said")
    heaviest = 0
    async with hub, anyio.create_task_group() as tasks:
        await hub.flush()
        for n in range(500):
            tasks.start_soon(hub.emit, heavy(n))
        ring = hub._pipeline.ring
        while ring.committed.value < 500:
            heaviest = max(heaviest, ring.bytes_in_flight)
            await asyncio.sleep(0)
    assert numbers(heard.events) == list(range(500))
    assert heaviest < 150 * KB


async def test_few_are_let_in_after_light_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may all be heavy: what is admitted at once is bounded by a small number, not by `in_flight_max`."""
    store = GatedStore()
    async with Hub(store, limits=Limits(in_flight_bytes_max=100 * KB)) as hub, anyio.create_task_group() as tasks:
        await hub.flush()
        store.gate.close()
        while hub.offer(said()):
            pass
        for n in range(500):
            tasks.start_soon(hub.emit, heavy(n))
        await until_idle()
        ring = hub._pipeline.ring
        weighed: list[int] = []
        weigh = Ring.weigh

        def note(self: Ring, seq: int, weight: int) -> None:
            weigh(self, seq, weight)
            weighed.append(self.weights.between(self.committed.value, seq + 1))

        monkeypatch.setattr(Ring, "weigh", note)
        store.gate.open()
        await until(lambda: len(weighed) == 500 and not ring.in_flight)
    assert max(weighed) < 45 * 11 * KB


async def test_a_listener_that_holds_the_commit_has_a_reserve_of_bytes() -> None:
    refused: list[str] = []

    class Emitting:
        duty = Duty.REQUIRED
        pattern = "start.given"

        def bind(self, hub: Hub) -> None:
            self.hub = hub

        async def on_events(self, _: Sequence[Event]) -> None:
            try:
                for n in range(100):
                    await self.hub.emit(heavy(n))
            except Overloaded as error:
                refused.append(str(error))

    async with Hub(listeners=[Emitting()], limits=Limits(in_flight_bytes_max=100 * KB)) as hub:
        await hub.emit(GenericEvent(kind="start.given"))
        assert 19 <= hub.statistics().applied - 3 <= 22
    assert len(refused) == 1
    assert "a listener that the commit waits for emits more" in refused[0]


async def test_emitters_wait_for_a_blocking_listener_of_bytes() -> None:
    slow = GatedRecorder()
    hub = Hub(limits=Limits(ring_bytes_max=100 * KB))
    hub.attach(slow, overflow=Overflow.BLOCK, pattern="number.said", mailbox=1000)
    async with hub:
        await hub.flush()
        slow.close()
        admitted = 0
        while hub.offer(heavy(admitted)):
            admitted += 1
        assert admitted == 10
        slow.open()
        await hub.flush()
        assert numbers(slow.events) == list(range(10))


# --- batches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("duty", [Duty.REQUIRED, Duty.BEST_EFFORT])
async def test_a_batch_has_its_budget_of_bytes(duty: Duty) -> None:
    heard = Batches()
    hub = Hub(limits=Limits(batch_bytes_max=50 * KB))
    hub.attach(heard, duty=duty, pattern="number.said")
    async with hub:
        for n in range(100):
            hub.emit_nowait(heavy(n))
        for n in range(100, 200):
            hub.emit_nowait(said(n))
        await hub.flush()
    assert numbers(heard.events) == list(range(200))
    assert max(heard.weights) <= 50 * KB
    assert max(heard.batches) >= 50, "light events make large batches"


async def test_the_journal_appends_its_budget_of_bytes() -> None:
    store = GatedStore()
    async with Hub(store, limits=Limits(batch_bytes_max=50 * KB)) as hub:
        await hub.flush()
        store.gate.close()
        hub.emit_nowait(said())
        await until(lambda: len(store.appends) > 1)
        before = len(store.appends)
        for n in range(40):
            hub.emit_nowait(heavy(n))
        store.gate.open()
        await hub.flush()
        assert all(number <= 4 for number in store.appends[before : before + 10])
        assert sum(store.appends[before:]) == 40


# --- turns ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", [False, True])
async def test_emitters_yield_whatever_the_numbers_are(odd: bool) -> None:
    """Two events a time, of which one is waited for: a multiple of 128 may never be among those."""
    heard = Recorder()
    async with Hub(listeners=[heard]) as hub:
        await hub.flush()
        if odd:
            await hub.emit(said())
        turns = Turns()
        for n in range(2000):
            hub.emit_nowait(said(n))
            await hub.emit(said(n))
        assert turns.end() >= 4000 // 130
        assert hub.statistics().attachments[0].dropped == 0


@pytest.mark.parametrize("odd", [False, True])
async def test_commands_yield_whatever_the_numbers_are(odd: bool) -> None:
    async with Hub() as hub:
        one, other = await hub.agents.register("one"), await hub.agents.register("other")
        if odd:
            await hub.emit(said())
        before, turns = hub.statistics().applied, Turns()
        for _ in range(300):
            await hub.channels.open([one, other])
        assert turns.end() >= (hub.statistics().applied - before) // 130


async def test_heavy_emitters_yield_sooner() -> None:
    """A listener keeps up with events of which the ring holds few."""
    heard = Recorder()
    hub = Hub(limits=Limits(ring_bytes_max=400 * KB, batch_bytes_max=50 * KB))
    attachment = hub.attach(heard, pattern="number.said")
    async with hub:
        await hub.flush()
        turns = Turns()
        for n in range(200):
            await hub.emit(heavy(n))
        assert turns.end() >= 200 // 4
        await hub.flush()
        assert attachment.statistics().dropped == 0
        assert numbers(heard.events) == list(range(200))


async def test_light_events_have_no_weight() -> None:
    """What costs the hot path is one comparison an event."""
    async with Hub() as hub:
        for n in range(3000):
            await hub.emit(said(n))
        await hub.emit(GenericEvent(kind="number.said", data={"text": "x" * (LIGHT - 20)}))
        assert not hub._pipeline.ring.weights.seqs
        await hub.emit(GenericEvent(kind="number.said", data={"text": "x" * LIGHT}))
        assert len(hub._pipeline.ring.weights.seqs) == 1
