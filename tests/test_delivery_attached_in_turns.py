"""Listeners that are attached in a turn: its actor does not wait for their calls, only for what it waits for."""

from __future__ import annotations

import gc
from typing import Any, Self

import pytest

from hubwire import BaseActor, BaseHubListener, Duty, Event, Hub, Turn
from hubwire._actors.calls import TurnCall
from hubwire.errors import AskCycle
from hubwire.stores import MemoryStore
from support import said, until


class Asking(BaseHubListener):
    """Asks the chief when it is entered, and about each number that was said."""

    def __init__(self, *, asks_on_entry: bool = False) -> None:
        self.found: list[Any] = []
        self._asks_on_entry = asks_on_entry

    def bind(self, hub: Any) -> None:
        self._hub = hub

    async def __aenter__(self) -> Self:
        if self._asks_on_entry:
            await self._ask()
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def on_event(self, event: Event) -> None:
        if event.kind == "number.said":
            await self._ask()

    async def _ask(self) -> None:
        try:
            self.found.append((await self._hub.ask("boss", "chief", "and now?", timeout=30)).content)
        except AskCycle as error:
            self.found.append(error)


class Chief(BaseActor):
    """Asks the parent in one turn, and answers in others meanwhile."""

    concurrency = 4

    async def on_envelope(self, turn: Turn, /) -> None:
        await turn.reply("fine" if turn.content == "and now?" else (await turn.ask("parent", "go")).content)


async def attach_in_a_turn(asking: Asking, duty: Duty) -> None:
    async def parent(turn: Turn) -> None:
        attachment = hub.attach(asking, duty=duty)
        await attachment.ready()
        await hub.emit(said())
        await until(lambda: len(asking.found) == 1)
        await turn.reply("done")

    async with Hub(MemoryStore()) as hub:
        await hub.agents.register("boss")
        await hub.spawn(parent, name="parent")
        await hub.spawn(Chief(), name="chief")
        assert (await hub.ask("boss", "chief", "start")).content == "done"
        await hub.emit(said())
        await until(lambda: len(asking.found) == 2)
        await hub.flush()


@pytest.mark.parametrize("duty", [Duty.BEST_EFFORT, Duty.DURABLE])
async def test_it_may_ask_who_waits_for_the_turn(duty: Duty) -> None:
    asking = Asking()
    await attach_in_a_turn(asking, duty)
    assert asking.found == ["fine", "fine"]


async def test_its_entry_is_a_part_of_the_turn() -> None:
    """The turn waits until the listener is ready, which therefore cannot ask who waits for the turn."""
    raised: list[Any] = []

    class Entered(Asking):
        async def _ask(self) -> None:
            try:
                await self._hub.ask("parent", "chief", "may I?", timeout=30)
            except AskCycle as error:
                raised.append(error)

    async def parent(turn: Turn) -> None:
        await hub.attach(Entered(asks_on_entry=True)).ready()
        await turn.reply("done")

    async with Hub() as hub:
        await hub.agents.register("boss")
        await hub.spawn(parent, name="parent")
        await hub.spawn(Chief(), name="chief")
        assert (await hub.ask("boss", "chief", "start")).content == "done"
    assert len(raised) == 1


async def test_it_holds_no_turn_in_memory() -> None:
    heard: list[Event] = []

    async def parent(turn: Turn) -> None:
        hub.on("number.*", name=f"listener {turn.content}")(heard.append)
        await turn.reply("done")

    async with Hub() as hub:
        await hub.agents.register("boss")
        actor = await hub.spawn(parent, name="parent")
        for n in range(5):
            await hub.ask("boss", actor.agent, n)
        await hub.emit(said())
        await until(lambda: len(heard) == 5)
        gc.collect()
        core = hub._parts.core
        assert not [each for each in gc.get_objects() if type(each) is TurnCall and each.held is core]
