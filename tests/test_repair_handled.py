"""What a listener with a narrow pattern has handled is brought back with the positions by ``hubwire repair``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from hubwire import BaseHubListener, Duty, Hub, StoreJournal
from hubwire.cli.app import run
from hubwire.stores import FileStore


async def opened(root: Path, work: Callable[[StoreJournal], Awaitable[Any]]) -> Any:
    store = FileStore(root)
    journal = StoreJournal(store)
    await journal.open()
    try:
        return await work(journal)
    finally:
        await journal.aclose()
        await store.aclose()


def kept(root: Path) -> dict[str, Any]:
    """Return the positions as they are kept, and the end of the journal as ``next``."""

    async def read(journal: StoreJournal) -> dict[str, Any]:
        return {"next": journal.next_seq, **msgspec.json.decode((await journal.kept())["positions"])}

    fields: dict[str, Any] = anyio.run(opened, root, read)
    return fields


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store that says of a listener that it has handled events which the journal does not hold."""

    async def live() -> None:
        store = FileStore(tmp_path)
        async with Hub(store) as hub:
            hub.attach(BaseHubListener(), name="mirror", duty=Duty.DURABLE)
            await hub.agents.register("one")
        await store.aclose()

    async def go_ahead(journal: StoreJournal) -> None:
        fields = msgspec.json.decode((await journal.kept())["positions"])
        fields["handled"] = {"mirror": [journal.next_seq + 50, 1], "ahead": [journal.next_seq + 50, journal.next_seq]}
        await journal.keep("positions", msgspec.json.encode(fields))

    anyio.run(live)
    anyio.run(opened, tmp_path, go_ahead)
    return tmp_path


def test_an_accepted_loss_brings_back_what_was_handled(root: Path) -> None:
    """Otherwise the events that come next under these numbers would be skipped."""
    assert run(["repair", str(root), "accept-loss", "--reason", "an older disk"]) == 0
    fields = kept(root)
    assert fields["handled"] == {"mirror": [fields["next"], 1]}
    assert fields["positions"]["mirror"] <= fields["next"]


def test_a_forgotten_name_has_handled_nothing(root: Path) -> None:
    assert run(["repair", str(root), "forget", "mirror"]) == 0
    assert "mirror" not in kept(root)["handled"]
