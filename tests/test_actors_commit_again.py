"""Commits in the middle of a turn that run beside each other, are not waited for, or are cancelled: once, and whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from hubwire import Backoff, Hub, RetryPolicy, Turn
from hubwire.arbiter import Allow, Command
from hubwire.stores import MemoryStore
from support import until

AT_ONCE = RetryPolicy(attempts_max=3, backoff=Backoff(0.001, 0.001))


async def together(turn: Turn) -> None:
    await asyncio.gather(turn.commit(), turn.commit())


async def before_the_end(turn: Turn) -> None:
    task = asyncio.create_task(turn.commit())
    await asyncio.sleep(0)
    tasks.append(task)


async def then_cancelled(turn: Turn) -> None:
    """Cancelled when all is put, and not committed yet."""
    task = asyncio.create_task(turn.commit())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


tasks: list[asyncio.Task[None]] = []


async def in_a_turn(commit: Callable[[Turn], Awaitable[None]], **settings: Any) -> tuple[list[Any], Any, int]:
    """Have a turn post, count and commit so; return what was posted, what it keeps, and how many turns failed."""

    async def act(turn: Turn) -> None:
        turn.state = (turn.state or 0) + 1
        await turn.post("first", to=["boss"])
        await commit(turn)
        await turn.post("last", to=["boss"])

    async with Hub(MemoryStore(), **settings) as hub:
        boss = await hub.agents.register("boss")
        actor = await hub.spawn(act, name="actor", retry=AT_ONCE)
        channel = await hub.channels.open([boss, actor.agent])
        await channel.post(boss, "go", to=[actor.agent])
        await until(lambda: not any(each.agent_name == "actor" for each in hub.inboxes.list()))
        await hub.flush()
        assert not hub.inboxes.dead_letters()
        (statistics,) = hub.statistics().actors
        said = [entry.content for entry in await channel.history() if entry.agent_id == actor.agent.id]
        return said, actor.agent.state, statistics.failed


@pytest.mark.parametrize("commit", [together, before_the_end, then_cancelled])
async def test_a_turn_knows_what_it_has_put(commit: Callable[[Turn], Awaitable[None]]) -> None:
    """Its own commit is not taken for that of another turn, for which it would fail and do all of it again."""
    assert await in_a_turn(commit) == (["first", "last"], 1, 0)


async def test_a_commit_cancelled_early_loses_nothing() -> None:
    """What it would have posted is held again, in its order."""
    asked: list[str] = []

    class Slow:
        async def authorize(self, command: Command) -> Allow:
            if command.name == "send" and command.content == "first":
                asked.append(command.content)
                if len(asked) == 1:
                    await anyio.sleep_forever()
            return Allow()

    async def cancelled(turn: Turn) -> None:
        task = asyncio.create_task(turn.commit())
        await until(lambda: bool(asked))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert await in_a_turn(cancelled, arbiter=Slow()) == (["first", "last"], 1, 0)
    assert len(asked) == 2
