"""Actors on demand: made when an envelope comes, let go when idle, back again, and what a factory may do wrong."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import pytest

from hubwire import Backoff, BaseActor, Hub, OnDemand, RetryPolicy, Rule, RuleArbiter, Turn
from hubwire.errors import AccessDenied, AskFailed, CommandRejected, ConfigurationError, HubClosed, NotFound
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, pending
from support import advance, files_of, store_of, until, until_idle
from support.odd import Stranger

IDLE_SECONDS = 60.0


@attrs.define
class Log:
    """What the actors of a test were called for."""

    lines: list[str] = attrs.Factory(list)

    def __call__(self, name: str) -> Reviewer:
        self.lines.append(f"made {name}")
        return Reviewer(name, self.lines)


class Reviewer(BaseActor):
    """Counts what it reviews."""

    def __init__(self, name: str, lines: list[str]) -> None:
        self._name = name
        self._lines = lines

    async def on_envelope(self, turn: Turn, /) -> None:
        turn.state = (turn.state or 0) + 1
        await turn.reply(f"{self._name} {turn.content} {turn.state}")

    async def on_stop(self) -> None:
        self._lines.append(f"stopped {self._name}")


@pytest.fixture
async def hub(clock: ManualClock, recorder: Recorder) -> AsyncIterator[Hub]:
    async with Hub(MemoryStore(), clock=clock, listeners=[recorder]) as hub:
        await hub.agents.register("boss")
        yield hub


def kinds(recorder: Recorder, start: str = "actor.") -> list[str]:
    return [event.kind for event in recorder.events if event.kind.startswith(start)]


async def said(hub: Hub, name: str, content: Any = "go") -> Any:
    return (await hub.ask("boss", name, content)).content


# --- a life -----------------------------------------------------------------------------------------------------------


async def test_the_first_envelope_makes_it(hub: Hub) -> None:
    log = Log()
    reviewers = hub.spawn_on_demand("reviewer/*", log, idle_seconds=IDLE_SECONDS, skill="reviews")
    assert (hub.agents.find("reviewer/42"), log.lines) == (None, [])
    assert await said(hub, "reviewer/42") == "reviewer/42 go 1"
    agent = hub.agents.named("reviewer/42")
    assert (agent.skill, agent.state, reviewers.active) == ("reviews", 1, ["reviewer/42"])
    assert await said(hub, "reviewer/42") == "reviewer/42 go 2"
    assert log.lines == ["made reviewer/42"]


async def test_idle_ones_are_let_go_and_come_back(hub: Hub, clock: ManualClock, recorder: Recorder) -> None:
    log = Log()
    reviewers = hub.spawn_on_demand("reviewer/*", log, idle_seconds=IDLE_SECONDS)
    await said(hub, "reviewer/1")
    await advance(clock, IDLE_SECONDS - 1)
    await said(hub, "reviewer/1")
    await advance(clock, IDLE_SECONDS - 1)
    assert reviewers.active == ["reviewer/1"]
    await advance(clock, 1)
    assert (reviewers.active, log.lines) == ([], ["made reviewer/1", "stopped reviewer/1"])
    assert hub.statistics().actors == ()
    assert await said(hub, "reviewer/1") == "reviewer/1 go 3"
    assert log.lines[2:] == ["made reviewer/1"]
    await hub.flush()
    lives = [kind for kind in kinds(recorder) if kind != "actor.state_set"]
    assert lives == ["actor.started", "actor.stopped", "actor.started"]
    assert not hub.health().problems


async def test_posts_and_publications_make_it(hub: Hub, clock: ManualClock) -> None:
    log = Log()
    reviewers = hub.spawn_on_demand("reviewer/*", log, idle_seconds=IDLE_SECONDS)
    channel = await hub.channels.open(["boss", "reviewer/1"])
    other = await hub.channels.open(["boss"])
    await other.join("reviewer/2")
    await hub.topics.subscribe("reviewer/3", "build.*")
    assert (reviewers.active, log.lines) == ([], [])
    await channel.post("boss", "go", to=["reviewer/1"])
    await other.post("boss", "go")
    await hub.topics.publish("build.failed", "go", sender="boss")
    boss = hub.agents.named("boss")
    await until(lambda: len(pending(hub, boss)) == 3)
    await advance(clock, IDLE_SECONDS)
    assert reviewers.active == []
    await channel.post("boss", "later", deliver_after=5)
    await advance(clock, 4)
    assert reviewers.active == []
    await advance(clock, 1)
    await until(lambda: len(pending(hub, boss)) == 4)
    assert reviewers.active == ["reviewer/1"]


async def test_a_restart_finds_what_waits() -> None:
    store, log = MemoryStore(), Log()
    async with Hub(store) as hub:
        boss = await hub.agents.register("boss")
        rule = hub.spawn_on_demand("reviewer/*", log)
        await said(hub, "reviewer/1")
        channel = await hub.channels.open([boss, "reviewer/1", "reviewer/2"])
        await rule.stop()
        await channel.post(boss, "left", to=["reviewer/1"])
        assert (rule.is_stopped, log.lines) == (True, ["made reviewer/1", "stopped reviewer/1"])
    async with Hub(store) as hub:
        rule = hub.spawn_on_demand("reviewer/*", log)
        await until(lambda: bool(pending(hub, boss.id)))
        assert [event.content for event in pending(hub, boss.id)] == ["reviewer/1 left 2"]
        assert rule.active == ["reviewer/1"]


async def test_busy_ones_are_not_let_go(hub: Hub, clock: ManualClock) -> None:
    go = anyio.Event()
    stopped: list[str] = []

    async def busy(turn: Turn) -> None:
        await go.wait()
        stopped.append("done")

    rule = hub.spawn_on_demand("busy/*", lambda _: busy, idle_seconds=1, concurrency=2)
    await hub.topics.subscribe("busy/1", "*")
    await hub.topics.publish("go", 1, sender="boss")
    for _ in range(5):
        await advance(clock, 10)
    assert rule.active == ["busy/1"]
    go.set()
    await advance(clock, 0.5)
    assert (stopped, rule.active) == (["done"], ["busy/1"])
    await advance(clock, 0.5)
    assert rule.active == []


async def test_who_acks_early_is_busy(hub: Hub, clock: ManualClock) -> None:
    go = anyio.Event()

    async def early(turn: Turn) -> None:
        await turn.delivery.ack()
        await go.wait()

    rule = hub.spawn_on_demand("early/*", lambda _: early, idle_seconds=1, concurrency=2)
    await hub.topics.subscribe("early/1", "*")
    await hub.topics.publish("go", 1, sender="boss")
    await advance(clock, 5)
    assert (hub.inboxes.list(), rule.active) == ([], ["early/1"])
    go.set()
    await advance(clock, 0)
    await advance(clock, 1)
    assert rule.active == []


async def test_it_is_stopped_while_it_is_made(hub: Hub) -> None:
    log, go = Log(), anyio.Event()

    async def slow(name: str) -> Any:
        await go.wait()
        return log(name)

    rule = hub.spawn_on_demand("reviewer/*", slow)
    await hub.topics.subscribe("reviewer/1", "*")
    await hub.topics.publish("go", 1, sender="boss")
    await until_idle()
    await rule.stop()
    assert rule.active == ["reviewer/1"]
    go.set()
    await until(lambda: not rule.active)
    assert (log.lines, hub.statistics().actors) == (["made reviewer/1", "stopped reviewer/1"], ())


async def test_what_comes_while_it_stops_is_handled(hub: Hub, clock: ManualClock) -> None:
    log, stopping, go_on = Log(), anyio.Event(), anyio.Event()

    class Slow(Reviewer):
        async def on_stop(self) -> None:
            stopping.set()
            await go_on.wait()
            await super().on_stop()

    rule = hub.spawn_on_demand("reviewer/*", lambda name: Slow(name, log.lines), idle_seconds=1)
    await said(hub, "reviewer/1")
    await advance(clock, 1)
    await stopping.wait()
    async with anyio.create_task_group() as tasks:
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await said(hub, "reviewer/1"))

        tasks.start_soon(ask)
        await until_idle()
        assert (answers, rule.active) == ([], ["reviewer/1"])
        go_on.set()
    assert answers == ["reviewer/1 go 2"]


async def test_the_real_clock_lets_go() -> None:
    log = Log()
    async with Hub() as hub:
        await hub.agents.register("boss")
        rule = hub.spawn_on_demand("reviewer/*", log, idle_seconds=0.01)
        for number in range(3):
            assert await said(hub, "reviewer/1") == f"reviewer/1 go {number + 1}"
            await until(lambda: not rule.active)
    assert log.lines == ["made reviewer/1", "stopped reviewer/1"] * 3


async def test_a_kill_between_any_two_events_loses_nothing() -> None:
    """The journal is cut after each event; the next start answers what waits, each of it once."""
    store = MemoryStore()
    async with Hub(store) as hub:
        boss = await hub.agents.register("boss")
        hub.spawn_on_demand("reviewer/*", Log())
        for number in range(3):
            await hub.topics.subscribe(f"reviewer/{number}", "review.*")
        await hub.topics.publish("review.a", "a", sender=boss)
        await until(lambda: len(pending(hub, boss)) == 3)
        files = await files_of(store)
    (segment,) = [name for name in files if name.startswith("/journal/log/") and name.endswith(".jsonl")]
    content, published = files[segment], set()
    for end in [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]:
        async with Hub(await store_of({**files, segment: content[:end]})) as hub:
            rule = hub.spawn_on_demand("reviewer/*", Log())
            if (boss_now := hub.agents.find("boss")) is None:
                continue
            await until(lambda hub=hub: {each.agent_name for each in hub.inboxes.list()} <= {"boss"})  # type: ignore[misc]
            published.add(len(pending(hub, boss_now)))
            said = sorted(str(event.content) for event in pending(hub, boss_now))
            assert said in ([], [f"reviewer/{number} a 1" for number in range(3)])
            assert rule.waiting == []
    assert published == {0, 3}


# --- many -------------------------------------------------------------------------------------------------------------


async def test_no_more_are_active_than_may(hub: Hub, clock: ManualClock) -> None:
    go = anyio.Event()
    most = 0

    async def busy(turn: Turn) -> None:
        nonlocal most
        most = max(most, len(rule.active))
        await go.wait()

    rule: OnDemand = hub.spawn_on_demand("busy/*", lambda _: busy, active_max=3)
    for number in range(10):
        await hub.topics.subscribe(f"busy/{number}", "*")
    await hub.topics.publish("go", 1, sender="boss")
    await until_idle()
    assert (rule.active, len(rule.waiting)) == ([f"busy/{number}" for number in range(3)], 7)
    go.set()
    await until(lambda: not hub.inboxes.list())
    await until_idle()
    assert (most, rule.waiting, len(rule.active)) == (3, [], 3)


async def test_many_names_leave_nothing(clock: ManualClock) -> None:
    log = Log()
    async with Hub(clock=clock) as hub:
        boss = await hub.agents.register("boss")
        rule = hub.spawn_on_demand("reviewer/*", lambda name: Reviewer(name, log.lines), idle_seconds=1, active_max=10)
        for number in range(300):
            await said(hub, f"reviewer/{number}")
        await advance(clock, 1)
        parts, core = hub._parts, hub._parts.core
        assert (rule.active, rule.waiting, len(log.lines)) == ([], [], 300)
        gc.collect()
        actors: Any = parts.actors.made()
        left = [core._readers, actors._by_agent, actors._present, dict(actors._groups), rule._active, rule._idle]
        assert left == [{}] * 6
        assert (rule._line, rule._leaving, len(parts.asks), parts.asks.workload._turns) == ({}, set(), 0, {})
        assert boss.id in hub._parts.state.agents


# --- what goes wrong --------------------------------------------------------------------------------------------------


class Odd(BaseException):
    """What no code is prepared for."""


def failing(times: int, log: Log, error: Callable[[], BaseException]) -> Callable[[str], Any]:
    made: list[str] = []

    def factory(name: str) -> Any:
        made.append(name)
        if len(made) <= times:
            raise error()
        return log(name)

    return factory


async def test_a_factory_that_fails_is_called_again(hub: Hub, clock: ManualClock, recorder: Recorder) -> None:
    log = Log()
    rule = hub.spawn_on_demand(
        "reviewer/*", failing(2, log, lambda: ValueError("no model")), retry=RetryPolicy(backoff=Backoff(10, 100))
    )
    await hub.topics.subscribe("reviewer/1", "*")
    await hub.topics.publish("go", "go", sender="boss")
    await advance(clock, 0)
    assert (rule.active, log.lines) == ([], [])
    await advance(clock, 10)
    assert log.lines == []
    await advance(clock, 20)
    assert log.lines == ["made reviewer/1"]
    await hub.flush()
    nacked: Any = [event for event in recorder.events if event.kind == "envelope.nacked"]
    assert [(each.attempt, each.delay_seconds) for each in nacked] == [(1, 10), (2, 20)]
    assert "no model" in nacked[0].reason
    assert kinds(recorder).count("actor.crashed") == 2
    assert not hub.health().problems


@pytest.mark.parametrize(
    "error",
    [ValueError("never"), Odd(), asyncio.CancelledError()],
    ids=["error", "odd", "cancelled"],
)
async def test_a_factory_that_always_fails_dead_letters(hub: Hub, clock: ManualClock, error: BaseException) -> None:
    def factory(name: str) -> Any:
        raise error

    rule = hub.spawn_on_demand("reviewer/*", factory, retry=RetryPolicy(attempts_max=2, backoff=Backoff(1, 1)))
    await hub.topics.subscribe("reviewer/1", "*")
    for number in range(3):
        await hub.topics.publish("go", number, sender="boss")
    for _ in range(5):
        await advance(clock, 1)
    assert [letter.envelope.content for letter in hub.inboxes.dead_letters()] == [0, 1, 2]
    assert rule.active == []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_fails, hub)
        for _ in range(5):
            await advance(clock, 1)


async def _fails(hub: Hub) -> None:
    with pytest.raises(AskFailed):
        await hub.ask("boss", "reviewer/1", "are you there?")


async def test_all_that_waits_is_an_attempt(hub: Hub) -> None:
    go, calls = anyio.Event(), list[str]()

    async def factory(name: str) -> Any:
        calls.append(name)
        await go.wait()
        raise ValueError("no")

    hub.spawn_on_demand("reviewer/*", factory, retry=RetryPolicy(attempts_max=1))
    await hub.topics.subscribe("reviewer/1", "*")
    for number in range(300):
        await hub.topics.publish("go", number, sender="boss")
    go.set()
    await until(lambda: not hub.inboxes.list())
    assert (len(hub.inboxes.dead_letters()), calls) == (300, ["reviewer/1"])


async def test_hopeless_failures_dead_letter_at_once(hub: Hub, clock: ManualClock) -> None:
    factory = failing(9, Log(), lambda: KeyError("x"))
    hub.spawn_on_demand("reviewer/*", factory, retry=RetryPolicy(never_for=(KeyError,)))
    with pytest.raises(AskFailed, match="dead-lettered"):
        await said(hub, "reviewer/1")
    await advance(clock, 0)
    assert len(hub.inboxes.dead_letters()) == 1


@pytest.mark.parametrize(
    "answer",
    [None, 7, "actor", Reviewer, len, Stranger()],
    ids=["none", "number", "text", "class", "builtin", "stranger"],
)
async def test_what_is_no_actor_is_refused(hub: Hub, answer: Any, recorder: Recorder) -> None:
    hub.spawn_on_demand("reviewer/*", lambda name: answer, retry=RetryPolicy(attempts_max=1))
    with pytest.raises(AskFailed, match="which is no actor"):
        await said(hub, "reviewer/1")
    await hub.flush()
    assert kinds(recorder) == ["actor.crashed", "actor.stopped"]
    assert not hub.health().problems


async def test_factories_may_be_async_or_classes(hub: Hub) -> None:
    log = Log()

    class Own(Reviewer):
        concurrency = 3

        def __init__(self, name: str) -> None:
            super().__init__(name, log.lines)

    async def later(name: str) -> Any:
        await anyio.lowlevel.checkpoint()
        return log(name)

    async def turned(name: str) -> Any:
        async def act(turn: Turn) -> None:
            await turn.reply(name)

        return act

    for pattern, factory in (("a/*", later), ("b/*", turned), ("c/*", Own)):
        hub.spawn_on_demand(pattern, factory)
    assert [await said(hub, name) for name in ("a/1", "b/1", "c/1")] == ["a/1 go 1", "b/1", "c/1 go 1"]


async def test_crashes_are_supervised(hub: Hub, clock: ManualClock) -> None:
    log = Log()

    class Crashing(Reviewer):
        async def on_envelope(self, turn: Turn, /) -> None:
            if turn.content == "crash":
                raise ValueError("x")
            await super().on_envelope(turn)

    retry = RetryPolicy(attempts_max=20, crash_for=(ValueError,), backoff=Backoff(0.01, 0.01))
    hub.spawn_on_demand("reviewer/*", lambda name: Crashing(name, log.lines), retry=retry)
    await hub.topics.subscribe("reviewer/1", "*")
    await hub.topics.publish("go", "crash", sender="boss")
    for _ in range(200):
        await advance(clock, 0.5)
    assert [letter.envelope.content for letter in hub.inboxes.dead_letters()] == ["crash"]
    assert await said(hub, "reviewer/1") == "reviewer/1 go 1"


# --- arguments, and who may -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {"pattern": ""},
        {"pattern": None},
        {"pattern": "\ud800"},
        {"pattern": "x" * 1001},
        {"factory": None},
        {"factory": lambda: None},
        {"factory": Reviewer("x", [])},
        {"idle_seconds": 0},
        {"idle_seconds": float("nan")},
        {"active_max": 0},
        {"concurrency": -1},
        {"retry": 3},
        {"skil": "x"},
    ],
)
async def test_odd_rules_are_refused(hub: Hub, given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        hub.spawn_on_demand(**{"pattern": "reviewer/*", "factory": Log(), **given})
    with pytest.raises(NotFound):
        await hub.ask("boss", "reviewer/1", "go")


class Nameless(BaseActor):
    async def on_envelope(self, turn: Turn) -> None: ...


async def of_a_turn(turn: Turn) -> None: ...


@pytest.mark.parametrize(
    ("factory", "advice"),
    [
        pytest.param(Nameless, "not the class Nameless; it is called with the name alone", id="a class without name"),
        pytest.param(of_a_turn, "it is a function of a turn; pass one that returns it", id="a function of a turn"),
    ],
)
async def test_a_refused_factory_says_why(hub: Hub, factory: Any, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice):
        hub.spawn_on_demand("reviewer/*", factory)
    hub.spawn_on_demand("reviewer/*", lambda _: of_a_turn)


async def test_one_rule_has_a_pattern(hub: Hub) -> None:
    one, two = Log(), Log()
    rule = hub.spawn_on_demand("reviewer/*", one)
    with pytest.raises(CommandRejected, match="on demand already"):
        hub.spawn_on_demand("reviewer/*", two)
    hub.spawn_on_demand("*", two)
    assert await said(hub, "reviewer/1") == "reviewer/1 go 1"
    assert await said(hub, "other") == "other go 1"
    await rule.stop()
    assert await said(hub, "reviewer/1") == "reviewer/1 go 2"
    assert (one.lines, two.lines) == (["made reviewer/1", "stopped reviewer/1"], ["made other", "made reviewer/1"])


async def test_actors_of_the_program_come_first(hub: Hub) -> None:
    async def own(turn: Turn) -> None:
        await turn.reply("own")

    rule = hub.spawn_on_demand("reviewer/*", Log())
    await hub.spawn(own, name="reviewer/1")
    assert (await said(hub, "reviewer/1"), rule.active) == ("own", [])


async def test_arbiters_decide_who_registers(clock: ManualClock) -> None:
    arbiter = RuleArbiter({"intern": Rule(rate_per_minute=1, rate_burst=1), "bad/*": Rule(inbound_from=())})
    async with Hub(clock=clock, arbiter=arbiter) as hub:
        intern = await hub.agents.register("intern")
        hub.spawn_on_demand("*/*", Log())
        face = hub.acting_as(intern)
        with pytest.raises(AccessDenied):
            await hub.ask(intern, "bad/1", "go")
        await advance(clock, 600)
        await face.topics.subscribe(intern, "*")
        with pytest.raises(AccessDenied, match="times a minute"):
            for number in range(3):
                await face.ask(intern, f"good/{number}", "go")
        assert len([agent for agent in hub.agents.list() if agent.name.startswith("good/")]) <= 2


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_closing_stops_them(clock: ManualClock) -> None:
    log = Log()
    async with Hub(clock=clock) as hub:
        await hub.agents.register("boss")
        rule = hub.spawn_on_demand("reviewer/*", log)
        await said(hub, "reviewer/1")
    assert (log.lines, rule.active) == (["made reviewer/1", "stopped reviewer/1"], [])
    with pytest.raises(HubClosed):
        hub.spawn_on_demand("other/*", log)


async def test_a_hanging_factory_ends_with_the_hub(clock: ManualClock) -> None:
    started = anyio.Event()

    async def hang(name: str) -> Any:
        started.set()
        await anyio.sleep_forever()

    async with Hub(close_seconds_max=0.1) as hub:
        boss = await hub.agents.register("boss")
        rule = hub.spawn_on_demand("reviewer/*", hang)
        await hub.topics.subscribe("reviewer/1", "*")
        await hub.topics.publish("go", 1, sender=boss)
        await started.wait()
        assert rule.active == ["reviewer/1"]
        other = hub.spawn_on_demand("b*", hang)
        await other.stop()


async def test_draining_handles_what_waits(hub: Hub) -> None:
    rule = hub.spawn_on_demand("reviewer/*", Log())
    await said(hub, "reviewer/1")
    channel = await hub.channels.open(["boss", "reviewer/1"])
    for number in range(3):
        await channel.post("boss", number, to=["reviewer/1"])
    drained = await rule.drain(timeout=5)
    assert (drained.is_complete, rule.active, rule.is_stopped) == (True, [], True)
    assert hub.agents.named("reviewer/1").state == 4


async def test_it_is_stopped_in_a_turn(hub: Hub) -> None:
    rules: list[OnDemand] = []

    async def act(turn: Turn) -> None:
        await rules[0].stop()

    rules.append(hub.spawn_on_demand("act/*", lambda _: act))
    agent = await hub.agents.register("act/1")
    await hub.topics.subscribe(agent, "*")
    await hub.topics.publish("go", 1, sender="boss")
    await until(lambda: rules[0].is_stopped and not rules[0].active)
    assert [event.content for event in pending(hub, agent)] == [1]


async def test_what_made_it_is_not_around_it(hub: Hub) -> None:
    """An actor that is made by a post of a turn does not run in that turn: it may ask who waits for that."""
    answers: list[Any] = []

    class Back(BaseActor):
        def __init__(self, name: str) -> None:
            self.name = name

        async def on_envelope(self, turn: Turn, /) -> None:
            answers.append((await turn.ask("chief", "and now?")).content)

    class First(BaseActor):
        async def on_envelope(self, turn: Turn, /) -> None:
            await turn.publish("back", 1, at_once=True)
            await until(lambda: bool(answers))
            await turn.reply("done")

    class Chief(BaseActor):
        concurrency = 2

        async def on_envelope(self, turn: Turn, /) -> None:
            await turn.reply("fine" if turn.content == "and now?" else (await turn.ask("first", "go")).content)

    hub.spawn_on_demand("back/*", Back, retry=RetryPolicy(attempts_max=1))
    await hub.topics.subscribe("back/1", "*")
    for actor, name in ((First(), "first"), (Chief(), "chief")):
        await hub.spawn(actor, name=name)
    assert (await said(hub, "chief", "start"), answers) == ("done", ["fine"])
