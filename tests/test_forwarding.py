"""Commands of a hub that follows: carried out by the hub that leads, once each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import attrs
import pytest

from hubwire import Agent, Channel, Delivery, GenericEvent, Hub
from hubwire.errors import CommandRejected
from hubwire.stores import MemoryStore
from hubwire.testing import LocalLink, history
from support.followers import Replica


@asynccontextmanager
async def two_hubs(link: LocalLink | None = None, **settings: Any) -> AsyncIterator[tuple[Hub, Hub]]:
    """A hub that leads, and one that follows."""
    link = link or LocalLink()
    leader = Hub(**settings)
    leader.connect(link)
    async with leader, Replica(leader, link) as follower:
        yield leader, follower


async def test_a_command_is_carried_out_by_the_hub_that_leads() -> None:
    async with two_hubs() as (leader, follower):
        ann = await follower.agents.register("ann", skill="é")
        bob = await follower.agents.register("bob")
        assert isinstance(ann, Agent)
        assert leader.agents.named("ann") == ann == follower.agents.named("ann")
        assert ann.skill == "é"
        channel = await follower.channels.open([ann, "bob"], topic="t")
        assert isinstance(channel, Channel)
        posted = await channel.post(ann, {"text": "hello", "n": [1, 2.5, None]})
        assert posted == leader._parts.pipeline.ring.slice(posted.seq, posted.seq + 1)[0]
        assert [each.content for each in await channel.history()] == [posted.content]
        await bob.set_skill("x")
        assert bob.skill == leader.agents.named("bob").skill == "x"


async def test_an_error_is_raised_as_there() -> None:
    async with two_hubs() as (leader, follower):
        await leader.agents.register("ann")
        with pytest.raises(CommandRejected) as here:
            await leader.agents.register("ann")
        with pytest.raises(CommandRejected) as there:
            await follower.agents.register("ann")
        assert str(there.value) == str(here.value)
        assert type(there.value) is type(here.value)


# --- once each -------------------------------------------------------------------------------------------------------


class LossyLink(LocalLink):
    """Loses answers, or requests; what it has lost is asked again."""

    def __init__(self) -> None:
        super().__init__()
        self.lose_answers = 0
        self.lose_requests = 0
        self.requests: list[bytes] = []

    async def request(self, body: bytes, seconds: float) -> bytes:
        self.requests.append(body)
        if self.lose_requests:
            self.lose_requests -= 1
            raise TimeoutError
        answer = await super().request(body, seconds)
        if self.lose_answers:
            self.lose_answers -= 1
            raise ConnectionResetError
        return answer


def kinds(hub: Hub) -> list[str]:
    ring = hub._parts.pipeline.ring
    return [event.kind for event in ring.slice(ring.first, ring.applied.value)]


async def test_a_command_whose_answers_are_lost_is_carried_out_once() -> None:
    link = LossyLink()
    async with two_hubs(link) as (leader, follower):
        link.lose_requests, link.lose_answers = 1, 3
        ann = await follower.agents.register("ann")
        assert [each.id for each in leader.agents.list()] == [ann.id]
        assert kinds(leader).count("follower.commanded") == 1
        assert len(link.requests) == 5
        link.lose_answers = 2
        with pytest.raises(CommandRejected, match="taken|already"):
            await follower.agents.register("ann")


CALLS: dict[str, Callable[[Hub, Any], Awaitable[Any]]] = {
    "agents.register": lambda hub, _: hub.agents.register("new"),
    "channels.open": lambda hub, team: hub.channels.open([team.ann, team.bob], topic="more"),
    "channel.post": lambda _, team: team.channel.post(team.ann, {"a": [1, "é", {"$": 2}]}),
    "topics.publish": lambda hub, team: hub.topics.publish("a.b", 1.5, sender=team.ann),
    "topics.subscribe": lambda hub, team: hub.topics.subscribe(team.ann, "x.*"),
    "tasks.start": lambda hub, team: hub.tasks.start(team.ann, "work"),
    "timers.after": lambda hub, _: hub.timers.after(1000, "later", {"n": 1}),
    "agent.observe": lambda _, team: team.ann.observe("t", capability="c", ended="completed"),
    "agent.set_skill": lambda _, team: team.ann.set_skill("s"),
    "channel.close": lambda _, team: team.channel.close("over"),
    "hub.emit": lambda hub, _: hub.emit(GenericEvent(kind="my.event", data={"a": (1, 2)})),
    "hub.emit_many": lambda hub, _: hub.emit_many([GenericEvent(kind="my.event", data={"n": n}) for n in range(3)]),
    "approvals.request": lambda hub, team: hub.approvals.request(team.ann, "act"),
    "delivery.ack": lambda _, team: team.delivery.ack(),
}


@attrs.define
class Team:
    ann: Agent
    bob: Agent
    channel: Channel
    delivery: Delivery


async def team_of(hub: Hub) -> Team:
    ann, bob = await hub.agents.register("ann"), await hub.agents.register("bob")
    channel = await hub.channels.open([ann, bob])
    await channel.post(ann, "hello")
    return Team(ann, bob, channel, await anext(bob.inbox()))


@pytest.mark.parametrize("name", CALLS)
async def test_the_next_hub_that_leads_knows_what_came_of_a_command(name: str) -> None:
    """The one before has committed it, and ends before its answer arrives."""
    store, link = MemoryStore(), LossyLink()
    leader = Hub(store)
    leader.connect(link)
    await leader.start()
    replica = Replica(leader, link)
    async with replica as follower:
        team = await team_of(follower)
        before = len(kinds(leader))
        link.lose_answers = 1_000_000
        async with anyio.create_task_group() as tasks:
            results: list[Any] = []

            async def call() -> None:
                results.append(await CALLS[name](follower, team))

            tasks.start_soon(call)
            while "follower.commanded" not in kinds(leader)[before:]:
                await anyio.sleep(0.005)
            await leader._parts.pipeline.until_committed(leader._parts.pipeline.ring.applied.value - 1)
            wanted = kinds(leader)[before:]
            await leader.abort()
            link.lose_answers = 0
            async with Hub(store) as second:
                second.connect(link)
                await replica.follow(second)
                while not results:
                    await anyio.sleep(0.005)
                again = [kind for kind in kinds(second) if kind == "follower.commanded"]
                assert not again
                assert wanted.count("follower.commanded") == 1
                seen = results[0]
                if name == "hub.emit_many":
                    assert [each.data["n"] for each in seen] == [0, 1, 2]
                elif name == "channel.post":
                    assert seen.content == {"a": (1, "é", {"$": 2})}
                    assert [each.content for each in await team.channel.history()] == ["hello", seen.content]
                elif name in ("topics.subscribe", "agent.observe", "delivery.ack"):
                    assert seen is True
                elif name == "agents.register":
                    assert second.agents.named("new") == seen
                elif name == "channels.open":
                    assert second.channels.get(seen.id).topic == seen.topic == "more"
                elif name == "tasks.start":
                    assert seen.is_running
                    assert second.tasks.get(seen.id, "ann").id == seen.id
                elif name == "timers.after":
                    assert second.timers.get(seen.id).entry.payload == {"n": 1}
                elif name == "approvals.request":
                    asked = [event for event in await history(second) if event.kind == "approval.requested"]
                    assert [event.approval_id for event in asked] == [seen]


async def test_a_thousand_commands_side_by_side_are_carried_out_once_and_in_order() -> None:
    link = LossyLink()
    async with two_hubs(link) as (leader, follower):
        team = await team_of(follower)
        posted: dict[int, int] = {}

        async def post(number: int) -> None:
            posted[number] = (await team.channel.post(team.ann, number)).seq

        link.lose_answers = 100
        async with anyio.create_task_group() as tasks:
            for number in range(1000):
                tasks.start_soon(post, number)
        assert [each.content for each in await team.channel.history()] == ["hello", *sorted(posted, key=posted.__getitem__)]
        assert sorted(posted) == list(range(1000))
        assert len(leader._parts.state.followers) >= 1
