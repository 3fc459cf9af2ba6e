"""Boards that `hubwire mcp` keeps: the next start has them at once, and never believes one that is not of its log."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire import Hub, codec
from hubwire.cli.caches import cache_in
from hubwire.cli.mcp import log_reads
from hubwire.cli.mcp.log_reads import LogReads
from hubwire.cli.mcp.reading import Board
from hubwire.errors import StoreError
from hubwire.events import TurnEnded, TurnStarted
from hubwire.listeners.audit import AuditLog
from hubwire.stores import FileStore
from support.assistants import assistant

BOARDS: tuple[Board, ...] = ("agents", "channels", "runs", "tasks", "approvals", "links", "troubles")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few events be as many as else thousands are."""
    monkeypatch.setattr(log_reads, "_KEEP_AT_END_EVENTS", 1)


@pytest.fixture
def folded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the events that were decoded."""
    seen: list[int] = []
    decode = codec.decode

    def noted(body: bytes) -> Any:
        event = decode(body)
        seen.append(event.seq)
        return event

    monkeypatch.setattr(codec, "decode", noted)
    return seen


async def _write(root: Path, turns: int, name: str = "ann", tenant: str | None = None) -> None:
    store = FileStore(root)
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        agent = hub.agents.find(name) or await hub.agents.register(name)
        for number in range(turns):
            header: dict[str, Any] = {"agent_id": agent.id, "turn_id": f"{name}-{hub.statistics().applied}"}
            await hub.emit(TurnStarted(prompt=f"{number} {'go on ' * 1_000}", tenant=tenant, **header))
            await hub.emit(TurnEnded(content="done", tenant=tenant, **header))
    await store.aclose()


async def _boards(root: Path, cache: Path | None, tenant: str | None = None) -> list[Any]:
    reads = LogReads(str(root), None, None if cache is None else cache_in(str(cache)))
    try:
        found: list[Any] = [await reads.board(board, tenant, 100) for board in BOARDS]
        for each in found:
            for row in each.rows:
                row.pop("silent_seconds", None)  # until now, of a tenant's
        return [*found, await reads.hub()]
    finally:
        await reads.aclose()


def write(*arguments: Any) -> None:
    anyio.run(_write, *arguments)


def boards(*arguments: Any) -> list[Any]:
    return anyio.run(_boards, *arguments)


def files(cache: Path) -> list[Path]:
    return sorted((cache / "mcp").iterdir()) if (cache / "mcp").exists() else []


def test_the_next_start_goes_on_where_the_board_was_kept(tmp_path: Path, folded: list[int]) -> None:
    store, cache = tmp_path / "store", tmp_path / "cache"
    write(store, 50)
    fresh = boards(store, cache)
    assert len(files(cache)) == 1
    folded.clear()
    assert boards(store, cache) == fresh
    assert len(folded) < 60, "those close before the place at which it goes on"
    write(store, 50, "bob")
    folded.clear()
    more = boards(store, cache)
    assert more == boards(store, None)
    assert len(files(cache)) == 1, "it has replaced the one before"
    assert max(folded) > 200


def test_boards_of_tenants_are_their_own(tmp_path: Path) -> None:
    store, cache = tmp_path / "store", tmp_path / "cache"
    write(store, 3, "ann", "acme")
    write(store, 3, "bob", "other")
    acme = boards(store, cache, "acme")
    everyone = boards(store, cache)
    assert acme != everyone
    assert len(files(cache)) == 2, "hub() is of all"
    assert boards(store, cache, "acme") == acme
    assert boards(store, cache, "other") == boards(store, None, "other")


def test_a_board_of_another_log_is_not_believed(tmp_path: Path) -> None:
    """A log that was begun anew in the same place, shorter and longer; and one that was restored from a copy."""
    store, copy, cache = tmp_path / "store", tmp_path / "copy", tmp_path / "cache"
    write(store, 20)
    shutil.copytree(store, copy)
    write(store, 20)
    boards(store, cache)
    for turns in (5, 60):
        shutil.rmtree(store)
        write(store, turns, "new")
        assert boards(store, cache) == boards(store, None)
    shutil.rmtree(store)
    shutil.copytree(copy, store)
    assert boards(store, cache) == boards(store, None)
    write(store, 60, "other")
    assert boards(store, cache) == boards(store, None)


def test_a_file_that_is_not_as_it_was_written_is_not_believed(tmp_path: Path) -> None:
    store, cache = tmp_path / "store", tmp_path / "cache"
    write(store, 10)
    fresh = boards(store, cache)
    (file,) = files(cache)
    content = file.read_bytes()
    for damaged in (
        b"",
        b"x",
        content[:-1],
        content[:200] + b"#" + content[201:],
        b"0" * 64 + content[64:],
        b"{}" * 99,
    ):
        file.write_bytes(damaged)
        assert boards(store, cache) == fresh
        for each in files(cache):
            each.unlink()
    file.mkdir()
    assert boards(store, cache) == fresh


def test_a_place_that_cannot_be_written_changes_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, cache = tmp_path / "store", tmp_path / "cache"
    write(store, 10)

    async def fails(*_: Any, **__: Any) -> Any:
        raise StoreError("no space left", path="/mcp")

    for name in ("write", "delete"):
        with monkeypatch.context() as patch:
            patch.setattr(FileStore, name, fails)
            assert boards(store, cache) == boards(store, None)
    (tmp_path / "file").write_text("no directory")
    assert boards(store, tmp_path / "file") == boards(store, None)


def test_a_log_that_was_pruned_meanwhile_shows_what_was_read_before(tmp_path: Path) -> None:
    store, cache = tmp_path / "store", tmp_path / "cache"
    write(store, 30)
    before = boards(store, cache)
    for segment in (store / "audit" / "log").iterdir():
        segment.unlink()
    shutil.rmtree(store / "audit")
    after = boards(store, cache)  # the journal alone is left, which is another log
    assert len(after) == len(before)


def test_keeping_nothing_is_a_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    write(store, 3)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))

    async def read(keep: Any) -> None:
        reads = LogReads(str(store), None, keep)
        await reads.board("agents", None, 10)
        await reads.aclose()

    anyio.run(read, cache_in("none"))
    assert not (tmp_path / "home").exists()
    anyio.run(read, cache_in(None))
    assert len(list((tmp_path / "home" / "hubwire" / "mcp").iterdir())) == 1


def test_an_assistant_may_say_where_boards_are_kept(tmp_path: Path) -> None:
    """A short log is read as fast as a board is."""
    store, cache = tmp_path / "store", tmp_path / "cache"
    write(store, 3)

    async def ask() -> Any:
        async with assistant(store, "--keep", str(cache)) as asks:
            return await asks.call("board", view="agents")

    assert anyio.run(ask)["rows"]
    assert files(cache) == []
