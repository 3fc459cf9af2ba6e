"""A hub and other threads: emit_threadsafe, HubThread, and what is refused in a wrong loop or process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from hubwire import Duty, Event, GenericEvent, Hub, Overflow, context, scope
from hubwire._commit.phase import HomeLoop
from hubwire._commit.threads import FromThreads
from hubwire.context import current
from hubwire.errors import (
    CommandRejected,
    ConfigurationError,
    HubClosed,
    HubError,
    ListenerFailed,
)
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder
from support.threads import PATIENCE_SECONDS, said

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


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
