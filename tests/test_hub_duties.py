"""What the duties promise when a listener is slow: REQUIRED, DROP_OLDEST and BLOCK."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from hubwire import AttachmentState, Duty, Hub, Overflow
from hubwire.errors import (
    Overloaded,
)
from hubwire.events import MailboxOverflowed
from hubwire.stores import MemoryStore
from hubwire.testing import GatedRecorder, ManualClock, Recorder
from support import numbers, said, seqs, until_idle
from support.fanout import Tried, attached

# --- REQUIRED -------------------------------------------------------------------------------------------------------


async def test_the_commit_waits_for_a_required_listener() -> None:
    required = GatedRecorder()
    async with Hub() as hub:
        await attached(hub, required, duty=Duty.REQUIRED)
        required.close()
        emitting = asyncio.create_task(hub.emit(said()))
        await until_idle()
        assert not emitting.done()
        required.open()
        assert (await emitting).seq == required.events[-1].seq


async def test_a_slow_required_listener_holds_emitters() -> None:
    """Emitters wait, and no event is dropped."""
    required = GatedRecorder()
    async with Hub(in_flight_max=3) as hub:
        attachment = await attached(hub, required, duty=Duty.REQUIRED, mailbox=1)
        required.close()
        async with anyio.create_task_group() as tasks:
            for n in range(10):
                tasks.start_soon(hub.emit, said(n))
            await until_idle()
            assert (hub.statistics().in_flight, hub.statistics().emitters_waiting) == (3, 7)
            with pytest.raises(Overloaded):
                hub.emit_nowait(said())
            assert not hub.offer(said())
            assert hub.statistics().offers_dropped == 1
            required.open()
        assert numbers(required.events) == list(range(10))
        assert attachment.statistics().dropped == 0


async def test_a_required_listener_hears_of_itself() -> None:
    """It hears of its own attachment, so that a log has every `seq`."""
    required = Recorder()
    async with Hub() as hub:
        attachment = hub.attach(required, duty=Duty.REQUIRED, name="log")
        await attachment.ready()
        await hub.emit(said())
        found = await required.wait_for("listener.attached")
        assert found.listener == "log"  # type: ignore[attr-defined]
    assert seqs(required.events) == list(range(required.events[0].seq, required.events[-1].seq + 1))


# --- BEST_EFFORT, DROP_OLDEST ---------------------------------------------------------------------------------------


async def test_drop_oldest_reports_the_dropped_events() -> None:
    """It drops the oldest, and says how many and which."""
    slow, witness = GatedRecorder(), Recorder()
    async with Hub(listeners=[witness]) as hub:
        attachment = await attached(hub, slow, name="slow", mailbox=10)
        slow.close()
        first = await hub.emit(said(0))
        await until_idle()
        assert slow.given[-1].seq == first.seq
        for n in range(1, 31):
            await hub.emit(said(n))
        slow.open()
        overflowed = await witness.wait_for("mailbox.overflowed")
        await hub.flush()
        assert numbers(slow.events) == [0, *range(21, 31)]
        assert isinstance(overflowed, MailboxOverflowed)
        assert (overflowed.listener, overflowed.count) == ("slow", 20)
        assert (overflowed.first_seq, overflowed.last_seq) == (first.seq + 1, first.seq + 20)
        statistics = attachment.statistics()
        assert (statistics.handled, statistics.dropped, statistics.failed) == (11, 20, 0)
        assert hub.health().healthy


async def test_drop_oldest_counts_matching_events_only() -> None:
    slow, witness = GatedRecorder(), Recorder()
    async with Hub(listeners=[witness]) as hub:
        attachment = await attached(hub, slow, name="slow", pattern="number.*", mailbox=10)
        slow.close()
        await hub.emit(said(0))
        await until_idle()
        emitted = [await hub.emit(said(n) if n % 3 == 0 else Tried(number=n)) for n in range(1, 31)]
        slow.open()
        overflowed = await witness.wait_for("mailbox.overflowed")
        await hub.flush()
        missed = [each for each in emitted[:20] if each.kind == "number.said"]
        assert isinstance(overflowed, MailboxOverflowed)
        assert (overflowed.count, overflowed.first_seq, overflowed.last_seq) == (6, missed[0].seq, missed[-1].seq)
        assert numbers(slow.events) == [0, 21, 24, 27, 30]
        assert (attachment.statistics().handled, attachment.statistics().dropped) == (5, 6)


async def test_unmatched_events_are_not_dropped() -> None:
    """Passing over what the pattern leaves out is not a drop."""
    slow, witness = GatedRecorder(), Recorder()
    async with Hub(listeners=[witness]) as hub:
        attachment = await attached(hub, slow, name="slow", pattern="number.*", mailbox=10)
        slow.close()
        await hub.emit(said(0))
        await until_idle()
        for n in range(100):
            await hub.emit(Tried(number=n))
        slow.open()
        await hub.flush()
        assert attachment.statistics().dropped == 0
        assert attachment.statistics().lag == 0
    assert "mailbox.overflowed" not in witness.kinds


async def test_drops_are_announced_once_a_second() -> None:
    """The first at once, and then with a count."""
    clock, slow, witness = ManualClock(), GatedRecorder(), Recorder()
    async with Hub(listeners=[witness], clock=clock) as hub:
        attachment = await attached(hub, slow, name="slow", mailbox=2)

        async def overflow() -> None:
            slow.close()
            for n in range(10):
                await hub.emit(said(n))
                await until_idle()
            slow.open()
            await hub.flush()

        for _ in range(3):
            await overflow()
        announced = [each for each in witness.events if isinstance(each, MailboxOverflowed)]
        assert len(announced) == 1
        clock.advance(1)
        await until_idle()
        await hub.flush()
        announced = [each for each in witness.events if isinstance(each, MailboxOverflowed)]
        assert len(announced) == 2
        assert sum(each.count for each in announced) == attachment.statistics().dropped == 3 * 7
        assert announced[0].last_seq < announced[1].first_seq
        clock.advance(1)
        await until_idle()
        assert witness.kinds.count("mailbox.overflowed") == 2, "nothing to tell, nothing told"
        await overflow()
        assert witness.kinds.count("mailbox.overflowed") == 3, "the next one is told at once again"


async def test_the_last_drops_are_announced_before_stopping() -> None:
    slow, witness = GatedRecorder(), Recorder()
    async with Hub(listeners=[witness], clock=ManualClock()) as hub:
        attachment = await attached(hub, slow, name="slow", mailbox=2)
        for _ in range(2):
            slow.close()
            for n in range(10):
                await hub.emit(said(n))
                await until_idle()
            slow.open()
            await hub.flush()
    announced = [each.count for each in witness.events if isinstance(each, MailboxOverflowed)]
    assert sum(announced) == attachment.statistics().dropped == 14
    assert witness.kinds[-1] == "hub.stopped"


async def test_a_listener_hears_of_others_only() -> None:
    """It does not hear of its own attachment."""
    one, two = Recorder(), Recorder()
    async with Hub() as hub:
        hub.attach(one, name="one")
        hub.attach(two, name="two")
        await hub.emit(said())
    for recorder, other in ((one, "two"), (two, "one")):
        assert [each.listener for each in recorder.events if each.kind == "listener.attached"] == [other]  # type: ignore[attr-defined]


async def test_the_history_leaves_out_the_listener_itself() -> None:
    store, one = MemoryStore(), Recorder()
    async with Hub(store) as hub:
        hub.attach(Recorder(), name="one")
        hub.attach(Recorder(), name="two")
        await hub.emit(said())
    async with Hub(store) as hub:
        await attached(hub, one, name="one", since="start")
        assert [each.listener for each in one.events if each.kind == "listener.attached"] == ["two"]  # type: ignore[attr-defined]


# --- BEST_EFFORT, BLOCK ---------------------------------------------------------------------------------------------


async def test_block_holds_emitters_and_drops_nothing() -> None:
    slow = GatedRecorder()
    async with Hub() as hub:
        attachment = await attached(hub, slow, overflow=Overflow.BLOCK, mailbox=5)
        slow.close()
        async with anyio.create_task_group() as tasks:
            for n in range(20):
                tasks.start_soon(hub.emit, said(n))
            await until_idle()
            assert hub.statistics().in_flight == 0
            assert hub.statistics().emitters_waiting == 15
            assert attachment.statistics().lag == 5
            assert not hub.offer(said())
            slow.open()
        await hub.flush()
        assert numbers(slow.events) == list(range(20))
        assert attachment.statistics().dropped == 0


async def test_block_does_not_hold_up_the_commit() -> None:
    slow = GatedRecorder()
    async with Hub() as hub:
        await attached(hub, slow, overflow=Overflow.BLOCK, mailbox=5)
        slow.close()
        for n in range(5):
            await hub.emit(said(n))
        slow.open()


async def test_detaching_releases_blocked_emitters() -> None:
    slow = GatedRecorder()
    async with Hub() as hub:
        attachment = await attached(hub, slow, overflow=Overflow.BLOCK, mailbox=1)
        slow.close()
        async with anyio.create_task_group() as tasks:
            for n in range(5):
                tasks.start_soon(hub.emit, said(n))
            await until_idle()
            assert hub.statistics().emitters_waiting == 4
            tasks.start_soon(attachment.detach)
            slow.open()
        assert hub.statistics().emitters_waiting == 0


async def test_block_waits_until_it_has_caught_up() -> None:
    """While it catches up with the history, it blocks no emitter."""
    slow = GatedRecorder()
    async with Hub(MemoryStore(), ring=1) as hub:
        for n in range(2000):
            hub.emit_nowait(said(n))
            if n % 500 == 0:
                await hub.flush()
        await hub.flush()
        slow.close()
        attachment = hub.attach(slow, overflow=Overflow.BLOCK, mailbox=5, since="start")
        await until_idle()
        assert attachment.state is AttachmentState.CATCHING_UP
        for n in range(2000, 2020):
            await hub.emit(said(n))
        slow.open()
        await attachment.ready()
        await hub.flush()
        assert numbers(slow.events) == list(range(2020))
        assert attachment.statistics().dropped == 0
