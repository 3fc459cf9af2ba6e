"""Listeners that emit while they handle events."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from hubwire import BaseHubListener, Duty, Event, GenericEvent, Hub, Overflow
from hubwire.errors import (
    CommandRejected,
    Overloaded,
)
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder
from support import numbers, said, until_idle


def answered(n: int = 0) -> GenericEvent:
    return GenericEvent(kind="number.answered", data={"n": n})


class Answering(BaseHubListener):
    """Emits an answer to every number, by a way that the test names."""

    def __init__(self, answer: Callable[[Hub, int], Awaitable[Any]]) -> None:
        self.answer = answer
        self.returned: list[Any] = []

    def bind(self, hub: Hub) -> None:
        self.hub = hub

    async def on_event(self, event: Event) -> None:
        for n in numbers([event]):
            self.returned.append(await self.answer(self.hub, n))


async def emit_answer(hub: Hub, n: int) -> Event:
    return await hub.emit(answered(n))


async def emit_from_child_task(hub: Hub, n: int) -> Event:
    return await asyncio.create_task(emit_answer(hub, n))


async def emit_from_worker_thread(hub: Hub, n: int) -> Event:
    def work() -> Event:
        return anyio.from_thread.run(emit_answer, hub, n)

    return await anyio.to_thread.run_sync(work)


@pytest.mark.parametrize("emit", [emit_answer, emit_from_child_task, emit_from_worker_thread])
@pytest.mark.parametrize(
    "settings",
    [{"duty": Duty.REQUIRED}, {"overflow": Overflow.BLOCK, "mailbox": 1}, {"duty": Duty.BEST_EFFORT}],
    ids=["required", "block", "best effort"],
)
async def test_a_listener_may_emit(emit: Callable[[Hub, int], Awaitable[Event]], settings: dict[str, Any]) -> None:
    """Its own promise does not hold it up: not the commit, not a full mailbox, not admission."""
    answering, witness = Answering(emit), Recorder()
    async with Hub(MemoryStore(), listeners=[witness], in_flight_max=1) as hub:
        await hub.attach(answering, **settings).ready()
        await hub.flush()
        with anyio.fail_after(30):
            stamped = [await hub.emit(said(n)) for n in range(5)]
            await hub.flush()
            await hub.flush()  # the answers, too
        assert numbers(witness.events, "number.answered") == list(range(5))
        for cause, answer in zip(stamped, answering.returned, strict=True):
            assert (answer.causation_id, answer.depth) == (cause.id, 1)


async def test_emit_in_a_required_listener_returns_applied() -> None:
    """The event is not yet committed, because the commit waits for the listener."""
    committed: list[bool] = []

    async def answer(hub: Hub, n: int) -> Event:
        stamped = await hub.emit(answered(n))
        committed.append(hub.statistics().committed > stamped.seq)
        assert hub.statistics().applied == stamped.seq + 1
        await hub.agents.register(f"agent {n}")
        assert hub.agents.find(f"agent {n}") is not None
        return stamped

    async with Hub() as hub:
        await hub.attach(Answering(answer), duty=Duty.REQUIRED).ready()
        await hub.emit(said())
        await hub.flush()
        assert committed == [False]


async def test_emit_in_a_best_effort_listener_returns_committed() -> None:
    committed: list[bool] = []

    async def answer(hub: Hub, n: int) -> Event:
        stamped = await hub.emit(answered(n))
        committed.append(hub.statistics().committed > stamped.seq)
        return stamped

    async with Hub() as hub:
        await hub.attach(Answering(answer)).ready()
        await hub.emit(said())
        await hub.flush()
        assert committed == [True]


async def test_a_required_listener_has_a_reserve() -> None:
    """It emits from the reserve, and gets Overloaded beyond it."""
    outcome: list[Any] = []

    async def answer(hub: Hub, n: int) -> None:
        try:
            for number in range(100):
                outcome.append(hub.statistics().in_flight)
                await hub.emit(answered(number))
        except Overloaded as error:
            outcome.append(error)
        assert not hub.offer(answered())
        with pytest.raises(Overloaded):
            hub.emit_nowait(answered())

    async with Hub(in_flight_max=4, listener_reserve=3) as hub:
        await hub.attach(Answering(answer), duty=Duty.REQUIRED).ready()
        await hub.flush()
        await hub.emit(said())
        *in_flight, error = outcome
        assert isinstance(error, Overloaded)
        assert "a listener that the commit waits for" in str(error)
        assert in_flight == [1, 2, 3, 4, 5, 6, 7]


async def test_an_outliving_task_has_no_reserve() -> None:
    """A task that outlives the call of the listener that started it waits for admission."""
    go = asyncio.Event()
    tasks: list[asyncio.Task[Event]] = []

    async def later(hub: Hub, n: int) -> Event:
        await go.wait()
        return await hub.emit(answered(n))

    async def answer(hub: Hub, n: int) -> None:
        tasks.append(asyncio.create_task(later(hub, n)))

    gate = anyio.Event()

    class Gated(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            if numbers(events, "number.blocked"):
                await gate.wait()

    async with Hub(in_flight_max=1) as hub:
        await hub.attach(Answering(answer), duty=Duty.REQUIRED).ready()
        await hub.attach(Gated(), duty=Duty.REQUIRED).ready()
        await hub.emit(said())
        blocked = asyncio.create_task(hub.emit(GenericEvent(kind="number.blocked", data={"n": 0})))
        await until_idle()
        go.set()
        await until_idle()
        assert hub.statistics().emitters_waiting == 1, "it waits like anybody"
        gate.set()
        await blocked
        assert (await tasks[0]).causation_id is not None


async def test_an_outliving_thread_has_no_reserve() -> None:
    """A thread that outlives the call of the listener that started it waits for admission."""
    go = threading.Event()
    done: list[asyncio.Future[Any]] = []

    def work(hub: Hub, n: int) -> Event:
        go.wait(30)
        return anyio.from_thread.run(emit_answer, hub, n)

    async def answer(hub: Hub, n: int) -> None:
        done.append(asyncio.ensure_future(anyio.to_thread.run_sync(work, hub, n)))
        await until_idle()

    async with Hub() as hub:
        await hub.attach(Answering(answer), duty=Duty.REQUIRED).ready()
        await hub.emit(said())
        go.set()
        stamped = await done[0]
        assert hub.statistics().committed > stamped.seq


async def test_a_listener_answers_itself_32_times() -> None:
    errors: list[BaseException] = []
    depths: list[int] = []
    async with Hub() as hub:

        @hub.on("number.*")
        async def answer(event: Event) -> None:
            depths.append(event.depth)
            try:
                await hub.emit(answered())
            except CommandRejected as error:
                errors.append(error)

        await until_idle()
        await hub.emit(said())
        await until_idle()
        await hub.flush()
        assert depths == list(range(33))
        assert len(errors) == 1
        assert "answer its own events" in str(errors[0])


async def test_a_required_listener_may_emit_while_closing() -> None:
    answering, witness = Answering(emit_answer), Recorder()
    async with Hub(MemoryStore(), listeners=[witness]) as hub:
        await hub.attach(answering, duty=Duty.REQUIRED).ready()
        for n in range(5):
            hub.emit_nowait(said(n))
    assert numbers(witness.events, "number.answered") == list(range(5))
    assert witness.kinds[-1] == "hub.stopped"


async def test_a_required_listener_may_emit_while_catching_up() -> None:
    store, answering, witness = MemoryStore(), Answering(emit_answer), Recorder()
    async with Hub(store) as hub:
        await hub.emit(said(1))
    hub = Hub(store, listeners=[witness])
    hub.attach(answering, duty=Duty.REQUIRED, since="start")
    async with hub:
        pass
    assert numbers(witness.events, "number.answered") == [1]


async def test_a_listener_may_post_again_under_a_key() -> None:
    """The post before is committed when the listener has returned: in it, that is not waited for."""
    async with Hub(MemoryStore()) as hub:
        agents = [await hub.agents.register(name) for name in "ab"]
        channel = await hub.channels.open(agents)

        async def post_twice(_: Hub, n: int) -> list[str]:
            posts = [await channel.post(agents[0], n, to=[agents[1]], idempotency_key="once") for _ in range(2)]
            return [post.envelope_id for post in posts]

        listener = Answering(post_twice)
        await hub.attach(listener, duty=Duty.REQUIRED).ready()
        await hub.emit(said(1))
        [(first, again)] = listener.returned
        assert first == again
        await hub.flush()
        assert [post.content for post in await channel.history()] == [1]
