"""Callers in threads: as many as a pool holds, more than memory holds, and hubs that fail under them."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from hubwire import Duty, GenericEvent, Hub, Limits
from hubwire._commit.threads import rough_bytes
from hubwire.errors import ConfigurationError, HubFailed, ListenerFailed, Overloaded
from hubwire.listeners import AuditLog
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import Gate
from hubwire.thread import HubThread
from support import until


def said(text: str = "") -> GenericEvent:
    return GenericEvent(kind="number.said", data={"text": text})


@pytest.mark.parametrize("size", [1, 70_000])
async def test_a_full_pool_of_threads_stops_no_commit(tmp_path: Path, size: int) -> None:
    """All threads of the program's pool wait for the hub; also the audit log, which cuts what is large, works."""
    store = FileStore(tmp_path)
    limiter = anyio.to_thread.current_default_thread_limiter()
    committed: list[Any] = []
    async with Hub(store, listeners=[AuditLog(store)], snapshot_bytes=1) as hub:
        full = threading.Barrier(int(limiter.total_tokens))

        def endpoint() -> None:
            full.wait(30)
            committed.append(hub.emit_threadsafe(said("x" * size)).result(30))

        async with anyio.create_task_group() as tasks:
            for _ in range(int(limiter.total_tokens)):
                tasks.start_soon(anyio.to_thread.run_sync, endpoint)
    assert len(committed) == limiter.total_tokens


async def test_a_hub_starts_beside_a_full_pool(tmp_path: Path) -> None:
    limiter = anyio.to_thread.current_default_thread_limiter()
    full, free = threading.Barrier(int(limiter.total_tokens) + 1), threading.Event()

    def block() -> None:
        full.wait(30)
        free.wait(30)

    async with anyio.create_task_group() as tasks:
        for _ in range(int(limiter.total_tokens)):
            tasks.start_soon(anyio.to_thread.run_sync, block)
        await asyncio.get_running_loop().run_in_executor(None, full.wait, 30)
        for _ in range(2):
            async with Hub(FileStore(tmp_path), snapshot_bytes=1) as hub:
                await hub.emit(said())
        free.set()


async def test_what_waits_in_threads_is_bounded_in_bytes() -> None:
    gate = Gate(is_open=False)

    class Held:
        async def on_events(self, _: Any) -> None:
            await gate.pass_through()

    hub = Hub(MemoryStore(), limits=Limits(in_flight_max=1, thread_bytes_max=100_000))
    hub.attach(Held(), duty=Duty.REQUIRED, pattern="number.*")
    futures: list[Future[Any]] = []
    async with hub:
        for _ in range(100):
            futures.append(hub.emit_threadsafe(said("x" * 10_000)))
            await asyncio.sleep(0)
        refused = [each for each in futures if each.done()]
        assert 85 < len(refused) < 99
        for each in refused:
            with pytest.raises(Overloaded, match="thread_bytes_max is 100000"):
                each.result()
        gate.open()
        await until(lambda: all(each.done() for each in futures))
        assert hub._parts.from_threads.waiting_bytes == 0
        assert hub.emit_threadsafe(said("x" * 10_000)).cancel() or True
        await until(lambda: hub._parts.from_threads.waiting_bytes == 0)


async def test_one_event_may_be_larger_than_the_budget() -> None:
    async with Hub(limits=Limits(thread_bytes_max=10)) as hub:
        await asyncio.wrap_future(hub.emit_threadsafe(said("x" * 1000)))


def test_bytes_are_counted_roughly() -> None:
    """Cycles, and classes that are not ours, do no harm."""
    cycle: dict[str, Any] = {"text": "x" * 100}
    cycle["self"] = cycle

    class Hostile(dict[str, Any]):
        def values(self) -> Any:
            raise RuntimeError("no")

    assert 1000 < rough_bytes(said("x" * 1000), 10_000) < 1400
    assert rough_bytes(said("x" * 1000), 10) >= 10
    assert rough_bytes(GenericEvent(kind="a.b", data=cycle), 5000) >= 5000
    assert rough_bytes(GenericEvent(kind="a.b", data=Hostile(a="x" * 1000)), 5000) < 1000
    assert rough_bytes(7, 100) == 1  # no event: refused when it arrives


def test_a_sync_function_is_refused_by_call() -> None:
    with HubThread(Hub()) as thread:
        with pytest.raises(ConfigurationError, match="async def"):
            thread.call(lambda: 7)  # type: ignore[arg-type, return-value]
        with pytest.raises(ConfigurationError, match="async def"):
            thread.call(thread.hub.statistics)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="coroutine function"):
            thread.call(7)  # type: ignore[arg-type]
        assert thread.emit(said()).seq > 0


def test_a_hub_that_fails_in_its_thread_is_reported() -> None:
    """By each call from then on, and by closing."""

    class Fails:
        async def on_events(self, _: Any) -> None:
            raise ValueError("full")

    hub = Hub()
    hub.attach(Fails(), duty=Duty.REQUIRED, pattern="number.*")
    thread = HubThread(hub)
    thread.start()
    with pytest.raises(ListenerFailed, match="full"):
        thread.emit(said())
    with pytest.raises(HubFailed):
        thread.emit(said())
    with pytest.raises(HubFailed):
        thread.call(hub.agents.register, "agent")
    assert not hub.health().healthy
    with pytest.raises(HubFailed):
        thread.close()
