"""A hub's start and its end: in good order, late, twice, cancelled, refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import anyio.to_thread
import pytest

from hubwire import AttachmentState, Duty, Event, GenericEvent, Hub, Overflow
from hubwire.errors import (
    AlreadyRunning,
    ConfigurationError,
    HubClosed,
    HubFailed,
    JournalBehind,
    JournalFailed,
    ListenerFailed,
    StoreError,
    StoreFull,
)
from hubwire.events import ListenerDetached
from hubwire.listeners import AuditLog
from hubwire.stores import MemoryStore
from hubwire.testing import GatedRecorder, Recorder
from support import GatedStore, numbers, said, until_idle

SOON = 0.05
"""A deadline that a test waits for: only what hangs for ever comes to it."""


class Enterable(Recorder):
    """A recorder that tells when it is entered and left, and fails to be if it is told to."""

    def __init__(self, name: str = "it", calls: list[str] | None = None, error: BaseException | None = None) -> None:
        super().__init__()
        self.name = name
        self.calls = [] if calls is None else calls
        self.error = error

    async def __aenter__(self) -> None:
        if self.error is not None:
            raise self.error
        self.calls.append(f"{self.name} entered")

    async def __aexit__(self, *_: object) -> None:
        self.calls.append(f"{self.name} left")

    async def on_events(self, events: Sequence[Event]) -> None:
        await super().on_events(events)
        if "hub.stopped" in [each.kind for each in events]:
            self.calls.append(f"{self.name} heard the end")


class Watched(GatedStore):
    """A gated store that also notes, and may refuse, the clean markers of logs."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        if path.endswith("/clean"):
            self.calls.append(f"clean marker of {path.split('/')[1]}")
            if self.error is not None:
                raise self.error
        await super().write(path, content, if_absent=if_absent, expect=expect)


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
    ends = [call for call in store.calls if call.endswith("left") or call.startswith("clean")]
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


# --- what hangs -----------------------------------------------------------------------------------------------------


async def test_a_listener_that_hangs_at_close_is_cancelled() -> None:
    """It is cancelled at the deadline, and the others hear `hub.stopped`."""
    cancelled: list[str] = []

    class Hangs(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            if numbers(events):
                try:
                    await anyio.sleep_forever()
                finally:
                    cancelled.append("cancelled")

    witness, required = Recorder(), Recorder()
    async with Hub(close_seconds_max=SOON) as hub:
        attachment = hub.attach(Hangs(), name="hangs")
        hub.attach(witness)
        hub.attach(required, duty=Duty.REQUIRED, name="required")
        await hub.emit(said())
    assert cancelled == ["cancelled"]
    assert attachment.state is AttachmentState.DETACHED
    assert required.kinds[-1] == witness.kinds[-1] == "hub.stopped"
    (detached,) = [each for each in witness.events if isinstance(each, ListenerDetached)]
    assert (detached.listener, detached.reason) == ("hangs", "it was cancelled, not being done when the hub closed")


@pytest.mark.parametrize("duty", [Duty.BEST_EFFORT, Duty.REQUIRED])
async def test_hanging_at_the_last_event_is_cancelled(duty: Duty) -> None:
    class Hangs(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            if "hub.stopped" in [each.kind for each in events]:
                await anyio.sleep_forever()

    hub = Hub(MemoryStore(), close_seconds_max=SOON)
    hub.attach(Hangs(), duty=duty)
    await hub.start()
    await hub.emit(said())
    if duty is Duty.REQUIRED:
        with pytest.raises(HubFailed, match="the last 1 events were not committed"):
            await hub.aclose()
    else:
        await hub.aclose()


async def test_hanging_on_enter_is_cancelled_at_close() -> None:
    """It is cancelled at the deadline of the close."""

    class Hangs(Recorder):
        async def __aenter__(self) -> None:
            await anyio.sleep_forever()

    async with Hub(close_seconds_max=SOON) as hub:
        attachment = hub.attach(Hangs())
        await hub.emit(said())
    assert attachment.state is AttachmentState.DETACHED


async def test_hanging_on_leave_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hangs(Recorder):
        async def __aenter__(self) -> None: ...

        async def __aexit__(self, *_: object) -> None:
            await anyio.sleep_forever()

    monkeypatch.setattr("hubwire._delivery.handling.LEAVE_SECONDS_MAX", SOON)
    async with Hub() as hub:
        await hub.attach(Hangs()).ready()


async def test_failing_on_leave_is_in_the_statistics() -> None:
    class Fails(Recorder):
        async def __aenter__(self) -> None: ...

        async def __aexit__(self, *_: object) -> None:
            raise OSError("stuck")

    async with Hub() as hub:
        attachment = hub.attach(Fails())
        await attachment.ready()
    assert attachment.statistics().last_error == "OSError: stuck"


async def test_hanging_on_enter_does_not_hold_the_start() -> None:
    class Hangs(Recorder):
        async def __aenter__(self) -> None:
            await anyio.sleep_forever()

    recorder, hub = Recorder(), Hub()
    attachment = hub.attach(Hangs(), name="hangs", timeout=SOON)
    hub.attach(recorder)
    async with hub:
        await hub.emit(said())
        assert hub.health().problems == (
            "listener 'hangs' is detached: it could not be entered: ListenerTimeout: not entered after 0.05 s",
        )
        assert attachment.state is AttachmentState.DETACHED
    assert numbers(recorder.events) == [0]


async def test_a_journal_that_hangs_at_close_is_abandoned() -> None:
    """It is given up at the deadline."""
    store = Watched()
    with pytest.raises(HubFailed, match="were not committed within"):
        async with Hub(store, close_seconds_max=SOON) as hub:
            await hub.flush()
            store.gate.close()
            hub.emit_nowait(said())
            asyncio.get_running_loop().call_later(10 * SOON, store.gate.open)


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
    assert store.calls == ["clean marker of journal"]


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


# --- used at the wrong time -----------------------------------------------------------------------------------------


COMMANDS: list[Callable[[Hub], Awaitable[Any]]] = [
    lambda hub: hub.emit(said()),
    lambda hub: hub.agents.register("agent"),
    lambda hub: hub.channels.open(["agent"]),
    lambda hub: hub.flush(),
]


@pytest.mark.parametrize("command", COMMANDS, ids=["emit", "register", "open", "flush"])
async def test_a_hub_before_its_start_refuses_commands(command: Callable[[Hub], Awaitable[Any]]) -> None:
    hub = Hub()
    with pytest.raises(HubClosed, match="not running"):
        await command(hub)
    with pytest.raises(HubClosed, match="not running"):
        hub.emit_nowait(said())
    with pytest.raises(HubClosed, match="not running"):
        hub.events()
    assert not hub.offer(said())
    assert hub.id == ""
    assert hub.health().problems == ("the hub is not running",)
    assert hub.statistics().applied == 0
    await hub.aclose()
    async with hub:
        await hub.emit(said())


@pytest.mark.parametrize("command", COMMANDS, ids=["emit", "register", "open", "flush"])
async def test_a_closed_hub_refuses_commands(command: Callable[[Hub], Awaitable[Any]]) -> None:
    async with Hub() as hub:
        pass
    before = hub.statistics().applied
    with pytest.raises(HubClosed, match="not running"):
        await command(hub)
    with pytest.raises(HubClosed, match="not running"):
        hub.emit_nowait(said())
    assert not hub.offer(said())
    assert hub.health().problems == ("the hub is not running",)
    assert hub.statistics().applied == before


async def test_a_hub_is_started_once() -> None:
    async with Hub() as hub:
        with pytest.raises(ConfigurationError, match="started already"):
            await hub.start()
        await hub.emit(said())
    with pytest.raises(ConfigurationError, match="started already"):
        await hub.start()


async def test_a_cancelled_start_releases_everything() -> None:
    store, calls, hanging = MemoryStore(), list[str](), anyio.Event()

    class Hangs(Enterable):
        async def __aenter__(self) -> None:
            await super().__aenter__()
            hanging.set()
            await anyio.sleep_forever()

    hub = Hub(store, listeners=[Enterable("first", calls)])
    hub.attach(Hangs("second", calls), duty=Duty.REQUIRED)
    starting = asyncio.create_task(hub.start())
    await hanging.wait()
    starting.cancel()
    await asyncio.wait([starting])
    assert starting.cancelled()
    assert calls == ["first entered", "second entered", "first left"]
    async with Hub(store) as again:
        await again.emit(said())


async def test_a_hub_stays_in_its_loop() -> None:
    """It is used in the event loop in which it was started."""
    async with Hub() as hub:
        before = hub.statistics().applied

        def use() -> list[str]:
            with pytest.raises(ConfigurationError) as one:
                asyncio.run(hub.emit(said()))
            with pytest.raises(ConfigurationError) as two:
                hub.emit_nowait(said())
            return [str(one.value), str(two.value)]

        told = await anyio.to_thread.run_sync(use)
        assert all("another event loop" in message for message in told)
        assert hub.statistics().applied == before


async def test_a_listener_cannot_wait_for_itself() -> None:
    hub = Hub()
    raised: list[Exception] = []

    @hub.on("number.*")
    async def wait(event: Event) -> None:
        try:
            await hub.flush()
        except ConfigurationError as error:
            raised.append(error)

    async with hub:
        await hub.emit(said())
        await hub.flush()
    assert len(raised) == 1


# --- a start that is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError("no way in"), asyncio.CancelledError(), SystemExit(1)])
async def test_a_failed_enter_may_fail_the_start(error: BaseException) -> None:
    """A REQUIRED listener that cannot be entered fails it, and all that was opened or entered before is released."""
    store, calls = MemoryStore(), list[str]()
    hub = Hub(store, listeners=[Enterable("first", calls)])
    hub.attach(Enterable("second", calls, error), duty=Duty.REQUIRED)
    third = hub.attach(Enterable("third", calls))
    with pytest.raises(OSError if isinstance(error, OSError) else RuntimeError):
        await hub.start()
    assert calls == ["first entered", "first left"]
    assert not hub.health().healthy
    await third.detach()
    await hub.aclose()
    with pytest.raises(ConfigurationError, match="started already"):
        await hub.start()
    assert await store.list("/journal/log") == [], "nothing was written"
    async with Hub(store) as again:
        await again.emit(said())


async def test_a_best_effort_listener_may_fail_to_enter() -> None:
    """The hub starts without it and reports it."""
    store, calls = MemoryStore(), list[str]()
    hub = Hub(store, listeners=[Enterable("first", calls)])
    hub.attach(Enterable("second", calls, OSError("no way in")), name="second")
    third = Enterable("third", calls)
    hub.attach(third, duty=Duty.REQUIRED, name="third")
    async with hub:
        assert hub.health().problems == ("listener 'second' is detached: it could not be entered: OSError: no way in",)
        assert [each.name for each in hub.statistics().attachments] == ["Enterable", "third", "second"]
        await hub.emit(said())
    assert numbers(third.events) == [0]
    about = [(each.kind, getattr(each, "listener", "")) for each in third.events if each.kind.startswith("listener.")]
    assert about == [
        ("listener.detached", "second"),
        ("listener.attached", "Enterable"),
        ("listener.attached", "third"),
    ]
    assert third.kinds[0] == "hub.started"


async def test_a_second_hub_is_refused_at_once() -> None:
    """It is refused before it reads or repairs the journal."""

    class Counting(MemoryStore):
        touched = 0

        async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
            self.touched += 1
            return await super().read_bytes(path, start, end)

        async def write(self, path: str, content: str | bytes, **settings: Any) -> None:
            self.touched += 1
            await super().write(path, content, **settings)

    store, calls = Counting(), list[str]()
    async with Hub(store) as hub:
        await hub.emit(said(1))
        store.touched = 0
        second = Hub(store, listeners=[Enterable("its listener", calls)])
        with pytest.raises(AlreadyRunning) as raised:
            await second.start()
        assert (raised.value.path, raised.value.pid > 0) == ("/journal/.lock", True)
        assert (store.touched, calls) == (0, [])
        with pytest.raises(HubClosed):
            await second.emit(said(2))
        await second.aclose()
        await hub.emit(said(3))
    async with Hub(store) as hub:
        await hub.emit(said(4))


async def test_a_listener_ahead_of_the_journal_is_refused() -> None:
    """The journal was restored from an older copy, or belongs to another hub: its seqs will name other events."""

    class Ahead(Enterable):
        def last_seq(self) -> int:
            return 100

    for duty in Duty:
        store, calls = MemoryStore(), list[str]()
        hub = Hub(store)
        hub.attach(Ahead("ahead", calls), duty=duty, name="ahead")
        with pytest.raises(JournalBehind, match="'ahead' has event 100"):
            await hub.start()
        assert calls == ["ahead entered", "ahead left"]
        async with Hub(store) as again:
            attachment = again.attach(Ahead(), duty=duty, name="late")
            with pytest.raises(JournalBehind, match="'late' has event 100"):
                await attachment.ready()
            await again.emit(said())


async def test_without_a_journal_listeners_give_the_number() -> None:
    """The hub numbers on where the last of its listeners ends."""

    class Keeps(Recorder):
        def __init__(self, last_seq: int | None) -> None:
            super().__init__()
            self.last = last_seq

        def last_seq(self) -> int | None:
            return self.last

    keeps = [Keeps(7), Keeps(None), Keeps(41)]
    async with Hub(listeners=keeps) as hub:
        assert (await hub.emit(said())).seq > 42
    assert [each.events[0].seq for each in keeps] == [42, 42, 42]


async def test_a_listener_of_another_hub_is_refused() -> None:
    class Holds(Enterable):
        def __init__(self, hub_id: str | None) -> None:
            super().__init__()
            self.hub_id = hub_id

    store = MemoryStore()
    async with Hub(store) as hub:
        ours = hub.id
    for duty in Duty:
        hub = Hub(store)
        hub.attach(Holds("another"), duty=duty, name="foreign")
        with pytest.raises(ConfigurationError, match=f"'foreign' holds events of hub another, but this is hub {ours}"):
            await hub.start()
    with pytest.raises(ConfigurationError, match="holds events of hub two"):
        await Hub(listeners=[Holds("one"), Holds("two")]).start()
    async with Hub(store, listeners=[Holds(ours), Holds(None)]) as hub:
        attachment = hub.attach(Holds("another"), name="late")
        with pytest.raises(ConfigurationError, match="'late' holds events of hub another"):
            await attachment.ready()
        await hub.emit(said())
        assert hub.id == ours
    async with Hub(listeners=[Holds("adopted")]) as hub:
        assert hub.id == "adopted"


async def test_the_id_of_a_hub_is_its_journals() -> None:
    store = MemoryStore()
    ids = set()
    for _ in range(3):
        async with Hub(store) as hub:
            ids.add(hub.id)
    async with Hub() as other:
        assert other.id not in ids
    assert len(ids) == 1
