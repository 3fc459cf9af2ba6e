"""Posts that wait for room in a full inbox: in what order they go on, and when they are refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from hubwire import Agent, Channel, Duty, Hub, InboxOverflow, InboxRule, Turn
from hubwire.errors import AskTimeout, ConfigurationError, HubClosed, InboxFull, NotFound
from hubwire.events import GenericEvent
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import until, until_idle
from support.actors import channel_to


def rule(capacity: int = 1) -> dict[str, InboxRule]:
    return {"inbox": InboxRule(capacity=capacity, overflow=InboxOverflow.BLOCK)}


@asynccontextmanager
async def full(*, capacity: int = 1, on: Hub | None = None) -> AsyncIterator[tuple[Hub, Channel, Agent, Agent]]:
    """A hub with a reader whose inbox is full, and a sender."""
    async with on or Hub() as hub:
        reader = await hub.agents.register("reader", rule=rule(capacity))
        channel, boss = await channel_to(hub, reader)
        for number in range(capacity):
            await channel.post(boss, f"first {number}")
        yield hub, channel, boss, reader


def later(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(work)


async def read(reader: Agent, count: int) -> list[Any]:
    """Ack so many envelopes of an agent; return their contents."""
    found, inbox = list[Any](), reader.inbox()
    for _ in range(count):
        delivery = await anext(inbox)
        found.append(delivery.content)
        await delivery.ack()
    return found


async def test_a_post_waits_until_there_is_room() -> None:
    """The wait is in the statistics of hub and inbox, and what is read makes room for it."""
    async with full() as (hub, channel, boss, reader):
        post = later(channel.post(boss, "second"))
        await until_idle()
        assert not post.done()
        assert hub.statistics().posts_waiting == 1
        assert hub.inboxes.get(reader).posts_waiting == 1
        assert await read(reader, 1) == ["first 0"]
        assert (await post).recipients == (reader.id,)
        assert hub.statistics().posts_waiting == 0
        assert hub.inboxes.get(reader).posts_waiting == 0


async def test_posts_go_on_in_the_order_in_which_they_came() -> None:
    """A newcomer does not overtake those that wait, though there is room when it comes."""
    async with full(capacity=2) as (hub, channel, boss, reader):
        posts = [later(channel.post(boss, number)) for number in range(20)]
        await until_idle()
        assert hub.statistics().posts_waiting == 20
        inbox = reader.inbox()
        contents = list[Any]()
        for number in range(22):
            delivery = await anext(inbox)
            contents.append(delivery.content)
            acked = later(delivery.ack())
            if number == 5:
                posts.append(later(channel.post(boss, 20)))
            await acked
        assert contents == ["first 0", "first 1", *range(20)]
        assert await read(reader, 1) == [20]
        await asyncio.gather(*posts)
        assert not hub._parts.core.room._lines


@pytest.mark.parametrize("way", ["expired", "dead-lettered", "a larger inbox", "another rule", "the reader left"])
async def test_whatever_makes_room_lets_posts_go_on(way: str) -> None:
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        reader = await hub.agents.register("reader", rule=rule())
        other = await hub.agents.register("other")
        channel, boss = await channel_to(hub, reader, other)
        await channel.post(boss, "first", to=[reader], ttl_seconds=10)
        post = later(channel.post(boss, "second"))
        await until_idle()
        assert not post.done()
        if way == "expired":
            clock.advance(11)
        elif way == "dead-lettered":
            for _ in range(5):
                await (await anext(reader.inbox())).nack()
        elif way == "a larger inbox":
            await reader.set_rule(rule(2))
        elif way == "another rule":
            await reader.set_rule({"inbox": InboxRule(overflow=InboxOverflow.DROP_OLDEST)})
        else:
            await reader.unregister()
        posted = await post
        assert other.id in posted.recipients
        assert (reader.id in posted.recipients) is (way != "the reader left")


async def test_a_cancelled_post_leaves_no_trace() -> None:
    """Nor does it hold up the next one, also if it is cancelled when it was its turn already."""
    recorder = Recorder()
    async with full(on=Hub(listeners=[recorder])) as (hub, channel, boss, reader):
        posts = [later(channel.post(boss, number)) for number in range(3)]
        await until_idle()
        posts[1].cancel()
        await until_idle()
        assert hub.statistics().posts_waiting == 2
        delivery = await anext(reader.inbox())
        acked = later(delivery.ack())
        await until(lambda: hub.inboxes.get(reader).depth == 0)
        posts[0].cancel()
        await acked
        assert (await posts[2]).content == 2
        await hub.flush()
        assert [event.content for event in recorder.of("envelope.posted")] == ["first 0", 2]
        assert recorder.of("envelope.rejected") == []


async def test_a_timeout_bounds_the_wait() -> None:
    """The sender's own, by the real clock; an ask has its timeout anyway."""
    async with full() as (hub, channel, boss, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await channel.post(boss, "second")
        with pytest.raises(AskTimeout):
            await hub.ask(boss, "reader", "are you there?", timeout=0.01)
        await until_idle()
        assert hub.statistics().posts_waiting == 0


async def test_a_waiting_post_is_refused_when_its_channel_closes() -> None:
    async with full() as (_, channel, boss, _reader):
        post = later(channel.post(boss, "second"))
        await until_idle()
        await channel.close()
        with pytest.raises(NotFound, match="closed"):
            await post


async def test_a_waiting_post_ends_with_its_hub() -> None:
    """Nothing was posted, so that nothing of it is there after a restart."""
    store = MemoryStore()
    async with full(on=Hub(store)) as (_, channel, boss, reader):
        post = later(channel.post(boss, "second"))
        await until_idle()
    with pytest.raises(HubClosed):
        await post
    async with Hub(store) as hub:
        assert await read(hub.agents.get(reader.id), 1) == ["first 0"]
        assert hub.inboxes.get("reader").depth == 0
        assert hub.agents.get(reader.id).id == reader.id


async def test_a_full_reader_holds_up_no_other_inbox() -> None:
    """A post for a full inbox and an open one waits; who posts to the open one alone goes on."""
    async with full() as (hub, _, boss, reader):
        open_one = await hub.agents.register("open one", rule=rule(10))
        channel, _ = await channel_to(hub, reader, open_one)
        both = later(channel.post(boss, "both"))
        await until_idle()
        await channel.post(boss, "alone", to=[open_one])
        assert await read(reader, 1) == ["first 0"]
        await both
        assert await read(open_one, 2) == ["alone", "both"]


async def test_crossing_posts_do_not_wait_for_each_other() -> None:
    """Each is for the same two full inboxes, named in another order."""
    async with full() as (hub, _, boss, reader):
        second = await hub.agents.register("second", rule=rule())
        channel, _ = await channel_to(hub, reader, second)
        await channel.post(boss, "first", to=[second])
        posts = [
            later(channel.post(boss, number, to=to))
            for number, to in enumerate([[reader, second], [second, reader]] * 5)
        ]
        await until_idle()
        one, two = await asyncio.gather(read(reader, 11), read(second, 11))
        assert one[1:] == two[1:] == list(range(10))
        await asyncio.gather(*posts)


async def test_an_actor_that_posts_to_its_own_full_inbox_is_refused() -> None:
    """Its turn would have to end before there is room; the refusal says so, and is on record."""
    outcomes, agent_ids, recorder = list[Any](), list[tuple[str, ...]](), Recorder()

    async def selfish(turn: Turn) -> None:
        if turn.content == "go":
            try:
                await turn.post("to myself", to=[turn.agent], at_once=True)
            except InboxFull as error:
                outcomes.append(str(error))
                agent_ids.append(error.agent_ids)

    async with Hub(listeners=[recorder]) as hub:
        await hub.agents.register("selfish", rule=rule())
        handle = await hub.spawn(selfish, name="selfish")
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "go")
        await until(lambda: bool(outcomes))
        assert "the inbox of agent 'selfish' is full, and would stay so" in outcomes[0]
        assert agent_ids == [(handle.agent.id,)]
        await until(lambda: handle.statistics().handled == 1)
        await hub.flush()
        assert [event.code for event in recorder.of("envelope.rejected")] == ["inbox_full"]
        assert hub.statistics().posts_waiting == 0


async def test_what_a_turn_holds_does_not_wait() -> None:
    """Its turn fails instead, nothing of it is posted, and its envelope backs off until there is room."""
    clock, recorder = ManualClock(), Recorder()

    async def worker(turn: Turn) -> None:
        await turn.post("for the worker's friend", to=["friend"])
        await turn.post("to reader", to=["reader"])

    async with full(on=Hub(clock=clock, listeners=[recorder])) as (hub, _, boss, reader):
        await hub.agents.register("friend")
        handle = await hub.spawn(worker, name="worker")
        channel, _ = await channel_to(hub, reader, handle.agent, hub.agents.named("friend"))
        await channel.post(boss, "go", to=[handle.agent])
        await until(lambda: handle.statistics().failed == 1)
        assert hub.inboxes.get("friend").depth == 0
        assert hub.statistics().posts_waiting == 0
        await hub.flush()
        assert "at_once=True" in recorder.of("turn.failed")[0].error_message
        assert await read(reader, 1) == ["first 0"]
        clock.advance(5)
        await until(lambda: handle.statistics().handled == 1)
        assert await read(reader, 1) == ["to reader"]
        assert hub.inboxes.get("friend").depth == 1


@pytest.mark.parametrize("workers", [1, 2])
async def test_two_actors_with_full_inboxes_are_no_deadlock(workers: int) -> None:
    """The post that closes the circle is refused, and the other one goes on; with a second worker, both do."""
    ready, outcomes = anyio.Event(), list[str]()

    async def mutual(turn: Turn) -> None:
        if turn.content in ("one", "other"):
            await ready.wait()
            try:
                await turn.post("hello", to=[turn.content], at_once=True)
                outcomes.append("posted")
            except InboxFull:
                outcomes.append("refused")

    async with Hub(clock=ManualClock()) as hub:
        for name in ("one", "other"):
            await hub.agents.register(name, rule=rule(workers if name == "one" else 1))
        one = await hub.spawn(mutual, name="one", workers=workers)
        other = await hub.spawn(mutual, name="other")
        channel, boss = await channel_to(hub, one.agent, other.agent)
        await channel.post(boss, "other", to=[one.agent])
        await channel.post(boss, "one", to=[other.agent])
        await until_idle()
        fillers = [later(channel.post(boss, "filler", to=[one.agent])) for _ in range(workers - 1)]
        ready.set()
        await until(lambda: len(outcomes) == 2)
        assert sorted(outcomes) == (["posted", "posted"] if workers == 2 else ["posted", "refused"])
        await asyncio.gather(*fillers)
        await until(lambda: hub.statistics().posts_waiting == 0)


async def test_a_line_before_a_turn_can_close_a_circle() -> None:
    """A program's post for two inboxes waits before the actor's own; room in one comes only after the actor's turn."""
    ready, outcomes = anyio.Event(), list[str]()

    async def worker(turn: Turn) -> None:
        if turn.content == "go":
            await ready.wait()
            try:
                await turn.post("to reader", to=["reader"], at_once=True)
                outcomes.append("posted")
            except InboxFull:
                outcomes.append("refused")

    async with full() as (hub, _, boss, reader):
        await hub.agents.register("worker", rule=rule())
        handle = await hub.spawn(worker, name="worker")
        channel, _ = await channel_to(hub, reader, handle.agent)
        await channel.post(boss, "go", to=[handle.agent])
        both = later(channel.post(boss, "both"))
        await until_idle()
        ready.set()
        await until(lambda: bool(outcomes))
        assert outcomes == ["refused"]
        assert await read(reader, 1) == ["first 0"]
        await both


async def test_a_listener_that_commits_wait_for_cannot_wait() -> None:
    """Room comes with later events, which cannot commit before it returns: it is refused at once."""
    errors = list[Exception]()

    class Poster:
        channel: Channel | None = None
        boss: Agent | None = None

        async def on_events(self, events: Any) -> None:
            if self.channel is None or self.boss is None:
                return
            channel, self.channel = self.channel, None
            try:
                await channel.post(self.boss, "from a listener")
            except ConfigurationError as error:
                errors.append(error)

    poster = Poster()
    hub = Hub()
    hub.attach(poster, duty=Duty.REQUIRED, name="poster")
    async with full(on=hub) as (_, channel, boss, _reader):
        poster.channel, poster.boss = channel, boss
        await hub.emit(GenericEvent(kind="build.started", data={}))
        await until(lambda: bool(errors))
        assert "room in an inbox" in str(errors[0])
        assert hub.statistics().posts_waiting == 0


async def test_a_thousand_waiting_posts_leave_nothing() -> None:
    async with full() as (hub, channel, boss, reader):
        posts = [later(channel.post(boss, number)) for number in range(1000)]
        await until_idle()
        assert hub.statistics().posts_waiting == 1000
        for post in posts[::2]:
            post.cancel()
        assert await read(reader, 501) == ["first 0", *range(1, 1000, 2)]
        await asyncio.gather(*posts, return_exceptions=True)
        room = hub._parts.core.room
        assert (len(room), room._lines) == (0, {})
