"""Best-effort listeners that fail: what is handled again, when they restart, and when they are detached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import anyio
import anyio.from_thread
import anyio.to_thread
import attrs
import pytest

from hubwire import AttachmentState, Duty, Event, Hub
from hubwire.errors import (
    HubFailed,
    ListenerFailed,
    PartialBatch,
    StoreFull,
)
from hubwire.events import ListenerFailed as FailureTold, ListenerRestarted, MailboxOverflowed
from hubwire.testing import ManualClock, Recorder
from support import numbers, pass_time, said, until, until_idle
from support.failures import Failing, FailingByHook, Unspeakable

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

        @hub.on("number.*", in_loop=True)
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
    """A listener that takes a batch as a whole has the sum."""

    class Hangs(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            await anyio.sleep_forever()

    hub = Hub()
    attachment = hub.attach(Hangs(), pattern="number.*", timeout=0.001, duty=Duty.REQUIRED)
    with pytest.raises(ListenerFailed, match=r"not done with 7 events after 0\.007 s"):
        async with hub:
            await attachment.ready()
            for n in range(7):
                hub.emit_nowait(said(n))
            await hub.flush()


async def test_a_listener_may_resist_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left behind, and harms no other listener and no emitter."""
    monkeypatch.setattr("hubwire._foreign.tasks.GRACE_SECONDS", 0.01)
    release = asyncio.Event()

    class Deaf(Recorder):
        async def on_events(self, events: Sequence[Event]) -> None:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

    async with Hub(clock=ManualClock()) as hub:
        attachment = hub.attach(Deaf(), pattern="number.*", timeout=0.01, name="deaf")
        await attachment.ready()
        await hub.emit(said())
        await attachment.finished()
        error = "ListenerTimeout: not done with 1 events after 0.01 s, and it goes on though it was cancelled"
        assert attachment.statistics().last_error == error
        assert attachment.statistics().still_running == 1
        assert f"it failed, and cannot be called again: {error}" in hub.health().problems[0]
        release.set()
        await until(lambda: attachment.statistics().still_running == 0)


# --- BEST_EFFORT: whatever is raised --------------------------------------------------------------------------------


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
        assert hub.health().problems == (
            f"listener 'failing' is detached: {reason}; mend the cause and attach it again",
        )
        lost = hub.statistics().attachments[-1]
        assert attrs.evolve(lost, lag=statistics.lag) == statistics, "what was lost stays to be seen"
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
