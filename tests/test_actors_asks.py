"""Chains of asks: deadlines and cancellation go down them, over several hubs, too; and what keys and indexes keep."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from hubwire import Hub, Turn
from hubwire.errors import AskCycle, AskFailed, AskTimeout, PostRejected
from hubwire.expectations import Expectation
from hubwire.testing import ManualClock, Recorder
from support import contents, until, until_idle
from support.actors import channel_to


async def silent(turn: Turn) -> None:
    await anyio.sleep_forever()


async def echo(turn: Turn) -> None:
    await turn.reply(turn.content)


async def wait(clock: ManualClock, seconds: float) -> None:
    clock.advance(seconds)
    await until_idle()


async def test_a_deadline_goes_down_a_chain_of_asks() -> None:
    """Who asks for an answer has no more time for it than is left; then all that worked for it is cancelled."""
    clock, errors = ManualClock(), list[str]()

    async def middle(turn: Turn) -> None:
        clock.advance(4)
        try:
            await turn.ask(last.agent, "and you?", timeout=1000)
        except AskTimeout as error:
            errors.append(str(error))
            try:
                await turn.ask(last.agent, "quick!", timeout=1000)
            except AskTimeout as late:
                errors.append(str(late))
            raise

    async with Hub(clock=clock) as hub:
        last, first = await hub.spawn(silent), await hub.spawn(middle)
        boss = await hub.agents.register("boss")
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                with pytest.raises(AskTimeout):
                    await hub.ask(boss, first.agent, "go", timeout=10)

            tasks.start_soon(ask)
            await until_idle()
            assert len(hub.turns.open()) == 2
            await wait(clock, 5.9)
            assert errors == []
            await wait(clock, 0.2)
        await until_idle()
        assert "within 6 s, all that was left" in errors[0]
        assert hub.turns.open() == ()
        assert hub.statistics().envelopes_pending == 0


async def test_a_shorter_timeout_of_its_own_counts() -> None:
    """And an ask that is not linked gives no deadline on."""
    clock, errors = ManualClock(), list[str]()

    async def middle(turn: Turn) -> None:
        try:
            await turn.ask(last.agent, "and you?", timeout=turn.content)
        except AskTimeout as error:
            errors.append(str(error))
        await turn.reply("gave up")

    async with Hub(clock=clock) as hub:
        last, first = await hub.spawn(silent), await hub.spawn(middle)
        boss = await hub.agents.register("boss")
        for seconds, linked, expected in ((3, True, "within 3 s"), (30, False, "within 30 s")):
            async with anyio.create_task_group() as tasks:

                async def ask(seconds: int = seconds, linked: bool = linked) -> None:
                    try:
                        await hub.ask(boss, first.agent, seconds, timeout=10, linked=linked)
                    except AskTimeout:
                        pass

                tasks.start_soon(ask)
                await until_idle()
                await wait(clock, 3)
                await wait(clock, 8)
                await wait(clock, 20)
            assert errors[-1].endswith(expected)


async def test_cancellation_goes_down_a_chain_of_asks() -> None:
    async def middle(turn: Turn) -> None:
        await turn.ask(last.agent, "and you?")

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        last, first = await hub.spawn(silent), await hub.spawn(middle)
        boss = await hub.agents.register("boss")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.ask, boss, first.agent, "go")
            await until(lambda: len(hub.turns.open()) == 2)
            tasks.cancel_scope.cancel()
        await until(lambda: not hub.turns.open() and not hub.statistics().envelopes_pending)
        await hub.flush()
        assert len(recorder.of("turn.abandoned")) == 2
        assert recorder.of("turn.failed") == []


async def test_a_circle_over_two_hubs_is_found() -> None:
    """Each hub knows the turns of the other in which it was asked."""
    found: list[str] = []
    async with Hub() as one, Hub() as two:
        proxies = await one.agents.register("proxy"), await two.agents.register("proxy")

        async def a(turn: Turn) -> None:
            answer = await two.ask(proxies[1], b_handle.agent, "b?")
            await turn.reply(answer.content)

        async def b(turn: Turn) -> None:
            try:
                await one.ask(proxies[0], a_handle.agent, "a?")
            except AskCycle as error:
                found.append(str(error))
            await turn.reply("no circle")

        a_handle, b_handle = await one.spawn(a, concurrency=4), await two.spawn(b)
        boss = await one.agents.register("boss")
        assert (await one.ask(boss, a_handle.agent, "go", timeout=30)).content == "no circle"
        assert len(found) == 1
        assert found[0].startswith("agent 'a' waits for the answer that agent 'proxy' asks it for")


async def test_a_deadline_goes_to_another_hub() -> None:
    errors: list[str] = []
    clock = ManualClock()
    async with Hub(clock=clock) as one, Hub(clock=clock) as two:
        proxy = await two.agents.register("proxy")
        last = await two.spawn(silent)

        async def a(turn: Turn) -> None:
            try:
                await two.ask(proxy, last.agent, "b?", timeout=1000)
            except AskTimeout as error:
                errors.append(str(error))

        handle, boss = await one.spawn(a), await one.agents.register("boss")
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                with pytest.raises(AskFailed):
                    await one.ask(boss, handle.agent, "go", timeout=5)

            tasks.start_soon(ask)
            await until_idle()
            await wait(clock, 5)
        await until(lambda: not two.turns.open() and not one.turns.open())
        assert len(errors) == 1


async def test_keys_of_questions_are_the_hubs_own() -> None:
    """An envelope with one would be expired unhandled, and its answer would reach no inbox."""
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        handle = await hub.spawn(echo)
        channel, boss = await channel_to(hub, handle.agent)
        for key in ("hubwire-ask:linked:mine", "hubwire-ask:mine", "hubwire-"):
            with pytest.raises(PostRejected, match="does not begin with 'hubwire-'") as refused:
                await channel.post(boss, "x", idempotency_key=key)
            assert refused.value.code == "malformed"
        await channel.post(boss, "x", idempotency_key="hubwire")
        await until(lambda: contents(hub, boss) == ["x"])
        await hub.flush()
        assert len(recorder.of("envelope.rejected")) == 3


@pytest.mark.parametrize("linked", [True, False])
async def test_an_answer_is_a_reply(linked: bool) -> None:
    """Who has answered a question violates no expectation, and the asker finds nothing in its inbox."""
    clock, recorder = ManualClock(), Recorder()
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        handle, boss = await hub.spawn(echo), await hub.agents.register("boss")
        soon = Expectation(name="reply_within", params={"seconds": 10}, on_violation="auto_close")
        channel = await hub.channels.open([boss, handle.agent], expectations=[soon])
        answer = await hub.ask(boss, handle.agent, "?", channel=channel, linked=linked, timeout=100)
        assert answer.content == "?"
        await wait(clock, 20)
        await wait(clock, 20)
        assert channel.is_open
        await hub.flush()
        assert recorder.of("expectation.violated") == []
        assert hub.statistics().envelopes_pending == 0


@pytest.mark.slow
async def test_asks_that_have_ended_leave_nothing_behind() -> None:
    """Answered, failed, timed out and refused; in a channel that lasts and in their own."""
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        handle, deaf = await hub.spawn(echo), await hub.spawn(silent)
        boss = await hub.agents.register("boss")
        lasting = await hub.channels.open([boss, handle.agent, deaf.agent])
        other = await hub.agents.register("other")
        settings: list[dict[str, Any]] = [{}, {"channel": lasting}, {"linked": False}]
        for each in settings:
            await hub.ask(boss, handle.agent, "?", **each)
            async with anyio.create_task_group() as tasks:

                async def ask(each: dict[str, Any] = each) -> None:
                    with pytest.raises(AskTimeout):
                        await hub.ask(boss, deaf.agent, "?", timeout=5, **each)

                tasks.start_soon(ask)
                await until_idle()
                await wait(clock, 5)
        with pytest.raises(PostRejected):
            await hub.ask(other, handle.agent, "?", channel=lasting)
        with pytest.raises(AskCycle):
            await hub.ask(boss, boss, "?")
        asks = hub._parts.asks
        kept = (asks._by_key, asks._by_question, asks._by_envelope, asks._by_channel, asks._answers, asks._closed)
        assert [len(each) for each in kept] == [0] * 6
        assert asks.workload._asks == {}
