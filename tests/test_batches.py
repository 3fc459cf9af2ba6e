"""Batches of events: `emit_many` and `batch()` put all of them, or none, by one command."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest

from hubwire import (
    BaseActor,
    BaseHubListener,
    Duty,
    Event,
    GenericEvent,
    Hub,
    HubThread,
    Limits,
    StoreJournal,
    Turn,
    event,
    scope,
)
from hubwire._commit.groups import Groups
from hubwire.arbiter import Allow, Command, Deny
from hubwire.errors import (
    AccessDenied,
    CallerError,
    CommandRejected,
    ConfigurationError,
    EventInvalid,
    EventTooLarge,
    HubClosed,
    StoreFull,
)
from hubwire.events import CommandDenied, TaskCompleted, evolve
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, history, peek
from support import GatedStore, numbers, said, seqs, until, until_idle

Emit = Callable[[Any, Sequence[Event]], Any]


@event("batch_tests.counted")
class Counted(Event):
    number: int


async def by_emit_many(hub: Any, events: Sequence[Event]) -> Sequence[Event]:
    made: Sequence[Event] = await hub.emit_many(events)
    return made


async def by_batch(hub: Any, events: Sequence[Event]) -> Sequence[Event]:
    async with hub.batch() as batch:
        for each in events:
            batch.emit(each)
    committed: Sequence[Event] = batch.committed
    return committed


both_ways = pytest.mark.parametrize("emit", [by_emit_many, by_batch])


# --- all --------------------------------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("store", [None, MemoryStore], ids=["memory", "journal"])
async def test_a_batch_is_committed_in_order(emit: Emit, store: Any) -> None:
    """Its events have consecutive numbers, one time, and come back stamped."""
    seen = Recorder()
    async with Hub(store and store(), listeners=[seen]) as hub:
        first = await hub.emit(said(0))
        made = await emit(hub, [said(1), Counted(number=2), said(3)])
        assert seqs(made) == [first.seq + 1, first.seq + 2, first.seq + 3]
        assert [type(each) for each in made] == [GenericEvent, Counted, GenericEvent]
        assert len({each.at for each in made}) == 1
        assert len({each.id for each in made}) == 3
        last = await hub.emit(said(4))
        assert last.seq == first.seq + 4
        assert (await history(hub))[first.seq + 1 : last.seq] == list(made)
        await hub.flush()
        assert numbers(seen.events) == [0, 1, 3, 4]


@both_ways
async def test_a_batch_is_there_after_a_restart(emit: Emit) -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        made = await emit(hub, [said(n) for n in range(5)])
    async with Hub(store) as hub:
        assert [each for each in await history(hub) if each.kind == "number.said"] == list(made)


@both_ways
async def test_events_given_stay_as_they_were(emit: Emit) -> None:
    given = [said(1), said(2)]
    async with Hub() as hub:
        made = await emit(hub, given)
    assert [each.seq for each in given] == [-1, -1]
    assert [evolve(each, seq=-1, id="", at="", hub="") for each in made] == given


@both_ways
async def test_no_events_are_no_command(emit: Emit) -> None:
    async with Hub() as hub:
        before = peek(hub)
        assert list(await emit(hub, [])) == []
        assert peek(hub) == before


@both_ways
async def test_a_thousand_events_are_a_batch_and_one_more_are_none(emit: Emit) -> None:
    async with Hub(MemoryStore()) as hub:
        assert len(await emit(hub, [said(n) for n in range(1000)])) == 1000
        before = peek(hub)
        with pytest.raises(CommandRejected, match=r"at most 1000 events.*; emit them in several batches"):
            await emit(hub, [said(n) for n in range(1001)])
        assert peek(hub) == before


@both_ways
async def test_the_events_of_a_batch_are_no_larger_than_one_may_be(emit: Emit) -> None:
    async with Hub(MemoryStore(), event_bytes_max=100_000) as hub:
        await emit(hub, [GenericEvent(kind="a.b", data={"text": "x" * 30_000})] * 3)
        before = peek(hub)
        with pytest.raises(EventTooLarge, match=r"120\d\d\d bytes of payload together.*make several of it") as caught:
            await emit(hub, [GenericEvent(kind="a.b", data={"text": "x" * 30_000})] * 4)
        assert (caught.value.kind, caught.value.limit_bytes) == ("a.b", 100_000)
        assert peek(hub) == before
        await hub.emit(said(1))


@both_ways
@pytest.mark.parametrize("store", [None, MemoryStore], ids=["memory", "journal"])
@pytest.mark.parametrize("size", [127, 128, 1000])
async def test_a_quick_listener_misses_no_event_of_large_batches(emit: Emit, store: Any, size: int) -> None:
    """Its mailbox holds 1,000: emitting one batch after the other gives it its turns."""
    seen = Recorder()
    async with Hub(store and store(), listeners=[seen]) as hub:
        for first in range(0, 5 * size, size):
            await emit(hub, [said(first + n) for n in range(size)])
        await hub.flush()
    assert numbers(seen.events) == list(range(5 * size))


# --- or none ----------------------------------------------------------------------------------------------------------


class Odd:
    """An object that raises whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(f"{name} is not for you")


NO_EVENT: dict[str, tuple[Any, type[CallerError]]] = {
    "text": ("x", ConfigurationError),
    "none": (None, ConfigurationError),
    "odd": (Odd(), ConfigurationError),
    "class": (GenericEvent, ConfigurationError),
    "owned": (TaskCompleted(task_id="t", owner_id="o"), CommandRejected),
    "own kind": (GenericEvent(kind="hub.started"), CommandRejected),
    "declared": (GenericEvent(kind="batch_tests.counted"), CommandRejected),
    "wrong field": (Counted(number="many"), EventInvalid),  # type: ignore[arg-type]
    "wrong severity": (evolve(said(1), severity="fatal"), EventInvalid),
    "too large": (GenericEvent(kind="a.b", data={"text": "x" * 9_000_000}), EventTooLarge),
}


@both_ways
@pytest.mark.parametrize("name", NO_EVENT)
async def test_one_event_that_is_refused_refuses_all(emit: Emit, name: str) -> None:
    wrong, error = NO_EVENT[name]
    seen = Recorder()
    async with Hub(MemoryStore(), listeners=[seen]) as hub:
        before = peek(hub)
        with pytest.raises(error):
            await emit(hub, [said(0), said(1), wrong, said(2)])
        assert peek(hub) == before
        await emit(hub, [said(3)])
        await hub.flush()
        assert numbers(seen.events) == [3]


def endless() -> Iterator[Event]:
    return map(said, itertools.count())


def raising() -> Iterator[Event]:
    yield said(0)
    raise RuntimeError("no more")


async def later() -> AsyncIterator[Event]:
    yield said(0)


NO_LIST: dict[str, Callable[[], Any]] = {
    "text": lambda: "text",
    "bytes": lambda: b"bytes",
    "event": said,
    "mapping": lambda: {"a": said(0)},
    "none": lambda: None,
    "number": lambda: 5,
    "odd": Odd,
    "endless": endless,
    "raising": raising,
    "async": later,
}


@pytest.mark.parametrize("name", NO_LIST)
async def test_what_is_no_list_of_events_is_refused(name: str) -> None:
    async with Hub() as hub:
        before = peek(hub)
        with pytest.raises(CommandRejected, match=r"hub\.emit_many\(\): events is a list of"):
            await hub.emit_many(NO_LIST[name]())
        assert peek(hub) == before
        assert len(await hub.emit_many(said(n) for n in range(3))) == 3


class Asked:
    """An arbiter that notes what it was asked, and how many events there were then."""

    def __init__(self, denied: int | None = None, *, is_async: bool = False) -> None:
        self.asked: list[Any] = []
        self.hub: Hub | None = None
        self.events: set[int] = set()
        self._denied = denied
        self._is_async = is_async

    def authorize(self, command: Command) -> Any:
        assert self.hub is not None
        self.asked.append(command.content.data.get("n"))
        self.events.add(self.hub._pipeline.ring.applied.value)
        answer = Deny("not this one") if command.content.data.get("n") == self._denied else Allow()

        async def answered() -> Any:
            await asyncio.sleep(0)
            return answer

        return answered() if self._is_async else answer


@both_ways
@pytest.mark.parametrize("is_async", [False, True], ids=["at once", "later"])
async def test_the_arbiter_is_asked_about_each_before_any_is_put(emit: Emit, is_async: bool) -> None:
    arbiter = Asked(is_async=is_async)
    async with Hub(MemoryStore(), arbiter=arbiter) as hub:
        arbiter.hub = hub
        made = await emit(hub, [said(n) for n in range(4)])
        assert arbiter.asked == [0, 1, 2, 3]
        assert arbiter.events == {made[0].seq}


@both_ways
@pytest.mark.parametrize("denied", range(3))
async def test_a_denial_of_one_event_refuses_all(emit: Emit, denied: int) -> None:
    arbiter, seen = Asked(denied, is_async=True), Recorder()
    async with Hub(MemoryStore(), arbiter=arbiter, listeners=[seen]) as hub:
        arbiter.hub = hub
        with pytest.raises(AccessDenied, match="not this one"):
            await emit(hub, [said(n) for n in range(3)])
        await emit(hub, [said(5)])
        await hub.flush()
        assert numbers(seen.events) == [5]
        assert [each.command_name for each in seen.events if isinstance(each, CommandDenied)] == ["emit"]


@both_ways
async def test_a_batch_that_is_cancelled_while_it_waits_leaves_no_trace(emit: Emit) -> None:
    store = GatedStore()
    async with Hub(store, in_flight_max=1) as hub:
        store.gate.close()
        first = asyncio.create_task(hub.emit(said(0)))
        await until(lambda: hub._pipeline.ring.in_flight > 0)
        waiting = asyncio.create_task(emit(hub, [said(1), said(2)]))
        await until(lambda: len(hub._pipeline.admission.waiting) == 1)
        waiting.cancel()
        await asyncio.wait([waiting])
        store.gate.open()
        await first
        await emit(hub, [said(3)])
        assert numbers(await history(hub)) == [0, 3]
        assert not hub._pipeline.ring.groups.waiting


@both_ways
async def test_a_batch_that_is_cancelled_later_is_committed_all_the_same(emit: Emit) -> None:
    store = GatedStore()
    async with Hub(store) as hub:
        store.gate.close()
        going = asyncio.create_task(emit(hub, [said(1), said(2)]))
        await until(lambda: hub._pipeline.ring.in_flight >= 2)
        going.cancel()
        await asyncio.wait([going])
        assert going.cancelled()
        store.gate.open()
        await hub.flush()
        assert numbers(await history(hub)) == [1, 2]


async def test_a_closed_hub_takes_no_batch() -> None:
    hub = Hub()
    with pytest.raises(HubClosed):
        await hub.emit_many([said(1)])
    async with hub:
        batch = hub.batch()
    with pytest.raises(HubClosed):
        await hub.emit_many([said(1)])
    with pytest.raises(HubClosed):
        async with batch:
            batch.emit(said(1))
    assert batch.committed == ()


# --- what surrounds it ------------------------------------------------------------------------------------------------


@both_ways
async def test_a_batch_inherits_its_context(emit: Emit) -> None:
    async with Hub() as hub:
        with scope(correlation_id="c", tenant="t", agent="a", turn="u"):
            made = await emit(hub, [said(1), evolve(said(2), correlation_id="own")])
    assert [each.correlation_id for each in made] == ["c", "own"]
    assert {(each.tenant, each.agent_id, each.turn_id) for each in made} == {("t", "a", "u")}


@both_ways
@pytest.mark.parametrize("duty", [Duty.REQUIRED, Duty.BEST_EFFORT])
async def test_a_listener_may_emit_a_batch(emit: Emit, duty: Duty) -> None:
    """One that the commit waits for does not wait for its own; what it emits names its cause."""

    class Answering(BaseHubListener):
        async def on_event(self, event: Event) -> None:
            if numbers([event]):
                made = await emit(hub, [GenericEvent(kind="number.answered") for _ in range(3)])
                answers.append((event, made))

    answers: list[tuple[Event, Sequence[Event]]] = []
    async with Hub(MemoryStore(), in_flight_max=1) as hub:
        await hub.attach(Answering(), duty=duty).ready()
        await hub.emit(said(1))
        await hub.flush()
        ((cause, made),) = answers
        assert {(each.causation_id, each.depth) for each in made} == {(cause.id, 1)}
        assert len([each for each in await history(hub) if each.kind == "number.answered"]) == 3


@both_ways
async def test_an_agent_emits_a_batch_of_its_own_alone(emit: Emit) -> None:
    async with Hub() as hub:
        one, other = await hub.agents.register("one"), await hub.agents.register("other")
        face = hub.acting_as(one)
        made = await emit(face, [said(1), evolve(said(2), agent_id=one.id)])
        assert {each.agent_id for each in made} == {one.id}
        call = "hub.emit_many()" if emit is by_emit_many else "batch.emit()"
        with pytest.raises(AccessDenied, match="the event's agent_id") as caught:
            await emit(face, [said(3), evolve(said(4), agent_id=other.id)])
        assert str(caught.value).startswith(f"{call}: ")
        assert numbers(await history(hub)) == [1, 2]


async def test_an_agent_that_has_left_commits_no_batch() -> None:
    async with Hub() as hub:
        one = await hub.agents.register("one")
        face = hub.acting_as(one)
        with pytest.raises(CommandRejected):
            async with face.batch() as batch:
                batch.emit(said(1))
                await one.unregister()
        assert numbers(await history(hub)) == []


async def test_an_actor_emits_a_batch_in_its_turn() -> None:
    class Emitting(BaseActor):
        async def on_envelope(self, turn: Turn) -> None:
            await turn.hub.emit_many([said(1), said(2)])
            async with turn.hub.batch() as batch:
                batch.emit(said(3))
            await turn.reply("done")

    async with Hub(MemoryStore()) as hub:
        asker = await hub.agents.register("asker")
        actor = await hub.spawn(Emitting(), name="actor")
        await hub.ask(asker, actor.agent, "go")
        made = [each for each in await history(hub) if each.kind == "number.said"]
        assert numbers(made) == [1, 2, 3]
        assert {each.agent_id for each in made} == {actor.agent.id}


async def test_two_hubs_have_batches_of_their_own() -> None:
    clock = ManualClock()
    async with Hub(MemoryStore(), clock=clock) as one, Hub(MemoryStore()) as other:
        async with one.batch() as first, other.batch() as second:
            first.emit(said(1))
            second.emit(said(2))
            first.emit(said(3))
        assert numbers(await history(one)) == [1, 3]
        assert numbers(await history(other)) == [2]
        assert first.committed[0].at.startswith("20")


def test_a_thread_emits_batches() -> None:
    store = MemoryStore()
    with HubThread(Hub(store)) as thread:
        with scope(correlation_id="c"):
            made = thread.emit_many(said(n) for n in range(3))
        assert numbers(made) == [0, 1, 2]
        assert {each.correlation_id for each in made} == {"c"}
        with pytest.raises(CommandRejected, match="events is a list of events"):
            thread.emit_many("x")  # type: ignore[type-var]
        with pytest.raises(EventInvalid):
            thread.emit_many([said(7), evolve(said(8), severity="x")])

        async def inside() -> None:
            with pytest.raises(ConfigurationError, match="would wait for itself"):
                thread.emit_many([said(9)])

        thread.call(inside)
    with pytest.raises(HubClosed):
        thread.emit_many([said(1)])


# --- the block --------------------------------------------------------------------------------------------------------


async def test_an_exception_in_the_block_leaves_no_event() -> None:
    async with Hub() as hub:
        before = peek(hub)
        with pytest.raises(ZeroDivisionError):
            async with hub.batch() as batch:
                batch.emit(said(1))
                raise ZeroDivisionError
        assert peek(hub) == before
        assert batch.committed == ()


async def test_a_batch_is_committed_when_its_block_ends() -> None:
    async with Hub() as hub:
        async with hub.batch() as batch:
            batch.emit(said(1))
            await hub.emit(said(0))
            assert batch.committed == ()
            assert numbers(await history(hub)) == [0]
        assert numbers(batch.committed) == [1]
        assert numbers(await history(hub)) == [0, 1]


async def test_a_function_joins_the_transaction_of_its_caller() -> None:
    def transfer(batch: Any, amount: int) -> None:
        batch.emit(said(-amount))
        batch.emit(said(amount))

    async with Hub() as hub:
        async with hub.batch() as batch:
            transfer(batch, 1)
            transfer(batch, 2)
        assert numbers(batch.committed) == [-1, 1, -2, 2]


async def test_each_event_has_the_context_in_which_it_was_emitted() -> None:
    """And nothing of that in which the block ends."""
    async with Hub() as hub:
        with scope(correlation_id="outer", agent="a", turn="t", task="k"):
            async with hub.batch() as batch:
                batch.emit(said(1))
                with scope(correlation_id="inner", agent="b"):
                    batch.emit(said(2))
    one, two = batch.committed
    assert (one.correlation_id, one.agent_id, one.turn_id, one.task_id) == ("outer", "a", "t", "k")
    assert (two.correlation_id, two.agent_id, two.turn_id, two.task_id) == ("inner", "b", None, None)


async def test_an_event_that_the_block_refuses_leaves_the_batch_as_it_was() -> None:
    async with Hub() as hub:
        async with hub.batch() as batch:
            batch.emit(said(1))
            for wrong, error in NO_EVENT.values():
                with pytest.raises(error):
                    batch.emit(wrong)
            batch.emit(said(2))
        assert numbers(batch.committed) == [1, 2]


async def test_a_payload_is_frozen_where_it_is_emitted() -> None:
    payload: dict[str, Any] = {"n": 1}
    async with Hub() as hub:
        async with hub.batch() as batch:
            batch.emit(GenericEvent(kind="number.said", data=payload))
            payload["n"] = 2
        assert numbers(batch.committed) == [1]


async def test_a_batch_is_for_one_block() -> None:
    async with Hub() as hub:
        batch = hub.batch()
        with pytest.raises(ConfigurationError, match=r"batch\.emit\(\): the batch has not begun; write 'async with"):
            batch.emit(said(1))
        async with batch:
            assert "0 events" in repr(batch)
            with pytest.raises(ConfigurationError, match="begun already"):
                await batch.__aenter__()
        with pytest.raises(ConfigurationError, match="the batch has ended"):
            batch.emit(said(1))
        with pytest.raises(ConfigurationError, match="begun already"):
            async with batch:
                pass
        assert numbers(await history(hub)) == []


async def test_a_batch_is_used_in_the_loop_of_its_hub() -> None:
    async with Hub() as hub, hub.batch() as batch:

        def elsewhere() -> None:
            with pytest.raises(ConfigurationError, match="another event loop"):
                batch.emit(said(1))

        await asyncio.to_thread(elsewhere)


# --- the journal ------------------------------------------------------------------------------------------------------


class Noting(StoreJournal):
    """A journal that notes which events it was given together."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.appends: list[tuple[list[int], list[list[int]]]] = []

    async def append(self, events: Sequence[Event]) -> None:
        self.appends.append((numbers(events), []))
        await super().append(events)

    async def append_batches(self, events: Sequence[Event], batches: Sequence[range]) -> None:
        self.appends.append((numbers(events), [numbers(events[each.start : each.stop]) for each in batches]))
        await super().append_batches(events, batches)


async def test_the_journal_divides_no_batch() -> None:
    """However small its appends are, and whatever is emitted beside it."""
    store = GatedStore()
    journal = Noting(store)
    async with Hub(journal=journal) as hub:
        hub._pipeline.ring.batch_bytes_max = 5000
        store.gate.close()
        heavy = [GenericEvent(kind="number.said", data={"n": n, "text": "x" * 2000}) for n in range(10)]
        tasks = [
            asyncio.create_task(hub.emit(heavy[0])),
            asyncio.create_task(hub.emit_many(heavy[1:5])),
            asyncio.create_task(hub.emit(heavy[5])),
            asyncio.create_task(hub.emit_many(heavy[6:9])),
            asyncio.create_task(hub.emit(heavy[9])),
        ]
        await until(lambda: hub._pipeline.ring.in_flight >= 10)
        store.gate.open()
        await asyncio.gather(*tasks)
        assert not hub._pipeline.ring.groups.waiting
    appends = [append for append in journal.appends if append[0]]
    assert sum((given for given, _ in appends), []) == list(range(10))  # noqa: RUF017 - a few
    assert [batch for _, batches in appends for batch in batches] == [[1, 2, 3, 4], [6, 7, 8]]


async def test_batches_and_single_events_share_an_append() -> None:
    store = GatedStore()
    journal = Noting(store)
    async with Hub(journal=journal) as hub:
        store.gate.close()
        first = asyncio.create_task(hub.emit(said(0)))
        await until(lambda: len(store.appends) > 1)
        rest = [hub.emit_many([said(1), said(2)]), hub.emit(said(3)), hub.emit_many([said(4), said(5)])]
        tasks = [asyncio.create_task(each) for each in rest]
        await until(lambda: hub._pipeline.ring.in_flight >= 6)
        store.gate.open()
        await asyncio.gather(first, *tasks)
    assert ([1, 2, 3, 4, 5], [[1, 2], [4, 5]]) in journal.appends


def test_an_append_ends_where_no_group_is_divided() -> None:
    groups = Groups()
    assert groups.take(0, 10) == (10, [])
    for group in (range(2, 5), range(5, 9), range(12, 20)):
        groups.add(group)
    assert groups.take(0, 1) == (1, [])
    assert groups.take(0, 2) == (2, [])
    assert groups.take(0, 4) == (2, [])
    assert groups.take(2, 4) == (5, [range(2, 5)])
    assert groups.take(5, 13) == (12, [range(5, 9)])
    assert groups.take(12, 13) == (20, [range(12, 20)])
    assert not groups.waiting


class Plain:
    """A journal that knows no batches."""

    def __init__(self, journal: StoreJournal) -> None:
        self._journal = journal
        self.appends: list[list[int]] = []

    def __getattr__(self, name: str) -> Any:
        if name == "append_batches":
            raise AttributeError(name)
        return getattr(self._journal, name)

    async def append(self, events: Sequence[Event]) -> None:
        self.appends.append(numbers(events))
        await self._journal.append(events)


async def test_a_journal_that_knows_no_batches_gets_them_whole() -> None:
    store = MemoryStore()
    journal: Any = Plain(StoreJournal(store))
    async with Hub(journal=journal) as hub:
        await hub.emit_many([said(1), said(2), said(3)])
    assert [1, 2, 3] in journal.appends
    async with Hub(store) as hub:
        assert numbers(await history(hub)) == [1, 2, 3]


async def test_a_batch_is_tried_again_when_the_disk_was_full() -> None:
    store, clock = GatedStore(), ManualClock()
    async with Hub(store, clock=clock) as hub:
        store.error = StoreFull("no room")
        going = asyncio.create_task(hub.emit_many([said(1), said(2)]))
        await until(lambda: not hub.health().healthy)
        await until_idle()
        store.error = None
        clock.advance(1)
        made = await going
        assert numbers(made) == [1, 2]
    async with Hub(store.crashed()) as hub:
        assert numbers(await history(hub)) == [1, 2]


@pytest.mark.slow
async def test_a_hundred_thousand_events_leave_no_more_than_single_ones() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        for number in range(200):
            await hub.emit_many([said(number * 500 + n) for n in range(500)])
        ring = hub._pipeline.ring
        assert not ring.groups.waiting
        assert ring.applied.value - ring.first <= Limits().ring + 2048
    async with Hub(store) as hub:
        assert (await hub.emit(said(0))).seq >= 100_000
