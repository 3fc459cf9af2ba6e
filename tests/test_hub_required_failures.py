"""Required listeners that fail, and errors of the hub itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from hubwire import Duty, Event, Hub
from hubwire.errors import (
    HubFailed,
    ListenerFailed,
    StoreError,
)
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder
from support import GatedStore, numbers, said, until_idle
from support.failures import Failing, Unspeakable

# --- REQUIRED -------------------------------------------------------------------------------------------------------


async def test_a_failing_required_listener_stops_the_hub() -> None:
    """Emitters, readers, inboxes and later calls all get the reason."""
    store, failing, idle = MemoryStore(), Failing(1), Recorder()
    with pytest.raises(ListenerFailed) as raised:
        async with Hub(store, listeners=[idle]) as hub:
            await hub.attach(failing, duty=Duty.REQUIRED, name="log").ready()
            agent = await hub.agents.register("agent")
            waiting = [asyncio.create_task(hub.emit(said(n))) for n in (1, 2, 3)]
            reading = asyncio.create_task(anext(hub.events(pattern="never.*")))
            receiving = asyncio.create_task(anext(agent.inbox()))
            await asyncio.wait([*waiting, reading, receiving])
            for task in (*waiting, reading, receiving):
                assert isinstance(task.exception(), ListenerFailed)
            later: list[Callable[[], Awaitable[Any]]] = [
                lambda: hub.emit(said()),
                lambda: hub.agents.register("later"),
                lambda: hub.channels.open([agent]),
                hub.flush,
                lambda: anext(hub.events()),
            ]
            for command in later:
                with pytest.raises(ListenerFailed) as refused:
                    await command()
                assert refused.value.listener == "log"
            with pytest.raises(ListenerFailed):
                hub.emit_nowait(said())
            assert not hub.offer(said())
            problems = hub.health().problems
            assert len(problems) == 1
            assert problems[0].startswith("the hub has failed: the required listener 'log' failed at event")
    assert type(raised.value) is ListenerFailed
    assert isinstance(raised.value.__cause__, ValueError)
    assert "bad number" in str(raised.value)
    assert "hub.stopped" not in idle.kinds, "nothing is flushed after a failure"


async def test_waiting_emitters_learn_of_a_failure() -> None:
    gate = anyio.Event()

    class FailsLate(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            if numbers(events):
                await gate.wait()
                raise ValueError("too late")

    with pytest.raises(ListenerFailed):
        async with Hub(in_flight_max=1) as hub:
            await hub.attach(FailsLate(), duty=Duty.REQUIRED).ready()
            await hub.flush()
            waiting = [asyncio.create_task(hub.emit(said(n))) for n in range(5)]
            await until_idle()
            assert hub.statistics().emitters_waiting == 4
            gate.set()
            await asyncio.wait(waiting)
            assert all(isinstance(task.exception(), ListenerFailed) for task in waiting)
            assert len({id(task.exception()) for task in waiting}) == 5, "each has a traceback of its own"


async def test_the_exception_of_the_body_wins() -> None:
    """It leaves the `async with` unchanged, with the hub's failure as its context."""
    mine = KeyError("mine")
    with pytest.raises(KeyError) as raised:
        async with Hub() as hub:
            await hub.attach(Failing(1), duty=Duty.REQUIRED).ready()
            hub.emit_nowait(said(1))
            await until_idle()
            raise mine
    assert raised.value is mine
    assert raised.value.__cause__ is None
    chain = []
    error: BaseException | None = mine
    while error is not None:
        chain.append(error)
        assert len(chain) < 10, "a circle"
        error = error.__context__
    assert isinstance(chain[-1], ListenerFailed)


async def test_a_handled_exception_stays_in_the_chain() -> None:
    with pytest.raises(KeyError) as raised:
        async with Hub() as hub:
            await hub.attach(Failing(1), duty=Duty.REQUIRED).ready()
            hub.emit_nowait(said(1))
            await until_idle()
            try:
                await MemoryStore().read_bytes("/x", -1)
            except ValueError:
                raise KeyError("second")  # noqa: B904 - the context is what is tested
    assert isinstance(raised.value.__context__, ValueError)
    assert isinstance(raised.value.__context__.__context__, ListenerFailed)


async def test_the_failure_is_not_its_own_context() -> None:
    """A body that leaves with the hub's failure leaves with it once."""
    with pytest.raises(ListenerFailed) as raised:
        async with Hub() as hub:
            await hub.attach(Failing(1), duty=Duty.REQUIRED).ready()
            await hub.emit(said(1))
    assert raised.value.__context__ is None


async def test_a_cancelled_body_is_cancelled() -> None:
    async def body() -> None:
        async with Hub() as hub:
            await hub.attach(Failing(1), duty=Duty.REQUIRED).ready()
            hub.emit_nowait(said(1))
            await anyio.sleep_forever()

    task = asyncio.create_task(body())
    await until_idle()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


@pytest.mark.parametrize("error", [asyncio.CancelledError, lambda: SystemExit(3), Unspeakable])
async def test_any_failure_is_a_listener_failed(error: Callable[[], BaseException]) -> None:
    """Emitters get `ListenerFailed` for an exception of any class."""
    with pytest.raises(ListenerFailed):
        async with Hub() as hub:
            await hub.attach(Failing(1, error=error), duty=Duty.REQUIRED).ready()
            await hub.emit(said(1))


async def test_a_hanging_required_listener_stops_the_hub() -> None:
    class Hangs(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            if numbers(events):
                await anyio.sleep_forever()

    with pytest.raises(ListenerFailed, match=r"ListenerTimeout: not done with 1 events after 0\.01 s"):
        async with Hub() as hub:
            await hub.attach(Hangs(), duty=Duty.REQUIRED, timeout=0.01).ready()
            await hub.emit(said())


async def test_a_required_listener_goes_on_after_a_restart() -> None:
    class Keeps(Failing):
        duty = Duty.REQUIRED
        since = "start"

        def last_seq(self) -> int | None:
            return self.events[-1].seq if self.events else None

    store, keeps = MemoryStore(), Keeps(3)
    with pytest.raises(ListenerFailed):
        async with Hub(store, listeners=[keeps]) as hub:
            for n in range(6):
                await hub.emit(said(n))
    keeps.bad.clear()
    async with Hub(store, listeners=[keeps]) as hub:
        await hub.emit(said(10))
    assert [each.seq for each in keeps.events] == list(range(len(keeps.events)))
    assert numbers(keeps.events) == [0, 1, 2, 3, 10], "what was journaled is committed by recovery"
    assert keeps.kinds[-1] == "hub.stopped"


async def test_failing_to_catch_up_fails_the_start() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        await hub.emit(said(1))
    hub = Hub(store)
    hub.attach(Failing(1), since="start", duty=Duty.REQUIRED)
    with pytest.raises(ListenerFailed):
        await hub.start()
    async with Hub(store) as hub:
        await hub.emit(said(2))


@pytest.mark.parametrize("duty", [Duty.REQUIRED, Duty.BEST_EFFORT])
async def test_an_unreadable_history_fails_its_reader(duty: Duty) -> None:
    """The hub fails only if the listener is REQUIRED."""

    class Unreadable(MemoryStore):
        broken = False

        async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
            if self.broken:
                raise StoreError("cannot read")
            return await super().read_bytes(path, start, end)

    store = Unreadable()
    hub = Hub(store, ring=1)
    await hub.start()
    for n in range(2000):
        hub.emit_nowait(said(n))
        if n % 500 == 0:
            await hub.flush()
    store.broken = True
    attachment = hub.attach(Recorder(), since="start", duty=duty)
    with pytest.raises(StoreError, match="cannot read"):
        await attachment.ready()
    assert not hub.health().healthy
    if duty is Duty.REQUIRED:
        with pytest.raises(ListenerFailed, match="cannot read"):
            await hub.emit(said())
        with pytest.raises(ListenerFailed):
            await hub.aclose()
    else:
        await hub.emit(said())
        await hub.aclose()


# --- what nobody foresaw --------------------------------------------------------------------------------------------


async def test_an_internal_error_releases_all_waiters(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HubFailed, match="an error of its own") as raised:
        async with Hub(MemoryStore(), listeners=[Recorder()]) as hub:
            await hub.flush()
            monkeypatch.setattr(hub._parts.fanout, "after_journaled", lambda: 1 / 0)
            await hub.emit(said())
    assert isinstance(raised.value.__cause__, ExceptionGroup)


@pytest.mark.parametrize("which", ["the main one", "the others", "all"])
async def test_cancelled_hub_tasks_release_all_waiters(which: str) -> None:
    """If foreign code cancels the tasks of a hub, no caller waits for ever."""
    store, mine = GatedStore(), asyncio.all_tasks()
    with pytest.raises(HubFailed, match=r"cancelled from outside|could not be written"):
        async with Hub(store, listeners=[Recorder()]) as hub:
            await hub.flush()
            store.gate.close()
            tasks = asyncio.all_tasks() - mine
            emitting = asyncio.create_task(hub.emit(said()))
            await until_idle()
            for task in tasks:
                if which == "all" or (task is hub._life._main) == (which == "the main one"):
                    task.cancel()
            await until_idle()
            store.gate.open()
            await asyncio.wait([emitting])
            assert isinstance(emitting.exception(), HubFailed)
    async with Hub(store) as hub:
        await hub.emit(said())
