"""The times of questions, by the clock of the system: one timer lets all of them expire."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from hubwire import Hub, Turn
from hubwire.errors import AskTimeout, HubClosed
from support import until, until_idle


async def silent(_: Turn) -> None:
    await anyio.sleep_forever()


def timers() -> list[Any]:
    """Return the timers of questions that the loop holds."""
    loop: Any = asyncio.get_running_loop()
    return [each for each in loop._scheduled if not each._cancelled and "_ring" in repr(each)]


async def test_questions_expire_in_the_order_of_their_times_whenever_they_were_asked() -> None:
    expired: list[float] = []

    async with Hub() as hub:
        actor, asker = await hub.spawn(silent, concurrency=8), await hub.agents.register("asker")

        async def ask(seconds: float) -> None:
            begun = time.monotonic()
            with pytest.raises(AskTimeout, match=f"within {seconds:g} s"):
                await hub.ask(asker, actor.agent, "?", timeout=seconds)
            assert time.monotonic() - begun >= seconds - 0.001
            expired.append(seconds)

        async with anyio.create_task_group() as tasks:
            for seconds in (0.4, 0.1, 0.3, 0.2):
                tasks.start_soon(ask, seconds)
                await anyio.lowlevel.checkpoint()
            assert len(timers()) == 1
        assert timers() == []
    assert expired == [0.1, 0.2, 0.3, 0.4]


async def test_an_answer_in_time_is_returned_and_the_next_question_has_its_own_time() -> None:
    async def echo(turn: Turn) -> None:
        if turn.content is None:
            await anyio.sleep_forever()
        await turn.reply(turn.content)

    async with Hub() as hub:
        actor, asker = await hub.spawn(echo), await hub.agents.register("asker")
        assert (await hub.ask(asker, actor.agent, "soon", timeout=0.2)).content == "soon"
        with pytest.raises(AskTimeout, match=r"within 0\.3 s"):
            await hub.ask(asker, actor.agent, None, timeout=0.3)
        assert (await hub.ask(asker, actor.agent, "again", timeout=60)).content == "again"
        assert len(timers()) == 1  # it ends once, and finds no question


@pytest.mark.slow
async def test_a_hub_that_is_closed_leaves_no_timer() -> None:
    hub = Hub()
    await hub.start()
    actor, asker = await hub.spawn(silent), await hub.agents.register("asker")
    asking = asyncio.ensure_future(hub.ask(asker, actor.agent, "?", timeout=60))
    await until_idle()
    assert len(timers()) == 1
    await hub.aclose()
    with pytest.raises(HubClosed):
        await asking
    assert timers() == []


@pytest.mark.slow
async def test_a_thousand_questions_expire_while_the_loop_goes_on() -> None:
    async with Hub() as hub:
        actor, asker = await hub.spawn(silent, concurrency=1000), await hub.agents.register("asker")

        async def ask(number: int) -> None:
            with pytest.raises(AskTimeout):
                await hub.ask(asker, actor.agent, number, timeout=0.5 + number / 10_000)

        async with anyio.create_task_group() as tasks:
            for number in range(1000):
                tasks.start_soon(ask, number)
        assert timers() == []
        await until(lambda: hub.statistics().envelopes_pending == 0)  # their turns are being cancelled
