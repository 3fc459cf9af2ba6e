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
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.to_thread

from ..errors import AlreadyRunning, InvalidPath
from ..ports import HoldableStore, KnowledgeStore
from ._raises import raises
from ._store_changes import ChangesContract
from ._store_contents import ContentsContract

__all__ = ("HoldableStoreContract", "KnowledgeStoreContract")

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


class KnowledgeStoreContract(ContentsContract, ChangesContract):
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
