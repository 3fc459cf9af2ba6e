"""Hubs that are used at the wrong time, and starts that are refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest

from hubwire import Duty, Event, Hub
from hubwire.errors import (
    AlreadyRunning,
    ConfigurationError,
    HubClosed,
    JournalBehind,
    ListenerFailed,
)
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder
from support import numbers, said
from support.stopping import Enterable

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
    with pytest.raises(ListenerFailed, match=f"could not be entered .*{type(error).__name__}") as raised:
        await hub.start()
    assert isinstance(raised.value.__cause__, OSError if isinstance(error, OSError) else RuntimeError)
    assert sorted(calls) == ["first entered", "first left", "third entered", "third left"]
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
        (problem,) = hub.health().problems
        assert problem.startswith("listener 'second' is detached: it could not be entered: OSError: no way in; mend")
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

    for duty in (Duty.REQUIRED, Duty.DURABLE):
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
    for duty in (Duty.REQUIRED, Duty.DURABLE):
        hub = Hub(store)
        hub.attach(Holds("another"), duty=duty, name="foreign")
        with pytest.raises(ConfigurationError, match=f"'foreign' holds events of hub another, but this is hub {ours}"):
            await hub.start()
    async with Hub(listeners=[Holds("one"), Holds("two")]) as hub:
        assert hub.id == "one"
        assert "holds events of hub two" in hub.health().problems[0]
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
