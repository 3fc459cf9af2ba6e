"""A hub and other threads: emit_threadsafe, HubThread, and what is refused in a wrong loop or process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from hubwire import Duty, Event, GenericEvent, Hub, HubThread, Overflow, context, scope
from hubwire._commit.phase import HomeLoop
from hubwire._commit.threads import FromThreads
from hubwire.context import current
from hubwire.errors import (
    AlreadyRunning,
    CommandRejected,
    ConfigurationError,
    HubClosed,
    HubError,
    ListenerFailed,
    NotFound,
)
from hubwire.listeners import AuditLog
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import Recorder

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PATIENCE_SECONDS = 30.0
"""After this time without an answer, there will be none."""


def said(number: int = 0) -> GenericEvent:
    return GenericEvent(kind="thread.said", data={"number": number})


def number_of(event: Event) -> Any:
    assert isinstance(event, GenericEvent)
    return event.data["number"]


class Stuck:
    """A required listener that handles nothing until it is let go: nothing commits meanwhile."""

    def __init__(self) -> None:
        self.reached = anyio.Event()
        self.let_go = anyio.Event()

    async def on_events(self, events: Sequence[Event]) -> None:
        if any(event.kind == "thread.said" for event in events):
            self.reached.set()
            await self.let_go.wait()


# --- emit_threadsafe ------------------------------------------------------------------------------------------------


async def test_emit_threadsafe_returns_a_committed_future() -> None:
    """Its future is done when the event is committed."""
    stuck = Stuck()
    async with Hub() as hub:
        hub.attach(stuck, duty=Duty.REQUIRED)
        future = await anyio.to_thread.run_sync(hub.emit_threadsafe, said(7))
        await stuck.reached.wait()
        assert not future.done()
        assert future.running()
        stuck.let_go.set()
        stamped = await asyncio.wrap_future(future)
        assert number_of(stamped) == 7
        assert hub.statistics().committed > stamped.seq


async def test_many_threads_keep_their_order() -> None:
    """Each event is committed once, and those of one thread in order."""
    recorder = Recorder()
    async with Hub(in_flight_max=10) as hub:
        hub.attach(recorder, pattern="thread.*", duty=Duty.REQUIRED)

        def produce(thread: int) -> list[Future[Event]]:
            return [hub.emit_threadsafe(said(thread * 1000 + n)) for n in range(200)]

        produced = await asyncio.gather(*(asyncio.to_thread(produce, n) for n in range(5)))
        for futures in produced:
            seqs = [(await asyncio.wrap_future(future)).seq for future in futures]
            assert seqs == sorted(set(seqs))
    assert sorted(map(number_of, recorder.events)) == [thread * 1000 + n for thread in range(5) for n in range(200)]


async def test_another_loop_may_emit() -> None:
    async with Hub() as hub:

        async def elsewhere() -> Event:
            assert asyncio.get_running_loop() is not here
            return await asyncio.wrap_future(hub.emit_threadsafe(said(3)))

        here = asyncio.get_running_loop()
        stamped = await anyio.to_thread.run_sync(lambda: asyncio.run(elsewhere()))
        assert hub.statistics().committed > stamped.seq


async def test_the_own_loop_may_emit() -> None:
    async with Hub() as hub:
        assert (await asyncio.wrap_future(hub.emit_threadsafe(said()))).id


async def test_context_comes_from_the_other_thread() -> None:
    async with Hub() as hub:
        cause = await hub.emit(said())

        def emit() -> Future[Event]:
            context.cause(cause)
            with scope(tenant="acme", correlation_id="one", traceparent=TRACE):
                return hub.emit_threadsafe(said())

        # Its thread, unlike one of `to_thread`, begins without a context.
        executor = ThreadPoolExecutor(1)
        with scope(tenant="of the loop"):
            stamped = await asyncio.wrap_future(await asyncio.wrap_future(executor.submit(emit)))
            assert current().tenant == "of the loop"
        executor.shutdown(wait=False)
        assert (stamped.tenant, stamped.correlation_id, stamped.traceparent) == ("acme", "one", TRACE)
        assert (stamped.causation_id, stamped.depth) == (cause.id, 1)


async def test_cancelling_before_admission_prevents_the_event() -> None:
    """Its place goes to the next one."""
    stuck, recorder = Stuck(), Recorder()
    async with Hub(in_flight_max=1) as hub:
        hub.attach(recorder, pattern="thread.*")
        hub.attach(stuck, duty=Duty.REQUIRED)
        first = hub.emit_threadsafe(said(1))
        await stuck.reached.wait()
        waiting, last = hub.emit_threadsafe(said(2)), hub.emit_threadsafe(said(3))
        await wait_all_tasks_blocked()
        assert hub.statistics().emitters_waiting == 2
        assert await anyio.to_thread.run_sync(waiting.cancel)
        await wait_all_tasks_blocked()
        assert hub.statistics().emitters_waiting == 1
        stuck.let_go.set()
        for future in (first, last):
            await asyncio.wrap_future(future)
    assert [number_of(event) for event in recorder.events] == [1, 3]


async def test_cancelling_before_arrival_prevents_the_event() -> None:
    """The call has not reached the loop yet."""
    async with Hub() as hub:
        before = hub.statistics().applied
        future = hub.emit_threadsafe(said())
        assert future.cancel()
        await wait_all_tasks_blocked()
        await hub.emit(said())
        assert hub.statistics().applied == before + 1


async def test_cancelling_at_admission_passes_the_place_on() -> None:
    stuck, recorder = Stuck(), Recorder()
    async with Hub(in_flight_max=1) as hub:
        hub.attach(recorder, pattern="thread.*")
        hub.attach(stuck, duty=Duty.REQUIRED)
        hub.emit_threadsafe(said(1))
        await stuck.reached.wait()
        future = hub.emit_threadsafe(said(2))
        await wait_all_tasks_blocked()
        stuck.let_go.set()
        while hub.statistics().emitters_waiting:
            await checkpoint()
        assert future.cancel()
        await hub.emit(said(3))
    assert [number_of(event) for event in recorder.events] == [1, 3]


async def test_an_admitted_event_cannot_be_cancelled() -> None:
    stuck = Stuck()
    async with Hub() as hub:
        hub.attach(stuck, duty=Duty.REQUIRED)
        future = hub.emit_threadsafe(said())
        await stuck.reached.wait()
        assert not future.cancel()
        wrapped = asyncio.wrap_future(future)
        wrapped.cancel()
        stuck.let_go.set()
        await hub.flush()
        assert hub.statistics().committed > (await asyncio.wrap_future(future)).seq


async def test_refusals_are_in_the_future() -> None:
    async with Hub() as hub:
        before = hub.statistics().applied
        refused = [
            (GenericEvent(kind="agent.registered"), CommandRejected),
            (GenericEvent(kind="Not A Kind"), HubError),
            ("no event", ConfigurationError),
        ]
        for event, error in refused:
            future = hub.emit_threadsafe(event)  # type: ignore[type-var]
            with pytest.raises(error):
                await asyncio.wrap_future(future)
        assert hub.statistics().applied == before


async def test_a_stopped_hub_refuses_in_the_future() -> None:
    hub = Hub()
    assert isinstance(hub.emit_threadsafe(said()).exception(0), HubClosed)
    async with hub:
        pass
    with pytest.raises(HubClosed, match="nothing has happened"):
        hub.emit_threadsafe(said()).result(0)


async def test_closing_answers_all_futures() -> None:
    """These are the futures of events that wait to be admitted, and of those on their way."""
    stuck = Stuck()
    hub = Hub(in_flight_max=1)
    hub.attach(stuck, duty=Duty.REQUIRED)
    await hub.start()
    admitted = hub.emit_threadsafe(said())
    await stuck.reached.wait()
    at_the_door = hub.emit_threadsafe(said())
    await wait_all_tasks_blocked()
    closing = asyncio.create_task(hub.aclose())
    await wait_all_tasks_blocked()
    on_its_way = hub.emit_threadsafe(said())
    stuck.let_go.set()
    await closing
    assert (await asyncio.wrap_future(admitted)).seq > 0
    for future in (at_the_door, on_its_way):
        with pytest.raises(HubClosed):
            await asyncio.wrap_future(future)


async def test_a_failure_of_the_hub_is_in_the_future() -> None:
    async def fail(event: Event) -> None:
        raise OSError("the disk of this test")

    hub = Hub()
    await hub.start()
    hub.attach(fail, pattern="thread.*", duty=Duty.REQUIRED)
    future = await anyio.to_thread.run_sync(hub.emit_threadsafe, said())
    with pytest.raises(ListenerFailed, match="the disk of this test"):
        await asyncio.wrap_future(future)
    for _ in range(2):
        with pytest.raises(ListenerFailed):
            await asyncio.wrap_future(hub.emit_threadsafe(said()))
        with pytest.raises(ListenerFailed):
            await hub.aclose()


def test_a_torn_down_loop_answers_all_futures() -> None:
    futures: list[Future[Event]] = []

    async def run_away() -> None:
        stuck = Stuck()
        hub = Hub(in_flight_max=1)
        hub.attach(stuck, duty=Duty.REQUIRED)
        await hub.start()
        futures.append(hub.emit_threadsafe(said()))
        await stuck.reached.wait()
        futures.append(hub.emit_threadsafe(said()))
        await wait_all_tasks_blocked()
        futures.append(hub.emit_threadsafe(said()))

    asyncio.run(run_away())
    for future in futures:
        assert isinstance(future.exception(0), HubError)


async def test_calls_after_the_end_are_answered_not_run() -> None:
    ran = False

    async def call(_future: Future[Any]) -> None:
        nonlocal ran
        ran = True

    home = HomeLoop()
    home.adopt_running_loop()
    crossing = FromThreads(home)
    crossing.open()
    future = crossing.submit(call)
    crossing.close(None)
    assert isinstance(future.exception(0), HubClosed)
    await wait_all_tasks_blocked()
    assert not ran


@pytest.mark.parametrize("settings", [{"duty": Duty.REQUIRED}, {"overflow": Overflow.BLOCK, "mailbox": 1}], ids=str)
async def test_a_worker_thread_does_not_wait_for_its_listener(settings: dict[str, Any]) -> None:
    """A worker thread of a listener that the commit waits for gets its event applied."""
    hub, answers = Hub(in_flight_max=1), Recorder()
    hub.attach(answers, pattern="thread.answered")

    @hub.on("thread.said", **settings)
    async def answer(event: Event) -> None:
        def in_thread() -> Event:
            return hub.emit_threadsafe(GenericEvent(kind="thread.answered")).result(PATIENCE_SECONDS)

        await anyio.to_thread.run_sync(in_thread)

    async with hub:
        question = await hub.emit(said())
        answered = await answers.wait_for("thread.answered")
        assert answered.causation_id == question.id


# --- HubThread ------------------------------------------------------------------------------------------------------


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

    @hub.on("thread.*", duty=Duty.REQUIRED)
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


# --- interrupted, forgotten, forked: programs of their own ----------------------------------------------------------


# Python 3.12 warns of forking where there are threads, which is what some of these programs are about.
PYTHON = (sys.executable, "-P", "-W", "error", "-W", "ignore:This process:DeprecationWarning", "-c")


def run(program: str, *arguments: object) -> str:
    command = [*PYTHON, PRELUDE + program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


PRELUDE = """
import asyncio, os, pathlib, signal, sys, threading
import anyio
from hubwire import *
from hubwire.errors import *
from hubwire.listeners import AuditLog
from hubwire.stores import FileStore

def said(): return GenericEvent(kind="thread.said")
def say(text): os.write(1, f"{text}\\n".encode())  # whole lines, from whatever thread

class Stuck:
    def __init__(self):
        self.reached, self.let_go = threading.Event(), anyio.Event()
    async def on_events(self, events):
        if any(event.kind == "thread.said" for event in events):
            self.reached.set()
            await self.let_go.wait()
"""


def test_ctrl_c_during_emit_loses_nothing() -> None:
    """Both the hub and the event stay."""
    program = """
hub, stuck = Hub(), Stuck()
hub.attach(stuck, duty=Duty.REQUIRED)

def interrupt():
    stuck.reached.wait()
    os.kill(os.getpid(), signal.SIGINT)

with HubThread(hub) as thread:
    threading.Thread(target=interrupt).start()
    try:
        thread.emit(said())
    except KeyboardInterrupt:
        print("interrupted")
    async def let_go():
        stuck.let_go.set()
    thread.call(let_go)
    event = thread.emit(said())
    print(event.seq, hub.statistics().committed > event.seq)
"""
    first_of_ours = 2  # after hub.started and listener.attached
    assert run(program).splitlines() == ["interrupted", f"{first_of_ours + 1} True"]


def test_ctrl_c_cancels_a_call_or_a_start() -> None:
    program = """
entered = threading.Event()
class Hangs:
    async def __aenter__(self):
        entered.set()
        try:
            await anyio.sleep_forever()
        finally:
            say("given up")
    async def __aexit__(self, *_): ...
    async def on_events(self, events): ...

hub = Hub()
hub.attach(Hangs(), duty=Duty.REQUIRED)
def interrupt():
    entered.wait()
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    HubThread(hub).start()
except KeyboardInterrupt:
    say("start interrupted")
entered.clear()
threading.Thread(target=interrupt).start()
with HubThread(Hub()) as thread:
    try:
        thread.call(Hangs().__aenter__)
    except KeyboardInterrupt:
        say("call interrupted")
"""
    printed = run(program).splitlines()
    assert printed[:2] == ["given up", "start interrupted"]
    assert sorted(printed[2:]) == ["call interrupted", "given up"]


def test_a_forgotten_hub_is_closed_at_exit(tmp_path: Path) -> None:
    program = """
store = FileStore(sys.argv[1])
thread = HubThread(Hub(store, listeners=[AuditLog(store)]))
thread.start()
thread.emit(said())
"""
    run(program, tmp_path)
    assert (tmp_path / "journal" / "clean").exists()
    assert (tmp_path / "audit" / "clean").exists()


def test_a_blocked_hub_ends_with_an_error() -> None:
    """The program does not hang at its exit."""
    program = """
import hubwire.thread
hubwire.thread.EXIT_SECONDS_MAX = 0.1
thread = HubThread(Hub())
thread.start()
blocked = threading.Event()
async def block():
    blocked.set()
    threading.Event().wait()
threading.Thread(target=lambda: thread.call(block), daemon=True).start()
blocked.wait()
"""
    done = subprocess.run(
        [*PYTHON, PRELUDE + program], capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )
    assert "a HubThread was not closed by the program" in done.stderr


def test_a_forked_child_is_refused(tmp_path: Path) -> None:
    """Every call in the child is refused, and the log of its parent stays as it is."""
    program = """
store = FileStore(sys.argv[1])
audit = AuditLog(store)
thread = HubThread(Hub(store, listeners=[audit]))

def refusals():
    for call in (
        lambda: thread.emit(said()),
        lambda: thread.call(anyio.lowlevel.checkpoint),
        lambda: thread.hub.emit_threadsafe(said()).result(0),
        lambda: thread.hub.emit_nowait(said()),
        lambda: asyncio.run(thread.hub.emit(said())),
        lambda: asyncio.run(thread.hub.flush()),
        lambda: asyncio.run(thread.hub.aclose()),
        lambda: asyncio.run(audit.append({"kind": "child.wrote"})),
        lambda: thread.hub.attach(print),
        lambda: thread.hub.events(),
    ):
        try:
            print("went through:", call())
        except ConfigurationError as error:
            print(sum(word in str(error) for word in ("fork", "another process")), "fork")
    thread.close()

with thread:
    thread.emit(said())
    child = os.fork()
    if child == 0:
        refusals()
        sys.exit(3)  # through the end of the block, and atexit
    print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    assert not os.path.exists(sys.argv[1] + "/journal/clean")
    print("parent", thread.emit(said()).kind)
"""
    printed = run(program, tmp_path).splitlines()
    assert printed == ["1 fork"] * 10 + ["child 3", "parent thread.said"]


def test_a_child_forked_in_the_loop_writes_nothing(tmp_path: Path) -> None:
    """It writes nothing even if it unwinds its whole stack."""
    program = """
async def main():
    store = FileStore(sys.argv[1])
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        await hub.emit(said())
        before = files()
        if (child := os.fork()) == 0:
            try:
                await hub.emit(said())
            except ConfigurationError as error:
                print("refused", "forked from the one" in str(error), flush=True)
            sys.exit(3)
        print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), files() == before, flush=True)
        os._exit(0)  # what the child has done to the loop that it shares with us is asyncio's affair

def files():
    return {path: path.read_bytes() for path in pathlib.Path(sys.argv[1]).rglob("*") if path.is_file()}

asyncio.run(main())
"""
    assert run(program, tmp_path).splitlines() == ["refused True", "child 3 True"]


def test_a_second_process_is_refused_the_journal(tmp_path: Path) -> None:
    """The error names the process that holds it."""
    program = """
try:
    HubThread(Hub(FileStore(sys.argv[1]))).start()
except AlreadyRunning as error:
    print(error.pid, error.host != "", error.since.endswith("Z"))
"""
    with HubThread(Hub(FileStore(tmp_path))) as thread:
        assert run(program, tmp_path).split() == [str(os.getpid()), "True", "True"]
        thread.emit(said())


# --- the wrong loop -------------------------------------------------------------------------------------------------


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with Hub(MemoryStore()) as hub:
        yield hub


async def test_another_loop_is_refused(hub: Hub) -> None:
    """Only `emit_threadsafe` works in another loop."""
    agent = await hub.agents.register("planner")

    def wrong(call: Callable[[], Awaitable[object]]) -> str:
        async def elsewhere() -> None:
            await call()

        with pytest.raises(ConfigurationError) as raised:
            asyncio.run(elsewhere())
        return str(raised.value)

    async def sync(call: Callable[[], object]) -> None:
        call()

    calls: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: hub.emit(said()),
        lambda: hub.agents.register("coder"),
        agent.unregister,
        hub.flush,
        hub.aclose,
        hub.start,
        lambda: sync(lambda: hub.emit_nowait(said())),
        lambda: sync(lambda: hub.offer(said())),
        lambda: sync(lambda: hub.attach(Recorder())),
        lambda: sync(hub.events),
    )
    before = hub.statistics()
    for call in calls:
        told = await anyio.to_thread.run_sync(wrong, call)
        assert "event loop" in told or "started already" in told
    assert hub.statistics() == before
    await hub.emit(said())
