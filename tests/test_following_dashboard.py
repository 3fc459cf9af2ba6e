"""The dashboard of a hub that follows: it shows what the leader's shows, and says where to decide."""

from __future__ import annotations

from hubwire import Hub
from hubwire.listeners.dashboard import Dashboard
from hubwire.stores import MemoryStore
from hubwire.testing import MemoryHistory, MemorySharedJournal
from support import until
from support.dashboard import Frames, signed_in


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
            shown = (await client.get(f"api/approvals/{approval_id}")).json()
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
