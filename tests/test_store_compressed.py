"""Sealed segments, compressed: every reader goes on, a kill anywhere leaves one that is whole."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from obstore.store import MemoryStore as MemoryService

from hubwire import GenericEvent, Hub, StoreJournal
from hubwire.cli.app import run
from hubwire.errors import ConfigurationError, StoreError
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Retention, examine, verify
from hubwire.log import list_segments
from hubwire.ports import (
    CompactableStore,
    CuttableStore,
    EagerStore,
    HoldableStore,
    KnowledgeStore,
    ReservingStore,
)
from hubwire.stores import FileStore, MemoryStore
from hubwire.stores.compressed import compressed
from hubwire.stores.object import ObjectStore
from hubwire.testing.stores import HoldableStoreContract, KnowledgeStoreContract
from support import files_of, outcome, store_of, until_idle
from support.odd import Stranger
from support.pruning import Killed

try:
    from hubwire.stores._zstd import _functions

    _functions()
except ConfigurationError:
    pytest.skip("needs zstandard, which the test extra installs", allow_module_level=True)

SEGMENT = "/a/log/00000000000000000000.jsonl"


class TestCompressedStore(KnowledgeStoreContract, HoldableStoreContract):
    @pytest.fixture
    def store(self) -> KnowledgeStore:
        return compressed(MemoryStore())


class TestCompressedFiles(KnowledgeStoreContract, HoldableStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> KnowledgeStore:
        return compressed(FileStore(tmp_path))


PORTS: tuple[Any, ...] = (HoldableStore, EagerStore, CuttableStore, ReservingStore)


@pytest.mark.parametrize(
    "make",
    [MemoryStore, lambda: FileStore("."), lambda: ObjectStore(MemoryService())],
    ids=["memory", "files", "objects"],
)
def test_it_can_what_the_store_below_can(make: Callable[[], KnowledgeStore]) -> None:
    below = make()
    store = compressed(below)
    assert [isinstance(store, port) for port in PORTS] == [isinstance(below, port) for port in PORTS]
    assert isinstance(store, CompactableStore)
    assert getattr(store, "durability", None) == getattr(below, "durability", None)


async def live(store: KnowledgeStore, events: int = 300) -> None:
    audit = AuditLog(store, rotation=20_000)
    async with Hub(journal=StoreJournal(store, segment_bytes=20_000), listeners=[audit]) as hub:
        for number in range(events):
            await hub.emit(GenericEvent(kind="a.b", data={"n": number, "filling": "x" * 100}))
        compactor = audit._log._segments.compactor
        while compactor._task is not None and not compactor._task.done():
            await anyio.lowlevel.checkpoint()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["memory", "files", "objects"])
async def test_a_hub_lives_on_compressed_segments(name: str, tmp_path: Path) -> None:
    """It is smaller, verifies, and starts again."""
    below: Any = FileStore(tmp_path) if name == "files" else MemoryStore()
    if name == "objects":
        below = ObjectStore(MemoryService(), grace_seconds=0)
    store = compressed(below)
    await live(store)
    await live(store)
    packed = [each for each in await below.list("/audit/log") if each.endswith(".zst")]
    assert len(packed) > 3
    plain = sum(
        [await store.size(f"/audit/log/{first:020d}.jsonl") or 0 for first in await list_segments(store, "/audit")]
    )
    assert plain > 3 * sum(
        len(content) for path, content in (await files_of(below)).items() if path.startswith("/audit")
    )
    assert (await verify(store)).events > 600
    numbers = [record["data"]["n"] for record in await AuditLog(store).read_all() if record["kind"] == "a.b"]
    assert numbers == [*range(300), *range(300)]
    await store.aclose()


async def test_compressed_segments_are_pruned() -> None:
    below = MemoryStore()
    store = compressed(below)
    await live(store)
    audit = AuditLog(store)
    await audit.prune(retention=Retention(segments_max=3))
    await audit.aclose()
    assert len(await below.list("/audit/log")) == 3
    assert (await verify(store)).pruned is not None


async def test_every_range_is_read() -> None:
    content = random.Random(1).randbytes(700_000)
    plain, store = MemoryStore(), compressed(MemoryStore())
    for each in (plain, store):
        await each.write(SEGMENT, content)
    assert isinstance(store, CompactableStore)
    assert await store.uncompacted("/a/log") == [SEGMENT.rpartition("/")[2]]
    assert await store.compact(SEGMENT)
    assert await store.uncompacted("/a/log") == []
    assert await store.size(SEGMENT) == len(content)
    edges = [0, 1, 262_143, 262_144, 262_145, 524_288, 699_999, 700_000, 700_001]
    for start in edges:
        for end in (*edges, None):
            assert await store.read_bytes(SEGMENT, start, end) == await plain.read_bytes(SEGMENT, start, end)
    await store.append(SEGMENT, b"more", expect=len(content))
    assert await store.read_bytes(SEGMENT, 699_990) == content[-10:] + b"more"
    assert await store.list("/a/log") == [SEGMENT.rpartition("/")[2]]
    await store.delete(SEGMENT)
    assert not await store.exists(SEGMENT)


async def test_other_decompressors_read_the_segments() -> None:
    """The frames follow each other, and the table behind them is one that is skipped."""
    zstandard = pytest.importorskip("zstandard")
    content = random.Random(2).randbytes(600_000)
    below = MemoryStore()
    store = compressed(below)
    await store.write(SEGMENT, content)
    assert isinstance(store, CompactableStore)
    await store.compact(SEGMENT)
    packed = await below.read_bytes(f"{SEGMENT}.zst")
    with zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as reader:
        assert reader.read() == content


async def test_a_segment_that_is_pruned_while_it_is_opened_is_missing() -> None:
    """It is not damaged: what reads a log looks then whether it was pruned."""

    class Pruned(MemoryStore):
        async def size(self, path: str) -> int | None:
            size = await super().size(path)
            await self.delete(path)
            return size

    below = Pruned()
    store = compressed(below)
    await store.write(SEGMENT, b"a line\n" * 1000)
    packing = compressed(store_like := MemoryStore())
    await packing.write(SEGMENT, b"a line\n" * 1000)
    assert isinstance(packing, CompactableStore)
    await packing.compact(SEGMENT)
    await below.write(f"{SEGMENT}.zst", await store_like.read_bytes(f"{SEGMENT}.zst") or b"")
    await below.delete(SEGMENT)
    assert await store.read_bytes(SEGMENT) is None
    assert await store.list("/a/log") == []


async def test_a_kill_while_compressing_leaves_the_segment_whole() -> None:
    below = Killed()
    store = compressed(below)
    await store.write(SEGMENT, b"a line\n" * 1000)
    below.states = []
    assert isinstance(store, CompactableStore)
    await store.compact(SEGMENT)
    await store.append(SEGMENT, b"more")
    states = below.states
    assert len(states) == 5
    for number, state in enumerate(states):
        again = compressed(await store_of(state))
        assert await again.read_bytes(SEGMENT) == b"a line\n" * 1000 + (b"more" if number > 2 else b"")
        assert isinstance(again, CompactableStore)
        await again.compact(SEGMENT)
        assert await again.read_bytes(SEGMENT) == b"a line\n" * 1000 + (b"more" if number > 2 else b"")
        assert len(await again.list("/a/log")) == 1


async def test_a_flipped_bit_is_reported() -> None:
    """Wherever it is; no other content is read."""
    below = MemoryStore()
    store = compressed(below)
    await store.write(SEGMENT, b"a line\n" * 1000)
    assert isinstance(store, CompactableStore)
    await store.compact(SEGMENT)
    packed = await below.read_bytes(f"{SEGMENT}.zst")
    assert packed is not None
    for at in range(len(packed)):
        for spoilt in (packed[:at] + bytes([packed[at] ^ 4]) + packed[at + 1 :], packed[:at]):
            await below.write(f"{SEGMENT}.zst", spoilt)
            assert (await outcome(compressed(below).read_bytes(SEGMENT)))[1] in (b"a line\n" * 1000, StoreError)


async def test_a_reader_goes_on_while_a_segment_is_compressed() -> None:
    store = compressed(MemoryStore())
    audit = AuditLog(store, rotation=5000)
    seen: list[int] = []

    async def watch() -> None:
        async for record in audit.tail(start=0):
            seen.extend([record.fields["n"]] if "n" in record.fields else [])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        for number in range(500):
            await audit.append({"n": number})
        await audit.aclose()
        await until_idle()
        assert seen == list(range(500))
        tasks.cancel_scope.cancel()


async def test_a_store_that_is_not_opened_so_says_how() -> None:
    below = MemoryStore()
    await live(compressed(below))
    for call in (AuditLog(below).append({"n": 1}), examine(below), Hub(below).start()):
        with pytest.raises(ConfigurationError, match=r"are compressed: open its store as compressed\(store\)"):
            await call
    assert (await verify(compressed(below, level=None))).holds


def test_the_command_reads_compressed_segments(tmp_path: Path) -> None:
    """A backup holds plain ones; neither it nor a pruning compresses more."""
    live_at, copy, back = (str(tmp_path / name) for name in ("live", "copy", "back"))
    anyio.run(live, compressed(FileStore(live_at)))

    def packed() -> int:
        return len(list((tmp_path / "live").rglob("*.zst")))

    before = packed()
    assert before > 3
    for arguments in (
        ["verify", live_at],
        ["doctor", live_at],
        ["tail", live_at],
        ["show", "1", live_at],
        ["backup", live_at, copy],
        ["restore", copy, back],
        ["verify", back],
    ):
        assert run(arguments) == 0, arguments
    assert not list((tmp_path / "copy").rglob("*.zst"))
    assert packed() == before
    assert run(["prune", live_at, "--segments", "3"]) == 0
    assert packed() < before
    assert run(["verify", live_at]) == 0


@pytest.mark.parametrize("level", [0, 20, "9", 1.5, True, Stranger()], ids=repr)
def test_no_other_level_is_taken(level: Any) -> None:
    with pytest.raises(ConfigurationError, match="level is a number"):
        compressed(MemoryStore(), level=level)


@pytest.mark.parametrize("store", [None, "./data", MemoryStore, Stranger()], ids=repr)
def test_no_other_store_is_taken(store: Any) -> None:
    with pytest.raises(ConfigurationError, match="store is a store"):
        compressed(store)
