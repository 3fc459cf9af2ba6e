"""Listeners that do whatever foreign code can do: each is a failure of that listener, and never of the hub."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from hubwire import AttachmentState, BaseHubListener, Duty, Event, GenericEvent, Hub, Overflow
from hubwire._delivery.lost import LOST_MAX, PROBLEM_SECONDS
from hubwire._foreign.threads import STILL_RUNNING_MAX
from hubwire.errors import ConfigurationError, JournalBehind, ListenerFailed, NotFound
from hubwire.events import ListenerDetached, ListenerSuspended
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import GatedStore, advance, numbers, pass_time, said, until, until_idle

VARIABLE: ContextVar[str] = ContextVar("variable", default="unset")


class PanicError(BaseException):
    """As an extension in Rust raises: no ``Exception``."""


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """What resists its cancellation is left behind soon."""
    monkeypatch.setattr("hubwire._foreign.tasks.GRACE_SECONDS", 0.01)


class Deaf:
    """Goes on in the call of its choice, however often it is cancelled, until it is released."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.release = asyncio.Event()

    async def come(self, where: str) -> None:
        while where == self.where and not self.release.is_set():
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                continue

    async def __aenter__(self) -> None:
        await self.come("enter")

    async def __aexit__(self, *_: object) -> None:
        await self.come("exit")

    async def on_events(self, events: Sequence[Event]) -> None:
        if numbers(events):
            await self.come("events")


# --- what is raised -------------------------------------------------------------------------------------------------


class Raises:
    def __init__(self, where: str, error: Callable[[], BaseException]) -> None:
        self.where = where
        self.error = error

    async def come(self, where: str) -> None:
        await anyio.lowlevel.checkpoint()
        if where == self.where:
            raise self.error()

    async def __aenter__(self) -> None:
        await self.come("enter")

    async def __aexit__(self, *_: object) -> None:
        await self.come("exit")

    async def on_events(self, events: Sequence[Event]) -> None:
        if numbers(events):
            await self.come("events")

    def last_seq(self) -> int | None:
        if self.where == "last_seq":
            raise self.error()
        return None


ERRORS: dict[str, Callable[[], BaseException]] = {
    "error": lambda: ValueError("x" * 10_000_000),
    "panic": lambda: PanicError("unwrap"),
    "exit": lambda: SystemExit(1),
    "closed": GeneratorExit,
    "cancelled": asyncio.CancelledError,
    "group": lambda: BaseExceptionGroup("two", [asyncio.CancelledError(), PanicError()]),
}


@pytest.mark.parametrize("where", ["enter", "exit", "events", "last_seq"])
@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
async def test_what_a_listener_raises_is_its_own(where: str, error: Callable[[], BaseException]) -> None:
    """The hub goes on, commits, closes, and starts again; health names the listener while it is missed."""
    store, clock = MemoryStore(), ManualClock()
    async with Hub(store, clock=clock) as hub:
        hub.attach(Raises(where, error), name="raises", pattern="number.*")
        for n in range(5):
            await hub.emit(said(n))
            await pass_time(clock, 0.5)
        if where != "exit":
            (problem,) = hub.health().problems
            assert "'raises' is detached" in problem
            assert len(problem) < 2000
    async with Hub(store) as again:
        await again.emit(said())


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
async def test_a_required_listener_that_raises_is_named(error: Callable[[], BaseException]) -> None:
    """What it raises stops the hub, with an error that says which listener it was."""
    for where in ("enter", "events", "last_seq"):
        hub = Hub(MemoryStore())
        hub.attach(Raises(where, error), name="raises", duty=Duty.REQUIRED)
        with pytest.raises(ListenerFailed, match="'raises'") as raised:
            async with hub:
                await hub.emit(said())
        assert raised.value.listener == "raises"


# --- what is answered -----------------------------------------------------------------------------------------------


class Answers(Recorder):
    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def last_seq(self) -> Any:
        return self.answer


@pytest.mark.parametrize("answer", [1.0, float("nan"), "x", True, [1], -2, 10**30, b"1"], ids=str)
async def test_a_wrong_position_is_the_listeners_own_failure(answer: Any) -> None:
    """A hub with such a listener starts, and starts again, whatever its duty; only a REQUIRED one refuses the start."""
    store = MemoryStore()
    for duty in (Duty.BEST_EFFORT, Duty.DURABLE):
        async with Hub(store) as hub:
            attachment = hub.attach(Answers(answer), name="answers", duty=duty)
            with pytest.raises((TypeError, ValueError), match="returned"):
                await attachment.ready()
            await hub.emit(said())
            assert "'answers' is detached" in hub.health().problems[0]
    hub = Hub(store)
    hub.attach(Answers(answer), name="answers", duty=Duty.REQUIRED)
    with pytest.raises(ListenerFailed, match="'answers' could not be entered"):
        await hub.start()
    async with Hub(store):
        pass


async def test_an_async_position_is_a_wrong_one() -> None:
    """It must be answered at once, and a coroutine is closed."""

    class Async(Recorder):
        async def last_seq(self) -> int:
            return 3

    async with Hub(listeners=[Async()]) as hub:
        assert "it returned <coroutine" in hub.health().problems[0]


async def test_a_position_beyond_the_end_is_not_the_hubs() -> None:
    """A BEST_EFFORT listener with another history is detached; the hub starts."""
    async with Hub(MemoryStore(), listeners=[Answers(10**9)]) as hub:
        assert "JournalBehind" in hub.health().problems[0]
        late = hub.attach(Answers(10**9), name="late")
        with pytest.raises(JournalBehind):
            await late.ready()
        await hub.emit(said())


async def test_a_place_beyond_the_end_is_not_the_hubs() -> None:
    """The same for one that was attached with a seq that does not exist."""
    hub = Hub(MemoryStore())
    hub.attach(Recorder(), since=10**9, name="future")
    async with hub:
        assert "'future' is detached" in hub.health().problems[0]


# --- what does not end ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_grace")
@pytest.mark.parametrize("duty", [Duty.BEST_EFFORT, Duty.DURABLE])
async def test_a_deaf_listener_is_left_behind(duty: Duty) -> None:
    """It is detached, counted as still running until it ends, and reported; the hub goes on and closes."""
    deaf, witness = Deaf("events"), Recorder()
    async with Hub(MemoryStore(), listeners=[witness]) as hub:
        attachment = hub.attach(deaf, name="deaf", timeout=0.01, duty=duty)
        await attachment.ready()
        await hub.emit(said())
        await attachment.finished()
        assert hub.statistics().attachments[-1].still_running == 1
        assert "goes on though it was cancelled" in hub.health().problems[0]
        detached = await witness.wait_for("listener.detached")
        assert isinstance(detached, ListenerDetached)
        assert detached.listener == "deaf"
        deaf.release.set()
        await until(lambda: hub.statistics().attachments[-1].still_running == 0)


@pytest.mark.usefixtures("no_grace")
async def test_a_deaf_required_listener_stops_the_hub() -> None:
    """Its commit cannot be waited for, and the hub ends although it goes on."""
    deaf = Deaf("events")
    hub = Hub()
    hub.attach(deaf, name="deaf", timeout=0.01, duty=Duty.REQUIRED)
    with pytest.raises(ListenerFailed, match=r"'deaf' failed at event .* it goes on though it was cancelled"):
        async with hub:
            await hub.emit(said())
    deaf.release.set()
    await until_idle()


@pytest.mark.usefixtures("no_grace")
async def test_what_was_left_behind_waits_as_anyone_does() -> None:
    """Nothing waits for its call any more: what it emits returns when it is committed, without the reserve."""
    store, done = GatedStore(), []

    class Emits(Deaf):
        async def on_events(self, events: Sequence[Event]) -> None:
            if numbers(events) == [0]:
                await super().on_events(events)
                done.append((await hub.emit(said(9))).seq)

    emits = Emits("events")
    async with Hub(store) as hub:
        attachment = hub.attach(emits, timeout=0.01, overflow=Overflow.BLOCK)
        await attachment.ready()
        await hub.emit(said(0))
        await attachment.finished()
        await hub.flush()
        store.gate.close()
        emits.release.set()
        await until_idle()
        assert done == []
        store.gate.open()
        await until(lambda: bool(done))


@pytest.mark.parametrize("where", ["enter", "events", "exit"])
@pytest.mark.parametrize("duty", [Duty.BEST_EFFORT, Duty.DURABLE])
async def test_a_deaf_listener_does_not_keep_the_hub_open(
    where: str, duty: Duty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub closes within its deadline, in whatever the listener hangs."""
    monkeypatch.setattr("hubwire._foreign.tasks.GRACE_SECONDS", 60.0)
    deafs = [Deaf(where) for _ in range(5)]
    try:
        async with asyncio.timeout(20):  # each of them would take the 30 s of its timeout
            async with Hub(MemoryStore(), close_seconds_max=0.2) as hub:
                for number, each in enumerate(deafs):
                    hub.attach(each, name=f"deaf {number}", duty=duty)
                await until_idle()
                await hub.emit(said())
                await until_idle()
    finally:
        for each in deafs:
            each.release.set()
        await until_idle()


async def test_guests_are_entered_side_by_side() -> None:
    """A listener that takes long to enter does not hold up the others."""
    entered: list[str] = []

    class Meets(Recorder):
        def __init__(self, name: str, all_here: anyio.Event) -> None:
            super().__init__()
            self.name = name
            self.all_here = all_here

        async def __aenter__(self) -> None:
            entered.append(self.name)
            if len(entered) == 3:
                self.all_here.set()
            await self.all_here.wait()

        async def __aexit__(self, *_: object) -> None: ...

    all_here = anyio.Event()
    async with Hub(listeners=[Meets(name, all_here) for name in "abc"]):
        assert entered == ["a", "b", "c"]


@pytest.mark.slow
async def test_an_event_has_its_own_time() -> None:
    """A listener that takes events one by one has the timeout for each, and is cancelled at the one that hangs."""
    seen: list[int] = []

    class Hangs(BaseHubListener):
        async def on_event(self, event: Any) -> None:
            (number,) = numbers([event])
            if number == 5:
                await anyio.sleep_forever()
            seen.append(number)

    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        # The sum for a batch would be longer than the test may take.
        attachment = hub.attach(Hangs(), pattern="number.*", timeout=1.0, mailbox=10_000)
        await attachment.ready()
        for n in range(200):
            hub.emit_nowait(said(n))
        await until(lambda: attachment.statistics().failed == 1)
        assert seen == [0, 1, 2, 3, 4]
        await pass_time(clock, 1)
        await hub.flush()
        assert seen == [n for n in range(200) if n != 5]
        assert attachment.statistics().last_error == "ListenerTimeout: not done with an event after 1 s"


# --- functions ------------------------------------------------------------------------------------------------------


async def test_a_sync_function_runs_in_a_thread() -> None:
    """It may block; the loop goes on, and the function sees the context."""
    release, seen = threading.Event(), []

    def blocks(event: Event) -> None:
        release.wait()
        seen.append((threading.current_thread() is threading.main_thread(), event.kind))

    async with Hub() as hub:
        hub.attach(blocks, pattern="number.*")
        await hub.emit(said(1))
        await until_idle()  # the loop is free while it blocks
        assert seen == []
        release.set()
        await hub.flush()
        assert seen == [(False, "number.said")]


async def test_a_sync_function_may_run_on_the_loop() -> None:
    """By its owner's word."""
    seen = []

    async with Hub() as hub:
        hub.attach(lambda _: seen.append(threading.current_thread()), pattern="number.*", in_loop=True)
        await hub.emit(said(1))
        await hub.flush()
        assert seen == [threading.current_thread()]


async def test_events_of_a_thread_name_their_cause() -> None:
    """What a function emits from its thread is caused by the event that it handles."""
    async with Hub() as hub:
        recorder = Recorder()
        hub.attach(recorder, pattern="number.answered")

        def answers(event: Event) -> None:
            hub.emit_threadsafe(GenericEvent(kind="number.answered", data={"n": numbers([event])[0]})).result()

        hub.attach(answers, pattern="number.said")
        first, second = hub.emit_nowait(said(1)), hub.emit_nowait(said(2))
        await hub.flush()
        await hub.flush()
        assert [each.causation_id for each in recorder.events] == [first.id, second.id]


async def test_a_function_that_blocks_is_left_behind() -> None:
    """Its timeout is its failure; calls that go on are counted, and after a few it is detached."""
    release, calls = threading.Event(), []
    clock = ManualClock()

    def blocks(event: Event) -> None:
        calls.extend(numbers([event]))
        release.wait()

    async with Hub(clock=clock) as hub:
        attachment = hub.attach(blocks, pattern="number.*", timeout=0.01, name="blocks")
        await attachment.ready()
        for n in range(8):
            hub.emit_nowait(said(n))
        for _ in range(3):
            failed = attachment.statistics().failed
            await until(lambda failed=failed: attachment.statistics().failed > failed)  # type: ignore[misc]
            assert "still run" in hub.health().problems[0]
            await pass_time(clock, 0.5)
        await until(lambda: attachment.state is AttachmentState.DETACHED)
        assert 0 < attachment.statistics().still_running <= STILL_RUNNING_MAX
        release.set()
        await until(lambda: attachment.statistics().still_running == 0)
        assert sorted(calls) == sorted(set(calls)), "a call that was left behind goes no further than its event"


async def test_a_function_that_returns_a_coroutine_is_awaited() -> None:
    """On the loop, with its place kept."""
    seen = []

    async def work(event: Event) -> None:
        await anyio.lowlevel.checkpoint()
        seen.append(numbers([event])[0])

    async with Hub() as hub:
        hub.attach(lambda event: work(event), pattern="number.*")  # noqa: PLW0108 - it must be a sync function
        for n in range(3):
            hub.emit_nowait(said(n))
        await hub.flush()
        assert seen == [0, 1, 2]


# --- what is left of those that are gone ----------------------------------------------------------------------------


@pytest.mark.slow
async def test_lost_listeners_are_bounded() -> None:
    """Hundreds of dashboards that went away are counted; a few are remembered, and none is held."""
    clock = ManualClock()

    class Gone:
        async def on_events(self, events: Sequence[Event]) -> None:
            raise OSError("client went away")

    held = []
    async with Hub(clock=clock) as hub:
        for number in range(3 * LOST_MAX):
            gone = Gone()
            held.append(weakref.ref(gone))
            hub.attach(gone, name=f"client-{number}")
            del gone
        for _ in range(20):
            await hub.emit(said())
            await pass_time(clock, 1)
        statistics = hub.statistics()
        assert len(statistics.attachments) == LOST_MAX
        assert statistics.listeners_lost == 3 * LOST_MAX
        health = hub.health()
        assert len(health.problems) < 20
        assert "attach it again" in health.problems[0]
        gc.collect()
        assert not any(each() is not None for each in held)
        name = statistics.attachments[-1].name
        await hub.forget(name)
        with pytest.raises(NotFound):
            await hub.forget(name)
        await advance(clock, PROBLEM_SECONDS + 1)
        assert hub.health().healthy


async def test_a_listener_lost_again_is_the_newest() -> None:
    """The oldest are first, and go first."""

    class Shut(Recorder):
        async def __aenter__(self) -> None:
            raise OSError("it is closed")

    async with Hub() as hub:
        for name in ("first", "second", "first"):
            attachment = hub.attach(Shut(), name=name)
            with pytest.raises(OSError, match="it is closed"):
                await attachment.ready()
        lost = [each.name for each in hub.statistics().attachments]
        assert (lost, hub.statistics().listeners_lost) == (["second", "first"], 3)


async def test_a_failure_does_not_hold_its_listener() -> None:
    """What is counted into the next announcement is text."""

    class Gone:
        async def on_events(self, events: Sequence[Event]) -> None:
            raise OSError("client went away")

    gone = Gone()
    held = weakref.ref(gone)
    async with Hub(clock=ManualClock()) as hub:  # the next announcement never comes
        attachment = hub.attach(gone, pattern="number.*")
        await attachment.ready()
        await hub.emit(said())
        await until_idle()
        assert attachment.statistics().failed == 1
        await attachment.detach()
        del gone, attachment
        await until_idle()
        gc.collect()
        assert held() is None


async def test_a_lost_durable_listener_stays_a_problem() -> None:
    """Events are owed to it until it is attached again, or forgotten."""
    clock = ManualClock()

    async def fails(event: Event) -> None:
        raise ValueError("no")

    async with Hub(MemoryStore(), clock=clock) as hub:
        attachment = hub.attach(fails, duty=Duty.DURABLE, name="fails", attempts_max=5, pattern="number.*")
        await attachment.ready()
        await hub.emit(said())
        await until_idle()
        assert "fails at event" in hub.health().problems[0], "while it is tried again, it is not well"
        assert "of 5 by now" in hub.health().problems[0]
        await pass_time(clock, 60)
        assert attachment.state is AttachmentState.SUSPENDED
        assert "attachment.resume() lets it go on" in hub.health().problems[0]


async def test_a_poison_event_can_be_skipped() -> None:
    """A DURABLE listener that cannot handle one event goes on after it, and what it missed is counted."""
    seen, clock = [], ManualClock()

    async def handles(event: Event) -> None:
        if numbers([event]) == [1]:
            raise ValueError("poison")
        seen.extend(numbers([event]))

    recorder = Recorder()
    async with Hub(MemoryStore(), clock=clock, listeners=[recorder]) as hub:
        attachment = hub.attach(handles, pattern="number.*", duty=Duty.DURABLE, attempts_max=2, name="handles")
        await attachment.ready()
        for n in range(4):
            await hub.emit(said(n))
        await pass_time(clock, 1)
        assert attachment.state is AttachmentState.SUSPENDED
        (suspended,) = [each for each in recorder.events if isinstance(each, ListenerSuspended)]
        attachment.resume()
        await pass_time(clock, 1)
        assert (attachment.state, seen) == (AttachmentState.SUSPENDED, [0])
        attachment.resume(skip_missed=True)
        await hub.flush()
        assert (attachment.state, seen) == (AttachmentState.RUNNING, [0, 2, 3])
        assert attachment.statistics().dropped == 1
        overflowed = await recorder.wait_for("mailbox.overflowed")
        assert (overflowed.first_seq, overflowed.last_seq) == (suspended.event_seq,) * 2  # type: ignore[attr-defined]


async def test_ready_raises_when_the_hub_failed_meanwhile() -> None:
    """A REQUIRED listener that fails while it catches up is not ready."""

    async def fails(event: Event) -> None:
        raise ValueError("no")

    hub = Hub(MemoryStore())
    with pytest.raises(ListenerFailed):
        async with hub:
            await hub.emit(said())
            attachment = hub.attach(fails, duty=Duty.REQUIRED, since="start", name="fails")
            with pytest.raises(ListenerFailed, match="'fails' failed at event 0"):
                await attachment.ready()


async def test_a_listener_may_run_a_hub_inside() -> None:
    """A hub in a listener of a hub starts, commits and closes there."""
    inner_seen = Recorder()

    class Outer(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            for n in numbers(events):
                async with Hub(listeners=[inner_seen]) as inner:
                    await inner.emit(said(n))

    for duty in (Duty.BEST_EFFORT, Duty.REQUIRED):
        async with Hub() as hub:
            hub.attach(Outer(), duty=duty)
            await hub.emit(said(7))
            await hub.flush()
    assert numbers(inner_seen.events) == [7, 7]


async def test_a_task_group_may_span_the_context() -> None:
    """A listener may enter a task group when it is entered, and leave it when it is left."""

    class Works(Recorder):
        async def __aenter__(self) -> None:
            self.tasks = await anyio.create_task_group().__aenter__()

        async def on_events(self, events: Sequence[Event]) -> None:
            await super().on_events(events)
            self.tasks.start_soon(anyio.lowlevel.checkpoint)

        async def __aexit__(self, *_: object) -> None:
            await self.tasks.__aexit__(None, None, None)

    works = Works()
    async with Hub() as hub:
        attachment = hub.attach(works)
        await hub.emit(said(1))
    assert numbers(works.events) == [1]
    assert attachment.statistics().last_error is None


async def test_classes_are_not_listeners() -> None:
    """A class in the place of an instance is refused when the hub is made."""
    with pytest.raises(ConfigurationError, match="Recorder is a class; attach an instance"):
        Hub(listeners=[Recorder])
