"""Actors across restarts and kills of their hub."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from hubwire import BaseActor, Hub, Turn
from hubwire.errors import (
    HubFailed,
    StoreError,
)
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock, Recorder, history
from support import contents, until, until_idle
from support.actors import Collector, channel_to

# --- restarts of the hub ----------------------------------------------------------------------------------------------


async def test_inboxes_survive_the_close_of_a_hub(tmp_path: Path) -> None:
    """A close stops the actors in order; the next start goes on with their inboxes."""
    stopped: list[str] = []

    class Stuck(BaseActor):
        async def on_envelope(self, turn: Turn, /) -> None:
            await anyio.sleep_forever()

        async def on_stop(self) -> None:
            await hub.agents.register(f"late {len(stopped)}")
            stopped.append(self.name)

    def stuck(name: str) -> Stuck:
        actor = Stuck()
        actor.name = name
        return actor

    async with Hub(FileStore(tmp_path), close_seconds_max=4) as hub:
        handles = [await hub.spawn(stuck(name)) for name in ("first", "second", "third")]
        channel, boss = await channel_to(hub, *(each.agent for each in handles))
        await channel.post(boss, "job")
        await until(lambda: len(hub.turns.open()) == 3)
    assert stopped == ["third", "second", "first"]

    worker, recorder = Collector(), Recorder()
    async with Hub(FileStore(tmp_path), listeners=[recorder]) as hub:
        assert hub.agents.find("late 2") is not None
        handle = await hub.spawn(worker, name="second", capabilities=["ignored"])
        assert handle.agent == handles[1].agent
        await until(lambda: not contents(hub, handle.agent))
        assert worker.heard == ["job"]
        assert contents(hub, handles[0].agent) == ["job"]


async def test_idle_actors_are_stopped_in_order() -> None:
    stopped: list[str] = []

    class Idle(BaseActor):
        async def on_stop(self) -> None:
            stopped.append(self.name)

    async with Hub() as hub:
        team = hub.supervise("team")
        for name in ("first", "second", "third"):
            actor = Idle()
            actor.name = name
            await team.spawn(actor)
    assert stopped == ["third", "second", "first"]


async def test_a_busy_actor_is_not_a_cycle() -> None:
    """A question to an actor that is busy with other work waits."""
    release, answers = asyncio.Event(), list[Any]()

    async def busy(turn: Turn) -> None:
        await release.wait()
        await turn.reply("at last")

    async def asker(turn: Turn) -> None:
        answers.append((await turn.ask(worker.agent, "question")).content)

    async with Hub(clock=ManualClock()) as hub:
        worker, curious = await hub.spawn(busy), await hub.spawn(asker)
        channel, boss = await channel_to(hub, worker.agent, curious.agent)
        await channel.post(boss, "first", to=[worker.agent])
        await until_idle()
        await channel.post(boss, "go", to=[curious.agent])
        await until_idle()
        release.set()
        await until_idle()
        assert answers == ["at last"]


async def test_closing_lets_a_turn_end(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def slow(turn: Turn) -> None:
        await release.wait()
        await turn.reply("done")

    async with Hub(FileStore(tmp_path)) as hub:
        handle = await hub.spawn(slow)
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "job")
        await until(lambda: len(hub.turns.open()) == 1)
        asyncio.get_running_loop().call_soon(release.set)
    async with Hub(FileStore(tmp_path)) as hub:
        assert contents(hub, handle.agent) == []
        assert contents(hub, boss) == ["done"]


async def test_a_hanging_on_stop_is_cancelled_at_the_deadline() -> None:
    class Hanging(BaseActor):
        async def on_stop(self) -> None:
            await anyio.sleep_forever()

    recorder = Recorder()
    async with Hub(close_seconds_max=2, listeners=[recorder]) as hub:
        await hub.spawn(Hanging())
        await hub.spawn(Hanging, name="another")
    assert "TimeoutError" in recorder.of("actor.stopped")[0].reason
    assert recorder.kinds[-1] == "hub.stopped"


async def test_an_actor_may_close_its_own_hub() -> None:
    """It does not wait for itself."""

    async def closer(turn: Turn) -> None:
        await hub.aclose()

    async with Hub() as hub:
        handle = await hub.spawn(closer)
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "close")
        assert await handle.wait() == "stopped"


async def test_actors_end_with_a_failing_hub() -> None:
    class Full(MemoryStore):
        async def append(self, *args: Any, **kwargs: Any) -> int:
            if broken:
                raise StoreError("the disk is gone")
            return await super().append(*args, **kwargs)

    broken, worker = False, Collector()
    with pytest.raises(HubFailed):
        async with Hub(Full()) as hub:
            handle = await hub.spawn(worker)
            channel, boss = await channel_to(hub, handle.agent)
            broken = True
            with pytest.raises(HubFailed):
                await channel.post(boss, "job")
            assert await handle.wait() == "the hub has ended"
    assert worker.calls == ["start", "stop"]
    assert worker.heard == []


# --- killed -----------------------------------------------------------------------------------------------------------


EXAMPLE = Path(__file__).parents[1] / "examples" / "10_team_of_actors.py"


DYING = """
import os, runpy, signal, sys
from hubwire.stores import FileStore
example, directory, moment, left = sys.argv[1:4] + [int(sys.argv[4])]
begin_append = FileStore.begin_append

def dying_append(self, path, content, *, done, **kwargs):
    global left
    left -= 1
    dies = left == 0
    if dies and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)

    def die_or(*outcome):
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        done(*outcome)

    begin_append(self, path, content, done=die_or, **kwargs)

FileStore.begin_append = dying_append
sys.argv = [example, directory]
runpy.run_path(example, run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("appends", [10, 13, 17, 22])
async def test_a_killed_team_ends_with_the_same_result(tmp_path: Path, moment: str, appends: int) -> None:
    """However often it is killed, the team goes on and ends with the same result."""
    command = [sys.executable, "-P", "-c", DYING, str(EXAMPLE), str(tmp_path), moment, str(appends)]
    lives = 0
    printed = b""
    while not printed:
        lives += 1
        assert lives < 30, "it never comes to its end"
        done = await anyio.run_process(command, check=False)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
        printed = done.stdout
    assert printed == b"shipped: 17\n"
    assert lives > 1
    # Whatever was interrupted, everything was said once, and the work was done in one piece.
    async with Hub(FileStore(tmp_path)) as hub:
        events: list[Any] = await history(hub)
    posted = [event.content for event in events if event.kind == "envelope.posted"]
    assert [set(content) for content in posted] == [{"order"}, {"parts"}, {"size", "handoff"}, {"shipped"}]
    assert [event.checkpoint for event in events if event.kind == "task.checkpointed"][-1] == (1, 5, 2, 4, 1, 4)
    assert len({event.agent_id for event in events if event.kind == "agent.registered"}) == 4
    assert [event for event in events if event.kind in ("turn.failed", "envelope.dead_lettered")] == []
