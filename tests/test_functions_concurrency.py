"""Functions that handle several events at once: how many, in which order, and where their position stands."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import defaultdict
from typing import Any

import pytest

from hubwire import AttachmentState, Chain, Duty, Event, GenericEvent, Hub, Overflow
from hubwire.errors import ConfigurationError, ListenerFailed
from hubwire.events import ListenerFailed as Failed, ListenerSuspended
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, history
from support import advance, copy_of, numbers, said, until, until_idle
from support.fanout import attached
from support.functions import DUTIES
from support.odd import Hostile


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """What resists its cancellation is left behind soon."""
    monkeypatch.setattr("hubwire._foreign.tasks.GRACE_SECONDS", 0.01)


class Work:
    """A function whose calls end when the test says so."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.at_once = 0
        self._gates: dict[int, asyncio.Event] = defaultdict(asyncio.Event)
        self._errors: dict[int, list[Exception]] = {}
        self.is_open = False

    async def __call__(self, each: Event) -> None:
        (n,) = numbers([each])
        self.begun.append(n)
        self.at_once = max(self.at_once, len(self.begun) - len(self.ended))
        try:
            if not self.is_open:
                await self._gates[n].wait()
            if self._errors.get(n):
                raise self._errors[n].pop()
        finally:
            self.ended.append(n)

    def end(self, *ns: int) -> None:
        for n in ns:
            self._gates[n].set()

    def fail(self, n: int, times: int = 1) -> None:
        self._errors[n] = [ValueError(f"{n} fails") for _ in range(times)]
        self._gates[n].set()

    def open(self) -> None:
        self.is_open = True
        for gate in self._gates.values():
            gate.set()


def put(hub: Hub, *ns: int, **header: Any) -> None:
    for n in ns:
        hub.emit_nowait(GenericEvent(kind="number.said", data={"n": n}, **header))


# --- how many -------------------------------------------------------------------------------------------------------


@DUTIES
async def test_so_many_calls_are_under_way_at_once(how: dict[str, Any]) -> None:
    work = Work()
    async with Hub(MemoryStore()) as hub:
        await attached(hub, work, pattern="number.*", concurrency=4, **how)
        put(hub, *range(10))
        await until_idle()
        assert work.begun == [0, 1, 2, 3]
        work.end(2)
        await until_idle()
        assert work.begun == [0, 1, 2, 3, 4]
        work.open()
        await hub.flush()
        assert (sorted(work.ended), work.at_once) == (list(range(10)), 4)
        assert hub.attachments[0].statistics().handled == 10


async def test_events_that_come_one_by_one_are_handled_at_once_too() -> None:
    """A batch is not waited for before the next one begins."""
    work = Work()
    async with Hub() as hub:
        await attached(hub, work, pattern="number.*", concurrency=3)
        for n in range(5):
            await hub.emit(said(n))
            await until_idle()
        assert work.begun == [0, 1, 2]
        work.open()
        await hub.flush()
    assert work.at_once == 3


async def test_sync_functions_have_a_thread_for_each_call() -> None:
    threads: set[int] = set()
    barrier = threading.Barrier(3, timeout=30)

    def work(each: Event) -> None:
        threads.add(threading.get_ident())
        barrier.wait()

    async with Hub() as hub:
        await attached(hub, work, pattern="number.*", concurrency=3)
        put(hub, *range(6))
        await hub.flush()
    assert len(threads) == 3


async def test_waiting_events_are_bounded() -> None:
    """What is in hand does not grow with what comes: the rest stays on the ring, and is dropped there."""
    work = Work()
    async with Hub(ring=4096) as hub:
        attachment = await attached(hub, work, pattern="number.*", concurrency=2, mailbox=10)
        for n in range(2000):
            await hub.emit(said(n))
        await until_idle()
        assert attachment.reading._window.waiting <= 2 * 10  # type: ignore[attr-defined]
        work.open()
        await hub.flush()
        assert attachment.statistics().dropped > 1900
        assert attachment.statistics().handled == 2000 - attachment.statistics().dropped
        assert hub.health().healthy


# --- in which order -------------------------------------------------------------------------------------------------


async def test_events_of_one_key_are_handled_in_order() -> None:
    work = Work()
    async with Hub() as hub:
        await attached(hub, work, pattern="number.*", concurrency=4, key="channel_id")
        put(hub, 0, 1, 2, channel_id="a")
        put(hub, 3, channel_id="b")
        put(hub, 4, 5)
        await until_idle()
        assert work.begun == [0, 3, 4, 5]
        work.end(3, 4, 5)
        await until_idle()
        assert work.begun == [0, 3, 4, 5]
        work.end(0)
        await until_idle()
        assert work.begun == [0, 3, 4, 5, 1]
        work.open()
        await hub.flush()
        assert work.begun == [0, 3, 4, 5, 1, 2]


@pytest.mark.parametrize("seed", range(5))
async def test_random_keys_keep_their_order(seed: int) -> None:
    """With calls of random length and failures, each key's events come in the order of their seq."""
    dice = random.Random(seed)
    heard: dict[int, list[int]] = defaultdict(list)
    running: set[int] = set()

    async def work(each: Event) -> None:
        assert isinstance(each, GenericEvent)
        key = each.data["n"] % 5
        assert key not in running
        running.add(key)
        for _ in range(dice.randrange(5)):
            await asyncio.sleep(0)
        running.discard(key)
        heard[key].append(each.data["n"])

    def key_of(each: Any) -> int:
        return int(each.data["n"]) % 5

    async with Hub(MemoryStore()) as hub:
        settings: dict[str, Any] = {"duty": Duty.DURABLE, "name": "f", "concurrency": 4, "key": key_of}
        await attached(hub, work, pattern="number.*", **settings)
        put(hub, *range(300))
        await hub.flush()
    assert heard == {key: list(range(key, 300, 5)) for key in range(5)}


@pytest.mark.parametrize(
    "key",
    [lambda each: 1 / 0, lambda each: Hostile(), lambda each: [], lambda each: True],
    ids=["raises", "hostile", "a list", "a boolean"],
)
async def test_a_key_that_fails_is_the_listeners_failure(key: Any) -> None:
    """It is announced, and the event is handled, in no order."""
    work = Work()
    work.open()
    async with Hub() as hub:
        await attached(hub, work, pattern="number.*", name="f", concurrency=2, key=key)
        put(hub, 0, 1)
        await hub.flush()
        await until_idle()
        failed = [each for each in await history(hub) if isinstance(each, Failed)]
        assert [each.listener for each in failed] == ["f"]
        assert sorted(work.ended) == [0, 1]


# --- where it stands ------------------------------------------------------------------------------------------------


async def test_a_position_does_not_pass_a_call_that_has_not_ended() -> None:
    """After a crash the event of that call comes again, and those after it."""
    store, work = MemoryStore(), Work()
    settings: dict[str, Any] = {"pattern": "number.*", "duty": Duty.DURABLE, "name": "f", "concurrency": 4}
    async with Hub(store) as hub:
        attachment = await attached(hub, work, **settings)
        seqs = [(await hub.emit(said(n))).seq for n in range(6)]
        work.end(0, 2, 3, 4, 5)
        await until(lambda: len(work.ended) == 5)
        await until_idle()
        assert attachment.done == seqs[1]
        upkeep = hub._parts.upkeep
        assert upkeep is not None
        await upkeep.save_positions()
        crashed = await copy_of(store)
        work.open()
        await hub.flush()
    again = Work()
    again.open()
    async with Hub(crashed) as hub:
        await attached(hub, again, **settings)
    assert again.begun == [1, 2, 3, 4, 5]
    async with Hub(store) as hub:
        last = Work()
        await attached(hub, last, **settings)
    assert last.begun == []


async def test_a_commit_waits_for_the_oldest_call() -> None:
    work = Work()
    async with Hub() as hub:
        await attached(hub, work, pattern="number.*", duty=Duty.REQUIRED, concurrency=2)
        async with asyncio.TaskGroup() as tasks:
            emits = [tasks.create_task(hub.emit(said(n))) for n in range(2)]
            await until(lambda: work.begun == [0, 1])
            work.end(1)
            await until_idle()
            assert not emits[1].done()
            work.end(0)
            await until_idle()
            assert all(each.done() for each in emits)


async def test_emitters_wait_for_the_oldest_call() -> None:
    work = Work()
    async with Hub() as hub:
        await attached(hub, work, pattern="number.*", overflow=Overflow.BLOCK, mailbox=3, concurrency=2)
        for n in range(3):
            await hub.emit(said(n))
        async with asyncio.TaskGroup() as tasks:
            emit = tasks.create_task(hub.emit(said(3)))
            work.end(1)
            await until_idle()
            assert not emit.done()
            work.open()


# --- when it fails --------------------------------------------------------------------------------------------------


async def test_a_durable_call_is_tried_again_beside_the_others() -> None:
    clock, work = ManualClock(), Work()
    async with Hub(MemoryStore(), clock=clock) as hub:
        settings: dict[str, Any] = {"duty": Duty.DURABLE, "name": "f", "concurrency": 2}
        attachment = await attached(hub, work, pattern="number.*", **settings)
        work.fail(0, times=2)
        put(hub, 0, 1, 2)
        await until_idle()
        work.end(1, 2)
        await until_idle()
        assert sorted(work.ended) == [0, 1, 2]
        assert "'f' fails at event" in hub.health().problems[0]
        for _ in range(10):
            await advance(clock, 1)
        await hub.flush()
        assert work.begun.count(0) == 3
        assert (attachment.statistics().retries, attachment.state) == (2, AttachmentState.RUNNING)
        assert hub.health().healthy


async def test_a_durable_function_is_suspended_at_the_event_that_fails() -> None:
    """Others that had begun end; resumed, it goes on with that event, and does not repeat those that were handled."""
    clock, work = ManualClock(), Work()
    async with Hub(MemoryStore(), clock=clock) as hub:
        settings: dict[str, Any] = {"duty": Duty.DURABLE, "name": "f", "concurrency": 3, "attempts_max": 2}
        attachment = await attached(hub, work, pattern="number.*", **settings)
        work.fail(1, times=2)
        put(hub, *range(6))
        await until(lambda: work.begun[:3] == [0, 1, 2])
        work.end(2, 0)
        await until_idle()
        await advance(clock, 60)
        work.end(3, 4, 5)
        await until_idle()
        assert attachment.state is AttachmentState.SUSPENDED
        seq = next(each.seq for each in await history(hub) if numbers([each]) == [1])
        assert attachment.done == seq
        suspended = [each for each in await history(hub) if isinstance(each, ListenerSuspended)]
        assert [(each.listener, each.event_seq) for each in suspended] == [("f", seq)]
        before = len(work.begun)
        attachment.resume()
        await hub.flush()
        repeated = set(work.begun[before:]) & set(work.ended[:before]) - {1}
        assert repeated == set()
        assert set(work.ended) == set(range(6))
        assert hub.health().healthy


async def test_a_suspended_function_may_skip_its_event() -> None:
    work = Work()
    async with Hub(MemoryStore()) as hub:
        settings: dict[str, Any] = {"duty": Duty.DURABLE, "name": "f", "concurrency": 2, "attempts_max": 1}
        attachment = await attached(hub, work, pattern="number.*", **settings)
        work.fail(0)
        work.end(1, 2)
        put(hub, 0, 1, 2)
        await until_idle()
        assert attachment.state is AttachmentState.SUSPENDED
        attachment.resume(skip_missed=True)
        await hub.flush()
        assert (work.begun.count(0), work.begun.count(1), work.begun.count(2)) == (1, 1, 1)


async def test_a_best_effort_function_goes_on_after_failures() -> None:
    clock, work = ManualClock(), Work()
    async with Hub(clock=clock) as hub:
        attachment = await attached(hub, work, pattern="number.*", concurrency=2)
        for n in range(3):
            work.fail(n)
        put(hub, *range(5))
        work.end(3, 4)
        for _ in range(10):
            await advance(clock, 1)
        await hub.flush()
        assert (sorted(work.ended), attachment.statistics().failed) == ([0, 1, 2, 3, 4], 3)


async def test_too_many_failures_are_counted_together() -> None:
    """The calls side by side have one account: more than three failures in five seconds detach the function."""
    clock, work = ManualClock(), Work()
    async with Hub(clock=clock) as hub:
        attachment = await attached(hub, work, pattern="number.*", name="f", concurrency=4)
        for n in range(4):
            work.fail(n)
        put(hub, *range(4))
        await attachment.finished()
        assert "'f' is detached: failed more than 3 times" in hub.health().problems[0]


async def test_a_required_call_that_fails_stops_the_hub() -> None:
    work = Work()
    work.fail(1)
    with pytest.raises(ListenerFailed, match="1 fails"):
        async with Hub() as hub:
            await attached(hub, work, pattern="number.*", duty=Duty.REQUIRED, concurrency=2)
            put(hub, 0, 1)
            await hub.emit(said(2))


@pytest.mark.usefixtures("no_grace")
async def test_a_call_that_never_ends_is_left_behind() -> None:
    release = asyncio.Event()

    async def deaf(each: Event) -> None:
        while numbers([each]) == [0] and not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async with Hub() as hub:
        attachment = await attached(hub, deaf, pattern="number.*", name="f", concurrency=2, timeout=0.01)
        put(hub, 0, 1)
        await attachment.finished()
        assert hub.statistics().attachments[-1].still_running == 1
        assert "'f' is detached" in hub.health().problems[0]
        release.set()
        await until_idle()


# --- muted, and detached --------------------------------------------------------------------------------------------


async def test_events_go_past_a_muted_function_at_each_call() -> None:
    work = Work()
    async with Hub() as hub:
        attachment = await attached(hub, work, pattern="number.*", concurrency=2)
        put(hub, *range(6))
        await until(lambda: work.begun == [0, 1])
        attachment.mute()
        work.end(0)
        await until_idle()
        assert work.begun == [0, 1]
        attachment.unmute()
        put(hub, 6)
        work.open()
        await hub.flush()
        assert (work.begun, attachment.statistics().passed) == ([0, 1, 6], 4)


@pytest.mark.parametrize("how", [{}, {"duty": Duty.DURABLE, "name": "f"}], ids=["best effort", "durable"])
async def test_a_function_detaches_itself_while_others_run(how: dict[str, Any]) -> None:
    """Calls under way end, none begins, and the position is the first that was not called."""
    store, work = MemoryStore(), Work()
    async with Hub(store) as hub:

        async def listen(each: Event) -> None:
            if numbers([each]) == [1]:
                await hub.detach(listen)
            await work(each)

        attachment = await attached(hub, listen, pattern="number.*", concurrency=3, **how)
        put(hub, *range(6))
        await until(lambda: work.begun == [0, 1, 2])
        assert attachment.state is not AttachmentState.DETACHED
        work.open()
        await attachment.finished()
        assert work.begun == [0, 1, 2]
        assert numbers([each for each in await history(hub) if each.seq == attachment.done]) == [3]


async def test_a_hub_closes_while_calls_are_under_way() -> None:
    """They have its time for closing, and are cancelled then."""
    work = Work()
    hub = Hub(close_seconds_max=0.1)
    async with hub:
        await attached(hub, work, pattern="number.*", concurrency=3)
        put(hub, *range(6))
        await until(lambda: len(work.begun) == 3)
    assert sorted(work.ended) == [0, 1, 2]


async def test_a_hub_lets_calls_end_when_it_closes() -> None:
    work = Work()
    work.open()
    async with Hub() as hub:
        await attached(hub, work, pattern="number.*", concurrency=3)
        put(hub, *range(100))
    assert sorted(work.ended) == list(range(100))


# --- what it may be given -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"concurrency": 0}, "concurrency is a whole number from 1 to 1000"),
        ({"concurrency": 1001}, "concurrency"),
        ({"concurrency": True}, "concurrency"),
        ({"concurrency": "4"}, "concurrency"),
        ({"concurrency": 2, "once": True}, "once=True is for one call"),
        ({"concurrency": 2, "batch_seconds": 1.0}, "omit batch_seconds"),
        ({"key": "chanel_id"}, "did you mean channel_id"),
        ({"key": 3}, "or a function of the event"),
        ({"key": "\ud800"}, "key"),
    ],
)
async def test_impossible_concurrency_is_refused(settings: dict[str, Any], message: str) -> None:
    hub = Hub()
    with pytest.raises(ConfigurationError, match=message):
        hub.attach(lambda each: None, **settings)
    assert hub.attachments == ()


async def test_an_object_has_no_concurrency() -> None:
    with pytest.raises(ConfigurationError, match="concurrency and key are for a function"):
        Hub().attach(Recorder(), concurrency=2)
    with pytest.raises(ConfigurationError, match="concurrency and key are for a function"):
        Hub().attach(Recorder(), key="channel_id")
    Hub().attach(print, key="channel_id")


async def test_a_hundred_thousand_events_leave_nothing() -> None:
    """Neither tasks nor memory of what was handled out of turn."""
    count = 0

    async def work(each: Event) -> None:
        nonlocal count
        count += 1
        if each.seq % 7 == 0:
            await asyncio.sleep(0)

    async with Hub() as hub:
        attachment = await attached(hub, work, pattern="number.*", concurrency=8, overflow=Overflow.BLOCK)
        tasks = len(asyncio.all_tasks())
        for n in range(20_000):
            await hub.emit(said(n))
        await hub.flush()
        await until_idle()
        window: Any = attachment.reading._window  # type: ignore[attr-defined]
        assert (count, window.waiting, len(window._order), len(window._handled)) == (20_000, 0, 0, 0)
        assert len(asyncio.all_tasks()) <= tasks + 8


# --- what it may do -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["side by side", "chain"])
async def test_a_required_function_emits_while_the_commit_waits_for_it(kind: str) -> None:
    """Its emits return when they are applied, in each of its calls and not in the first alone."""
    answered: list[int] = []

    async def answer(each: Event) -> None:
        event = await hub.emit(GenericEvent(kind="number.answered", data={"n": numbers([each])[0]}))
        answered.append(event.data["n"])
        assert event.causation_id == each.id

    async with Hub() as hub:
        settings: dict[str, Any] = {"pattern": "number.said", "duty": Duty.REQUIRED, "timeout": 5}
        if kind == "chain":
            await attached(hub, Chain(answer), **settings)
        else:
            await attached(hub, answer, concurrency=2, **settings)
        for n in range(4):
            await hub.emit(said(n))
        await hub.flush()
    assert answered == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["side by side", "chain"])
async def test_a_deaf_function_does_not_keep_the_hub_open(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on though it was cancelled, and the hub closes within its time."""
    monkeypatch.setattr("hubwire._foreign.tasks.GRACE_SECONDS", 60.0)
    release, begun = asyncio.Event(), asyncio.Event()

    async def deaf(each: Event) -> None:
        begun.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    hub = Hub(close_seconds_max=0.2)
    async with hub:
        if kind == "chain":
            await attached(hub, Chain(deaf), pattern="number.*")
        else:
            await attached(hub, deaf, pattern="number.*", concurrency=2)
        await hub.emit(said(0))
        await begun.wait()
    release.set()
    await until_idle()


async def test_an_aborted_hub_leaves_no_calls() -> None:
    work, hub = Work(), Hub()
    await hub.start()
    await attached(hub, work, pattern="number.*", concurrency=3)
    put(hub, *range(6))
    await until(lambda: len(work.begun) == 3)
    await hub.abort()
    await until_idle()
    assert sorted(work.ended) == [0, 1, 2]
    assert len(work.begun) == 3


async def test_what_was_missed_while_suspended_leaves_nothing() -> None:
    """What was handled out of turn and is skipped now is not remembered for ever."""
    work = Work()
    async with Hub(MemoryStore()) as hub:
        settings: dict[str, Any] = {"duty": Duty.DURABLE, "name": "f", "concurrency": 3, "attempts_max": 1}
        attachment = await attached(hub, work, pattern="number.*", **settings)
        work.end(1, 2)
        put(hub, 0, 1, 2)
        await until(lambda: sorted(work.ended) == [1, 2])
        work.fail(0)
        await until(lambda: attachment.state is AttachmentState.SUSPENDED)
        attachment.resume(skip_missed=True)
        await hub.flush()
        window: Any = attachment.reading._window  # type: ignore[attr-defined]
        assert window._handled == set()
