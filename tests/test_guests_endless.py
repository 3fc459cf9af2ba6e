"""Guests that swallow each cancellation: they hold up neither the end of their hub nor that of the program's loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from hubwire import Hub
from hubwire._foreign.tasks import LeftBehind, called
from hubwire.stores import MemoryStore

ENDLESS = """
import asyncio
from hubwire import Duty, GenericEvent, Hub
from hubwire.stores import MemoryStore

async def endless():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

class Listener:
    async def on_events(self, events):
        await endless()

class Actor:
    async def on_envelope(self, turn):
        await endless()

async def main():
    async with Hub(MemoryStore(), close_seconds_max=0.5) as hub:
        hub.attach(Listener(), duty=Duty.BEST_EFFORT)
        actor = await hub.spawn(Actor())
        one = await hub.agents.register("one")
        channel = await hub.channels.open([one, actor.agent])
        await channel.post(one, "hello")
        await asyncio.sleep(0.1)
    print("closed")

asyncio.run(main())
print("ended")
"""


@pytest.mark.slow
def test_asyncio_run_ends_though_guests_do_not() -> None:
    """At its end, `asyncio.run` cancels all tasks and waits for them; those left behind are not among them."""
    run = subprocess.run([sys.executable, "-P", "-c", ENDLESS], capture_output=True, text=True, check=False, timeout=50)
    assert run.stdout.split() == ["closed", "ended"], run.stderr
    assert "destroyed" not in run.stderr


async def test_a_guest_left_behind_goes_on() -> None:
    """It may still come to its end while the loop runs."""
    ended, end = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                assert asyncio.current_task() is not None
        ended.set()

    with pytest.raises(LeftBehind):
        await called(slow, seconds=0.01, grace_seconds=0.02)
    end.set()
    await ended.wait()


async def test_a_closed_hub_says_what_it_knew() -> None:
    """What is read waits for nothing, and is answered from the state at the end."""
    async with Hub(MemoryStore()) as hub:
        one = await hub.agents.register("one")
        two = await hub.agents.register("two")
        channel = await hub.channels.open([one, two])
    assert hub.agents.find("one") == one
    assert hub.agents.get(one.id) == one
    assert hub.agents.list() == [one, two]
    assert hub.channels.get(channel.id) == channel
    assert hub.approvals.pending() == ()
    assert hub.statistics().committed > 0
