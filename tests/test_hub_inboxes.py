"""Inboxes: what is delivered in which order, how often, and what happens when there is too much of it."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from hubwire import Agent, Channel, Delivery, Hub, InboxOverflow, InboxRule, Rule, RuleArbiter
from hubwire._state import State
from hubwire.context import EMPTY
from hubwire.errors import CommandRejected, InboxFull, NotFound
from hubwire.events import Event
from hubwire.events._event import stamp
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder


async def pair(hub: Hub, **inbox: Any) -> tuple[Channel, Agent, Agent]:
    a = await hub.agents.register("a")
    b = await hub.agents.register("b", rule={"inbox": InboxRule(**inbox)} if inbox else None)
    return await hub.channels.open([a, b]), a, b


def contents(hub: Hub, agent: Agent) -> list[Any]:
    return [each.envelope.content for each in hub._state.inboxes.pending(agent.id)]


async def test_the_most_urgent_comes_first_and_then_what_was_posted_first() -> None:
    async with Hub() as hub:
        channel, a, b = await pair(hub)
        inbox = b.inbox()
        for number, priority in enumerate(["background", "normal", "urgent", "normal", "urgent"]):
            await channel.post(a, number, priority=priority)
        assert [(await anext(inbox)).content for _ in range(5)] == [2, 4, 1, 3, 0]
        assert [(await anext(b.inbox())).content for _ in range(2)] == [2, 2]


async def test_what_was_nacked_comes_again_after_what_waits() -> None:
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        channel, a, b = await pair(hub)
        for number in range(2):
            await channel.post(a, number)
        inbox = b.inbox()
        first = await anext(inbox)
        assert (first.content, first.attempt) == (0, 1)
        assert await first.nack("busy")
        assert (await anext(inbox)).content == 1
        again = await anext(inbox)
        assert (again.content, again.attempt) == (0, 2)
        await again.ack()
        await hub.flush()
        nacked: Any = recorder.events[recorder.kinds.index("envelope.nacked")]
        assert (nacked.agent_id, nacked.attempt, nacked.reason) == (b.id, 1, "busy")
        with pytest.raises(NotFound):
            await first.nack()


async def test_an_ack_after_a_nack_takes_the_envelope_and_not_the_others() -> None:
    async with Hub() as hub:
        channel, a, b = await pair(hub)
        for number in range(3):
            await channel.post(a, number)
        inbox = b.inbox()
        deliveries = [await anext(inbox) for _ in range(3)]
        await deliveries[0].nack()
        await deliveries[2].ack()
        assert contents(hub, b) == [1, 0]
        assert [(await anext(b.inbox())).content, (await anext(inbox)).content] == [1, 0]


async def test_a_nack_with_a_delay_waits_by_the_hubs_clock_also_across_a_restart() -> None:
    clock, store = ManualClock(), MemoryStore()
    async with Hub(store, clock=clock) as hub:
        channel, a, b = await pair(hub)
        await channel.post(a, "hello")
        delivery = await anext(b.inbox())
        await delivery.nack(delay_seconds=10)
        with pytest.raises(CommandRejected, match="and is delayed"):
            await delivery.nack()
        await wait_all_tasks_blocked()
        clock.advance(5)
    recorder = Recorder()
    async with Hub(store, clock=clock, listeners=[recorder]) as hub:
        b = hub.agents.get(b.id)
        inbox = b.inbox()
        got: list[Delivery] = []

        async def read() -> None:
            got.append(await anext(inbox))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await wait_all_tasks_blocked()
            clock.advance(4.9)
            await wait_all_tasks_blocked()
            assert not got
            clock.advance(0.1)
        assert (got[0].content, got[0].attempt) == ("hello", 2)
        assert "envelope.returned" in recorder.kinds
        await got[0].ack()
        assert hub.statistics().envelopes_pending == 0


async def test_what_is_acked_while_it_waits_to_come_again_does_not() -> None:
    clock, recorder = ManualClock(), Recorder()
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        channel, a, b = await pair(hub)
        await channel.post(a, "hello")
        delivery = await anext(b.inbox())
        await delivery.nack(delay_seconds=10)
        await delivery.ack()
        await wait_all_tasks_blocked()
        clock.advance(20)
        await wait_all_tasks_blocked()
        assert "envelope.returned" not in recorder.kinds


async def test_an_envelope_that_is_nacked_too_often_is_dead_lettered() -> None:
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        channel, a, b = await pair(hub, deliveries_max=3)
        posted = await channel.post(a, "poison")
        inbox = b.inbox()
        assert [await (await anext(inbox)).nack("no") for _ in range(3)] == [True, True, False]
        await hub.flush()
        dead: Any = recorder.events[-1]
        assert dead.kind == "envelope.dead_lettered"
        assert (dead.agent_id, dead.envelope_id, dead.attempts) == (b.id, posted.envelope_id, 3)
        assert (dead.posted_seq, dead.reason) == (posted.seq, "no")
        assert contents(hub, b) == []


@pytest.mark.parametrize("delay", [-1, float("nan"), True, "1", None])
async def test_a_delay_that_is_none_is_refused_and_changes_nothing(delay: Any) -> None:
    async with Hub() as hub:
        channel, a, b = await pair(hub)
        await channel.post(a, "hello")
        delivery = await anext(b.inbox())
        before = hub._state.snapshot()
        with pytest.raises(CommandRejected):
            await delivery.nack(delay_seconds=delay)
        assert hub._state.snapshot() == before


# --- capacity ---------------------------------------------------------------------------------------------------------


async def test_acks_make_room() -> None:
    async with Hub() as hub:
        channel, a, b = await pair(hub, capacity=2)
        inbox = b.inbox()
        for number in range(10):
            await channel.post(a, number)
            if number:
                await (await anext(inbox)).ack()
        await channel.post(a, 10)
        with pytest.raises(InboxFull):
            await channel.post(a, 11)


async def test_an_inbox_may_drop_the_oldest_of_the_least_urgent_but_nothing_more_urgent() -> None:
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        channel, a, b = await pair(hub, capacity=3, overflow=InboxOverflow.DROP_OLDEST)
        first = await channel.post(a, 0)
        for number, priority in ((1, "urgent"), (2, "normal"), (3, "normal"), (4, "urgent"), (5, "urgent")):
            await channel.post(a, number, priority=priority)
        assert contents(hub, b) == [1, 4, 5]
        posted = await channel.post(a, 6, priority="background")
        assert posted.recipients == ()
        assert contents(hub, b) == [1, 4, 5]
        await hub.flush()
        dropped: list[Any] = [event for event in recorder.events if event.kind == "envelope.dropped"]
        assert len(dropped) == 4
        assert (dropped[0].agent_id, dropped[0].envelope_id, dropped[0].reason) == (
            b.id,
            first.envelope_id,
            "drop_oldest",
        )
        assert dropped[-1].envelope_id == posted.envelope_id


async def test_an_inbox_may_drop_the_newest() -> None:
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        channel, a, b = await pair(hub, capacity=1, overflow=InboxOverflow.DROP_NEWEST)
        await channel.post(a, 0)
        posted = await channel.post(a, 1)
        assert posted.recipients == ()
        assert contents(hub, b) == [0]
        await hub.flush()
        dropped: Any = recorder.events[-1]
        assert (dropped.kind, dropped.envelope_id, dropped.reason) == (
            "envelope.dropped",
            posted.envelope_id,
            "drop_newest",
        )


async def test_an_inbox_whose_capacity_is_lowered_keeps_what_it_has_and_comes_down_by_and_by() -> None:
    async with Hub() as hub:
        channel, a, b = await pair(hub, capacity=6)
        for number in range(6):
            await channel.post(a, number)
        await b.set_rule({"inbox": InboxRule(capacity=3, overflow=InboxOverflow.DROP_OLDEST)})
        assert contents(hub, b) == [0, 1, 2, 3, 4, 5]
        sizes = []
        for number in range(6, 11):
            await channel.post(a, number)
            sizes.append(len(contents(hub, b)))
        assert sizes == [5, 4, 3, 3, 3]
        assert contents(hub, b) == [8, 9, 10]


async def test_pressure_is_told_once_each_time_the_mark_is_reached_from_below() -> None:
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        channel, a, b = await pair(hub, capacity=5)
        inbox = b.inbox()
        for number in range(5):
            await channel.post(a, number)
        for _ in range(3):
            await (await anext(inbox)).ack()
        for number in range(3):
            await channel.post(a, number)
        await hub.flush()
        told: list[Any] = [event for event in recorder.events if event.kind == "inbox.pressured"]
        assert [(event.agent_id, event.pending, event.cap) for event in told] == [(b.id, 4, 5), (b.id, 4, 5)]


async def test_a_capacity_of_one_thousand_is_what_an_inbox_has() -> None:
    async with Hub() as hub:
        channel, a, b = await pair(hub)
        for number in range(1000):
            await channel.post(a, number)
        with pytest.raises(InboxFull, match="full"):
            await channel.post(a, "one more")
        assert hub.statistics().envelopes_pending == 1000
        await b.unregister()
        assert hub.statistics().envelopes_pending == 0


# --- readers ----------------------------------------------------------------------------------------------------------


async def test_tasks_that_read_one_inbox_share_it_and_lose_no_wake_up() -> None:
    async with Hub(MemoryStore()) as hub:
        channel, a, b = await pair(hub)
        inbox = b.inbox()
        got: list[Any] = []

        async def read() -> None:
            async for delivery in inbox:
                got.append(delivery.content)
                await delivery.ack()

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(read)
            await wait_all_tasks_blocked()
            for number in range(30):
                await channel.post(a, number)
                if number % 3 == 0:
                    await wait_all_tasks_blocked()
            await wait_all_tasks_blocked()
            assert sorted(got) == list(range(30))
            await b.unregister()


async def test_a_reader_that_is_cancelled_leaves_the_wake_up_to_the_others() -> None:
    async with Hub() as hub:
        channel, a, b = await pair(hub)
        inbox = b.inbox()
        got: list[Any] = []

        async def read() -> None:
            got.append((await anext(inbox)).content)

        async with anyio.create_task_group() as tasks, anyio.create_task_group() as doomed:
            doomed.start_soon(read)
            tasks.start_soon(read)
            await wait_all_tasks_blocked()
            doomed.cancel_scope.cancel()
            hub._pipeline.put(hub._state.envelopes.post(channel.id, a.id, "hello", None, envelope_id="e"))
        assert got == ["hello"]


async def test_two_inboxes_of_an_agent_each_deliver_until_one_acks() -> None:
    async with Hub() as hub:
        channel, a, b = await pair(hub)
        one, other = b.inbox(), b.inbox()
        await channel.post(a, 0)
        await channel.post(a, 1)
        delivery = await anext(one)
        assert (await anext(other)).content == 0
        await delivery.ack()
        assert (await anext(b.inbox())).content == 1


async def test_what_another_inbox_has_nacked_meanwhile_is_delivered_once_more_and_not_twice() -> None:
    async with Hub() as hub:
        channel, a, b = await pair(hub)
        one, other = b.inbox(), b.inbox()
        await channel.post(a, 0)
        await channel.post(a, 1)
        await (await anext(other)).nack()
        assert [((await anext(one)).content, (await anext(one)).content)] == [(1, 0)]
        await channel.post(a, 2)
        assert (await anext(one)).content == 2


class Slow(MemoryStore):
    """A store that waits with what it is given while its gate is shut."""

    gate: anyio.Event | None = None

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        if self.gate is not None:
            await self.gate.wait()
        return await super().append(path, content, expect=expect)


async def test_nobody_is_told_that_something_is_done_already_before_no_crash_can_undo_it() -> None:
    store = Slow()
    async with Hub(store) as hub:
        a, b = await hub.agents.register("a"), await hub.agents.register("b")
        channel = await hub.channels.open([a, b], invite=True)
        store.gate = anyio.Event()
        told: list[str] = []

        async def wait() -> None:
            await channel.ready()
            told.append("ready")

        async def count() -> None:
            assert not await a.observe("t", capability="rust", ended="completed")
            told.append("counted")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(channel.accept, b)
            tasks.start_soon(lambda: a.observe("t", capability="rust", ended="completed"))
            await wait_all_tasks_blocked()
            assert channel.is_open
            tasks.start_soon(wait)
            tasks.start_soon(count)
            await wait_all_tasks_blocked()
            assert told == []
            store.gate.set()
        assert sorted(told) == ["counted", "ready"]


async def test_nothing_is_delivered_that_a_crash_could_undo() -> None:
    store = Slow()
    async with Hub(store) as hub:
        channel, a, b = await pair(hub)
        inbox = b.inbox()
        await channel.post(a, "committed", priority="background")
        store.gate = anyio.Event()
        got: list[Any] = []

        async def read() -> None:
            while len(got) < 2:
                got.append((await anext(inbox)).content)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: channel.post(a, "urgent", priority="urgent"))
            await wait_all_tasks_blocked()
            tasks.start_soon(read)
            await wait_all_tasks_blocked()
            assert got == ["committed"]
            store.gate.set()
        assert got == ["committed", "urgent"]


async def test_what_others_ack_is_not_kept_by_an_inbox_that_nobody_reads() -> None:
    async with Hub() as hub:
        channel, a, b = await pair(hub)
        forgotten, read = b.inbox(), b.inbox()
        for number in range(500):
            await channel.post(a, number)
            await (await anext(read)).ack()
        assert sum(map(len, forgotten._queues.values())) < 100
        for number in range(200):
            await channel.post(a, number)
        assert [(await anext(forgotten)).content for _ in range(200)] == list(range(200))


async def test_an_empty_inbox_takes_no_place_in_a_snapshot() -> None:
    async with Hub() as hub:
        channel, a, b = await pair(hub)
        inbox = b.inbox()
        assert hub._state.inboxes.snapshot() == []
        for end in ("ack", "nack", "unregister"):
            await channel.post(a, end)
            assert [entry.agent_id for entry in hub._state.inboxes.snapshot()] == [b.id]
            delivery = await anext(inbox)
            if end == "nack":
                assert await delivery.nack()
                delivery = await anext(inbox)
            await (b.unregister() if end == "unregister" else delivery.ack())
            assert hub._state.inboxes.snapshot() == []
            assert hub._state.inboxes.pending_total() == 0


def test_posting_and_acking_look_at_no_other_inbox_and_no_other_envelope() -> None:
    state = State()

    def apply(*events: Event) -> None:
        for event in events:
            at = "2026-11-21T09:30:00.000001Z"
            state.apply(stamp(event, seq=0, id="", at=at, hub="", context=EMPTY, bytes_max=1 << 20))

    for number in range(5000):
        apply(*state.agents.register(f"agent {number}", (), agent_id=f"a{number}"))
    apply(*state.membership.open(["a0", "a1"], "", channel_id="c"))
    for number in range(999):
        apply(*state.envelopes.post("c", "a0", "hello", None, envelope_id=f"e{number}", ttl_seconds=9))

    class Unscanned(dict[Any, Any]):
        def __iter__(self) -> Any:
            raise AssertionError("scanned")

        keys = values = items = __iter__

    inboxes = state.inboxes
    inboxes._by_agent = Unscanned(inboxes._by_agent)
    normal = inboxes._by_agent["a1"].by_priority
    normal["normal"] = Unscanned(normal["normal"])
    for _ in range(3):
        apply(*state.envelopes.post("c", "a0", "hello", None, envelope_id="more", ttl_seconds=9))
        apply(*state.inboxes.nack("a1", "more", 5, ""))
        apply(*state.inboxes.ack("a1", "more"))
    assert inboxes.pending_total() == 999


async def test_a_restart_delivers_what_was_not_acked_and_nothing_else_whatever_became_of_its_channel() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        channel, a, b = await pair(hub, capacity=5)
        for number in range(5):
            await channel.post(a, number)
        inbox = b.inbox()
        deliveries = [await anext(inbox) for _ in range(5)]
        await deliveries[0].nack()
        for number in (1, 3):
            await deliveries[number].ack()
        await channel.close()
    async with Hub(store) as hub:
        inbox = hub.agents.get(b.id).inbox()
        assert [(each.content, each.attempt) for each in [await anext(inbox) for _ in range(3)]] == [
            (2, 1),
            (4, 1),
            (0, 2),
        ]
        channel = await hub.channels.open([a.id, b.id])
        for number in (5, 6):
            await channel.post(a.id, number)
        with pytest.raises(InboxFull):
            await channel.post(a.id, 7)


async def test_whom_an_envelope_did_not_reach_it_does_not_reach_by_a_restart_either() -> None:
    store, rules = MemoryStore(), RuleArbiter({"shy": Rule(inbound_from=("friend",))})
    async with Hub(store, arbiter=rules) as hub:
        friend, stranger, shy = [await hub.agents.register(name) for name in ("friend", "stranger", "shy")]
        channel = await hub.channels.open([friend, stranger, shy])
        await channel.post(stranger, "from a stranger")
        await channel.post(friend, "from a friend")
    async with Hub(store) as hub:
        assert contents(hub, hub.agents.get(shy.id)) == ["from a friend"]
        assert contents(hub, hub.agents.get(friend.id)) == ["from a stranger"]


async def test_who_does_not_read_holds_up_neither_the_sender_nor_who_does() -> None:
    async with Hub() as hub:
        sender, slow, absent, quick = [
            await hub.agents.register(name) for name in ("sender", "slow", "absent", "quick")
        ]
        channel = await hub.channels.open([sender, slow, absent, quick])
        held = slow.inbox()
        reading = quick.inbox()
        for number in range(3):
            await channel.post(sender, number)
            assert (await anext(reading)).content == number
            if not number:
                await anext(held)  # and it never acks
        assert contents(hub, slow) == contents(hub, absent) == [0, 1, 2]
