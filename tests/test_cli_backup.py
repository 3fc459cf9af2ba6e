"""``hubwire backup`` and ``restore``: a copy of a busy store on which a hub starts, or none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from hubwire import BaseHubListener, Duty, Event, Hub, StoreJournal
from hubwire.cli.app import run
from hubwire.cli.backup import back_up, put_back
from hubwire.cli.copying import MANIFEST
from hubwire.errors import ConfigurationError
from hubwire.listeners import AuditLog
from hubwire.stores import FileStore, MemoryStore

BACKUPS = int(os.environ.get("HUBWIRE_TEST_BACKUPS", "12"))
"""How many copies are made of busy stores."""
PER_STORE = 12
"""How many are made of each: its audit log grows all the time, and every copy of it is verified whole."""


class Mirror(BaseHubListener):
    async def on_events(self, events: Sequence[Event]) -> None:
        await anyio.lowlevel.checkpoint()


def busy_hub(store: FileStore | MemoryStore) -> Hub:
    """A hub that rotates, truncates, and takes snapshots all the time."""
    hub = Hub(
        journal=StoreJournal(store, segment_bytes=40_000),
        listeners=[AuditLog(store, rotation=60_000)],
        snapshot_bytes=25_000,
    )
    hub.attach(Mirror(), name="mirror", duty=Duty.DURABLE)
    return hub


async def work(hub: Hub) -> None:
    boss, worker = await hub.agents.register("boss"), await hub.agents.register("worker")
    while True:
        channel = await hub.channels.open([boss, worker])
        for number in range(20):
            await channel.post(boss, {"number": number, "text": "x" * 200})
            async for delivery in worker.inbox():
                await delivery.ack()
                break
        await channel.close()


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, BACKUPS, PER_STORE))
async def test_a_hub_starts_on_every_copy_of_a_busy_store(tmp_path: Path, first: int) -> None:
    """The audit log of the copy holds all that its journal has, and both go on."""
    store = FileStore(tmp_path / "live")
    async with busy_hub(store) as hub, anyio.create_task_group() as tasks:
        tasks.start_soon(work, hub)
        for number in range(min(PER_STORE, BACKUPS - first)):
            before = hub.statistics().committed
            copy, back = FileStore(tmp_path / f"copy {number}"), FileStore(tmp_path / f"back {number}")
            await back_up(store, copy, name="live", target_name="copy")
            await put_back(copy, back, name="copy", target_name="back")
            async with busy_hub(back) as again:
                assert again.health().healthy
                assert again.statistics().committed >= before
                await again.agents.register("one more")
        tasks.cancel_scope.cancel()


@pytest.fixture
async def live() -> MemoryStore:
    store = MemoryStore()
    async with busy_hub(store) as hub:
        await hub.agents.register("one")
    return store


async def test_a_changed_backup_is_not_restored(live: MemoryStore) -> None:
    """Nothing is left of the attempt."""
    copy, target = MemoryStore(), MemoryStore()
    manifest, _ = await back_up(live, copy, name="live", target_name="copy")
    for file in manifest.files:
        content = await copy.read_bytes(file.path) or b""
        for change in (content[:-1], content[:-1] + bytes([content[-1] ^ 1]), None):
            await copy.delete(file.path)
            if change is not None:
                await copy.write(file.path, change)
            with pytest.raises(Exception, match=file.path) as caught:
                await put_back(copy, target, name="copy", target_name="target")
            assert "use another backup" in str(caught.value)
            assert not await target.exists("/")
        await copy.delete(file.path)
        await copy.write(file.path, content)
    await put_back(copy, target, name="copy", target_name="target")


async def test_a_changed_manifest_is_refused(live: MemoryStore) -> None:
    copy, target = MemoryStore(), MemoryStore()
    await back_up(live, copy, name="live", target_name="copy")
    content = await copy.read_bytes(MANIFEST) or b""
    for at in range(0, len(content), 7):
        await copy.write(MANIFEST, content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        with pytest.raises(Exception, match="use another backup"):
            await put_back(copy, target, name="copy", target_name="target")
    await copy.delete(MANIFEST)
    with pytest.raises(Exception, match="not a backup, or one that was not finished"):
        await put_back(copy, target, name="copy", target_name="target")
    assert not await target.exists("/")


async def test_a_target_that_is_not_empty_is_left_alone(live: MemoryStore) -> None:
    target = MemoryStore()
    await target.write("/mine", "x")
    with pytest.raises(ConfigurationError, match="is not empty"):
        await back_up(live, target, name="live", target_name="target")
    with pytest.raises(ConfigurationError, match="is not empty"):
        await put_back(live, target, name="live", target_name="target")
    assert await target.list() == ["mine"]


async def test_a_damaged_store_is_not_backed_up(live: MemoryStore) -> None:
    """A backup on which no hub starts would be found out when it is too late."""
    segment = "/journal/log/00000000000000000000.jsonl"
    content = await live.read_bytes(segment) or b""
    await live.write(segment, content.replace(b'"agent.registered"', b'"agent.registereb"'))
    target = MemoryStore()
    with pytest.raises(Exception, match="hubwire doctor live"):
        await back_up(live, target, name="live", target_name="target")
    assert not await target.exists("/")


def test_the_commands_say_what_they_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def make() -> None:
        async with busy_hub(FileStore(tmp_path / "live")) as hub:
            await hub.agents.register("one")

    anyio.run(make)
    assert run(["backup", f"{tmp_path}/live", f"{tmp_path}/copy"]) == 0
    assert "copied 5 files" in capsys.readouterr().out
    assert run(["restore", f"{tmp_path}/copy", f"{tmp_path}/back"]) == 0
    assert "restored 5 files" in capsys.readouterr().out
    assert run(["verify", f"{tmp_path}/back"]) == 0
    assert run(["backup", f"{tmp_path}/nowhere", f"{tmp_path}/other"]) == 2
    assert "there is no such directory" in capsys.readouterr().err
