"""FileStore and its room: hard links refused, files cut in place, and a reserve for the way out of a full disk."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from hubwire.errors import AppendConflict, ConfigurationError, StoreError, StoreFull
from hubwire.ports import CuttableStore, ReservingStore
from hubwire.stores import FileStore, MemoryStore

# --- hard links -----------------------------------------------------------------------------------------------------


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A root with a file that has a second name outside of it."""
    root = tmp_path / "root"
    asyncio.run(FileStore(root).append("/a/log", "mine"))
    (tmp_path / "elsewhere").hardlink_to(root / "a" / "log")
    return root


def test_a_hard_link_is_neither_read_nor_changed(linked: Path, tmp_path: Path) -> None:
    """Through its other name it is read and changed from outside of the root."""

    async def attempt() -> None:
        store = FileStore(linked)
        for call in (
            lambda: store.read("/a/log"),
            lambda: store.size("/a/log"),
            lambda: store.append("/a/log", "x"),
            lambda: store.write("/a/log", "x"),
            lambda: store.cut("/a/log", 1, expect=4),
        ):
            with pytest.raises(StoreError, match="hard link: its other name is read and changed with it"):
                await call()

    asyncio.run(attempt())
    assert (tmp_path / "elsewhere").read_text() == "mine"


def test_a_copy_in_its_place_is_accepted(linked: Path) -> None:
    """What the error advises helps."""
    file = linked / "a" / "log"
    copy = file.with_name("copy")
    copy.write_bytes(file.read_bytes())
    copy.rename(file)
    assert asyncio.run(FileStore(linked).read("/a/log")) == "mine"


def test_a_file_that_a_crash_left_with_two_names_is_read(tmp_path: Path) -> None:
    """A new file is linked into its place; killed between link and unlink, its first name is left over."""
    asyncio.run(FileStore(tmp_path / "root").write("/a/new", "whole", if_absent=True))
    (tmp_path / "root" / "a" / f"{'0' * 16}.new@").hardlink_to(tmp_path / "root" / "a" / "new")
    assert asyncio.run(FileStore(tmp_path / "root").read("/a/new")) == "whole"


async def test_files_made_side_by_side_are_not_taken_for_links(tmp_path: Path) -> None:
    writer, reader = FileStore(tmp_path / "root"), FileStore(tmp_path / "root")
    for number in range(50):
        path = f"/a/{number}"
        _, found = await asyncio.gather(writer.write(path, "x", if_absent=True), reader.read(path))
        assert found in (None, "x")


# --- cutting --------------------------------------------------------------------------------------------------------


def test_a_file_is_cut_in_place(tmp_path: Path) -> None:
    store, file = FileStore(tmp_path / "root"), tmp_path / "root" / "a"

    async def cut() -> None:
        await store.cut("/a", 4, expect=10)
        assert await store.read("/a") == "0123"
        assert await store.append("/a", "x", expect=4) == 4
        await store.cut("/a", 5, expect=5)

    asyncio.run(store.append("/a", "0123456789"))
    inode = file.stat().st_ino
    asyncio.run(cut())
    assert file.read_text() == "0123x"
    assert file.stat().st_ino == inode


async def test_a_large_file_is_whole_after_it_was_written_through(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "root")
    content = os.urandom((3 << 20) + 17)
    await store.write("/a", content)
    await store.cut("/a", len(content), expect=len(content))
    assert await store.read_bytes("/a") == content


async def test_a_file_of_another_size_is_not_cut(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "root")
    await store.append("/a", "0123")
    for path, expect in (("/a", 5), ("/a", 3), ("/missing", 4), ("/no/where", 4)):
        with pytest.raises(AppendConflict):
            await store.cut(path, 1, expect=expect)
    for size in (5, -1):
        with pytest.raises(ConfigurationError, match="cannot be cut to"):
            await store.cut("/a", size, expect=4)
    assert await store.read("/a") == "0123"
    assert await store.read("/missing") is None


# --- the reserve ----------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(place)]
    mounted = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small tmpfs: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


async def fill(store: FileStore) -> None:
    for size in (64 << 10, 4 << 10, 1):
        while True:
            try:
                await store.append("/ballast", b"x" * size)
            except StoreFull:
                break


async def test_a_full_disk_has_room_for_what_leads_out_of_it(small: Path) -> None:
    """A path is held, and a small file written; the next append finds no more room than before."""
    store = FileStore(small)
    await store.append("/ballast", "x")
    assert await store.keep_reserve()
    await fill(store)
    with pytest.raises(StoreFull):
        await store.append("/ballast", "x" * 8192)
    hold = await store.hold("/journal")
    await store.write("/journal/kept", "1\n")
    assert await store.read("/journal/kept") == "1\n"
    await hold.release()


async def test_without_a_reserve_a_full_disk_has_no_room(small: Path) -> None:
    store = FileStore(small)
    await fill(store)
    assert not await store.keep_reserve()
    with pytest.raises(StoreFull):
        await store.write("/kept", "1\n" * 4096)


async def test_the_reserve_is_made_again_when_there_is_room(small: Path) -> None:
    store = FileStore(small)
    await store.append("/ballast", "x")
    await store.keep_reserve()
    await fill(store)
    with pytest.raises(StoreFull):
        await store.write("/kept", b"x" * (1 << 20))
    assert not await store.keep_reserve()
    await store.delete("/ballast")
    assert await store.keep_reserve()
    await fill(store)
    await store.write("/kept", "1\n" * 4096)
    assert await store.list() == ["ballast", "kept"]


async def test_appends_get_nothing_of_the_reserve(small: Path) -> None:
    """A lock file and one replacement took a little of it; the appends after them must not take the rest."""
    store = FileStore(small)
    await store.append("/ballast", "x")
    await store.keep_reserve()
    await fill(store)
    for number in range(5):
        hold = await store.hold("/journal")
        await store.write(f"/kept-{number}", "1\n")
        await hold.release()
        await fill(store)
        assert await store.read(f"/kept-{number}") == "1\n"


async def test_the_reserve_has_its_size_again_when_there_is_room(small: Path) -> None:
    """Room is given up in small parts, and each comes back."""
    store = FileStore(small)
    await store.append("/ballast", "x")
    await store.keep_reserve()
    reserve = anyio.Path(small / "reserve@")
    size_bytes = (await reserve.stat()).st_size
    await fill(store)
    await store.write("/kept", "1\n")
    assert 0 < (await reserve.stat()).st_size < size_bytes
    await store.delete("/ballast")
    assert await store.keep_reserve()
    assert (await reserve.stat()).st_size >= size_bytes - 4096


async def test_free_room_is_what_appends_can_get(small: Path) -> None:
    store = FileStore(small)
    await store.append("/ballast", "x")
    before = await store.free_bytes()
    await store.append("/ballast", b"x" * (1 << 20))
    assert before - await store.free_bytes() == 1 << 20
    await store.keep_reserve()
    assert await store.free_bytes() < before - (1 << 20)


def test_only_a_disk_has_these(tmp_path: Path) -> None:
    assert isinstance(FileStore(tmp_path), CuttableStore)
    assert isinstance(FileStore(tmp_path), ReservingStore)
    assert not isinstance(MemoryStore(), (CuttableStore, ReservingStore))
