"""A dashboard opens at once: with the newest rows of a long log, and with boards that were kept."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from test_dashboard_stream import notes, seqs

from hubwire import Hub
from hubwire.board import Board
from hubwire.errors import ConfigurationError
from hubwire.listeners.dashboard import Dashboard
from hubwire.listeners.dashboard._kept_boards import KeptBoards
from hubwire.listeners.dashboard._log_source import LogSource
from hubwire.redaction import Redactor
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock
from support import until
from support.dashboard import Frames, signed_in


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the records that were decoded and redacted since it was cleared."""
    found: list[int] = []
    item = LogSource.item

    def counted(self: LogSource, record: Any) -> Any:
        found.append(record.index)
        return item(self, record)

    monkeypatch.setattr(LogSource, "item", counted)
    return found


async def names(client: httpx2.AsyncClient) -> list[str]:
    """Return what the agents of the board are called, when it has all that there is."""
    answer = await client.get("api/board/agents")
    assert answer.status_code == 200, answer.text
    return sorted(row["name"] for row in answer.json()["rows"])


async def written(store: Any, *agents: str, count: int = 100) -> int:
    """Let a hub work on a store; return the number of its last event."""
    async with Hub(store) as hub:
        for agent in agents:
            await hub.agents.register(agent)
        return await notes(hub, count) + 1  # and the hub has stopped


# --- the newest rows at once ------------------------------------------------------------------------------------------


async def test_a_stream_begins_without_reading_the_whole_log(monkeypatch: pytest.MonkeyPatch, made: list[int]) -> None:
    monkeypatch.setattr("hubwire.listeners.dashboard._log_source._FIRST", 50)
    store = MemoryStore()
    last = await written(store, "coder", count=950)
    async with signed_in(Dashboard.of_log(store)) as client, Frames.of(client, "api/stream?last=20") as frames:
        found = seqs(await frames.rows(last))
        assert found == list(range(found[0], last + 1))
        assert len(set(made)) < 100


async def test_what_is_older_than_memory_comes_from_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire.listeners.dashboard._log_source._FIRST", 50)
    store = MemoryStore()
    last = await written(store, count=950)
    async with signed_in(Dashboard.of_log(store)) as client, Frames.of(client, "api/stream?last=700") as frames:
        assert seqs(await frames.rows(last)) == list(range(last - 700 + 1, last + 1))


async def test_rows_at_the_end_have_the_names_of_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire.listeners.dashboard._log_source._FIRST", 50)
    store = MemoryStore()
    async with Hub(store) as hub:
        agent = await hub.agents.register("coder")
        await notes(hub, 500)
        async with hub.turns.turn(agent):
            pass
    async with signed_in(Dashboard.of_log(store)) as client, Frames.of(client, "api/stream?last=20") as frames:
        rows = (await frames.of_event("rows")).data
        assert "coder" in [row.get("agent") for row in rows]


# --- boards that are kept --------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_board_goes_on_after_what_was_kept(monkeypatch: pytest.MonkeyPatch, made: list[int]) -> None:
    monkeypatch.setattr("hubwire.listeners.dashboard._log_source._FIRST", 50)
    store, keep = MemoryStore(), MemoryStore()
    await written(store, "planner", count=950)
    async with signed_in(Dashboard.of_log(store, keep=keep)) as client:
        assert await names(client) == ["planner"]
    await written(store, "coder", count=10)
    fresh = Dashboard.of_log(store)
    async with signed_in(fresh) as client:
        expected = (await client.get("api/board/agents")).json()
    made.clear()
    dashboard = Dashboard.of_log(store, keep=keep)
    async with signed_in(dashboard) as client:
        assert (await client.get("api/board/agents")).json() == expected
        feed = await dashboard._parts.boards.feed(None)
        assert not feed.board.gaps.rows
        assert 500 not in made


async def test_a_board_of_a_live_hub_is_kept() -> None:
    store, keep = MemoryStore(), MemoryStore()
    found: list[str] = []
    for agent in ("planner", "coder"):
        async with Hub(store) as hub:
            await hub.agents.register(agent)
            async with signed_in(Dashboard(hub, keep=keep)) as client:
                found = await names(client)
    assert found == ["coder", "planner"]
    assert len(await keep.list("/boards")) == 1


@pytest.mark.parametrize("more", [0, 5, 500])
async def test_a_board_of_another_history_is_not_believed(tmp_path: Path, more: int) -> None:
    """A store that was restored from a copy, and has gone on, or not yet, since: its hub is the same."""
    here, copy, keep = tmp_path / "here", tmp_path / "copy", MemoryStore()
    await written(FileStore(here), "planner")
    await anyio.to_thread.run_sync(shutil.copytree, here, copy)
    await written(FileStore(here), "of-the-one-history", count=20)
    async with signed_in(Dashboard.of_log(FileStore(here), keep=keep)) as client:
        assert await names(client) == ["of-the-one-history", "planner"]
    if more:
        await written(FileStore(copy), "of-the-other", count=more)
    async with signed_in(Dashboard.of_log(FileStore(copy), keep=keep)) as client:
        await client.get("api/board/agents")
        expected = ["of-the-other", "planner"] if more else ["planner"]
        with anyio.fail_after(10):
            while await names(client) != expected:  # noqa: ASYNC110 - what was believed at first is made anew
                await asyncio.sleep(0.2)


async def test_a_board_far_back_in_another_history_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place is not in memory: the log itself is asked."""
    monkeypatch.setattr("hubwire.listeners.dashboard._log_source._FIRST", 50)
    await test_a_board_of_another_history_is_not_believed(tmp_path, 500)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"x" * 10,
        b"[" * 100_000,
        lambda content: content[:-1],
        lambda content: content.replace(b"planner", b"planned"),
        lambda content: content[:64] + b"\n" + b'{"board": {"version": 999}, "cursor": "x"}',
    ],
    ids=["empty", "short", "deep", "cut", "flipped", "another-version"],
)
async def test_a_damaged_file_is_not_believed(damaged: Any) -> None:
    store, keep = MemoryStore(), MemoryStore()
    await written(store, "planner")
    async with signed_in(Dashboard.of_log(store, keep=keep)) as client:
        await names(client)
    [name] = await keep.list("/boards")
    content = await keep.read_bytes(f"/boards/{name}")
    await keep.write(f"/boards/{name}", damaged if isinstance(damaged, bytes) else damaged(content))
    async with signed_in(Dashboard.of_log(store, keep=keep)) as client:
        assert await names(client) == ["planner"]
    [name] = await keep.list("/boards")
    assert len(await keep.read_bytes(f"/boards/{name}") or b"") > 500


async def test_a_board_with_less_redacted_is_not_believed() -> None:
    store, keep = MemoryStore(), MemoryStore()
    async with Hub(store) as hub:
        await hub.agents.register("planner")
        for redactor in (Redactor(), Redactor(without=["email"])):
            async with signed_in(Dashboard(hub, keep=keep, redactor=redactor)) as client:
                assert await names(client) == ["planner"]
    assert len(await keep.list("/boards")) == 2


class Failing(MemoryStore):
    """Fails in everything."""

    async def list(self, path: str = "/") -> list[str]:
        raise GeneratorExit

    async def write(self, *args: Any, **kwargs: Any) -> None:
        raise SystemExit(3)


async def test_a_store_that_fails_costs_time_alone() -> None:
    store = MemoryStore()
    await written(store, "planner")
    for _ in range(2):
        async with signed_in(Dashboard.of_log(store, keep=Failing())) as client:
            assert await names(client) == ["planner"]


async def test_of_fifty_hubs_boards_are_kept() -> None:
    keep, clock = MemoryStore(), ManualClock()

    class OfHub:
        def __init__(self, number: int) -> None:
            self.id, self.sort, self.redactor = f"{number:032x}", "log", Redactor.shared()

    for number in range(60):
        for _ in range(2):
            await KeptBoards(keep, OfHub(number), clock).keep(Board(), "cursor")  # type: ignore[arg-type]
            clock.advance(1)
    assert len(await keep.list("/boards")) == 50
    assert await KeptBoards(keep, OfHub(59), clock).find(None) is not None  # type: ignore[arg-type]
    assert await KeptBoards(keep, OfHub(3), clock).find(None) is None  # type: ignore[arg-type]
    assert await KeptBoards(keep, OfHub(59), clock).find("eu") is None  # type: ignore[arg-type]


@pytest.mark.parametrize("keep", ["./boards", 1, object(), b"", True])
def test_what_is_no_store_keeps_no_boards(keep: Any) -> None:
    with pytest.raises(ConfigurationError, match="keep is a store"):
        Dashboard.of_log(MemoryStore(), keep=keep)


# --- boards that no one looks at -------------------------------------------------------------------------------------


async def test_a_board_that_no_one_looks_at_rests_until_the_next_look() -> None:
    clock = ManualClock()
    async with Hub(MemoryStore()) as hub:
        await hub.agents.register("planner")
        dashboard = Dashboard(hub, clock=clock)
        async with signed_in(dashboard) as client:
            assert await names(client) == ["planner"]
            feed = dashboard._parts.boards._feeds[None]
            clock.advance(599)
            await hub.agents.register("coder")
            await until(lambda: feed.board.seq == hub.statistics().applied - 1)
            clock.advance(2)
            await notes(hub, 1)
            await until(lambda: feed._task is not None and feed._task.done())
            seq = feed.board.seq
            await hub.agents.register("tester")
            assert feed.board.seq == seq
            assert await names(client) == ["coder", "planner", "tester"]
            assert not feed.board.gaps.rows


async def test_a_board_of_a_hub_in_memory_does_not_rest() -> None:
    """It could not read later what it has missed."""
    clock = ManualClock()
    async with Hub() as hub:
        dashboard = Dashboard(hub, clock=clock)
        async with signed_in(dashboard) as client:
            assert await names(client) == []
            feed = dashboard._parts.boards._feeds[None]
            clock.advance(100_000)
            last = await notes(hub, 1)
            await until(lambda: feed.board.seq >= last)
