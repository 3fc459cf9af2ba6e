"""A turn that takes long keeps its envelope by extending its time, and not when it is too late."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from hubwire import Backoff, BaseActor, Hub, RetryPolicy, Turn, WatchLimits
from hubwire.errors import CommandRejected
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import advance, until, until_idle
from support.actors import channel_to
from support.odd import Stranger


class Slow(BaseActor):
    """Does in each turn what a test says."""

    visibility_seconds: float | None = 30
    retry = RetryPolicy(backoff=Backoff(seconds=1))

    def __init__(self, does: Callable[[Turn], Awaitable[None]]) -> None:
        self.does = does

    async def on_envelope(self, turn: Turn, /) -> None:
        await self.does(turn)


class Unbound(Slow):
    """Has no limit."""

    visibility_seconds = None


async def test_an_extended_turn_keeps_its_envelope() -> None:
    """As long as it says that it is alive; recorded each time, and bounded by what it said last."""
    clock, recorder = ManualClock(), Recorder()
    go_on = asyncio.Queue[float]()

    async def does(turn: Turn) -> None:
        while turn.delivery.attempt == 1:
            await turn.extend(await go_on.get())

    async with Hub(MemoryStore(), clock=clock, listeners=[recorder]) as hub:
        handle = await hub.spawn(Slow(does), name="coder")
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "work")
        await until_idle()
        for count in (1, 2, 3):
            await advance(clock, 29)
            go_on.put_nowait(30)
            extended: Any = await recorder.wait_for("turn.extended", count=count)
            assert (extended.seconds, extended.agent_id, extended.channel_id) == (30, handle.agent.id, channel.id)
        await advance(clock, 29)
        assert handle.statistics().failed == 0
        await advance(clock, 2)
        failed: Any = await recorder.wait_for("turn.failed")
        assert failed.error_message == (
            "it has held the envelope for 117 s (visibility_seconds=30, extended 3 times), and was cancelled"
        )
        await advance(clock, 2)
        await until(lambda: handle.statistics().handled == 1)


async def test_extending_never_shortens() -> None:
    """Less than is left changes nothing, and is not recorded."""
    clock, recorder = ManualClock(), Recorder()
    extended = anyio.Event()

    async def does(turn: Turn) -> None:
        await turn.extend(10)
        extended.set()
        await anyio.sleep_forever()

    async with Hub(clock=clock, listeners=[recorder]) as hub:
        handle = await hub.spawn(Slow(does), name="coder")
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "work")
        await extended.wait()
        await advance(clock, 29)
        assert handle.statistics().failed == 0
        await advance(clock, 2)
        await until(lambda: handle.statistics().failed == 1)
        assert recorder.of("turn.extended") == []


@pytest.mark.parametrize("kind", [Slow, Unbound])
async def test_an_extended_turn_is_not_abandoned(kind: type[Slow]) -> None:
    """The time that it has asked for is waited for, and then as long as without it."""
    clock, recorder = ManualClock(), Recorder()
    go_on = asyncio.Queue[float]()

    async def does(turn: Turn) -> None:
        while seconds := await go_on.get():
            await turn.extend(seconds)

    watch = WatchLimits(turn_seconds_max=60)
    async with Hub(clock=clock, listeners=[recorder], watch=watch) as hub:
        handle = await hub.spawn(kind(does), name="coder")
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "work")
        await until_idle()
        await advance(clock, 29)
        for count, seconds in ((1, 100), (2, 200), (3, 300)):
            go_on.put_nowait(seconds)
            await recorder.wait_for("turn.extended", count=count)
            await advance(clock, seconds - 1)
            assert len(hub.turns.open()) == 1
        assert recorder.of("turn.abandoned") == recorder.of("turn.failed") == []
        if kind is Unbound:
            await advance(clock, 60)
            assert recorder.of("turn.abandoned") == []
            await advance(clock, 2)
            abandoned: Any = await recorder.wait_for("turn.abandoned")
            assert abandoned.reason == "its end has not come within 60 s"
            assert hub.turns.open() == ()
        go_on.put_nowait(0)


async def test_what_comes_too_late_is_refused() -> None:
    """When the time is over, though the turn swallows that; when it has ended; when its envelope is another's."""
    clock = ManualClock()
    refused: list[str] = []
    turns: list[Turn] = []

    async def extend(turn: Turn) -> None:
        with pytest.raises(CommandRejected) as error:
            await turn.extend(60)
        refused.append(str(error.value))

    async def does(turn: Turn) -> None:
        turns.append(turn)
        if turn.content == "late" and turn.delivery.attempt == 1:
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await extend(turn)
        elif turn.content == "nacked":
            await turn.delivery.nack("for another", delay_seconds=1000)
            await extend(turn)

    async with Hub(clock=clock) as hub:
        handle = await hub.spawn(Slow(does), name="coder")
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "late")
        await until_idle()
        await advance(clock, 30)
        await until(lambda: len(refused) == 1)
        await advance(clock, 2)
        await channel.post(boss, "nacked")
        await until(lambda: len(refused) == 2)
        await extend(turns[0])
    assert "cannot extend" in refused[0]
    assert "not to be handled by this turn any more" in refused[1]
    assert "has ended" in refused[2]


@pytest.mark.parametrize("odd", [0, -1, float("nan"), float("inf"), "10", None, True, 1e10, Stranger()], ids=repr)
async def test_odd_seconds_are_refused(odd: Any) -> None:
    """With an error that names the call, and the turn goes on."""
    refused = list[str]()

    async def does(turn: Turn) -> None:
        with pytest.raises(CommandRejected) as error:
            await turn.extend(odd)
        refused.append(str(error.value))

    async with Hub() as hub:
        handle = await hub.spawn(Slow(does), name="coder")
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "work")
        await until(lambda: handle.statistics().handled == 1)
    assert refused[0].startswith("turn.extend(): seconds is")


async def test_time_is_extended_by_the_real_clock() -> None:
    """And ends by it: it was extended once, and no more."""
    recorder = Recorder()

    async def does(turn: Turn) -> None:
        if turn.delivery.attempt == 1:
            await turn.extend(0.1)
            await anyio.sleep_forever()

    class Hasty(Slow):
        visibility_seconds = 0.05
        retry = RetryPolicy(backoff=Backoff(seconds=0.01))

    async with Hub(listeners=[recorder]) as hub:
        handle = await hub.spawn(Hasty(does), name="coder")
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "work")
        await until(lambda: handle.statistics().handled == 1)
        failed: Any = await recorder.wait_for("turn.failed")
        assert failed.error_message.endswith("(visibility_seconds=0.05, extended 1 times), and was cancelled")
