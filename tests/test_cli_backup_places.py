"""``hubwire backup`` and ``restore`` between kinds of stores, with all that may be in one, also as a hub is killed."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from hubwire import Duty, GenericEvent, Hub, StoreJournal
from hubwire.cli.backup import back_up, put_back
from hubwire.cli.copying import MANIFEST
from hubwire.errors import StoreUnavailable
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import examine
from hubwire.ports import KnowledgeStore
from hubwire.stores import FileStore, MemoryStore
from support import files_of, store_at, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

Make = Callable[[str], KnowledgeStore]


def hub_on(store: KnowledgeStore) -> Hub:
    """A hub with two audit logs, which rotates, truncates and takes snapshots all the time."""
    hub = Hub(
        journal=StoreJournal(store, segment_bytes=8000),
        listeners=[AuditLog(store, rotation=8000)],
        snapshot_bytes=8000,
    )
    hub.attach(AuditLog(store, path="/logs/work", rotation=8000), name="work", pattern="work.*", duty=Duty.DURABLE)
    return hub


async def work(hub: Hub, rounds: int) -> None:
    """Emit events, and for every eighth one that is too long for a record of the audit log."""
    await hub.agents.register(f"agent {hub.statistics().committed}")
    for number in range(rounds):
        await hub.emit(GenericEvent(kind="work.done", data={"number": number, "pad": "x" * 400}))
        if number % 8 == 0:
            await hub.emit(GenericEvent(kind="work.large", data={"text": f"{number} " + "y" * 70_000}))


@pytest.fixture
def make(tmp_path: Path, s3_url: str, prefix: str) -> Callable[[str], Make]:
    """Return what makes a store of a kind by its name."""

    def of(kind: str) -> Make:
        if kind == "file":
            return lambda name: FileStore(tmp_path / name)
        return lambda name: store_at(s3_url, f"{prefix}/{name}")

    return of


@pytest.mark.parametrize(("source", "target"), [("file", "s3"), ("s3", "file"), ("s3", "s3")])
async def test_a_store_is_copied_to_another_kind(make: Callable[[str], Make], source: str, target: str) -> None:
    """It comes back as it was, with its long records, and a hub goes on there."""
    live, copy, back = make(source)("live"), make(target)("copy"), make(source)("back")
    async with hub_on(live) as hub:
        await work(hub, 20)
        await hub.flush()
        committed = hub.statistics().committed
    manifest, report = await back_up(live, copy, name="live", target_name="copy")
    assert {log.path for log in report.logs} == {"/audit", "/logs/work"}
    assert any("/blob/" in file.path for file in manifest.files)
    await put_back(copy, back, name="copy", target_name="back")
    content = {file.path: await live.read_bytes(file.path) for file in manifest.files}
    assert {file.path: await back.read_bytes(file.path) for file in manifest.files} == content
    await _goes_on(back, committed)


async def _goes_on(store: KnowledgeStore, committed: int) -> None:
    """A hub starts with all of these events, works, and its logs verify."""
    async with hub_on(store) as hub:
        await until(lambda: hub.health().healthy)  # listeners may have to catch up
        assert hub.statistics().committed >= committed
        await work(hub, 2)
        await hub.flush()
    for path in ("/audit", "/logs/work"):
        known = await examine(store, path)
        assert not any(verdict.faults for verdict in known.verdicts.values()), known


class BusyStore(MemoryStore):
    """A target; before each of the first files there, the hub of the source does some work."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._hub = hub
        self._left = 6

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        self._left -= 1
        if self._left >= 0:
            await work(self._hub, 3)
        await super().write(path, content, if_absent=if_absent, expect=expect)


@pytest.mark.parametrize("kind", ["file", "s3"])
async def test_a_store_at_work_is_copied(make: Callable[[str], Make], kind: str) -> None:
    """Its hub has events with long records between its files."""
    async with hub_on(make(kind)("live")) as hub:
        await work(hub, 10)
        before = hub.statistics().committed
        copy, back = BusyStore(hub), MemoryStore()
        await back_up(make(kind)("live"), copy, name="live", target_name="copy")
        assert hub.statistics().committed > before + 10
    await put_back(copy, back, name="copy", target_name="back")
    await _goes_on(back, before)


WORKER = """
import anyio
from hubwire.stores import FileStore
from test_cli_backup_places import hub_on, work

async def main():
    async with hub_on(FileStore({root!r})) as hub:
        await work(hub, 30)
        print("at work", flush=True)
        await work(hub, 100_000)

anyio.run(main)
"""


class KillingStore(FileStore):
    """A target; when it is written for this time, the hub of the source is killed."""

    def __init__(self, root: Path, process: Process, writes: int) -> None:
        super().__init__(root)
        self._process = process
        self._writes = writes

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        self._writes -= 1
        if self._writes == 0:
            self._process.kill()
            await self._process.wait()
        await super().write(path, content, if_absent=if_absent, expect=expect)


@pytest.mark.parametrize("writes", [1, 4, 9, 16])
async def test_a_hub_is_killed_while_its_store_is_copied(tmp_path: Path, writes: int) -> None:
    """The copy holds all that the hub had acknowledged when it began, and the killed store itself is copied as well."""
    path = [str(Path(__file__).parent), *sys.path]
    code = f"import sys; sys.path[:0] = {path!r}\n" + WORKER.format(root=str(tmp_path / "live"))
    async with await anyio.open_process([sys.executable, "-P", "-c", code], stderr=None) as process:
        assert process.stdout is not None
        assert await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 99) == b"at work"
        copy, back, live = KillingStore(tmp_path / "copy", process, writes), MemoryStore(), FileStore(tmp_path / "live")
        await back_up(live, copy, name="live", target_name="copy")
        assert process.returncode == -signal.SIGKILL
    await put_back(copy, back, name="copy", target_name="back")
    await _goes_on(back, 30)
    again, back = FileStore(tmp_path / "again"), MemoryStore()
    await back_up(live, again, name="live", target_name="again")
    await put_back(again, back, name="again", target_name="back")
    await _goes_on(back, 30)


class BrokenStore(MemoryStore):
    """A target that fails after so many writes, as an object store does whose network is gone."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self._writes = writes

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        self._writes -= 1
        if self._writes < 0:
            raise StoreUnavailable("the service is gone", path=path)
        await super().write(path, content, if_absent=if_absent, expect=expect)


async def test_a_target_that_fails_holds_no_backup() -> None:
    """Whenever it fails, up to the manifest, which is last: nothing is left, and the store is as it was."""
    live = MemoryStore()
    async with hub_on(live) as hub:
        await work(hub, 20)
        await hub.flush()
    before = await files_of(live)
    for writes in range(len(before) + 1):
        target = BrokenStore(writes)
        with pytest.raises(StoreUnavailable):
            await back_up(live, target, name="live", target_name="target")
        assert not await target.exists("/")
    assert await files_of(live) == before
    target = BrokenStore(len(before) + 1)
    await back_up(live, target, name="live", target_name="target")
    assert set(await files_of(target)) == {MANIFEST, *before}
