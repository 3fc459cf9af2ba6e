"""The ring: watermarks, waking, memory, cursors, and the readers over it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import anyio
import hypothesis
import hypothesis.strategies as st
import pytest

from hubwire import Duty, Event, GenericEvent, Hub, Overflow
from hubwire._commit.ring import Ring, Watermark
from hubwire._delivery.matcher import Matcher
from hubwire._delivery.replays import Replays
from hubwire.errors import HistoryGone, Overloaded
from hubwire.events import MailboxOverflowed
from hubwire.stores import MemoryStore
from hubwire.testing import GatedRecorder, ManualClock, Recorder
from support import GatedStore, numbers, said, until, until_idle


def heard(n: int = 0) -> GenericEvent:
    return GenericEvent(kind="number.heard", data={"n": n})


def numbered(*seqs: int) -> list[Event]:
    return [GenericEvent(seq=seq, kind="number.said") for seq in seqs]


class Turns:
    """Counts how often the loop turns, by a callback that calls itself."""

    def __init__(self) -> None:
        self.count = 0
        self._turn()

    def _turn(self) -> None:
        self.count += 1
        self._handle = asyncio.get_running_loop().call_soon(self._turn)

    def end(self) -> int:
        self._handle.cancel()
        return self.count


# --- watermarks -----------------------------------------------------------------------------------------------------


async def test_a_watermark_wakes_those_it_passes() -> None:
    watermark, woken = Watermark(), list[int]()

    async def wait(value: int) -> None:
        assert await watermark.wait_beyond(value)
        woken.append(value)

    async with anyio.create_task_group() as tasks:
        for value in (2, 0, 1, 5):
            tasks.start_soon(wait, value)
        await until_idle()
        assert woken == []
        watermark.advance(2)
        await until_idle()
        assert sorted(woken) == [0, 1]
        watermark.advance(6)
    assert sorted(woken) == [0, 1, 2, 5]
    assert await watermark.wait_beyond(5), "it is there already"


async def test_an_ended_watermark_releases_all() -> None:
    watermark = Watermark()
    waiting = asyncio.create_task(watermark.wait_beyond(0))
    await until_idle()
    watermark.end()
    assert await waiting is False
    assert await watermark.wait_beyond(0) is False
    await watermark.next_move()


async def test_waiters_are_woken_in_slices() -> None:
    """The loop turns between the slices of ten thousand."""
    watermark = Watermark()
    woken_at: list[int] = []
    futures = [watermark.next_move() for _ in range(10_000)]
    turns = Turns()
    for future in futures:
        future.add_done_callback(lambda _: woken_at.append(turns.count))
    watermark.advance(1)
    assert sum(future.done() for future in futures) == 500
    await until(lambda: len(woken_at) == 10_000)
    turns.end()
    assert max(woken_at) - min(woken_at) >= 19
    assert max(woken_at.count(turn) for turn in set(woken_at)) <= 500


@pytest.mark.slow
async def test_emitters_are_woken_in_slices() -> None:
    """The loop turns between the slices of ten thousand."""
    store = GatedStore()
    async with Hub(store, in_flight_max=20_000) as hub:
        await hub.flush()
        store.gate.close()
        woken_at: list[int] = []
        async with anyio.create_task_group() as tasks:

            async def emit(n: int) -> None:
                await hub.emit(said(n))
                woken_at.append(turns.count)

            for n in range(10_000):
                tasks.start_soon(emit, n)
            await until_idle()
            assert hub.statistics().in_flight == 10_000
            turns = Turns()
            store.gate.open()
        turns.end()
        assert len(woken_at) == 10_000
        assert max(woken_at.count(turn) for turn in set(woken_at)) <= 500


async def test_abandoned_waits_leave_nothing_behind() -> None:
    watermark = Watermark()
    staying = [asyncio.create_task(watermark.wait_beyond(0)) for _ in range(10)]
    await until_idle()
    for _ in range(10_000):
        watermark.next_move().cancel()
    assert len(watermark._waiters) < 1100
    watermark.advance(1)
    assert all(await asyncio.gather(*staying))


# --- the ring itself ------------------------------------------------------------------------------------------------


async def test_a_ring_forgets_in_steps() -> None:
    ring = Ring(10)
    ring.put(numbered(*range(1000)))
    assert ring.applied.value < ring.trim_at, "not worth it yet"
    ring.put(numbered(*range(1000, 1100)))
    assert ring.applied.value >= ring.trim_at
    assert ring.excess_end == 1090
    ring.forget_before(1090)
    assert (ring.first, ring.applied.value) == (1090, 1100)
    assert [each.seq for each in ring.slice(1095, 1098)] == [1095, 1096, 1097]
    ring.forget_before(1000)
    assert ring.first == 1090


async def test_a_ring_may_start_anywhere() -> None:
    ring = Ring(10)
    ring.start_at(1000)
    assert [mark.value for mark in (ring.applied, ring.journaled, ring.committed)] == [1000] * 3
    ring.put(numbered(1000, 1001))
    assert [each.seq for each in ring.slice(1001, 2000)] == [1001]


async def test_the_watermarks_are_always_in_order() -> None:
    store, seen = MemoryStore(), set[bool]()

    def look(hub: Hub) -> None:
        statistics = hub.statistics()
        seen.add(statistics.applied >= statistics.journaled >= statistics.committed)

    async with Hub(store) as hub:
        await hub.attach(GatedRecorder(), duty=Duty.REQUIRED).ready()
        async with anyio.create_task_group() as tasks:
            for n in range(100):
                tasks.start_soon(hub.emit, said(n))
                look(hub)
                await asyncio.sleep(0)
                look(hub)
        look(hub)
    look(hub)
    assert seen == {True}


# --- memory ---------------------------------------------------------------------------------------------------------


async def test_the_ring_grows_for_one_big_command() -> None:
    """It shrinks after the command."""
    async with Hub(MemoryStore(), ring=100, in_flight_max=10, listeners=[Recorder()]) as hub:
        await hub.flush()
        before = hub.statistics().applied
        stamped = await hub._pipeline.execute(lambda: [said(n) for n in range(5000)])
        assert hub.statistics().ring_events >= 5000
        assert [each.seq for each in stamped] == list(range(before, before + 5000))
        await hub.emit(said(5000))
        assert hub.statistics().ring_events <= 100 + 2


@pytest.mark.slow
async def test_a_stuck_lossy_listener_costs_no_memory() -> None:
    stuck, recorder = GatedRecorder(), Recorder()
    most = 0
    async with Hub(ring=1000, clock=ManualClock()) as hub:
        hub.attach(recorder, pattern="mailbox.*")
        attachment = hub.attach(stuck, pattern="number.*")
        await attachment.ready()
        await hub.flush()
        stuck.close()
        await hub.emit(said(0))
        await until_idle()
        for n in range(1, 100_000):
            hub.emit_nowait(said(n))
            if n % 50 == 0:
                most = max(most, hub.statistics().ring_events)
                await asyncio.sleep(0)
        assert 1000 <= most <= 1000 + 1024
        stuck.open()
        await hub.flush()
        statistics = attachment.statistics()
        assert statistics.handled + statistics.dropped == 100_000
        assert statistics.handled <= 1 + 1000
    told = [
        each for each in recorder.events if isinstance(each, MailboxOverflowed) and each.listener == "GatedRecorder"
    ]
    assert sum(each.count for each in told) == statistics.dropped
    lost = {n for each in told for n in range(each.first_seq, each.last_seq + 1)}
    assert lost.isdisjoint(each.seq for each in stuck.events)


@pytest.mark.parametrize("settings", [{"duty": Duty.REQUIRED}, {"overflow": Overflow.BLOCK, "mailbox": 50}])
async def test_stuck_backpressure_costs_no_memory(settings: dict[str, Any]) -> None:
    """A REQUIRED or blocking listener that is stuck stops the emitters instead."""
    stuck = GatedRecorder()
    async with Hub(ring=10, in_flight_max=50) as hub:
        await hub.attach(stuck, **settings).ready()
        await hub.flush()
        stuck.close()
        with pytest.raises(Overloaded):
            while True:
                hub.emit_nowait(said())
                await until_idle()
        assert hub.statistics().ring_events <= 10 + 1024 + 50
        stuck.open()


async def test_the_ring_keeps_what_backpressure_needs() -> None:
    """What a listener that is waited for has not read stays on the ring."""
    slow = GatedRecorder()
    async with Hub(ring=1, in_flight_max=5000) as hub:
        await hub.attach(slow, duty=Duty.REQUIRED).ready()
        await hub.flush()
        slow.close()
        for n in range(5000):
            hub.emit_nowait(said(n))
        slow.open()
        await hub.flush()
        assert numbers(slow.events) == list(range(5000))
        await hub.emit(said())
        assert hub.statistics().ring_events < 1100


@pytest.mark.slow
async def test_listeners_are_woken_once_a_batch() -> None:
    """Ten listeners get a hundred thousand events."""
    recorders = [Recorder() for _ in range(10)]
    async with Hub(listeners=recorders) as hub:
        await hub.flush()
        for recorder in recorders:
            recorder.batches.clear()
        for n in range(100_000):
            hub.emit_nowait(said(n))
            if n % 1000 == 999:
                await hub.flush()
        for recorder in recorders:
            assert recorder.batches == [256, 256, 256, 232] * 100
            assert numbers(recorder.events[-100_000:]) == list(range(100_000))


async def test_statistics_of_a_hub_are_complete() -> None:
    store = MemoryStore()
    async with Hub(store, in_flight_max=2) as hub:
        agents = [await hub.agents.register(name) for name in ("a", "b")]
        channel = await hub.channels.open(agents)
        await channel.post(agents[0], "hello")
        required = GatedRecorder()
        await hub.attach(required, duty=Duty.REQUIRED, name="required").ready()
        await hub.flush()
        required.close()
        async with anyio.create_task_group() as tasks:
            for n in range(3):
                tasks.start_soon(hub.emit, said(n))
            await until_idle()
            assert not hub.offer(said())
            statistics = hub.statistics()
            assert (statistics.applied, statistics.journaled, statistics.committed) == (9, 9, 7)
            assert (statistics.in_flight, statistics.emitters_waiting, statistics.offers_dropped) == (2, 1, 1)
            assert (statistics.agents, statistics.channels, statistics.envelopes_pending) == (2, 1, 1)
            assert statistics.ring_events == 9
            assert [(each.name, each.lag) for each in statistics.attachments] == [("required", 2)]
            required.open()
    assert hub.statistics().committed == hub.statistics().applied


# --- readers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ring", [1, 4096])
async def test_events_join_history_and_live(ring: int) -> None:
    """There is neither a gap nor a duplicate; the history is longer than the ring, and grows while it is read."""
    store = MemoryStore()
    async with Hub(store, ring=ring) as hub:
        for n in range(2000):
            hub.emit_nowait(said(n))
            if n % 500 == 0:
                await hub.flush()
        await hub.flush()
        stream = hub.events(after=-1, pattern="number.said")
        got: list[Event] = []
        async with anyio.create_task_group() as tasks:

            async def emit_more() -> None:
                for n in range(2000, 6000):
                    hub.emit_nowait(said(n))
                    if n % 100 == 0:
                        await hub.flush()

            tasks.start_soon(emit_more)
            async for each in stream:
                got.append(each)
                if len(got) == 6000:
                    break
                if len(got) % 10 == 0:
                    await asyncio.sleep(0)
        assert numbers(got) == list(range(6000))
        assert [each.seq for each in got] == sorted({each.seq for each in got})
        following = asyncio.create_task(anext(stream))
        await until_idle()
        assert not following.done()
        last = await hub.emit(said(6000))
        assert await following == last


async def test_events_after_a_seq() -> None:
    """They begin with the next one, also across restarts."""
    store = MemoryStore()
    async with Hub(store) as hub:
        stamped = [await hub.emit(said(n)) for n in range(5)]
    async with Hub(store) as hub:
        await hub.emit(said(5))
        stream = hub.events(after=stamped[2].seq, pattern="number.*")
        assert [numbers([await anext(stream)])[0] for _ in range(3)] == [3, 4, 5]


async def test_events_begin_with_now_by_default() -> None:
    async with Hub(MemoryStore()) as hub:
        await hub.emit(said(1))
        stream = hub.events()
        await hub.emit(said(2))
        assert numbers([await anext(stream)]) == [2]


async def test_events_that_are_gone_are_reported() -> None:
    """What is neither on the ring nor in a journal raises HistoryGone."""
    async with Hub(ring=10) as hub:
        await hub.emit(said(0))
        slow = hub.events(after=-1)
        assert (await anext(slow)).kind == "hub.started"
        for n in range(5000):
            await hub.emit(said(n))
        first = hub.statistics().applied - hub.statistics().ring_events
        with pytest.raises(HistoryGone) as raised:
            await anext(hub.events(after=-1))
        assert raised.value.first_seq == first
        going_on = hub.events(after=raised.value.first_seq - 1)
        assert (await anext(going_on)).seq == first
        assert (await anext(slow)).seq == 1, "it has the rest of its batch"
        with pytest.raises(HistoryGone):
            await anext(slow)


async def test_a_cancelled_journal_read_misses_nothing() -> None:
    class Slow(MemoryStore):
        gate: anyio.Event | None = None

        async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
            if self.gate is not None:
                await self.gate.wait()
            return await super().read_bytes(path, start, end)

    store = Slow()
    async with Hub(store, ring=1) as hub:
        for n in range(2000):
            hub.emit_nowait(said(n))
            if n % 500 == 0:
                await hub.flush()
        await hub.flush()
        stream = hub.events(after=-1, pattern="number.*")
        got = [await anext(stream) for _ in range(3)]
        for _ in range(5):
            store.gate = anyio.Event()
            hub._parts.fanout.replays = Replays(hub._parts.fanout.journal)  # type: ignore[arg-type] # has read nothing yet
            stream_of_another = hub.events(after=-1, pattern="number.*")
            reading = asyncio.create_task(anext(stream_of_another))
            await until_idle()
            reading.cancel()
            await asyncio.wait([reading])
            store.gate.set()
            assert numbers([await anext(stream_of_another)]) == [0]
        got += [await anext(stream) for _ in range(1997)]
        assert numbers(got) == list(range(2000))


async def test_a_replay_may_survive_cancellation() -> None:
    """Not every iterator ends when it is cancelled, as a generator does; what it had given is read again."""

    class Replay:
        def __init__(self, journal: Journal, seq: int) -> None:
            self.journal, self.seq = journal, seq

        def __aiter__(self) -> Replay:
            return self

        async def __anext__(self) -> Event:
            if self.seq == len(self.journal.events):
                raise StopAsyncIteration
            if self.seq == 5:
                await self.journal.gate.wait()
            self.seq += 1
            return self.journal.events[self.seq - 1]

    class Journal:
        first_seq = 0
        hub_id = None
        path = "/journal"
        size_bytes = 0
        epoch = 0

        def __init__(self) -> None:
            self.store = MemoryStore()
            self.events: list[Event] = []
            self.gate = anyio.Event()

        @property
        def next_seq(self) -> int:
            return len(self.events)

        async def open(self) -> None: ...

        async def aclose(self) -> None: ...

        async def truncate_before(self, seq: int) -> None: ...

        async def check(self) -> None: ...

        async def keep(self, name: str, content: bytes | None) -> None: ...

        async def kept(self) -> dict[str, bytes]:
            return {}

        async def append(self, events: Sequence[Event]) -> None:
            self.events += events

        def replay(self, after: int = -1) -> Replay:
            return Replay(self, after + 1)

    journal = Journal()
    async with Hub(journal=journal, ring=1) as hub:
        for n in range(2000):
            hub.emit_nowait(said(n))
            if n % 500 == 0:
                await hub.flush()
        await hub.flush()
        stream = hub.events(after=-1)
        reading = asyncio.create_task(anext(stream))
        await until_idle()
        reading.cancel()
        await asyncio.wait([reading])
        journal.gate.set()
        assert [(await anext(stream)).seq for _ in range(10)] == list(range(10))


async def test_invented_kinds_cost_no_memory() -> None:
    matcher = Matcher("made.*")
    for n in range(30_000):
        events = [GenericEvent(kind=f"made.up_{n}"), GenericEvent(kind=f"not.made_{n}")]
        assert matcher.select(events) == events[:1]
        assert matcher.select(events) == events[:1]
    assert len(matcher._known) <= 10_000 + 2


# --- whatever happens -----------------------------------------------------------------------------------------------

ACTIONS = st.one_of(
    st.tuples(st.just("emit"), st.integers(1, 40)),
    st.tuples(st.just("emit others"), st.integers(1, 40)),
    st.tuples(st.just("await"), st.integers(1, 5)),
    st.tuples(st.just("turn"), st.integers(1, 5)),
    st.tuples(st.just("block"), st.integers(0, 3)),
    st.tuples(st.just("free"), st.integers(0, 3)),
    st.tuples(st.just("time"), st.just(1)),
)


@pytest.fixture(scope="module")
def _quick_to_trim() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hubwire._commit.ring._TRIM", 3)
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("_quick_to_trim")
@hypothesis.given(st.lists(ACTIONS, max_size=60), st.integers(1, 60), st.booleans())
@hypothesis.settings(max_examples=150)
async def test_any_history_is_complete_or_counted(
    actions: list[tuple[str, int]], mailbox: int, has_journal: bool
) -> None:
    """Each listener gets ascending seqs, and the events that it misses are counted exactly."""
    clock, witness = ManualClock(), Recorder()
    listeners = [GatedRecorder() for _ in range(4)]
    hub = Hub(MemoryStore() if has_journal else None, ring=30, in_flight_max=200, clock=clock)
    hub.attach(witness, mailbox=1_000_000, overflow=Overflow.BLOCK)
    settings: list[dict[str, Any]] = [
        {"duty": Duty.REQUIRED},
        {"overflow": Overflow.BLOCK, "mailbox": 150},
        {"mailbox": mailbox},
        {"mailbox": mailbox, "pattern": "number.said"},
    ]
    attachments = [
        hub.attach(listener, name=str(index), **{"pattern": "number.*", **settings[index]})
        for index, listener in enumerate(listeners)
    ]
    emitted: list[Event] = []
    async with hub:
        await hub.flush()
        for action, amount in actions:
            match action:
                case "emit" | "emit others":
                    for n in range(amount):
                        event = said(n) if action == "emit" else heard(n)
                        try:
                            emitted.append(hub.emit_nowait(event))
                        except Overloaded:
                            assert not hub.offer(event)
                case "await":
                    for listener in listeners[:2]:
                        listener.open()
                    emitted += [await hub.emit(said(n)) for n in range(amount)]
                case "turn":
                    for _ in range(amount):
                        await asyncio.sleep(0)
                case "block":
                    listeners[amount].close()
                case "free":
                    listeners[amount].open()
                case "time":
                    clock.advance(amount)
        for listener in listeners:
            listener.open()
        await hub.flush()
        for attachment, listener in zip(attachments, listeners, strict=True):
            statistics = attachment.statistics()
            matching = [each for each in emitted if statistics.name != "3" or each.kind == "number.said"]
            assert [each.seq for each in listener.events] == sorted({each.seq for each in listener.events})
            assert set(listener.events) <= set(matching)
            assert statistics.handled == len(listener.events)
            assert statistics.handled + statistics.dropped == len(matching)
            if int(statistics.name) < 2:
                assert listener.events == emitted
    for attachment in attachments[2:]:
        told = [
            each for each in witness.events if isinstance(each, MailboxOverflowed) and each.listener == attachment.name
        ]
        assert sum(each.count for each in told) == attachment.statistics().dropped
        missed = [each for each in emitted if each not in set(listeners[int(attachment.name)].events)]
        for each in told:
            assert sum(each.first_seq <= event.seq <= each.last_seq for event in missed) >= each.count
    assert [each.seq for each in witness.events if each in set(emitted)] == [each.seq for each in emitted]
