"""What every store promises, as tests: prove your own backend by subclassing.

.. code-block:: python

    class TestMyStore(KnowledgeStoreContract):
        @pytest.fixture
        def store(self, tmp_path: Path) -> KnowledgeStore:
            return MyStore(tmp_path)

The fixture ``store`` returns an empty store, a new one for each test. The tests are ``async`` methods: have them run by
anyio's pytest plugin (``anyio_mode = "auto"``), on asyncio. A store that also has ``hold`` subclasses
:class:`HoldableStoreContract` besides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import anyio
import anyio.to_thread

from ..errors import AlreadyExists, AlreadyRunning, AppendConflict, InvalidPath
from ..ports import HoldableStore, KnowledgeStore

__all__ = ("HoldableStoreContract", "KnowledgeStoreContract")

E = TypeVar("E", bound=BaseException)

NEWS_SECONDS_MAX = 30.0
"""After this time without the change that must be told, a subscription counts as broken."""

REFUSED_PATHS = (
    "/.",
    "/..",
    "/a/../b",
    "a/.",
    "/a@",
    "/a@/b",
    "/a\0b",
    "/a\nb",
    "/\x7f",
    "/\x9f",
    "/\ud800",
    "/" + "x" * 256,
)

PECULIAR_NAMES = (
    " ",
    "...",
    ".hidden",
    "-rf",
    "~",
    "%2F",
    "a b",
    "a+b",
    "a?b#c",
    "a&b=c",
    "a\\b",
    "a:b",
    "*",
    "'\"",
    "@a",
    "A",
    "a",
    "é",
    "e\u0301",
    "\u2028",
    "\ue000",
    "\U0001f600",
    "x" * 255,
)

HOSTILE_TEXT = "lf\ncrlf\r\ncr\rnul\0ls\u2028ps\u2029nel\u0085bom\ufeffe\u0301é\U0001f600 end without a line feed"


class KnowledgeStoreContract:
    """Tests of :class:`~hubwire.ports.KnowledgeStore`."""

    # --- paths ------------------------------------------------------------------------------------------------------

    async def test_every_method_refuses_a_path_that_breaks_the_rules(self, store: KnowledgeStore) -> None:
        async def ignore(_path: str) -> None: ...

        methods: tuple[tuple[Callable[..., Coroutine[Any, Any, object]], tuple[object, ...]], ...] = (
            (store.read, ()),
            (store.read_bytes, ()),
            (store.read_range, (0,)),
            (store.size, ()),
            (store.write, ("x",)),
            (store.append, ("x",)),
            (store.list, ()),
            (store.exists, ()),
            (store.delete, ()),
            (store.on_change, (ignore,)),
        )
        for path in (*REFUSED_PATHS, "/x" * 451):
            for method, arguments in methods:
                with raises(InvalidPath):
                    await method(path, *arguments)
        assert await store.list("/") == []

    async def test_a_file_cannot_be_the_root(self, store: KnowledgeStore) -> None:
        with raises(InvalidPath):
            await store.write("/", "x")
        with raises(InvalidPath):
            await store.append("", "x")
        assert not await store.exists("/")

    async def test_slashes_too_many_or_too_few_name_the_same_file(self, store: KnowledgeStore) -> None:
        await store.write("a//b/", "one")
        assert await store.append("/a/b", " two") == 3
        for path in ("/a/b", "a/b", "//a///b//"):
            assert await store.read(path) == "one two"
            assert await store.size(path) == 7
            assert await store.exists(path)
        assert await store.list("a/") == ["b"]

    async def test_every_name_that_the_rules_allow_is_kept_literally(self, store: KnowledgeStore) -> None:
        for name in PECULIAR_NAMES:
            await store.write(f"/names/{name}", name)
            await store.append(f"/{name}/below", name)
        for name in PECULIAR_NAMES:
            assert await store.read(f"/names/{name}") == name
            assert await store.list(f"/{name}") == ["below"]
        assert await store.list("/names") == sorted(PECULIAR_NAMES)

    async def test_the_longest_path_can_be_written_appended_and_listed(self, store: KnowledgeStore) -> None:
        directory = ("/" + "d" * 255) * 3
        path = f"{directory}/{'f' * (900 - len(directory) - 1)}"
        await store.write(path, "one")
        assert await store.append(path, "two") == 3
        assert await store.list(directory) == [path.rpartition("/")[2]]

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

    # --- on_change --------------------------------------------------------------------------------------------------

    async def test_a_subscription_is_told_of_every_file_at_or_below_its_path(self, store: KnowledgeStore) -> None:
        below, exact, everything = Seen(), Seen(), Seen()
        subscriptions = [
            await store.on_change("/a/", below),
            await store.on_change("a/b", exact),
            await store.on_change("/", everything),
        ]
        for path in ("/a/b", "/a/c/d", "/ab", "/e"):
            await store.append(path, "x")
        for path in ("/a/b", "/a/c/d", "/ab", "/e"):
            await everything.wait_for(path)
        await below.wait_for("/a/b")
        await below.wait_for("/a/c/d")
        await exact.wait_for("/a/b")
        assert set(below.paths) == {"/a/b", "/a/c/d"}
        assert set(exact.paths) == {"/a/b"}
        for subscription in subscriptions:
            await subscription.close()

    async def test_write_append_and_delete_are_all_changes(self, store: KnowledgeStore) -> None:
        await store.write("/a/1", "x")
        await store.write("/a/2", "x")
        for change in (
            lambda: store.write("/a/1", "y"),
            lambda: store.append("/a/1", "z"),
            lambda: store.delete("/a/1"),
            lambda: store.delete("/a"),
        ):
            seen = Seen()
            subscription = await store.on_change("/", seen)
            told = "/a/1" if await store.exists("/a/1") else "/a/2"
            await change()
            await seen.wait_for(told)
            await subscription.close()

    async def test_a_subscription_is_not_told_of_what_was_before_it(self, store: KnowledgeStore) -> None:
        await store.append("/before", "x")
        seen = Seen()
        subscription = await store.on_change("/", seen)
        await store.append("/after", "x")
        await seen.wait_for("/after")
        await subscription.close()
        assert set(seen.paths) == {"/after"}

    async def test_a_subscription_may_begin_before_its_directory_and_outlast_it(self, store: KnowledgeStore) -> None:
        directory, exact = Seen(), Seen()
        subscriptions = [await store.on_change("/a/b", directory), await store.on_change("/a/b/c", exact)]
        for _ in range(3):
            for change in (store.append("/a/b/c", "x"), store.delete("/a")):
                directory.paths.clear()
                exact.paths.clear()
                await change
                await directory.wait_for("/a/b/c")
                await exact.wait_for("/a/b/c")
        for subscription in subscriptions:
            await subscription.close()

    async def test_no_file_is_missed_of_many_that_come_to_be_at_once(self, store: KnowledgeStore) -> None:
        seen = Seen()
        subscription = await store.on_change("/", seen)
        paths = [f"/{n % 3}/{n % 7}/{n}" for n in range(40)]
        await asyncio.gather(*(store.append(path, "x") for path in paths))
        for path in paths:
            await seen.wait_for(path)
        await subscription.close()

    async def test_what_changes_while_a_callback_runs_is_told_after_it(self, store: KnowledgeStore) -> None:
        called, release, again = anyio.Event(), anyio.Event(), anyio.Event()

        async def callback(_path: str) -> None:
            if called.is_set():
                again.set()
            called.set()
            await release.wait()

        subscription = await store.on_change("/a", callback)
        await store.append("/a", "x")
        with anyio.fail_after(NEWS_SECONDS_MAX):
            await called.wait()
            await store.append("/a", "x")
            release.set()
            await again.wait()
        await subscription.close()

    async def test_closing_the_store_ends_its_subscriptions_and_leaves_no_task(self, store: KnowledgeStore) -> None:
        before = asyncio.all_tasks()
        seen = Seen()
        for path in ("/", "/a", "/missing/too"):
            await store.on_change(path, seen)
        await store.append("/a", "x")
        await seen.wait_for("/a")
        await store.aclose()
        assert asyncio.all_tasks() <= before
        seen.paths.clear()
        other = Seen()
        subscription = await store.on_change("/", other)
        await store.append("/b", "x")
        await other.wait_for("/b")
        await subscription.close()
        assert seen.paths == []

    async def test_a_callback_that_hangs_delays_no_writer(self, store: KnowledgeStore) -> None:
        called, release = anyio.Event(), anyio.Event()

        async def hang(_path: str) -> None:
            called.set()
            await release.wait()

        subscription = await store.on_change("/", hang)
        for n in range(20):
            assert await store.append("/a", "x") == n
        with anyio.fail_after(NEWS_SECONDS_MAX):
            await called.wait()
        assert await store.append("/a", "x") == 20
        release.set()
        await subscription.close()

    async def test_a_callback_is_called_one_change_at_a_time(self, store: KnowledgeStore) -> None:
        running = 0
        seen = Seen()

        async def callback(path: str) -> None:
            nonlocal running
            running += 1
            assert running == 1
            await anyio.lowlevel.checkpoint()
            running -= 1
            await seen(path)

        subscription = await store.on_change("/", callback)
        for n in range(10):
            await store.append(f"/{n}", "x")
        for n in range(10):
            await seen.wait_for(f"/{n}")
        await subscription.close()

    async def test_a_closed_subscription_is_told_nothing_more(self, store: KnowledgeStore) -> None:
        closed, other = Seen(), Seen()
        subscription = await store.on_change("/", closed)
        await store.append("/a", "x")
        await closed.wait_for("/a")
        await subscription.close()
        await subscription.close()
        closed.paths.clear()
        last = await store.on_change("/", other)
        await store.append("/b", "x")
        await other.wait_for("/b")
        await last.close()
        assert closed.paths == []

    async def test_closing_a_subscription_ends_a_call_that_is_running(self, store: KnowledgeStore) -> None:
        called = anyio.Event()
        running = False

        async def hang(_path: str) -> None:
            nonlocal running
            running = True
            called.set()
            try:
                await anyio.sleep_forever()
            finally:
                running = False

        subscription = await store.on_change("/", hang)
        await store.append("/a", "x")
        with anyio.fail_after(NEWS_SECONDS_MAX):
            await called.wait()
            await subscription.close()
        assert not running

    async def test_a_callback_may_close_its_own_subscription(self, store: KnowledgeStore) -> None:
        closed = anyio.Event()

        async def close(_path: str) -> None:
            await subscription.close()
            closed.set()

        subscription = await store.on_change("/", close)
        await store.append("/a", "x")
        with anyio.fail_after(NEWS_SECONDS_MAX):
            await closed.wait()

    async def test_a_callback_that_raises_ends_its_own_subscription_only(self, store: KnowledgeStore) -> None:
        calls = 0

        async def fail(_path: str) -> None:
            nonlocal calls
            calls += 1
            raise RuntimeError("the callback of this test fails on purpose")

        seen = Seen()
        failing, sound = await store.on_change("/", fail), await store.on_change("/", seen)
        for path in ("/a", "/b", "/c"):
            await store.append(path, "x")
            await seen.wait_for(path)
        later = Seen()
        last = await store.on_change("/", later)
        await store.append("/d", "x")
        await later.wait_for("/d")
        assert calls == 1
        for subscription in (failing, sound, last):
            await subscription.close()

    # --- life cycle -------------------------------------------------------------------------------------------------

    async def test_a_closed_store_opens_again_when_it_is_used(self, store: KnowledgeStore) -> None:
        await store.aclose()
        await store.append("/a", "one")
        await store.aclose()
        await store.aclose()
        assert await store.append("/a", "two") == 3
        assert await store.read("/a") == "onetwo"

    async def test_a_store_serves_one_loop_after_another(self, store: KnowledgeStore) -> None:
        await store.append("/a", "one ")

        def in_another_loop() -> None:
            asyncio.run(self._append_and_read(store))

        await anyio.to_thread.run_sync(in_another_loop)
        await anyio.to_thread.run_sync(in_another_loop)
        assert await store.read("/a") == "one two two "
        await store.aclose()

    async def _append_and_read(self, store: KnowledgeStore) -> None:
        offset = await store.append("/a", "two ")
        assert await store.read_range("/a", offset) == "two "

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


class HoldableStoreContract:
    """Tests of :class:`~hubwire.ports.HoldableStore`, for a fixture ``store`` that is a ``KnowledgeStore`` as well."""

    async def test_a_path_that_is_held_cannot_be_held_again(self, store: HoldableStore) -> None:
        hold = await store.hold("/journal")
        for path in ("/journal", "journal/"):
            with raises(AlreadyRunning) as caught:
                await store.hold(path)
            assert caught.error.path == "/journal"
            assert caught.error.pid > 0
            assert caught.error.host
            assert caught.error.since.endswith("Z")
        await hold.release()

    async def test_a_path_that_was_released_can_be_held_again(self, store: HoldableStore) -> None:
        first = await store.hold("/journal")
        await first.release()
        second = await store.hold("/journal")
        await first.release()
        with raises(AlreadyRunning):
            await store.hold("/journal")
        await second.release()

    async def test_other_paths_can_be_held_beside_it(self, store: HoldableStore) -> None:
        paths = ("/", "/a", "/a/b", "/ab")
        holds = [await store.hold(path) for path in paths]
        for hold in holds:
            await hold.release()

    async def test_a_hold_can_be_on_a_file_a_directory_or_nothing_and_is_not_to_be_seen(
        self, store: KnowledgeStore
    ) -> None:
        assert isinstance(store, HoldableStore)
        nothing = await store.hold("/missing/too")
        assert await store.list("/") == []
        assert not await store.exists("/missing")
        assert not await store.exists("/")
        await store.append("/d/f", "x")
        file, directory = await store.hold("/d/f"), await store.hold("/d")
        assert await store.append("/d/f", "y") == 1
        await store.write("/d/g", "x")
        assert await store.list("/d") == ["f", "g"]
        for hold in (file, directory, nothing):
            await hold.release()
        assert await store.list("/") == ["d/"]

    async def test_deleting_everything_releases_nothing(self, store: KnowledgeStore) -> None:
        assert isinstance(store, HoldableStore)
        await store.append("/d/f", "x")
        holds = [await store.hold(path) for path in ("/d", "/d/f")]
        await store.delete("/d")
        await store.delete("/")
        for path in ("/d", "/d/f"):
            with raises(AlreadyRunning):
                await store.hold(path)
        assert not await store.exists("/")
        for hold in holds:
            await hold.release()

    async def test_closing_the_store_releases_nothing(self, store: KnowledgeStore) -> None:
        assert isinstance(store, HoldableStore)
        hold = await store.hold("/journal")
        await store.aclose()
        with raises(AlreadyRunning):
            await store.hold("/journal")
        await hold.release()
        await (await store.hold("/journal")).release()

    async def test_of_many_who_want_to_hold_a_path_one_does(self, store: HoldableStore) -> None:
        results = await asyncio.gather(*(store.hold("/journal") for _ in range(20)), return_exceptions=True)
        holds = [result for result in results if not isinstance(result, BaseException)]
        assert len(holds) == 1
        assert sum(isinstance(result, AlreadyRunning) for result in results) == 19
        await holds[0].release()


class Seen:
    """A callback that remembers the paths it was told."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self._news = anyio.Event()

    async def __call__(self, path: str) -> None:
        self.paths.append(path)
        self._news.set()
        self._news = anyio.Event()

    async def wait_for(self, path: str) -> None:
        with anyio.fail_after(NEWS_SECONDS_MAX):
            while path not in self.paths:
                await self._news.wait()


class Caught(Generic[E]):
    """The error that :func:`raises` caught."""

    error: E


@contextmanager
def raises(expected: type[E]) -> Iterator[Caught[E]]:
    """Fail unless the block raises ``expected``: a store can be proved without importing pytest."""
    caught: Caught[E] = Caught()
    try:
        yield caught
    except expected as error:
        caught.error = error
        return
    raise AssertionError(f"{expected.__name__} was not raised")
