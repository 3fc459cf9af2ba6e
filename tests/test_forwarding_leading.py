"""Commands of a hub that follows, while hubs begin to lead, and end."""

from __future__ import annotations

import anyio
import pytest

from hubwire import Channel, GenericEvent, Hub
from hubwire.errors import (
    ConfigurationError,
    ForwardingFailed,
    HubClosed,
    NotFound,
    NotLeading,
)
from hubwire.stores import MemoryStore
from hubwire.testing import LocalLink, MemoryHistory, MemorySharedJournal
from support import until
from support.followers import Replica
from support.forwarding import LossyLink, all_of, hubs_of_one_journal, team_of


async def test_the_error_says_that_none_answers_and_whether_it_may_have_happened() -> None:
    link = LossyLink()
    leader = Hub()
    async with leader:
        replica = Replica(leader, link)
        replica.connection._faces.route._silent_seconds_max = 0.1
        async with replica as follower:
            with pytest.raises(ForwardingFailed, match=r"no hub has answered for .*none has answered since") as error:
                await follower.agents.register("ann")
            assert not error.value.may_have_happened
            leader.connect(link)
            await follower.agents.register("bob")
            link.lose_answers = 1000
            with pytest.raises(ForwardingFailed, match=r"the last one that did is process \d+ on .*not known") as error:
                await follower.agents.register("cid")
            assert error.value.may_have_happened


async def test_what_was_made_before_goes_on_when_the_hub_comes_to_lead() -> None:
    link = LossyLink()
    leader = Hub()
    leader.connect(link)
    async with leader:
        replica = Replica(leader, link)
        async with replica as follower:
            replica.connection.follow()
            team = await team_of(follower)
            agents, count = follower.agents, len(link.requests)
            replica.is_following = False
            replica.connection.lead()
            assert replica._task is not None
            replica._task.cancel()
            await team.ann.set_skill("alone")
            await agents.register("cid")
            assert type(follower.agents) is not type(agents)
            assert (await follower.channels.open([team.ann, "cid"])).participants
            assert len(link.requests) == count
            assert leader.agents.find("cid") is None


async def test_a_hub_that_follows_a_journal_gives_commands_and_goes_on_when_it_leads() -> None:
    link = LossyLink()
    async with hubs_of_one_journal(link) as (leader, follower):
        ann = await follower.agents.register("ann")
        bob = await follower.agents.register("bob")
        channel = await follower.channels.open([ann, bob])
        posted = await channel.post(ann, "one")
        assert [event.content for event in await channel.history()] == ["one"]
        assert posted in await all_of(leader)
        with pytest.raises(NotFound):
            await follower.topics.subscribe("nobody", "x")
        groups, count = follower.agents, len(link.requests)
        await leader.aclose()
        await follower.lead()
        await until(lambda: follower.agents is not groups)
        await channel.post(ann, "two")
        await groups.register("cid")
        assert type(follower.channels.get(channel.id)) is Channel
        assert len(link.requests) == count
        assert [event.content for event in await all_of(follower) if event.kind == "envelope.posted"] == ["one", "two"]


async def test_commands_under_way_are_carried_out_once_when_another_hub_comes_to_lead() -> None:
    """The follower itself takes the lead, while it gives commands; the hub that led goes on, and is refused."""
    link = LossyLink()
    async with hubs_of_one_journal(link) as (_, follower):
        ann = await follower.agents.register("ann")
        done: list[str] = []

        async def work(name: str) -> None:
            for number in range(30):
                await ann.set_skill(f"{name}{number}")
                done.append(f"{name}{number}")

        async with anyio.create_task_group() as tasks:
            for name in "abcd":
                tasks.start_soon(work, name)
            await until(lambda: len(done) > 20)
            await follower.lead()
        skills = [event.skill for event in await all_of(follower) if event.kind == "agent.skill_set"]
        assert sorted(skills) == sorted(done)
        assert len(skills) == 120


async def test_a_hub_that_follows_and_is_not_connected_says_who_takes_commands() -> None:
    events = MemoryHistory(MemoryStore())
    async with Hub(journal=MemorySharedJournal(events)):
        follower = Hub(journal=MemorySharedJournal(events))
        await follower.follow()
        with pytest.raises(NotLeading):
            await follower.agents.register("ann")
        link = LocalLink()
        follower.connect(link)
        with pytest.raises(ConfigurationError, match="connected already"):
            follower.connect(link)
        with pytest.raises(NotLeading):
            follower.emit_nowait(GenericEvent(kind="my.event", data={}))
        await follower.aclose()
        with pytest.raises(HubClosed):
            await follower.agents.register("ann")


async def test_closing_a_hub_that_follows_ends_the_commands_that_wait() -> None:
    link = LossyLink()
    async with hubs_of_one_journal(link) as (leader, follower):
        await follower.agents.register("ann")
        link.lose_requests = 1_000_000
        failures: list[BaseException] = []

        async def call() -> None:
            try:
                await follower.agents.register("bob")
            except HubClosed as error:
                failures.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await until(lambda: len(link.requests) > 3)
            await follower.aclose()
        assert "closed while it waited" in str(failures[0])
        assert [each.name for each in leader.agents.list()] == ["ann"]
