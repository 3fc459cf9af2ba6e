"""Effectively once: what a turn posts and keeps is committed with the ack of its envelope, in one command."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any, cast

import anyio
import attrs
import pytest

from hubwire import (
    ActorHandle,
    Agent,
    Backoff,
    BaseActor,
    Channel,
    HeldPost,
    Hub,
    InboxOverflow,
    InboxRule,
    RetryPolicy,
    Turn,
)
from hubwire._state.inboxes import PRIORITIES
from hubwire.errors import AccessDenied, CommandRejected, ConfigurationError, PostRejected
from hubwire.events import EnvelopePosted
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import contents, files_of, store_of, until, until_idle
from support.actors import channel_to

HASTY = RetryPolicy(attempts_max=2, backoff=Backoff(seconds=0.001))


@attrs.define
class Tally:
    done: int = 0
    names: list[str] = attrs.field(factory=list)


class Worker(BaseActor):
    """Posts three times for each job, and counts it."""

    name = "worker"
    state = Tally

    async def on_envelope(self, turn: Turn, /) -> None:
        turn.state.done += 1
        turn.state.names.append(turn.content)
        for part in "abc":
            await turn.post([turn.content, part, turn.state.done])


async def work(store: MemoryStore, jobs: int, capacity: int = 1000) -> dict[str, bytes]:
    """Post jobs, and have them done; return what a crash leaves then."""
    async with Hub(store) as hub:
        rule = InboxRule(capacity=capacity, overflow=InboxOverflow.DROP_OLDEST)
        boss = await hub.agents.register("boss", rule={"inbox": rule})
        worker = await hub.spawn(Worker())
        channel = await hub.channels.open([boss, worker.agent])
        for job in range(jobs):
            await channel.post(boss, f"job {job}")
        await until(lambda: len(contents(hub, boss)) == min(3 * jobs, capacity) and not contents(hub, worker.agent))
        await hub.flush()
        return await files_of(store)


def line_ends(content: bytes) -> list[int]:
    return [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]


@pytest.mark.parametrize("capacity", [1000, 4])
async def test_a_kill_between_any_two_events_repeats_nothing(capacity: int) -> None:
    """The journal is cut after each of its events; the next life does what is left, and posts nothing twice.

    An inbox with room for four drops the oldest, by events of the same command.
    """
    files = await work(MemoryStore(), 2, capacity)
    segment = max((name for name in files if name.startswith("/journal/") and name.endswith(".jsonl")), key=len)
    seen: Counter[str] = Counter()
    for end in line_ends(files[segment]):
        cut = await store_of({**files, segment: files[segment][:end]})
        async with Hub(cut) as hub:
            boss = hub.agents.find("boss")
            if boss is None or hub.agents.find("worker") is None:
                continue
            worker = await hub.spawn(Worker())
            await until(lambda hub=hub, worker=worker: contents(hub, worker.agent) == [])  # type: ignore[misc]
            jobs = len(set((worker.agent.state or {"names": ()})["names"]))
            wanted = [[f"job {job}", part, job + 1] for job in range(jobs) for part in "abc"]
            assert [list(each) for each in contents(hub, boss)] == wanted[-capacity:]
            assert hub.turns.open() == ()
            seen[f"{jobs} jobs"] += 1
    assert len(seen) == 3


async def test_a_crash_at_any_append_posts_nothing_twice() -> None:
    """What is on the store after each append of the journal is what a kill at that moment leaves."""

    class Killed(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            self.left: list[dict[str, bytes]] = []

        async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
            place = await super().append(path, content, expect=expect)
            if path.startswith("/journal/"):
                self.left.append(await files_of(self))
            return place

    store = Killed()
    await work(store, 3)
    assert len(store.left) > 5
    for files in store.left:
        async with Hub(await store_of(files)) as hub:
            if (boss := hub.agents.find("boss")) is None or hub.agents.find("worker") is None:
                continue
            worker = await hub.spawn(Worker())
            await until(lambda hub=hub, worker=worker: contents(hub, worker.agent) == [])  # type: ignore[misc]
            said = Counter(map(str, contents(hub, boss)))
            assert set(said.values()) <= {1}
            assert len(said) == 3 * (worker.agent.state["done"] if worker.agent.state else 0)


# --- what is held -----------------------------------------------------------------------------------------------------


async def job_for(hub: Hub, actor: Any, content: Any = "job", **settings: Any) -> tuple[ActorHandle, Channel, Agent]:
    """Spawn an actor, and post it a job."""
    handle = await hub.spawn(actor, retry=HASTY, **settings)
    channel, boss = await channel_to(hub, handle.agent)
    await channel.post(boss, content, to=[handle.agent])
    return handle, channel, boss


async def test_a_turn_holds_what_it_posts() -> None:
    """Only its end posts it, and then the entry has the event."""
    held: list[HeldPost] = []
    seen: list[Any] = []

    async def worker(turn: Turn) -> None:
        content = ["early"]
        held.append(await turn.post(content))
        held.append(await turn.reply("answer"))
        content.append("too late")
        now = await turn.post("now", at_once=True)
        assert isinstance(now, EnvelopePosted)
        await until_idle()
        seen.extend([*contents(hub, boss), held[0].event])

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        _, _, boss = await job_for(hub, worker)
        await recorder.wait_for("turn.ended")
        assert seen == ["now", None]
        assert contents(hub, boss) == ["now", ("early",), "answer"]
        assert [each.event and each.event.content for each in held] == [("early",), "answer"]
        assert "turn.committed" not in recorder.kinds


async def test_a_failed_turn_has_posted_nothing() -> None:
    async def worker(turn: Turn) -> None:
        turn.state = {"attempt": turn.delivery.attempt}
        await turn.post("attempt")
        if turn.delivery.attempt == 1:
            raise ValueError("not yet")

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        handle, _, boss = await job_for(hub, worker)
        await recorder.wait_for("turn.ended")
        assert contents(hub, boss) == ["attempt"]
        assert handle.agent.state == {"attempt": 2}


async def test_a_refused_post_fails_the_turn() -> None:
    """Nothing else of it is posted, the state stays, and the refusal is recorded."""
    stranger: list[Agent] = []

    async def worker(turn: Turn) -> None:
        turn.state = 1
        await turn.post("good")
        await turn.post("bad", to=stranger)

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        stranger.append(await hub.agents.register("stranger"))
        handle, _, boss = await job_for(hub, worker)
        dead: Any = await recorder.wait_for("envelope.dead_lettered")
        assert dead.reason.startswith("PostRejected: ")
        assert contents(hub, boss) == []
        assert handle.agent.state is None
        assert [event.content for event in recorder.of("envelope.rejected")] == ["bad", "bad"]
        assert len(recorder.of("turn.failed")) == 2


async def test_an_arbiter_decides_about_held_posts() -> None:
    class Arbiter:
        async def authorize(self, command: Any) -> Any:
            from hubwire.arbiter import Allow, Deny

            return Deny("no secrets") if command.content == "secret" and command.name == "send" else Allow()

    async def worker(turn: Turn) -> None:
        await turn.post(turn.content)
        await turn.post("more")

    recorder = Recorder()
    async with Hub(listeners=[recorder], arbiter=Arbiter()) as hub:
        handle = await hub.spawn(worker, retry=HASTY)
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "plain")
        await recorder.wait_for("turn.ended")
        assert contents(hub, boss) == ["plain", "more"]
        other = await hub.agents.register("other")
        await channel.join(other)
        with pytest.raises(AccessDenied):
            await channel.post(boss, "secret")


async def test_each_held_post_sees_those_before_it() -> None:
    """An inbox with room for two takes two of three, and makes room for the third where its rule says so."""

    async def worker(turn: Turn) -> None:
        for number in range(3):
            await turn.post(number)

    for overflow, left in (
        (InboxOverflow.REJECT, []),
        (InboxOverflow.DROP_OLDEST, [1, 2]),
        (InboxOverflow.DROP_NEWEST, [0, 1]),
    ):
        recorder = Recorder()
        async with Hub(listeners=[recorder]) as hub:
            boss = await hub.agents.register("boss", rule={"inbox": InboxRule(capacity=2, overflow=overflow)})
            await job_for(hub, worker)
            await recorder.wait_for("turn.ended" if left else "turn.failed")
            assert contents(hub, boss) == left


@pytest.mark.parametrize("seed", range(20))
async def test_held_posts_lead_to_the_events_of_posts_at_once(seed: int) -> None:
    """Whatever room there is in the inboxes, and however urgent the posts are."""
    random = Random(seed)
    rules = [
        InboxRule(
            capacity=random.randint(1, 3),
            overflow=random.choice((InboxOverflow.DROP_OLDEST, InboxOverflow.DROP_NEWEST)),
        )
        for _ in range(3)
    ]
    posts = [(number, random.choice(PRIORITIES), random.sample(range(3), 2)) for number in range(8)]
    assert await led_to(posts, rules, at_once=False) == await led_to(posts, rules, at_once=True)


async def led_to(posts: list[tuple[int, str, list[int]]], rules: list[InboxRule], *, at_once: bool) -> list[Any]:
    """Return the events of posts that one turn makes, and what is in the inboxes then."""

    async def worker(turn: Turn) -> None:
        for number, priority, to in posts:
            await turn.post(number, priority=priority, to=[readers[each] for each in to], at_once=at_once)

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        readers = [await hub.agents.register(f"r{n}", rule={"inbox": rule}) for n, rule in enumerate(rules)]
        handle = await hub.spawn(worker)
        channel, boss = await channel_to(hub, handle.agent, *readers)
        await channel.post(boss, "go", to=[handle.agent])
        await recorder.wait_for("turn.ended")
        names = {agent.id: agent.name for agent in hub.agents.list()}
        numbers = {each.envelope_id: each.content for each in cast(Any, recorder.of("envelope.posted"))}
        found: list[Any] = [
            (event.kind, names[event.agent_id], numbers.get(getattr(event, "envelope_id", None)))
            for event in recorder.events
            if event.kind in ("envelope.posted", "envelope.dropped", "inbox.pressured") and event.agent_id
        ]
        return found + [(reader.name, tuple(contents(hub, reader))) for reader in readers]


async def test_a_post_that_ends_the_channel_is_the_last() -> None:
    """A discussion of one round takes one post of each."""

    async def worker(turn: Turn) -> None:
        for number in range(turn.content):
            await turn.post(number)

    for count in (1, 2):
        recorder = Recorder()
        async with Hub(listeners=[recorder]) as hub:
            boss = await hub.agents.register("boss")
            handle = await hub.spawn(worker, retry=HASTY)
            channel = await hub.channels.open([boss, handle.agent], type="discussion", knobs={"rounds_max": 1})
            await channel.post(boss, count)
            await recorder.wait_for("turn.ended" if count == 1 else "turn.failed")
            assert contents(hub, boss) == ([0] if count == 1 else [])
            assert channel.is_open is (count == 2)


async def test_a_stale_turn_posts_nothing() -> None:
    """Its envelope has expired meanwhile."""
    clock = ManualClock()
    go = anyio.Event()

    async def worker(turn: Turn) -> None:
        await turn.post("too late")
        await go.wait()

    recorder = Recorder()
    async with Hub(listeners=[recorder], clock=clock) as hub:
        handle = await hub.spawn(worker)
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "job", ttl_seconds=1)
        await recorder.wait_for("turn.started")
        clock.advance(2)
        await recorder.wait_for("envelope.expired")
        go.set()
        abandoned: Any = await recorder.wait_for("turn.abandoned")
        assert "nothing that it held was posted" in abandoned.reason
        assert contents(hub, boss) == []


async def test_a_turn_that_acks_by_itself_posts_at_its_end() -> None:
    """One that nacks posts nothing."""

    async def worker(turn: Turn) -> None:
        await turn.post(turn.delivery.attempt)
        if turn.delivery.attempt == 1:
            await turn.delivery.nack("later")
        else:
            await turn.delivery.ack()

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        _, _, boss = await job_for(hub, worker)
        await recorder.wait_for("turn.ended")
        assert contents(hub, boss) == [2]


async def test_a_reminder_may_drop_the_envelope_of_its_turn() -> None:
    """The own inbox has room for one; the ack that is no more is left out."""

    async def worker(turn: Turn) -> None:
        if turn.content == "job":
            await turn.remind(0.001, "again")

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        await job_for(hub, worker, rule={"inbox": InboxRule(capacity=1, overflow=InboxOverflow.DROP_OLDEST)})
        await recorder.wait_for("turn.ended", count=2)
        assert hub.health().healthy


async def test_a_key_is_used_once_in_a_turn() -> None:
    async def worker(turn: Turn) -> None:
        first = await turn.post("one", idempotency_key="k")
        assert await turn.post("one", idempotency_key="k") is first
        with pytest.raises(PostRejected, match="used in this turn for another envelope"):
            await turn.post("two", idempotency_key="k")

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        _, _, boss = await job_for(hub, worker)
        await recorder.wait_for("turn.ended")
        assert contents(hub, boss) == ["one"]


async def test_a_key_of_an_earlier_turn_posts_no_second_time() -> None:
    held: list[HeldPost] = []

    async def worker(turn: Turn) -> None:
        held.append(await turn.post("one", idempotency_key="k"))

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        _, channel, boss = await job_for(hub, worker)
        await channel.post(boss, "job")
        await recorder.wait_for("turn.ended", count=2)
        assert contents(hub, boss) == ["one"]
        assert held[0].event is not None
        assert held[0].event == held[1].event


async def test_a_turn_that_has_ended_posts_nothing_more() -> None:
    turns: list[Turn] = []

    async def worker(turn: Turn) -> None:
        turns.append(turn)

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        await job_for(hub, worker)
        await recorder.wait_for("turn.ended")
        for late in (turns[0].post("late"), turns[0].reply("late"), turns[0].remind(1, "late"), turns[0].commit()):
            with pytest.raises(CommandRejected, match="has ended, and posts nothing any more"):
                await late


async def test_a_turn_holds_a_bounded_number_of_posts() -> None:
    async def worker(turn: Turn) -> None:
        for number in range(256):
            await turn.post(number)
        with pytest.raises(CommandRejected, match="at most 256 posts"):
            await turn.post("one more")
        with pytest.raises(CommandRejected, match="at_once is True or False"):
            await turn.post("now", at_once="yes")  # type: ignore[call-overload]
        await turn.commit()
        await turn.post("one more")

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        _, _, boss = await job_for(hub, worker)
        await recorder.wait_for("turn.ended")
        assert contents(hub, boss) == [*range(256), "one more"]


# --- committing in the middle -----------------------------------------------------------------------------------------


async def test_a_commit_in_the_middle_is_not_undone() -> None:
    """What it has kept tells the repeated turn what to leave out."""
    states = []

    async def worker(turn: Turn) -> None:
        states.append(turn.state)
        if turn.state is None:
            held = await turn.post("begun")
            turn.state = "begun"
            await turn.commit()
            assert held.event is not None
        turn.state = "done"
        await turn.post("done")
        if turn.delivery.attempt == 1:
            raise ValueError("in the middle")

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        handle, _, boss = await job_for(hub, worker)
        await recorder.wait_for("turn.ended")
        assert states == [None, "begun"]
        assert contents(hub, boss) == ["begun", "done"]
        assert handle.agent.state == "done"


async def test_a_commit_that_is_refused_commits_nothing() -> None:
    """The turn may go on: neither the posts nor the state of before are held."""

    async def worker(turn: Turn) -> None:
        turn.state = 1
        await turn.post("lost")
        await turn.post("bad", to=["nobody"])
        with pytest.raises(PostRejected):
            await turn.commit()
        assert turn.state is None
        await turn.post("good")

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        handle, _, boss = await job_for(hub, worker)
        await recorder.wait_for("turn.ended")
        assert contents(hub, boss) == ["good"]
        assert handle.agent.state is None
        assert [event.content for event in recorder.of("envelope.rejected")] == ["bad"]


# --- state ------------------------------------------------------------------------------------------------------------


async def test_state_outlives_a_restart_and_a_new_field() -> None:
    @attrs.define
    class Older:
        done: int = 0

    @attrs.define
    class Newer:
        done: int = 0
        failed: int = 7

    def counter(kind: type) -> Any:
        class Counting(BaseActor):
            name = "counter"
            state = kind

            async def on_envelope(self, turn: Turn, /) -> None:
                turn.state.done += 1

        return Counting()

    store, recorder = MemoryStore(), Recorder()
    for kind, kept in ((Older, {"done": 1}), (Newer, {"done": 2, "failed": 7})):
        recorder = Recorder()
        async with Hub(store, listeners=[recorder]) as hub:
            handle, _, _ = await job_for(hub, counter(kind))
            await recorder.wait_for("turn.ended")
            assert handle.agent.state == kept
    async with Hub(store) as hub:
        assert hub.agents.list()[0].state == {"done": 2, "failed": 7}


async def test_a_removed_field_is_left_out_with_words(caplog: pytest.LogCaptureFixture) -> None:
    @attrs.define
    class Before:
        done: int = 1
        old: str = "x"

    @attrs.define
    class After:
        done: int = 0

    class Writer(BaseActor):
        name = "worker"
        state: Any = Before

        async def on_envelope(self, turn: Turn, /) -> None:
            turn.state.done += 1

    store, recorder = MemoryStore(), Recorder()
    async with Hub(store, listeners=[recorder]) as hub:
        await job_for(hub, Writer())
        await recorder.wait_for("turn.ended")
    Writer.state = After
    recorder = Recorder()
    async with Hub(store, listeners=[recorder]) as hub:
        handle, _, _ = await job_for(hub, Writer())
        await recorder.wait_for("turn.ended")
        assert handle.agent.state == {"done": 3}
    assert "has fields that its class has no more" in caplog.text
    assert "fields=old" in caplog.text


async def test_a_state_that_does_not_fit_is_a_crash_at_the_start() -> None:
    """No envelope is lost to it: the inbox waits for a class that fits."""

    @attrs.define
    class Words:
        words: str = ""

    class Writer(BaseActor):
        name = "worker"

        async def on_envelope(self, turn: Turn, /) -> None:
            turn.state = {"words": 7}

    store, recorder = MemoryStore(), Recorder()
    async with Hub(store, listeners=[recorder]) as hub:
        await job_for(hub, Writer())
        await recorder.wait_for("turn.ended")
    Writer.state = Words
    recorder = Recorder()
    async with Hub(store, listeners=[recorder]) as hub:
        worker = hub.agents.find("worker")
        boss = hub.agents.find("boss")
        assert worker is not None
        assert boss is not None
        await (await hub.channels.open([boss, worker])).post(boss, "job")
        with pytest.raises(ConfigurationError, match="does not fit"):
            await hub.spawn(Writer())
        assert contents(hub, worker) == ["job"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({1, 2}, "holds JSON"),
        (b"x", "holds JSON"),
        (float("nan"), "cannot be kept as JSON"),
        ({1: "a"}, "cannot be kept as JSON"),
        ("\ud800", "cannot be kept as JSON"),
        ("x" * 70_000, "65536 are allowed"),
        (Tally(), "declare state = "),
        (object(), "holds JSON"),
    ],
)
async def test_what_cannot_be_kept_fails_the_turn(value: Any, words: str) -> None:
    async def worker(turn: Turn) -> None:
        turn.state = value

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        handle, _, _ = await job_for(hub, worker)
        failed: Any = await recorder.wait_for("turn.failed")
        assert words in failed.error_message
        await recorder.wait_for("envelope.dead_lettered")
        assert handle.agent.state is None
        assert handle.is_running


async def test_a_class_of_states_is_checked_when_it_is_spawned() -> None:
    @attrs.define
    class Needs:
        name: str

    class Plain: ...

    class Keeper(BaseActor):
        async def on_envelope(self, turn: Turn) -> None: ...

    async with Hub() as hub:
        for kind, words in ((Needs, "give its fields"), (Plain, "state is an attrs class")):
            Keeper.state = kind
            with pytest.raises(ConfigurationError, match=words):
                await hub.spawn(Keeper())
        Keeper.state = "idle"
        await hub.spawn(Keeper())


async def test_two_turns_do_not_overwrite_each_other() -> None:
    """The later one fails, and its envelope comes again."""
    both = anyio.Event()
    looked: list[int] = []

    async def worker(turn: Turn) -> None:
        seen = turn.state or 0
        looked.append(seen)
        if len(looked) == 2:
            both.set()
        await both.wait()
        turn.state = seen + 1

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        handle, channel, boss = await job_for(hub, worker, concurrency=2)
        await channel.post(boss, "job")
        await recorder.wait_for("turn.ended", count=2)
        assert looked == [0, 0, 1]
        assert handle.agent.state == 2
        failed: Any = recorder.of("turn.failed")[0]
        assert "another turn" in failed.error_message


async def test_a_state_goes_with_its_agent_and_when_it_is_none() -> None:
    async def worker(turn: Turn) -> None:
        turn.state = turn.content

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        handle, channel, boss = await job_for(hub, worker, {"a": [1]})
        await recorder.wait_for("turn.ended")
        assert handle.agent.state == {"a": (1,)}
        await channel.post(boss, None)
        await recorder.wait_for("turn.ended", count=2)
        assert handle.agent.state is None
        await channel.post(boss, "kept")
        await recorder.wait_for("turn.ended", count=3)
        assert len(hub._parts.state.actor_states) == 1
        await handle.agent.unregister()
        assert len(hub._parts.state.actor_states) == 0


async def test_a_turn_that_only_looks_sets_nothing() -> None:
    class Looker(BaseActor):
        state = Tally

        async def on_envelope(self, turn: Turn, /) -> None:
            assert turn.state == Tally()

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        await job_for(hub, Looker())
        await recorder.wait_for("turn.ended")
        assert "actor.state_set" not in recorder.kinds
