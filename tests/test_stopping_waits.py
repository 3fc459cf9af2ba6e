"""What waits for something in a hub that ends, or has ended: it gets an error, and never waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

import attrs
import pytest

from hubwire import Agent, ApprovalPolicy, Channel, Duty, Hub
from hubwire.errors import HubAborted, HubClosed, HubFailed, ListenerFailed
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder
from support import until_idle

WAITED_SECONDS = 10


@attrs.frozen
class World:
    """A hub in which nothing comes to its end by itself."""

    hub: Hub
    boss: Agent
    mute: Agent
    channel: Channel
    """It is never opened, because its second participant does not accept."""
    task: Any
    actor: Any
    approval_id: str


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    hub = Hub(MemoryStore(), approvals=ApprovalPolicy(timeout_seconds=1e6), close_seconds_max=5)
    await hub.start()
    try:
        boss, mute = await hub.agents.register("boss"), await hub.agents.register("mute")
        channel = await hub.channels.open([boss, mute], invite=True)
        task = await hub.tasks.start(boss, "dig")

        async def idle(_: object) -> None: ...

        actor = await hub.spawn(idle)
        approval_id = await hub.approvals.request(boss, "deploy")
        yield World(hub, boss, mute, channel, task, actor, approval_id)
    finally:
        await hub.abort()


WAITS: dict[str, Callable[[World], Awaitable[object]]] = {
    "an approval": lambda world: world.hub.approvals.wait(world.approval_id),
    "the opening of a channel": lambda world: world.channel.ready(),
    "the end of a channel": lambda world: world.channel.ended(),
    "the result of a task": lambda world: world.task.result(),
    "the end of a task": lambda world: world.task.ended(),
    "the outcome of a task": lambda world: world.hub.tasks.outcome(world.task.id),
    "an answer": lambda world: world.hub.ask(world.boss, world.mute, "?", timeout=1e6),
    "a verdict": lambda world: world.hub.approvals.gate(world.boss, "erase"),
}


async def _fail(hub: Hub) -> None:
    hub._pipeline.fail(HubFailed("in the middle"))
    await hub.finished()
    with pytest.raises(HubFailed):
        await hub.aclose()


ENDS: dict[str, tuple[Callable[[Hub], Awaitable[object]], type[Exception]]] = {
    "closed": (Hub.aclose, HubClosed),
    "failed": (_fail, HubFailed),
    "aborted": (Hub.abort, HubAborted),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("wait", WAITS)
async def test_a_wait_ends_with_its_hub(wait: str, end: str) -> None:
    finish, error = ENDS[end]
    async with world() as here:
        waiting = asyncio.ensure_future(WAITS[wait](here))
        await until_idle()
        assert not waiting.done()
        await finish(here.hub)
        done, _ = await asyncio.wait([waiting], timeout=WAITED_SECONDS)
        waiting.cancel()
        assert done
        with pytest.raises(error):
            waiting.result()


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("wait", WAITS)
async def test_no_wait_begins_after_the_end(wait: str, end: str) -> None:
    finish, error = ENDS[end]
    async with world() as here:
        await finish(here.hub)
        waiting = asyncio.ensure_future(WAITS[wait](here))
        done, _ = await asyncio.wait([waiting], timeout=WAITED_SECONDS)
        waiting.cancel()
        assert done
        with pytest.raises(error):
            waiting.result()


class Refusing(Recorder):
    async def __aenter__(self) -> Self:
        raise ValueError("not this time")

    async def __aexit__(self, *_: object) -> None: ...


async def _refused(hub: Hub) -> None:
    hub.attach(Refusing(), duty=Duty.REQUIRED)
    with pytest.raises(ListenerFailed):
        await hub.start()


async def _cancelled(hub: Hub) -> None:
    starting = asyncio.create_task(hub.start())
    await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait([starting])


async def _aborted(hub: Hub) -> None:
    starting = asyncio.create_task(hub.start())
    await asyncio.sleep(0)
    await hub.abort()
    await asyncio.wait([starting])
    assert starting.exception() is not None


@pytest.mark.parametrize("start", [_refused, _cancelled, _aborted])
@pytest.mark.parametrize("duty", Duty, ids=lambda duty: duty.value)
async def test_no_listener_waits_for_a_start_that_failed(duty: Duty, start: Callable[[Hub], Awaitable[None]]) -> None:
    """Neither of its readiness nor of its end; without a place, it is not ready."""
    hub = Hub(MemoryStore())
    attachment = hub.attach(Recorder(), duty=duty)
    ready = [asyncio.create_task(attachment.ready())]
    await start(hub)
    ready.append(asyncio.create_task(attachment.ready()))
    done, pending = await asyncio.wait([*ready, asyncio.create_task(attachment.detach())], timeout=WAITED_SECONDS)
    for each in pending:
        each.cancel()
    assert not pending
    assert {type(each.exception()) for each in done} <= {HubClosed, HubFailed, HubAborted, type(None)}
    assert attachment.begins_seq is not None or all(each.exception() is not None for each in ready)


async def test_a_listener_that_is_detached_before_the_start_waits_not() -> None:
    hub = Hub(MemoryStore())
    attachment = hub.attach(Recorder(), duty=Duty.DURABLE)
    await attachment.detach()
    await asyncio.wait_for(attachment.ready(), WAITED_SECONDS)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("is_begun_before", [True, False], ids=["before", "after"])
async def test_other_waits_return_at_the_end(*, is_begun_before: bool, end: str) -> None:
    """What the end of the hub fulfils, or leaves nothing to wait for."""
    finish, _ = ENDS[end]
    async with world() as here:
        hub = here.hub
        inbox, events, attachment = here.mute.inbox(), hub.events(), hub.attach(Recorder())

        async def rest(source: Any) -> None:
            async for _ in source:
                pass

        def begin() -> list[asyncio.Future[Any]]:
            drain = [] if is_begun_before else [asyncio.ensure_future(here.actor.drain(timeout=1))]
            return drain + [
                asyncio.ensure_future(call)
                for call in (rest(inbox), rest(events), here.actor.wait(), attachment.ready(), hub.finished())
            ]

        waiting = begin() if is_begun_before else []
        await until_idle()
        await finish(hub)
        waiting = waiting or begin()
        waiting.append(asyncio.ensure_future(hub.flush()))
        done, pending = await asyncio.wait(waiting, timeout=WAITED_SECONDS)
        for each in pending:
            each.cancel()
        assert not pending
        errors = {type(error) for each in done if (error := each.exception()) is not None}
        assert errors <= {HubClosed, HubFailed, HubAborted}
