"""Questions in no channel: their answers, by actors and by hand, and what their turns do besides."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire import Hub, Turn
from hubwire.errors import AccessDenied, AskTimeout, CommandRejected, NotFound, PostRejected
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import advance, contents, until, until_idle


async def echo(turn: Turn) -> None:
    await turn.reply(turn.content)


async def test_a_question_leaves_no_channel_behind() -> None:
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        actor, boss = await hub.spawn(echo), await hub.agents.register("boss")
        answer = await hub.ask(boss, actor.agent, "hello")
        await hub.flush()
        assert [event.kind for event in recorder.events][-5:] == [
            "envelope.posted",
            "turn.started",
            "envelope.posted",
            "turn.ended",
            "envelope.acked",
        ]
        question = recorder.of("envelope.posted")[0]
        assert (question.channel_id, question.topic, question.recipients) == (None, None, (actor.agent.id,))
        assert (answer.channel_id, answer.topic, answer.recipients) == (None, None, ())
        assert answer.causation_id == question.id
        assert not hub.channels.list()


async def test_who_reads_an_inbox_answers_by_hand() -> None:
    """Questions, posts to a channel and publications: where they came from, to their sender."""
    async with Hub() as hub:
        boss, worker = await hub.agents.register("boss"), await hub.agents.register("worker")
        channel = await hub.channels.open([boss, worker])
        await hub.topics.subscribe(worker, "news.*")
        answers: list[Any] = []

        async def ask() -> None:
            answers.append((await hub.ask(boss, worker, "asked", timeout=30)).content)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await until(lambda: bool(contents(hub, worker)))
            await channel.post(boss, "posted")
            await hub.topics.publish("news.today", "published", sender=boss)
            inbox = worker.inbox()
            for _ in range(3):
                delivery = await anext(inbox)
                reply = await delivery.reply(f"{delivery.content}!")
                place = (reply.channel_id, reply.topic, reply.causation_id)
                assert place == (delivery.event.channel_id, delivery.event.topic, delivery.event.id)
                await delivery.ack()
        assert answers == ["asked!"]
        assert contents(hub, boss) == ["posted!", "published!"]
        assert contents(hub, worker) == []


async def test_an_answer_by_hand_is_posted_once(tmp_path: Path) -> None:
    """With a key, also after a restart; the same key for another answer is a mistake."""
    async with Hub(FileStore(tmp_path)) as hub:
        boss, worker = await hub.agents.register("boss"), await hub.agents.register("worker")
        ask = asyncio.create_task(hub.ask(boss, worker, "asked", linked=False))
        delivery = await anext(worker.inbox())
        first = await delivery.reply("done", idempotency_key="k")
        assert (await ask).content == "done"
    async with Hub(FileStore(tmp_path)) as hub:
        again = await anext(hub.agents.named("worker").inbox())
        assert (await again.reply("done", idempotency_key="k")).seq == first.seq
        with pytest.raises(PostRejected, match="by agent 'worker' because of the same envelope") as caught:
            await again.reply("other", idempotency_key="k")
        assert caught.value.code == "key_reused"
        with pytest.raises(PostRejected, match="idempotency_key"):
            await again.reply("other", idempotency_key="hubwire-x")
        for wrong in (7, b"k", ["k"]):
            with pytest.raises(PostRejected, match=r"delivery\.reply\(\)"):
                await again.reply("other", idempotency_key=wrong)  # type: ignore[arg-type]


async def test_each_question_is_answered_by_the_same_key(tmp_path: Path) -> None:
    """A key is that of the answer to one question, by an actor and by hand, also when the first is in a snapshot."""

    async def keyed(turn: Turn) -> None:
        await turn.reply("ok", idempotency_key="k")

    async def ask_both(hub: Hub) -> list[Any]:
        boss, worker = hub.agents.named("boss"), hub.agents.named("worker")
        actor = await hub.spawn(keyed, name="actor")
        ask = asyncio.create_task(hub.ask(boss, worker, "asked", timeout=10))
        delivery = await anext(worker.inbox())
        await delivery.reply("ok", idempotency_key="k")
        await delivery.ack()
        return [(await ask).content, (await hub.ask(boss, actor.agent, "asked", timeout=10)).content]

    async with Hub(FileStore(tmp_path)) as hub:
        await hub.agents.register("boss")
        await hub.agents.register("worker")
        assert await ask_both(hub) == ["ok", "ok"]
    for _ in range(2):
        async with Hub(FileStore(tmp_path)) as hub:
            assert await ask_both(hub) == ["ok", "ok"]


async def test_keys_of_agents_do_not_meet() -> None:
    """Two agents may use one key; so may one agent in channels and in questions."""

    async def keyed(turn: Turn) -> None:
        await turn.reply(f"{turn.agent.name} {turn.content}", idempotency_key="k")

    async with Hub() as hub:
        boss = await hub.agents.register("boss")
        one, two = [(await hub.spawn(keyed, name=name)).agent for name in ("one", "two")]
        assert (await hub.ask(boss, one, "a")).content == "one a"
        assert (await hub.ask(boss, two, "a")).content == "two a"
        channel = await hub.channels.open([boss, one])
        assert (await hub.ask(boss, one, "b", channel=channel)).content == "one b"


async def test_a_notice_has_no_sender_to_answer() -> None:
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        boss, worker = await hub.agents.register("boss"), await hub.agents.register("worker")
        expectation = {"name": "max_silence", "params": {"seconds": 5}, "on_violation": "notify_channel"}
        channel = await hub.channels.open([boss, worker], expectations=[expectation])
        await advance(clock, 6)
        delivery = await anext(worker.inbox())
        assert delivery.event.is_notice
        with pytest.raises(CommandRejected, match="notice of the hub, and has no sender"):
            await delivery.reply("?")
        assert channel.is_open


async def test_an_answer_of_a_stranger_is_refused() -> None:
    """Who has left the hub answers no more."""
    async with Hub() as hub:
        boss, worker = await hub.agents.register("boss"), await hub.agents.register("worker")
        with pytest.raises(AccessDenied):
            hub.acting_as(boss).agents.get(worker.id).inbox()
        ask = asyncio.create_task(hub.ask(boss, worker, "asked"))
        delivery = await anext(worker.inbox())
        await worker.unregister()
        with pytest.raises(NotFound):
            await delivery.reply("late")
        with pytest.raises(Exception, match="left the hub"):
            await ask


async def test_the_turn_of_a_question_has_no_channel() -> None:
    """What it refuses says what can be done; that works."""

    async def curious(turn: Turn) -> None:
        with pytest.raises(CommandRejected, match="was asked directly, and is in no channel"):
            await turn.post("?")
        with pytest.raises(NotFound):
            await turn.channel.history()
        await turn.publish("news", "published")
        channel = await turn.hub.channels.open([turn.agent, turn.envelope.agent_id or ""])
        await channel.post(turn.agent, "posted")
        await turn.reply("answered")

    async with Hub() as hub:
        actor, boss = await hub.spawn(curious), await hub.agents.register("boss")
        await hub.topics.subscribe(boss, "news")
        assert (await hub.ask(boss, actor.agent, "go")).content == "answered"
        assert contents(hub, boss) == ["posted", "published"]


async def test_only_an_answer_is_the_answer() -> None:
    """What the turn publishes, or is reminded of, is not."""
    clock = ManualClock()
    heard: list[Any] = []

    async def slow(turn: Turn) -> None:
        heard.append(turn.content)
        if turn.content == "go":
            await turn.publish("news", "not the answer", at_once=True)
            await turn.remind(5, "go on")
            turn.state = turn.envelope.agent_id
        else:
            await turn.publish("news", f"reminded of {turn.content}")

    async with Hub(clock=clock) as hub:
        actor, boss = await hub.spawn(slow), await hub.agents.register("boss")
        await hub.topics.subscribe(boss, "news")
        ask = asyncio.create_task(hub.ask(boss, actor.agent, "go", timeout=4, linked=False))
        await until_idle()
        await advance(clock, 4.1)
        with pytest.raises(AskTimeout):
            await ask
        assert actor.agent.state == boss.id
        await advance(clock, 1)
        assert heard == ["go", "go on"]
        assert contents(hub, boss) == ["not the answer", "reminded of go on"]


@pytest.mark.parametrize("linked", [True, False])
async def test_a_question_outlives_its_hub_if_not_linked(linked: bool) -> None:
    """Asked, and killed before its turn: the next hub lets it expire, or has it handled, and its answer is recorded."""
    store, heard, recorder = MemoryStore(), list[Any](), Recorder()

    async def note(turn: Turn) -> None:
        heard.append(turn.content)
        await turn.reply("late")

    hub = await Hub(store).__aenter__()
    boss, worker = await hub.agents.register("boss"), await hub.agents.register("worker")
    ask = asyncio.create_task(hub.ask(boss, worker, "asked", timeout=3600, linked=linked))
    await until(lambda: bool(contents(hub, worker)))
    await hub.flush()
    await hub.abort()
    with pytest.raises(Exception, match=r"abort|closed|fail"):
        await ask
    async with Hub(store, listeners=[recorder]) as hub:
        await hub.spawn(note, name="worker")
        await until(lambda: not contents(hub, hub.agents.named("worker")))
        await hub.flush()
        assert heard == ([] if linked else ["asked"])
        assert len(recorder.of("envelope.expired")) == (1 if linked else 0)
        assert contents(hub, hub.agents.named("boss")) == []


async def test_the_clock_of_the_machine_ends_a_question() -> None:
    async def silent(turn: Turn) -> None:
        await asyncio.Event().wait()

    async with Hub() as hub:
        actor, boss = await hub.spawn(silent), await hub.agents.register("boss")
        with pytest.raises(AskTimeout, match=r"within 0\.01 s"):
            await hub.ask(boss, actor.agent, "ready?", timeout=0.01)
        await until(lambda: hub.statistics().envelopes_pending == 0)
        assert hub.statistics().asks_pending == 0
        assert actor.is_running


async def test_one_of_many_that_wait_is_woken() -> None:
    """A hundred tasks wait for one inbox, as those of an actor do; an envelope is for one of them."""
    async with Hub() as hub:
        boss, worker = await hub.agents.register("boss"), await hub.agents.register("worker")
        channel = await hub.channels.open([boss, worker])
        inbox, looks, got = worker.inbox(), 0, list[Any]()
        look = inbox._next

        def counted(committed: int) -> Any:
            nonlocal looks
            looks += 1
            return look(committed)

        inbox._next = counted  # type: ignore[method-assign]

        async def read() -> None:
            async for delivery in inbox:
                got.append(delivery.content)
                await delivery.ack()

        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(read)
            await until_idle()
            looks = 0
            for number in range(10):
                await channel.post(boss, number)
            await until(lambda: len(got) == 10)
            await until_idle()
            assert got == list(range(10))
            assert looks <= 30
            tasks.cancel_scope.cancel()


async def test_a_task_that_is_cancelled_wakes_the_next() -> None:
    """It was woken for an envelope, and cancelled before it took that."""
    async with Hub() as hub:
        boss, worker = await hub.agents.register("boss"), await hub.agents.register("worker")
        channel = await hub.channels.open([boss, worker])
        inbox = worker.inbox()
        first, second = [asyncio.ensure_future(anext(inbox)) for _ in range(2)]
        await until_idle()
        event = asyncio.ensure_future(channel.post(boss, "job"))
        if not contents(hub, worker):  # an eager task has posted it already
            await asyncio.sleep(0)
        assert contents(hub, worker) == ["job"]
        assert not first.done()
        first.cancel()
        await event
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await asyncio.wait_for(second, 30)).content == "job"
