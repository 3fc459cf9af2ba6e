"""A dashboard beside very many approvals and dead letters: its answers are bounded, and what waits can be done."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from test_dashboard_actions import PEOPLE, TOKENS, as_person, code_of

from hubwire import DeadLetterPolicy, Duty, GenericEvent, Hub
from hubwire._delivery.giving_up import LettersOf
from hubwire.board import Board
from hubwire.events import ApprovalRequested
from hubwire.listeners import AuditLog
from hubwire.listeners.dashboard import Access, Dashboard
from hubwire.stores import FileStore, MemoryStore
from support import AT
from support.dashboard import signed_in

MANY = 100_000
REQUESTED: dict[str, Any] = {
    "agent_id": "a" * 32,
    "action": "refund",
    "arguments": {"n": 1},
    "mode": "gate",
    "digest": "d" * 64,
}


def requested(number: int) -> ApprovalRequested:
    return ApprovalRequested(
        seq=number,
        id=f"{number:032x}",
        at="2026-11-21T09:30:00.000001Z",
        hub="h" * 32,
        approval_id=f"{number:032x}",
        **REQUESTED,
    )


@pytest.mark.slow
def test_a_board_keeps_as_many_approvals_as_may_wait() -> None:
    """Of a hundred thousand the newest; the others are counted, and memory does not grow with them."""
    board = Board()
    for number in range(MANY):
        board.fold(requested(number))
    most = board.limits.approvals
    rows = board.approvals(limit=500)
    assert (len(rows), rows.not_shown) == (500, MANY - 500)
    assert board.hub().approvals_waiting == most
    oldest = board.approval(f"{MANY - most:032x}")
    assert oldest is not None
    assert oldest.state == "waiting"
    assert board.approval(f"{MANY - most - 1:032x}") is None
    assert len(Board.restore(board.snapshot()).approvals()) == most


@pytest.mark.slow
async def test_the_oldest_of_many_approvals_can_be_decided() -> None:
    count = 1500
    async with Hub(MemoryStore()) as hub:
        agent = await hub.agents.register("refunds")
        ids: list[str] = []
        for start in range(0, count, 250):
            asking = (hub.approvals.request(agent, "refund", arguments={"n": start + n}) for n in range(250))
            ids += await asyncio.gather(*asking)
        async with as_person(hub) as client:
            await until_folded(client, hub)
            found = (await client.get("api/board/approvals")).json()
            assert (len(found["rows"]), found["not_shown"]) == (500, count - 500)
            for which in (ids[0], ids[-1]):
                answer = await client.post(f"api/approvals/{which}/decision", json={"verdict": "approve"})
                assert answer.status_code == 200, answer.text
                assert answer.json()["approval"]["state"] == "approved"
            assert code_of(await client.get("api/approvals/nothing")) == "not_found"


async def until_folded(client: Any, hub: Hub) -> None:
    """Wait until the board has all that has happened: its views are made once a second."""
    seq = -1
    while seq < hub.statistics().committed - 1:
        seq = (await client.get("api/board/agents")).json()["seq"]


@pytest.mark.slow
async def test_a_hundred_thousand_dead_letters_are_shown_a_page_at_a_time() -> None:
    kept = 2000
    async with Hub(MemoryStore(), dead_letters=DeadLetterPolicy(count_max=kept)) as hub:
        sick = LettersOf(hub._parts.fanout.letters, "sick", Duty.BEST_EFFORT)
        for n in range(MANY):
            sick.put(GenericEvent(kind="x.y", id=f"{n}", seq=n, at=AT), ValueError(f"no route to j{n}@example.com"))
            if n % 500 == 499:
                await hub.dead_letters.list(limit=1)
        async with as_person(hub) as client:
            first = (await client.get("api/dead-letters")).json()
            assert len(first["rows"]) == 100
            assert first["total"] == kept
            found: list[str] = []
            while rows := (await client.get(f"api/dead-letters?limit=1000&after={(found or [''])[-1]}")).json()["rows"]:
                assert len(rows) == 1000
                found += [row["id"] for row in rows]
            assert len(found) == len(set(found)) == kept
            answer = await client.post("api/dead-letters/discard", json={"ids": found[-100:], "reason": "old"})
            assert answer.json() == {"done": 100, "failed": []}
            assert (await client.get("api/dead-letters")).json()["total"] == kept - 100


# --- a kill between what is said and what is done ---------------------------------------------------------------------

KILLED = """
import os, signal, sys
import anyio, httpx2
from hubwire import Hub
from hubwire.approvals import *
from hubwire.listeners import AuditLog
from hubwire.listeners.dashboard import Access, Dashboard, Person
from hubwire.stores import FileStore

async def main():
    store = FileStore(sys.argv[1])
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        agent = await hub.agents.register("refunds")
        which = await hub.approvals.request(agent, "refund", arguments={"amount": 12})

        async def killed(*_, **__):
            os.kill(os.getpid(), signal.SIGKILL)

        type(hub.approvals).answer = killed  # all that is before it has happened
        person = Person(name="ann", role="operate", token="t" * 30)
        headers = {"Authorization": "Bearer " + "t" * 30}
        async with (
            Dashboard(hub, access=Access([person])).serve(port=0) as url,
            httpx2.AsyncClient(base_url=url, headers=headers, trust_env=False) as client,
        ):
            await client.post(f"api/approvals/{which}/decision", json={"verdict": "approve", "reason": "fine"})

anyio.run(main)
"""


@pytest.mark.slow
async def test_a_kill_before_the_act_leaves_it_undone_and_told(tmp_path: Path) -> None:
    """That a person wanted it is in the log; that it was done is not, and it can be done again."""
    done = await anyio.run_process(
        [sys.executable, "-P", "-c", KILLED, str(tmp_path)], check=False, env=dict(os.environ)
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    store = FileStore(tmp_path)
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        [waiting] = hub.approvals.pending()
        dashboard = Dashboard(hub, access=Access(PEOPLE))
        async with signed_in(dashboard, TOKENS["ann"]) as client:
            found = (await client.get(f"api/approvals/{waiting.approval_id}")).json()
            assert (found["approval"]["state"], found["may_decide"]) == ("waiting", True)
            rows = (await client.get("api/events?kind=admin.*,approval.*")).json()["rows"]
            kinds = [row["kind"] for row in rows]
            assert kinds[-1] == "admin.acted"
            assert "approval.approved" not in kinds
            answer = await client.post(
                f"api/approvals/{waiting.approval_id}/decision", json={"verdict": "deny", "reason": "too much"}
            )
            assert answer.json()["approval"]["state"] == "denied"
            await hub.flush()
            rows = (await client.get("api/events?kind=admin.*,approval.*")).json()["rows"]
            assert [row["kind"] for row in rows][len(kinds) :].count("admin.acted") == 1
    await store.aclose()
