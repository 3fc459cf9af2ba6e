"""What every store promises of subscriptions, as tests: KnowledgeStoreContract's part about ``on_change``."""

from __future__ import annotations

import asyncio

import anyio
import anyio.to_thread

from ..ports import KnowledgeStore

NEWS_SECONDS_MAX = 30.0
"""After this time without a change that must be reported, a subscription counts as broken."""


class Seen:
    """A callback that keeps the paths that it was called with."""

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


class ChangesContract:
    """Tests of ``on_change``."""

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
