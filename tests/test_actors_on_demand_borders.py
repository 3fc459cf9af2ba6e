"""Actors on demand where they meet other actors, other rules, and agents that leave."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import anyio
import pytest

from hubwire import Backoff, BaseActor, Hub, InboxRule, RetryPolicy, Turn
from hubwire.errors import AccessDenied, AskCycle, CommandRejected, HubClosed, NotFound
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import GatedStore, advance, until, until_idle


class Named(BaseActor):
    """Says who handles what."""

    def __init__(self, name: str, lines: list[str]) -> None:
        self._name = name
        self._lines = lines

    async def on_envelope(self, turn: Turn, /) -> None:
        self._lines.append(f"{self._name} {turn.content}")


@pytest.fixture
async def hub(clock: ManualClock, recorder: Recorder) -> AsyncIterator[Hub]:
    async with Hub(MemoryStore(), clock=clock, listeners=[recorder]) as hub:
        await hub.agents.register("boss")
        yield hub


async def test_an_agent_may_leave_before_it_is_made(clock: ManualClock) -> None:
    lines: list[str] = []
    store = GatedStore()
    async with Hub(store, clock=clock) as hub:
        await hub.agents.register("boss")
        rule = hub.spawn_on_demand("a/*", lambda _: Named("rule", lines))
        await hub.topics.subscribe("a/1", "*")
        store.gate.close()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_publish, hub, "go", 1)
            await until_idle()
            assert rule.active == ["a/1"]
            tasks.start_soon(hub.agents.named("a/1").unregister)
            await until_idle()
            store.gate.open()
        await until_idle()
        assert (rule.active, lines, hub.health().problems) == ([], [], ())
        await hub.agents.register("other")


@pytest.mark.parametrize("in_group", [False, True], ids=["alone", "in a group"])
async def test_the_program_may_be_faster(clock: ManualClock, recorder: Recorder, in_group: bool) -> None:
    lines: list[str] = []
    store = GatedStore()
    async with Hub(store, clock=clock, listeners=[recorder]) as hub:
        await hub.agents.register("boss")
        rule = hub.spawn_on_demand("a/*", lambda _: Named("rule", lines))
        await hub.topics.subscribe("a/1", "*")
        group = hub.supervise("all")
        store.gate.close()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_publish, hub, "go", 1)
            await until_idle()
            await (group if in_group else hub).spawn(Named("program", lines), name="a/1")
            store.gate.open()
        await until_idle()
        await hub.flush()
        assert "envelope.nacked" not in {event.kind for event in recorder.events}
        assert (lines, rule.active, len(hub.statistics().actors)) == (["program 1"], [], 1)


async def _publish(hub: Hub, topic: str, content: Any) -> None:
    await hub.topics.publish(topic, content, sender="boss")


async def test_the_next_rule_takes_over(hub: Hub) -> None:
    lines: list[str] = []
    go = anyio.Event()

    class Busy(Named):
        async def on_envelope(self, turn: Turn, /) -> None:
            await super().on_envelope(turn)
            await go.wait()

    first = hub.spawn_on_demand("a/*", lambda _: Busy("first", lines), active_max=1)
    hub.spawn_on_demand("*/*", lambda _: Named("second", lines))
    for name in ("a/1", "a/2"):
        await hub.topics.subscribe(name, "*")
    await hub.topics.publish("go", 1, sender="boss")
    await until_idle()
    assert (lines, first.waiting) == (["first 1"], ["a/2"])
    await first.stop()
    await until_idle()
    assert lines == ["first 1", "second 1", "second 1"]


async def test_a_rule_follows_the_program(hub: Hub) -> None:
    lines: list[str] = []
    go = anyio.Event()

    class Busy(Named):
        async def on_envelope(self, turn: Turn, /) -> None:
            await super().on_envelope(turn)
            await go.wait()

    handle = await hub.spawn(Busy("program", lines), name="a/1")
    await hub.topics.subscribe("a/1", "*")
    await hub.topics.publish("go", 1, sender="boss")
    await until_idle()
    rule = hub.spawn_on_demand("a/*", lambda _: Named("rule", lines))
    await handle.stop()
    await until_idle()
    assert (lines, rule.active) == (["program 1", "rule 1"], ["a/1"])


async def test_a_rule_follows_one_that_ends(hub: Hub) -> None:
    lines: list[str] = []
    stop = anyio.Event()

    class Slow(Named):
        async def on_stop(self) -> None:
            await stop.wait()

    first = hub.spawn_on_demand("a/*", lambda _: Slow("first", lines))
    await hub.topics.subscribe("a/1", "*")
    await hub.topics.publish("go", 1, sender="boss")
    await until_idle()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first.stop)
        await until_idle()
        hub.spawn_on_demand("a/*", lambda _: Named("second", lines))
        await hub.topics.publish("go", 2, sender="boss")
        await until_idle()
        stop.set()
    await until_idle()
    assert lines == ["first 1", "second 2"]


async def test_an_idle_one_makes_room_later(clock: ManualClock) -> None:
    """It is idle again when what it was kept for has gone, although it has not seen that."""
    lines: list[str] = []
    store = GatedStore()
    async with Hub(store, clock=clock) as hub:
        await hub.agents.register("boss")
        rule = hub.spawn_on_demand("a/*", lambda _: Named("rule", lines), active_max=1, idle_seconds=10)
        await hub.topics.subscribe("a/1", "one")
        await hub.topics.subscribe("a/2", "two")
        await hub.topics.publish("one", 1, sender="boss")
        await until_idle()
        store.gate.close()
        async with anyio.create_task_group() as tasks:
            async with anyio.create_task_group() as asking:
                asking.start_soon(hub.ask, "boss", "a/1", "never mind")
                await until_idle()
                tasks.start_soon(_publish, hub, "two", 2)
                await until_idle()
                assert (rule.active, rule.waiting) == (["a/1"], ["a/2"])
                asking.cancel_scope.cancel()
            store.gate.open()
        for _ in range(3):
            await advance(clock, 10)
        assert lines == ["rule 1", "rule 2"]


async def test_a_name_may_be_given_anew(hub: Hub, recorder: Recorder) -> None:
    lines: list[str] = []
    go = anyio.Event()

    class Busy(Named):
        async def on_envelope(self, turn: Turn, /) -> None:
            await super().on_envelope(turn)
            await go.wait()

    rule = hub.spawn_on_demand("a/*", lambda _: Busy("rule", lines))
    for number in range(2):
        await hub.topics.subscribe("a/1", "*")
        await hub.topics.publish("go", number, sender="boss")
        await until_idle()
        if not number:
            await hub.agents.named("a/1").unregister()
    assert (lines, rule.active) == (["rule 0", "rule 1"], ["a/1"])
    go.set()
    await until_idle()
    await hub.flush()
    assert "envelope.nacked" not in {event.kind for event in recorder.events}
    assert ([each.name for each in hub.statistics().actors], hub.inboxes.list()) == (["a/1"], [])
    with pytest.raises(CommandRejected, match="is there already"):
        hub.supervise("a/1")


async def test_each_attempt_calls_the_factory(hub: Hub) -> None:
    calls: list[str] = []

    def factory(name: str) -> Any:
        calls.append(name)
        raise ValueError(name)

    rule = InboxRule(capacity=1000)
    hub.spawn_on_demand("a/*", factory, retry=RetryPolicy(attempts_max=3, backoff=Backoff(0, 0)), rule={"inbox": rule})
    await hub.topics.subscribe("a/1", "*")
    async with anyio.create_task_group() as tasks:
        for number in range(600):
            tasks.start_soon(_publish, hub, "go", number)
    await until(lambda: not hub.inboxes.list())
    assert (len(calls), len(hub.inboxes.dead_letters())) == (3, 600)


async def test_who_was_stopped_may_be_asked(hub: Hub) -> None:
    async def answers(turn: Turn) -> None:
        await turn.reply("here")

    group = hub.supervise("all")
    await group.spawn(answers, name="a/1")
    await group.stop()
    rule = hub.spawn_on_demand("a/*", lambda _: answers)
    assert (await hub.ask("boss", "a/1", "are you there?")).content == "here"
    await rule.stop()


async def test_a_closed_hub_stops_at_once() -> None:
    async with Hub() as hub:
        rule = hub.spawn_on_demand("a/*", lambda _: Named("rule", []))
    with pytest.raises(HubClosed):
        await rule.drain(timeout=0)
    await rule.stop()


async def test_a_refused_drain_ends_no_rule(hub: Hub) -> None:
    raised: list[Exception] = []

    async def drains(turn: Turn) -> None:
        try:
            await rule.drain()
        except CommandRejected as error:
            raised.append(error)

    rule = hub.spawn_on_demand("a/*", lambda _: drains)
    await hub.topics.subscribe("a/1", "*")
    await hub.topics.publish("go", 1, sender="boss")
    await until_idle()
    assert (len(raised), rule.is_stopped) == (1, False)


async def test_what_is_refused_registers_no_agent(hub: Hub) -> None:
    hub.spawn_on_demand("a/*", lambda _: Named("rule", []))
    channel = await hub.channels.open(["boss"])
    odd: Any = 7
    for command in (
        partial(hub.topics.subscribe, "a/1", "a..b"),
        partial(hub.topics.subscribe, "a/1", odd),
        partial(hub.topics.unsubscribe, "a/1", "a"),
        partial(channel.join, "a/1", role=odd),
        partial(hub.channels.open, ["boss", "a/1"], topic=odd),
        partial(hub.acting_as("boss").topics.subscribe, "a/1", "a"),
        partial(hub.acting_as("boss").channels.get(channel.id).join, "a/1"),
    ):
        with pytest.raises((CommandRejected, AccessDenied)):
            await command()
        assert hub.agents.find("a/1") is None


@pytest.mark.parametrize("is_there", [False, True], ids=["not there", "registered"])
async def test_a_cycle_over_places_is_found(hub: Hub, is_there: bool) -> None:
    """An actor in the last place waits for one that would be made in that place."""
    found: list[str] = []

    async def asks(turn: Turn) -> None:
        try:
            await turn.ask("b/1", "go")
        except AskCycle as error:
            found.append(str(error))
        await turn.reply("done")

    rule = hub.spawn_on_demand("*/*", lambda _: asks, active_max=1)
    if is_there:
        await hub.agents.register("b/1")
    assert (await hub.ask("boss", "a/1", "go")).content == "done"
    assert "active_max" in found[0]
    assert (rule.waiting, len(found), hub.agents.find("b/1") is not None) == ([], 1, is_there)


async def test_a_busy_place_is_waited_for(hub: Hub) -> None:
    """Of two places, one becomes free: what waits for that is no cycle, and the last one that would wait is refused."""
    found: list[str] = []
    go = anyio.Event()

    async def act(turn: Turn) -> None:
        if turn.agent.name == "busy/1":
            await go.wait()
        if turn.agent.name in ("a/1", "busy/1") and turn.content == "ask":
            try:
                found.append((await turn.ask("b/1", "go")).content)
            except AskCycle:
                found.append("cycle")
        await turn.reply("done")

    hub.spawn_on_demand("*/*", lambda _: act, active_max=2)
    for said, expected in (("leave", ["done"]), ("ask", ["done", "cycle", "done"])):
        go = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.ask, "boss", "busy/1", said)
            await until_idle()
            tasks.start_soon(hub.ask, "boss", "a/1", "ask")
            await until_idle()
            go.set()
        assert found == expected


async def test_ids_and_endless_names_register_none(hub: Hub) -> None:
    hub.spawn_on_demand("*", lambda _: Named("rule", []))
    gone = await hub.agents.register("gone")
    await gone.unregister()
    for given, error in ((gone.id, NotFound), ("f" * 32, NotFound), ("x" * 501, CommandRejected)):
        for command in (
            partial(hub.ask, "boss", given, "are you there?"),
            partial(hub.topics.subscribe, given, "a"),
            partial(hub.channels.open, ["boss", given]),
        ):
            with pytest.raises(error):
                await command()
    assert [agent.name for agent in hub.agents.list()] == ["boss"]
