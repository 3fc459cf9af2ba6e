"""Waiting and waking: futures resolved in slices, pauses that grow, failures counted in a window, nested hubs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from types import SimpleNamespace

import anyio
import pytest
from anyio.lowlevel import checkpoint

from hubwire import Attachment, BaseActor, Duty, Event, GenericEvent, Hub, Turn, waking
from hubwire._commit.backoff import Backoff, FailureWindow
from hubwire._commit.commits import CommitWaiters
from hubwire._commit.held import HeldCall
from hubwire._commit.phase import Phase
from hubwire.errors import HubClosed, HubFailed, Overloaded
from hubwire.waking import Slices, Waker
from support import GatedStore, until_idle


async def test_futures_are_resolved_in_slices() -> None:
    loop = asyncio.get_running_loop()
    futures = [loop.create_future() for _ in range(1200)]
    done_after_turn = []
    waker = Waker()
    waker.wake(futures)
    while not futures[-1].done():
        done_after_turn.append(sum(future.done() for future in futures))
        await checkpoint()
    assert done_after_turn == [500, 1000]


async def test_later_futures_queue_behind_earlier_ones() -> None:
    """The bound holds for the turn of the loop, however often wake() is called in it."""
    loop = asyncio.get_running_loop()
    first, second = ([loop.create_future() for _ in range(600)] for _ in range(2))
    waker = Waker()
    waker.wake(first)
    waker.wake(second)
    assert sum(future.done() for future in (*first, *second)) == 500
    await checkpoint()
    assert sum(future.done() for future in (*first, *second)) == 1000


async def test_next_turn_lets_earlier_callers_go_first() -> None:
    waker, order = Waker(), []

    async def take_turns(name: str) -> None:
        for _ in range(3):
            await waker.wait_in_line()
            order.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take_turns, "a")
        tasks.start_soon(take_turns, "b")
    assert order == ["a", "b"] * 3


async def test_long_work_leaves_the_loop_to_others_between_its_slices() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(count())
    begun = turns  # an eager task has had a turn by now
    short, long = Slices(0.0), Slices(3600.0)
    for _ in range(100):
        await long.cut()
    assert turns == begun
    for _ in range(100):
        await short.cut()
    assert begun + 99 <= turns <= begun + 100
    task.cancel()


async def test_work_that_takes_a_share_of_the_loop_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it has worked, for a half; what has waited for a file meanwhile does not rest for that."""
    rests: list[float] = []
    now = 100.0

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    monkeypatch.setattr(waking, "time", SimpleNamespace(perf_counter=lambda: now))
    monkeypatch.setattr(waking, "asyncio", SimpleNamespace(sleep=rest))
    half, quarter = Slices(1.0, 0.5), Slices(1.0, 0.25)
    for seconds in (0.5, 0.75, 60.0):
        now += seconds
        await half.cut()
        await quarter.cut()
    assert rests == [1.25, 3.75, 4.0, 12.0]


async def test_cancelled_futures_are_passed_over() -> None:
    cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    Waker().wake([cancelled])
    assert cancelled.cancelled()


def test_backoff_doubles_up_to_its_limit() -> None:
    backoff = Backoff(seconds=0.1, seconds_max=1.0, jitter=1.0)
    assert [backoff.limit_seconds(failures) for failures in (1, 2, 3, 4, 5, 10_000)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_a_failure_at_the_edge_of_the_window_counts() -> None:
    window = FailureWindow(failures_max=3, within_seconds=5.0)
    assert [window.add(now) for now in (0.0, 0.0, 0.0, 5.0)] == [1, 2, 3, None]
    window = FailureWindow(failures_max=3, within_seconds=5.0)
    assert [window.add(now) for now in (0.0, 0.0, 0.0, 5.001)] == [1, 2, 3, 1]


class Bridge:
    """A REQUIRED listener of one hub that does a job on another."""

    duty = Duty.REQUIRED
    pattern = "go.*"

    def __init__(self) -> None:
        self.outcome: object = None

    async def job(self) -> object:
        raise NotImplementedError

    async def on_events(self, events: Sequence[Event]) -> None:
        self.outcome = await self.job()


async def test_a_required_listener_may_wait_for_another_hub() -> None:
    bridge = Bridge()
    async with Hub(listeners=[bridge]) as hub, Hub() as other:
        boss, worker = await other.agents.register("boss"), await other.agents.register("worker")

        async def ask() -> object:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(answer)
                answered = await other.ask(boss, worker, "?", timeout=30)
            return answered.content

        async def answer() -> None:
            async for delivery in worker.inbox():
                await delivery.reply("!")
                return

        bridge.job = ask  # type: ignore[method-assign]
        await hub.emit(GenericEvent(kind="go.now"))
        assert bridge.outcome == "!"


async def test_a_repeated_post_on_another_hub_waits_for_its_commit() -> None:
    bridge, store = Bridge(), GatedStore()
    async with Hub(listeners=[bridge]) as hub, Hub(store) as other:
        boss, worker = await other.agents.register("boss"), await other.agents.register("worker")
        channel = await other.channels.open([boss, worker])
        store.gate.close()

        async def post_again() -> object:
            event = await channel.post(boss, "hi", idempotency_key="k")
            return other.statistics().committed > event.seq

        bridge.job = post_again  # type: ignore[method-assign]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: channel.post(boss, "hi", idempotency_key="k"))
            await until_idle()
            tasks.start_soon(hub.emit, GenericEvent(kind="go.now"))
            await until_idle()
            assert bridge.outcome is None
            store.gate.open()
        assert bridge.outcome is True


async def test_a_hub_inside_a_required_listener_knows_both_calls() -> None:
    """What the inner hub's listener emits on the outer one must not wait for the outer commit: that waits for it."""
    bridge = Bridge()

    class Relay(Bridge):
        pattern = "inner.*"

    async with Hub(listeners=[bridge]) as hub:

        async def run_a_hub() -> object:
            relay = Relay()
            relay.job = lambda: hub.emit(GenericEvent(kind="outer.reply"))  # type: ignore[method-assign]
            async with Hub(listeners=[relay]) as inner:
                await inner.emit(GenericEvent(kind="inner.now"))
            return relay.outcome

        bridge.job = run_a_hub  # type: ignore[method-assign]
        with anyio.fail_after(10):
            await hub.emit(GenericEvent(kind="go.now"))
        assert isinstance(bridge.outcome, GenericEvent)
        assert bridge.outcome.kind == "outer.reply"


# --- nested calls -----------------------------------------------------------------------------------------------------


async def test_a_chain_of_listeners_keeps_no_ended_calls() -> None:
    """Each listener attaches its successor while it handles an event, and detaches itself."""
    depths: list[int] = []

    class Successor:
        async def on_events(self, events: Sequence[Event]) -> None:
            call, depth = HeldCall.innermost.get(), 0
            while call is not None:
                call, depth = call.outer, depth + 1
            depths.append(depth)
            hub.attach(Successor(), pattern="go.*", name=f"number {len(depths)}")
            await attachments().detach()

    def attachments() -> Attachment:
        return hub._parts.fanout.attachments[0]

    async with Hub() as hub:
        hub.attach(Successor(), pattern="go.*")
        for _ in range(30):
            await hub.emit(GenericEvent(kind="go.on"))
            await hub.flush()
    assert len(depths) == 30
    assert max(depths) <= 4


async def test_an_actor_of_an_inner_hub_may_emit_to_the_outer_hub() -> None:
    """A REQUIRED listener runs a hub and asks its actor: the actor must not wait for the commit that waits for it."""
    bridge = Bridge()

    async with Hub(listeners=[bridge]) as hub:

        class Teller(BaseActor):
            async def on_envelope(self, turn: Turn) -> None:
                told = await hub.emit(GenericEvent(kind="outer.told"))
                await turn.reply(told.seq)

        async def ask_inner_actor() -> object:
            async with Hub() as inner:
                boss, teller = await inner.agents.register("boss"), await inner.spawn(Teller())
                return (await inner.ask(boss, teller.agent, "?", timeout=30)).content

        bridge.job = ask_inner_actor  # type: ignore[method-assign]
        with anyio.fail_after(10):
            event = await hub.emit(GenericEvent(kind="go.now"))
        assert bridge.outcome == event.seq + 1


# --- waiting for a commit ---------------------------------------------------------------------------------------------


async def test_a_commit_wakes_those_it_is_for() -> None:
    """Also those that began to wait later, for an earlier event."""
    waiters = CommitWaiters()
    futures = {seq: waiters.add(seq) for seq in (5, 7, 2, 5, 9)}
    waiters.wake_below(5)
    assert [seq for seq in sorted(futures) if futures[seq].done()] == [2]
    waiters.wake_below(8)
    assert [seq for seq in sorted(futures) if futures[seq].done()] == [2, 5, 7]
    waiters.end(None)
    with pytest.raises(HubClosed, match="before event 9 was committed"):
        await futures[9]


async def test_cancelled_waiters_are_thrown_away() -> None:
    waiters = CommitWaiters()
    for seq in range(3000):
        waiters.add(seq).cancel()
    assert len(waiters.waiting) <= 1000


async def test_a_newcomer_does_not_overtake() -> None:
    """Room for one: the emitter that waits gets it, not the one that comes when it is free."""
    store = GatedStore()
    async with Hub(store, in_flight_max=1) as hub:
        store.gate.close()
        order: list[str] = []

        async def emit(name: str) -> None:
            await hub.emit(GenericEvent(kind=f"emitted.{name}"))
            order.append(name)

        async with anyio.create_task_group() as tasks:
            for name in ("first", "second", "third"):
                tasks.start_soon(emit, name)
                await anyio.wait_all_tasks_blocked()
            with pytest.raises(Overloaded, match="2 emitters to be admitted"):
                hub.emit_nowait(GenericEvent(kind="emitted.late"))
            store.gate.open()
        assert order == ["first", "second", "third"]


@pytest.mark.parametrize("end", ["close", "fail"])
async def test_a_command_granted_room_when_the_hub_ends_is_refused(end: str) -> None:
    hub = Hub(in_flight_max=1)
    with pytest.raises(HubFailed) if end == "fail" else nullcontext():
        async with hub:
            await hub.flush()
            admission, lifecycle = hub._pipeline.admission, hub._parts.lifecycle
            admission._granted = 1
            waiting = asyncio.create_task(admission.wait_for_room())
            await anyio.wait_all_tasks_blocked()
            admission._granted = 0
            admission.let_in()
            if end == "close":
                lifecycle.move(Phase.CLOSING)
            else:
                hub._pipeline.fail(HubFailed("broken"))
            with pytest.raises(HubClosed if end == "close" else HubFailed):
                await waiting
            assert admission._granted == 0
            if end == "close":
                lifecycle.phase = Phase.OPEN
