"""A hub's start and its end: in good order, late, twice, cancelled, refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import anyio
import anyio.to_thread
import pytest

from hubwire import Duty, Event, GenericEvent, Hub, Overflow
from hubwire.errors import (
    HubClosed,
    HubFailed,
    JournalFailed,
    ListenerFailed,
    StoreError,
    StoreFull,
)
from hubwire.listeners import AuditLog
from hubwire.stores import MemoryStore
from hubwire.testing import GatedRecorder, Recorder
from support import numbers, said, until_idle
from support.stopping import SOON, Enterable, Watched

# --- in good order --------------------------------------------------------------------------------------------------


async def test_hub_stopped_is_the_last_event() -> None:
    """All that was emitted before is handled by every listener."""
    recorders = [Recorder() for _ in range(3)]
    async with Hub(MemoryStore(), listeners=recorders[:2]) as hub:
        hub.attach(recorders[2], duty=Duty.REQUIRED, name="required")
        for n in range(1000):
            hub.emit_nowait(said(n))
    for recorder in recorders:
        assert numbers(recorder.events) == list(range(1000))
        assert recorder.kinds[-1] == "hub.stopped"
    assert hub.statistics().applied == hub.statistics().committed == recorders[0].events[-1].seq + 1


async def test_a_close_leaves_in_order() -> None:
    """Required listeners are left after the others, and the journal last, with its clean marker."""
    store = Watched()
    listeners = [Enterable("required", store.calls), Enterable("one", store.calls), Enterable("two", store.calls)]
    hub = Hub(store)
    hub.attach(listeners[0], duty=Duty.REQUIRED)
    hub.attach(listeners[1])
    hub.attach(AuditLog(store))
    hub.attach(listeners[2])
    async with hub:
        await hub.emit(said())
    assert store.calls[:3] == ["required entered", "one entered", "two entered"]
    assert sum(call.endswith("heard the end") for call in store.calls) == 3
    # A log writes its marker also while it is open; what counts is the last time.
    ends = [call for call in store.calls if call.endswith("left") or call.startswith("clean")]
    ends = [call for n, call in enumerate(ends) if call not in ends[n + 1 :]]
    assert sorted(ends[:2]) == ["one left", "two left"]
    assert sorted(ends[2:4]) == ["clean marker of audit", "required left"]
    assert ends[4:] == ["clean marker of journal"]


async def test_a_closing_hub_refuses_commands() -> None:
    """Commands that wait to be admitted are refused as well."""
    slow = GatedRecorder()
    hub = Hub(in_flight_max=1)
    await hub.start()
    await hub.attach(slow, duty=Duty.REQUIRED).ready()
    await hub.flush()
    slow.close()
    admitted = asyncio.create_task(hub.emit(said(1)))
    await until_idle()
    at_the_door = asyncio.create_task(hub.emit(said(2)))
    await until_idle()
    closing = asyncio.create_task(hub.aclose())
    await asyncio.wait([at_the_door])
    assert isinstance(at_the_door.exception(), HubClosed)
    with pytest.raises(HubClosed):
        await hub.emit(said(3))
    with pytest.raises(HubClosed):
        hub.emit_nowait(said(3))
    assert not hub.offer(said(3))
    with pytest.raises(HubClosed):
        hub.attach(Recorder())
    assert not hub.health().healthy
    assert not closing.done()
    slow.open()
    await closing
    assert (await admitted).kind == "number.said"
    assert numbers(slow.events) == [1]
    assert slow.kinds[-1] == "hub.stopped"


async def test_announcements_during_the_close_commit() -> None:
    witness = Recorder()

    class FailsLate(GatedRecorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            await super().on_events(events)
            if numbers(events):
                raise ValueError("late")

    late = FailsLate()
    hub = Hub(MemoryStore(), listeners=[witness])
    await hub.start()
    await hub.attach(late, name="late").ready()
    late.close()
    await hub.emit(said())
    await until_idle()
    closing = asyncio.create_task(hub.aclose())
    await until_idle()
    late.open()
    await closing
    kinds = [each.kind for each in witness.events if each.kind.startswith(("listener.f", "listener.r", "hub.st"))]
    assert kinds == ["hub.started", "listener.failed", "listener.restarted", "hub.stopped"]


async def test_emits_during_the_close_reach_all() -> None:
    """What a listener emits while the hub closes reaches every listener before `hub.stopped`."""
    witness, hub = Recorder(), Hub()

    @hub.on("number.said", duty=Duty.REQUIRED)
    async def answer(event: Event) -> None:
        await hub.emit(GenericEvent(kind="number.answered"))

    @hub.on("number.answered", overflow=Overflow.BLOCK)
    async def thank(event: Event) -> None:
        await hub.emit(GenericEvent(kind="number.thanked"))

    async with hub:
        hub.attach(witness)
        hub.emit_nowait(said())
    assert witness.kinds[-4:] == ["number.said", "number.answered", "number.thanked", "hub.stopped"]


# --- closing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["task.cancel()", "a cancel scope"])
async def test_a_cancelled_close_completes(by: str) -> None:
    """It closes the hub, and then raises the cancellation."""
    slow, store = GatedRecorder(), Watched()
    hub = Hub(store)
    await hub.start()
    await hub.attach(slow).ready()
    slow.close()
    await hub.emit(said())
    await until_idle()
    scope = anyio.CancelScope()
    went_on: list[str] = []

    async def close() -> None:
        with scope:
            await hub.aclose()
            went_on.append("after aclose()")

    closing = asyncio.create_task(close())
    for _ in range(3):
        await until_idle()
        if by == "task.cancel()":
            closing.cancel()
        else:
            scope.cancel()
        assert not closing.done()
    slow.open()
    await asyncio.wait([closing])
    assert closing.cancelled() == (by == "task.cancel()")
    assert went_on == []
    assert slow.kinds[-1] == "hub.stopped"
    assert set(store.calls) == {"clean marker of journal"}


async def test_a_cancelled_close_waits_idly(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not keep the loop busy."""
    waits = 0
    wait = asyncio.wait

    async def counting_wait(*args: Any, **kwargs: Any) -> Any:
        nonlocal waits
        waits += 1
        return await wait(*args, **kwargs)

    slow = GatedRecorder()
    hub = Hub()
    await hub.start()
    await hub.attach(slow).ready()
    slow.close()
    await hub.emit(said())
    await until_idle()
    monkeypatch.setattr("asyncio.wait", counting_wait)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hub.aclose)
        await until_idle()
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await until_idle()
            slow.open()
    assert waits == 1
    assert slow.kinds[-1] == "hub.stopped"


async def test_closing_is_idempotent() -> None:
    """A hub may be closed several times, one after the other and at once."""
    recorder = Recorder()
    hub = Hub(listeners=[recorder])
    await hub.start()
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(hub.aclose)
    await hub.aclose()
    assert recorder.kinds.count("hub.stopped") == 1


async def test_closing_a_failed_hub_raises_each_time() -> None:
    hub = Hub()

    @hub.on("number.*", duty=Duty.REQUIRED)
    def fail(event: Event) -> None:
        raise ValueError("no")

    await hub.start()
    with pytest.raises(ListenerFailed):
        await hub.emit(said())
    for _ in range(2):
        with pytest.raises(ListenerFailed, match="'fail'"):
            await hub.aclose()


async def test_a_listener_may_close_the_hub() -> None:
    recorder = Recorder()
    hub = Hub(listeners=[recorder])

    @hub.on("number.*")
    async def close(event: Event) -> None:
        await hub.aclose()

    await hub.start()
    await hub.emit(said())
    await recorder.wait_for("hub.stopped")
    await hub.aclose()


async def test_an_unwritable_clean_marker_is_reported() -> None:
    """No event is lost."""
    store = Watched()
    hub = Hub(store)
    await hub.start()
    stamped = await hub.emit(said())
    await hub.flush()

    class Ends(Recorder):
        async def __aenter__(self) -> None: ...

        async def __aexit__(self, *_: object) -> None:
            store.error = StoreError("gone")

    await hub.attach(Ends(), duty=Duty.REQUIRED).ready()
    with pytest.raises(StoreError, match="gone"):
        await hub.aclose()
    store.error = None
    async with Hub(store) as again:
        assert (await anext(again.events(after=stamped.seq - 1))).id == stamped.id


async def test_the_failure_of_the_journal_comes_first() -> None:
    """Closing raises it also if the clean marker cannot be written either."""
    store = Watched()
    hub = Hub(store, close_seconds_max=SOON)
    await hub.start()
    await hub.flush()
    store.error = StoreFull("no space left")
    hub.emit_nowait(said())
    with pytest.raises(HubFailed, match="were not committed") as raised:
        await hub.aclose()
    assert not isinstance(raised.value, JournalFailed)
    store.error = None
    async with Hub(store):
        pass


async def test_the_exception_of_the_body_wins() -> None:
    """It leaves the `async with`, and what closing raises is its context."""
    store = Watched()

    class Ends(Recorder):
        async def __aenter__(self) -> None: ...

        async def __aexit__(self, *_: object) -> None:
            store.error = StoreError("gone")

    with pytest.raises(KeyError) as raised:
        async with Hub(store) as hub:
            await hub.attach(Ends(), duty=Duty.REQUIRED).ready()
            raise KeyError("mine")
    assert isinstance(raised.value.__context__, StoreError)


async def test_readers_end_when_the_hub_is_closed() -> None:
    heard: list[str] = []
    received: list[Any] = []
    async with anyio.create_task_group() as tasks, Hub(MemoryStore()) as hub:
        agent = await hub.agents.register("agent")
        channel = await hub.channels.open([agent])
        inbox, stream = agent.inbox(), hub.events()

        async def receive() -> None:
            received.extend([delivery.content async for delivery in inbox])

        async def listen() -> None:
            heard.extend([each.kind async for each in stream])

        tasks.start_soon(receive)
        tasks.start_soon(listen)
        await channel.post(agent, "hello", to=[agent])
        await until_idle()
    assert received == ["hello"]
    assert heard == ["envelope.posted", "hub.stopped"]
    assert [each.kind async for each in stream] == []
    assert [each async for each in hub.events()] == []
    assert [each.kind async for each in hub.events(after=-1)][-1] == "hub.stopped"
    assert [each async for each in inbox] == []


async def test_readers_raise_the_failure_of_the_hub() -> None:
    """They give out what is committed first."""
    hub = Hub()

    @hub.on("number.*", duty=Duty.REQUIRED)
    def fail(event: Event) -> None:
        raise ValueError("no")

    await hub.start()
    agent = await hub.agents.register("agent")
    stream, inbox = hub.events(), agent.inbox()
    last = await hub.emit(GenericEvent(kind="last.committed"))
    hub.emit_nowait(said())
    assert (await anext(stream)).seq == last.seq
    with pytest.raises(ListenerFailed):
        await anext(stream)
    with pytest.raises(ListenerFailed):
        await anext(inbox)
    with pytest.raises(ListenerFailed):
        await anext(inbox)
    with pytest.raises(ListenerFailed):
        await hub.aclose()
