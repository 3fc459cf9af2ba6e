"""Listeners, but for failures: duties, patterns, places, coming and going."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anyio
import pytest

from hubwire import Attachment, AttachmentState, BaseHubListener, Duty, Event, GenericEvent, Hub, Overflow, event
from hubwire.errors import (
    CommandRejected,
    ConfigurationError,
    HubClosed,
    JournalBehind,
    ListenerFailed,
    Overloaded,
)
from hubwire.events import MailboxOverflowed
from hubwire.listener import (
    ChannelView,
    EnvelopeView,
    ExpectationView,
    ManifestView,
    ParticipantView,
    PassportView,
    RemoteError,
    ViolationView,
)
from hubwire.stores import MemoryStore
from hubwire.testing import GatedRecorder, ManualClock, Recorder
from support import numbers, said, seqs, until_idle


@event("fanout.tried")
class Tried(Event):
    number: int = 0


async def attached(hub: Hub, listener: object, **settings: Any) -> Attachment:
    """Attach a listener, and return when it has caught up and everything about it is committed."""
    attachment = hub.attach(listener, **settings)
    await attachment.ready()
    await hub.flush()
    return attachment


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


# --- patterns -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "kinds"),
    [
        ("*", ["tool.was_called", "tool.was_failed", "model.was_failed", "a.tool.was_called"]),
        ("tool.*", ["tool.was_called", "tool.was_failed"]),
        ("*.was_failed", ["tool.was_failed", "model.was_failed"]),
        ("*.tool.*", ["a.tool.was_called"]),
        ("tool.was_called", ["tool.was_called"]),
        (["tool.was_called", "model.*"], ["tool.was_called", "model.was_failed"]),
        ("tool", []),
        ("toolXwas_called", []),
        ("TOOL.*", []),
    ],
)
async def test_a_pattern_selects_kinds(pattern: str | list[str], kinds: list[str]) -> None:
    recorder = Recorder()
    async with Hub() as hub:
        await attached(hub, recorder, pattern=pattern)
        for kind in ("tool.was_called", "tool.was_failed", "model.was_failed", "a.tool.was_called"):
            await hub.emit(GenericEvent(kind=kind))
        await hub.flush()
        assert recorder.kinds == kinds


@pytest.mark.parametrize("pattern", ["", [], [""], ["tool.*", None]])
async def test_an_empty_pattern_is_refused(pattern: Any) -> None:
    hub = Hub()
    with pytest.raises(ConfigurationError, match="matches nothing"):
        hub.attach(Recorder(), pattern=pattern)
    assert hub.statistics().attachments == ()


async def test_unmatched_events_count_as_read() -> None:
    recorder = Recorder()
    async with Hub() as hub:
        attachment = await attached(hub, recorder, pattern="number.*", duty=Duty.REQUIRED)
        stamped = await hub.emit(Tried())
        assert recorder.events == []
        assert attachment.statistics().position == stamped.seq + 1
        assert attachment.statistics().handled == 0


# --- places ---------------------------------------------------------------------------------------------------------


async def test_since_now_begins_with_the_next_event() -> None:
    async with Hub(MemoryStore()) as hub:
        await hub.emit(said(1))
        recorder = Recorder()
        hub.attach(recorder)
        for n in (2, 3):
            await hub.emit(said(n))
        await hub.flush()
        assert numbers(recorder.events) == [2, 3]


async def test_since_now_before_the_start() -> None:
    """It begins with `hub.started`."""
    recorder, store = Recorder(), MemoryStore()
    for _ in range(2):
        async with Hub(store, listeners=[recorder]):
            pass
    assert recorder.kinds == ["hub.started", "hub.stopped"] * 2


async def test_since_start_begins_with_the_journal() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        await hub.emit(said(1))
    early, late = Recorder(), Recorder()
    async with Hub(store) as hub:
        await hub.emit(said(2))
    hub = Hub(store)
    hub.attach(early, since="start")
    async with hub:
        await hub.emit(said(3))
        await attached(hub, late, since="start", name="late")
        assert numbers(early.events) == numbers(late.events) == [1, 2, 3]
        assert early.events[0].seq == late.events[0].seq == 0


async def test_since_a_seq_begins_there() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        stamped = [await hub.emit(said(n)) for n in range(5)]
        recorder = Recorder()
        await attached(hub, recorder, since=stamped[2].seq)
        assert numbers(recorder.events) == [2, 3, 4]
        assert recorder.events[0].seq == stamped[2].seq


async def test_since_a_future_seq_is_refused() -> None:
    async with Hub(MemoryStore()) as hub:
        attachment = hub.attach(Recorder(), since=1000)
        with pytest.raises(JournalBehind):
            await attachment.ready()
        assert attachment.state is AttachmentState.DETACHED


async def test_since_start_without_a_journal() -> None:
    """It begins with the oldest event of the ring."""
    async with Hub() as hub:
        await hub.emit(said(1))
        recorder = Recorder()
        await attached(hub, recorder, since="start")
        assert recorder.events[0].kind == "hub.started"
        assert numbers(recorder.events) == [1]


async def test_a_listener_declares_its_own_settings() -> None:
    """It may say where it begins and what its duty is; arguments override it."""

    class Says(Recorder):
        duty = Duty.REQUIRED
        since = "start"

    store, listener = MemoryStore(), Says()
    async with Hub(store) as hub:
        await hub.emit(said(1))
    async with Hub(store, listeners=[listener]) as hub:
        assert hub.statistics().attachments[0].duty is Duty.REQUIRED
        assert numbers(listener.events) == [1]
    async with Hub(store) as hub:
        other = await attached(hub, Says(), duty=Duty.BEST_EFFORT, since="now")
        assert other.statistics().duty is Duty.BEST_EFFORT
        assert other.statistics().handled == 0


async def test_a_late_required_listener_catches_up_first() -> None:
    """It does so off the commit path; then the commit waits for it."""
    store, required = MemoryStore(), GatedRecorder()
    async with Hub(store) as hub:
        for n in range(10):
            await hub.emit(said(n))
        required.close()
        attachment = hub.attach(required, duty=Duty.REQUIRED, since="start")
        getting_ready = asyncio.create_task(attachment.ready())
        await until_idle()
        assert len(required.given) >= 10
        with anyio.fail_after(30):
            await hub.emit(said(10))  # nobody waits for it yet
        assert attachment.state is AttachmentState.CATCHING_UP
        assert hub.health().problems == ("listener 'GatedRecorder' has not caught up yet",)
        assert not getting_ready.done()
        required.open()
        await getting_ready
        assert attachment.statistics().state is AttachmentState.RUNNING
        assert numbers(required.events) == list(range(11))
        required.close()
        emitting = asyncio.create_task(hub.emit(said(11)))
        await until_idle()
        assert not emitting.done()
        required.open()
        await emitting
        assert seqs(required.events) == list(range(len(required.events)))


async def test_required_without_a_journal_is_required_at_once() -> None:
    """The commit waits for it from the place where it begins."""
    required = GatedRecorder()
    async with Hub(ring=1, in_flight_max=10) as hub:
        for n in range(1000):
            await hub.emit(said(n))
        first = hub.statistics().applied - hub.statistics().ring_events
        required.close()
        attachment = hub.attach(required, duty=Duty.REQUIRED, since="start")
        await until_idle()
        async with anyio.create_task_group() as tasks:
            for n in range(1000, 4000):
                tasks.start_soon(hub.emit, said(n))
            await until_idle()
            assert hub.statistics().emitters_waiting > 2900
            required.open()
        await attachment.ready()
        assert seqs(required.events) == list(range(first, first + len(required.events)))
        assert numbers(required.events)[-1] == 3999


async def test_a_lossy_listener_drops_what_the_ring_forgets() -> None:
    """One that never reaches the end misses what the ring no longer holds."""
    slow = GatedRecorder()
    async with Hub(ring=16) as hub:
        for n in range(5):
            await hub.emit(said(n))
        slow.close()
        attachment = hub.attach(slow, since="start", mailbox=3, pattern="number.*")
        await until_idle()
        assert numbers(slow.given) == list(range(5))
        for n in range(5, 20_000):
            hub.emit_nowait(said(n))
        slow.open()
        await hub.flush()
        assert attachment.state is AttachmentState.RUNNING
        assert hub.health().healthy
        statistics = attachment.statistics()
        assert statistics.dropped > 19_000
        assert statistics.handled + statistics.dropped == 20_000


async def test_a_lossy_listener_has_caught_up_early() -> None:
    """It has caught up when its mailbox holds the rest: a slow one never reaches the very end."""
    slow = GatedRecorder()
    async with Hub(MemoryStore()) as hub:
        for n in range(5):
            await hub.emit(said(n))
        slow.close()
        attachment = hub.attach(slow, since="start", mailbox=10, pattern="number.*")
        await until_idle()
        assert attachment.state is AttachmentState.RUNNING
        assert numbers(slow.given) == list(range(5))
        for n in range(5, 50):
            await hub.emit(said(n))
        slow.open()
        await hub.flush()
        assert numbers(slow.events)[:6] == [0, 1, 2, 3, 4, 40]
        assert attachment.statistics().dropped == 35


async def test_catching_up_lets_the_loop_turn() -> None:
    async with Hub(MemoryStore(), ring=1) as hub:
        for n in range(3000):
            hub.emit_nowait(said(n))
            if n % 500 == 0:
                await hub.flush()
        await hub.flush()
        turns = 0

        def turn() -> None:
            nonlocal turns
            turns += 1
            asyncio.get_running_loop().call_soon(turn)

        turn()
        attachment = hub.attach(BaseHubListener(), pattern="nothing.*", since="start", mailbox=1)
        await attachment.ready()
        assert attachment.statistics().position >= 3000
        assert turns > 10


async def test_ready_raises_the_reason() -> None:
    class Shut(Recorder):
        async def __aenter__(self) -> None:
            raise OSError("no way in")

    async with Hub() as hub:
        attachment = hub.attach(Shut(), name="shut", duty=Duty.REQUIRED)
        with pytest.raises(OSError, match="no way in"):
            await attachment.ready()
        await hub.emit(said())
        assert hub.health().problems == ("listener 'shut' is detached: it could not be entered: OSError: no way in",)


# --- going ----------------------------------------------------------------------------------------------------------


async def test_a_detached_listener_hears_nothing_more() -> None:
    """The hub is healthy without it."""
    recorder, witness = Recorder(), Recorder()
    async with Hub(listeners=[witness]) as hub:
        attachment = await attached(hub, recorder, name="gone")
        await hub.emit(said(1))
        await hub.flush()
        await attachment.detach()
        await hub.emit(said(2))
        await hub.flush()
        assert numbers(recorder.events) == [1]
        detached = await witness.wait_for("listener.detached")
        assert (detached.listener, detached.reason) == ("gone", "detached")  # type: ignore[attr-defined]
        assert hub.health().healthy
        assert [each.name for each in hub.statistics().attachments] == ["Recorder"]
        await attachment.detach()


async def test_detach_waits_for_the_current_batch() -> None:
    slow = GatedRecorder()
    async with Hub() as hub:
        attachment = await attached(hub, slow)
        slow.close()
        await hub.emit(said(1))
        await until_idle()
        await hub.emit(said(2))
        detaching = asyncio.create_task(attachment.detach())
        await until_idle()
        assert not detaching.done()
        slow.open()
        await detaching
        assert numbers(slow.events) == [1]


async def test_detaching_a_required_listener_drains_it() -> None:
    """`detach` returns when the listener has everything journaled."""
    required = GatedRecorder()
    async with Hub(MemoryStore()) as hub:
        attachment = await attached(hub, required, duty=Duty.REQUIRED)
        required.close()
        hub.emit_nowait(said(1))
        await until_idle()
        hub.emit_nowait(said(2))
        await until_idle()
        assert numbers(required.given) == [1], "the second is journaled, and not in the batch it is at"
        detaching = asyncio.create_task(attachment.detach())
        emitting = asyncio.create_task(hub.emit(said(3)))
        await until_idle()
        assert not detaching.done()
        required.open()
        await detaching
        await emitting
        assert numbers(required.events)[:2] == [1, 2]


async def test_a_required_listener_may_detach_itself() -> None:
    """It gets everything journaled first."""

    class Leaver(GatedRecorder):
        attachment: Attachment

        async def on_events(self, events: Sequence[Event]) -> None:
            await super().on_events(events)
            if 1 in numbers(events):
                await self.attachment.detach()

    leaver = Leaver()
    async with Hub(MemoryStore()) as hub:
        leaver.attachment = await attached(hub, leaver, duty=Duty.REQUIRED)
        leaver.close()
        hub.emit_nowait(said(1))
        await until_idle()
        hub.emit_nowait(said(2))
        await until_idle()
        leaver.open()
        await hub.emit(said(3))
        await hub.flush()
        assert numbers(leaver.events) == [1, 2]
        assert leaver.attachment.state is AttachmentState.DETACHED


async def test_a_detaching_listener_disturbs_no_other() -> None:
    """When a listener detaches itself, no other one misses an event."""

    class Leaver(Recorder):
        attachment: Attachment

        async def on_events(self, events: Sequence[Event]) -> None:
            await super().on_events(events)
            if numbers(events):
                await self.attachment.detach()

    leaver = Leaver()
    others = [Recorder() for _ in range(4)]
    async with Hub() as hub:
        for number, listener in enumerate([*others[:2], leaver, *others[2:]]):
            attachment = hub.attach(listener, name=f"listener {number}")
            if listener is leaver:
                leaver.attachment = attachment
        for n in range(10):
            await hub.emit(said(n))
            await until_idle()
    assert numbers(leaver.events) == [0]
    assert all(numbers(other.events) == list(range(10)) for other in others)


async def test_detaching_others_during_the_start() -> None:
    """The remaining listeners all hear `hub.started`."""

    class Meddler(Recorder):
        attachment: Attachment

        async def __aenter__(self) -> None:
            await self.attachment.detach()

    meddler, recorders = Meddler(), [Recorder() for _ in range(3)]
    hub = Hub()
    attachments = [hub.attach(each, name=f"listener {number}") for number, each in enumerate([meddler, *recorders])]
    meddler.attachment = attachments[2]
    async with hub:
        await hub.flush()
    assert [recorder.kinds[:1] for recorder in recorders] == [["hub.started"], [], ["hub.started"]]


async def test_detaching_before_the_start() -> None:
    recorder = Recorder()
    hub = Hub()
    attachment = hub.attach(recorder)
    await attachment.detach()
    assert attachment.state is AttachmentState.DETACHED
    again = hub.attach(recorder)
    await again.detach()
    async with hub:
        await hub.emit(said())
    assert recorder.events == []


async def test_a_pausing_listener_can_be_detached() -> None:
    class Fails(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            raise ValueError("no")

    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        attachment = await attached(hub, Fails(), pattern="number.*")
        await hub.emit(said())
        await until_idle()
        assert attachment.statistics().restarts == 0, "it pauses, and the clock stands still"
        await attachment.detach()
        assert hub.health().healthy


async def test_a_listener_may_attach_others() -> None:
    """It may do so in any state of the hub."""

    class Friend(Recorder):
        def __init__(self, when: str) -> None:
            super().__init__()
            self.when = when
            self.friend = Recorder()

        def bind(self, hub: Hub) -> None:
            self.hub = hub
            self.bring("bind")

        def bring(self, when: str) -> None:
            if when == self.when:
                self.hub.attach(self.friend, name=f"friend of {when}")

        async def __aenter__(self) -> None:
            self.bring("enter")

        async def on_events(self, events: Sequence[Event]) -> None:
            await super().on_events(events)
            if "hub.started" in [each.kind for each in events]:
                self.bring("events")

    friends = {when: Friend(when) for when in ("bind", "enter", "events")}
    async with Hub(listeners=friends.values()) as hub:
        await until_idle()
        await hub.emit(said(1))
        await hub.flush()
        assert [numbers(each.friend.events) for each in friends.values()] == [[1], [1], [1]]
    assert all(each.friend.kinds[-1] == "hub.stopped" for each in friends.values())


# --- names ----------------------------------------------------------------------------------------------------------


async def test_a_listener_is_named_after_its_class() -> None:
    """A function gives its own name, and a second one of a name is numbered."""

    def watch(_: Event) -> None:
        pass

    hub = Hub(listeners=[Recorder(), Recorder(), watch])
    hub.attach(Recorder())
    hub.attach(Recorder(), name="my own")
    names = [each.name for each in hub.statistics().attachments]
    assert names == ["Recorder", "Recorder-2", "watch", "Recorder-3", "my own"]


async def test_a_name_is_unique_while_attached() -> None:
    async with Hub() as hub:
        attachment = await attached(hub, Recorder(), name="taken")
        with pytest.raises(ConfigurationError, match="'taken' is attached already"):
            hub.attach(Recorder(), name="taken")
        await attachment.detach()
        await attached(hub, Recorder(), name="taken")
        assert [each.name for each in hub.statistics().attachments] == ["taken"]


async def test_a_refused_listener_is_not_bound() -> None:
    """A listener that cannot be bound is not attached."""
    bound: list[str] = []

    class Bound(Recorder):
        def bind(self, hub: Hub) -> None:
            bound.append("bound")
            raise RuntimeError("not to this one")

    hub = Hub()
    hub.attach(Recorder(), name="taken")
    with pytest.raises(ConfigurationError):
        hub.attach(Bound(), name="taken")
    assert bound == []
    with pytest.raises(RuntimeError, match="not to this one"):
        hub.attach(Bound(), name="free")
    assert [each.name for each in hub.statistics().attachments] == ["taken"]


# --- what may listen ------------------------------------------------------------------------------------------------


async def test_a_decorated_function_listens() -> None:
    """It may be sync or async, and stays a function."""
    heard: list[tuple[str, str]] = []
    async with Hub() as hub:

        @hub.on("number.*", name="quick")
        def quick(each: Event) -> None:
            heard.append(("sync", each.kind))

        @hub.on(["number.*", "fanout.*"], duty=Duty.REQUIRED)
        async def thorough(each: Event) -> None:
            await asyncio.sleep(0)
            heard.append(("async", each.kind))

        await hub.emit(said())
        await hub.emit(Tried())
        await hub.flush()
        assert sorted(heard) == [("async", "fanout.tried"), ("async", "number.said"), ("sync", "number.said")]
        assert [each.name for each in hub.statistics().attachments] == ["quick", "thorough"]
        quick(said())
        assert heard[-1] == ("sync", "number.said")


async def test_on_without_a_pattern_hears_everything() -> None:
    heard: list[str] = []
    hub = Hub()

    @hub.on()
    def listen(each: Event) -> None:
        heard.append(each.kind)

    async with hub:
        await hub.emit(said())
    assert heard == ["hub.started", "number.said", "hub.stopped"]


async def test_a_callable_object_listens() -> None:
    class Callable_:  # noqa: N801 - the word is taken
        def __init__(self) -> None:
            self.heard: list[str] = []

        def __call__(self, each: Event) -> None:
            self.heard.append(each.kind)

    listener = Callable_()
    async with Hub() as hub:
        await attached(hub, listener, pattern="number.*")
        await hub.emit(said())
    assert listener.heard == ["number.said"]


async def test_an_object_with_hooks_listens() -> None:
    """All the rest of the port works for it."""
    calls: list[Any] = []

    class Hooks:
        duty = Duty.REQUIRED
        since = "start"

        def bind(self, hub: Hub) -> None:
            calls.append("bind")

        async def __aenter__(self) -> None:
            calls.append("enter")

        async def __aexit__(self, *_: object) -> None:
            calls.append("exit")

        def last_seq(self) -> int:
            return 1

        async def on_agent_event(self, agent_id: str, kind: str, payload: Mapping[str, Any]) -> None:
            calls.append((kind, payload["name"]))

    store = MemoryStore()
    async with Hub(store) as hub:  # hub.started is event 0
        await hub.agents.register("one")
        await hub.agents.register("two")
    async with Hub(store, listeners=[Hooks()]) as hub:
        assert hub.statistics().attachments[0].duty is Duty.REQUIRED
    assert calls == ["bind", "enter", ("registered", "two"), "exit"]


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (Recorder, "Recorder is a class; attach an instance"),
        (object(), "neither on_events nor one of the hooks"),
        (None, "neither on_events nor one of the hooks"),
        ("print", "neither on_events nor one of the hooks"),
        (type("Sync", (), {"on_events": lambda self, events: None})(), "on_events must be a coroutine function"),
        (type("Sync", (), {"on_task_event": lambda *_: None})(), "on_task_event must be a coroutine function"),
        (type("Sync", (BaseHubListener,), {"on_event": lambda *_: None})(), "on_event must be a coroutine function"),
    ],
)
async def test_an_unfit_listener_is_refused(candidate: Any, message: str) -> None:
    hub = Hub()
    with pytest.raises(ConfigurationError, match=message):
        hub.attach(candidate)
    with pytest.raises(ConfigurationError, match=message):
        Hub(listeners=[candidate])
    assert hub.statistics().attachments == ()


@pytest.mark.parametrize("settings", [{"timeout": 0}, {"timeout": -1}, {"mailbox": 0}, {"duty": "required"}])
async def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    hub = Hub()
    with pytest.raises(ConfigurationError):
        hub.attach(Recorder(), **settings)
    assert hub.statistics().attachments == ()


async def test_attaching_to_an_ended_hub_is_refused() -> None:
    """A hub that is closed or has failed takes no listeners."""
    async with Hub() as closed:
        pass
    with pytest.raises(HubClosed):
        closed.attach(Recorder())
    failed = Hub()

    @failed.on("number.*", duty=Duty.REQUIRED)
    def fail(each: Event) -> None:
        raise ValueError("no")

    with pytest.raises(ListenerFailed):
        async with failed:
            await failed.emit(said())
    with pytest.raises(ListenerFailed):
        failed.attach(Recorder())


# --- the rest of the port -------------------------------------------------------------------------------------------


async def test_the_calls_of_a_listener_are_in_order() -> None:
    """It is bound, entered, given its events, and left."""
    calls: list[str] = []

    class Lives(Recorder):
        def bind(self, hub: Hub) -> None:
            assert isinstance(hub, Hub)
            calls.append("bind")

        async def __aenter__(self) -> None:
            calls.append("enter")

        async def __aexit__(self, *_: object) -> None:
            calls.append("exit")

        def last_seq(self) -> None:
            calls.append("last_seq")

        async def on_events(self, events: Sequence[Event]) -> None:
            calls.extend(each.kind for each in events)

    async with Hub(listeners=[Lives()]):
        pass
    assert calls == ["bind", "enter", "last_seq", "hub.started", "hub.stopped", "exit"]
    calls.clear()
    async with Hub() as hub:
        attachment = await attached(hub, Lives())
        await attachment.detach()
        assert calls == ["bind", "enter", "last_seq", "exit"]


async def test_last_seq_overrides_since() -> None:
    """It does so even if the listener cannot be entered."""

    class Keeps(Recorder):
        def last_seq(self) -> int | None:
            return 3

    store = MemoryStore()
    async with Hub(store) as hub:
        for n in range(5):
            await hub.emit(said(n))
    places: list[Any] = ["now", "start", 0]
    for since in places:
        keeps = Keeps()
        hub = Hub(store)
        hub.attach(keeps, since=since, duty=Duty.REQUIRED)
        async with hub:
            assert keeps.events[0].seq == 4


async def test_an_entered_listener_is_left() -> None:
    """It is left even if its position cannot be read."""
    calls: list[str] = []

    class Forgetful(Recorder):
        async def __aenter__(self) -> None:
            calls.append("enter")

        async def __aexit__(self, *_: object) -> None:
            calls.append("exit")

        def last_seq(self) -> int:
            raise OSError("where was I?")

    async with Hub() as hub:
        with pytest.raises(OSError, match="where was I"):
            await hub.attach(Forgetful()).ready()
        assert calls == ["enter", "exit"]


async def test_a_batch_has_at_most_256_events() -> None:
    slow = GatedRecorder()
    async with Hub() as hub:
        await attached(hub, slow)
        slow.close()
        hub.emit_nowait(said())
        await until_idle()
        for n in range(600):
            hub.emit_nowait(said(n))
        slow.open()
        await hub.flush()
        assert slow.batches[-4:] == [1, 256, 256, 88]


async def test_on_events_calls_do_not_overlap() -> None:
    running = 0

    class Alone(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            nonlocal running
            running += 1
            assert running == 1
            await asyncio.sleep(0)
            await super().on_events(events)
            running -= 1

    alone = Alone()
    async with Hub(listeners=[alone]) as hub, anyio.create_task_group() as tasks:
        for n in range(50):
            tasks.start_soon(hub.emit, said(n))
            await asyncio.sleep(0)
    assert len(numbers(alone.events)) == 50


async def test_statistics_of_an_attachment() -> None:
    slow = GatedRecorder()
    async with Hub(clock=ManualClock()) as hub:
        attachment = hub.attach(slow, name="slow", mailbox=5, pattern="number.*")
        assert attachment.statistics().state is AttachmentState.STARTING
        await attachment.ready()
        await hub.flush()
        slow.close()
        await hub.emit(said())
        await until_idle()
        for n in range(3):
            await hub.emit(said(n))
        statistics = attachment.statistics()
        assert hub.statistics().attachments == (statistics,)
        assert (statistics.name, statistics.duty, statistics.state) == (
            "slow",
            Duty.BEST_EFFORT,
            AttachmentState.RUNNING,
        )
        assert (statistics.lag, statistics.handled, statistics.position) == (4, 0, hub.statistics().applied - 4)
        slow.open()
        await hub.flush()
        statistics = attachment.statistics()
        assert (statistics.lag, statistics.handled, statistics.position) == (0, 4, hub.statistics().applied)
        assert (statistics.dropped, statistics.failed, statistics.restarts, statistics.last_error) == (0, 0, 0, None)


# --- BaseHubListener ------------------------------------------------------------------------------------------------


class Hooked(BaseHubListener):
    """Keeps the arguments of every hook that was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    async def on_agent_event(self, agent_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        self.calls.append(("agent", agent_id, kind, payload))

    async def on_channel_event(self, channel_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        self.calls.append(("channel", channel_id, kind, payload))

    async def on_task_event(self, task_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        self.calls.append(("task", task_id, kind, payload))

    async def on_envelope_posted(self, envelope: EnvelopeView, metadata: ChannelView) -> None:
        self.calls.append(("posted", envelope, metadata))

    async def on_envelope_rejected(self, envelope: EnvelopeView, reason: RemoteError) -> None:
        self.calls.append(("rejected", envelope, reason))

    async def on_dispatch_failed(self, envelope: EnvelopeView, recipient_id: str, reason: RemoteError) -> None:
        self.calls.append(("dispatch_failed", envelope, recipient_id, reason))

    async def on_expectation_fired(
        self, channel_id: str, expectation: ExpectationView, violation: ViolationView
    ) -> None:
        self.calls.append(("expectation", channel_id, expectation, violation))

    async def on_turn_failed(self, channel_id: str, agent_id: str, envelope_id: str, exc: RemoteError) -> None:
        self.calls.append(("turn", channel_id, agent_id, envelope_id, exc))

    async def on_inbox_pressure(self, agent_id: str, pending: int, cap: int) -> None:
        self.calls.append(("pressure", agent_id, pending, cap))


REPLY = ExpectationView(name="reply_within", on_violation="audit", params={"seconds": 9})


async def test_hooks_get_the_arguments_of_their_event() -> None:
    hooked = Hooked()
    async with Hub(listeners=[hooked], clock=ManualClock()) as hub:
        agent = await hub.agents.register("planner", capabilities=["plan"])
        other = await hub.agents.register("coder")
        channel = await hub.channels.open([agent, other], topic="the build")
        posted = await channel.post(agent, {"text": "fix it"}, to=[other])
        with pytest.raises(CommandRejected) as refused:
            await channel.post(agent, "hello", to=["nobody"])
        await channel.close("done")
        await other.unregister()
    at = "2026-01-01T00:00:00.000000Z"
    kind, agent_id, word, registered = hooked.calls[0]
    assert (kind, agent_id, word) == ("agent", agent.id, "registered")
    assert (registered["name"], registered["capabilities"], registered["at"]) == ("planner", ("plan",), at)
    assert registered["passport"] == PassportView(agent_id=agent.id, name="planner", created_at=at)
    kind, channel_id, word, created = hooked.calls[2]
    assert (kind, channel_id, word) == ("channel", channel.id, "created")
    assert (created["participants"], created["topic"], created["at"]) == ((agent.id, other.id), "the build", at)
    metadata = created["metadata"]
    assert metadata.manifest == ManifestView(type="conversation", version=1)
    assert (metadata.creator_id, metadata.created_at) == (agent.id, at)
    assert metadata.participants == (
        ParticipantView(agent_id=agent.id, role="initiator"),
        ParticipantView(agent_id=other.id, role="respondent"),
    )
    only_which = ChannelView(channel_id=channel.id)
    opened = {"channel_state": None, "metadata": only_which, "at": at}
    assert hooked.calls[3] == ("channel", channel.id, "opened", opened)
    assert hooked.calls[4] == (
        "posted",
        EnvelopeView(
            envelope_id=posted.envelope_id,
            channel_id=channel.id,
            sender_id=agent.id,
            audience=(other.id,),
            event_type="envelope.posted",
            event_data={"text": "fix it"},
            causation_id=None,
            created_at=at,
        ),
        ChannelView(channel_id=channel.id),
    )
    kind, envelope, reason = hooked.calls[5]
    assert (kind, reason) == ("rejected", RemoteError("PostRejected", str(refused.value)))
    assert (envelope.sender_id, envelope.audience, envelope.event_data) == (agent.id, ("nobody",), "hello")
    assert hooked.calls[6:] == [
        ("channel", channel.id, "closed", {"reason": "done", "metadata": only_which, "at": at}),
        ("agent", other.id, "unregistered", {"name": "coder", "at": at}),
    ]


@pytest.mark.parametrize(
    ("happened", "call"),
    [
        (
            GenericEvent(kind="agent.observed", agent_id="a", at="t", data={"capability": "plan"}),
            ("agent", "a", "observation_recorded", {"capability": "plan", "at": "t"}),
        ),
        (
            GenericEvent(kind="agent.skill_set", agent_id="a", at="t"),
            ("agent", "a", "skill_set", {"at": "t"}),
        ),
        (
            GenericEvent(kind="channel.participant_removed", channel_id="c", at="t"),
            ("channel", "c", "participant_removed", {"metadata": ChannelView(channel_id="c"), "at": "t"}),
        ),
        (
            GenericEvent(kind="task.progressed", task_id="t", at="t", data={"done": 3}),
            ("task", "t", "progress", {"done": 3, "at": "t"}),
        ),
        (
            GenericEvent(kind="task.completed", task_id="t", at="t"),
            ("task", "t", "completed", {"at": "t"}),
        ),
        (
            GenericEvent(
                kind="envelope.dispatch_failed",
                channel_id="c",
                at="t",
                data={"envelope_id": "e", "recipient_id": "r", "error": "OSError", "reason": "gone"},
            ),
            (
                "dispatch_failed",
                EnvelopeView(
                    envelope_id="e",
                    channel_id="c",
                    sender_id=None,
                    audience=None,
                    event_type="envelope.dispatch_failed",
                    event_data=None,
                    causation_id=None,
                    created_at="t",
                ),
                "r",
                RemoteError("OSError", "gone"),
            ),
        ),
        (
            GenericEvent(
                kind="expectation.violated",
                channel_id="c",
                data={
                    "expectation": "reply_within",
                    "on_violation": "audit",
                    "params": {"seconds": 9},
                    "violators": ["a"],
                    "detail": {"elapsed": 10},
                },
            ),
            ("expectation", "c", REPLY, ViolationView(expectation=REPLY, violator_ids=("a",), detail={"elapsed": 10})),
        ),
        (
            GenericEvent(
                kind="turn.failed",
                channel_id="c",
                agent_id="a",
                data={"envelope_id": "e", "error_type": "ValueError", "error_message": "no"},
            ),
            ("turn", "c", "a", "e", RemoteError("ValueError", "no")),
        ),
        (
            GenericEvent(kind="inbox.pressured", agent_id="a", data={"pending": 90, "cap": 100}),
            ("pressure", "a", 90, 100),
        ),
        (GenericEvent(kind="envelope.acked", agent_id="a"), None),
        (GenericEvent(kind="turn.started", agent_id="a"), None),
        (GenericEvent(kind="number.said"), None),
    ],
    ids=lambda value: value.kind if isinstance(value, Event) else "",
)
async def test_each_domain_has_its_hook(happened: Event, call: tuple[Any, ...] | None) -> None:
    """The words for kinds are those of AG2."""
    hooked = Hooked()
    await hooked.on_events([happened])
    assert hooked.calls == ([call] if call else [])


async def test_hook_arguments_are_frozen() -> None:
    """They stay as they are when the caller changes its objects."""
    hooked = Hooked()
    content = {"items": ["apple"]}
    async with Hub(listeners=[hooked]) as hub:
        agent = await hub.agents.register("agent")
        channel = await hub.channels.open([agent])
        await channel.post(agent, content, to=[agent])
        content["items"].append("pear")
        await channel.close()
    created = next(call for call in hooked.calls if call[0] == "channel")
    payload: Any = created[3]
    changes: list[Callable[[], object]] = [
        lambda: payload.update(topic="x"),
        lambda: payload.__setitem__("topic", "x"),
        lambda: payload.pop("topic"),
        payload.clear,
    ]
    for change in changes:
        with pytest.raises(TypeError):
            change()
    assert payload["topic"] == ""
    envelope = next(call[1] for call in hooked.calls if call[0] == "posted")
    assert envelope.event_data == {"items": ("apple",)}
    with pytest.raises(TypeError):
        envelope.event_data["items"] = ()
    with pytest.raises(AttributeError):
        envelope.sender_id = "x"
    assert created[2] == "created"


async def test_on_event_sees_every_event() -> None:
    class Looks(BaseHubListener):
        def __init__(self) -> None:
            self.kinds: list[str] = []

        async def on_event(self, event: Event) -> None:
            self.kinds.append(event.kind)
            await super().on_event(event)

        async def on_agent_event(self, agent_id: str, kind: str, payload: Mapping[str, Any]) -> None:
            self.kinds.append(kind)

    looks = Looks()
    async with Hub(listeners=[looks]) as hub:
        await hub.agents.register("agent")
    assert looks.kinds == ["hub.started", "agent.registered", "registered", "hub.stopped"]
