"""FileStore's subscriptions: what the system tells of, what it does not, and what they leave behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
import watchfiles._rust_notify

from hubwire.ports import KnowledgeStore
from hubwire.stores import FileStore
from hubwire.testing._store_changes import Seen
from hubwire.testing.stores import KnowledgeStoreContract

NEVER_SECONDS = 1e6
"""So far apart, looking without a hint finds nothing before the test has failed."""


class TestFileStoreThatPolls(KnowledgeStoreContract):
    """The subscriptions are what is tested here; the rest comes along."""

    @pytest.fixture
    async def store(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KnowledgeStore]:
        monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "1")
        store = FileStore(tmp_path / "root", poll_seconds=0.01)
        yield store
        await store.aclose()


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FileStore]:
    """A store that hears of changes only what the system tells it."""
    monkeypatch.setattr("hubwire.stores._file_changes._SWEEP_SECONDS", NEVER_SECONDS)
    store = FileStore(tmp_path / "root", poll_seconds=NEVER_SECONDS)
    await store.append("/there", "x")
    yield store
    await store.aclose()


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "hubwire-watch"]


async def in_thread(call: object, *arguments: object) -> None:
    assert callable(call)
    await anyio.to_thread.run_sync(lambda: call(*arguments))


async def test_changes_are_reported_without_polling(store: FileStore) -> None:
    seen = Seen()
    subscription = await store.on_change("/", seen)
    for n in range(5):
        await store.append(f"/new/{n}/below", "x")
        await seen.wait_for(f"/new/{n}/below")
    await store.delete("/new")
    await subscription.close()


async def test_changes_of_another_process_are_reported(store: FileStore) -> None:
    seen = Seen()
    subscription = await store.on_change("/log", seen)
    root = Path(store.root)
    await in_thread(os.makedirs, root / "log" / "a" / "b")
    await in_thread((root / "log" / "a" / "b" / "c").write_bytes, b"x")
    await seen.wait_for("/log/a/b/c")
    await in_thread(os.rename, root / "log" / "a", root / "log" / "moved")
    await seen.wait_for("/log/moved/b/c")
    assert seen.paths.count("/log/a/b/c") == 2
    await subscription.close()


async def test_a_move_above_the_path_is_reported(store: FileStore) -> None:
    seen = Seen()
    subscription = await store.on_change("/a/b", seen)
    root = Path(store.root)
    await store.append("/elsewhere/b/c", "x")
    await in_thread(os.rename, root / "elsewhere", root / "a")
    await seen.wait_for("/a/b/c")
    assert seen.paths == ["/a/b/c"]
    await subscription.close()


async def test_files_of_the_store_itself_are_not_reported(store: FileStore) -> None:
    seen = Seen()
    subscription = await store.on_change("/", seen)
    hold = await store.hold("/held")
    await store.write("/replaced", "x")
    await seen.wait_for("/replaced")
    await hold.release()
    await store.append("/last", "x")
    await seen.wait_for("/last")
    assert set(seen.paths) == {"/replaced", "/last"}
    await subscription.close()


async def test_a_later_root_is_watched(tmp_path: Path) -> None:
    store, seen = FileStore(tmp_path / "not" / "yet", poll_seconds=0.01), Seen()
    await store.on_change("/", seen)
    await FileStore(store.root).append("/a", "x")
    await seen.wait_for("/a")
    await store.aclose()


async def test_a_root_that_is_made_again_is_watched(tmp_path: Path) -> None:
    store, seen = FileStore(tmp_path / "root", poll_seconds=0.01), Seen()
    await store.append("/a", "x")
    await store.on_change("/", seen)
    for n in range(3):
        await in_thread(shutil.rmtree, store.root)
        await seen.wait_for("/a")
        seen.paths.clear()
        await FileStore(store.root).append("/a", "y" * n)
        await seen.wait_for("/a")
        seen.paths.clear()
    await store.aclose()


async def test_without_watches_the_store_polls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so once."""
    tried = threading.Semaphore(0)

    def refuse(*_arguments: object) -> None:
        tried.release()
        raise OSError("OS file watch limit reached, in this test")

    monkeypatch.setattr(watchfiles._rust_notify, "RustNotify", refuse)
    store, seen = FileStore(tmp_path, poll_seconds=0.01), Seen()
    await store.on_change("/", seen)
    await store.append("/a", "x")
    await seen.wait_for("/a")
    for _ in range(3):
        await in_thread(tried.acquire)
    await store.aclose()
    assert caplog.text.count("store.watch_failed") == 1


async def test_closing_a_new_subscription_leaves_no_watcher(store: FileStore) -> None:
    await store.on_change("/", Seen())
    await store.aclose()
    assert watchers() == []


async def test_subscriptions_share_a_watcher(store: FileStore) -> None:
    """It ends with the last of them."""
    assert watchers() == []
    subscriptions = [await store.on_change(f"/{n}", Seen()) for n in range(20)]
    (watcher,) = watchers()
    for subscription in subscriptions:
        assert watchers() == [watcher]
        await subscription.close()
    assert watchers() == []
    seen = Seen()
    await store.on_change("/", seen)
    await store.append("/a", "x")
    await seen.wait_for("/a")
    await store.aclose()
    assert watchers() == []


async def test_cancelling_a_new_subscription_leaves_no_watcher(store: FileStore) -> None:
    for steps in range(6):
        beginning = asyncio.ensure_future(store.on_change("/", Seen()))
        for _ in range(steps):
            await asyncio.sleep(0)
        beginning.cancel()
        await asyncio.wait((beginning,))
        if not beginning.cancelled():  # it had begun before
            await beginning.result().close()
    await in_thread(join_all, watchers())
    assert watchers() == []


def join_all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


def test_a_watcher_ends_with_its_loop(tmp_path: Path) -> None:
    store = FileStore(tmp_path)

    async def forget() -> None:
        await store.on_change("/", Seen())

    asyncio.run(forget())
    join_all(watchers())
    asyncio.run(forget())
    join_all(watchers())


def test_a_forgotten_subscription_ends_well(tmp_path: Path) -> None:
    """Importing the store imports no watcher."""
    program = """
import asyncio, sys
from hubwire.stores import FileStore
async def main():
    assert "watchfiles" not in sys.modules
    async def callback(path): ...
    await FileStore(sys.argv[1]).on_change("/", callback)
    await FileStore(sys.argv[1]).append("/a", "x")
    assert "watchfiles" in sys.modules
loop = asyncio.new_event_loop()
main = loop.run_until_complete(main())
import os
os.write(1, b"end")
"""
    command = [sys.executable, "-P", "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=30)
    assert (done.returncode, done.stdout) == (0, b"end")
