"""Where feeds run, in which thread, loop and process, and what is left of them."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from hubwire import Duty, FeedHandle, FeedState, GenericEvent, Hub, HubThread, scope
from hubwire._feeds import feeds as feeds_module
from hubwire.errors import ConfigurationError, HubClosed
from hubwire.ports import Feed
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder, history
from support import until, until_idle
from support.feeds import Finishing, Idle, Saying, said

# --- where it runs --------------------------------------------------------------------------------------------------


async def test_a_feed_is_in_no_scope() -> None:
    """What it emits has no context of the code that gave the feed, before or after the start."""

    class One:
        async def run(self, hub: Hub) -> None:
            await hub.emit(said())

    recorder = Recorder()
    hub = Hub(listeners=[recorder])
    with scope(correlation_id="outer", session="s"):
        hub.feed(One())
        async with hub:
            with scope(correlation_id="inner"):
                hub.feed(One())
            seen = [await recorder.wait_for("feed.said"), await recorder.wait_for("feed.said", count=2)]
            assert [(event.correlation_id, event.session_id) for event in seen] == [(None, None)] * 2


async def test_a_feed_given_by_a_listener_is_outside_of_it() -> None:
    """What it emits waits for the commit, and has no cause."""
    committed: list[bool] = []

    class One:
        async def run(self, hub: Hub) -> None:
            event = await hub.emit(said())
            committed.append(hub.statistics().committed > event.seq and event.causation_id is None)
            await hub.flush()

    class Giving:
        duty = Duty.REQUIRED
        pattern = "give.it"
        hub: Hub

        def bind(self, hub: Hub) -> None:
            self.hub = hub

        async def on_events(self, events: Sequence[Any]) -> None:
            self.hub.feed(One())

    async with Hub(listeners=[Giving()]) as hub:
        await hub.emit(GenericEvent(kind="give.it"))
        await until(lambda: [each.state for each in hub.feeds] == [FeedState.ENDED])
    assert committed == [True]


async def test_feeds_come_from_any_thread() -> None:
    """Before the start, while it starts and after it, and each runs once, on the hub's loop."""
    threads: list[int] = []

    class Where(Idle):
        async def run(self, hub: Hub) -> None:
            threads.append(threading.get_ident())
            await super().run(hub)

    hub = Hub()
    feeds = [Where() for _ in range(200)]

    def give() -> None:
        for feed in feeds:
            hub.feed(feed)

    giving = asyncio.ensure_future(asyncio.to_thread(give))
    await until(lambda: len(hub.feeds) > 10)
    async with hub:
        await giving
        await until(lambda: len(threads) == 200)
    assert set(threads) == {threading.get_ident()}
    assert all(feed.steps == ["run", "cancelled"] for feed in feeds)


async def test_a_feed_comes_from_another_loop() -> None:
    async with Hub() as hub:
        feed = Idle()

        async def elsewhere() -> None:
            handle = hub.feed(feed)
            with pytest.raises(ConfigurationError, match="another event loop"):
                await handle.remove()

        await asyncio.to_thread(asyncio.run, elsewhere())
        await until(lambda: feed.steps == ["run"])


async def test_threads_that_give_feeds_to_a_closing_hub_are_refused() -> None:
    """Each is taken and ends, or is refused: none is left that waits for ever."""
    hub, has_begun, taken = Hub(), threading.Event(), list[FeedHandle]()

    def give() -> None:
        with contextlib.suppress(HubClosed):
            while True:
                taken.append(hub.feed(Idle()))
                has_begun.set()

    async with hub:
        giving = asyncio.ensure_future(asyncio.to_thread(give))
        await until(has_begun.is_set)
    await giving
    assert all(each.state is FeedState.ENDED for each in taken)


def test_a_hub_in_a_thread_has_feeds() -> None:
    recorder, feed = Recorder(), Finishing()
    with HubThread(Hub(listeners=[recorder])) as thread:
        thread.hub.feed(feed)
    assert feed.steps == ["run", "finish", "finished", "cancelled"]
    assert "feed.said" in [event.kind for event in recorder.events]


async def test_two_hubs_have_feeds_of_their_own() -> None:
    """One object may feed both, and a feed of one may give itself to the other."""
    calls: list[str] = []

    class Both(Idle):
        async def run(self, hub: Hub) -> None:
            calls.append(hub.id)
            await super().run(hub)

    feed = Both()
    async with Hub() as one, Hub() as two:
        one.feed(feed)
        two.feed(feed)
        await until(lambda: len(calls) == 2)
        assert set(calls) == {one.id, two.id}
        await one.feeds[0].remove()
        assert two.feeds[0].state is FeedState.RUNNING


async def test_a_feed_may_run_a_hub_of_its_own() -> None:
    """The inner hub is closed when the outer one cancels its feed."""
    inner = Recorder()

    class Outer:
        async def run(self, hub: Hub) -> None:
            async with Hub(listeners=[inner]) as own:
                await own.emit(said())
                await asyncio.Event().wait()

    async with Hub() as hub:
        hub.feed(Outer())
        await inner.wait_for("feed.said")
    assert inner.events[-1].kind == "hub.stopped"


def test_a_forked_child_gives_no_feeds() -> None:
    program = """
import asyncio, os, sys
from hubwire import Hub
from hubwire.errors import ConfigurationError

class Idle:
    async def run(self, hub):
        await asyncio.Event().wait()

def child(hub):
    try:
        hub.feed(Idle())
    except ConfigurationError as error:
        print("forked" in str(error), len(hub.feeds))

async def main():
    async with Hub() as hub:
        hub.feed(Idle())
        await asyncio.sleep(0)
        if (pid := os.fork()) == 0:
            child(hub)
            sys.stdout.flush()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        print(len(hub.feeds), hub.health().healthy)

asyncio.run(main())
"""
    command = [sys.executable, "-P", "-W", "ignore:This process:DeprecationWarning", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stderr, done.stdout.split("\n")) == ("", ["True 1", "1 True", ""])


# --- what is left ---------------------------------------------------------------------------------------------------


async def test_what_a_feed_brought_in_is_there_after_a_restart() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        hub.feed(Finishing())
    async with Hub(store) as hub:
        assert "feed.said" in [event.kind for event in await history(hub)]
        assert hub.feeds == ()


class Quick:
    async def run(self, hub: Hub) -> None: ...


@pytest.mark.slow
async def test_many_feeds_leave_little_behind() -> None:
    """Those that were removed leave nothing, and of those that have returned the last hundred are named."""
    async with Hub() as hub:
        for _ in range(100):
            for _ in range(100):
                hub.feed(Quick())
            await until_idle()
        assert len(hub.feeds) == len(hub.statistics().feeds) == feeds_module.ENDED_MAX
        feeds = hub._parts.feeds.made()
        assert (len(feeds._by_object), len(feeds._leaving)) == (0, 0)
        for handle in hub.feeds:
            await handle.remove()
        assert hub.feeds == ()
        assert len(feeds._returned) <= feeds_module.ENDED_MAX


async def test_health_names_a_bounded_number_of_problems() -> None:
    hub = Hub()
    for _ in range(1000):
        hub.feed(Saying(["a"]))
    async with hub:
        problems = hub.health().problems
        assert len(problems) == 21
        assert "980 more problems" in problems[-1]


def test_a_plain_object_is_a_feed() -> None:
    """As type checkers see it."""
    feed: Feed = Quick()
    assert feed is not None
