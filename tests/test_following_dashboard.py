"""The dashboard of a hub that follows: it shows what the leader's shows, and decides, or says where to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hubwire import Event, GenericEvent, Hub
from hubwire.errors import NotApproved
from hubwire.listeners.dashboard import Dashboard
from hubwire.stores import MemoryStore
from hubwire.testing import MemoryHistory, MemorySharedJournal
from support import until
from support.dashboard import Frames, signed_in
from support.forwarding import LossyLink, all_of, hubs_of_one_journal


async def test_a_dashboard_of_a_follower_is_read() -> None:
    """History, live events, agents; over the takeover, without a gap."""
    history = MemoryHistory(MemoryStore(), beat_seconds=0.05)
    leader, follower = (Hub(journal=MemorySharedJournal(history)) for _ in range(2))
    async with leader:
        ann = await leader.agents.register("ann")
        dashboard = Dashboard(follower)
        await follower.follow()
        async with signed_in(dashboard) as client:
            agents = (await client.get("api/board/agents")).json()
            assert [each["name"] for each in agents["rows"]] == ["ann"]
            approval_id = await leader.approvals.request(ann, "delete", arguments={"path": "/"})
            await until(lambda: len(follower.approvals.pending()) == 1)
            shown = await waiting(client, approval_id)
            assert shown["may_decide"] is False
            assert "the hub that leads" in shown["why_not"]
            answer = await client.post(
                f"api/approvals/{approval_id}/decision", json={"verdict": "deny", "reason": "no"}
            )
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_leading")
            assert len(leader.approvals.pending()) == 1
            assert (await client.get("readyz")).status_code == 200
            health = (await client.get("api/health")).json()
            assert health["healthy"]
            async with Frames.of(client) as frames:
                await leader.agents.register("bob")
                await leader.aclose()
                await follower.lead()
                await follower.agents.register("cid")
                rows = await frames.rows(follower.statistics().committed - 1)
                kinds = [each["kind"] for each in rows]
                assert (kinds.count("agent.registered"), kinds.count("hub.started")) == (3, 2)
                assert [each["seq"] for each in rows] == [*range(rows[0]["seq"], rows[-1]["seq"] + 1)]
            shown = (await client.get(f"api/approvals/{approval_id}")).json()
            assert shown["may_decide"] is True, shown["why_not"]
            await follower.aclose()


async def waiting(client: Any, approval_id: str) -> Any:
    """Return an approval when the dashboard has seen it."""
    for _ in range(1000):
        if (shown := await client.get(f"api/approvals/{approval_id}")).status_code == 200:
            return shown.json()
        await asyncio.sleep(0.01)
    raise TimeoutError(approval_id)


async def test_a_dashboard_of_a_follower_that_is_connected_decides() -> None:
    """By the hub that leads, in whose log the person is; also what was decided there meanwhile is said."""
    async with hubs_of_one_journal(LossyLink()) as (leader, follower):
        ann = await leader.agents.register("ann")
        async with signed_in(Dashboard(follower)) as client:

            async def decide(approval_id: str, **answer: Any) -> Any:
                shown = await waiting(client, approval_id)
                assert shown["may_decide"] is True, shown["why_not"]
                return await client.post(f"api/approvals/{approval_id}/decision", json=answer)

            first = await leader.approvals.request(ann, "delete", arguments={"path": "/"})
            decided = await decide(first, verdict="deny", reason="no")
            assert decided.status_code == 200, decided.text
            assert decided.json()["approval"]["state"] == "denied"
            with pytest.raises(NotApproved, match="no"):
                await leader.approvals.wait(first)
            second = await leader.approvals.request(ann, "write")
            assert (await decide(second, verdict="approve")).status_code == 200
            assert (await leader.approvals.wait(second)).approval_id == second
            again = await client.post(f"api/approvals/{second}/decision", json={"verdict": "approve"})
            assert (again.status_code, again.json()["error"]["code"]) == (409, "too_late")
        acted = [event for event in await all_of(leader) if event.kind == "admin.acted"]
        assert [event.action for event in acted] == ["approval.deny", "approval.approve"]
        assert {event.hub for event in acted} == {leader.id}


async def refuse(event: Event) -> None:
    raise ValueError(f"no use for {event.kind}")


async def test_a_dashboard_of_a_follower_has_the_dead_letters_of_the_hub_that_leads() -> None:
    async with hubs_of_one_journal(LossyLink()) as (leader, follower):
        leader.attach(refuse, pattern="x.*", name="sick")
        await leader.emit(GenericEvent(kind="x.y", data={}))
        await until(lambda: leader.dead_letters.statistics().kept == 1)
        async with signed_in(Dashboard(follower)) as client:
            found = (await client.get("api/dead-letters")).json()
            assert found["total"] == 1
            (row,) = found["rows"]
            done = await client.post("api/dead-letters/discard", json={"ids": [row["id"]], "reason": "old"})
            assert (done.status_code, done.json()) == (200, {"done": 1, "failed": []})
            assert not await leader.dead_letters.list()
            assert (await client.get("api/dead-letters")).json() == {"rows": [], "total": 0}


async def test_a_dashboard_says_that_no_hub_has_answered() -> None:
    link = LossyLink()
    async with hubs_of_one_journal(link) as (leader, follower):
        ann = await leader.agents.register("ann")
        approval_id = await leader.approvals.request(ann, "delete")
        connection: Any = follower._connection
        connection._faces.route._silent_seconds_max = 0.1
        link.lose_answers = 1_000_000
        async with signed_in(Dashboard(follower)) as client:
            await waiting(client, approval_id)
            place, given = f"api/approvals/{approval_id}/decision", {"verdict": "deny", "reason": "no"}
            answer = await client.post(place, json=given)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_forwarded")
            assert "look whether it has happened" in answer.text
        link.lose_answers = 0
