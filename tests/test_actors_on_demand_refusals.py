"""Commands that name agents on demand: one that is refused registers none, others register them first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any

import anyio
import pytest

from hubwire import Duty, Hub, InboxRule, Limits, Rule, RuleArbiter, Turn
from hubwire.arbiter import Allow, Command, Deny
from hubwire.errors import AccessDenied, CallerError, CommandRejected, ConfigurationError, EventTooLarge
from hubwire.events import ChannelCreated
from hubwire.expectations import Expectation
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import until_idle

ODD: Any = 7


async def answers(turn: Turn) -> None:
    await turn.reply("here")


@pytest.fixture
async def hub(clock: ManualClock, recorder: Recorder) -> AsyncIterator[Hub]:
    async with Hub(MemoryStore(), clock=clock, listeners=[recorder]) as hub:
        await with_rule(hub)
        yield hub


async def with_rule(hub: Hub) -> None:
    await hub.agents.register("boss")
    hub.spawn_on_demand("a/*", lambda _: answers, skill="answers", rule={"inbox": InboxRule(capacity=3)})


async def kinds_since(hub: Hub, recorder: Recorder, number: int) -> list[str]:
    await hub.flush()
    return [event.kind for event in recorder.events[number:]]


# --- what is refused --------------------------------------------------------------------------------------------------

OPENINGS: dict[str, dict[str, Any]] = {
    "another agent is not there": {"participants": ["boss", "a/1", "nobody"]},
    "the creator is not there": {"participants": ["nobody", "a/1"]},
    "an id that is none": {"participants": ["boss", "a/1", "f" * 32]},
    "named twice": {"participants": ["boss", "a/1", "a/1"]},
    "no text": {"participants": ["boss", "a/1", ODD]},
    "a name that cannot be": {"participants": ["boss", "a/1", "a/\udc80"]},
    "type": {"type": "no such type"},
    "version": {"version": 99},
    "knobs": {"knobs": {"no such knob": 1}},
    "roles of others": {"roles": {"nobody": "chief"}},
    "labels": {"labels": {"x": ODD}},
    "parent": {"parent": "no such channel"},
    "expectations": {"expectations": [{"name": "no such evaluator"}]},
    "more acks than agents": {"invite": True, "required_acks": 2},
    "a type that refuses": {"type": "consulting", "participants": ["boss", "a/1", "a/2"]},
}


@pytest.mark.parametrize("given", OPENINGS.values(), ids=OPENINGS)
async def test_a_refused_opening_registers_none(hub: Hub, recorder: Recorder, given: dict[str, Any]) -> None:
    await hub.flush()
    number = len(recorder.events)
    with pytest.raises(CommandRejected):
        await hub.channels.open(**{"participants": ["boss", "a/1"], **given})
    assert await kinds_since(hub, recorder, number) == []


async def test_an_agent_opens_for_no_other(hub: Hub, recorder: Recorder) -> None:
    """Through the hub of an agent, the first participant is that agent; the refusal names the one that was given."""
    await hub.flush()
    number = len(recorder.events)
    with pytest.raises(AccessDenied, match="agent 'a/1'; name the agent that acts"):
        await hub.acting_as("boss").channels.open(["a/1", "boss"])
    assert await kinds_since(hub, recorder, number) == ["command.denied"]


async def test_a_refused_join_registers_none(hub: Hub, recorder: Recorder) -> None:
    closed = await hub.channels.open(["boss"])
    await closed.close()
    full = await hub.channels.open(["boss", await hub.agents.register("one")], type="consulting")
    await hub.flush()
    number = len(recorder.events)
    for channel in (closed, full):
        with pytest.raises(CommandRejected):
            await channel.join("a/1")
    assert await kinds_since(hub, recorder, number) == []


async def test_a_refused_ask_registers_none(hub: Hub, recorder: Recorder) -> None:
    channel = await hub.channels.open(["boss"])
    commands: list[Callable[[], Coroutine[Any, Any, object]]] = [
        partial(hub.ask, "nobody", "a/1", "go"),
        partial(hub.ask, ODD, "a/1", "go"),
        partial(hub.ask, "boss", "a/1", "go", timeout=ODD - 8),
        partial(hub.ask, "boss", "a/1", "go", channel=channel),
        partial(hub.acting_as("boss").ask, "a/1", "a/1", "go"),
    ]
    for command in commands:
        with pytest.raises(CallerError):
            await command()
    assert hub.agents.find("a/1") is None


async def test_asks_that_may_not_wait_register_none(clock: ManualClock) -> None:
    """In a listener that the commit waits for, no answer can be waited for."""
    raised: list[Exception] = []
    async with Hub(MemoryStore(), clock=clock) as hub:
        await with_rule(hub)

        @hub.on("agent.registered", duty=Duty.REQUIRED)
        async def ask(event: Any) -> None:
            try:
                await hub.ask("boss", "a/1", "go")
            except ConfigurationError as error:
                raised.append(error)

        await hub.agents.register("other")
        assert (len(raised), hub.agents.find("a/1")) == (1, None)


class Denying:
    """Denies one command, and keeps what it was asked."""

    def __init__(self, denied: str = "") -> None:
        self.denied = denied
        self.commands: list[Command] = []

    async def authorize(self, command: Command) -> Allow | Deny:
        self.commands.append(command)
        return Deny("not today") if command.name == self.denied else Allow()


@pytest.mark.parametrize("denied", ["open", "join", "subscribe", "ask", "register"])
async def test_what_is_denied_registers_none(clock: ManualClock, denied: str) -> None:
    arbiter = Denying()
    async with Hub(MemoryStore(), clock=clock, arbiter=arbiter) as hub:
        await with_rule(hub)
        channel = await hub.channels.open(["boss"])
        arbiter.denied = denied
        commands: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "open": partial(hub.channels.open, ["boss", "a/1"]),
            "join": partial(channel.join, "a/1"),
            "subscribe": partial(hub.topics.subscribe, "a/1", "*"),
            "ask": partial(hub.ask, "boss", "a/1", "go"),
        }
        for name, command in commands.items():
            if denied in (name, "register"):
                with pytest.raises(AccessDenied):
                    await command()
        assert (hub.agents.find("a/1"), len(hub.channels.list())) == (None, 1)


async def test_arbiters_see_who_will_come(clock: ManualClock) -> None:
    """The arbiter is asked with the name and the rule that an agent will have, before it is there."""
    arbiter = Denying()
    async with Hub(MemoryStore(), clock=clock, arbiter=arbiter) as hub:
        await with_rule(hub)
        await hub.channels.open(["boss", "a/1"])
        opening = next(each for each in arbiter.commands if each.name == "open")
        assert (opening.others, opening.rules_of_others[0]["inbox"]["capacity"]) == (("a/1",), 3)  # type: ignore[index]
        (registering,) = [each for each in arbiter.commands if each.agent_name == "a/1"]
        assert (registering.name, registering.content["skill"]) == ("register", "answers")


# --- what is carried out ----------------------------------------------------------------------------------------------


async def test_agents_are_registered_with_the_command(hub: Hub, recorder: Recorder) -> None:
    """Their registrations are the first events of it."""
    joined = await hub.channels.open(["boss"])
    commands: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
        "channel.created": partial(hub.channels.open, ["boss", "a/1", "a/2"], roles={"a/1": "chief"}),
        "channel.participant_joined": partial(joined.join, "a/3"),
        "topic.subscribed": partial(hub.topics.subscribe, "a/4", "*"),
    }
    for kind, command in commands.items():
        await hub.flush()
        number = len(recorder.events)
        await command()
        kinds = await kinds_since(hub, recorder, number)
        assert kinds[: kinds.index(kind)] == ["agent.registered"] * kinds.index(kind)
        assert kinds.index(kind)
    assert [agent.name for agent in hub.agents.list()] == ["boss", "a/1", "a/2", "a/3", "a/4"]
    assert (await hub.ask("boss", "a/5", "go")).content == "here"
    assert {agent.skill for agent in hub.agents.list()[1:]} == {"answers"}


async def test_roles_and_expectations_name_them(hub: Hub, recorder: Recorder) -> None:
    expected = Expectation(name="reply_within", params={"seconds": 5}, applies_to=("a/1",))
    channel = await hub.channels.open(["boss", "a/1"], roles={"a/1": "chief"}, expectations=[expected])
    agent = hub.agents.named("a/1")
    await hub.flush()
    bound = next(event.expectations for event in recorder.events if isinstance(event, ChannelCreated))
    assert (channel.roles[agent.id], bound[0]["applies_to"]) == ("chief", (agent.id,))


async def test_too_large_a_question_registers_none(recorder: Recorder) -> None:
    """Its refusal is recorded."""
    async with Hub(MemoryStore(), limits=Limits(event_bytes_max=10_000), listeners=[recorder]) as hub:
        await with_rule(hub)
        with pytest.raises(EventTooLarge):
            await hub.ask("boss", "a/1", "x" * 20_000)
        await hub.flush()
        assert (recorder.kinds[-1], hub.agents.find("a/1")) == ("envelope.rejected", None)


async def test_a_question_that_is_denied_registers_none(clock: ManualClock) -> None:
    """Also where the arbiter denies the post of the question, and not that it is asked."""
    arbiter = Denying("send")
    async with Hub(MemoryStore(), clock=clock, arbiter=arbiter) as hub:
        await with_rule(hub)
        with pytest.raises(AccessDenied):
            await hub.ask("boss", "a/1", "go")
        assert {each.others for each in arbiter.commands if each.name == "send"} == {("a/1",)}
        assert hub.agents.find("a/1") is None


class Slow:
    """Answers when it is let."""

    def __init__(self) -> None:
        self.gate = anyio.Event()

    async def authorize(self, command: Command) -> Allow:
        if command.name in ("open", "ask", "subscribe", "join"):
            await self.gate.wait()
        return Allow()


async def test_two_commands_name_the_same_one(clock: ManualClock) -> None:
    """The first that is carried out registers it; the program may be faster than both."""
    arbiter = Slow()
    async with Hub(MemoryStore(), clock=clock, arbiter=arbiter) as hub:
        await with_rule(hub)
        arbiter.gate.set()
        channel = await hub.channels.open(["boss"])
        arbiter.gate = anyio.Event()
        answers: list[Any] = []

        async def ask(name: str) -> None:
            answers.append((await hub.ask("boss", name, "go")).content)

        async with anyio.create_task_group() as tasks:
            for name in ("a/1", "a/2"):
                tasks.start_soon(hub.channels.open, ["boss", name])
                tasks.start_soon(hub.channels.open, ["boss", name])
                tasks.start_soon(channel.join, name)
                tasks.start_soon(hub.topics.subscribe, name, "*")
                tasks.start_soon(ask, name)
            await until_idle()
            assert [agent.name for agent in hub.agents.list()] == ["boss"]
            await hub.agents.register("a/2", skill="the program's")
            arbiter.gate.set()
        assert [(agent.name, agent.skill) for agent in hub.agents.list()] == [
            ("boss", ""),
            ("a/2", "the program's"),
            ("a/1", "answers"),
        ]
        assert answers == ["here", "here"]
        assert len(hub.channels.list(agent="a/1")) == len(hub.channels.list(agent="a/2"))
        assert not hub.health().problems


async def test_a_cancelled_command_registers_none(clock: ManualClock) -> None:
    arbiter = Slow()
    async with Hub(MemoryStore(), clock=clock, arbiter=arbiter) as hub:
        await with_rule(hub)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.channels.open, ["boss", "a/1"])
            tasks.start_soon(hub.topics.subscribe, "a/2", "*")
            await until_idle()
            tasks.cancel_scope.cancel()
        assert [agent.name for agent in hub.agents.list()] == ["boss"]


async def test_a_refusal_counts_no_channel(clock: ManualClock) -> None:
    """The limit of channels is checked with the names that are to come."""
    arbiter = RuleArbiter({"boss": Rule(channels_max=1)})
    async with Hub(MemoryStore(), clock=clock, arbiter=arbiter) as hub:
        await with_rule(hub)
        await hub.channels.open(["boss", "a/1"])
        with pytest.raises(CommandRejected, match="agent 'boss' has 1 channels open"):
            await hub.channels.open(["boss", "a/2"])
        assert hub.agents.find("a/2") is None
