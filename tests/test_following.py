"""Following: a hub that has the state of another one and is read, and takes the lead when it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from hubwire import Agent, Duty, Hub, Overflow
from hubwire.errors import (
    ConfigurationError,
    Fenced,
    HistoryGone,
    HubAborted,
    HubClosed,
    HubFailed,
    JournalBehind,
    JournalFailed,
    LogDamaged,
    NotLeading,
    StoreUnavailable,
)
from hubwire.events import Event
from hubwire.stores import MemoryStore
from hubwire.testing import Gate, ManualClock, MemoryHistory, MemorySharedJournal
from support import numbers, said, seqs, until, until_idle


class Seen:
    """A listener that keeps what it sees, and holds a place of its own."""

    def __init__(self, duty: Duty = Duty.BEST_EFFORT) -> None:
        self.duty = duty
        self.seen: list[Event] = []

    async def on_events(self, events: Sequence[Event]) -> None:
        self.seen += events


class Journal(MemorySharedJournal):
    """One whose opening can be held up, or fails."""

    def __init__(self, history: MemoryHistory) -> None:
        super().__init__(history)
        self.gate = Gate(is_open=True)
        self.error: Exception | None = None

    async def open(self) -> None:
        await self.gate.pass_through()
        if self.error is not None:
            raise self.error
        await super().open()


@pytest.fixture
def history() -> MemoryHistory:
    return MemoryHistory(MemoryStore(), beat_seconds=0.05)


def hub_on(history: MemoryHistory, **settings: Any) -> Hub:
    return Hub(journal=MemorySharedJournal(history), **settings)


@asynccontextmanager
async def following(hub: Hub) -> AsyncIterator[Hub]:
    await hub.follow()
    try:
        yield hub
    finally:
        await hub.aclose()


async def caught_up(follower: Hub, leader: Hub) -> None:
    await until(lambda: follower.statistics().committed >= leader.statistics().committed)


# -- reading --


async def test_a_follower_reads_what_the_leader_commits(history: MemoryHistory) -> None:
    """What there was before, and what comes."""
    async with hub_on(history) as leader:
        ann, bob = await leader.agents.register("ann"), await leader.agents.register("bob")
        channel = await leader.channels.open([ann, bob])
        await channel.post(ann, "one")
        async with following(hub_on(history)) as follower:
            assert (follower.is_following, follower.is_leading, follower.id) == (True, False, leader.id)
            assert (leader.is_following, leader.is_leading) == (False, True)
            assert [each.name for each in follower.agents.list()] == ["ann", "bob"]
            stream = follower.events()
            await channel.post(ann, "two")
            await leader.agents.register("cid")
            await caught_up(follower, leader)
            assert [each.name for each in follower.agents.list()] == ["ann", "bob", "cid"]
            there = await follower.channels.get(channel.id).history()
            assert [each.event.content for each in there] == ["one", "two"]  # type: ignore[attr-defined]
            assert [(await anext(stream)).kind for _ in range(2)] == ["envelope.posted", "agent.registered"]
            old = follower.events(after=-1)
            assert [(await anext(old)).seq for _ in range(6)] == [0, 1, 2, 3, 4, 5]
            assert "following" in repr(follower)
    assert (follower.is_following, follower.is_leading) == (False, False)


async def test_a_follower_has_the_state_of_the_leader(history: MemoryHistory) -> None:
    """All of it, after work of many sorts."""
    async with hub_on(history) as leader, following(hub_on(history)) as follower:
        agents = [await leader.agents.register(f"a{number}") for number in range(5)]
        for number in range(30):
            channel = await leader.channels.open([agents[number % 5], agents[(number + 1) % 5]])
            await channel.post(agents[number % 5], f"{number}", idempotency_key=f"key {number}")
            if number % 3 == 0:
                await channel.close("done")
        await leader.timers.after(3600, "late", {"n": 1})
        await caught_up(follower, leader)
        assert follower._parts.state.snapshot() == leader._parts.state.snapshot()


async def test_a_follower_sees_no_event_that_a_crash_can_undo(history: MemoryHistory) -> None:
    """An event that a REQUIRED listener of the leader has not is not committed."""
    gate = Gate(is_open=True)

    class Slow:
        duty = Duty.REQUIRED

        async def on_events(self, events: Sequence[Event]) -> None:
            await gate.pass_through()

    async with hub_on(history, listeners=[Slow()]) as leader, following(hub_on(history)) as follower:
        gate.close()
        leader.emit_nowait(said(1))
        await until(lambda: leader.statistics().journaled == leader.statistics().applied)
        await until_idle()
        assert follower.statistics().applied == leader.statistics().committed
        gate.open()
        await until(lambda: numbers(follower._parts.pipeline.ring._events) == [1])


async def test_no_listener_is_called_twice(history: MemoryHistory) -> None:
    """REQUIRED and DURABLE ones are called by the hub that leads; a BEST_EFFORT one is called where it is attached."""
    mine, theirs = ([Seen(duty) for duty in Duty] for _ in range(2))
    hubs = hub_on(history), hub_on(history)
    for hub, listeners in zip(hubs, (mine, theirs), strict=True):
        for each in listeners:
            hub.attach(each, name=each.duty.value)
    async with hubs[0] as leader, following(hubs[1]) as follower:
        late = Seen(Duty.DURABLE)
        follower.attach(late, name="late")
        for number in range(3):
            await leader.emit(said(number))
        await caught_up(follower, leader)
        await until(lambda: [numbers(each.seen) for each in mine] == [[0, 1, 2]] * len(mine))
        await until(lambda: any(each.seen for each in theirs))
        await until_idle()
        assert {each.duty for each in theirs if each.seen} == {Duty.BEST_EFFORT}
        await leader.aclose()
        await follower.lead()
        await follower.emit(said(3))
        await follower.flush()
        by_duty = {each.duty: numbers(each.seen) for each in theirs}
        assert by_duty[Duty.BEST_EFFORT] == [0, 1, 2, 3]
        assert by_duty[Duty.DURABLE] == [3]
        assert by_duty[Duty.REQUIRED][-1:] == [3]
        assert numbers(late.seen) == [3]


async def test_a_follower_puts_no_events(history: MemoryHistory) -> None:
    """Not even about its listeners: they fail, come and go."""

    class Failing(Seen):
        async def on_events(self, events: Sequence[Event]) -> None:
            raise ValueError("no")

    async with hub_on(history) as leader, following(hub_on(history, listeners=[Failing()])) as follower:
        for number in range(100):
            follower.attach(Seen(), name=f"n{number}")
            await leader.emit(said(number))
            await follower.detach(f"n{number}")
        await caught_up(follower, leader)
        kept = follower.attach(Seen(), name="kept")
        await kept.ready()
        await leader.aclose()
        await follower.lead()
        await follower.flush()
        attached = [each.listener async for each in upto_now(follower) if each.kind == "listener.attached" and each.hub]
        assert "kept" in attached
        assert not [each for each in attached if each.startswith("n")]


async def upto_now(hub: Hub) -> AsyncIterator[Any]:
    end = hub.statistics().committed
    async for event in hub.events(after=-1):
        yield event
        if event.seq == end - 1:
            return


async def test_a_hub_follows_what_was_never_written(history: MemoryHistory) -> None:
    async with following(hub_on(history)) as follower:
        assert (follower.id, follower.agents.list()) == ("", [])
        seen = Seen()
        await follower.attach(seen).ready()
        async with hub_on(history) as leader:
            await leader.agents.register("ann")
            await caught_up(follower, leader)
            assert follower.id == leader.id
            assert [each.name for each in follower.agents.list()] == ["ann"]
            await until(lambda: [each.kind for each in seen.seen] == ["hub.started", "agent.registered"])


# -- what it refuses --


CALLS: dict[str, Callable[[Hub, Agent], Awaitable[object]]] = {
    "emit": lambda hub, _: hub.emit(said()),
    "emit_many": lambda hub, _: hub.emit_many([said()]),
    "register": lambda hub, _: hub.agents.register("bob"),
    "open": lambda hub, agent: hub.channels.open([agent]),
    "ask": lambda hub, agent: hub.ask(agent, agent, "?"),
    "publish": lambda hub, agent: hub.topics.publish("news", "!", sender=agent),
    "subscribe": lambda hub, agent: hub.topics.subscribe(agent, "news"),
    "timer": lambda hub, _: hub.timers.after(1),
    "task": lambda hub, agent: hub.tasks.start(agent, "work"),
    "spawn": lambda hub, _: hub.spawn(Seen()),
    "forget": lambda hub, _: hub.forget("x"),
    "flush": lambda hub, _: hub.flush(),
    "letters": lambda hub, _: hub.dead_letters.discard("x"),
    "threads": lambda hub, _: asyncio.wrap_future(hub.emit_threadsafe(said())),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_follower_takes_no_commands(
    history: MemoryHistory, call: Callable[[Hub, Agent], Awaitable[object]]
) -> None:
    async with hub_on(history) as leader:
        agent = await leader.agents.register("ann")
        async with following(hub_on(history)) as follower:
            before = follower._parts.state.snapshot()
            with pytest.raises(NotLeading, match=r"await hub\.lead\(\)"):
                await call(follower, agent)
            assert not follower.offer(said())
            with pytest.raises(NotLeading):
                follower.emit_nowait(said())
            assert follower._parts.state.snapshot() == before
            assert follower.statistics().applied == leader.statistics().applied


async def test_hubs_that_cannot_follow_say_so(history: MemoryHistory) -> None:
    for hub in (Hub(), Hub(MemoryStore())):
        with pytest.raises(ConfigurationError, match=r"hub\.follow\(\) needs a journal"):
            await hub.follow()
        with pytest.raises(ConfigurationError, match=r"hub\.lead\(\) is for a hub that follows"):
            await hub.lead()
        async with hub:  # it was not harmed
            await hub.emit(said())
            with pytest.raises(ConfigurationError):
                await hub.lead()
    async with hub_on(history) as leader:
        with pytest.raises(ConfigurationError, match="started already"):
            await leader.follow()
    async with following(hub_on(history)) as follower:
        for call in (follower.follow, follower.start):
            with pytest.raises(ConfigurationError, match="started already"):
                await call()
        await follower.lead()
        with pytest.raises(ConfigurationError, match="leads already"):
            await follower.lead()
    with pytest.raises(HubClosed):
        await follower.lead()


# -- taking the lead --


async def test_a_follower_takes_the_lead(history: MemoryHistory) -> None:
    """From a hub that is still there, which is refused from then on; what it had appended is not lost."""
    leader = hub_on(history)
    await leader.start()
    ann = await leader.agents.register("ann")
    async with following(hub_on(history)) as follower:
        stream = follower.events(after=-1)
        await follower.lead()
        assert (follower.is_following, follower.is_leading) == (False, True)
        with pytest.raises(JournalFailed) as caught:
            await leader.emit(said())
        assert isinstance(caught.value.__cause__, Fenced)
        await leader.abort()
        await follower.channels.open([follower.agents.get(ann.id)])
        end = follower.statistics().committed
        assert [(await anext(stream)).seq for _ in range(end)] == [*range(end)]
        assert follower.id == leader.id
        assert follower.health().healthy
    async with hub_on(history) as third:
        assert [each.name for each in third.agents.list()] == ["ann"]
        assert len(third.channels.list()) == 1


async def test_what_was_appended_and_not_committed_is_there_after_it(history: MemoryHistory) -> None:
    gate = Gate(is_open=True)

    class Slow(Seen):
        async def on_events(self, events: Sequence[Event]) -> None:
            await gate.pass_through()

    leader = hub_on(history, listeners=[Slow(Duty.REQUIRED)])
    await leader.start()
    async with following(hub_on(history)) as follower:
        gate.close()
        for number in range(600):
            leader.emit_nowait(said(number))
        await until(lambda: leader.statistics().journaled == leader.statistics().applied)
        await leader.abort()
        assert follower.statistics().applied < 600
        stream = follower.events()
        await follower.lead()
        found = [await anext(stream) for _ in range(601)]
        assert numbers(found) == [*range(600)]
        assert found[-1].kind == "hub.started"


async def test_the_first_hub_of_all_may_have_followed(history: MemoryHistory) -> None:
    async with following(hub_on(history)) as hub:
        await hub.lead()
        assert hub.id
        await hub.agents.register("ann")
    async with hub_on(history) as other:
        assert other.id == hub.id
        assert len(other.agents.list()) == 1


async def test_a_lead_that_cannot_open_the_journal_leaves_the_hub_following(history: MemoryHistory) -> None:
    journal = Journal(history)
    async with hub_on(history) as leader, following(Hub(journal=journal)) as follower:
        journal.error = StoreUnavailable("no server")
        with pytest.raises(StoreUnavailable):
            await follower.lead()
        assert follower.is_following
        await leader.agents.register("ann")
        await caught_up(follower, leader)
        assert len(follower.agents.list()) == 1
        journal.error = None
        await leader.aclose()
        await follower.lead()
        await follower.agents.register("bob")


async def test_a_lead_that_is_cancelled_while_it_opens_leaves_the_hub_following(history: MemoryHistory) -> None:
    journal = Journal(history)
    async with hub_on(history) as leader, following(Hub(journal=journal)) as follower:
        journal.gate.close()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follower.lead)
            await until_idle()
            with pytest.raises(ConfigurationError, match="about to lead already"):
                await follower.lead()
            tasks.cancel_scope.cancel()
        journal.gate.open()
        await leader.agents.register("ann")
        await caught_up(follower, leader)
        await leader.aclose()
        await follower.lead()
        assert len(follower.agents.list()) == 1


async def test_leads_that_are_cancelled_leave_nothing(history: MemoryHistory) -> None:
    """At once, and at each step of the way; one follower is left, and its end is a good one."""
    journal = Journal(history)
    hub = Hub(journal=journal)
    async with hub_on(history) as leader:
        await hub.follow()
        journal.gate.close()
        for turns in range(8):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hub.lead)
                for _ in range(turns):
                    await asyncio.sleep(0)
                tasks.cancel_scope.cancel()
            await until(lambda: history.followers == 1)
            await leader.emit(said())
            await caught_up(hub, leader)
        assert hub.is_following
        await hub.aclose()
        assert await hub.finished() is None
    assert history.followers == 0


async def test_a_lead_that_is_cancelled_later_ends_the_hub(history: MemoryHistory) -> None:
    entered, gate = anyio.Event(), Gate(is_open=False)

    class Slow(Seen):
        async def __aenter__(self) -> None:
            entered.set()
            await gate.pass_through()

        async def __aexit__(self, *_: object) -> None: ...

    hub = hub_on(history, listeners=[Slow(Duty.REQUIRED)])
    await hub.follow()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hub.lead)
        await entered.wait()
        tasks.cancel_scope.cancel()
    assert not hub.is_following
    with pytest.raises(HubClosed):
        await hub.lead()
    await hub.aclose()
    async with hub_on(history):
        pass


async def test_a_lead_that_fails_later_ends_the_hub(history: MemoryHistory) -> None:
    class Refusing(Seen):
        async def __aenter__(self) -> None:
            raise ValueError("no disk")

        async def __aexit__(self, *_: object) -> None: ...

    hub = hub_on(history, listeners=[Refusing(Duty.REQUIRED)])
    await hub.follow()
    with pytest.raises(HubFailed, match="no disk"):
        await hub.lead()
    assert not hub.is_following
    await hub.aclose()
    async with hub_on(history):
        pass


async def test_a_journal_that_has_lost_what_was_followed_is_not_led(history: MemoryHistory) -> None:
    async with hub_on(history) as leader:
        await leader.agents.register("ann")
        follower = hub_on(history)
        await follower.follow()
    del history._records[-2:]
    history.committed = history.next_seq
    with pytest.raises(JournalBehind):
        await follower.lead()
    await follower.aclose()


async def test_closing_ends_each_phase_of_following(history: MemoryHistory) -> None:
    """While it follows, and while it opens the journal."""
    async with hub_on(history) as leader:
        hub = hub_on(history, listeners=[Seen(), Seen(Duty.REQUIRED)])
        await hub.follow()
        stream = hub.events()
        await hub.aclose()
        assert await anext(stream, None) is None
        assert await hub.finished() is None
        assert [each.name for each in hub.attachments] == []
        journal = Journal(history)
        hub = Hub(journal=journal)
        await hub.follow()
        journal.gate.close()
        async with anyio.create_task_group() as tasks:

            async def lead() -> None:
                with pytest.raises(HubClosed, match="closed before it took the lead"):
                    await hub.lead()

            tasks.start_soon(lead)
            await until_idle()
            await hub.aclose()
        assert await hub.finished() is None
        hub = hub_on(history)
        await hub.follow()
        await hub.abort()
        assert isinstance(await hub.finished(), HubAborted)
        await leader.agents.register("ann")  # none of them has touched the journal
    assert history.followers == 0
    assert history.epoch == 1


# -- what begins with the lead --


async def test_timers_and_expectations_begin_with_the_lead(history: MemoryHistory) -> None:
    clock = ManualClock()
    leader = hub_on(history, clock=clock)
    await leader.start()
    await leader.timers.after(10, "due", {"n": 1})
    async with following(hub_on(history, clock=clock)) as follower:
        await leader.abort()
        clock.advance(20)
        await until_idle()
        assert len(follower.timers.list()) == 1
        await follower.lead()
        await until(lambda: not follower.timers.list())
        await follower.flush()
        kinds = [each.kind async for each in upto_now(follower)]
        assert kinds.count("timer.fired") == 1


async def test_an_inbox_delivers_when_the_hub_leads(history: MemoryHistory) -> None:
    """What was posted before it was read, while it was read, and to the new leader: each once."""
    async with hub_on(history) as leader:
        ann, bob = await leader.agents.register("ann"), await leader.agents.register("bob")
        channel = await leader.channels.open([ann, bob])
        await channel.post(ann, 1)
        follower = hub_on(history)
        await follower.follow()
        got: list[Any] = []

        async def read() -> None:
            async for delivery in follower.agents.get(bob.id).inbox():
                got.append(delivery.content)
                await delivery.ack()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await channel.post(ann, 2)
            await caught_up(follower, leader)
            await until_idle()
            assert got == []
            await leader.aclose()
            await follower.lead()
            await follower.channels.get(channel.id).post(ann, 3)
            await until(lambda: got == [1, 2, 3])
            await until_idle()
            assert got == [1, 2, 3]
            await follower.aclose()


async def test_an_inbox_of_a_hub_that_never_led_ends(history: MemoryHistory) -> None:
    async with hub_on(history) as leader:
        ann = await leader.agents.register("ann")
        channel = await leader.channels.open([ann, await leader.agents.register("bob")])
        await channel.post(leader.agents.find("bob") or ann, 1)
        follower = hub_on(history)
        await follower.follow()
        inbox = follower.agents.get(ann.id).inbox()
        async with anyio.create_task_group() as tasks:

            async def read() -> None:
                assert await anext(inbox, None) is None

            tasks.start_soon(read)
            await until_idle()
            await follower.aclose()


async def test_actors_work_after_the_lead(history: MemoryHistory) -> None:
    """On what was posted to the agent before."""
    leader = hub_on(history)
    await leader.start()
    done: list[Any] = []

    async def worker(turn: Any) -> None:
        done.append(turn.content)

    ann, bob = await leader.agents.register("ann"), await leader.agents.register("worker")
    channel = await leader.channels.open([ann, bob])
    await channel.post(ann, "work")
    async with following(hub_on(history)) as follower:
        await leader.aclose()
        await follower.lead()
        await follower.spawn(worker)
        await until(lambda: done == ["work"])


async def test_the_end_of_a_channel_is_waited_for_over_a_takeover(history: MemoryHistory) -> None:
    leader = hub_on(history)
    await leader.start()
    ann = await leader.agents.register("ann")
    channel = await leader.channels.open([ann, await leader.agents.register("bob")])
    async with following(hub_on(history)) as follower:
        mine = follower.channels.get(channel.id)
        ends: list[str] = []

        async def wait() -> None:
            ends.append((await mine.ended()).reason)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await until_idle()
            await leader.abort()
            await follower.lead()
            await mine.close("done")
        assert ends == ["done"]


async def test_a_durable_listener_goes_on_where_the_leader_was(history: MemoryHistory) -> None:
    leader = hub_on(history)
    first, second = Seen(Duty.DURABLE), Seen(Duty.DURABLE)
    leader.attach(first, name="one")
    await leader.start()
    for number in range(5):
        await leader.emit(said(number))
    await leader.flush()
    follower = hub_on(history)
    follower.attach(second, name="one")
    async with following(follower):
        await leader.aclose()
        await follower.lead()
        await follower.emit(said(5))
        await follower.flush()
        assert numbers(first.seen) == [0, 1, 2, 3, 4]
        assert numbers(second.seen) == [5]


# -- places that are gone, and damage --


def small(history: MemoryHistory, **settings: Any) -> Hub:
    """A hub that takes a snapshot often, and truncates early."""
    return hub_on(history, snapshot_bytes=10_000, journal_bytes_max=1_000_000, **settings)


async def test_a_follower_begins_from_the_newest_snapshot(history: MemoryHistory) -> None:
    async with small(history) as leader:
        await leader.agents.register("ann")
        for number in range(3000):
            await leader.emit(said(number))
        await until_idle()
        await until(lambda: history.first_seq > 0)
        async with following(small(history)) as follower:
            assert [each.name for each in follower.agents.list()] == ["ann"]
            first = follower.events(after=history.first_seq - 1)
            assert (await anext(first)).seq == history.first_seq
            with pytest.raises(HistoryGone):
                await anext(follower.events(after=-1))
            await leader.agents.register("bob")
            await caught_up(follower, leader)
            await leader.aclose()
            await follower.lead()
            for number in range(3000):
                await follower.emit(said(number))
            assert len(follower.agents.list()) == 2
            assert follower.health().healthy


async def test_a_follower_whose_place_is_gone_fails_with_advice(history: MemoryHistory) -> None:
    """It stood still for too long."""
    gate = Gate(is_open=False)

    class Slow(Seen):
        async def on_events(self, events: Sequence[Event]) -> None:
            await gate.pass_through()

    follower = hub_on(history)
    follower.attach(Slow(), overflow=Overflow.BLOCK, mailbox=1)
    async with hub_on(history) as leader:
        await follower.follow()
        for number in range(2000):
            await leader.emit(said(number))
        history.drop_before(10**9)
        gate.open()
        failure = await follower.finished()
        assert isinstance(failure, HubFailed)
        assert isinstance(failure.__cause__, HistoryGone)
        assert "make it anew" in str(failure)
        with pytest.raises(HubFailed):
            await follower.lead()
        with pytest.raises(HubFailed):
            await follower.aclose()
    assert history.followers == 0


@pytest.mark.parametrize("what", ["gap", "other hub", "damage"])
async def test_what_cannot_be_is_not_applied(history: MemoryHistory, what: str) -> None:
    async with hub_on(history) as leader:
        await leader.emit(said(1))
        hub_id = leader.id
    follower = hub_on(history)
    await follower.follow()
    fields, seq = json.loads(history._records[1]), history.next_seq
    odd = {
        "gap": json.dumps({**fields, "seq": seq + 1}).encode(),
        "other hub": json.dumps({**fields, "seq": seq, "hub": "0" * len(hub_id)}).encode(),
        "damage": b"{",
    }
    applied = follower.statistics().applied
    history.add([odd[what]], hub_id)
    history.commit(history.next_seq)
    failure = await follower.finished()
    assert isinstance(failure, HubFailed)
    assert what == "damage" or isinstance(failure.__cause__, LogDamaged)
    assert follower.statistics().applied == applied
    with pytest.raises(HubFailed):
        await follower.aclose()


async def test_health_says_whom_it_follows_and_how_well(history: MemoryHistory, monkeypatch: Any) -> None:
    async with hub_on(history) as leader:
        follower = hub_on(history)
        await follower.follow()
        await until_idle()
        health, numbers_ = follower.health(), follower.statistics().following
        assert health.healthy
        assert any(each.startswith("it follows the hub in process") for each in health.notes)
        assert numbers_ is not None
        assert (numbers_.events_behind, numbers_.seconds_behind, numbers_.error) == (0, 0.0, None)
        assert leader.statistics().following is None
    monkeypatch.setattr("hubwire._following.SILENT_SECONDS", 0.0)
    await until(lambda: any("no hub that leads" in each for each in follower.health().problems))
    await follower.lead()
    assert follower.health().healthy
    assert follower.statistics().following is None
    await follower.aclose()


async def test_a_journal_that_is_away_is_followed_again(history: MemoryHistory, monkeypatch: Any) -> None:
    monkeypatch.setattr("hubwire._following._AGAIN_SECONDS", 0.0)

    class Away(MemorySharedJournal):
        is_away = False

        async def follow(self, after: int = -1) -> AsyncIterator[Sequence[Event]]:
            async for batch in super().follow(after):
                if Away.is_away:
                    raise StoreUnavailable("no server")
                yield batch

    async with hub_on(history) as leader, following(Hub(journal=Away(history))) as follower:
        Away.is_away = True
        await leader.emit(said(1))
        await until(lambda: not follower.health().healthy)
        assert "no server" in "".join(follower.health().problems)
        Away.is_away = False
        await leader.emit(said(2))
        await caught_up(follower, leader)
        assert follower.health().healthy


async def test_a_follower_reads_what_its_ring_has_let_go(history: MemoryHistory) -> None:
    async with hub_on(history) as leader, following(hub_on(history, ring=16)) as follower:
        stream = follower.events(after=-1)
        for number in range(5000):
            leader.emit_nowait(said(number))
            if number % 500 == 0:
                await asyncio.sleep(0)
        await leader.flush()
        await caught_up(follower, leader)
        assert follower.statistics().ring_events < 4000
        end = follower.statistics().committed
        assert seqs([await anext(stream) for _ in range(end)]) == [*range(end)]


async def test_a_blocking_listener_holds_the_follower_up(history: MemoryHistory) -> None:
    """Its ring would grow without a bound otherwise."""
    gate = Gate(is_open=False)

    class Slow(Seen):
        async def on_events(self, events: Sequence[Event]) -> None:
            await gate.pass_through()
            self.seen += events

    slow, hub = Slow(), hub_on(history, ring=16)
    hub.attach(slow, overflow=Overflow.BLOCK, mailbox=10)
    async with hub_on(history) as leader, following(hub) as follower:
        for number in range(3000):
            await leader.emit(said(number))
        await until_idle()
        assert follower.statistics().applied < 1000
        gate.open()
        await caught_up(follower, leader)
        await until(lambda: numbers(slow.seen) == [*range(3000)])


async def test_of_many_followers_one_leads(history: MemoryHistory) -> None:
    """The others follow the new one."""
    leader = hub_on(history)
    await leader.start()
    followers = [hub_on(history) for _ in range(20)]
    for each in followers:
        await each.follow()
    await leader.aclose()
    for leading in followers[:3]:
        await leading.lead()
        await leading.emit(said(1))
        for other in followers:
            if other.is_following:
                await caught_up(other, leading)
        await leading.aclose()
    for each in followers[3:]:
        await each.aclose()
    assert history.followers == 0
