"""DURABLE attachments: they see everything that matches, in order, at least once, across restarts and failures."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from hubwire import (
    Attachment,
    AttachmentState,
    BaseHubListener,
    Duty,
    Event,
    GenericEvent,
    Hub,
    Overflow,
    StoreJournal,
)
from hubwire.errors import (
    ConfigurationError,
    HistoryGone,
    HubClosed,
    JournalBehind,
    LogDamaged,
    NotFound,
    StoreFull,
)
from hubwire.events import ListenerFailed, ListenerRestarted, ListenerSuspended, MailboxOverflowed
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import verify
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import GatedRecorder, ManualClock, Recorder
from support import copy_of, files_of, numbers, pass_time, said, until_idle, until_tidy

POSITION = "/journal/positions/slow"


def attach(hub: Hub, listener: Any, **settings: Any) -> Attachment:
    return hub.attach(listener, **{"duty": Duty.DURABLE, "name": "slow", "pattern": "number.said", **settings})


async def kept_position(store: MemoryStore, path: str = POSITION) -> int | None:
    content = await store.read_bytes(path)
    return None if content is None else msgspec.json.decode(content)["seq"]


class Failing(Recorder):
    """Fails at the numbers it was told, for as long as it is told."""

    def __init__(self, *bad: int) -> None:
        super().__init__()
        self.bad = set(bad)
        self.calls = 0

    async def on_events(self, events: Sequence[Event]) -> None:
        self.calls += 1
        if self.bad.intersection(numbers(events)):
            raise ValueError("bad number")
        await super().on_events(events)


# --- what it needs --------------------------------------------------------------------------------------------------


async def test_durable_needs_a_journal() -> None:
    """Without one the attachment is refused, and the listener is not attached."""
    hub = Hub()
    with pytest.raises(ConfigurationError, match="has no journal"):
        attach(hub, Recorder())
    assert hub.statistics().attachments == ()


async def test_durable_listeners_need_different_names() -> None:
    """Their positions are kept by name."""
    hub = Hub(MemoryStore())
    hub.attach(Recorder(), duty=Duty.DURABLE)
    with pytest.raises(ConfigurationError, match="attached already"):
        hub.attach(Recorder(), duty=Duty.DURABLE)
    assert [each.name for each in hub.statistics().attachments] == ["Recorder"]


@pytest.mark.parametrize("name", ["x" * 256, "é" * 90, "a\ud800"])
async def test_a_name_that_cannot_be_a_file_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be the name of a file"):
        attach(Hub(MemoryStore()), Recorder(), name=name)


@pytest.mark.parametrize("name", [".", "..", "a/b", "a@", "é", "my function", "<lambda>", "%2E", "\0"])
async def test_any_other_name_keeps_its_position(name: str, tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    heard = []
    for start in range(2):
        recorder = Recorder()
        async with Hub(store) as hub:
            attachment = attach(hub, recorder, name=name)
            await attachment.ready()
            await hub.emit(said(start))
            await hub.flush()
        heard += numbers(recorder.events)
    assert heard == [0, 1]
    assert len(await store.list("/journal/positions")) == 1


# --- restarts -------------------------------------------------------------------------------------------------------


async def test_missed_events_follow_after_a_restart() -> None:
    """A listener sees what happened while it was away, once and in order."""
    store, before, after = MemoryStore(), Recorder(), Recorder()
    async with Hub(store) as hub:
        attach(hub, before)
        await hub.emit(said(1))
    async with Hub(store) as hub:
        await hub.emit(said(2))
        await hub.emit(said(3))
    async with Hub(store) as hub:
        attachment = attach(hub, after)
        await attachment.ready()
        await hub.emit(said(4))
        await hub.flush()
    assert numbers(before.events) == [1]
    assert numbers(after.events) == [2, 3, 4]


async def test_a_new_name_survives_a_crash() -> None:
    """When `ready()` has returned, a crash does not lose the place of a new name."""
    store = MemoryStore()
    async with Hub(store, clock=ManualClock()) as hub:
        gated = GatedRecorder(is_open=False)
        await attach(hub, gated).ready()
        await hub.emit(said(1))
        crashed = await copy_of(store)
        gated.open()
    recorder = Recorder()
    async with Hub(crashed) as hub:
        attach(hub, recorder)
        await hub.flush()
    assert numbers(recorder.events) == [1]


async def test_start_keeps_the_places_of_listeners() -> None:
    """A listener that was attached before the start has its place on disk when the start returns."""
    store, gated = MemoryStore(), GatedRecorder(is_open=False)
    hub = Hub(store, clock=ManualClock())
    attach(hub, gated)
    async with hub:
        assert await kept_position(store) in (0, 1)
        await hub.emit(said(1))
        crashed = await copy_of(store)
        gated.open()
    recorder = Recorder()
    hub = Hub(crashed)
    attach(hub, recorder)
    async with hub:
        await hub.flush()
    assert numbers(recorder.events) == [1]


async def test_start_waits_for_new_places() -> None:
    class Slow(MemoryStore):
        gate = anyio.Event()

        async def write(
            self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
        ) -> None:
            if path == POSITION:
                await self.gate.wait()
            await super().write(path, content, if_absent=if_absent, expect=expect)

    store = Slow()
    hub = Hub(store)
    attach(hub, Recorder())
    starting = asyncio.create_task(hub.start())
    await anyio.wait_all_tasks_blocked()
    assert not starting.done()
    store.gate.set()
    await starting
    assert await kept_position(store) is not None
    await hub.aclose()


async def test_an_event_is_seen_when_handled() -> None:
    """A crash in the middle of its handling delivers it again."""
    store, gated = MemoryStore(), GatedRecorder(is_open=False)
    async with Hub(store) as hub:
        await attach(hub, gated).ready()
        await hub.emit(said(1))
        await until_idle()
        assert gated.given
        crashed = await copy_of(store)
        gated.open()
    recorder = Recorder()
    async with Hub(crashed) as hub:
        attach(hub, recorder)
        await hub.flush()
    assert numbers(recorder.events) == [1]


async def test_positions_are_written_once_a_second() -> None:
    """A position is written at most once a second, and at close."""
    store, clock = MemoryStore(), ManualClock()
    async with Hub(store, clock=clock) as hub:
        await attach(hub, Recorder()).ready()
        await hub.emit(said(0))
        await hub.flush()
        await until_idle()
        kept = await kept_position(store)
        for n in range(1, 50):
            await hub.emit(said(n))
        await hub.flush()
        await until_idle()
        assert await kept_position(store) == kept
        await pass_time(clock, 1.25)
        assert (await kept_position(store) or 0) >= (kept or 0) + 49
        await hub.emit(said(50))
    assert await kept_position(store) == hub.statistics().applied


async def test_a_short_life_makes_progress() -> None:
    """Even a life of less than a second keeps what was handled."""
    store, clock, end = MemoryStore(), ManualClock(), 0
    for life in range(3):
        hub = Hub(store, clock=clock)
        attach(hub, Recorder(), since="start")
        async with hub:
            for _ in range(10):
                await hub.emit(said(life))
            await hub.flush()
            await until_idle()
            assert (await kept_position(store) or 0) >= end, "what it found has been handled and kept"
            end = hub.statistics().applied
            store = await copy_of(store)


async def test_unmatched_events_count_as_seen() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        attachment = attach(hub, Recorder(), pattern="never.happens")
        await attachment.ready()
        for n in range(10):
            await hub.emit(said(n))
        await hub.flush()
        assert attachment.statistics().position == hub.statistics().applied
        assert attachment.statistics().handled == 0
    assert await kept_position(store) == hub.statistics().applied


async def test_last_seq_overrides_the_kept_position() -> None:
    class Own(Recorder):
        def last_seq(self) -> int | None:
            return 2

    store, own = MemoryStore(), Own()
    async with Hub(store) as hub:
        attach(hub, Recorder(), pattern="*")
        for n in range(4):
            await hub.emit(said(n))
    async with Hub(store) as hub:
        attach(hub, own, pattern="*")
        await hub.flush()
    seqs = [event.seq for event in own.events]
    assert seqs[0] == 3, "not where the other had come to"
    assert seqs == sorted(set(seqs))


@pytest.mark.parametrize(("since", "expected"), [("start", [0, 1, 2]), ("now", []), (3, [2])])
async def test_since_applies_to_new_names_only(since: Any, expected: list[int]) -> None:
    store, new, known = MemoryStore(), Recorder(), Recorder()
    async with Hub(store) as hub:
        for n in range(3):
            await hub.emit(said(n))
        attachment = attach(hub, new, since=since)
        await attachment.ready()
        assert numbers(new.events) == expected
    async with Hub(store) as hub:
        attach(hub, known, since="start")
        await hub.emit(said(3))
        await hub.flush()
    assert numbers(known.events) == [3]


async def test_a_detached_listener_goes_on() -> None:
    first, second = Recorder(), Recorder()
    async with Hub(MemoryStore()) as hub:
        attachment = attach(hub, first)
        await hub.emit(said(1))
        await hub.flush()
        await attachment.detach()
        await hub.emit(said(2))
        attach(hub, second)
        await hub.flush()
        assert hub.health().healthy
    assert (numbers(first.events), numbers(second.events)) == ([1], [2])


async def test_an_audit_log_may_be_durable() -> None:
    """It holds each event once and in order."""
    store, journaled = MemoryStore(), MemoryStore()
    for start in range(3):
        async with Hub(journaled) as hub:
            hub.attach(AuditLog(store), duty=Duty.DURABLE, since="start")
            await hub.emit(said(start))
    assert (await verify(store)).events > 3


# --- falling behind -------------------------------------------------------------------------------------------------


async def test_a_slow_listener_reads_from_the_journal() -> None:
    """It keeps nothing in the ring, and its lag is not a problem of health."""
    gated = GatedRecorder(is_open=False)
    async with Hub(MemoryStore(), ring=16) as hub:
        attach(hub, gated, mailbox=10)
        for n in range(5000):
            await hub.emit(said(n))
        assert hub.statistics().ring_events < 16 + 1024 + 1024
        assert hub.health().healthy, "to be slow is its right"
        gated.open()
        await hub.flush()
    assert numbers(gated.events) == list(range(5000))


async def test_a_slow_listener_costs_no_memory(tmp_path: Path) -> None:
    async def peak_after(hub: Hub, events: int) -> int:
        tracemalloc.start()
        for n in range(events):
            hub.emit_nowait(said(n))
            if n % 500 == 0:
                await hub.emit(said(n))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    class Counting:
        gate = anyio.Event()
        heard = 0

        async def on_events(self, events: Sequence[Event]) -> None:
            await self.gate.wait()
            self.heard += len(events)

    counting = Counting()
    async with Hub(FileStore(tmp_path), ring=64) as hub:
        await attach(hub, counting).ready()
        first = await peak_after(hub, 3000)
        assert await peak_after(hub, 12_000) < 1.5 * first + 100_000
        tracemalloc.start()
        counting.gate.set()
        await hub.flush()
        reading = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert counting.heard > 15_000
    assert reading < 8_000_000, "the journal is read in pieces of a megabyte"


async def test_durable_never_blocks_emitters() -> None:
    """`Overflow.BLOCK` makes no difference."""
    gated = GatedRecorder(is_open=False)
    async with Hub(MemoryStore()) as hub:
        attach(hub, gated, overflow=Overflow.BLOCK, mailbox=1)
        for n in range(100):
            await hub.emit(said(n))
        gated.open()
        await hub.flush()
    assert numbers(gated.events) == list(range(100))


# --- failing --------------------------------------------------------------------------------------------------------


async def test_a_failing_event_is_retried_in_order() -> None:
    """The pauses grow, and no later event overtakes it."""
    clock, failing = ManualClock(), Failing(1)
    async with Hub(MemoryStore(), clock=clock) as hub:
        attachment = attach(hub, failing)
        for n in range(3):
            await hub.emit(said(n))
        await until_idle()
        assert numbers(failing.events) == [0]
        await pass_time(clock, 5)
        assert attachment.statistics().retries >= 3
        assert numbers(failing.events) == [0]
        failing.bad.clear()
        await pass_time(clock, 60)
        assert numbers(failing.events) == [0, 1, 2]
        assert attachment.state is AttachmentState.RUNNING
        assert hub.health().healthy


async def test_a_hook_listener_gets_only_the_failure_again() -> None:
    """A listener that knows its place gets only the event that failed twice."""

    class ByHook(BaseHubListener):
        heard: list[int]
        bad = 2

        def __init__(self) -> None:
            self.heard = []

        async def on_event(self, event: Event) -> None:
            self.heard += numbers([event])
            if numbers([event]) == [2] and self.heard.count(2) < 3:
                raise ValueError("bad number")

    clock, listener = ManualClock(), ByHook()
    async with Hub(MemoryStore(), clock=clock) as hub:
        attach(hub, listener)
        for n in range(5):
            hub.emit_nowait(said(n))
        await until_idle()
        await pass_time(clock, 60)
        await hub.flush()
    assert listener.heard == [0, 1, 2, 2, 2, 3, 4]


async def test_pauses_double_up_to_thirty_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    caps: list[float] = []

    def uniform(low: float, high: float) -> float:
        assert low == 0
        caps.append(high)
        return high

    monkeypatch.setattr("random.uniform", uniform)
    clock, failing = ManualClock(), Failing(0)
    async with Hub(MemoryStore(), clock=clock) as hub:
        attachment = attach(hub, failing, attempts_max=12)
        await hub.emit(said(0))
        await until_idle()
        await pass_time(clock, 200)
        assert attachment.state is AttachmentState.SUSPENDED
    assert caps == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30])
    assert failing.calls == 12


async def test_the_last_attempt_suspends() -> None:
    """The suspension is reported by an event, statistics and health, and the hub goes on."""
    clock, failing, witness = ManualClock(), Failing(1), Recorder()
    async with Hub(MemoryStore(), clock=clock, listeners=[witness]) as hub:
        attachment = attach(hub, failing, attempts_max=3)
        for n in range(3):
            await hub.emit(said(n))
        await pass_time(clock, 10)

        (statistics,) = [each for each in hub.statistics().attachments if each.name == "slow"]
        assert statistics.state is AttachmentState.SUSPENDED
        assert (statistics.failed, statistics.retries) == (3, 2)
        assert statistics.last_error == "ValueError: bad number"
        problems = " ".join(hub.health().problems)
        assert "'slow' is suspended at event" in problems
        assert "ValueError: bad number" in problems
        with pytest.raises(ValueError, match="bad number"):
            await attachment.ready()
        await hub.emit(said(3))
        await hub.flush()
        assert numbers(failing.events) == [0]

        told = [each for each in witness.events if isinstance(each, ListenerFailed | ListenerSuspended)]
        assert [type(each) for each in told] == [ListenerFailed, ListenerSuspended], "the first failure and the last"
        suspended = told[1]
        assert isinstance(suspended, ListenerSuspended)
        assert (suspended.reason, suspended.attempts, suspended.error_type) == ("failed", 3, "ValueError")
        assert suspended.event_seq == statistics.position
        assert suspended.first_seq_held is None


async def test_a_resumed_listener_repeats_the_failed_event() -> None:
    clock, failing, witness = ManualClock(), Failing(1), Recorder()
    async with Hub(MemoryStore(), clock=clock, listeners=[witness]) as hub:
        attachment = attach(hub, failing, attempts_max=2)
        for n in range(3):
            await hub.emit(said(n))
        await pass_time(clock, 5)
        assert attachment.state is AttachmentState.SUSPENDED
        attachment.resume()
        await pass_time(clock, 5)
        assert attachment.state is AttachmentState.SUSPENDED, "its cause was not mended"
        failing.bad.clear()
        attachment.resume()
        await attachment.ready()
        await hub.flush()
        assert hub.health().healthy
        assert attachment.statistics().restarts == 2
        attachment.resume()
        assert attachment.statistics().restarts == 2, "there was nothing to resume"
    assert numbers(failing.events) == [0, 1, 2]
    assert any(isinstance(each, ListenerRestarted) for each in witness.events)
    with pytest.raises(HubClosed, match="detached"):
        attachment.resume()


async def test_a_restart_resumes_a_suspended_listener() -> None:
    store, clock, failing, mended = MemoryStore(), ManualClock(), Failing(1), Recorder()
    async with Hub(store, clock=clock) as hub:
        attachment = attach(hub, failing, attempts_max=1)
        for n in range(3):
            await hub.emit(said(n))
        await until_idle()
        assert attachment.state is AttachmentState.SUSPENDED
    async with Hub(store) as hub:
        attach(hub, mended)
        await hub.flush()
    assert numbers(failing.events) == [0]
    assert numbers(mended.events) == [1, 2]


async def test_closing_does_not_wait_for_retries() -> None:
    """An interrupted retry is not reported as a suspension."""
    store, clock, failing, witness = MemoryStore(), ManualClock(), Failing(1), Recorder()
    hub = Hub(store, clock=clock, listeners=[witness])
    attachment = attach(hub, failing)
    async with hub:
        await hub.emit(said(1))
        await until_idle()
        await attachment.detach()
        assert attachment.state is AttachmentState.DETACHED
        assert hub.health().healthy
        await hub.flush()
    assert not [each for each in witness.events if isinstance(each, ListenerSuspended)]
    assert (await kept_position(store) or 0) < hub.statistics().applied - 1


async def test_failures_at_own_events_are_not_announced() -> None:
    """They are counted; an event about each would cause the next."""

    class FailsAtAll(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            raise ValueError("no")

    clock, witness = ManualClock(), Recorder()
    async with Hub(MemoryStore(), clock=clock, listeners=[witness]) as hub:
        attachment = attach(hub, FailsAtAll(), pattern="listener.*", attempts_max=3)
        other = attach(hub, FailsAtAll(), pattern="listener.*", attempts_max=3, name="other")
        await pass_time(clock, 30)
        assert attachment.state is AttachmentState.SUSPENDED
        assert other.state is AttachmentState.SUSPENDED
        await hub.flush()
        assert attachment.statistics().failed == 3
    assert not [each for each in witness.events if isinstance(each, ListenerFailed)]


async def test_a_hanging_listener_is_cancelled_and_retried() -> None:
    class Hangs(Recorder):
        hung = False

        async def on_events(self, events: Sequence[Event]) -> None:
            if not self.hung:
                self.hung = True
                await anyio.sleep_forever()
            await super().on_events(events)

    clock, hangs = ManualClock(), Hangs()
    async with Hub(MemoryStore(), clock=clock) as hub:
        attachment = attach(hub, hangs, timeout=0.01)
        await hub.emit(said(1))
        with anyio.fail_after(10):
            while not attachment.statistics().failed:  # noqa: ASYNC110 - nobody is told when time is up
                await asyncio.sleep(0.001)
        await pass_time(clock, 1)
        await hangs.wait_for("number.said")
    assert numbers(hangs.events) == [1]


async def test_a_listener_may_emit_while_handling() -> None:
    """It may wait for the commit of what it emits."""

    class Answering(Recorder):
        hub: Hub

        def bind(self, hub: Hub) -> None:
            self.hub = hub

        async def on_events(self, events: Sequence[Event]) -> None:
            await super().on_events(events)
            for n in numbers(events):
                await self.hub.emit(GenericEvent(kind="number.answered", data={"n": n}))

    witness = Recorder()
    async with Hub(MemoryStore(), listeners=[witness], in_flight_max=1) as hub:
        attach(hub, Answering())
        for n in range(20):
            await hub.emit(said(n))
        await witness.wait_for("number.answered", count=20)
        await hub.flush()


# --- forgetting -----------------------------------------------------------------------------------------------------


async def test_a_forgotten_name_begins_anew() -> None:
    store, recorder = MemoryStore(), Recorder()
    async with Hub(store) as hub:
        attachment = attach(hub, Recorder())
        await hub.emit(said(1))
        await hub.flush()
        with pytest.raises(ConfigurationError, match="is attached"):
            await hub.forget("slow")
        assert await store.exists(POSITION)
        await attachment.detach()
        await hub.forget("slow")
        assert not await store.exists(POSITION)
        with pytest.raises(NotFound, match="no position"):
            await hub.forget("slow")
        await hub.emit(said(2))
        attach(hub, recorder, since="now")
        await hub.emit(said(3))
        await hub.flush()
    assert numbers(recorder.events) == [3]
    with pytest.raises(HubClosed):
        await hub.forget("slow")


async def test_forgetting_survives_a_restart() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        await attach(hub, Recorder()).ready()
    async with Hub(store) as hub:
        await hub.forget("slow")
    async with Hub(store) as hub:
        with pytest.raises(NotFound):
            await hub.forget("slow")


# --- what does not fit ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attached", [True, False])
async def test_a_position_beyond_the_journal_is_refused(attached: bool) -> None:
    """The start fails, and changes nothing."""
    store = MemoryStore()
    async with Hub(store) as hub:
        await attach(hub, Recorder()).ready()
        older = await copy_of(store)
        for n in range(5):
            await hub.emit(said(n))
    await older.write(POSITION, await store.read_bytes(POSITION) or b"")
    before = await files_of(older, "/journal/log")
    hub = Hub(older)
    if attached:
        attach(hub, Recorder())
    with pytest.raises(JournalBehind, match="restored from an older copy"):
        await hub.start()
    assert await files_of(older, "/journal/log") == before


async def test_a_position_of_another_hub_is_refused() -> None:
    store, other = MemoryStore(), MemoryStore()
    for each in (store, other):
        async with Hub(each) as hub:
            await attach(hub, Recorder()).ready()
            await hub.emit(said())
    await other.write(POSITION, await store.read_bytes(POSITION) or b"")
    with pytest.raises(JournalBehind, match="belongs to another hub"):
        await Hub(other).start()


async def test_a_damaged_position_is_refused() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        await attach(hub, Recorder()).ready()
    await store.write(POSITION, b'{"name":"slow"')
    with pytest.raises(LogDamaged, match="should hold the position") as raised:
        await Hub(store).start()
    assert raised.value.path == POSITION


async def test_an_unwritable_position_is_retried() -> None:
    """The failure is reported by health, and the hub goes on."""

    class Full(MemoryStore):
        full = False

        async def write(
            self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
        ) -> None:
            if self.full and path.startswith("/journal/positions"):
                raise StoreFull("no space", path=path)
            await super().write(path, content, if_absent=if_absent, expect=expect)

    store, clock = Full(), ManualClock()
    async with Hub(store, clock=clock) as hub:
        await attach(hub, Recorder()).ready()
        await pass_time(clock, 2)
        store.full = True
        await hub.emit(said(1))
        await hub.flush()
        await pass_time(clock, 2)
        assert "no space" in " ".join(hub.health().problems)
        journal = hub.statistics().journal
        assert journal is not None
        assert "no space" in (journal.last_error or "")
        store.full = False
        await pass_time(clock, 2)
        assert hub.health().healthy
        assert await kept_position(store) == hub.statistics().applied


# --- outgrowing the journal -----------------------------------------------------------------------------------------


def small_hub(store: MemoryStore, clock: ManualClock, *listeners: Any) -> Hub:
    journal = StoreJournal(store, clock=clock, segment_bytes=2000)
    return Hub(
        journal=journal, clock=clock, listeners=listeners, ring=16, snapshot_bytes=4000, journal_bytes_max=20_000
    )


async def journal_bytes(store: MemoryStore) -> int:
    return sum(map(len, (await files_of(store, "/journal/log")).values()))


async def outgrow(hub: Hub, store: MemoryStore, clock: ManualClock) -> int:
    """Emit ten times what the journal may hold; return its largest size."""
    largest = 0
    for n in range(1000):
        await hub.emit(said(n))
        if n % 10 == 0:
            await pass_time(clock, 0.5)
            await until_tidy(hub)
            largest = max(largest, await journal_bytes(store))
    await pass_time(clock, 2)
    return max(largest, await journal_bytes(store))


async def test_a_suspended_listener_cannot_fill_the_disk() -> None:
    """The journal goes on without it, and it learns which events it missed."""
    store, clock, witness, failing = MemoryStore(), ManualClock(), Recorder(), Failing(0)
    async with small_hub(store, clock, witness) as hub:
        attachment = attach(hub, failing, attempts_max=1)
        await attachment.ready()
        largest = await outgrow(hub, store, clock)
        assert largest < 20_000 + 5000
        assert attachment.missed is not None
        first, last = attachment.missed
        journal = hub.statistics().journal
        assert journal is not None
        assert (first, last + 1) == (attachment.statistics().position, journal.first_seq)

        failing.bad.clear()
        with pytest.raises(HistoryGone, match=f"missed events {first} to {last}") as raised:
            attachment.resume()
        assert raised.value.first_seq == last + 1
        assert attachment.state is AttachmentState.SUSPENDED, "nothing has changed"

        attachment.resume(skip_missed=True)
        await attachment.ready()
        await hub.flush()
        assert attachment.missed is None
        assert attachment.statistics().dropped == last + 1 - first
        told = [each for each in witness.events if isinstance(each, MailboxOverflowed)]
        assert [(each.listener, each.count, each.first_seq, each.last_seq) for each in told] == [
            ("slow", last + 1 - first, first, last)
        ]
        heard = numbers(failing.events)
        assert heard == list(range(heard[0], 1000))
        assert hub.health().healthy


async def test_a_too_slow_listener_is_suspended() -> None:
    store, clock, witness, gated = MemoryStore(), ManualClock(), Recorder(), GatedRecorder(is_open=False)
    async with small_hub(store, clock, witness) as hub:
        attachment = attach(hub, gated)
        await attachment.ready()
        await outgrow(hub, store, clock)
        assert attachment.state is AttachmentState.SUSPENDED
        told = [each for each in witness.events if isinstance(each, ListenerSuspended)]
        assert [(each.reason, each.attempts, each.error_type) for each in told] == [("missed", 0, "HistoryGone")]
        assert told[0].first_seq_held is not None
        assert told[0].first_seq_held > told[0].event_seq
        attachment.resume(skip_missed=True)
        gated.open()
        await attachment.ready()
        await hub.flush()
        heard = numbers(gated.events)
        assert heard[-1] == 999
        tail = heard[1:]
        assert tail == list(range(tail[0], 1000)), "after the batch it was at and the gap, everything in order"


async def test_a_long_absent_listener_is_suspended() -> None:
    """Each start suspends it until it skips what it missed."""
    store, clock, recorder = MemoryStore(), ManualClock(), Recorder()
    async with small_hub(store, clock) as hub:
        await attach(hub, Recorder()).ready()
        await hub.emit(said(0))
        await hub.flush()
    async with small_hub(store, clock) as hub:
        assert await outgrow(hub, store, clock) < 20_000 + 5000
        assert "'slow' is not attached, and has missed events" in " ".join(hub.health().problems)
    for _ in range(2):
        async with small_hub(store, clock) as hub:
            attachment = attach(hub, Recorder())
            await until_idle()
            assert attachment.state is AttachmentState.SUSPENDED
            assert attachment.missed is not None
            with pytest.raises(HistoryGone):
                await attachment.ready()
    async with small_hub(store, clock) as hub:
        attachment = attach(hub, recorder)
        await until_idle()
        attachment.resume(skip_missed=True)
        await attachment.ready()
        await hub.flush()
    heard = numbers(recorder.events)
    assert heard == list(range(heard[0], 1000))


async def test_the_farthest_behind_is_suspended_first() -> None:
    store, clock, near = MemoryStore(), ManualClock(), GatedRecorder(is_open=False)
    async with small_hub(store, clock) as hub:
        far = attach(hub, Failing(0), attempts_max=1, name="far")
        for n in range(60):
            await hub.emit(said(n))
        other = attach(hub, near, name="near")
        await other.ready()
        while far.state is not AttachmentState.SUSPENDED or far.missed is None:
            await hub.emit(said(60))
            await pass_time(clock, 1)
            await until_tidy(hub)
        assert other.state is AttachmentState.RUNNING
        near.open()
        await hub.flush()
        assert other.state is AttachmentState.RUNNING


async def test_an_absent_name_holds_the_journal() -> None:
    """The journal is kept for a name that is not attached until the name is forgotten."""
    store, clock = MemoryStore(), ManualClock()
    async with small_hub(store, clock) as hub:
        await attach(hub, Recorder()).ready()
        await hub.emit(said(0))
    async with small_hub(store, clock) as hub:
        for n in range(60):
            await hub.emit(said(n))
            journal = await until_tidy(hub)
            assert journal.first_seq == 0
            assert dict(journal.positions).keys() == {"slow"}
        await hub.forget("slow")
        assert (await until_tidy(hub)).first_seq > 0


async def test_truncation_waits_for_a_catching_up_listener() -> None:
    store, clock, recorder = MemoryStore(), ManualClock(), Recorder()
    async with small_hub(store, clock) as hub:
        attachment = attach(hub, recorder, since="start")
        for n in range(400):
            await hub.emit(said(n))
            await hub.flush()
            if n % 10 == 0:
                await pass_time(clock, 1)
                await until_tidy(hub)
        journal = hub.statistics().journal
        assert journal is not None
        assert journal.first_seq > 100
        assert attachment.state is AttachmentState.RUNNING
    assert numbers(recorder.events) == list(range(400))


async def test_the_journal_is_kept_from_durable_positions() -> None:
    """What counts is the position on disk, not the newer one in memory."""
    store, clock = MemoryStore(), ManualClock()
    async with small_hub(store, clock) as hub:
        attachment = attach(hub, Recorder())
        await attachment.ready()
        for n in range(60):
            await hub.emit(said(n))
            await hub.flush()
            assert (await until_tidy(hub)).first_seq <= (await kept_position(store) or 0)
        kept = await kept_position(store) or 0
        assert attachment.statistics().position > kept
        assert ((await until_tidy(hub)).snapshot_seq or 0) > kept, "nothing was held back"


# --- calls from inside ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["detach", "aclose"])
@pytest.mark.parametrize("duty", list(Duty))
async def test_a_listener_may_end_itself(call: str, duty: Duty) -> None:
    """A task that a listener starts may detach it, or close the hub, without waiting for itself."""

    class Leaving(Recorder):
        attachment: Attachment
        hub: Hub
        left = False

        async def on_events(self, events: Sequence[Event]) -> None:
            await super().on_events(events)
            if "number.said" in {event.kind for event in events}:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self.attachment.detach if call == "detach" else self.hub.aclose)
                self.left = True

    leaving = Leaving()
    hub = Hub(MemoryStore())
    with anyio.fail_after(20):
        async with hub:
            leaving.hub = hub
            leaving.attachment = hub.attach(leaving, duty=duty, name="leaving")
            await leaving.attachment.ready()
            await hub.emit(said(1))
            await leaving.attachment.finished()
    assert leaving.left
