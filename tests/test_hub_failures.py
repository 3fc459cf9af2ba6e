"""What fails, and who learns of it: listeners of every duty, listeners that emit, the journal, a full disk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from hubwire import AttachmentState, BaseHubListener, Duty, Event, GenericEvent, Hub, Overflow
from hubwire.errors import (
    CommandRejected,
    HubFailed,
    JournalFailed,
    ListenerFailed,
    Overloaded,
    PartialBatch,
    StoreError,
    StoreFull,
)
from hubwire.events import ListenerFailed as FailureTold, ListenerRestarted, MailboxOverflowed
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, history
from support import GatedStore, numbers, pass_time, said, until_idle


def answered(n: int = 0) -> GenericEvent:
    return GenericEvent(kind="number.answered", data={"n": n})


class Failing(Recorder):
    """Fails at the numbers it was told; a plain listener, which has handled nothing of a batch that fails."""

    def __init__(self, *bad: int, error: Callable[[], BaseException] = lambda: ValueError("bad number")) -> None:
        super().__init__()
        self.bad = set(bad)
        self.error = error
        self.given: list[list[int]] = []

    async def on_events(self, events: Sequence[Event]) -> None:
        self.given.append(numbers(events))
        if self.bad.intersection(numbers(events)):
            raise self.error()
        await super().on_events(events)


class FailingByHook(BaseHubListener):
    """Fails at the numbers it was told, and knows its place."""

    def __init__(self, *bad: int) -> None:
        self.bad = set(bad)
        self.heard: list[int] = []

    async def on_event(self, event: Event) -> None:
        if self.bad.intersection(numbers([event])):
            raise ValueError("bad number")
        self.heard += numbers([event])


# --- BEST_EFFORT: what is not handled -------------------------------------------------------------------------------


async def test_a_failed_batch_is_delivered_one_by_one() -> None:
    """A plain listener gets the events of a batch that failed again, each alone, to the last of them."""
    clock, failing = ManualClock(), Failing(3, 6)
    async with Hub(clock=clock) as hub:
        attachment = hub.attach(failing, pattern="number.*")
        await attachment.ready()
        for n in range(8):
            hub.emit_nowait(said(n))
        await pass_time(clock, 1)
        await hub.flush()
        assert failing.given == [list(range(8)), *([n] for n in range(8))]
        assert numbers(failing.events) == [0, 1, 2, 4, 5, 7]
        hub.emit_nowait(said(8))
        hub.emit_nowait(said(9))
        await hub.flush()
        assert failing.given[-1] == [8, 9], "the next batch is whole again"
        statistics = attachment.statistics()
        assert (statistics.handled, statistics.failed, statistics.restarts) == (8, 2, 2)
        assert statistics.last_error == "ValueError: bad number"


async def test_a_failed_batch_alone_does_not_count() -> None:
    """If no event fails alone, the listener has not failed."""

    class FailsOnce(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            if len(events) > 1:
                raise ValueError("too many")
            await super().on_events(events)

    recorder, witness = FailsOnce(), Recorder()
    async with Hub(listeners=[witness]) as hub:
        attachment = hub.attach(recorder, pattern="number.*")
        await attachment.ready()
        for n in range(5):
            hub.emit_nowait(said(n))
        await hub.flush()
        assert numbers(recorder.events) == list(range(5))
        assert (attachment.statistics().failed, attachment.statistics().restarts) == (0, 0)
    assert "listener.failed" not in witness.kinds


async def test_a_hook_listener_goes_on_after_a_failure() -> None:
    """A BaseHubListener knows its place: it gets no event twice, and goes on after the bad one."""
    clock, failing = ManualClock(), FailingByHook(3, 6)
    async with Hub(clock=clock) as hub:
        attachment = hub.attach(failing, pattern="number.*")
        await attachment.ready()
        for n in range(8):
            hub.emit_nowait(said(n))
        await pass_time(clock, 1)
        await hub.flush()
        assert failing.heard == [0, 1, 2, 4, 5, 7]
        statistics = attachment.statistics()
        assert (statistics.handled, statistics.failed, statistics.restarts, statistics.batches) == (6, 2, 2, 3)
        assert statistics.last_error == "ValueError: bad number"


async def test_a_function_goes_on_after_a_failure() -> None:
    clock = ManualClock()
    heard: list[int] = []
    async with Hub(clock=clock) as hub:

        @hub.on("number.*")
        def listen(event: Event) -> None:
            heard.extend(numbers([event]))
            if heard[-1] == 3:
                raise ValueError("bad number")

        await until_idle()
        for n in range(8):
            hub.emit_nowait(said(n))
        await pass_time(clock, 1)
        await hub.flush()
        assert heard == list(range(8))


async def test_a_wrong_partial_batch_blames_the_last_event() -> None:
    """A PartialBatch that claims more events than there were has failed at the last one."""

    class Liar(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            raise PartialBatch(1000)

    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        attachment = hub.attach(Liar(), pattern="number.*")
        await attachment.ready()
        for n in range(4):
            hub.emit_nowait(said(n))
        await pass_time(clock, 1)
        await hub.flush()
        assert (attachment.statistics().handled, attachment.statistics().failed) == (3, 1)


# --- BEST_EFFORT: time ----------------------------------------------------------------------------------------------


async def test_a_hanging_listener_is_cancelled() -> None:
    """Past its time it has failed, and no emitter waits for it."""
    cancelled: list[list[int]] = []
    witness = Recorder()

    class Hangs(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            if 1 in numbers(events):
                try:
                    await anyio.sleep_forever()
                finally:
                    cancelled.append(numbers(events))
            await super().on_events(events)

    hangs = Hangs()
    async with Hub(listeners=[witness]) as hub:
        attachment = hub.attach(hangs, pattern="number.*", name="hangs", timeout=0.01)
        await attachment.ready()
        for n in range(3):
            hub.emit_nowait(said(n))
        told = await witness.wait_for("listener.failed")
        await hub.flush()
        assert cancelled == [[0, 1, 2], [1]]
        assert numbers(hangs.events) == [0, 2]
        assert isinstance(told, FailureTold)
        assert (told.listener, told.reason, told.error_type) == ("hangs", "timeout", "ListenerTimeout")
        assert attachment.statistics().last_error == "ListenerTimeout: not done with 1 events after 0.01 s"


async def test_a_batch_has_the_time_of_its_events() -> None:
    given: list[tuple[int, float]] = []

    class Asks(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            given.append((len(events), anyio.current_effective_deadline() - anyio.current_time()))

    async with Hub() as hub:
        await hub.attach(Asks(), pattern="number.*", timeout=100).ready()
        for n in range(7):
            hub.emit_nowait(said(n))
        await hub.flush()
        ((size, seconds),) = given
        assert size == 7
        assert 600 < seconds <= 700


async def test_a_listener_may_resist_cancellation() -> None:
    """It harms no other listener and no emitter."""

    class Deaf(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            for _ in range(3):
                try:
                    await anyio.sleep_forever()
                except asyncio.CancelledError:
                    continue
            raise RuntimeError("I do as I like")

    async with Hub(clock=ManualClock()) as hub:
        attachment = hub.attach(Deaf(), pattern="number.*", timeout=0.01)
        await attachment.ready()
        await hub.emit(said())
        await until_idle()
        await attachment.detach()
        assert attachment.statistics().last_error == "RuntimeError: I do as I like"


# --- BEST_EFFORT: whatever is raised --------------------------------------------------------------------------------


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (asyncio.CancelledError, "RuntimeError: it raised CancelledError, though nobody had cancelled it"),
        (lambda: SystemExit(3), "RuntimeError: it raised SystemExit: 3"),
        (GeneratorExit, "RuntimeError: it raised GeneratorExit"),
        (StopAsyncIteration, "StopAsyncIteration"),
        (lambda: ExceptionGroup("two", [ValueError("one")]), "ExceptionGroup: two (1 sub-exception)"),
        (lambda: StoreFull("disk full"), "StoreFull: disk full"),
        (lambda: HubFailed("not the hub, really"), "HubFailed: not the hub, really"),
        (Unspeakable, "Unspeakable: (its text raised RuntimeError)"),
        (lambda: ValueError("x" * 1_000_000), "ValueError: " + "x" * 1000),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
async def test_listener_exceptions_reach_no_emitter(error: Callable[[], BaseException], message: str) -> None:
    """An exception of any class is the failure of its listener alone."""
    failing, witness = Failing(1, error=error), Recorder()
    clock = ManualClock()
    async with Hub(listeners=[witness], clock=clock) as hub:
        attachment = hub.attach(failing, pattern="number.*")
        await attachment.ready()
        assert (await hub.emit(said(1))).kind == "number.said"
        await pass_time(clock, 1)
        await hub.emit(said(2))
        await hub.flush()
        assert numbers(failing.events) == [2]
        assert attachment.statistics().last_error == message
        assert attachment.state is AttachmentState.RUNNING
    told = [each for each in witness.events if isinstance(each, FailureTold)]
    assert len(told) == 1
    assert f"{told[0].error_type}: {told[0].error_message}".removesuffix(": ") == message


@pytest.mark.parametrize("duty", [Duty.REQUIRED, Duty.BEST_EFFORT])
async def test_a_listener_that_cancels_itself_has_failed(duty: Duty) -> None:
    class Selfdestructs(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            if 1 in numbers(events):
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await asyncio.sleep(0)

    clock = ManualClock()
    hub = Hub(clock=clock)
    await hub.start()
    attachment = hub.attach(Selfdestructs(), pattern="number.*", duty=duty)
    await attachment.ready()
    if duty is Duty.REQUIRED:
        with pytest.raises(ListenerFailed, match="it raised CancelledError"):
            await hub.emit(said(1))
        with pytest.raises(ListenerFailed):
            await hub.aclose()
    else:
        await hub.emit(said(1))
        await pass_time(clock, 1)
        await hub.emit(said(2))
        await hub.flush()
        assert (attachment.statistics().failed, attachment.statistics().handled) == (1, 1)
        await hub.aclose()


@pytest.mark.parametrize("duty", [Duty.REQUIRED, Duty.BEST_EFFORT])
async def test_a_listener_cancelled_from_outside_is_lost(duty: Duty) -> None:
    """It is detached, health reports it, and neither emitters nor the close wait for it."""
    hub = Hub()
    await hub.start()
    attachment = hub.attach(Recorder(), duty=duty, name="victim")
    await attachment.ready()
    [task] = (task for task in asyncio.all_tasks() if task.get_name().endswith("Attachment.run"))
    task.cancel()
    await until_idle()
    assert attachment.state is AttachmentState.DETACHED
    assert not hub.health().healthy
    if duty is Duty.REQUIRED:
        with pytest.raises(ListenerFailed, match="'victim'"):
            await hub.emit(said())
        with pytest.raises(ListenerFailed):
            await hub.aclose()
    else:
        await hub.emit(said())
        await hub.aclose()


# --- BEST_EFFORT: restarts ------------------------------------------------------------------------------------------


async def test_a_failed_listener_restarts_after_a_pause() -> None:
    """It goes on with the next event."""
    clock, failing = ManualClock(), Failing(0, 1)
    async with Hub(clock=clock) as hub:
        attachment = hub.attach(failing, pattern="number.*")
        await attachment.ready()
        await hub.emit(said(0))
        await until_idle()
        await hub.emit(said(7))
        await until_idle()
        assert failing.given == [[0]], "the clock stands still"
        assert attachment.statistics().restarts == 0
        await pass_time(clock, 0.25)
        assert failing.given == [[0], [7]]
        assert attachment.statistics().restarts == 1


async def test_pauses_double_with_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds: list[float] = []

    def longest(start: float, end: float) -> float:
        assert start == 0
        bounds.append(end)
        return end

    monkeypatch.setattr("random.uniform", longest)
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        attachment = hub.attach(Failing(0, 1, 2), pattern="number.*")
        await attachment.ready()
        for n in range(3):
            await hub.emit(said(n))
        await pass_time(clock, 2)
        assert bounds == [0.1, 0.2, 0.4]
        await pass_time(clock, 5)
        await hub.emit(said(0))
        await pass_time(clock, 1)
        assert bounds[3:] == [0.1], "a failure long after the others is a first one"


async def test_four_failures_in_five_seconds_detach() -> None:
    """The hub goes on without the listener."""
    clock, witness = ManualClock(), Recorder()
    failing = Failing(*range(100))
    async with Hub(listeners=[witness], clock=clock) as hub:
        attachment = hub.attach(failing, pattern="number.*", name="failing")
        await attachment.ready()
        for n in range(6):
            await hub.emit(said(n))
        await pass_time(clock, 3)
        assert attachment.state is AttachmentState.DETACHED
        statistics = attachment.statistics()
        assert (statistics.failed, statistics.restarts) == (4, 3)
        detached = await witness.wait_for("listener.detached")
        reason = "failed more than 3 times in 5 seconds, last with ValueError: bad number"
        assert (detached.listener, detached.reason) == ("failing", reason)  # type: ignore[attr-defined]
        assert hub.health().problems == (f"listener 'failing' is detached: {reason}",)
        assert statistics in hub.statistics().attachments, "what was lost stays to be seen"
        await hub.emit(said(7))
        await attachment.ready()
        hub.attach(Recorder(), name="failing")
        await until_idle()
        assert hub.health().healthy, "somebody else does its work now"


async def test_three_failures_in_five_seconds_do_not_detach() -> None:
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        attachment = hub.attach(Failing(0), pattern="number.*")
        await attachment.ready()
        for _ in range(4):
            for _ in range(3):
                await hub.emit(said(0))
            await pass_time(clock, 6)
        assert attachment.statistics().failed == 12
        assert attachment.state is AttachmentState.RUNNING


async def test_failures_are_announced_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one event for each attachment, reason and second, with a count."""
    monkeypatch.setattr("random.uniform", lambda start, end: start)
    clock, witness = ManualClock(), Recorder()
    kinds: list[type[Exception]] = [ValueError, ValueError, KeyError]

    def error() -> Exception:
        return kinds.pop(0)("no")

    async with Hub(listeners=[witness], clock=clock) as hub:
        attachment = hub.attach(Failing(0, 1, 2, error=error), pattern="number.*", name="failing")
        await attachment.ready()
        stamped = []
        for n in range(3):
            stamped.append(await hub.emit(said(n)))
            await until_idle()
            await pass_time(clock, 0.25)
        await hub.flush()
        told = [each for each in witness.events if isinstance(each, FailureTold)]
        assert [(each.listener, each.error_type, each.count, each.event_seq) for each in told] == [
            ("failing", "ValueError", 1, stamped[0].seq),
            ("failing", "KeyError", 1, stamped[2].seq),
        ]
        assert told[0].error_message == "no"
        await pass_time(clock, 0.5)
        await hub.flush()
        told = [each for each in witness.events if isinstance(each, FailureTold)]
        assert [(each.error_type, each.count, each.event_seq) for each in told[2:]] == [
            ("ValueError", 1, stamped[1].seq)
        ]
        restarts = [each.restarts for each in witness.events if isinstance(each, ListenerRestarted)]
        assert restarts == [1, 3]


async def test_failures_at_own_events_are_not_announced() -> None:
    """They are counted; an event about each would cause the next."""

    class Moody(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            if any(each.kind.startswith(("listener.", "mailbox.")) for each in events):
                raise ValueError("not about them")

    clock, witness = ManualClock(), Recorder()
    async with Hub(listeners=[witness], clock=clock) as hub:
        pair = [hub.attach(Moody(), name=name) for name in ("one", "two")]
        await hub.flush()
        await pass_time(clock, 20)
        failed = [attachment.statistics().failed for attachment in pair]
        assert sum(failed) >= 1
        assert all(attachment.state is AttachmentState.RUNNING for attachment in pair)
        await hub.flush()
        assert not {"listener.failed", "listener.restarted", "listener.detached"}.intersection(witness.kinds)


async def test_overflow_events_cause_no_overflow() -> None:
    gate = anyio.Event()
    witness = Recorder()

    class Slow(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            await gate.wait()
            await super().on_events(events)

    slow = Slow()
    async with Hub(listeners=[witness], clock=ManualClock()) as hub:
        await hub.attach(slow, name="slow", mailbox=1).ready()
        for n in range(10):
            await hub.emit(said(n))
            await until_idle()
        gate.set()
        await hub.flush()
    told = [each for each in witness.events if isinstance(each, MailboxOverflowed)]
    assert {each.listener for each in told} == {"slow"}
    assert "mailbox.overflowed" not in slow.kinds


# --- REQUIRED -------------------------------------------------------------------------------------------------------


async def test_a_failing_required_listener_stops_the_hub() -> None:
    """Emitters, readers, inboxes and later calls all get the reason."""
    store, failing, idle = MemoryStore(), Failing(1), Recorder()
    with pytest.raises(ListenerFailed) as raised:
        async with Hub(store, listeners=[idle]) as hub:
            await hub.attach(failing, duty=Duty.REQUIRED, name="log").ready()
            agent = await hub.agents.register("agent")
            waiting = [asyncio.create_task(hub.emit(said(n))) for n in (1, 2, 3)]
            reading = asyncio.create_task(anext(hub.events(pattern="never.*")))
            receiving = asyncio.create_task(anext(agent.inbox()))
            await asyncio.wait([*waiting, reading, receiving])
            for task in (*waiting, reading, receiving):
                assert isinstance(task.exception(), ListenerFailed)
            later: list[Callable[[], Awaitable[Any]]] = [
                lambda: hub.emit(said()),
                lambda: hub.agents.register("later"),
                lambda: hub.channels.open([agent]),
                hub.flush,
                lambda: anext(hub.events()),
            ]
            for command in later:
                with pytest.raises(ListenerFailed) as refused:
                    await command()
                assert refused.value.listener == "log"
            with pytest.raises(ListenerFailed):
                hub.emit_nowait(said())
            assert not hub.offer(said())
            problems = hub.health().problems
            assert len(problems) == 1
            assert problems[0].startswith("the hub has failed: the required listener 'log' failed at event")
    assert type(raised.value) is ListenerFailed
    assert isinstance(raised.value.__cause__, ValueError)
    assert "bad number" in str(raised.value)
    assert "hub.stopped" not in idle.kinds, "nothing is flushed after a failure"


async def test_waiting_emitters_learn_of_a_failure() -> None:
    gate = anyio.Event()

    class FailsLate(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            if numbers(events):
                await gate.wait()
                raise ValueError("too late")

    with pytest.raises(ListenerFailed):
        async with Hub(in_flight_max=1) as hub:
            await hub.attach(FailsLate(), duty=Duty.REQUIRED).ready()
            await hub.flush()
            waiting = [asyncio.create_task(hub.emit(said(n))) for n in range(5)]
            await until_idle()
            assert hub.statistics().emitters_waiting == 4
            gate.set()
            await asyncio.wait(waiting)
            assert all(isinstance(task.exception(), ListenerFailed) for task in waiting)
            assert len({id(task.exception()) for task in waiting}) == 5, "each has a traceback of its own"


async def test_the_exception_of_the_body_wins() -> None:
    """It leaves the `async with` unchanged, with the hub's failure as its context."""
    mine = KeyError("mine")
    with pytest.raises(KeyError) as raised:
        async with Hub() as hub:
            await hub.attach(Failing(1), duty=Duty.REQUIRED).ready()
            hub.emit_nowait(said(1))
            await until_idle()
            raise mine
    assert raised.value is mine
    assert raised.value.__cause__ is None
    chain = []
    error: BaseException | None = mine
    while error is not None:
        chain.append(error)
        assert len(chain) < 10, "a circle"
        error = error.__context__
    assert isinstance(chain[-1], ListenerFailed)


async def test_a_handled_exception_stays_in_the_chain() -> None:
    with pytest.raises(KeyError) as raised:
        async with Hub() as hub:
            await hub.attach(Failing(1), duty=Duty.REQUIRED).ready()
            hub.emit_nowait(said(1))
            await until_idle()
            try:
                await MemoryStore().read_bytes("/x", -1)
            except ValueError:
                raise KeyError("second")  # noqa: B904 - the context is what is tested
    assert isinstance(raised.value.__context__, ValueError)
    assert isinstance(raised.value.__context__.__context__, ListenerFailed)


async def test_the_failure_is_not_its_own_context() -> None:
    """A body that leaves with the hub's failure leaves with it once."""
    with pytest.raises(ListenerFailed) as raised:
        async with Hub() as hub:
            await hub.attach(Failing(1), duty=Duty.REQUIRED).ready()
            await hub.emit(said(1))
    assert raised.value.__context__ is None


async def test_a_cancelled_body_is_cancelled() -> None:
    async def body() -> None:
        async with Hub() as hub:
            await hub.attach(Failing(1), duty=Duty.REQUIRED).ready()
            hub.emit_nowait(said(1))
            await anyio.sleep_forever()

    task = asyncio.create_task(body())
    await until_idle()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


@pytest.mark.parametrize("error", [asyncio.CancelledError, lambda: SystemExit(3), Unspeakable])
async def test_any_failure_is_a_listener_failed(error: Callable[[], BaseException]) -> None:
    """Emitters get `ListenerFailed` for an exception of any class."""
    with pytest.raises(ListenerFailed):
        async with Hub() as hub:
            await hub.attach(Failing(1, error=error), duty=Duty.REQUIRED).ready()
            await hub.emit(said(1))


async def test_a_hanging_required_listener_stops_the_hub() -> None:
    class Hangs(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            if numbers(events):
                await anyio.sleep_forever()

    with pytest.raises(ListenerFailed, match=r"ListenerTimeout: not done with 1 events after 0\.01 s"):
        async with Hub() as hub:
            await hub.attach(Hangs(), duty=Duty.REQUIRED, timeout=0.01).ready()
            await hub.emit(said())


async def test_a_required_listener_goes_on_after_a_restart() -> None:
    class Keeps(Failing):
        duty = Duty.REQUIRED
        since = "start"

        def last_seq(self) -> int | None:
            return self.events[-1].seq if self.events else None

    store, keeps = MemoryStore(), Keeps(3)
    with pytest.raises(ListenerFailed):
        async with Hub(store, listeners=[keeps]) as hub:
            for n in range(6):
                await hub.emit(said(n))
    keeps.bad.clear()
    async with Hub(store, listeners=[keeps]) as hub:
        await hub.emit(said(10))
    assert [each.seq for each in keeps.events] == list(range(len(keeps.events)))
    assert numbers(keeps.events) == [0, 1, 2, 3, 10], "what was journaled is committed by recovery"
    assert keeps.kinds[-1] == "hub.stopped"


async def test_failing_to_catch_up_fails_the_start() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        await hub.emit(said(1))
    hub = Hub(store)
    hub.attach(Failing(1), since="start", duty=Duty.REQUIRED)
    with pytest.raises(ListenerFailed):
        await hub.start()
    async with Hub(store) as hub:
        await hub.emit(said(2))


@pytest.mark.parametrize("duty", [Duty.REQUIRED, Duty.BEST_EFFORT])
async def test_an_unreadable_history_fails_its_reader(duty: Duty) -> None:
    """The hub fails only if the listener is REQUIRED."""

    class Unreadable(MemoryStore):
        broken = False

        async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
            if self.broken:
                raise StoreError("cannot read")
            return await super().read_bytes(path, start, end)

    store = Unreadable()
    hub = Hub(store, ring=1)
    await hub.start()
    for n in range(2000):
        hub.emit_nowait(said(n))
        if n % 500 == 0:
            await hub.flush()
    store.broken = True
    attachment = hub.attach(Recorder(), since="start", duty=duty)
    with pytest.raises(StoreError, match="cannot read"):
        await attachment.ready()
    assert not hub.health().healthy
    if duty is Duty.REQUIRED:
        with pytest.raises(ListenerFailed, match="cannot read"):
            await hub.emit(said())
        with pytest.raises(ListenerFailed):
            await hub.aclose()
    else:
        await hub.emit(said())
        await hub.aclose()


# --- emitting from a listener ---------------------------------------------------------------------------------------


class Answering(BaseHubListener):
    """Emits an answer to every number, by a way that the test names."""

    def __init__(self, answer: Callable[[Hub, int], Awaitable[Any]]) -> None:
        self.answer = answer
        self.returned: list[Any] = []

    def bind(self, hub: Hub) -> None:
        self.hub = hub

    async def on_event(self, event: Event) -> None:
        for n in numbers([event]):
            self.returned.append(await self.answer(self.hub, n))


async def emit_answer(hub: Hub, n: int) -> Event:
    return await hub.emit(answered(n))


async def emit_from_child_task(hub: Hub, n: int) -> Event:
    return await asyncio.create_task(emit_answer(hub, n))


async def emit_from_worker_thread(hub: Hub, n: int) -> Event:
    def work() -> Event:
        return anyio.from_thread.run(emit_answer, hub, n)

    return await anyio.to_thread.run_sync(work)


@pytest.mark.parametrize("emit", [emit_answer, emit_from_child_task, emit_from_worker_thread])
@pytest.mark.parametrize(
    "settings",
    [{"duty": Duty.REQUIRED}, {"overflow": Overflow.BLOCK, "mailbox": 1}, {"duty": Duty.BEST_EFFORT}],
    ids=["required", "block", "best effort"],
)
async def test_a_listener_may_emit(emit: Callable[[Hub, int], Awaitable[Event]], settings: dict[str, Any]) -> None:
    """Its own promise does not hold it up: not the commit, not a full mailbox, not admission."""
    answering, witness = Answering(emit), Recorder()
    async with Hub(MemoryStore(), listeners=[witness], in_flight_max=1) as hub:
        await hub.attach(answering, **settings).ready()
        await hub.flush()
        with anyio.fail_after(30):
            stamped = [await hub.emit(said(n)) for n in range(5)]
            await hub.flush()
            await hub.flush()  # the answers, too
        assert numbers(witness.events, "number.answered") == list(range(5))
        for cause, answer in zip(stamped, answering.returned, strict=True):
            assert (answer.causation_id, answer.depth) == (cause.id, 1)


async def test_emit_in_a_required_listener_returns_applied() -> None:
    """The event is not yet committed, because the commit waits for the listener."""
    committed: list[bool] = []

    async def answer(hub: Hub, n: int) -> Event:
        stamped = await hub.emit(answered(n))
        committed.append(hub.statistics().committed > stamped.seq)
        assert hub.statistics().applied == stamped.seq + 1
        await hub.agents.register(f"agent {n}")
        assert hub.agents.find(f"agent {n}") is not None
        return stamped

    async with Hub() as hub:
        await hub.attach(Answering(answer), duty=Duty.REQUIRED).ready()
        await hub.emit(said())
        await hub.flush()
        assert committed == [False]


async def test_emit_in_a_best_effort_listener_returns_committed() -> None:
    committed: list[bool] = []

    async def answer(hub: Hub, n: int) -> Event:
        stamped = await hub.emit(answered(n))
        committed.append(hub.statistics().committed > stamped.seq)
        return stamped

    async with Hub() as hub:
        await hub.attach(Answering(answer)).ready()
        await hub.emit(said())
        await hub.flush()
        assert committed == [True]


async def test_a_required_listener_has_a_reserve() -> None:
    """It emits from the reserve, and gets Overloaded beyond it."""
    outcome: list[Any] = []

    async def answer(hub: Hub, n: int) -> None:
        try:
            for number in range(100):
                outcome.append(hub.statistics().in_flight)
                await hub.emit(answered(number))
        except Overloaded as error:
            outcome.append(error)
        assert not hub.offer(answered())
        with pytest.raises(Overloaded):
            hub.emit_nowait(answered())

    async with Hub(in_flight_max=4, listener_reserve=3) as hub:
        await hub.attach(Answering(answer), duty=Duty.REQUIRED).ready()
        await hub.flush()
        await hub.emit(said())
        *in_flight, error = outcome
        assert isinstance(error, Overloaded)
        assert "a listener that the commit waits for" in str(error)
        assert in_flight == [1, 2, 3, 4, 5, 6, 7]


async def test_an_outliving_task_has_no_reserve() -> None:
    """A task that outlives the call of the listener that started it waits for admission."""
    go = asyncio.Event()
    tasks: list[asyncio.Task[Event]] = []

    async def later(hub: Hub, n: int) -> Event:
        await go.wait()
        return await hub.emit(answered(n))

    async def answer(hub: Hub, n: int) -> None:
        tasks.append(asyncio.create_task(later(hub, n)))

    gate = anyio.Event()

    class Gated(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            if numbers(events, "number.blocked"):
                await gate.wait()

    async with Hub(in_flight_max=1) as hub:
        await hub.attach(Answering(answer), duty=Duty.REQUIRED).ready()
        await hub.attach(Gated(), duty=Duty.REQUIRED).ready()
        await hub.emit(said())
        blocked = asyncio.create_task(hub.emit(GenericEvent(kind="number.blocked", data={"n": 0})))
        await until_idle()
        go.set()
        await until_idle()
        assert hub.statistics().emitters_waiting == 1, "it waits like anybody"
        gate.set()
        await blocked
        assert (await tasks[0]).causation_id is not None


async def test_an_outliving_thread_has_no_reserve() -> None:
    """A thread that outlives the call of the listener that started it waits for admission."""
    go = threading.Event()
    done: list[asyncio.Future[Any]] = []

    def work(hub: Hub, n: int) -> Event:
        go.wait(30)
        return anyio.from_thread.run(emit_answer, hub, n)

    async def answer(hub: Hub, n: int) -> None:
        done.append(asyncio.ensure_future(anyio.to_thread.run_sync(work, hub, n)))
        await until_idle()

    async with Hub() as hub:
        await hub.attach(Answering(answer), duty=Duty.REQUIRED).ready()
        await hub.emit(said())
        go.set()
        stamped = await done[0]
        assert hub.statistics().committed > stamped.seq


async def test_a_listener_answers_itself_32_times() -> None:
    errors: list[BaseException] = []
    depths: list[int] = []
    async with Hub() as hub:

        @hub.on("number.*")
        async def answer(event: Event) -> None:
            depths.append(event.depth)
            try:
                await hub.emit(answered())
            except CommandRejected as error:
                errors.append(error)

        await until_idle()
        await hub.emit(said())
        await until_idle()
        await hub.flush()
        assert depths == list(range(33))
        assert len(errors) == 1
        assert "answer its own events" in str(errors[0])


async def test_a_required_listener_may_emit_while_closing() -> None:
    answering, witness = Answering(emit_answer), Recorder()
    async with Hub(MemoryStore(), listeners=[witness]) as hub:
        await hub.attach(answering, duty=Duty.REQUIRED).ready()
        for n in range(5):
            hub.emit_nowait(said(n))
    assert numbers(witness.events, "number.answered") == list(range(5))
    assert witness.kinds[-1] == "hub.stopped"


async def test_a_required_listener_may_emit_while_catching_up() -> None:
    store, answering, witness = MemoryStore(), Answering(emit_answer), Recorder()
    async with Hub(store) as hub:
        await hub.emit(said(1))
    hub = Hub(store, listeners=[witness])
    hub.attach(answering, duty=Duty.REQUIRED, since="start")
    async with hub:
        pass
    assert numbers(witness.events, "number.answered") == [1]


# --- the journal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [StoreError("gone"), OSError("gone"), asyncio.CancelledError("gone")])
async def test_an_unwritable_journal_stops_the_hub(error: BaseException) -> None:
    """Emitters and later calls get the reason."""

    class Broken:
        first_seq = next_seq = size_bytes = 0
        hub_id = None
        broken = False
        store = MemoryStore()
        path = "/journal"

        async def open(self) -> None: ...

        async def truncate_before(self, seq: int) -> None: ...

        async def aclose(self) -> None: ...

        async def append(self, events: Sequence[Event]) -> None:
            if self.broken:
                raise error
            self.next_seq += len(events)

        async def replay(self, after: int = -1) -> Any:
            for event in list[Event]():
                yield event

    journal = Broken()
    with pytest.raises(JournalFailed, match="the journal could not be written") as raised:
        async with Hub(journal=journal) as hub:
            await hub.emit(said())
            journal.broken = True
            waiting = [asyncio.create_task(hub.emit(said(n))) for n in range(3)]
            await asyncio.wait(waiting)
            assert all(isinstance(task.exception(), JournalFailed) for task in waiting)
            with pytest.raises(JournalFailed):
                await hub.emit(said())
            assert not hub.health().healthy
    assert "gone" in str(raised.value) or isinstance(error, asyncio.CancelledError)
    assert raised.value.__cause__ is not None


async def test_unjournaled_events_are_never_seen() -> None:
    store, required, other = GatedStore(), Recorder(), Recorder()
    with pytest.raises(JournalFailed):
        async with Hub(store, listeners=[other]) as hub:
            await hub.attach(required, duty=Duty.REQUIRED).ready()
            store.error = StoreError("gone")
            await hub.emit(said())
    assert numbers(required.events) == numbers(other.events) == []
    store.error = None
    async with Hub(store) as hub:
        assert numbers(await history(hub)) == []


# --- a full disk ----------------------------------------------------------------------------------------------------


async def test_a_full_disk_pauses_the_hub() -> None:
    clock, store, recorder = ManualClock(), GatedStore(), Recorder()
    async with Hub(store, listeners=[recorder], clock=clock, in_flight_max=2) as hub:
        await hub.flush()
        store.error = StoreFull("no space left", path="/journal")
        store.appends.clear()
        waiting = [asyncio.create_task(hub.emit(said(n))) for n in range(4)]
        await until_idle()
        assert (hub.statistics().in_flight, hub.statistics().emitters_waiting) == (2, 2)
        assert hub.health().problems == ("the journal has no space to write: no space left",)
        for second in range(1, 11):
            assert len(store.appends) == second
            await pass_time(clock, 1)
            assert not hub.health().healthy
        assert not any(task.done() for task in waiting)
        store.error = None
        await pass_time(clock, 1)
        for task in waiting:
            await task
        assert hub.health().healthy
        await hub.flush()
    assert numbers(recorder.events) == list(range(4))


async def test_a_minute_of_full_disk_stops_the_hub() -> None:
    clock, store = ManualClock(), GatedStore()
    with pytest.raises(JournalFailed, match="no space left") as raised:
        async with Hub(store, clock=clock) as hub:
            store.error = StoreFull("no space left")
            emitting = asyncio.create_task(hub.emit(said()))
            await pass_time(clock, 59.5)
            assert not emitting.done()
            await pass_time(clock, 1)
            await asyncio.wait([emitting])
            assert isinstance(emitting.exception(), JournalFailed)
    assert isinstance(raised.value.__cause__, StoreFull)
    store.error = None
    async with Hub(store) as hub:
        await hub.emit(said())


async def test_space_now_and_then_is_enough() -> None:
    """A disk that has space again within a minute does not stop the hub."""
    clock, store = ManualClock(), GatedStore()
    async with Hub(store, clock=clock) as hub:
        for _ in range(3):
            store.error = StoreFull("no space left")
            emitting = asyncio.create_task(hub.emit(said()))
            await pass_time(clock, 40)
            assert not emitting.done()
            store.error = None
            await pass_time(clock, 1)
            await emitting


async def test_a_full_required_listener_pauses_the_hub() -> None:
    class Full(Failing):
        duty = Duty.REQUIRED

    clock, full = ManualClock(), Full(1, error=lambda: StoreFull("no space left"))
    async with Hub(listeners=[full], clock=clock) as hub:
        emitting = asyncio.create_task(hub.emit(said(1)))
        await pass_time(clock, 30)
        assert not emitting.done()
        assert hub.health().problems == ("listener 'Full' has no space to write: no space left",)
        full.bad.clear()
        await pass_time(clock, 1)
        await emitting
        assert numbers(full.events) == [1]
        assert hub.health().healthy
    full.bad.add(2)
    with pytest.raises(ListenerFailed, match="no space left"):
        async with Hub(listeners=[full], clock=clock) as hub:
            emitting = asyncio.create_task(hub.emit(said(2)))
            await pass_time(clock, 61)
            await emitting


async def test_a_full_hook_listener_gets_nothing_twice() -> None:
    class Full(FailingByHook):
        duty = Duty.REQUIRED

        async def on_event(self, event: Event) -> None:
            if self.bad.intersection(numbers([event])):
                raise StoreFull("no space left")
            await super().on_event(event)

    clock, full = ManualClock(), Full(3)
    async with Hub(listeners=[full], clock=clock) as hub:
        for n in range(6):
            hub.emit_nowait(said(n))
        await pass_time(clock, 5)
        assert full.heard == [0, 1, 2]
        full.bad.clear()
        await pass_time(clock, 1)
        await hub.flush()
        assert full.heard == list(range(6))


async def test_health_reports_every_full_listener() -> None:
    """The hub is unhealthy until the last of them can write again."""

    class Full(Failing):
        duty = Duty.REQUIRED

    clock = ManualClock()
    pair = [Full(1, error=lambda: StoreFull("no space left")) for _ in range(2)]
    async with Hub(listeners=pair, clock=clock) as hub:
        emitting = asyncio.create_task(hub.emit(said(1)))
        await until_idle()
        assert len(hub.health().problems) == 2
        pair[0].bad.clear()
        await pass_time(clock, 1)
        assert hub.health().problems == ("listener 'Full-2' has no space to write: no space left",)
        pair[1].bad.clear()
        await pass_time(clock, 1)
        await emitting
        assert hub.health().healthy


# --- what nobody foresaw --------------------------------------------------------------------------------------------


async def test_an_internal_error_releases_all_waiters(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HubFailed, match="an error of its own") as raised:
        async with Hub(MemoryStore(), listeners=[Recorder()]) as hub:
            await hub.flush()
            monkeypatch.setattr(hub._fanout, "after_journaled", lambda: 1 / 0)
            await hub.emit(said())
    assert isinstance(raised.value.__cause__, ExceptionGroup)


@pytest.mark.parametrize("which", ["the main one", "the others", "all"])
async def test_cancelled_hub_tasks_release_all_waiters(which: str) -> None:
    """If foreign code cancels the tasks of a hub, no caller waits for ever."""
    store, mine = GatedStore(), asyncio.all_tasks()
    with pytest.raises(HubFailed, match=r"cancelled from outside|could not be written"):
        async with Hub(store, listeners=[Recorder()]) as hub:
            await hub.flush()
            store.gate.close()
            tasks = asyncio.all_tasks() - mine
            emitting = asyncio.create_task(hub.emit(said()))
            await until_idle()
            for task in tasks:
                if which == "all" or (task is hub._life._main) == (which == "the main one"):
                    task.cancel()
            await until_idle()
            store.gate.open()
            await asyncio.wait([emitting])
            assert isinstance(emitting.exception(), HubFailed)
    async with Hub(store) as hub:
        await hub.emit(said())
