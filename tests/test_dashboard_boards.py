"""The boards of a dashboard: what the board of the package shows, once a second, for all who look."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from hubwire import Hub
from hubwire.board import Board
from hubwire.events import GenericEvent
from hubwire.listeners.dashboard import Dashboard
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock
from support.dashboard import signed_in

NAMES = ("agents", "channels", "runs", "tasks", "approvals", "links", "listeners", "troubles")


async def worked(hub: Hub) -> tuple[str, str]:
    """Let two agents talk and work; return the ids of one, and of the channel."""
    planner, coder = await hub.agents.register("planner"), await hub.agents.register("coder")
    channel = await hub.channels.open([planner, coder], topic="fix")
    await channel.post(planner, {"text": "please"}, to=[coder])
    await hub.tasks.start(coder, "fix it")
    with pytest.raises(ValueError, match="boom"):
        async with hub.turns.turn(coder) as turn, turn.tool("read", {"path": "x"}):
            raise ValueError("boom")
    return coder.id, channel.id


async def board_of(client: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    answer = await client.get(f"api/board/{path}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_boards_show_what_the_board_shows() -> None:
    clock = ManualClock()
    async with Hub(MemoryStore(), clock=clock) as hub:
        agent_id, channel_id = await worked(hub)
        async with signed_in(Dashboard(hub, show_content=True, clock=clock)) as client:
            board = Board()
            stream = hub.events(after=-1)
            while stream.behind:
                board.fold_all(await stream.take())
            now = clock.now_ns() / 1e9
            assert (await board_of(client, "agents"))["rows"] == [
                row.to_json() | {"errors_by_minute": list(row.errors_by_minute), "capabilities": list(row.capabilities)}
                for row in board.agents(now=now)
            ]
            for name in NAMES:
                found = await board_of(client, name)
                assert found["seq"] == board.seq
                assert found["now"] == "2026-01-01T00:00:00.000000Z"
                assert len(found["rows"]) == len(getattr(board, name)())
            assert (await board_of(client, f"agents/{agent_id}"))["name"] == "coder"
            lines = (await board_of(client, f"channels/{channel_id}"))["lines"]
            assert [line["text"] for line in lines] == ["please"]
            [run] = [row for row in (await board_of(client, "runs"))["rows"] if row["run_id"].startswith("turn:")]
            waterfall = await board_of(client, f"runs/{run['run_id']}")
            assert [span["family"] for span in waterfall["spans"]] == ["turn", "tool"]


async def test_a_body_is_sent_once_while_it_is_the_same() -> None:
    clock = ManualClock()
    async with Hub(MemoryStore(), clock=clock) as hub, signed_in(Dashboard(hub, clock=clock)) as client:
        first = await client.get("api/board/agents")
        again = await client.get("api/board/agents", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        clock.advance(1)
        await hub.agents.register("coder")
        later = await client.get("api/board/agents", headers={"If-None-Match": first.headers["etag"]})
        assert later.status_code == 200


async def test_a_board_has_what_was_before_it(tmp_path: Any) -> None:
    """A restart of the hub, and names that no event of this life tells."""
    async with Hub(FileStore(tmp_path)) as hub:
        await worked(hub)
    async with Hub(FileStore(tmp_path)) as hub, signed_in(Dashboard(hub)) as client:
        names = {row["name"] for row in (await board_of(client, "agents"))["rows"]}
        assert names == {"planner", "coder"}


async def test_counts_are_over_time() -> None:
    async with Hub(MemoryStore()) as hub, signed_in(Dashboard(hub)) as client:
        await hub.emit(GenericEvent(kind="a.done", data={}))
        for per, width in (("second", 1), ("minute", 60), ("hour", 3600)):
            found = await board_of(client, f"counts?per={per}&buckets=5")
            assert (found["width_seconds"], len(found["buckets"])) == (width, 5)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("nothing", 404),
        ("nothing/x", 404),
        ("tasks/x", 404),
        ("agents/x", 404),
        ("channels/%00", 400),
        ("runs/" + "x" * 1500, 400),
        ("agents?limit=0", 400),
        ("agents?limit=1e3", 400),
        ("agents?limit=99999999999999999999999", 400),
        ("agents?limit=٣", 400),
        ("counts?per=year", 400),
        ("counts?buckets=-1", 400),
        ("agents?tenant=%0a", 400),
    ],
)
async def test_what_cannot_be_shown_is_refused(path: str, status: int) -> None:
    async with Hub() as hub, signed_in(Dashboard(hub)) as client:
        answer = await client.get(f"api/board/{path}")
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["message"]


async def test_boards_of_many_tenants_are_let_go() -> None:
    """Names of tenants that nobody has are no way to fill the memory."""
    async with Hub() as hub:
        dashboard = Dashboard(hub)
        async with signed_in(dashboard) as client:
            for number in range(60):
                assert (await client.get(f"api/board/agents?tenant=t{number}")).status_code == 200
            assert len(dashboard._parts.boards) <= 51


async def test_only_what_there_is_can_be_asked_for() -> None:
    async with Hub() as hub, signed_in(Dashboard(hub)) as client:
        assert (await client.post("api/board/agents", json={})).status_code == 405
        assert (await client.put("api/board/agents", json={})).status_code == 405
        assert (await client.get("api/nothing")).status_code == 404
        assert (await client.post("", json={})).status_code == 405
