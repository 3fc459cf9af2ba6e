"""How a listener leaves a hub, and what the others hear of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hubwire import Attachment, AttachmentState, Duty, Event, Hub
from hubwire.stores import MemoryStore
from hubwire.testing import GatedRecorder, ManualClock, Recorder
from support import numbers, said, until_idle
from support.fanout import attached


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
        # Whether the third was journaled when it left is up to the loop.
        assert numbers(leaver.events) in ([1, 2], [1, 2, 3])
        assert leaver.attachment.state is AttachmentState.DETACHED
        await hub.emit(said(4))
        assert 4 not in numbers(leaver.events)


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
