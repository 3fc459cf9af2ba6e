"""Actors of one hub on several nodes: each runs where it is seated, and what another one does is refused."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from hubwire import Hub, Turn
from hubwire.errors import CommandRejected, SeatLost
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import until, until_idle
from support.nodes import LocalSigns, Node, node_of, seats_of, watched


class Worker:
    """Says which node has handled what, and waits for leave where it is told to."""

    def __init__(self, node: str, done: list[tuple[str, Any]], held: set[str] | None = None) -> None:
        self.name = "worker"
        self._node = node
        self._done = done
        self._held = set() if held is None else held

    async def on_envelope(self, turn: Turn) -> None:
        while self._node in self._held:
            await anyio.sleep(0.001)
        await turn.reply(f"{self._node}: {turn.content}")
        self._done.append((self._node, turn.content))


async def test_an_actor_runs_on_one_node_and_goes_on_at_the_next_when_that_ends() -> None:
    done: list[tuple[str, Any]] = []
    recorder = Recorder()
    async with Hub(MemoryStore(), listeners=[recorder]) as hub:
        boss = await hub.agents.register("boss")
        async with node_of(hub, "two") as two:
            async with node_of(hub, "one") as one:
                first = await one.spawn(Worker("one", done))
                second = await two.spawn(Worker("two", done))
                assert first.is_running
                assert not second.is_running
                channel = await hub.channels.open([boss, first.agent])
                await channel.post(boss, 1)
                await until(lambda: len(done) == 1)
            await until(lambda: second.is_running)
            await channel.post(boss, 2)
            await until(lambda: len(done) == 2)
    assert done == [("one", 1), ("two", 2)]
    told = [(event.kind, event.node) for event in recorder.events if "seated" in event.kind or "queued" in event.kind]
    assert told[:4] == [
        ("actor.seated", "one"),
        ("actor.queued", "two"),
        ("actor.unseated", "one"),
        ("actor.seated", "two"),
    ]
