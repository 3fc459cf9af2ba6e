"""HubThread: a hub for programs without a loop."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

from hubwire import Duty, Event, GenericEvent, Hub, HubThread, scope
from hubwire.context import current
from hubwire.errors import (
    AlreadyRunning,
    ConfigurationError,
    HubClosed,
    ListenerFailed,
    NotFound,
)
from hubwire.listeners import AuditLog
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import Recorder
from support.threads import PATIENCE_SECONDS, said


def hub_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "hubwire hub"]


async def test_a_worker_thread_cannot_use_the_loop() -> None:
    refused: list[Exception] = []

    class Threaded:
        duty = Duty.REQUIRED

        async def on_events(self, events: Sequence[Event]) -> None:
            if any(each.kind == "user.asked" for each in events):
                await anyio.to_thread.run_sync(self.reach_in)

        def reach_in(self) -> None:
            try:
                asked.emit_nowait(GenericEvent(kind="user.answered"))
            except ConfigurationError as error:
                refused.append(error)

    async with Hub(listeners=[Threaded()]) as asked:
        await asked.emit(GenericEvent(kind="user.asked"))
        assert asked.statistics().applied == asked.statistics().committed
    assert "emit_threadsafe" in str(refused[0])


async def test_a_listener_may_wait_for_another_hub() -> None:
    """It waits for the commit of what it emits there."""
    committed: list[bool] = []

    class Forward:
        duty = Duty.REQUIRED

        async def on_events(self, events: Sequence[Event]) -> None:
            for _ in (each for each in events if each.kind == "user.asked"):
                forwarded = await other.emit(GenericEvent(kind="user.forwarded"))
                committed.append(other.statistics().committed > forwarded.seq)

    async with Hub(MemoryStore()) as other, Hub(listeners=[Forward()]) as hub:
        await hub.emit(GenericEvent(kind="user.asked"))
    assert committed == [True]


def test_a_program_without_a_loop_emits_and_calls(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    with HubThread(Hub(store, listeners=[AuditLog(store)])) as thread:
        stamped = thread.emit(said(1))
        assert stamped.seq == thread.emit(said(2)).seq - 1
        planner = thread.call(thread.hub.agents.register, "planner", capabilities=["python"])
        assert thread.hub.statistics().agents == 1
        with pytest.raises(NotFound):
            thread.call(thread.hub.channels.open, [planner, "nobody"])
    assert hub_threads() == []
    with HubThread(Hub(FileStore(tmp_path))) as thread:
        assert thread.hub.agents.find("planner") is not None


def test_many_threads_share_a_hub_thread() -> None:
    recorder = Recorder()
    with HubThread(Hub(listeners=[recorder], in_flight_max=8)) as thread, ThreadPoolExecutor(8) as threads:
        stamped = list(threads.map(lambda n: thread.emit(said(n)), range(400)))
        thread.call(thread.hub.flush)
    assert sorted(event.seq for event in stamped) == [e.seq for e in recorder.events if e.kind == "thread.said"]


def test_a_call_takes_over_the_context() -> None:
    async def tenant() -> str | None:
        return current().tenant

    with HubThread(Hub()) as thread, scope(tenant="acme"):
        assert thread.call(tenant) == "acme"
        assert thread.emit(said()).tenant == "acme"


def test_a_failed_start_is_raised_to_the_caller(tmp_path: Path) -> None:
    with HubThread(Hub(FileStore(tmp_path))):
        with pytest.raises(AlreadyRunning) as raised, HubThread(Hub(FileStore(tmp_path))):
            pytest.fail("a second hub has the journal")
        assert hub_threads() == ["hubwire hub"]
    assert raised.value.pid == os.getpid()
    assert hub_threads() == []


def test_a_hub_thread_is_started_once() -> None:
    thread = HubThread(Hub())
    thread.close()
    with pytest.raises(HubClosed):
        thread.emit(said())
    with thread, pytest.raises(ConfigurationError, match="started already"):
        thread.start()
    with pytest.raises(ConfigurationError, match="started already"), thread:
        pytest.fail("started twice")


def test_a_closed_hub_thread_refuses() -> None:
    with HubThread(Hub()) as thread:
        thread.close()
        thread.close()
        with pytest.raises(HubClosed):
            thread.emit(said())
        with pytest.raises(HubClosed):
            thread.call(checkpoint)
    thread.close()


class FailingError(Exception):
    pass


def failing_hub() -> Hub:
    async def fail(event: Event) -> None:
        raise FailingError("the disk of this test")

    hub = Hub()
    hub.attach(fail, pattern="thread.*", duty=Duty.REQUIRED)
    return hub


def test_a_hub_thread_raises_the_failure() -> None:
    """It raises it from `emit` and at its end."""
    thread = HubThread(failing_hub())
    with pytest.raises(ListenerFailed, match="the disk of this test"), thread:
        for _ in range(2):
            with pytest.raises(ListenerFailed, match="the disk of this test") as raised:
                thread.emit(said())
            assert isinstance(raised.value.__cause__, FailingError)
    with pytest.raises(ListenerFailed):
        thread.close()
    assert hub_threads() == []


def test_the_exception_of_the_body_stays() -> None:
    """The failure of the hub is its context."""

    def fail_twice() -> None:
        with HubThread(failing_hub()) as thread:
            thread.hub.emit_threadsafe(said()).exception(PATIENCE_SECONDS)
            raise KeyError("body")

    with pytest.raises(KeyError) as raised:
        fail_twice()
    assert isinstance(raised.value.__context__, ListenerFailed)


def test_the_hub_thread_cannot_wait_for_itself() -> None:
    told: list[str] = []
    hub = Hub()
    thread = HubThread(hub)

    @hub.on("thread.*", duty=Duty.REQUIRED, in_loop=True)
    def in_the_loop(event: Event) -> None:
        calls: tuple[Callable[[], object], ...] = (lambda: thread.emit(said()), lambda: thread.call(checkpoint))
        for call in calls:
            with pytest.raises(ConfigurationError, match="would wait for itself") as raised:
                call()
            told.append(str(raised.value))

    with thread:
        thread.emit(said())
    assert len(told) == 2


def test_closing_from_the_hub_thread_returns_at_once() -> None:
    """The thread ends after that."""

    async def close() -> str:
        thread.close()
        return "returned"

    with HubThread(Hub()) as thread:
        assert thread.call(close) == "returned"
    assert hub_threads() == []


def test_closing_cancels_endless_calls() -> None:
    running = threading.Event()
    ends: list[str] = []

    async def for_ever() -> None:
        running.set()
        try:
            await anyio.sleep_forever()
        finally:
            ends.append("cancelled")

    with ThreadPoolExecutor(1) as threads, HubThread(Hub()) as thread:
        call = threads.submit(thread.call, for_ever)
        assert running.wait(PATIENCE_SECONDS)
        thread.close()
        with pytest.raises(HubClosed, match="under way"):
            call.result(PATIENCE_SECONDS)
    assert ends == ["cancelled"]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, FailingError])
def test_a_call_raises_to_its_caller(error: type[BaseException]) -> None:
    """The hub goes on after an exception of any class."""

    async def leave() -> None:
        raise error

    with HubThread(Hub()) as thread:
        with pytest.raises(error):
            thread.call(leave)
        thread.emit(said())


def test_a_thread_that_was_not_started_says_how() -> None:
    thread = HubThread(Hub())
    with pytest.raises(HubClosed, match="with HubThread"):
        thread.emit(GenericEvent(kind="a.b"))
    with pytest.raises(HubClosed, match="with HubThread"):
        thread.call(thread.hub.agents.register, "a")
