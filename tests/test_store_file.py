from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import anyio.to_thread
import pytest

from hubwire.errors import AlreadyRunning, StoreError
from hubwire.ports import HoldableStore
from hubwire.stores import Durability, FileStore
from hubwire.testing.stores import HoldableStoreContract, KnowledgeStoreContract


class TestFileStore(KnowledgeStoreContract, HoldableStoreContract):
    @pytest.fixture(params=[Durability.FSYNC, Durability.NONE])
    async def store(self, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[FileStore]:
        store = FileStore(tmp_path / "root", request.param, poll_seconds=0.01)
        yield store
        await store.aclose()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def tree(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def open_files(root: Path) -> list[str]:
    links = [Path(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]  # noqa: PTH208 - it closes before they are looked at
    return sorted(str(link.readlink()) for link in links if link.is_symlink() and str(root) in str(link.readlink()))


# --- the files ------------------------------------------------------------------------------------------------------


def test_a_constructor_makes_nothing(root: Path) -> None:
    """It needs no loop either."""
    store = FileStore(root)
    assert store.durability is Durability.FSYNC
    assert isinstance(store, HoldableStore)
    assert repr(store) == f"FileStore({str(root)!r}, Durability.FSYNC)"
    assert not root.exists()


def test_reading_makes_nothing(root: Path) -> None:
    async def read(store: FileStore) -> None:
        assert await store.read("/a/b") is None
        assert await store.list() == []
        assert not await store.exists("/")
        await store.delete("/")
        await store.delete("/a/b")

    asyncio.run(read(FileStore(root)))
    assert not root.exists()


def test_a_path_is_a_file_below_the_root(root: Path) -> None:
    async def fill(store: FileStore) -> None:
        await store.append("/audit/log/a.jsonl", "appended\r\n")
        await store.write("/b", b"\xff")

    asyncio.run(fill(FileStore(str(root))))
    assert tree(root) == ["audit", "audit/log", "audit/log/a.jsonl", "b"]
    assert (root / "audit/log/a.jsonl").read_bytes() == b"appended\r\n"
    assert (root / "b").read_bytes() == b"\xff"


def test_a_relative_root_is_fixed_at_first_use(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.mkdir()
    monkeypatch.chdir(root)
    store = FileStore("data")
    asyncio.run(store.append("/a", "x"))
    monkeypatch.chdir("/")
    assert asyncio.run(store.append("/a", "y")) == 1
    assert asyncio.run(store.read("/a")) == "xy"
    assert tree(root) == ["data", "data/a"]


def test_files_are_private_whatever_the_umask(root: Path) -> None:
    async def fill(store: FileStore) -> None:
        await store.append("/a/b/appended", "x")
        await store.write("/a/written", "x")
        await store.write("/a/written", "y")
        await store.write("/a/new", "x", if_absent=True)
        await store.hold("/a/c/held")

    before = os.umask(0)
    try:
        asyncio.run(fill(FileStore(root / "deep")))
    finally:
        os.umask(before)
    for path in (root, *root.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


async def test_writes_of_another_store_are_seen_at_once(root: Path) -> None:
    one, other = FileStore(root), FileStore(root)
    assert await one.append("/a", "1") == 0
    assert await other.append("/a", "2") == 1
    assert await one.append("/a", "3") == 2
    await other.write("/a", "new")
    assert await one.append("/a", "4", expect=3) == 3
    await other.delete("/")
    assert await one.append("/a", "5") == 0
    assert await other.read("/a") == "5"


def test_a_moved_file_is_not_appended_to(root: Path) -> None:
    store = FileStore(root)
    asyncio.run(store.append("/a", "old"))
    (root / "a").rename(root / "a.1")
    assert asyncio.run(store.append("/a", "new")) == 0
    assert (root / "a.1").read_text() == "old"
    (root / "a").unlink()
    (root / "a.1").rename(root / "a")
    assert asyncio.run(store.append("/a", "er")) == 3


def test_the_root_may_be_deleted(root: Path) -> None:
    store = FileStore(root)
    asyncio.run(store.append("/d/a", "x"))
    asyncio.run(store.delete("/"))
    root.rmdir()
    assert asyncio.run(store.append("/d/a", "x")) == 0
    asyncio.run(store.write("/d/b", "x"))


def test_open_files_are_bounded(root: Path) -> None:
    """They are closed with the store."""

    async def append(store: FileStore) -> None:
        await asyncio.gather(*(store.append(f"/{n % 100}", f"{n},") for n in range(1000)))

    store = FileStore(root, Durability.NONE)
    asyncio.run(append(store))
    assert len(open_files(root)) == 64
    assert (root / "7").read_text() == "".join(f"{n}," for n in range(7, 1000, 100))
    asyncio.run(store.aclose())
    assert open_files(root) == []
    assert asyncio.run(store.append("/7", "")) > 0
    assert open_files(root) == [str(root / "7")]
    asyncio.run(store.delete("/7"))
    assert open_files(root) == []


async def test_concurrent_deletions_and_appends_both_succeed(root: Path) -> None:
    store = FileStore(root, Durability.NONE)

    async def write(n: int) -> None:
        for _ in range(30):
            await store.append(f"/a/{n}/b/c", "x")
            await store.write(f"/a/{n}/b/d", "x")

    async def delete() -> None:
        for _ in range(60):
            await store.delete("/a")

    await asyncio.gather(*map(write, range(4)), delete())
    await store.delete("/")
    assert await store.list() == []


# --- links and other things that are no files -----------------------------------------------------------------------


@pytest.fixture
def outside(tmp_path: Path, root: Path) -> Path:
    """A directory outside the root, and links to it and to a file in it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (root / "inside").mkdir(parents=True)
    (root / "link").symlink_to(outside)
    (root / "inside" / "file").symlink_to(outside / "secret")
    (root / "dangling").symlink_to(outside / "missing")
    (root / "up").symlink_to("..")
    return outside


LINKED = ("/link/secret", "/link/new", "/inside/file", "/dangling", "/up/outside/secret", "/link")


async def test_links_are_not_followed(root: Path, outside: Path) -> None:
    store = FileStore(root)
    for path in LINKED:
        for call in (
            lambda path=path: store.read(path),
            lambda path=path: store.read_bytes(path, 0, 1),
            lambda path=path: store.size(path),
            lambda path=path: store.append(path, "x"),
            lambda path=path: store.append(path, ""),
            lambda path=path: store.write(path, "x", expect=0),
            lambda path=path: store.exists(path),
        ):
            with pytest.raises(StoreError, match="symbolic link, which is not followed"):
                await call()
    for path in ("/link", "/up"):
        with pytest.raises(StoreError, match="symbolic link"):
            await store.list(path)
    for path in ("/link/secret", "/up/outside"):
        with pytest.raises(StoreError, match="symbolic link"):
            await store.delete(path)
        with pytest.raises(StoreError, match="symbolic link"):
            await store.hold(path)
    assert await store.list("/") == []
    assert await anyio.to_thread.run_sync(tree, outside) == ["secret"]


async def test_deleting_deletes_links_only(root: Path, outside: Path) -> None:
    """What a link leads to stays."""
    await FileStore(root).delete("/")
    assert await anyio.to_thread.run_sync(tree, root) == []
    assert await anyio.to_thread.run_sync(tree, outside) == ["secret"]


def test_a_new_link_is_not_followed(root: Path, tmp_path: Path) -> None:
    """It has taken the place of an open file."""
    store = FileStore(root)
    asyncio.run(store.append("/a", "x"))
    (root / "a").rename(tmp_path / "moved")
    (root / "a").symlink_to(tmp_path / "moved")
    with pytest.raises(StoreError, match="symbolic link"):
        asyncio.run(store.append("/a", "y"))
    assert (tmp_path / "moved").read_text() == "x"


def test_the_root_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    root.mkdir()
    (tmp_path / "link").symlink_to(root)
    asyncio.run(FileStore(tmp_path / "link").append("/a/b", "x"))
    assert tree(root) == ["a", "a/b"]


@pytest.fixture
def fifo(root: Path) -> Path:
    root.mkdir()
    os.mkfifo(root / "fifo")
    return root / "fifo"


async def test_a_fifo_is_neither_waited_for_nor_listed(root: Path, fifo: Path) -> None:
    store = FileStore(root)
    for call in (lambda: store.read("/fifo"), lambda: store.append("/fifo", "x"), lambda: store.write("/fifo", "x")):
        with pytest.raises(StoreError, match=r"cannot (read|write|append to) '/fifo'"):
            await call()
    assert await store.list() == []


async def test_files_and_directories_do_not_mix(root: Path) -> None:
    """A file below a file, or in place of a directory, is refused and changes nothing."""
    store = FileStore(root)
    await store.append("/a/b", "x")
    for path in ("/a", "/a/b/c", "/a/b/c/d"):
        with pytest.raises(StoreError) as caught:
            await store.append(path, "y")
        assert caught.value.path == path
        assert isinstance(caught.value.__cause__, OSError)
        with pytest.raises(StoreError):
            await store.write(path, "y")
    assert await store.read("/a/b/c") is None
    assert await store.list("/a/b/c") == []
    assert await anyio.to_thread.run_sync(tree, root) == ["a", "a/b"]


def test_impossible_names_are_not_listed(root: Path) -> None:
    root.mkdir()
    for name in (b"ends@", b"line\nfeed", b"not utf-8 \xff", b"fine"):
        Path(os.fsdecode(os.fsencode(root) + b"/" + name)).write_text("x")
    (root / "empty" / "empty").mkdir(parents=True)
    store = FileStore(root)
    assert asyncio.run(store.list()) == ["fine"]
    assert not asyncio.run(store.exists("/empty"))
    (root / "fine").unlink()
    assert not asyncio.run(store.exists("/"))


# --- replacements on their way --------------------------------------------------------------------------------------


def test_leftovers_of_a_crash_are_swept(root: Path) -> None:
    """They are invisible until the next write removes them."""
    store = FileStore(root)
    asyncio.run(store.write("/d/a", "x"))
    leftover = root / "d" / "0123456789abcdef.new@"
    leftover.write_text("half")
    assert asyncio.run(store.list("/d")) == ["a"]
    asyncio.run(FileStore(root).append("/d/a", "y"))
    assert not leftover.exists()
    leftover.write_text("half")
    (root / "d" / "a").unlink()
    assert not asyncio.run(store.exists("/d"))
    asyncio.run(store.delete("/d"))
    assert tree(root) == []


def test_a_refused_write_leaves_nothing_behind(root: Path) -> None:
    async def write(store: FileStore) -> None:
        await store.write("/a", "x")
        for arguments in ({"if_absent": True}, {"expect": 2}):
            with pytest.raises(StoreError):
                await store.write("/a", "y", **arguments)
        with pytest.raises(StoreError):
            await store.write("/new/file", "y", expect=2)

    asyncio.run(write(FileStore(root)))
    assert tree(root) == ["a"]


def test_a_reader_keeps_the_replaced_content(root: Path) -> None:
    store = FileStore(root)
    asyncio.run(store.write("/a", "old"))
    with (root / "a").open() as file:
        asyncio.run(store.write("/a", "new"))
        assert file.read() == "old"


# --- holding --------------------------------------------------------------------------------------------------------


def test_the_lock_file_names_its_holder(root: Path) -> None:
    hold = asyncio.run(FileStore(root).hold("/journal"))
    with (root / "journal.lock@").open() as file:
        holder = json.load(file)
    assert holder["pid"] == os.getpid()
    assert holder["host"] == socket.gethostname()
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()} on {socket.gethostname()}") as caught:
        asyncio.run(FileStore(root).hold("/journal"))
    assert (caught.value.pid, caught.value.host, caught.value.since) == (
        holder["pid"],
        holder["host"],
        holder["since"],
    )
    asyncio.run(hold.release())
    assert tree(root) == []


def test_the_lock_file_of_a_crash_holds_nothing(root: Path) -> None:
    root.mkdir()
    (root / "journal.lock@").write_text('{"pid": 1, "host": "elsewhere", "since": "2026-11-21T00:00:00Z", "longer": 1}')
    asyncio.run(FileStore(root).hold("/journal"))
    assert json.loads((root / "journal.lock@").read_text())["pid"] == os.getpid()


def test_a_hold_can_be_given_back_as_it_was_found(root: Path) -> None:
    """The lock file of a killed process is left; where there was none there is none."""
    hold = asyncio.run(FileStore(root).hold("/journal"))
    asyncio.run(hold.release(as_found=True))
    assert tree(root) == []
    (root / "journal.lock@").write_text(stale := '{"pid": 1, "host": "elsewhere", "since": "then", "longer": 1}')
    hold = asyncio.run(FileStore(root).hold("/journal"))
    assert (root / "journal.lock@").read_text() != stale
    asyncio.run(hold.release(as_found=True))
    assert (root / "journal.lock@").read_text() == stale
    asyncio.run(asyncio.run(FileStore(root).hold("/journal")).release())
    assert tree(root) == []


async def test_a_cancelled_hold_is_released(root: Path) -> None:
    store = FileStore(root)
    for steps in range(10):
        task = asyncio.ensure_future(store.hold("/journal"))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled():
            await task.result().release()
        await store.append("/journal", "")  # in line after the taking, so its end has been told
        await store.append("/journal", "")  # in line after the giving back
        await (await store.hold("/journal")).release()


# --- life cycle -----------------------------------------------------------------------------------------------------


def test_a_store_serves_one_loop_after_another(root: Path) -> None:
    """It is not closed in between."""
    store = FileStore(root)
    for n in range(5):
        assert asyncio.run(store.append("/a", "x")) == n
    del store
    gc.collect()
    assert open_files(root) == []


async def test_closing_waits_for_running_appends(root: Path) -> None:
    store = FileStore(root)
    tasks = [asyncio.ensure_future(store.append("/a", f"{n}\n")) for n in range(50)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await store.aclose()
    assert await FileStore(root).read("/a") == "".join(f"{n}\n" for n in range(50))


async def test_closing_ends_subscriptions(root: Path) -> None:
    store = FileStore(root, poll_seconds=0.001)
    seen: list[str] = []

    async def callback(path: str) -> None:
        seen.append(path)

    before = asyncio.all_tasks()
    await store.on_change("/", callback)
    assert asyncio.all_tasks() != before
    await store.aclose()
    assert asyncio.all_tasks() == before
    assert seen == []


async def test_an_append_may_outlive_its_loop(root: Path) -> None:
    store = FileStore(root)

    async def start() -> None:
        task = asyncio.ensure_future(store.append("/a", "x" * 1_000_000))
        await asyncio.sleep(0)
        task.cancel()

    await anyio.to_thread.run_sync(asyncio.run, start())
    assert await store.append("/a", "y") == 1_000_000
