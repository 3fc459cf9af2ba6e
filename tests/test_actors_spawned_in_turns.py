"""Actors that are spawned in a turn, a listener or a scope: where they come from, they do not run for ever."""

from __future__ import annotations

import gc
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from hubwire import BaseActor, Duty, Escalate, Hub, Strategy, Turn, scope
from hubwire._actors.calls import TurnCall
from hubwire.context import current
from hubwire.errors import AskCycle
from hubwire.events import Event
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder
from support import until, until_idle

WHO: ContextVar[str] = ContextVar("who", default="no one")


class Child(BaseActor):
    """Crashes, posts, sets a timer, reminds itself, or answers."""

    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen

    async def on_envelope(self, turn: Turn, /) -> None:
        if turn.content == "crash":
            raise Escalate("it was told to")
        self.seen.append((turn.agent.name, turn.content, WHO.get(), current()))
        if turn.content == "work":
            await turn.remind(0.01, "reminded")
            await turn.hub.timers.every(0.1, "tick", agent=turn.agent)
            await turn.reply("worked")
        elif turn.content == "are you there?":
            await turn.reply("yes")


async def spawned(hub: Hub, way: str, seen: list[Any]) -> None:
    if way == "alone":
        await hub.spawn(Child(seen), name="child/1")
    elif way == "workers":
        await hub.spawn(lambda: Child(seen), name="child/1", workers=2)
    elif way == "in a group":
        await hub.supervise("children").spawn(Child(seen), name="child/1")
    else:
        hub.spawn_on_demand("child/*", lambda _: Child(seen), idle_seconds=0.05)


WAYS = ("alone", "workers", "in a group", "on demand")


@pytest.mark.parametrize("way", WAYS)
async def test_later_turns_have_their_own_cause(way: str) -> None:
    """By the real clock, no event of a later turn names the turn, the agent or the matter it was spawned in."""
    seen: list[Any] = []
    parents: list[Turn] = []
    recorder = Recorder()

    async def parent(turn: Turn) -> None:
        parents.append(turn)
        with scope(session="the session of the parent", task="the task of the parent"):
            await spawned(hub, way, seen)

    async with Hub(MemoryStore(), listeners=[recorder]) as hub:
        boss = await hub.agents.register("boss")
        with scope(correlation_id="matter of the parent", tenant="tenant of the parent"):
            channel = await hub.channels.open([boss, (await hub.spawn(parent, name="parent")).agent])
            await channel.post(boss, "spawn it")
        await until(lambda: bool(parents))
        await hub.flush()
        await until(lambda: "turn.ended" in recorder.kinds)
        number = len(recorder.events)
        other = await hub.channels.open([boss, "child/1"])
        await other.post(boss, "work")
        await until(lambda: sum(event.kind == "timer.fired" for event in recorder.events) >= 2)
        await until(lambda: any(each[1] == "reminded" for each in seen))
        await other.post(boss, "crash")
        await until(lambda: "actor.crashed" in recorder.kinds)
        assert (await hub.ask(boss, "child/1", "are you there?")).content == "yes"
        await hub.flush()
        later = recorder.events[number:]
        of_before = {event.id for event in recorder.events[:number]}
        (turn,) = parents
        for event in later:
            assert event.turn_id != turn.id
            assert event.agent_id != turn.agent.id
            assert (event.correlation_id, event.tenant, event.session_id) == (None, None, None)
            assert event.causation_id not in of_before
        assert {each[3].depth for each in seen} == {0}
        own = {event.turn_id for event in later if event.kind == "turn.started"}
        assert {event.turn_id for event in later if event.kind.startswith("envelope.posted")} - {None} <= own


async def asked(turns: int, way: str) -> Any:
    """A chief asks the parent, which spawns a child and goes on; the child asks the chief, which has time for it."""
    answers: list[Any] = []

    class Asking(BaseActor):
        async def on_envelope(self, turn: Turn, /) -> None:
            try:
                answers.append((await turn.ask("chief", "and now?")).content)
            except AskCycle as error:
                answers.append(error)

    async def parent(turn: Turn) -> None:
        if way == "on demand":
            hub.spawn_on_demand("child/*", lambda _: Asking())
            await hub.agents.register("child/1")
        else:
            await hub.spawn(Asking(), name="child/1")
        channel = await hub.channels.open(["boss", "child/1"])
        for _ in range(turns):
            await channel.post("boss", "go")
        await until(lambda: len(answers) == turns)
        await turn.reply("done")

    class Chief(BaseActor):
        concurrency = 2

        async def on_envelope(self, turn: Turn, /) -> None:
            await turn.reply("fine" if turn.content == "and now?" else (await turn.ask("parent", "go")).content)

    async with Hub() as hub:
        await hub.agents.register("boss")
        await hub.spawn(parent, name="parent")
        await hub.spawn(Chief(), name="chief")
        assert (await hub.ask("boss", "chief", "start")).content == "done"
    return answers


@pytest.mark.parametrize("way", ["alone", "on demand"])
async def test_it_may_ask_who_waits_for_its_parent(way: str) -> None:
    """The turn that spawned an actor does not wait for its turns: what these ask is no part of that turn."""
    assert await asked(2, way) == ["fine", "fine"]


async def test_a_start_is_a_part_of_the_turn() -> None:
    """The turn that spawns an actor waits for its ``on_start``, which therefore cannot ask who waits for the turn."""
    raised: list[Exception] = []

    class Curious(BaseActor):
        async def on_start(self, hub: Any, agent: Any, /) -> None:
            try:
                await hub.ask(agent, "boss", "may I start?")
            except AskCycle as error:
                raised.append(error)

        async def on_envelope(self, turn: Turn, /) -> None: ...

    async def parent(turn: Turn) -> None:
        await hub.spawn(Curious(), name="child")
        await turn.reply("done")

    async with Hub() as hub:
        await hub.agents.register("boss")
        await hub.spawn(parent, name="parent")
        assert (await hub.ask("boss", "parent", "go")).content == "done"
    assert len(raised) == 1


async def test_a_commit_is_waited_for_again() -> None:
    """Spawned in a listener that the commit waits for, an actor waits for commits when its start is over."""
    order: list[str] = []
    go, spawned_one = anyio.Event(), anyio.Event()

    class Emitting(BaseActor):
        async def on_start(self, hub: Any, agent: Any, /) -> None:
            await hub.agents.register("another")
            order.append("started")

        async def on_envelope(self, turn: Turn, /) -> None:
            await turn.hub.agents.register("a third one")
            order.append("turn over")

    async with Hub(MemoryStore()) as hub:
        boss = await hub.agents.register("boss")
        child = await hub.agents.register("child")
        channel = await hub.channels.open([boss, child])
        await channel.post(boss, "go")

        @hub.on("agent.registered", duty=Duty.REQUIRED)
        async def listen(event: Event) -> None:
            if event.name != "parent":  # type: ignore[attr-defined]
                return
            await hub.spawn(Emitting(), name="child")
            spawned_one.set()
            await go.wait()
            order.append("listener over")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.agents.register, "parent")
            await spawned_one.wait()
            await until(lambda: hub.agents.find("a third one") is not None)
            await until_idle()
            go.set()
        await until(lambda: "turn over" in order)
    assert order == ["started", "listener over", "turn over"]


# --- variables of the program -----------------------------------------------------------------------------------------


async def test_each_keeps_the_variables_of_its_spawn() -> None:
    """As a task of asyncio does, in all its lives, also where another one's crash has started it again."""
    seen: list[Any] = []
    async with Hub() as hub:
        boss = await hub.agents.register("boss")
        group = hub.supervise("all", strategy=Strategy.ONE_FOR_ALL, backoff_seconds=0.001)
        for name in ("one", "two"):
            WHO.set(name)
            await group.spawn(Child(seen), name=name)
        WHO.set("the program")
        hub.spawn_on_demand("child/*", lambda _: Child(seen))
        WHO.set("later")
        channel = await hub.channels.open([boss, "one", "two", "child/1"])
        await channel.post(boss, "first")
        await until(lambda: len(seen) == 3)
        await channel.post(boss, "crash", to=["one"])
        await until(lambda: [actor.starts for actor in hub.statistics().actors[:2]] == [2, 2])
        await channel.post(boss, "second")
        await until(lambda: len(seen) == 6)
    told = sorted((name, content, who) for name, content, who, _ in seen)
    assert told == [
        ("child/1", "first", "the program"),
        ("child/1", "second", "the program"),
        ("one", "first", "one"),
        ("one", "second", "one"),
        ("two", "first", "two"),
        ("two", "second", "two"),
    ]


@pytest.mark.parametrize("way", WAYS)
async def test_the_spawning_turn_is_let_go(way: str) -> None:
    """While the actor lives, it holds nothing of the turn that spawned it, nor of that one's envelope."""
    seen: list[Any] = []

    async def parent(turn: Turn) -> None:
        await spawned(hub, way, seen)

    async with Hub() as hub:
        boss = await hub.agents.register("boss")
        handle = await hub.spawn(parent, name="parent")
        for agent in ("parent", "child/1"):
            channel = await hub.channels.open([boss, agent])
            await channel.post(boss, "go")
            await until_idle()
        await handle.stop()
        assert seen
        gc.collect()
        # By type(): what other tests have left may raise when it is asked for its class.
        calls = [each for each in gc.get_objects() if type(each) is TurnCall]
        assert not [each for each in calls if each.agent_id == handle.agent.id]
