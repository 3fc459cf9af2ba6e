"""Snapshots and truncation: a start is short, the journal bounded, and the state what a replay of all history gives."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import anyio
import attrs
import pytest
from hypothesis import given, settings, strategies as st

from hubwire import Channel, Duty, Event, GenericEvent, Hub, StoreJournal
from hubwire._journal import snapshots
from hubwire._journal.snapshots import Snapshot, Snapshots, _encode, _Named
from hubwire._state import State
from hubwire.errors import ConfigurationError, HistoryGone, JournalBehind, LogDamaged, StoreFull
from hubwire.log import LogReader
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, peek
from support import copy_of, files_of, until_idle, until_tidy

SNAPSHOTS = "/journal/snapshots"
SEGMENTS = "/journal/log"


class History(MemoryStore):
    """Remembers every change in its order, so that a crash can be tried after each."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[tuple[str, str, bytes]] = []

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        await super().write(path, content, if_absent=if_absent, expect=expect)
        self.changes.append(("write", path, content.encode() if isinstance(content, str) else content))

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        offset = await super().append(path, content, expect=expect)
        self.changes.append(("append", path, content.encode() if isinstance(content, str) else content))
        return offset

    async def delete(self, path: str) -> None:
        await super().delete(path)
        self.changes.append(("delete", path, b""))


async def make(store: MemoryStore, change: tuple[str, str, bytes]) -> None:
    what, path, content = change
    if what == "write":
        await store.write(path, content)
    elif what == "append":
        await store.append(path, content)
    else:
        await store.delete(path)


def small_hub(store: MemoryStore, *listeners: Any, **settings: Any) -> Hub:
    clock = ManualClock()
    journal = StoreJournal(store, clock=clock, segment_bytes=1500)
    return Hub(journal=journal, clock=clock, listeners=listeners, **{"snapshot_bytes": 2500, **settings})


def seq_of(path: str) -> int:
    return int(path.rpartition("/")[2].partition("-")[0])


def replayed(events: Sequence[Event]) -> dict[str, Sequence[Any]]:
    state = State()
    for event in events:
        state.apply(event)
    return state.snapshot()


async def act(hub: Hub, chance: random.Random, steps: int, *, among_themselves: bool = False) -> None:
    """Do this and that with agents, channels and inboxes."""
    agents = [] if among_themselves else list(hub.agents.list())
    channels: list[Channel] = []
    for _ in range(steps):
        what = chance.random()
        channels = [channel for channel in channels if channel.is_open]  # who leaves may leave nobody to talk to
        if what < 0.2 or len(agents) < 2:
            agents.append(await hub.agents.register(f"agent-{chance.random()}", capabilities=["x"]))
        elif what < 0.35:
            channels.append(await hub.channels.open(chance.sample(agents, 2), topic="t"))
        elif what < 0.75 and channels:
            channel = chance.choice(channels)
            members = channel.participants
            if participants := [agent for agent in agents if agent.id in members]:
                await channel.post(chance.choice(participants), {"text": "x" * chance.randrange(50)})
        elif what < 0.85 and channels:
            await channels.pop(chance.randrange(len(channels))).close()
        elif what < 0.9 and len(agents) > 3:
            await agents.pop(chance.randrange(len(agents))).unregister()
        else:
            await hub.emit(GenericEvent(kind="number.said", data={"n": chance.randrange(100)}))


# --- the state ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(seed=st.integers(0, 2**32), lives=st.integers(1, 4))
@settings(max_examples=15)
async def test_a_truncated_journal_gives_the_whole_state(seed: int, lives: int) -> None:
    """A restart after truncation gives the state that a replay of all history gives."""
    chance, store, history = random.Random(seed), History(), Recorder()
    for life in range(lives):
        async with small_hub(store) as hub:
            hub.attach(history, duty=Duty.REQUIRED, since=len(history.events), name="history")
            for _ in range(3):
                await act(hub, chance, 30)
                await until_tidy(hub)
        assert peek(hub) == replayed(history.events), f"life {life}"
        journal = hub.statistics().journal
        assert journal is not None
        if life:
            assert journal.first_seq > 0, "nothing was truncated, so nothing was proved"
    assert [event.seq for event in history.events] == list(range(len(history.events)))


async def test_a_start_replays_only_newer_events() -> None:
    """It replays no event that the newest snapshot has."""
    store = History()
    async with small_hub(store) as hub:
        await act(hub, random.Random(1), 150)
        await until_tidy(hub)
        expected = peek(hub)
    journal = hub.statistics().journal
    assert journal is not None
    assert journal.snapshot_seq is not None

    read: list[int] = []

    class Reading(StoreJournal):
        def replay(self, after: int = -1) -> Any:
            read.append(after + 1)
            return super().replay(after)

    again = Hub(journal=Reading(await copy_of(store)))
    async with again:
        assert peek(again) == expected
        assert peek(again)["agents"] == expected["agents"]
    assert read == [journal.snapshot_seq - 1], "and the one before it, which proves that it is of this history"


async def test_a_snapshot_holds_one_moment() -> None:
    """It holds the moment at which it was begun, and no event that comes while it is made."""
    store, history = History(), Recorder()
    async with small_hub(store) as hub:
        hub.attach(history, duty=Duty.REQUIRED, since="start", name="history")
        async with anyio.create_task_group() as tasks:
            for seed in (2, 3):
                tasks.start_soon(partial(act, hub, random.Random(seed), 150, among_themselves=True))
        await until_tidy(hub)  # the snapshots are coded in a thread, and a hub that closes does not wait for one
    events = history.events
    taken = [(seq_of(path), content) for what, path, content in store.changes if SNAPSHOTS in path and content]
    assert taken, "nothing was proved"
    for seq, content in taken:
        machines = State()
        for event in events[:seq]:
            machines.apply(event)
        last = events[seq - 1]
        expected = Snapshot(seq=seq, hub=hub.id, at=last.at, entries=machines.snapshot(), last_id=last.id)
        assert _encode(expected) == content


async def test_a_snapshot_waits_for_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not written before everything in it is committed."""

    class Gate(Recorder):
        open = anyio.Event()

        async def on_events(self, events: Sequence[Event]) -> None:
            if any(event.kind == "number.said" for event in events):
                await self.open.wait()
            await super().on_events(events)

    saved: list[int] = []

    async def save(self: Snapshots, snapshot: Snapshot) -> None:
        saved.append(snapshot.seq)
        assert hub.statistics().committed >= snapshot.seq
        self._named.append(_Named("saved", snapshot.seq))

    monkeypatch.setattr(Snapshots, "save", save)
    gate = Gate()
    async with small_hub(MemoryStore()) as hub:
        await hub.attach(gate, duty=Duty.REQUIRED, name="gate").ready()
        for n in range(60):
            hub.emit_nowait(GenericEvent(kind="number.said", data={"n": n}))
        await until_idle()
        assert hub.statistics().journaled - hub.statistics().committed >= 60
        assert saved == []
        gate.open.set()
        await hub.flush()
        await until_idle()
        assert saved != []
        assert hub.health().healthy


async def test_snapshots_are_coded_off_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    for name in ("_encode", "_decode"):
        original = getattr(snapshots, name)

        def noted(*args: Any, original: Any = original) -> Any:
            threads.append(threading.current_thread())
            return original(*args)

        monkeypatch.setattr(snapshots, name, noted)
    store = MemoryStore()
    for _ in range(2):
        async with small_hub(store) as hub:
            await act(hub, random.Random(1), 60)
            await until_tidy(hub)
    assert len(threads) >= 2
    assert threading.main_thread() not in threads


async def test_a_large_state_is_written_seldom() -> None:
    """It is not written again before as many bytes were journaled."""
    store = History()
    async with small_hub(store, snapshot_bytes=1) as hub:
        for n in range(150):
            await hub.agents.register(f"agent-{n}")
            await until_tidy(hub)
    sizes = [len(content) for what, path, content in store.changes if SNAPSHOTS in path and what == "write"]
    journaled = sum(len(content) for what, path, content in store.changes if SEGMENTS in path and what == "append")
    assert len(sizes) > 3
    assert sum(sizes) < 3 * journaled


async def test_a_clean_close_may_leave_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves one if there is enough to replay."""
    store = MemoryStore()
    async with Hub(store) as hub:
        await act(hub, random.Random(1), 100)
    assert await store.list(SNAPSHOTS) == [], "a few events are replayed faster"
    monkeypatch.setattr("hubwire._journal.snapshotter._CLOSING_SNAPSHOT_BYTES", 1000)
    async with Hub(store) as hub:
        await act(hub, random.Random(2), 100)
    (name,) = await store.list(SNAPSHOTS)
    assert seq_of(name) == hub.statistics().applied
    async with Hub(store) as hub:
        pass
    assert len(await store.list(SNAPSHOTS)) == 1


async def test_time_never_goes_back_behind_a_snapshot() -> None:
    store, clock = MemoryStore(), ManualClock()
    async with Hub(store, clock=clock, snapshot_bytes=1000) as hub:
        for n in range(20):
            await hub.emit(GenericEvent(kind="number.said", data={"n": n}))
            await until_tidy(hub)
        last_at = (await hub.emit(GenericEvent(kind="number.said"))).at
    async with Hub(store, clock=ManualClock(start_ns=0)) as hub:
        assert (await hub.emit(GenericEvent(kind="number.said"))).at >= last_at


# --- damage ---------------------------------------------------------------------------------------------------------


async def truncated() -> tuple[MemoryStore, dict[str, Sequence[Any]], list[str]]:
    """A store whose journal does not go back to the beginning, the state it stands for, and its snapshots."""
    store = History()
    async with small_hub(store) as hub:
        for seed in range(5):
            await act(hub, random.Random(seed), 40)
            await until_tidy(hub)
        expected = peek(hub)
    journal = hub.statistics().journal
    assert journal is not None
    assert journal.first_seq > 0
    copy = await copy_of(store)
    names = await copy.list(SNAPSHOTS)
    assert len(names) == 2
    return copy, expected, [f"{SNAPSHOTS}/{name}" for name in names]


@pytest.mark.parametrize("how", ["cut", "flip", "empty", "other"])
async def test_a_damaged_snapshot_is_set_aside(how: str) -> None:
    """The one before it serves."""
    store, expected, (older, newest) = await truncated()
    content = await store.read_bytes(newest) or b""
    middle = len(content) // 2
    damaged = {
        "cut": content[:middle],
        "flip": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "empty": b"",
        "other": await store.read_bytes(older) or b"",
    }[how]
    await store.write(newest, damaged)
    async with small_hub(store) as hub:
        assert peek(hub) == expected
        journal = hub.statistics().journal
        assert journal is not None
        assert newest in (journal.last_error or "")
        first_seq = journal.first_seq
        await act(hub, random.Random(9), 3)
        await until_tidy(hub)
    assert await store.read_bytes(f"{newest}.damaged") == damaged
    assert await store.exists(older)
    assert (await LogReader(store, "/journal").read())[0].index > 0
    assert first_seq <= seq_of(older)


async def test_a_truncated_journal_needs_a_snapshot() -> None:
    """Without a usable one, the start is refused."""
    store, _, names = await truncated()
    for name in names:
        await store.write(name, b"damaged")
    with pytest.raises(LogDamaged, match=r"there is no snapshot .* to go on from"):
        await small_hub(store).start()
    store, _, _ = await truncated()
    await store.delete(SNAPSHOTS)
    with pytest.raises(LogDamaged, match="it is missing"):
        await small_hub(store).start()
    await store.delete("/journal/beside")
    with pytest.raises(LogDamaged, match="none is new enough"):
        await small_hub(store).start()


async def test_a_whole_journal_needs_no_snapshot() -> None:
    """Without a usable one, all of it is replayed."""
    store = MemoryStore()
    async with small_hub(store) as hub:
        keeper = hub.attach(Recorder(), duty=Duty.DURABLE, name="holds the journal back")
        await keeper.ready()
        await keeper.detach()
        await act(hub, random.Random(1), 100)
        await until_tidy(hub)
        expected = peek(hub)
    for name in await store.list(SNAPSHOTS):
        await store.write(f"{SNAPSHOTS}/{name}", b"damaged")
    async with small_hub(store) as hub:
        assert peek(hub) == expected


async def test_a_snapshot_beyond_the_journal_refuses() -> None:
    """It proves that events were lost; nothing is changed."""
    store = History()
    async with small_hub(store) as hub:
        await act(hub, random.Random(1), 20)
        older = await copy_of(store)
        await act(hub, random.Random(2), 100)
        await until_tidy(hub)
    newest = f"{SNAPSHOTS}/{(await store.list(SNAPSHOTS))[-1]}"
    await older.write(newest, await store.read_bytes(newest) or b"")
    before = await files_of(older)
    with pytest.raises(JournalBehind, match=r"has the state before event .* but the journal ends before event"):
        await small_hub(older).start()
    assert await files_of(older) == before


# --- truncation -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_crash_after_any_change_is_survived() -> None:
    """It leaves a store that goes on with the same state."""
    store, history = History(), Recorder()
    async with small_hub(store) as hub:
        hub.attach(history, duty=Duty.REQUIRED, name="history")
        for seed in range(4):
            await act(hub, random.Random(seed), 30)
            await until_tidy(hub)
    crashed = MemoryStore()
    deleted = 0
    for change in store.changes:
        what, path, _ = change
        if what == "delete" and SEGMENTS in path:
            deleted += 1
            half = await copy_of(crashed)
            content = await half.read_bytes(path) or b""
            await half.write(path, content[: len(content) // 2])  # as an object store that deletes part after part
            await check(half, history.events)
            if len(content) % 2:
                await half.write(path, b"")
                await check(half, history.events)
        await make(crashed, change)
        if SEGMENTS not in path or what != "append":
            await check(crashed, history.events)
    assert deleted > 3


async def check(store: MemoryStore, events: Sequence[Event]) -> None:
    """A hub starts from a copy of this store, and knows what its events tell."""
    store = await copy_of(store)
    async with small_hub(store) as hub:
        started = hub.statistics().applied
        state = peek(hub)
    ahead = [event for event in events if event.seq < started - 1]
    assert state == replayed(ahead)


async def test_an_empty_segment_keeps_the_one_before() -> None:
    """The numbers of the journal stand in the segment before."""
    store, clock = MemoryStore(), ManualClock()
    journal = StoreJournal(store, clock=clock, segment_bytes=600)
    async with Hub(journal=journal, clock=clock) as hub:
        for n in range(40):
            await hub.emit(GenericEvent(kind="number.said", data={"n": n}))
        segments = await store.list(SEGMENTS)
        end = hub.statistics().applied
        await journal.truncate_before(end)
        kept = await store.list(SEGMENTS)
        assert kept == segments[-len(kept) :]
        assert len(kept) <= 2
        assert 0 < journal.first_seq < end
        first_seq = journal.first_seq
        crashed = await copy_of(store)
    again = StoreJournal(crashed, clock=clock)
    await again.open()
    assert (again.first_seq, again.next_seq) == (first_seq, end)
    assert [event.seq async for event in again.replay(first_seq - 1)] == list(range(first_seq, end))
    await again.aclose()


async def test_an_unwritable_snapshot_is_retried() -> None:
    """The failure is reported, and the hub goes on."""

    class Full(MemoryStore):
        full = True

        async def write(
            self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
        ) -> None:
            if self.full and path.startswith(SNAPSHOTS):
                raise StoreFull("no space for that", path=path)
            await super().write(path, content, if_absent=if_absent, expect=expect)

    store, clock = Full(), ManualClock()
    hub = Hub(journal=StoreJournal(store, clock=clock, segment_bytes=1000), clock=clock, snapshot_bytes=2000)
    async with hub:
        await act(hub, random.Random(1), 60)
        await until_idle()
        while hub.health().healthy:  # noqa: ASYNC110 - nobody is told when health changes
            await asyncio.sleep(0)
        assert "no space for that" in " ".join(hub.health().problems)
        store.full = False
        clock.advance(1)
        await until_tidy(hub)
        assert hub.health().healthy
        assert await store.list(SNAPSHOTS) != []


@pytest.mark.parametrize("bounds", [{"journal_bytes_max": 4095}, {"snapshot_bytes": 0}])
async def test_impossible_bounds_are_refused(bounds: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="at least"):
        Hub(MemoryStore(), **bounds)  # type: ignore[arg-type]


async def test_smaller_segments_keep_the_journal_in_bounds() -> None:
    store = MemoryStore()
    async with Hub(store, journal_bytes_max=16_000) as hub:
        for n in range(300):
            await hub.emit(GenericEvent(kind="number.said", data={"n": n}))
            if n % 10 == 0:
                await until_tidy(hub)
        journal = hub.statistics().journal
        assert journal is not None
        assert journal.size_bytes < 16_000
        assert journal.first_seq > 0
    assert attrs.asdict(journal)["positions"] == ()


async def test_a_required_listener_must_not_miss_events() -> None:
    """One that missed what was truncated is refused, at start and later."""
    store, _, _ = await truncated()
    hub = small_hub(store)
    hub.attach(Recorder(), duty=Duty.REQUIRED, since=0, name="late")
    with pytest.raises(HistoryGone, match="goes on from event 0, but the journal is truncated"):
        await hub.start()
    async with small_hub(store) as hub:
        late = hub.attach(Recorder(), duty=Duty.REQUIRED, since=0, name="late")
        with pytest.raises(HistoryGone):
            await late.ready()
        await hub.emit(GenericEvent(kind="number.said"))
        await hub.flush()


async def test_a_best_effort_listener_may_miss_events() -> None:
    """One that asks for what was truncated gets the rest, and the gap is reported."""
    store, _, _ = await truncated()
    recorder, witness = Recorder(), Recorder()
    async with small_hub(store, witness) as hub:
        journal = hub.statistics().journal
        assert journal is not None
        late = hub.attach(recorder, since=0, name="late")
        await late.ready()
        await hub.flush()
        assert recorder.events[0].seq == journal.first_seq
        overflowed = await witness.wait_for("mailbox.overflowed")
        assert (overflowed.first_seq, overflowed.last_seq) == (0, journal.first_seq - 1)  # type: ignore[attr-defined]
        assert late.statistics().dropped == journal.first_seq
