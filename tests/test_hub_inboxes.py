"""Inboxes: what is delivered in which order, how often, and what happens when there is too much of it."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import pytest

from hubwire import Agent, Channel, Delivery, Hub, InboxOverflow, InboxRule, Rule, RuleArbiter
from hubwire._state import State
from hubwire.errors import CommandRejected, InboxFull
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, peek
from support import Unscanned, apply_to, contents, until_idle


async def pair(hub: Hub, **inbox: Any) -> tuple[Channel, Agent, Agent]:
    a = await hub.agents.register("a")
    b = await hub.agents.register("b", rule={"inbox": InboxRule(**inbox)} if inbox else None)
    return await hub.channels.open([a, b]), a, b


async def test_urgent_envelopes_come_first() -> None:
    """Of equal priority, the one that was posted first comes first."""
    async with Hub() as hub:
        channel, a, b = await pair(hub)
        inbox = b.inbox()
        for number, priority in enumerate(["background", "normal", "urgent", "normal", "urgent"]):
            await channel.post(a, number, priority=priority)
        assert [(await anext(inbox)).content for _ in range(5)] == [2, 4, 1, 3, 0]
        assert [(await anext(b.inbox())).content for _ in range(2)] == [2, 2]


async def test_a_nacked_envelope_returns_to_the_end() -> None:
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
        assert await first.nack() is None


async def test_an_ack_after_a_nack_takes_one_envelope() -> None:
    """An ack takes its own envelope, and never the ones that were nacked before it."""
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


async def test_a_nack_may_have_a_delay() -> None:
    """It is counted by the hub's clock, also across a restart."""
    clock, store = ManualClock(), MemoryStore()
    async with Hub(store, clock=clock) as hub:
        channel, a, b = await pair(hub)
        await channel.post(a, "hello")
        delivery = await anext(b.inbox())
        await delivery.nack(delay_seconds=10)
        assert await delivery.nack() is None
        await until_idle()
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
            await until_idle()
            clock.advance(4.9)
            await until_idle()
            assert not got
            clock.advance(0.1)
        assert (got[0].content, got[0].attempt) == ("hello", 2)
        assert "envelope.returned" in recorder.kinds
        await got[0].ack()
        assert hub.statistics().envelopes_pending == 0


async def test_an_ack_after_a_nack_is_too_late() -> None:
    """The envelope was given back, and returns."""
    clock, recorder = ManualClock(), Recorder()
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        channel, a, b = await pair(hub)
        await channel.post(a, "hello")
        delivery = await anext(b.inbox())
        await delivery.nack(delay_seconds=10)
        assert await delivery.ack() is False
        await until_idle()
        clock.advance(20)
        await until_idle()
        assert "envelope.returned" in recorder.kinds


async def test_too_many_nacks_are_a_dead_letter() -> None:
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
async def test_an_impossible_delay_is_refused(delay: Any) -> None:
    async with Hub() as hub:
        channel, a, b = await pair(hub)
        await channel.post(a, "hello")
        delivery = await anext(b.inbox())
        before = peek(hub)
        with pytest.raises(CommandRejected):
            await delivery.nack(delay_seconds=delay)
        assert peek(hub) == before


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


async def test_drop_oldest_spares_urgent_envelopes() -> None:
    """A full inbox drops the oldest of the least urgent envelopes, and never a more urgent one."""
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


async def test_drop_newest() -> None:
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


async def test_a_lowered_capacity_drops_gradually() -> None:
    """An inbox keeps what it has, and comes down to its new capacity step by step."""
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


async def test_pressure_is_reported_once_per_rise() -> None:
    """Each time the mark is reached from below."""
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


async def test_an_inbox_holds_a_thousand_by_default() -> None:
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


async def test_tasks_may_share_an_inbox() -> None:
    """No wake-up is lost."""
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
            await until_idle()
            for number in range(30):
                await channel.post(a, number)
                if number % 3 == 0:
                    await until_idle()
            await until_idle()
            assert sorted(got) == list(range(30))
            await b.unregister()


async def test_a_cancelled_reader_passes_the_wake_up_on() -> None:
    async with Hub() as hub:
        channel, a, b = await pair(hub)
        inbox = b.inbox()
        got: list[Any] = []

        async def read() -> None:
            got.append((await anext(inbox)).content)

        async with anyio.create_task_group() as tasks, anyio.create_task_group() as doomed:
            doomed.start_soon(read)
            tasks.start_soon(read)
            await until_idle()
            doomed.cancel_scope.cancel()
            hub._pipeline.put(hub._parts.state.envelopes.post(channel.id, a.id, "hello", None, envelope_id="e"))
        assert got == ["hello"]


async def test_each_inbox_delivers_until_an_ack() -> None:
    """Two inboxes of one agent each deliver an envelope until one of them acks it."""
    async with Hub() as hub:
        channel, a, b = await pair(hub)
        one, other = b.inbox(), b.inbox()
        await channel.post(a, 0)
        await channel.post(a, 1)
        delivery = await anext(one)
        assert (await anext(other)).content == 0
        await delivery.ack()
        assert (await anext(b.inbox())).content == 1


async def test_a_nack_elsewhere_delivers_once_more() -> None:
    """What another inbox of the agent has nacked is delivered once more, and not twice."""
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


async def test_done_already_means_committed() -> None:
    """A call that finds its work done returns only when no crash can undo that."""
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
            await until_idle()
            assert channel.is_open
            tasks.start_soon(wait)
            tasks.start_soon(count)
            await until_idle()
            assert told == []
            store.gate.set()
        assert sorted(told) == ["counted", "ready"]


async def test_deliveries_are_committed() -> None:
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
            await until_idle()
            tasks.start_soon(read)
            await until_idle()
            assert got == ["committed"]
            store.gate.set()
        assert got == ["committed", "urgent"]


async def test_an_unread_inbox_keeps_nothing_acked() -> None:
    """What another inbox acks does not stay in the queues of one that is not read."""
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


async def test_an_empty_inbox_is_not_in_snapshots() -> None:
    async with Hub() as hub:
        channel, a, b = await pair(hub)
        inbox = b.inbox()
        assert peek(hub)["inboxes"] == []
        for end in ("ack", "nack", "unregister"):
            await channel.post(a, end)
            assert [entry.agent_id for entry in peek(hub)["inboxes"]] == [b.id]
            delivery = await anext(inbox)
            if end == "nack":
                assert await delivery.nack()
                delivery = await anext(inbox)
            await (b.unregister() if end == "unregister" else delivery.ack())
            assert peek(hub)["inboxes"] == []
            assert hub.statistics().envelopes_pending == 0


def test_posting_and_acking_scan_nothing() -> None:
    """They look at no other inbox and at no other envelope."""
    state = State()

    apply = partial(apply_to, state)
    for number in range(5000):
        apply(*state.agents.register(f"agent {number}", (), agent_id=f"a{number}"))
    apply(*state.membership.open(["a0", "a1"], "", channel_id="c"))
    for number in range(999):
        apply(*state.envelopes.post("c", "a0", "hello", None, envelope_id=f"e{number}", ttl_seconds=9))

    inboxes = state.inboxes
    inboxes._by_agent = Unscanned(inboxes._by_agent)
    normal = inboxes._by_agent["a1"].by_priority
    normal["normal"] = Unscanned(normal["normal"])
    for _ in range(3):
        apply(*state.envelopes.post("c", "a0", "hello", None, envelope_id="more", ttl_seconds=9))
        apply(*state.inboxes.nack("a1", "more", 5, ""))
        apply(*state.inboxes.ack("a1", "more"))
    assert inboxes.pending_total() == 999


async def test_a_restart_delivers_the_unacked() -> None:
    """It delivers no other envelope, also if their channels have ended."""
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


async def test_a_restart_does_not_deliver_the_denied() -> None:
    """An envelope that the rules kept from an agent does not reach it after a restart either."""
    store, rules = MemoryStore(), RuleArbiter({"shy": Rule(inbound_from=("friend",))})
    async with Hub(store, arbiter=rules) as hub:
        friend, stranger, shy = [await hub.agents.register(name) for name in ("friend", "stranger", "shy")]
        channel = await hub.channels.open([friend, stranger, shy])
        await channel.post(stranger, "from a stranger")
        await channel.post(friend, "from a friend")
    async with Hub(store) as hub:
        assert contents(hub, hub.agents.get(shy.id)) == ["from a friend"]
        assert contents(hub, hub.agents.get(friend.id)) == ["from a stranger"]


async def test_a_slow_reader_holds_up_no_other() -> None:
    """It holds up no sender either."""
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
