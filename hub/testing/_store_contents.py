"""What every store promises of files and directories, as tests: the largest part of KnowledgeStoreContract."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.to_thread

from ..errors import AlreadyExists, AppendConflict
from ..ports import KnowledgeStore
from ._raises import raises

HOSTILE_TEXT = "lf\ncrlf\r\ncr\rnul\0ls\u2028ps\u2029nel\u0085bom\ufeffe\u0301é\U0001f600 end without a line feed"


class ContentsContract:
    """Tests of reading, writing, appending, listing and deleting."""

    # --- reading ----------------------------------------------------------------------------------------------------

    async def test_what_is_not_there_reads_as_none_and_its_ranges_as_empty(self, store: KnowledgeStore) -> None:
        await store.write("/directory/file", "x")
        for path in ("/missing", "/missing/too", "/directory", "/"):
            assert await store.read(path) is None
            assert await store.read_bytes(path) is None
            assert await store.read_bytes(path, 5, 7) is None
            assert await store.read_range(path, 0) == ""
            assert await store.size(path) is None

    async def test_ranges_are_bytes_and_are_clamped(self, store: KnowledgeStore) -> None:
        await store.write("/a", b"0123456789")
        for start, end, found in (
            (0, None, b"0123456789"),
            (3, None, b"3456789"),
            (3, 5, b"34"),
            (0, 0, b""),
            (5, 3, b""),
            (8, 99, b"89"),
            (10, None, b""),
            (99, None, b""),
            (99, 199, b""),
        ):
            assert await store.read_bytes("/a", start, end) == found
            assert await store.read_range("/a", start, end) == found.decode()

    async def test_a_negative_range_is_refused(self, store: KnowledgeStore) -> None:
        await store.write("/a", "0123456789")
        for start, end in ((-1, None), (0, -1), (-3, -1)):
            for path in ("/a", "/missing"):
                with raises(ValueError):
                    await store.read_bytes(path, start, end)
                with raises(ValueError):
                    await store.read_range(path, start, end)

    async def test_a_range_that_cuts_a_character_cannot_be_text(self, store: KnowledgeStore) -> None:
        await store.write("/a", "aé")
        assert await store.read_range("/a", 1, 3) == "é"
        assert await store.read_bytes("/a", 1, 2) == b"\xc3"
        with raises(UnicodeDecodeError):
            await store.read_range("/a", 1, 2)

    async def test_what_is_not_utf8_can_only_be_read_as_bytes(self, store: KnowledgeStore) -> None:
        await store.write("/a", b"\xff\x00")
        assert await store.read_bytes("/a") == b"\xff\x00"
        with raises(UnicodeDecodeError):
            await store.read("/a")

    async def test_megabytes_come_back_as_they_went_in(self, store: KnowledgeStore) -> None:
        content = bytes(range(256)) * 16384  # 4 MiB
        await store.write("/a", content)
        assert await store.append("/a", content) == len(content)
        assert await store.read_bytes("/a") == content * 2
        assert await store.read_bytes("/a", 5, len(content) + 5) == content[5:] + content[:5]
        assert await store.read_bytes("/a", len(content) - 1) == content[-1:] + content

    # --- text and bytes ---------------------------------------------------------------------------------------------

    async def test_text_is_kept_to_the_byte(self, store: KnowledgeStore) -> None:
        await store.write("/a", HOSTILE_TEXT)
        size = len(HOSTILE_TEXT.encode())
        assert await store.append("/a", HOSTILE_TEXT) == size
        assert await store.read("/a") == HOSTILE_TEXT * 2
        assert await store.read_bytes("/a") == HOSTILE_TEXT.encode() * 2
        assert await store.read_range("/a", size) == HOSTILE_TEXT
        assert await store.size("/a") == 2 * size

    async def test_text_that_utf8_cannot_hold_is_refused_and_changes_nothing(self, store: KnowledgeStore) -> None:
        await store.write("/a", "before")
        for path in ("/a", "/new", "/new/below"):
            with raises(UnicodeEncodeError):
                await store.write(path, "half a pair \ud83d")
            with raises(UnicodeEncodeError):
                await store.append(path, "half a pair \ude00")
        assert await store.read("/a") == "before"
        assert await store.list("/") == ["a"]

    # --- write ------------------------------------------------------------------------------------------------------

    async def test_write_creates_and_replaces(self, store: KnowledgeStore) -> None:
        for content in ("first, and the longest", "second", "", "third"):
            await store.write("/d/a", content)
            assert await store.read("/d/a") == content
            assert await store.list("/d") == ["a"]

    async def test_a_reader_sees_the_old_content_or_the_new(self, store: KnowledgeStore) -> None:
        contents = [letter * 70_000 for letter in "abcdefgh"]
        await store.write("/a", contents[0])
        done = anyio.Event()

        async def write() -> None:
            for content in contents * 3:
                await store.write("/a", content)
            done.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            while not done.is_set():
                assert await store.read("/a") in contents
                await anyio.lowlevel.checkpoint()

    async def test_write_if_absent_spares_what_is_there(self, store: KnowledgeStore) -> None:
        await store.write("/a", "first", if_absent=True)
        with raises(AlreadyExists) as caught:
            await store.write("/a", "second", if_absent=True)
        assert caught.error.path == "/a"
        assert await store.read("/a") == "first"
        await store.append("/empty", "")
        with raises(AlreadyExists):
            await store.write("/empty", "second", if_absent=True)
        assert await store.read("/empty") == ""

    async def test_of_many_who_create_one_file_one_succeeds(self, store: KnowledgeStore) -> None:
        async def create(content: str) -> bool:
            try:
                await store.write("/a", content, if_absent=True)
            except AlreadyExists:
                return False
            return True

        created = await asyncio.gather(*(create(str(n)) for n in range(20)))
        assert created.count(True) == 1
        assert await store.read("/a") == str(created.index(True))

    async def test_a_write_that_expects_another_size_changes_nothing(self, store: KnowledgeStore) -> None:
        await self._check_conflicts(store, store.write)

    async def test_a_write_that_expects_the_size_replaces(self, store: KnowledgeStore) -> None:
        await store.write("/a", "é", expect=0)
        await store.write("/a", "longer", expect=2)
        assert await store.read("/a") == "longer"
        await store.append("/empty", "")
        await store.write("/empty", "x", expect=0)
        assert await store.read("/empty") == "x"

    # --- append -----------------------------------------------------------------------------------------------------

    async def test_append_returns_the_byte_at_which_the_content_starts(self, store: KnowledgeStore) -> None:
        assert await store.append("/d/a", "é\n") == 0
        assert await store.append("/d/a", b"two\n") == 3
        assert await store.append("/d/a", "three") == 7
        assert await store.size("/d/a") == 12
        assert await store.read("/d/a") == "é\ntwo\nthree"

    async def test_an_empty_append_creates_the_file_and_returns_its_size(self, store: KnowledgeStore) -> None:
        assert await store.append("/a", "") == 0
        assert await store.read("/a") == ""
        assert await store.size("/a") == 0
        assert await store.list("/") == ["a"]
        await store.append("/a", "123")
        assert await store.append("/a", b"") == 3
        assert await store.append("/a", b"", expect=3) == 3

    async def test_an_append_that_expects_another_size_changes_nothing(self, store: KnowledgeStore) -> None:
        await self._check_conflicts(store, store.append)

    async def test_an_append_that_expects_the_size_appends(self, store: KnowledgeStore) -> None:
        assert await store.append("/a", "12", expect=0) == 0
        assert await store.append("/a", "34", expect=2) == 2
        await store.append("/empty", "")
        assert await store.append("/empty", "x", expect=0) == 0
        assert await store.read("/a") == "1234"

    async def test_appends_and_writes_see_each_other(self, store: KnowledgeStore) -> None:
        await store.append("/a", "old")
        await store.write("/a", "new")
        assert await store.append("/a", "er") == 3
        await store.delete("/a")
        assert await store.append("/a", "again") == 0
        await store.write("/a", "x", expect=5)
        assert await store.append("/a", "y", expect=1) == 1
        assert await store.read("/a") == "xy"

    async def test_appends_of_many_neither_interleave_nor_get_lost(self, store: KnowledgeStore) -> None:
        contents = [f"<{n}:{'x' * (n * 37 % 1000)}>" for n in range(100)]
        offsets = await asyncio.gather(*(store.append("/a", content) for content in contents))
        whole = await store.read("/a")
        assert whole is not None
        assert len(whole) == sum(map(len, contents))
        for offset, content in zip(offsets, contents, strict=True):
            assert whole[offset : offset + len(content)] == content

    async def test_appends_to_one_path_land_in_the_order_in_which_they_were_started(
        self, store: KnowledgeStore
    ) -> None:
        contents = [f"{n}\n" for n in range(100)]
        await asyncio.gather(*(store.append(f"/{path}", content) for content in contents for path in "abc"))
        for path in "abc":
            assert await store.read(f"/{path}") == "".join(contents)

    async def test_of_many_appends_that_expect_one_size_one_succeeds(self, store: KnowledgeStore) -> None:
        await store.append("/a", "12345")

        async def append(content: str) -> bool:
            try:
                assert await store.append("/a", content, expect=5) == 5
            except AppendConflict:
                return False
            return True

        appended = await asyncio.gather(*(append(f"{n:03}") for n in range(20)))
        assert appended.count(True) == 1
        assert await store.read("/a") == f"12345{appended.index(True):03}"

    async def test_a_cancelled_append_happens_whole_or_not_at_all(self, store: KnowledgeStore) -> None:
        for steps in range(20):
            task = asyncio.ensure_future(store.append("/a", b"x" * 1000))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait((task,))
        size = await store.append("/a", "end")
        assert size % 1000 == 0
        assert await store.read_bytes("/a") == b"x" * size + b"end"

    # --- list, exists, delete ---------------------------------------------------------------------------------------

    async def test_an_empty_store_holds_nothing(self, store: KnowledgeStore) -> None:
        assert await store.list() == []
        assert await store.list("/") == []
        assert not await store.exists("/")

    async def test_list_names_the_immediate_children_sorted_by_code_point(self, store: KnowledgeStore) -> None:
        paths = ("/b", "/a.x", "/a/1", "/a/2/deep", "/a-b", "/B", "/é", "/\ue000", "/\U0001f600", "/10", "/9")
        for path in paths:
            await store.append(path, "x")
        # The slash counts: "a-b" and "a.x" come before "a/".
        assert await store.list("/") == ["10", "9", "B", "a-b", "a.x", "a/", "b", "é", "\ue000", "\U0001f600"]
        assert await store.list("/a") == ["1", "2/"]
        assert await store.list("/a/2") == ["deep"]
        assert await store.list("/missing") == []
        assert await store.list("/b") == []

    async def test_directories_exist_as_long_as_they_hold_a_file(self, store: KnowledgeStore) -> None:
        await store.append("/a/b/c", "")
        for path in ("/", "/a", "/a/b", "/a/b/c"):
            assert await store.exists(path)
        assert not await store.exists("/a/b/d")
        assert not await store.exists("/a/bb")
        await store.delete("/a/b/c")
        for path in ("/", "/a", "/a/b", "/a/b/c"):
            assert not await store.exists(path)
            assert await store.list(path) == []

    async def test_delete_takes_the_file_or_what_is_below_the_directory_and_nothing_else(
        self, store: KnowledgeStore
    ) -> None:
        for path in ("/a/1", "/a/2/3", "/a/2/4", "/ab", "/a.x", "/b/a"):
            await store.write(path, path)
        await store.delete("/a/2/3")
        assert await store.list("/a/2") == ["4"]
        await store.delete("/a")
        assert await store.list("/") == ["a.x", "ab", "b/"]
        assert await store.read("/ab") == "/ab"
        assert await store.read("/a/1") is None

    async def test_deleting_what_is_missing_is_no_error(self, store: KnowledgeStore) -> None:
        await store.delete("/")
        await store.delete("/a/b")
        await store.append("/a/c", "x")
        await store.delete("/a/b")
        await store.delete("/b")
        assert await store.read("/a/c") == "x"

    async def test_deleting_the_root_empties_the_store(self, store: KnowledgeStore) -> None:
        for path in ("/a", "/b/c", "/d/e/f"):
            await store.append(path, "x")
        await store.delete("/")
        assert await store.list("/") == []
        assert not await store.exists("/")
        assert await store.append("/a", "y") == 0

    async def _check_conflicts(self, store: KnowledgeStore, change: Callable[..., Coroutine[Any, Any, object]]) -> None:
        await store.write("/a", "é")
        await store.append("/empty", "")
        for path, expected, actual in (
            ("/a", 0, 2),
            ("/a", 1, 2),
            ("/a", 3, 2),
            ("/empty", 1, 0),
            ("/missing", 1, None),
            ("/missing/too", 7, None),
        ):
            with raises(AppendConflict) as caught:
                await change(path, "x", expect=expected)
            assert caught.error.path == path
            assert caught.error.expected == expected
            assert caught.error.actual == actual
        assert await store.read("/a") == "é"
        assert await store.read("/empty") == ""
        assert await store.list("/") == ["a", "empty"]
