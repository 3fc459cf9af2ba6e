"""Positions of durable listeners, and the journal that is kept for them."""

from __future__ import annotations

from typing import Any

import pytest

from hubwire import (
    AttachmentState,
    Hub,
    StoreJournal,
)
from hubwire.errors import (
    HistoryGone,
    JournalBehind,
    LogDamaged,
    StoreFull,
)
from hubwire.events import ListenerSuspended, MailboxOverflowed
from hubwire.stores import MemoryStore
from hubwire.testing import GatedRecorder, ManualClock, Recorder
from support import copy_of, files_of, numbers, pass_time, said, until_idle, until_tidy
from support.durable import BESIDE, Failing, attach, kept_position, positions_path

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
    await older.delete(BESIDE)
    await older.write(await positions_path(store), await store.read_bytes(await positions_path(store)) or b"")
    before = await files_of(older)
    hub = Hub(older)
    if attached:
        attach(hub, Recorder())
    with pytest.raises(JournalBehind, match="restored from an older copy"):
        await hub.start()
    assert await files_of(older) == before


async def test_a_position_of_another_hub_is_refused() -> None:
    store, other = MemoryStore(), MemoryStore()
    for each in (store, other):
        async with Hub(each) as hub:
            await attach(hub, Recorder()).ready()
            await hub.emit(said())
    await other.write(await positions_path(store), await store.read_bytes(await positions_path(store)) or b"")
    with pytest.raises(JournalBehind, match="belongs to another hub"):
        await Hub(other).start()


async def test_a_damaged_position_is_refused() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        await attach(hub, Recorder()).ready()
    path = await positions_path(store)
    await store.write(path, b'{"name":"slow"')
    with pytest.raises(LogDamaged, match="is damaged: its checksum") as raised:
        await Hub(store).start()
    assert raised.value.path == path


async def test_an_unwritable_position_is_retried() -> None:
    """The failure is reported by health, and the hub goes on."""

    class Full(MemoryStore):
        full = False

        async def write(
            self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
        ) -> None:
            if self.full and path.startswith(f"{BESIDE}/positions"):
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
    await until_tidy(hub)  # a truncation that comes later would suspend who was resumed meanwhile
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


async def test_a_truncation_leaves_a_resumed_listener_alone() -> None:
    """Resumed without what it missed, it is not suspended for it while it is still at its batch."""
    store, clock, gated = MemoryStore(), ManualClock(), GatedRecorder(is_open=False)
    async with small_hub(store, clock) as hub:
        attachment = attach(hub, gated)
        await attachment.ready()
        await outgrow(hub, store, clock)
        attachment.resume(skip_missed=True)
        attachment.suspend_if_missing()  # as each truncation asks of it
        assert attachment.state is AttachmentState.CATCHING_UP
        gated.open()
        await attachment.ready()


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

    class Full(MemoryStore):
        full = False

        async def write(
            self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
        ) -> None:
            if self.full and path.startswith(f"{BESIDE}/positions"):
                raise StoreFull("no space", path=path)
            await super().write(path, content, if_absent=if_absent, expect=expect)

    store, clock = Full(), ManualClock()
    async with small_hub(store, clock) as hub:
        attachment = attach(hub, Recorder())
        await attachment.ready()
        for n in range(60):
            store.full = n >= 20
            await hub.emit(said(n))
            await hub.flush()
            assert (await until_tidy(hub)).first_seq <= (await kept_position(store) or 0)
        kept = await kept_position(store) or 0
        assert attachment.statistics().position > kept
        assert ((await until_tidy(hub)).snapshot_seq or 0) > kept, "nothing was held back"
        store.full = False
