"""Recorders of hubs that do not go on, and recorders that are closed, or lost, in strange places."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import Any

import anyio
import pytest

from hubwire import BaseHubListener, Duty, Event, FeedState, Hub
from hubwire.errors import HubClosed, StoreFull
from hubwire.runtimes import Recorder, Verdict
from hubwire.runtimes._opening import opened
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder as Heard
from hubwire.testing.runtimes import check_pairs, of
from support import GatedStore, pass_time, until, until_idle

# -- hubs that do not go on --


def one_run(recorder: Recorder, key: str) -> None:
    recorder.begin_turn(key, agent="a", prompt="go")
    recorder.begin_tool(f"{key} tool", "lint", parent=key)
    recorder.end(f"{key} tool", "ok")
    recorder.end(key, "done")


async def test_a_full_disk_holds_the_hub_and_not_the_runtime() -> None:
    """What is said meanwhile waits; what there is no room for is missing whole, and no end of what is there."""
    clock, store, heard = ManualClock(), GatedStore(), Heard()
    async with Hub(store, clock=clock, in_flight_max=8) as hub:
        hub.attach(heard)
        async with Recorder(hub, source="try", queue_max=400) as recorder:
            one_run(recorder, "before")
            await recorder.flush()
            store.error = StoreFull("no space left", path="/journal")
            recorder.begin_turn("open", agent="a")
            for number in range(2_000):
                one_run(recorder, f"run {number}")
                if number % 100 == 0:
                    await until_idle()
            problems = hub.health().problems
            assert any("has left out" in each and "does not know of yet" in each for each in problems), problems
            statistics = recorder.statistics()
            assert statistics.refused == 0
            assert 300 < statistics.waiting <= 400
            assert statistics.dropped > 0
            recorder.end("open", "done")
            store.error = None
            await pass_time(clock, 1)
            await recorder.flush()
            one_run(recorder, "after")
        assert hub.health().healthy, "what was left out is in the log by now"
        assert recorder.statistics().dropped == statistics.dropped, "and stays in the numbers"
    check_pairs(heard.events)
    assert [each for each in heard.events if each.kind.endswith(".abandoned")] == []
    ended = [each.turn_id for each in of(heard.events, "turn.ended")]
    assert {"before", "open", "run 0", "after"} <= set(ended)
    assert sum(each.count for each in of(heard.events, "recording.dropped")) == statistics.dropped


async def test_a_hub_that_fails_for_want_of_space_leaves_the_runtime_alone() -> None:
    clock, store = ManualClock(), GatedStore()
    hub = Hub(store, clock=clock)
    await hub.start()
    recorder = Recorder(hub, source="try")
    store.error = StoreFull("no space left", path="/journal")
    one_run(recorder, "run")
    deciding = asyncio.create_task(recorder.decide("key", "deploy"))
    flushing = asyncio.create_task(recorder.flush())
    await until_idle()
    await pass_time(clock, 61)
    await hub.finished()
    with anyio.fail_after(30):
        verdict = await deciding
        with pytest.raises(HubClosed):
            await flushing
    assert not verdict.is_approved
    assert "could not be asked" in verdict.reason
    one_run(recorder, "after")
    assert recorder.statistics().waiting == 0
    with anyio.fail_after(30):
        await recorder.aclose()


async def test_a_required_listener_that_hangs_holds_the_hub_and_not_the_runtime() -> None:
    go_on = asyncio.Event()

    class Hangs(BaseHubListener):
        duty = Duty.REQUIRED

        async def on_event(self, event: Event) -> None:
            if event.kind.startswith("turn."):
                await go_on.wait()

    heard = Heard()
    async with Hub(listeners=[Hangs(), heard], in_flight_max=4) as hub:
        recorder = Recorder(hub, source="try", queue_max=200)
        for number in range(500):
            one_run(recorder, f"run {number}")
        await until_idle()
        assert recorder.statistics().dropped > 0
        assert of(heard.events, "turn.ended") == []
        recorder.close()
        go_on.set()
        await recorder.aclose()
    check_pairs(heard.events)
    assert recorder.statistics().waiting == 0


# -- closed, and lost, in strange places --


async def test_a_callback_that_is_taken_away_may_close_and_give_another() -> None:
    undone: list[str] = []
    async with Hub() as hub:
        recorder = Recorder(hub, source="try")

        def first() -> None:
            undone.append("first")
            recorder.on_close(lambda: undone.append("given"))
            recorder.close()

        def fails() -> None:
            recorder.on_close(lambda: undone.append("fails"))
            raise ValueError

        recorder.on_close(first)
        recorder.on_close(fails)
        recorder.close()
        recorder.close()
        await recorder.aclose()
        assert sorted(undone) == ["fails", "first", "given"]
        assert recorder.statistics().failures == 1
        recorder.on_close(lambda: undone.append("late"))
        assert undone[-1] == "late", "what is given to one that is closed is taken away at once"
        other = Recorder(hub, source="other")
        other.on_close(lambda: other.on_close(lambda: undone.append("last")))
        other.close()
        assert undone[-1] == "last"


def again_opened(hub: Hub) -> Recorder:
    return opened(hub, "inner", lambda _: None, {}, kind=Recorder)


async def test_a_listener_may_open_record_in_and_close_recorders() -> None:
    heard = Heard()
    recorders: list[Recorder] = []
    async with Hub(listeners=[heard]) as hub:

        @hub.on("turn.ended")
        async def again(event: Event) -> None:
            if event.source == "host" and not recorders:
                for _ in range(3):
                    recorders.append(again_opened(hub))
                    one_run(recorders[-1], "inner run")
                recorders[-1].close()
                recorders.append(again_opened(hub))

        async with Recorder(hub, source="host") as host:
            one_run(host, "outer run")
            await host.flush()
            await heard.wait_for("turn.ended", count=2)
            await until(lambda: len(recorders) == 4)
        await recorders[-1].aclose()
        assert hub.health().problems == ()
    assert [recorders[0] is each for each in recorders] == [True, True, True, False]
    assert recorders[0].statistics().replays == 4
    check_pairs(heard.events)


@pytest.mark.slow
async def test_a_recorder_that_no_code_has_ends_and_leaves_nothing() -> None:
    heard = Heard()
    async with Hub(listeners=[heard]) as hub:
        recorder = Recorder(hub, source="try")
        recorder.begin_turn("lost", agent="a")
        await recorder.flush()
        (handle,) = hub.feeds
        gone = weakref.ref(recorder)
        del recorder
        gc.collect()
        assert gone() is None
        await until(lambda: handle.state is FeedState.ENDED)
        assert [each.turn_id for each in of(heard.events, "turn.abandoned")] == ["lost"]
        for number in range(150):
            one_run(Recorder(hub, source="try"), f"run {number}")
        gc.collect()
        await until(lambda: all(each.state is FeedState.ENDED for each in hub.feeds))
        await hub.flush()
        assert len(of(heard.events, "turn.ended")) == 150, "what it was told is recorded"
        assert len(hub.feeds) <= 101
        assert hub.health().problems == ()


def test_a_loop_that_is_closed_under_a_recorder_does_no_harm() -> None:
    async def leave() -> Recorder:
        hub = Hub()
        await hub.start()
        recorder = Recorder(hub, source="try")
        one_run(recorder, "run")
        await recorder.flush()
        return recorder

    loop = asyncio.new_event_loop()
    recorder = loop.run_until_complete(leave())
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()
    for number in range(20_000):
        one_run(recorder, f"run {number}")
    assert recorder.statistics().waiting <= 10_000
    assert not recorder.decide_blocking("key", "deploy").is_approved
    recorder.close()
    one_run(recorder, "after")
    assert recorder.statistics().failures == 0


# -- what is waited for when there is no hub any more --


async def test_a_hub_that_does_not_start_decides_nothing_and_holds_nothing() -> None:
    """No feed is called then, and so none is told that it ends."""

    class Unreadable(MemoryStore):
        async def list(self, *path: Any, **options: Any) -> Any:
            raise OSError(f"{path} cannot be read")

    hub = Hub(Unreadable())
    recorder = Recorder(hub, source="try")
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            verdicts: list[Verdict] = []

            async def decide() -> None:
                verdicts.append(await recorder.decide("awaited", "deploy"))

            async def decide_in_thread() -> None:
                verdicts.append(await anyio.to_thread.run_sync(recorder.decide_blocking, "in a thread", "deploy"))

            tasks.start_soon(decide)
            tasks.start_soon(decide_in_thread)
            await until_idle()
            with pytest.raises(OSError, match="cannot be read"):
                await hub.start()
    assert [verdict.is_approved for verdict in verdicts] == [False, False]
    assert all("not running" in verdict.reason for verdict in verdicts)


@pytest.mark.slow
def test_a_loop_that_is_closed_decides_nothing_and_holds_nothing() -> None:
    loop, hub = asyncio.new_event_loop(), Hub()
    said: list[object] = []

    async def begin() -> Recorder:
        await hub.start()
        recorder = Recorder(hub, source="try")
        await recorder.flush()
        return recorder

    def ask() -> None:
        said.append(recorder.decide_blocking("key", "deploy"))
        try:
            recorder.flush_blocking()
        except HubClosed as error:
            said.append(error)

    recorder = loop.run_until_complete(begin())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    loop.close()
    asking.join(30)
    [verdict, error] = said
    assert isinstance(verdict, Verdict)
    assert not verdict.is_approved
    assert isinstance(error, HubClosed)


async def test_callbacks_are_taken_away_whatever_one_of_them_raises() -> None:
    taken: list[str] = []
    async with Hub() as hub:
        recorder = Recorder(hub, source="try")

        def leaves() -> None:
            raise SystemExit

        recorder.on_close(leaves)
        recorder.on_close(lambda: taken.append("second"))
        recorder.close()
        assert taken == ["second"]
        assert recorder.is_closed
        assert recorder.statistics().failures == 1
        await recorder.aclose()


async def test_an_end_that_was_held_back_says_when_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn whose tool ends after it: the hub takes its end later, and it is not later for that."""
    monkeypatch.setattr("hubwire.runtimes._spans.LATE_NS", 0)
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with Recorder(hub, source="try") as recorder:
            recorder.begin_turn("run", agent="a")
            recorder.begin_tool("tool", "slow", parent="run")
            recorder.end("run", "done")
            await recorder.flush()
            assert of(heard.events, "turn.ended") == []
            recorder.end("tool", "ok")
            await recorder.flush()
    (end,), (tool,) = of(heard.events, "turn.ended"), of(heard.events, "tool.completed")
    assert end.occurred_at is not None
    assert tool.occurred_at is not None
    assert end.occurred_at < tool.occurred_at <= tool.at < end.at
