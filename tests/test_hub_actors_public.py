"""What users meet around actors: the hub as an agent has it, handles of members, public names for every object."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import hubwire
from hubwire import ActingHub, Agent, BaseActor, GenericEvent, Hub, Turn
from hubwire.errors import CommandRejected, ConfigurationError


class Curious(BaseActor):
    """Keeps what it is given as its hub."""

    def __init__(self) -> None:
        self.hubs: list[ActingHub] = []
        self.turns: list[Turn] = []
        self.has_handled = anyio.Event()

    async def on_start(self, hub: ActingHub, agent: Agent) -> None:
        self.hubs.append(hub)
        await hub.emit(GenericEvent(kind="actor.prepared"))

    async def on_envelope(self, turn: Turn, /) -> None:
        self.hubs.append(turn.hub)
        self.turns.append(turn)
        self.has_handled.set()


async def test_an_actor_gets_the_hub_as_its_agent_has_it() -> None:
    actor = Curious()
    async with Hub() as hub:
        handle = await hub.spawn(actor)
        boss = await hub.agents.register("boss")
        await (await hub.channels.open([boss, handle.agent])).post(boss, "go")
        await actor.has_handled.wait()
        assert [(each.agent, each.id) for each in actor.hubs] == [(handle.agent, hub.id)] * 2


async def test_the_members_of_a_group_are_handles() -> None:
    async with Hub() as hub:
        team = hub.supervise("team")
        first, second = await team.spawn(Curious(), name="first"), await team.spawn(Curious(), name="second")
        assert [member.name for member in team.members] == ["first", "second"]
        await team.members[0].stop()
        assert [member.agent for member in team.members] == [second.agent]
        assert not first.is_running
        await team.stop()
        assert team.is_stopped
        assert team.members == ()
        with pytest.raises(CommandRejected, match="has stopped"):
            await team.spawn(Curious(), name="third")


async def test_every_object_that_users_meet_has_a_public_name() -> None:
    actor = Curious()
    async with Hub() as hub:
        handle = await hub.spawn(actor)
        boss = await hub.agents.register("boss")
        channel = await hub.channels.open([boss, handle.agent])
        await channel.post(boss, "go")
        await actor.has_handled.wait()
        task = await hub.tasks.start(boss, "a job")
        met: list[Any] = [
            *(hub.agents, hub.channels, hub.tasks, hub.turns, hub.approvals),
            *(boss, boss.inbox(), channel, task, *hub.tasks.running()),
            *(handle, handle.statistics(), hub.supervise("team")),
            *(actor.turns[0], actor.turns[0].delivery),
        ]
        assert [each for each in met if getattr(hubwire, type(each).__name__, None) is not type(each)] == []


async def test_spawn_refuses_unknown_keywords() -> None:
    async with Hub() as hub:
        with pytest.raises(
            ConfigurationError, match=r"spawn\(\) takes no 'nmae'; an agent is registered with passport"
        ):
            await hub.spawn(BaseActor(), nmae="x")
        group = hub.supervise("group")
        with pytest.raises(ConfigurationError, match=r"spawn\(\) takes no 'nmae'"):
            await group.spawn(BaseActor(), nmae="x")
        assert hub.agents.find("BaseActor") is None
