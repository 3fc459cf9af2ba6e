"""Feeds: what brings events into a hub from outside, run as a guest and finished first; and feeds that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from hubwire import Duty, FeedHandle, FeedState, GenericEvent, Hub
from hubwire._feeds.states import MOVES
from hubwire.errors import HubAborted, HubClosed, HubFailed
from hubwire.testing import ManualClock, Recorder
from support import advance, until, until_idle
from support.feeds import Failing, Finishing, Idle, running, said

# --- its life -------------------------------------------------------------------------------------------------------


async def test_a_feed_brings_events_in_until_it_returns() -> None:
    """It runs from when the hub is open, in a task of its own, and is done when it returns."""

    class Three:
        async def run(self, hub: Hub) -> None:
            for number in range(3):
                await hub.emit(said(number))

    recorder = Recorder()
    hub = Hub(listeners=[recorder])
    handle = hub.feed(Three())
    assert handle.state is FeedState.WAITING
    async with hub:
        await recorder.wait_for("feed.said", count=3)
        await until(lambda: handle.state is FeedState.ENDED)
        assert hub.health().healthy
        (numbers,) = hub.statistics().feeds
        assert (numbers.name, numbers.state, numbers.restarts, numbers.last_error) == (
            "Three",
            FeedState.ENDED,
            0,
            None,
        )
    assert [event.data["number"] for event in recorder.events if event.kind == "feed.said"] == [0, 1, 2]  # type: ignore[attr-defined]


async def test_a_feed_may_come_to_a_hub_that_is_open() -> None:
    async with Hub() as hub:
        feed = Idle()
        handle = hub.feed(feed, name="late")
        await running(handle)
        assert feed.steps == ["run"]
        assert hub.feeds == (handle,)
        assert (handle.name, handle.feed) == ("late", feed)
    assert feed.steps == ["run", "cancelled"]
    assert handle.state is FeedState.ENDED


async def test_a_feed_finishes_before_actors_stop() -> None:
    """What waits is brought in while all commands are taken, and before ``run`` is cancelled."""
    steps: list[str] = []

    class Worker:
        async def on_envelope(self, turn: Any) -> None:
            steps.append("worked")

        async def on_stop(self) -> None:
            steps.append("stopped")

    class Asking(Finishing):
        worker: Any

        async def finish(self) -> None:
            agent = await self.hub.agents.register("outside")
            channel = await self.hub.channels.open([agent, self.worker])
            await channel.post(agent, "last")
            await until(lambda: "worked" in steps)
            await super().finish()

    feed, recorder = Asking(), Recorder()
    async with Hub(listeners=[recorder]) as hub:
        feed.worker = (await hub.spawn(Worker(), name="worker")).agent
        await running(hub.feed(feed))
    assert feed.steps == ["run", "finish", "finished", "cancelled"]
    assert steps == ["worked", "stopped"]
    kinds = [event.kind for event in recorder.events]
    assert kinds.index("feed.said") < kinds.index("hub.stopped")


async def test_a_feed_ended_at_once_runs_first() -> None:
    """``finish`` is never called before ``run``, by which a feed knows its hub."""
    feed, removed, recorder = Finishing(), Finishing(), Recorder()
    async with Hub(listeners=[recorder]) as hub:
        await hub.feed(removed).remove()
        hub.feed(feed)
    assert feed.steps == removed.steps == ["run", "finish", "finished", "cancelled"]
    assert "feed.said" in [event.kind for event in recorder.events]


async def test_a_feed_that_has_returned_does_not_finish() -> None:
    class Done(Finishing):
        async def run(self, hub: Hub) -> None: ...

    async with Hub() as hub:
        feed = Done()
        handle = hub.feed(feed)
        await until(lambda: handle.state is FeedState.ENDED)
    assert feed.steps == []


async def test_a_removed_feed_finishes_and_is_forgotten() -> None:
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        feed = Finishing()
        handle = hub.feed(feed)
        await running(handle)
        await handle.remove()
        assert feed.steps == ["run", "finish", "finished", "cancelled"]
        assert (handle.state, hub.feeds, hub.statistics().feeds) == (FeedState.ENDED, (), ())
        await handle.remove()
        again = hub.feed(feed)
        assert again.name == handle.name
        await running(again)
    assert feed.steps[-4:] == ["run", "finish", "finished", "cancelled"]


async def test_a_feed_removed_before_the_start_never_runs() -> None:
    feed, hub = Finishing(), Hub()
    await hub.feed(feed).remove()
    assert hub.feeds == ()
    async with hub:
        await until_idle()
    assert feed.steps == []


async def test_a_cancelled_removal_goes_on() -> None:
    async with Hub() as hub:
        feed = Finishing()
        handle = hub.feed(feed)
        await running(handle)
        removal = asyncio.ensure_future(handle.remove())
        await asyncio.sleep(0)
        removal.cancel()
        await asyncio.wait([removal])
        await until(lambda: handle.state is FeedState.ENDED)
        assert hub.feeds == ()
    assert feed.steps == ["run", "finish", "finished", "cancelled"]


async def test_a_feed_may_remove_itself() -> None:
    """From inside it returns at once, also from ``finish``: it would wait for itself."""
    steps: list[str] = []

    class Own:
        handle: FeedHandle

        async def run(self, hub: Hub) -> None:
            await self.handle.remove()
            steps.append("removed")
            await asyncio.Event().wait()

        async def finish(self) -> None:
            await self.handle.remove()
            steps.append("finished")

    async with Hub() as hub:
        feed = Own()
        feed.handle = hub.feed(feed)
        await until(lambda: feed.handle.state is FeedState.ENDED)
        assert hub.feeds == ()
    assert steps == ["removed", "finished"]


async def test_two_feeds_may_remove_each_other() -> None:
    class Foe(Idle):
        other: FeedHandle

        async def run(self, hub: Hub) -> None:
            await self.other.remove()

    async with Hub() as hub:
        one, two = Foe(), Foe()
        two.other, one.other = hub.feed(one), hub.feed(two)
        await until(lambda: hub.feeds == () or all(each.state is FeedState.ENDED for each in hub.feeds))


async def test_a_feed_may_close_its_hub() -> None:
    """From inside, closing returns at once, and goes on without it."""
    steps: list[str] = []

    class Last:
        hub: Hub

        async def run(self, hub: Hub) -> None:
            self.hub = hub
            await hub.aclose()
            steps.append("closing")
            await asyncio.Event().wait()

        async def finish(self) -> None:
            await self.hub.aclose()
            steps.append("finished")

    hub = Hub()
    hub.feed(Last())
    await hub.start()
    assert await hub.finished() is None
    assert steps == ["closing", "finished"]


async def test_a_feed_may_abort_its_hub() -> None:
    class Aborting(Finishing):
        async def run(self, hub: Hub) -> None:
            await hub.abort()
            await super().run(hub)

    hub, feed = Hub(), Aborting()
    handle = hub.feed(feed)
    await hub.start()
    assert isinstance(await hub.finished(), HubAborted)
    await until(lambda: handle.state is FeedState.ENDED)
    assert "finish" not in feed.steps


async def test_an_aborted_hub_cancels_and_does_not_finish() -> None:
    feed, hub = Finishing(), Hub()
    await hub.start()
    handle = hub.feed(feed)
    await running(handle)
    await hub.abort()
    assert feed.steps == ["run", "cancelled"]
    assert handle.state is FeedState.ENDED


class Broken:
    """A required listener that fails when it is told to."""

    duty = Duty.REQUIRED

    async def on_events(self, events: Sequence[Any]) -> None:
        if any(event.kind == "break.it" for event in events):
            raise RuntimeError("broken")


async def test_a_failed_hub_cancels_its_feeds() -> None:
    """They are cancelled when it fails, not only when it is closed, and that is no failure of theirs."""

    class Emitting(Finishing):
        async def run(self, hub: Hub) -> None:
            await super().run(hub)

    feed, other = Emitting(), Emitting()
    hub = Hub(listeners=[Broken()])
    await hub.start()
    handle = hub.feed(feed)
    await running(handle)
    with pytest.raises(HubFailed):
        await hub.emit(GenericEvent(kind="break.it"))
    await until(lambda: handle.state is FeedState.ENDED)
    assert feed.steps == ["run", "cancelled"]
    with pytest.raises(HubFailed):
        hub.feed(other)
    with pytest.raises(HubFailed):
        await hub.aclose()
    assert (other.steps, handle.statistics().failed) == ([], 0)


async def test_a_feed_whose_emit_breaks_the_hub_has_not_failed() -> None:
    class Breaking:
        async def run(self, hub: Hub) -> None:
            await hub.emit(GenericEvent(kind="break.it"))

    hub = Hub(listeners=[Broken()])
    handle = hub.feed(Breaking())
    await hub.start()
    await until(lambda: handle.state is FeedState.ENDED)
    assert handle.statistics().failed == 0
    with pytest.raises(HubFailed):
        await hub.aclose()


async def test_a_refused_start_ends_its_feeds() -> None:
    class Refusing:
        duty = Duty.REQUIRED

        async def __aenter__(self) -> None:
            raise RuntimeError("no")

        async def __aexit__(self, *_: object) -> None: ...

        async def on_events(self, events: Sequence[Any]) -> None: ...

    feed, hub = Finishing(), Hub(listeners=[Refusing()])
    handle = hub.feed(feed)
    with pytest.raises(Exception, match="no"):
        await hub.start()
    assert (handle.state, feed.steps) == (FeedState.ENDED, [])


async def test_a_closed_hub_takes_no_feed() -> None:
    """Nor does one that is closing: what comes while feeds finish would never be asked to."""
    refused: list[str] = []

    class Late(Finishing):
        async def finish(self) -> None:
            with pytest.raises(HubClosed) as error:
                self.hub.feed(Idle())
            refused.append(str(error.value))

    hub = Hub()
    async with hub:
        hub.feed(Late())
    with pytest.raises(HubClosed, match="not running any more"):
        hub.feed(Idle())
    assert refused == ["the hub is closing, and takes no more feeds; nothing has happened"]
    assert len(hub.feeds) == 1


def test_the_moves_of_a_feed_reach_every_state() -> None:
    assert set(MOVES) == set(FeedState)
    assert set().union(*MOVES.values()) == set(FeedState) - {FeedState.WAITING}


# --- it fails -------------------------------------------------------------------------------------------------------


async def test_a_failing_feed_runs_again_after_growing_pauses() -> None:
    """By the hub's clock: a second, two, four, at most a minute; and fewer and fewer failures are reported."""
    clock, recorder, feed = ManualClock(), Recorder(), Failing()
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        handle = hub.feed(feed)
        for calls, pause in enumerate((1, 2, 4, 8, 16, 32, 60, 60), start=1):
            await until(lambda: handle.state is FeedState.PAUSING)
            assert feed.calls == calls
            await advance(clock, pause - 0.5)
            assert feed.calls == calls
            await advance(clock, 0.5)
            await until_idle()
            assert feed.calls == calls + 1
        await advance(clock, 1)
        numbers = handle.statistics()
        assert (numbers.failed, numbers.restarts, numbers.last_error) == (9, 8, "RuntimeError: call 9")
        (problem,) = hub.health().problems
        assert problem.startswith("feed 'Failing': it has failed 9 times in a row: RuntimeError: call 9; it is called")
    told = [event for event in recorder.events if event.kind == "hub.guest_failed"]
    assert [(event.guest, event.count) for event in told] == [("feed Failing", each) for each in (1, 1, 2, 4)]  # type: ignore[attr-defined]


async def test_a_feed_that_runs_again_is_healthy_again() -> None:
    """A minute without a failure begins another row of failures, with the pause of the first."""
    clock, broken = ManualClock(), asyncio.Event()

    class Now:
        async def run(self, hub: Hub) -> None:
            await broken.wait()
            broken.clear()
            raise RuntimeError("now")

    async with Hub(clock=clock) as hub:
        handle = hub.feed(Now())
        for seconds in (1, 2, 70, 1):
            broken.set()
            await until(lambda: handle.state is FeedState.PAUSING)
            assert not hub.health().healthy
            await advance(clock, min(seconds, 4))
            await running(handle)
            assert "has not run for long" in hub.health().problems[0]
            await advance(clock, seconds)
            assert hub.health().healthy


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), GeneratorExit(), asyncio.CancelledError(), StopAsyncIteration(), BaseException("base")],
    ids=lambda each: type(each).__name__,
)
async def test_whatever_a_feed_raises_is_its_own_failure(error: BaseException) -> None:
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        handle = hub.feed(Failing(error))
        await until(lambda: handle.state is FeedState.PAUSING)
        assert type(error).__name__ in (handle.statistics().last_error or "")
        await hub.emit(said())


class Swallowing(Idle):
    """Goes on though it is cancelled, until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.is_over = asyncio.Event()

    async def run(self, hub: Hub) -> None:
        while not self.is_over.is_set():
            try:
                await self.is_over.wait()
            except asyncio.CancelledError:
                self.steps.append("swallowed")


@pytest.mark.slow
async def test_a_feed_that_swallows_cancellation_is_left_behind() -> None:
    """Removing it returns; health and an event name it until it ends."""
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        feed = Swallowing()
        handle = hub.feed(feed)
        await running(handle)
        await handle.remove()
        assert hub.statistics().guests_abandoned == 1
        assert "feed Swallowing" in hub.health().problems[0]
        failed: Any = await recorder.wait_for("hub.guest_failed")
        assert failed.guest == "feed Swallowing"
        feed.is_over.set()
        await until(lambda: hub.health().healthy)


@pytest.mark.slow
async def test_a_hub_closes_beside_a_feed_that_swallows_cancellation() -> None:
    feed, recorder = Swallowing(), Recorder()
    async with Hub(listeners=[recorder]) as hub:
        await running(hub.feed(feed))
    assert recorder.events[-1].kind == "hub.stopped"
    feed.is_over.set()
    await until_idle()


@pytest.mark.parametrize("swallows", [False, True], ids=["cancelled", "left behind"])
async def test_a_hub_closes_beside_a_finish_that_hangs(*, swallows: bool) -> None:
    """It has a share of the time; actors and listeners have the rest, and all others finish meanwhile."""
    is_over = asyncio.Event()

    class Hanging(Finishing):
        async def finish(self) -> None:
            while not is_over.is_set():
                try:
                    await is_over.wait()
                except asyncio.CancelledError:
                    if not swallows:
                        raise

    recorder, other = Recorder(), Finishing()
    async with Hub(listeners=[recorder], close_seconds_max=2.0) as hub:
        handle = hub.feed(Hanging())
        hub.feed(other)
        await running(handle)
    assert recorder.events[-1].kind == "hub.stopped"
    assert "finished" in other.steps
    assert "it took longer than" in (handle.statistics().last_error or "")
    is_over.set()
    await until_idle()


async def test_a_finish_that_fails_is_reported() -> None:
    class Unable(Idle):
        async def finish(self) -> None:
            raise SystemExit(1)

    recorder, feed = Recorder(), Unable()
    async with Hub(listeners=[recorder]) as hub:
        handle = hub.feed(feed)
        await running(handle)
    assert feed.steps == ["run", "cancelled"]
    assert "SystemExit" in (handle.statistics().last_error or "")
    assert "hub.guest_failed" in [event.kind for event in recorder.events]


async def test_a_feed_that_pauses_finishes_all_the_same() -> None:
    """It may hold what it has received before it failed; it is not run again then."""

    class Stuck(Finishing):
        async def run(self, hub: Hub) -> None:
            self.hub = hub
            self.steps.append("run")
            raise RuntimeError("stuck")

        async def finish(self) -> None:
            await super().finish()
            await advance(clock, 100)

    feed, recorder, clock = Stuck(), Recorder(), ManualClock()
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        handle = hub.feed(feed)
        await until(lambda: handle.state is FeedState.PAUSING)
    assert feed.steps == ["run", "finish", "finished"]
    assert "feed.said" in [event.kind for event in recorder.events]
