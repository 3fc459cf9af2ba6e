"""Hubs inside actors: what runs in a turn of one hub is in no turn of another, and calls of several hubs nest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from hubwire import Agent, BaseActor, Duty, Event, GenericEvent, Hub, Restart, Turn
from hubwire._actors.calls import ActorCall
from hubwire.errors import AskCycle, HubClosed, ListenerFailed
from hubwire.events import EnvelopePosted
from hubwire.stores import FileStore
from hubwire.testing import Recorder

Job = Callable[[Turn], Awaitable[object]]


async def run_in_a_turn(hub: Hub, job: Job) -> Any:
    """Have an actor of the hub do a job in one of its turns; return what the job returns, or what it raises."""
    outcome: list[Any] = []
    done = anyio.Event()

    async def worker(turn: Turn) -> None:
        try:
            outcome.append(await job(turn))
        except Exception as error:  # noqa: BLE001 - the test looks at it
            outcome.append(error)
        done.set()

    await post_to(hub, (await hub.spawn(worker)).agent, "go")
    with anyio.fail_after(20):
        await done.wait()
    return outcome[0]


async def post_to(hub: Hub, agent: Agent, content: object) -> None:
    boss = hub.agents.find("boss") or await hub.agents.register("boss")
    await (await hub.channels.open([boss, agent])).post(boss, content)


async def test_a_hub_inside_a_turn_is_closed_when_its_block_ends(tmp_path: Path) -> None:
    async def use_another_hub(_: Turn) -> str:
        async with Hub(FileStore(tmp_path)) as inner:
            await inner.emit(GenericEvent(kind="some.work"))
        async with Hub(FileStore(tmp_path)):
            return "opened again"

    async with Hub() as hub:
        assert await run_in_a_turn(hub, use_another_hub) == "opened again"


async def test_the_failure_of_a_hub_inside_a_turn_is_raised() -> None:
    class Broken:
        duty = Duty.REQUIRED
        pattern = "some.*"

        async def on_events(self, events: Sequence[Event]) -> None:
            raise ValueError("broken")

    async def use_another_hub(_: Turn) -> None:
        async with Hub(listeners=[Broken()]) as inner:
            inner.emit_nowait(GenericEvent(kind="some.work"))

    async with Hub() as hub:
        assert isinstance(await run_in_a_turn(hub, use_another_hub), ListenerFailed)
        assert hub.health().healthy


async def test_a_question_on_another_hub_is_not_linked_to_the_turn() -> None:
    """Its cause would be the id of an event that the other hub does not have."""
    recorder = Recorder()

    async def echo(turn: Turn) -> None:
        await turn.reply(turn.content)

    async with Hub() as hub, Hub(listeners=[recorder]) as other:
        answerer, asker = await other.spawn(echo), await other.agents.register("asker")

        async def ask_there(_: Turn) -> object:
            return (await other.ask(asker, answerer.agent, "hello")).content

        assert await run_in_a_turn(hub, ask_there) == "hello"
        await other.flush()
    question = next(event for event in recorder.events if isinstance(event, EnvelopePosted))
    assert (question.causation_id, question.hops) == (None, 0)


async def test_a_question_belongs_to_the_turn_around_an_inner_hub() -> None:
    """An actor of the inner hub asks on the outer one, for the outer turn: the cycle is found there."""
    async with Hub() as hub:

        async def use_another_hub(turn: Turn) -> object:
            helper = await turn.hub.agents.register("helper")

            async def ask_outside(_: Turn) -> object:
                return await hub.ask(helper, turn.agent, "a question to the agent that waits for this")

            async with Hub() as inner:
                return await run_in_a_turn(inner, ask_outside)

        assert isinstance(await run_in_a_turn(hub, use_another_hub), AskCycle)


async def test_an_actor_of_an_inner_hub_may_close_the_outer_one() -> None:
    """It does not wait: the outer hub waits for the turn, which waits for the inner hub."""
    async with Hub() as hub:

        async def use_another_hub(_: Turn) -> object:
            async with Hub() as inner:
                return await run_in_a_turn(inner, lambda _: hub.aclose())

        assert await run_in_a_turn(hub, use_another_hub) is None


@pytest.mark.parametrize("method", ["on_start", "on_envelope", "on_stop"])
async def test_an_actor_closes_its_hub_from_any_method(method: str) -> None:
    class Closing(BaseActor):
        async def _close(self, *_: Any) -> None:
            await hub.aclose()

    setattr(Closing, method, Closing._close)
    async with Hub() as hub:
        try:
            handle = await hub.spawn(Closing())
        except HubClosed:
            assert method == "on_start"
        else:
            await post_to(hub, handle.agent, "go")
    assert not hub.health().healthy


async def test_a_closing_hub_cancels_a_turn_that_holds_another_hub() -> None:
    """Its deadline holds for the turn; the inner hub is closed on the way out."""
    inner = Hub()
    is_inside = anyio.Event()

    async def hold_another_hub(_: Turn) -> None:
        async with inner:
            is_inside.set()
            await anyio.sleep_forever()

    with anyio.fail_after(10):
        async with Hub(close_seconds_max=0.2) as hub:
            handle = await hub.spawn(hold_another_hub)
            await post_to(hub, handle.agent, "go")
            await is_inside.wait()
    with pytest.raises(HubClosed):
        await inner.emit(GenericEvent(kind="too.late"))


async def test_a_task_that_outlives_its_actor_waits_for_the_close() -> None:
    recorder, tasks = Recorder(), list[asyncio.Task[None]]()

    async def leave_a_task(_: Turn) -> None:
        async def close_later() -> None:
            await handle.wait()
            await hub.aclose()

        tasks.append(asyncio.create_task(close_later()))

    async with Hub(listeners=[recorder]) as hub:
        handle = await hub.spawn(leave_a_task)
        await post_to(hub, handle.agent, "go")
        await wait_all_tasks_blocked()
        await handle.stop()
        await tasks[0]
        assert recorder.kinds[-1] == "hub.stopped"


async def test_a_chain_of_successors_keeps_no_calls_that_have_returned() -> None:
    """Each actor spawns the next one in its turn, and stops."""
    depths: list[int] = []
    done = anyio.Event()

    class Successor(BaseActor):
        async def on_envelope(self, turn: Turn, /) -> None:
            depths.append(depth_of_calls())
            turn.stop()
            if turn.content == 20:
                done.set()
                return
            handle = await hub.spawn(Successor(), name=f"number {turn.content}", restart=Restart.TRANSIENT)
            await post_to(hub, handle.agent, turn.content + 1)

    async with Hub() as hub:
        first = await hub.spawn(Successor(), restart=Restart.TRANSIENT)
        await post_to(hub, first.agent, 0)
        with anyio.fail_after(20):
            await done.wait()
    assert len(depths) == 21
    assert max(depths) <= 6


def depth_of_calls() -> int:
    call, depth = ActorCall.innermost.get(), 0
    while call is not None:
        call, depth = call.outer, depth + 1
    return depth
