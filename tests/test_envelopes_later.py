"""Envelopes that are delivered later, and reminders."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from hubwire import Agent, Channel, Hub, Turn
from hubwire.errors import CommandRejected, InboxFull
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, history
from support import GatedStore, advance, until_idle
from support.odd import Stranger


async def pair(hub: Hub, **rule: Any) -> tuple[Channel, Agent, Agent]:
    a = await hub.agents.register("a")
    b = await hub.agents.register("b", rule={"inbox": rule} if rule else None)
    return await hub.channels.open([a, b]), a, b


async def test_an_envelope_comes_later(clock: ManualClock) -> None:
    """Others that were posted after it come before it."""
    async with Hub(clock=clock) as hub:
        channel, a, b = await pair(hub)
        posted = await channel.post(a, "later", deliver_after=10)
        assert posted.delay_seconds == 10
        await channel.post(a, "now")
        read: list[tuple[str, int]] = []

        async def reader() -> None:
            async for delivery in b.inbox():
                read.append((delivery.content, delivery.attempt))
                await delivery.ack()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reader)
            await until_idle()
            assert read == [("now", 1)]
            (waiting,) = hub.inboxes.peek(b)
            assert (waiting.delay_seconds, waiting.attempts) == (10, 0)
            await advance(clock, 9.9)
            assert len(read) == 1
            await advance(clock, 0.2)
            assert read == [("now", 1), ("later", 1)]
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("is_closed", [True, False])
async def test_a_delay_outlives_a_restart(clock: ManualClock, *, is_closed: bool) -> None:
    store = GatedStore()
    async with Hub(store, clock=clock) as hub:
        channel, a, b = await pair(hub)
        await channel.post(a, "later", deliver_after=10, priority="urgent")
        await channel.post(a, "now")
        left: MemoryStore = store if is_closed else store.crashed()
        before = await history(hub)
    clock.advance(5)
    async with Hub(left, clock=clock) as again:
        assert (await history(again))[: len(before)] == before
        inbox = again.agents.get(b.id).inbox()
        assert (await anext(inbox)).content == "now"
        await advance(clock, 5)
        assert (await anext(inbox)).content == "later"


async def test_a_late_envelope_may_expire_before(clock: ManualClock, recorder: Recorder) -> None:
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        channel, a, b = await pair(hub)
        await channel.post(a, "never", deliver_after=10, ttl_seconds=5)
        await advance(clock, 20)
        await hub.flush()
        assert hub.inboxes.get(b).depth == 0
        assert ("envelope.expired" in recorder.kinds, "envelope.returned" in recorder.kinds) == (True, False)


async def test_what_waits_takes_room() -> None:
    async with Hub() as hub:
        channel, a, _ = await pair(hub, capacity=1)
        await channel.post(a, "later", deliver_after=10)
        with pytest.raises(InboxFull):
            await channel.post(a, "now")


@pytest.mark.parametrize("value", [-1, "1", float("nan"), float("inf"), None, True, 1e10, Stranger()], ids=repr)
async def test_a_wrong_delay_is_refused(value: Any) -> None:
    async with Hub() as hub:
        channel, a, b = await pair(hub)
        with pytest.raises(CommandRejected, match="deliver_after is a number of seconds, 0 or more"):
            await channel.post(a, "x", deliver_after=value)
        assert hub.inboxes.get(b).depth == 0


# --- reminders --------------------------------------------------------------------------------------------------------


async def test_an_actor_is_reminded(clock: ManualClock) -> None:
    """A reminder is a turn of its own, in the same channel."""
    heard: list[tuple[Any, str]] = []

    async def sleeper(turn: Turn) -> None:
        heard.append((turn.content, turn.channel.id))
        if turn.content == "go":
            await turn.remind(60, {"wake": "up"}, idempotency_key="once")

    async with Hub(clock=clock) as hub:
        a = await hub.agents.register("a")
        handle = await hub.spawn(sleeper)
        channel = await hub.channels.open([a, handle.agent])
        await channel.post(a, "go")
        await until_idle()
        await advance(clock, 59)
        assert heard == [("go", channel.id)]
        await advance(clock, 2)
        assert heard == [("go", channel.id), ({"wake": "up"}, channel.id)]
        assert hub.inboxes.list() == []


async def test_reminders_go_with_their_agent(clock: ManualClock) -> None:
    async def sleeper(turn: Turn) -> None:
        await turn.remind(60, "wake up")

    async with Hub(clock=clock) as hub:
        a = await hub.agents.register("a")
        handle = await hub.spawn(sleeper)
        channel = await hub.channels.open([a, handle.agent])
        await channel.post(a, "go")
        await until_idle()
        assert hub.inboxes.get(handle.agent).delayed == 1
        await handle.stop()
        await handle.agent.unregister()
        assert hub.statistics().envelopes_pending == 0
        await advance(clock, 100)
        assert hub.health().healthy
