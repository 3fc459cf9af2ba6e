"""Feeds: what brings events into a hub from outside, run as a guest and finished first."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from hubwire import Duty, FeedHandle, FeedState, GenericEvent, Hub, HubThread, scope
from hubwire._feeds import feeds as feeds_module
from hubwire._feeds.states import MOVES
from hubwire.errors import ConfigurationError, HubAborted, HubClosed, HubFailed
from hubwire.ports import Feed
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, history
from support import advance, until, until_idle
from support.odd import ODD, Hostile, HostileDict, HostileInt, HostileList, HostileText


def said(number: int = 0) -> GenericEvent:
    return GenericEvent(kind="feed.said", data={"number": number})


class Idle:
    """Waits for ever, and says what becomes of it."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    async def run(self, hub: Hub) -> None:
        self.steps.append("run")
        try:
            await asyncio.Event().wait()
        finally:
            self.steps.append("cancelled")


class Finishing(Idle):
    """Has one event in its hands, until it is to finish."""

    hub: Hub

    async def run(self, hub: Hub) -> None:
        self.hub = hub
        await super().run(hub)

    async def finish(self) -> None:
        self.steps.append("finish")
        await self.hub.emit(said())
        self.steps.append("finished")


class Failing:
    """Raises at each call."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.calls = 0
        self.error = error

    async def run(self, hub: Hub) -> None:
        self.calls += 1
        raise RuntimeError(f"call {self.calls}") if self.error is None else self.error


class Saying(Idle):
    """Answers what it is told to."""

    def __init__(self, problems: Any = (), statistics: Any = None) -> None:
        super().__init__()
        self.answers = {"problems": problems, "statistics": {} if statistics is None else statistics}

    def problems(self) -> Sequence[str]:
        return self._answer("problems")  # type: ignore[no-any-return]

    def statistics(self) -> Mapping[str, int]:
        return self._answer("statistics")  # type: ignore[no-any-return]

    def _answer(self, name: str) -> Any:
        answer = self.answers[name]
        if isinstance(answer, BaseException):
            raise answer
        return answer


async def running(handle: FeedHandle) -> None:
    await until(lambda: handle.state is FeedState.RUNNING)
    await until_idle()


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


# --- what it says ---------------------------------------------------------------------------------------------------


async def test_what_a_feed_says_is_in_health_and_statistics() -> None:
    async with Hub() as hub:
        feed = Saying(["line 3 of a.jsonl is damaged"], {"lines": 12})
        hub.feed(feed)
        assert hub.health().problems == ("feed 'Saying': line 3 of a.jsonl is damaged",)
        assert hub.statistics().feeds[0].numbers == {"lines": 12}
        hash(hub.statistics().feeds[0])
        feed.answers["problems"] = ()
        assert hub.health().healthy


def endless() -> Iterator[str]:
    while True:
        yield "x" * 100_000


async def test_an_endless_answer_is_cut() -> None:
    async with Hub() as hub:
        hub.feed(Saying(endless(), {f"{number}": number for number in range(1000)}))
        problems = hub.health().problems
        assert len(problems) == 10
        assert all(len(each) < 1100 for each in problems)
        assert len(hub.statistics().feeds[0].numbers) == 100


HOSTILE_TEXTS = [
    *("a text", b"bytes", 5, None, {"a": "b"}, [5], [None], Hostile(), [Hostile()], HostileList(["a"])),
    *(RuntimeError("x"), SystemExit(1), asyncio.CancelledError(), GeneratorExit()),
]
HOSTILE_NUMBERS = [
    *("a text", [("a", 1)], {"a": "1"}, {"a": 1.5}, {"a": True}, {"a": None}, {1: 1}, {"a": 10**30}, {"a": Hostile()}),
    *(HostileDict(a=1), Hostile(), RuntimeError("x"), SystemExit(1), asyncio.CancelledError()),
]


@pytest.mark.parametrize("answer", HOSTILE_TEXTS, ids=range(len(HOSTILE_TEXTS)))
async def test_hostile_problems_are_a_problem(answer: Any) -> None:
    async with Hub() as hub:
        hub.feed(Saying(answer))
        (problem,) = hub.health().problems
        assert "its problems() has failed" in problem


@pytest.mark.parametrize("answer", HOSTILE_NUMBERS, ids=range(len(HOSTILE_NUMBERS)))
async def test_hostile_numbers_are_a_problem(answer: Any) -> None:
    async with Hub() as hub:
        hub.feed(Saying((), answer))
        assert hub.statistics().feeds[0].numbers == {}
        (problem,) = hub.health().problems
        assert "its statistics() has failed" in problem


async def test_hostile_texts_and_numbers_come_out_plain() -> None:
    async with Hub() as hub:
        hub.feed(Saying([HostileText("bad \ud800")], {HostileText("n"): HostileInt(3)}))
        (problem,) = hub.health().problems
        problem.encode()
        ((name, number),) = hub.statistics().feeds[0].numbers.items()
        assert (type(name), type(number), name, number) == (str, int, "n", 3)


# --- what is given --------------------------------------------------------------------------------------------------


class SyncRun:
    def run(self, hub: Hub) -> None: ...


class NoHub:
    async def run(self) -> None: ...


class SyncFinish(Idle):
    def finish(self) -> None: ...


class AsyncProblems(Idle):
    async def problems(self) -> list[str]:
        return []


class TextStatistics(Idle):
    statistics = "text"


class Lying(Idle):
    @property
    def finish(self) -> Any:
        raise SystemExit(1)


@pytest.mark.parametrize(
    ("feed", "said"),
    [
        (Idle, "give an instance of it"),
        (SyncRun(), r"async def run\(self, hub\)"),
        (NoHub(), r"write async def run\(self, hub\)"),
        (SyncFinish(), r"async def finish\(self\)"),
        (AsyncProblems(), r"def problems\(self\)"),
        (TextStatistics(), r"def statistics\(self\)"),
        (Lying(), "reading finish"),
        (lambda hub: None, r"async def run\(self, hub\)"),
    ],
    ids=lambda each: type(each).__name__ if not isinstance(each, str) else "",
)
async def test_what_is_no_feed_is_refused(feed: Any, said: str) -> None:
    hub = Hub()
    with pytest.raises(ConfigurationError, match=rf"^hub\.feed\(\).*{said}"):
        hub.feed(feed)
    assert hub.feeds == ()


async def test_odd_values_are_no_feeds() -> None:
    async with Hub() as hub:
        for make in ODD:
            with contextlib.suppress(ConfigurationError):
                hub.feed(make())
            with contextlib.suppress(ConfigurationError):
                hub.feed(Idle(), name=make())
        await hub.emit(said())
        names = [each.name for each in hub.feeds]
        assert len(set(names)) == len(names)


async def test_an_object_feeds_a_hub_once() -> None:
    """Unless it was removed, or has returned; and a name is taken once."""
    async with Hub() as hub:
        feed = Idle()
        handle = hub.feed(feed, name="one")
        with pytest.raises(ConfigurationError, match="feeds the hub already, as 'one'"):
            hub.feed(feed)
        with pytest.raises(ConfigurationError, match="a feed named 'one' is there already"):
            hub.feed(Idle(), name="one")
        assert hub.feeds == (handle,)
        await handle.remove()
        hub.feed(feed, name="one")


async def test_names_are_made_unique() -> None:
    class Named(Idle):
        name = "bus\n"

    class Hostilely(Idle):
        name = HostileText("odd")

    class Numbered(Idle):
        name = 5

    hub = Hub()
    for feed in (Idle(), Idle(), Idle(), Named(), Named(), Hostilely(), Numbered()):
        hub.feed(feed)
    assert [each.name for each in hub.feeds] == ["Idle", "Idle-2", "Idle-3", "bus?", "bus?-2", "odd", "Numbered"]


async def test_a_long_name_is_cut() -> None:
    class Long(Idle):
        name = "x" * 100_000

    hub = Hub()
    assert len(hub.feed(Long()).name) == 200


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\ud800", "x" * 501, 5, b"a"], ids=repr)
async def test_a_name_that_cannot_be_shown_is_refused(name: Any) -> None:
    hub = Hub()
    with pytest.raises(ConfigurationError, match=r"^hub\.feed\(\): name is the feed's name, a text"):
        hub.feed(Idle(), name=name)
    assert hub.feeds == ()


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
