"""``hubwire repair`` on positions of earlier versions, which have a file each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
import msgspec
import pytest

from hubwire import BaseHubListener, Duty, Event, GenericEvent, Hub, StoreJournal
from hubwire.cli.app import run
from hubwire.stores import FileStore


class Mirror(BaseHubListener):
    async def on_events(self, events: Sequence[Event]) -> None:
        pass


def work(root: Path) -> None:
    """Let a hub with two DURABLE listeners work on the store, and close it."""

    async def live() -> None:
        store = FileStore(root)
        try:
            hub = Hub(store)
            for name in ("one", "other"):
                hub.attach(Mirror(), name=name, duty=Duty.DURABLE, since="start")
            async with hub:
                for number in range(5):
                    await hub.emit(GenericEvent(kind="work.done", data={"number": number}))
                await hub.flush()
        finally:
            await store.aclose()

    anyio.run(live)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store as earlier versions have left it: each position in a file of its own."""
    root = tmp_path / "data"
    work(root)

    async def make_old() -> None:
        store = FileStore(root)
        try:
            kept = msgspec.json.decode((await StoreJournal(store).kept())["positions"])
            await store.delete("/journal/beside")
            for name, seq in kept["positions"].items():
                position = msgspec.json.encode({"name": name, "hub": kept["hub"], "seq": seq})
                await store.write(f"/journal/positions/{name}", position + b"\n")
        finally:
            await store.aclose()

    anyio.run(make_old)
    return root


def lost(root: Path) -> set[str]:
    return {path.name for path in (root / "lost").rglob("*.lost")}


def test_a_name_with_its_own_file_is_forgotten(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The other one keeps its position."""
    assert run(["repair", str(root), "forget", "one"]) == 0
    capsys.readouterr()
    assert run(["doctor", str(root)]) == 0
    said = capsys.readouterr().out
    assert "other at" in said
    assert "one at" not in said
    assert {"one.lost", "other.lost"} <= lost(root)
    work(root)


@pytest.mark.parametrize("content", [None, b"{", b"[]", b'{"name":"one"}'])
def test_positions_with_own_files_are_brought_back(
    root: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    """One that says nothing is set aside, and the others end where the journal does."""
    segment = next((root / "journal/log").glob("*.jsonl"))
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:-3]))
    (root / "journal/clean").unlink()
    if content is not None:
        (root / "journal/positions/one").write_bytes(content)
    assert run(["doctor", str(root)]) == 1
    assert run(["repair", str(root), "accept-loss", "--reason", "restored from an older disk"]) == 0
    assert "left: see" not in capsys.readouterr().out
    assert run(["doctor", str(root)]) == 0
    assert "other at" in capsys.readouterr().out
    assert {"one.lost", "other.lost"} <= lost(root)
    work(root)
