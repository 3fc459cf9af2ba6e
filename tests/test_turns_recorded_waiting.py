"""Recorded turns where the store is slow or the hub is full: who waits, and who does not; and whose they are."""

from __future__ import annotations

import asyncio

import anyio

from hubwire import Hub, scope
from hubwire.events import ModelCompleted, TurnEnded
from hubwire.testing import Recorder
from support import GatedStore, until_idle


async def test_who_is_cancelled_does_not_wait_for_the_end() -> None:
    """The block is left although the store takes nothing: its end is kept when it does."""
    store, recorder = GatedStore(), Recorder()
    async with Hub(store, listeners=[recorder]) as hub:
        entered = anyio.Event()

        async def run() -> None:
            async with hub.turns.turn("a"):
                entered.set()
                await anyio.sleep_forever()

        task = asyncio.create_task(run())
        await entered.wait()
        store.gate.close()
        task.cancel()
        await until_idle()
        assert task.cancelled()
        store.gate.open()
        await hub.flush()
        assert [each.kind for each in recorder.events if each.kind.startswith("turn.")] == [
            "turn.started",
            "turn.abandoned",
        ]


async def test_a_turn_begins_when_there_is_room() -> None:
    """It is admitted as commands are: its beginning waits, and so leaves room for its end."""
    store = GatedStore()
    async with Hub(store, in_flight_max=2) as hub:
        await hub.flush()
        store.gate.close()
        agents = [asyncio.create_task(hub.agents.register(name)) for name in "abc"]
        await until_idle()

        async def run() -> None:
            async with hub.turns.turn("x"):
                pass

        task = asyncio.create_task(run())
        await until_idle()
        assert hub.turns.open() == ()
        assert not task.done()
        store.gate.open()
        await task
        await asyncio.gather(*agents)


async def test_an_end_is_of_the_tenant_of_its_beginning() -> None:
    """Also where the scope of the beginning is over, or another one has begun."""
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        turn = hub.turns.turn("a")
        with scope(tenant="one", correlation_id="c"):
            await turn.__aenter__()
            call = turn.model("m")
            await call.__aenter__()
        with scope(tenant="two", correlation_id="d"):
            await call.__aexit__(None, None, None)
            await turn.__aexit__(None, None, None)
        await hub.flush()
        ends = [*recorder.of(ModelCompleted), *recorder.of(TurnEnded)]
        assert [(each.tenant, each.correlation_id) for each in ends] == [("one", "c")] * 2
