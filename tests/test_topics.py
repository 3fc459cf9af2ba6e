"""Topics: who gets what is published, what a restart finds, who may, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from hubwire import Agent, BaseActor, Hub, InboxOverflow, InboxRule, Rule, RuleArbiter, Turn, codec
from hubwire._state.subscriptions import SUBSCRIPTIONS_MAX, Subscription
from hubwire._state.waiting import InboxEntry, Waiting
from hubwire.arbiter import Allow, Deny
from hubwire.errors import AccessDenied, CommandRejected, EventTooLarge, InboxFull, NotFound, PostRejected
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, history, pending
from support import advance, files_of, store_of, until, until_idle
from support.odd import Stranger

NO_TOPICS: list[Any] = ["", "a b", "a..b", ".a", "a.", "build.*", "x" * 256, "f" * 32, "\ud800", "a\nb", b"a", None, 7]
NO_PATTERNS: list[Any] = ["", "a b", "a..*", "*.", "x" * 256, "\ud800", "\t", b"a", None, ["build.*"], Stranger()]


@pytest.fixture
async def hub(recorder: Recorder) -> AsyncIterator[Hub]:
    async with Hub(MemoryStore(), listeners=[recorder]) as hub:
        yield hub


async def people(hub: Hub, *names: str) -> list[Agent]:
    return [await hub.agents.register(name) for name in names]


def read(hub: Hub, agent: Agent) -> list[Any]:
    return [event.content for event in pending(hub, agent)]


# --- who gets it ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "topics"),
    [
        ("build.failed", ["build.failed"]),
        ("build.*", ["build.failed", "build.failed.twice"]),
        ("*.failed", ["build.failed", "test.failed"]),
        ("b*d.failed", ["build.failed"]),
        ("bu*", ["build.failed", "build.failed.twice", "bulk"]),
        ("bulk", ["bulk"]),
        ("*", ["build.failed", "build.failed.twice", "test.failed", "bulk"]),
    ],
)
async def test_subscribers_are_found_by_pattern(hub: Hub, pattern: str, topics: list[str]) -> None:
    boss, reader = await people(hub, "boss", "reader")
    await hub.topics.subscribe(reader, pattern)
    for topic in ("build.failed", "build.failed.twice", "test.failed", "bulk"):
        found = [agent.id for agent in hub.topics.subscribers(topic)]
        assert list((await hub.topics.publish(topic, topic, sender=boss)).recipients) == found
    assert read(hub, reader) == topics


async def test_each_subscriber_gets_one_envelope(hub: Hub) -> None:
    boss, one, two = await people(hub, "boss", "one", "two")
    for agent, pattern in ((one, "build.*"), (one, "*.failed"), (two, "build.failed"), (boss, "*")):
        assert await hub.topics.subscribe(agent, pattern)
    posted = await hub.topics.publish("build.failed", {"why": "a comma"}, sender=boss, priority="urgent")
    assert (set(posted.recipients), posted.channel_id, posted.topic) == ({one.id, two.id}, None, "build.failed")
    delivery = await anext(one.inbox())
    assert (delivery.content, delivery.event.priority) == ({"why": "a comma"}, "urgent")
    assert (await delivery.ack(), read(hub, one), len(read(hub, two))) == (True, [], 1)


async def test_nobody_subscribed_is_said(hub: Hub) -> None:
    await people(hub, "boss")
    assert (await hub.topics.publish("build.failed", 1, sender="boss")).recipients == ()
    assert hub.topics.subscribers("build.failed") == []


async def test_subscribing_twice_is_once(hub: Hub, recorder: Recorder) -> None:
    boss, reader = await people(hub, "boss", "reader")
    assert [await hub.topics.subscribe("reader", "build.*") for _ in range(2)] == [True, False]
    assert hub.topics.list(reader) == [Subscription(reader.id, "build.*")]
    assert [await hub.topics.unsubscribe(reader, "build.*") for _ in range(2)] == [True, False]
    assert not await hub.topics.unsubscribe(boss, "*")
    assert (hub.topics.list(), (await hub.topics.publish("build.x", 1, sender=boss)).recipients) == ([], ())
    assert [event.kind for event in recorder.events if event.kind.startswith("topic.")] == [
        "topic.subscribed",
        "topic.unsubscribed",
    ]


async def test_subscriptions_end_with_the_agent(hub: Hub) -> None:
    boss, reader = await people(hub, "boss", "reader")
    await hub.topics.subscribe(reader, "*")
    await reader.unregister()
    assert (hub.topics.list(), (await hub.topics.publish("build.x", 1, sender=boss)).recipients) == ([], ())
    subscriptions: Any = hub._parts.state.subscriptions
    assert (subscriptions._by_agent, subscriptions._by_word) == ({}, {})
    with pytest.raises(NotFound):
        await hub.topics.subscribe(reader, "*")


async def test_delays_and_ends_hold(recorder: Recorder, clock: ManualClock) -> None:
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        boss, reader = await people(hub, "boss", "reader")
        await hub.topics.subscribe(reader, "*")
        await hub.topics.publish("build.x", "later", sender=boss, deliver_after=5)
        await hub.topics.publish("build.x", "short", sender=boss, ttl_seconds=1)
        await advance(clock, 6)
        assert read(hub, reader) == ["later"]
        assert (await anext(reader.inbox())).content == "later"


async def test_full_inboxes_are_reported(hub: Hub, recorder: Recorder) -> None:
    boss, free = await people(hub, "boss", "free")
    full = await hub.agents.register("full", rule={"inbox": InboxRule(capacity=1)})
    newest = await hub.agents.register(
        "newest", rule={"inbox": InboxRule(capacity=1, overflow=InboxOverflow.DROP_OLDEST)}
    )
    for agent in (full, newest):
        await hub.topics.subscribe(agent, "build.*")
    await hub.topics.publish("build.x", 1, sender=boss)
    assert (await hub.topics.publish("build.x", 2, sender=boss)).recipients == (newest.id,)
    await hub.flush()
    failed: Any = [event for event in recorder.events if event.kind == "envelope.dispatch_failed"]
    assert [(each.recipient_id, each.error, each.channel_id) for each in failed] == [(full.id, "InboxFull", None)]
    assert (read(hub, full), read(hub, newest)) == ([1], [2])
    await hub.topics.unsubscribe(newest, "build.*")
    with pytest.raises(InboxFull):
        await hub.topics.publish("build.x", 3, sender=boss)
    await hub.topics.subscribe(free, "build.*")
    assert (await hub.topics.publish("build.x", 3, sender=boss)).recipients == (free.id,)


async def test_publishers_wait_for_room(hub: Hub) -> None:
    (boss,) = await people(hub, "boss")
    rule = {"inbox": InboxRule(capacity=1, overflow=InboxOverflow.BLOCK)}
    slow = await hub.agents.register("slow", rule=rule)
    await hub.topics.subscribe(slow, "*")
    await hub.topics.publish("build.x", 1, sender=boss)
    async with anyio.create_task_group() as tasks:

        async def publish() -> None:
            await hub.topics.publish("build.x", 2, sender=boss)

        tasks.start_soon(publish)
        await until_idle()
        assert read(hub, slow) == [1]
        await (await anext(slow.inbox())).ack()
    assert read(hub, slow) == [2]


# --- keys, restarts ---------------------------------------------------------------------------------------------------


async def test_a_key_is_one_envelope() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        boss, reader = await people(hub, "boss", "reader")
        await hub.topics.subscribe(reader, "*")
        one = await hub.topics.publish("build.x", 1, sender=boss, idempotency_key="k")
        assert await hub.topics.publish("build.x", 1, sender=boss, idempotency_key="k") == one
        with pytest.raises(PostRejected, match=r"on topic 'build\.x' for another envelope"):
            await hub.topics.publish("build.x", 2, sender=boss, idempotency_key="k")
        await hub.topics.publish("build.y", 3, sender=boss, idempotency_key="k")
    async with Hub(store) as hub:
        again = await hub.topics.publish("build.x", 1, sender="boss", idempotency_key="k")
        assert (again.envelope_id, read(hub, hub.agents.named("reader"))) == (one.envelope_id, [1, 3])


async def test_subscriptions_outlive_restarts() -> None:
    store = MemoryStore()
    async with Hub(store, snapshot_bytes=1) as hub:
        boss, reader = await people(hub, "boss", "reader")
        for pattern in ("a.*", "b", "c.*"):
            await hub.topics.subscribe(reader, pattern)
        await hub.topics.unsubscribe(reader, "b")
        listed = hub.topics.list()
    for _ in range(2):
        async with Hub(store) as hub:
            assert hub.topics.list() == listed
            assert (await hub.topics.publish("a.x", 1, sender=boss.id)).recipients == (reader.id,)
            assert (await hub.topics.publish("b", 1, sender=boss.id)).recipients == ()


# --- turns ------------------------------------------------------------------------------------------------------------


async def test_recipients_keep_their_order() -> None:
    """It is that in which their first pattern came, whichever it is, and the same after a restart."""
    store = MemoryStore()
    async with Hub(store) as hub:
        boss, *agents = await people(hub, "boss", *"abcd")
        a, b, c, d = agents
        for agent, pattern in ((a, "x.*"), (b, "*"), (c, "x.y"), (a, "x.y"), (b, "x.*"), (d, "x.*"), (c, "z")):
            await hub.topics.subscribe(agent, pattern)
        for agent, pattern in ((a, "x.*"), (b, "*")):
            await hub.topics.unsubscribe(agent, pattern)
        await hub.topics.subscribe(a, "*")
        listed = hub.topics.list()
        assert [(each.agent_id, each.pattern) for each in listed] == [
            (c.id, "x.y"),
            (a.id, "x.y"),
            (b.id, "x.*"),
            (d.id, "x.*"),
            (c.id, "z"),
            (a.id, "*"),
        ]
    async with Hub(store) as hub:
        assert hub.topics.list() == listed
        posted = await hub.topics.publish("x.y", 1, sender=boss)
        assert posted.recipients == (c.id, a.id, b.id, d.id)


@pytest.mark.slow
async def test_turns_publish_when_they_commit(hub: Hub) -> None:
    boss, reader = await people(hub, "boss", "reader")
    await hub.topics.subscribe(reader, "done.*")
    seen: list[Any] = []
    attempts: list[int] = []

    async def worker(turn: Turn) -> None:
        attempts.append(turn.delivery.attempt)
        await turn.publish("done.work", attempts[-1])
        await turn.publish("done.now", "now", at_once=True, idempotency_key="once")
        seen.append(read(hub, reader))
        if len(attempts) == 1:
            raise ValueError("again")

    actor = await hub.spawn(worker)
    await hub.topics.subscribe(actor.agent, "work.*")
    await hub.topics.publish("work.new", 1, sender=boss)
    await until(lambda: len(read(hub, reader)) == 2)
    assert (attempts, seen, read(hub, reader)) == ([1, 2], [["now"], ["now"]], ["now", 2])
    said = pending(hub, reader)
    assert {(each.topic, each.agent_id, each.hops) for each in said} == {
        ("done.work", actor.agent.id, 1),
        ("done.now", actor.agent.id, 1),
    }


async def test_replies_go_back_on_the_topic(hub: Hub, recorder: Recorder) -> None:
    boss, other = await people(hub, "boss", "other")

    async def worker(turn: Turn) -> None:
        await turn.reply("done")
        await turn.remind(0, "again") if turn.content == "go" else None

    actor = await hub.spawn(worker)
    for agent in (actor.agent, other):
        await hub.topics.subscribe(agent, "work.*")
    posted = await hub.topics.publish("work.new", "go", sender=boss)
    await until(lambda: bool(read(hub, boss)))
    (answer,) = pending(hub, boss)
    assert (answer.content, answer.topic, answer.audience) == ("done", "work.new", (boss.id,))
    assert (answer.causation_id, read(hub, other)) == (posted.id, ["go"])
    await hub.flush()
    reminders: Any = [each for each in recorder.events if getattr(each, "content", "") == "again"]
    assert [(each.recipients, each.topic) for each in reminders if each.kind == "envelope.posted"] == [
        ((actor.agent.id,), "work.new")
    ]


async def test_posts_without_a_channel_are_refused(hub: Hub) -> None:
    (boss,) = await people(hub, "boss")
    errors: list[Exception] = []

    async def worker(turn: Turn) -> None:
        for call in (turn.post("to whom?"), turn.publish("no topic", 1)):
            try:
                await call
            except CommandRejected as error:
                errors.append(error)

    actor = await hub.spawn(worker)
    await hub.topics.subscribe(actor.agent, "*")
    await hub.topics.publish("work.new", "go", sender=boss)
    await until(lambda: len(errors) == 2)
    assert "turn.reply()" in str(errors[0])
    assert "a topic, words joined by dots" in str(errors[1])


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", NO_TOPICS, ids=lambda each: ascii(each)[:20])
async def test_no_topic_changes_nothing(hub: Hub, topic: Any) -> None:
    boss, reader = await people(hub, "boss", "reader")
    await hub.topics.subscribe(reader, "*")
    before = hub._parts.pipeline.ring.applied.value
    with pytest.raises(PostRejected, match=r"hub\.topics\.publish\(\): topic is") as refused:
        await hub.topics.publish(topic, 1, sender=boss)
    assert refused.value.code == "malformed"
    with pytest.raises(CommandRejected, match="topic is"):
        hub.topics.subscribers(topic)
    assert hub._parts.pipeline.ring.applied.value == before


@pytest.mark.parametrize("pattern", NO_PATTERNS, ids=lambda each: ascii(type(each).__name__ + str(each)[:9]))
async def test_no_pattern_changes_nothing(hub: Hub, pattern: Any) -> None:
    (reader,) = await people(hub, "reader")
    for call in (hub.topics.subscribe, hub.topics.unsubscribe):
        with pytest.raises(CommandRejected, match="pattern is"):
            await call(reader, pattern)
    assert hub.topics.list() == []


async def test_refusals_are_recorded(recorder: Recorder) -> None:
    async with Hub(listeners=[recorder], event_bytes_max=2000) as hub:
        (boss,) = await people(hub, "boss")
        odd: list[tuple[type[Exception], dict[str, Any]]] = [
            (PostRejected, {"priority": "high"}),
            (PostRejected, {"ttl_seconds": -1}),
            (PostRejected, {"idempotency_key": 7}),
            (PostRejected, {"deliver_after": float("nan")}),
            (EventTooLarge, {"content": "x" * 3000}),
        ]
        for error, given in odd:
            with pytest.raises(error):
                await hub.topics.publish("build.x", **{"content": 1, "sender": boss, **given})
        await hub.flush()
        rejected: Any = [event for event in recorder.events if event.kind == "envelope.rejected"]
        assert {(each.topic, each.agent_id, each.channel_id) for each in rejected} == {("build.x", boss.id, None)}
        assert [each.code for each in rejected] == ["malformed"] * 4 + ["too_large"]
        with pytest.raises(NotFound):
            await hub.topics.publish("build.x", 1, sender="stranger")


async def test_subscriptions_are_bounded(hub: Hub) -> None:
    (reader,) = await people(hub, "reader")
    for number in range(SUBSCRIPTIONS_MAX):
        await hub.topics.subscribe(reader, f"topic.{number}")
    with pytest.raises(CommandRejected, match="may have no more"):
        await hub.topics.subscribe(reader, "one.more")
    assert not await hub.topics.subscribe(reader, "topic.7")
    assert len(hub.topics.list(reader)) == SUBSCRIPTIONS_MAX


# --- who may ----------------------------------------------------------------------------------------------------------


async def test_agents_act_for_themselves(hub: Hub) -> None:
    boss, reader = await people(hub, "boss", "reader")
    own = hub.acting_as(reader)
    assert await own.topics.subscribe("reader", "build.*")
    await hub.topics.subscribe(boss, "test.*")
    for call in (
        lambda: own.topics.subscribe(boss, "*"),
        lambda: own.topics.unsubscribe(boss, "test.*"),
        lambda: own.topics.publish("build.x", 1, sender=boss),
    ):
        with pytest.raises(AccessDenied):
            await call()
    assert [each.pattern for each in own.topics.list()] == ["build.*"]
    assert [each.pattern for each in hub.topics.list()] == ["build.*", "test.*"]
    assert (await own.topics.publish("test.x", 1, sender=reader)).recipients == (boss.id,)


async def test_arbiters_decide() -> None:
    seen: list[tuple[str, str, tuple[str, ...], Any]] = []
    denied = {"publish": "nosy", "subscribe": "nosy", "unsubscribe": "nosy"}

    class Judge:
        def authorize(self, command: Any) -> Any:
            seen.append((command.name, command.agent_name, command.others, dict(command.facts)))
            return Deny("no") if denied.get(command.name) == command.agent_name else Allow()

    async with Hub(arbiter=Judge()) as hub:
        boss, reader, nosy = await people(hub, "boss", "reader", "nosy")
        await hub.topics.subscribe(reader, "build.*")
        posted = await hub.topics.publish("build.x", 1, sender=boss)
        assert posted.recipients == (reader.id,)
        assert ("subscribe", "reader", (), {"pattern": "build.*"}) in seen
        assert [each[:3] for each in seen[-3:]] == [
            ("publish", "boss", ()),
            ("dispatch", "boss", ("reader",)),
            ("inbox", "reader", ("boss",)),
        ]
        assert seen[-3][3]["topic"] == "build.x"
        with pytest.raises(AccessDenied):
            await hub.topics.publish("build.x", 1, sender=nosy)
        for call in (hub.topics.subscribe, hub.topics.unsubscribe):
            with pytest.raises(AccessDenied):
                await call(nosy, "*")
        assert len(hub.topics.list()) == len(read(hub, reader)) == 1


async def test_rules_hold_on_topics(recorder: Recorder) -> None:
    arbiter = RuleArbiter({"shy": Rule(inbound_from=("friend",)), "bound": Rule(outbound_to=("shy",))})
    async with Hub(arbiter=arbiter, listeners=[recorder]) as hub:
        boss, shy, loud, bound = await people(hub, "boss", "shy", "loud", "bound")
        for agent in (shy, loud):
            await hub.topics.subscribe(agent, "*")
        assert (await hub.topics.publish("build.x", 1, sender=boss)).recipients == (loud.id,)
        assert (await hub.topics.publish("build.x", 1, sender=bound)).recipients == ()
        await hub.flush()
        failed: Any = [event for event in recorder.events if event.kind == "envelope.dispatch_failed"]
        assert {each.error for each in failed} == {"AccessDenied"}
        assert len(failed) == 3


# --- many -------------------------------------------------------------------------------------------------------------


async def test_thousands_get_it_in_one_event() -> None:
    """Neither the journal nor a snapshot holds the square of their number."""
    store = MemoryStore()
    async with Hub(store) as hub:
        boss = await hub.agents.register("boss")
        channel = await hub.channels.open([boss])
        readers = [await hub.agents.register(f"reader {number}") for number in range(3_000)]
        for number, reader in enumerate(readers):
            await hub.topics.subscribe(reader, "build.*" if number % 2 else "build.x")
        await channel.join(readers[-1])
        await channel.post(boss, "before")
        posted = await hub.topics.publish("build.x", "for all", sender=boss)
        assert len(set(posted.recipients)) == 3_000
        assert [event for event in await history(hub) if event.seq >= posted.seq] == [posted]
        depths = {state.agent_id: state.depth for state in hub.inboxes.list()}
    assert sum(map(len, (await files_of(store)).values())) < 10_000_000
    async with Hub(store) as hub:
        assert {state.agent_id: state.depth for state in hub.inboxes.list()} == depths
        assert [event.content for event in pending(hub, readers[-1].id)] == ["before", "for all"]
        deliveries = [await anext(hub.agents.get(each).inbox()) for each in posted.recipients[:3]]
        assert [each.event for each in deliveries] == [posted] * 3


async def test_too_many_subscribers_are_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire._state.envelopes.RECIPIENTS_MAX", 2)
    boss, *readers = await people(hub, "boss", "one", "two", "three")
    for reader in readers:
        await hub.topics.subscribe(reader, "*")
    with pytest.raises(PostRejected, match="3 agents have subscribed") as refused:
        await hub.topics.publish("build.x", 1, sender=boss)
    assert refused.value.code == "too_many"
    await hub.topics.unsubscribe(readers[0], "*")
    assert len((await hub.topics.publish("build.x", 1, sender=boss)).recipients) == 2


async def test_dead_letters_of_many_are_narrow() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        boss = await hub.agents.register("boss")
        readers = [
            await hub.agents.register(f"reader {number}", rule={"inbox": InboxRule(deliveries_max=1)})
            for number in range(20)
        ]
        for reader in readers:
            await hub.topics.subscribe(reader, "*")
        posted = await hub.topics.publish("build.x", "for all", sender=boss, ttl_seconds=1000)
        for reader in readers[:2]:
            await (await anext(reader.inbox())).nack("no")
        assert [letter.envelope.recipients for letter in hub.inboxes.dead_letters()] == [
            (each.id,) for each in readers[:2]
        ]
        await hub.inboxes.redeliver(hub.inboxes.dead_letters()[0])
        await readers[5].unregister()
    for _ in range(2):
        async with Hub(store) as hub:
            again = await anext(hub.agents.get(readers[0].id).inbox())
            assert (again.event.ttl_seconds, again.event.envelope_id) == (None, posted.envelope_id)
            assert (await anext(hub.agents.get(readers[9].id).inbox())).event == posted
            assert len(hub.inboxes.list()) == 18
            inboxes = hub._parts.state.inboxes
            assert dict(inboxes._wide._counts) == {posted.envelope_id: 17}
    async with Hub(store) as hub:
        for state in hub.inboxes.list():
            await (await anext(hub.agents.get(state.agent_id).inbox())).ack()
        assert (hub._parts.state.inboxes._wide._by_id, hub._parts.state.inboxes._wide._counts) == ({}, {})


# --- kills ------------------------------------------------------------------------------------------------------------


class Worker(BaseActor):
    """Publishes three times for each job, and counts it."""

    name = "worker"

    async def on_envelope(self, turn: Turn, /) -> None:
        turn.state = (turn.state or 0) + 1
        for part in "abc":
            await turn.publish("done.work", f"{turn.content} {part}")
        await turn.reply(f"{turn.content} done")


@pytest.mark.parametrize("capacity", [1000, 4])
async def test_a_kill_between_any_two_events_repeats_nothing(capacity: int) -> None:
    """The journal is cut after each event: each subscriber has all that a turn has published, once, or nothing."""
    store = MemoryStore()
    names = ("one", "two", "three")
    async with Hub(store) as hub:
        boss = await hub.agents.register("boss")
        rule = {"inbox": InboxRule(capacity=capacity, overflow=InboxOverflow.DROP_OLDEST)}
        for name in names:
            await hub.topics.subscribe(await hub.agents.register(name, rule=rule), "done.*")
        worker = await hub.spawn(Worker())
        await hub.topics.subscribe(worker.agent, "work.*")
        for job in range(2):
            await hub.topics.publish("work.new", f"job {job}", sender=boss)
        await until(lambda: len(read(hub, boss)) == 2)
        files = await files_of(store)
    (segment,) = [name for name in files if name.startswith("/journal/log/") and name.endswith(".jsonl")]
    content, jobs = files[segment], set()
    for end in [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]:
        async with Hub(await store_of({**files, segment: content[:end]})) as hub:
            if hub.agents.find("worker") is None:
                continue
            worker = await hub.spawn(Worker())
            await until(lambda hub=hub, agent=worker.agent: not read(hub, agent))  # type: ignore[misc]
            done = worker.agent.state or 0
            for name in names:
                if hub.topics.list(name):
                    said = [f"job {job} {part}" for job in range(done) for part in "abc"]
                    assert read(hub, hub.agents.named(name)) == said[-capacity:]
            assert read(hub, hub.agents.named("boss")) == [f"job {job} done" for job in range(done)]
            jobs.add(done)
    assert jobs == {0, 1, 2}


async def test_what_an_older_version_wrote_is_read(hub: Hub) -> None:
    boss, reader = await people(hub, "boss", "reader")
    channel = await hub.channels.open([boss, reader])
    posted = await channel.post(boss, "before")
    older = codec.encode(posted).replace(b'"topic":null,', b"")
    assert codec.decode(older) == posted
    (entry,) = hub._parts.state.inboxes.snapshot()
    assert entry == InboxEntry(reader.id, (Waiting(envelope=posted, ready_seq=posted.seq),))


async def test_large_contents_are_published(hub: Hub) -> None:
    (boss, *readers) = await people(hub, "boss", *(f"reader {number}" for number in range(40)))
    for reader in readers:
        await hub.topics.subscribe(reader, "*")
    for _ in range(5):
        await hub.topics.publish("build.x", "x" * 1_000_000, sender=boss)
    assert hub.inboxes.list()[0].depth == 5
    for reader in readers:
        inbox = reader.inbox()
        for _ in range(5):
            await (await anext(inbox)).ack()
    assert (hub.inboxes.list(), hub._parts.state.inboxes._wide._by_id) == ([], {})


async def test_two_hubs_have_their_own_subscribers() -> None:
    async with Hub() as one, Hub() as two:
        await one.topics.subscribe((await people(one, "boss", "reader"))[1], "*")
        boss, reader = await people(two, "boss", "reader")
        await two.topics.subscribe(reader, "*")
        assert (await one.topics.publish("build.x", 1, sender="boss")).recipients != ()
        assert read(two, reader) == []
        with pytest.raises(NotFound):
            await one.topics.publish("build.x", 1, sender=boss)
