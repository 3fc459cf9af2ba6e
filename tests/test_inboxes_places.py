"""Inboxes as places: what waits for whom, seen without taking it, and dead letters, delivered again or given up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from hubwire import Agent, Channel, DeadLetter, Delivery, Hub, InboxRule
from hubwire._state import State
from hubwire._state.dead_letters import DEAD_LETTER_BYTES_MAX, DEAD_LETTERS_MAX
from hubwire.errors import CommandRejected, InboxFull, NotFound
from hubwire.events import EnvelopeDeadLettered, EnvelopePosted, Event, canonical
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, history
from support import GatedStore, restored, until_idle
from support.odd import Stranger

HOSTILE: list[Any] = [7, b"x", "\ud800", ["a"], Stranger(), float("nan"), None]


async def desk(hub: Hub, **rule: Any) -> tuple[Channel, Agent, Agent]:
    """Return a channel, the agent that posts in it, and the one that reads."""
    boss = await hub.agents.register("boss")
    clerk = await hub.agents.register("clerk", rule={"inbox": InboxRule(**{"deliveries_max": 1, **rule})})
    return await hub.channels.open([boss, clerk]), boss, clerk


async def dead_letter(hub: Hub, content: Any = "a", reason: str = "stuck") -> tuple[DeadLetter, Agent]:
    channel, boss, clerk = await desk(hub)
    await channel.post(boss, content)
    await (await anext(clerk.inbox())).nack(reason)
    (letter,) = hub.inboxes.dead_letters()
    return letter, clerk


# --- looking ----------------------------------------------------------------------------------------------------------


async def test_an_inbox_is_looked_into(clock: ManualClock) -> None:
    """Looking takes nothing out: urgent envelopes come first, the oldest is the one that was posted first."""
    async with Hub(clock=clock) as hub:
        channel, boss, clerk = await desk(hub, deliveries_max=3, capacity=10)
        assert hub.inboxes.list() == []
        await channel.post(boss, "first")
        clock.advance(5)
        await channel.post(boss, "second", priority="urgent")
        await (await anext(clerk.inbox())).nack("busy", delay_seconds=10)
        clock.advance(4)
        for _ in range(2):
            (state,) = hub.inboxes.list()
            assert state == hub.inboxes.get(clerk) == hub.inboxes.get(clerk.id)
            assert (state.agent_name, state.depth, state.delayed, state.capacity) == ("clerk", 2, 1, 10)
            assert state.oldest is not None
            assert (state.oldest.content, state.oldest_seconds) == ("first", 9)
            second, first = hub.inboxes.peek(clerk)
            assert (second.envelope.content, second.attempts, second.age_seconds) == ("second", 1, 4)
            assert second.delay_seconds == 6
            assert (first.envelope.content, first.attempts, first.delay_seconds) == ("first", 0, 0)
            assert len(hub.inboxes.peek(clerk, limit=1)) == 1
        empty = hub.inboxes.get(boss)
        assert (empty.depth, empty.oldest, empty.oldest_seconds) == (0, None, 0)


async def test_the_fullest_inbox_is_first() -> None:
    async with Hub() as hub:
        a, b, c = [await hub.agents.register(name) for name in "abc"]
        channel = await hub.channels.open([a, b, c])
        for to in ([b], [c], [c]):
            await channel.post(a, "x", to=to)
        assert [(state.agent_name, state.depth) for state in hub.inboxes.list()] == [("c", 2), ("b", 1)]


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
async def test_wrong_arguments_change_nothing(value: Any) -> None:
    async with Hub() as hub:
        letter, clerk = await dead_letter(hub)
        before = await history(hub)
        calls: list[Callable[[], object]] = [
            lambda: hub.inboxes.get(value),
            lambda: hub.inboxes.peek(value),
            lambda: hub.inboxes.peek(clerk, limit=-7 if value == 7 else value),
        ]
        if value is not None:
            calls.append(lambda: hub.inboxes.dead_letters(value))
        for call in calls:
            with pytest.raises(CommandRejected):
                call()
        for refused in (hub.inboxes.redeliver(value), hub.inboxes.discard(value)):
            with pytest.raises(CommandRejected, match=r"letter is one of hub\.inboxes\.dead_letters\(\)"):
                await refused
        for refused in (hub.inboxes.redeliver(letter, reason=value), hub.inboxes.discard(letter, reason=value)):
            with pytest.raises(CommandRejected):
                await refused
        assert await history(hub) == before
        assert hub.inboxes.dead_letters() == [letter]


async def test_agents_that_are_not_there_have_no_inbox() -> None:
    async with Hub() as hub:
        for call in (hub.inboxes.get, hub.inboxes.peek):
            with pytest.raises(NotFound):
                call("nobody")


# --- dead letters -----------------------------------------------------------------------------------------------------


async def test_a_dead_letter_is_delivered_again(recorder: Recorder) -> None:
    """As if it had never been delivered, also to a reader that waits."""
    async with Hub(listeners=[recorder]) as hub:
        letter, clerk = await dead_letter(hub, {"order": 1})
        assert (letter.agent_id, letter.envelope.content, letter.attempts) == (clerk.id, {"order": 1}, 1)
        assert (letter.reason, hub.statistics().dead_letters) == ("stuck", 1)
        read: list[Delivery] = []

        async def reader() -> None:
            async for delivery in clerk.inbox():
                read.append(delivery)
                await delivery.ack()
                return

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reader)
            await until_idle()
            await hub.inboxes.redeliver(letter, reason="oiled")
        assert [(delivery.content, delivery.attempt) for delivery in read] == [({"order": 1}, 1)]
        assert hub.inboxes.dead_letters() == []
        await hub.flush()
        (event,) = [each for each in recorder.events if each.kind == "envelope.redelivered"]
        assert (event.agent_id, event.channel_id) == (clerk.id, letter.envelope.channel_id)


async def test_a_dead_letter_is_given_up(recorder: Recorder) -> None:
    async with Hub(listeners=[recorder]) as hub:
        letter, clerk = await dead_letter(hub)
        await hub.inboxes.discard(letter, reason="of no use")
        assert (hub.inboxes.dead_letters(), hub.statistics().dead_letters) == ([], 0)
        for gone in (hub.inboxes.discard(letter), hub.inboxes.redeliver(letter)):
            with pytest.raises(NotFound, match="redelivered or discarded, or newer ones have crowded it out"):
                await gone
        assert hub.inboxes.get(clerk).depth == 0
        await hub.flush()
        assert recorder.kinds.count("envelope.discarded") == 1


async def test_it_dies_again() -> None:
    async with Hub() as hub:
        letter, clerk = await dead_letter(hub)
        await hub.inboxes.redeliver(letter)
        await (await anext(clerk.inbox())).nack("stuck again")
        (again,) = hub.inboxes.dead_letters(clerk)
        assert (again.reason, again.envelope_id) == ("stuck again", letter.envelope_id)


async def test_a_full_inbox_refuses_a_dead_letter() -> None:
    async with Hub() as hub:
        channel, boss, clerk = await desk(hub, capacity=1)
        await channel.post(boss, "a")
        await (await anext(clerk.inbox())).nack("stuck")
        await channel.post(boss, "b")
        (letter,) = hub.inboxes.dead_letters()
        with pytest.raises(InboxFull, match="1 of 1 envelopes wait in the inbox of agent 'clerk'") as caught:
            await hub.inboxes.redeliver(letter)
        assert caught.value.agent_ids == (clerk.id,)
        assert hub.inboxes.dead_letters() == [letter]
        await (await anext(clerk.inbox())).ack()
        await hub.inboxes.redeliver(letter)


async def test_it_outlives_its_agent() -> None:
    """It can be looked at and given up, and not be delivered."""
    async with Hub() as hub:
        letter, clerk = await dead_letter(hub)
        await clerk.unregister()
        assert hub.inboxes.dead_letters(letter.agent_id) == [letter]
        with pytest.raises(NotFound):
            await hub.inboxes.redeliver(letter)
        await hub.inboxes.discard(letter)


async def test_its_time_to_live_counts_no_more(clock: ManualClock) -> None:
    async with Hub(clock=clock) as hub:
        channel, boss, clerk = await desk(hub)
        await channel.post(boss, "a", ttl_seconds=5)
        await (await anext(clerk.inbox())).nack("stuck")
        clock.advance(10)
        (letter,) = hub.inboxes.dead_letters()
        await hub.inboxes.redeliver(letter)
        await until_idle()
        assert (await anext(clerk.inbox())).content == "a"


# --- restarts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_closed", [True, False])
async def test_dead_letters_outlive_a_restart(clock: ManualClock, *, is_closed: bool) -> None:
    store = GatedStore()
    async with Hub(store, clock=clock) as hub:
        letter, clerk = await dead_letter(hub, "x" * 10_000)
        left = store if is_closed else store.crashed()
    async with Hub(left, clock=clock) as again:
        assert again.inboxes.dead_letters() == [letter]
        await again.inboxes.redeliver(letter)
        left = left if is_closed else MemoryStore()
    if is_closed:
        async with Hub(left, clock=clock) as third:
            assert third.inboxes.dead_letters() == []
            assert third.inboxes.get(clerk.id).depth == 1


# --- bounds -----------------------------------------------------------------------------------------------------------


def with_dead_letters(count: int, content: Any) -> State:
    """Return a state in which so many envelopes became dead letters."""
    state = State()
    for number in range(count):
        for event in _dead(number, content):
            state.apply(event)
    return state


def _dead(number: int, content: Any) -> list[Event]:
    about: dict[str, Any] = {"at": "2026-01-01T00:00:00.000000Z", "hub": "h"}
    posted = EnvelopePosted(
        **about,
        seq=2 * number,
        id=f"{number}a",
        envelope_id=f"e{number}",
        channel_id="c",
        recipients=("a",),
        content=canonical(content),
    )
    dead = EnvelopeDeadLettered(
        **about, seq=2 * number + 1, id=f"{number}b", agent_id="a", envelope_id=f"e{number}", attempts=1
    )
    return [posted, dead]


def test_the_newest_dead_letters_are_kept() -> None:
    state = with_dead_letters(DEAD_LETTERS_MAX + 10, "x")
    kept = [letter.envelope_id for letter in state.dead_letters]
    assert (len(kept), kept[0], kept[-1]) == (DEAD_LETTERS_MAX, "e10", f"e{DEAD_LETTERS_MAX + 9}")


def test_large_dead_letters_are_few() -> None:
    """They are counted in bytes; the newest is kept, however large it is."""
    state = with_dead_letters(10, "x" * (DEAD_LETTER_BYTES_MAX // 4))
    assert len(state.dead_letters) == 3
    state = with_dead_letters(3, "x" * (DEAD_LETTER_BYTES_MAX + 1))
    assert [letter.envelope_id for letter in state.dead_letters] == ["e2"]


def test_a_snapshot_has_all_of_it() -> None:
    state = with_dead_letters(20, {"n": [1]})
    other = restored(state, State())
    assert vars(other.dead_letters)["_by_id"] == vars(state.dead_letters)["_by_id"]
    assert vars(other.dead_letters)["_bytes"] == vars(state.dead_letters)["_bytes"]
