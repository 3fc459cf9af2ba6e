"""Actors, approvers, evaluators and channel types that do all that code can do: the failure is theirs, and bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import anyio
import pytest

from hubwire import Backoff, BaseActor, GenericEvent, Hub, RetryPolicy
from hubwire.approvals import ApprovalPolicy
from hubwire.channel_types import Conversation
from hubwire.errors import CommandRejected, ConfigurationError, NotApproved
from hubwire.expectations import Expectation, MaxSilence, Moment, Owed
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import until, until_idle


class Panic(BaseException):
    pass


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def in_a_group(error: BaseException) -> BaseException:
    return BaseExceptionGroup("several", [error, ValueError("and this")])


BAD: dict[str, Callable[[], BaseException]] = {
    "an error": lambda: ValueError("no"),
    "a panic": lambda: Panic("native"),
    "the end": lambda: SystemExit(3),
    "a cancellation": asyncio.CancelledError,
    "a group": lambda: in_a_group(asyncio.CancelledError()),
    "a panic in a group": lambda: in_a_group(Panic("native")),
    "without a text": Mute,
    "endless text": lambda: ValueError("x" * 9_000_000),
    "the end of iteration": lambda: StopIteration(1),
    "a class with a long name": type("x" * 100_000, (Exception,), {}),
}
ALL = pytest.mark.parametrize("error", BAD.values(), ids=BAD)


class Crashing(BaseActor):
    def __init__(self, error: Callable[[], BaseException]) -> None:
        self.error = error

    async def on_envelope(self, turn: Any) -> None:
        if turn.content == "crash":
            raise self.error()
        await turn.reply("well")


@ALL
async def test_an_actor_may_raise_anything(error: Callable[[], BaseException]) -> None:
    """The turn has failed, and the actor goes on; the next start of the hub is well, too."""
    store, recorder = MemoryStore(), Recorder()
    async with Hub(store, listeners=[recorder]) as hub:
        actor = await hub.spawn(Crashing(error), retry=RetryPolicy(backoff=Backoff(1000)))
        boss = await hub.agents.register("boss")
        channel = await hub.channels.open([boss, actor.agent])
        await channel.post(boss, "crash")
        failed: Any = await recorder.wait_for("turn.failed")
        assert len(failed.error_message) <= 1000
        assert len(failed.error_type) <= 200
        assert (await hub.ask(boss, actor.agent, "go", timeout=10)).content == "well"
        assert hub.health().healthy
    async with Hub(store) as hub:
        assert hub.health().healthy


@ALL
async def test_an_actor_may_raise_anything_at_its_start(error: Callable[[], BaseException]) -> None:
    class Stillborn(BaseActor):
        async def on_start(self, hub: Any, agent: Any) -> None:
            raise error()

    async with Hub() as hub:
        with pytest.raises(Exception):  # noqa: B017 - whatever it was: an Exception
            await hub.spawn(Stillborn())
        assert hub.health().healthy


@ALL
async def test_an_actor_may_raise_anything_at_its_stop(error: Callable[[], BaseException]) -> None:
    class Clinging(BaseActor):
        async def on_stop(self) -> None:
            raise error()

    async with Hub() as hub:
        actor = await hub.spawn(Clinging())
        await actor.stop()
        assert hub.health().healthy
        await hub.spawn(Clinging())


@pytest.mark.slow
async def test_an_actor_that_swallows_its_cancellation_is_left_behind() -> None:
    """Closing does not wait for it, and health and an event name it for as long as it runs."""
    begun, free = anyio.Event(), anyio.Event()

    class Deaf(BaseActor):
        async def on_envelope(self, turn: Any) -> None:
            begun.set()
            while not free.is_set():
                try:
                    await free.wait()
                except BaseException:  # noqa: BLE001, S110 - that is what it is for
                    pass

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        actor = await hub.spawn(Deaf())
        boss = await hub.agents.register("boss")
        channel = await hub.channels.open([boss, actor.agent])
        await channel.post(boss, "hello")
        await begun.wait()
        await actor.stop()
        failed: Any = await recorder.wait_for("hub.guest_failed")
        assert "'Deaf'" in failed.guest
        assert hub.statistics().guests_abandoned == 1
        assert "'Deaf'" in hub.health().problems[0]
        free.set()
        await until(lambda: hub.health().healthy)
        await hub.emit(GenericEvent(kind="number.said"))


# --- approvals ------------------------------------------------------------------------------------------------------


class Approver:
    def __init__(self, name: str, review: Callable[[Any], Any]) -> None:
        self.name = name
        self.review = review


def two(review: Callable[[Any], Any]) -> list[Any]:
    return [Approver("approver one", review), Approver("approver two", review)]


@ALL
async def test_an_approver_may_raise_anything(error: Callable[[], BaseException]) -> None:
    async def review(_: Any) -> Any:
        raise error()

    async with Hub() as hub:
        agent = await hub.agents.register("agent")
        policy = ApprovalPolicy(approvers=two(review))
        with pytest.raises(NotApproved):
            await hub.approvals.gate(agent, "launch", policy=policy)
        assert hub.health().healthy


@pytest.mark.slow
async def test_an_approver_that_swallows_its_cancellation_is_left_behind() -> None:
    clock, free, asked = ManualClock(), anyio.Event(), anyio.Event()

    async def review(_: Any) -> Any:
        asked.set()
        while not free.is_set():
            try:
                await free.wait()
            except BaseException:  # noqa: BLE001, S110 - that is what it is for
                pass
        return True

    async with Hub(clock=clock) as hub:
        agent = await hub.agents.register("agent")
        policy = ApprovalPolicy(approvers=two(review), timeout_seconds=5)
        async with anyio.create_task_group() as tasks:

            async def gate() -> None:
                with pytest.raises(NotApproved):
                    await hub.approvals.gate(agent, "launch", policy=policy)

            tasks.start_soon(gate)
            await asked.wait()
            await until_idle()
            clock.advance(5)
        assert hub.statistics().guests_abandoned == 2
        assert "approver one" in hub.health().problems[0]
        free.set()
        await until(lambda: hub.health().healthy)


# --- evaluators and channel types -----------------------------------------------------------------------------------


ANSWERS: dict[str, Callable[[Any], Any]] = {
    "no moment": lambda situation: [Owed(None, None)],  # type: ignore[arg-type]
    "a text as moment": lambda situation: [Owed(None, "now")],  # type: ignore[arg-type]
    "a moment of texts": lambda situation: [Owed(None, Moment("1", "2"))],  # type: ignore[arg-type]
    "a huge moment": lambda situation: [Owed(None, Moment(10**40, 10**40))],
    "not a number": lambda situation: [Owed(None, Moment(0, float("nan")))],  # type: ignore[arg-type]
    "a list as agent": lambda situation: [Owed([], situation.created)],  # type: ignore[arg-type]
    "a stranger": lambda situation: [Owed("a stranger", situation.created)],
    "no list": lambda situation: 7,
    "nothing": lambda situation: None,
    "no obligations": lambda situation: ["x"],
    "endless": lambda situation: iter(lambda: Owed(None, situation.created), None),
    "endless strangers": lambda situation: (Owed(None, situation.created) for _ in iter(int, 1)),
}
for _name, _error in BAD.items():
    ANSWERS[f"raises {_name}"] = lambda _, error=_error: (_ for _ in ()).throw(error())  # type: ignore[misc]


@pytest.mark.slow
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_an_evaluator_may_answer_anything(answer: Callable[[Any], Any]) -> None:
    """The failure is reported by ``expectation.failed``; the hub, and the next two, are well."""

    class Own(MaxSilence):
        name = "own"

        def owed(self, situation: Any) -> Iterable[Owed]:
            found: Iterable[Owed] = answer(situation)
            return found

    store, clock = MemoryStore(), ManualClock()
    for start in range(3):
        recorder = Recorder()
        hub = Hub(store, clock=clock, listeners=[recorder])
        hub.channels.register_evaluator(Own())
        async with hub:
            if not start:
                agents = [await hub.agents.register(name) for name in ("a", "b")]
                await hub.channels.open(agents, expectations=[Expectation(name="own", params={"seconds": 1})])
                await until_idle()
                clock.advance(1)
            failed: Any = await recorder.wait_for("expectation.failed")
            assert len(failed.reason) <= 1100
            assert hub.health().healthy


@ALL
@pytest.mark.parametrize("method", ["refuse", "fold", "ending", "refuse_manifest", "begin", "expected"])
async def test_a_channel_type_may_raise_anything(method: str, error: Callable[[], BaseException]) -> None:
    def fail(*_: object) -> Any:
        raise error()

    kind = type("Own", (Conversation,), {"name": "own", method: fail})
    hub = Hub()
    hub.channels.register_type(kind())
    async with hub:
        agents = [await hub.agents.register(name) for name in ("a", "b")]
        with pytest.raises(CommandRejected) as raised:
            channel = await hub.channels.open(agents, type="own")
            await channel.post(agents[0], 1)
            channel.expected  # noqa: B018 - it calls the type
        assert len(str(raised.value)) < 2000
        assert hub.health().healthy


@pytest.mark.parametrize("method", ["refuse", "ending", "refuse_manifest"])
@pytest.mark.parametrize("answer", [7, ["no"], "x" * 9_000_000, object()], ids=["7", "list", "endless", "object"])
async def test_a_reason_of_a_channel_type_is_a_short_text(method: str, answer: Any) -> None:
    kind = type("Own", (Conversation,), {"name": "own", method: lambda *_: answer})
    hub, recorder = Hub(), Recorder()
    hub.channels.register_type(kind())
    hub.attach(recorder)
    async with hub:
        agents = [await hub.agents.register(name) for name in ("a", "b")]
        said = ""
        try:
            channel = await hub.channels.open(agents, type="own")
            await channel.post(agents[0], 1)
        except CommandRejected as refusal:
            said = str(refusal)
        else:
            closed: Any = await recorder.wait_for("channel.closed")
            said = closed.reason
        assert 0 < len(said) < 2000
        assert hub.health().healthy


# --- what actors are spawned with -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"retry": 1.0},
        {"retry": "RetryPolicy"},
        {"retry": RetryPolicy},
        {"retry_seconds": 1},
        {"concurrency": 10**9},
        {"concurrency": 0},
        {"restart": "permanent"},
        {"name": 7},
        {"name": ""},
    ],
    ids=str,
)
async def test_settings_of_an_actor_are_checked(settings: dict[str, Any]) -> None:
    async with Hub() as hub:
        with pytest.raises(ConfigurationError):
            await hub.spawn(Crashing(ValueError), **settings)
        assert hub.statistics().agents == 0


@pytest.mark.parametrize(
    "rules",
    [
        {"restarts_max": 1.5},
        {"restarts_max": "3"},
        {"within_seconds": float("inf")},
        {"backoff_seconds": float("nan")},
        {"backoff_seconds_max": "1"},
        {"strategy": 7},
    ],
    ids=str,
)
async def test_rules_of_a_group_are_checked(rules: dict[str, Any]) -> None:
    async with Hub() as hub:
        with pytest.raises(ConfigurationError):
            hub.supervise("team", **rules)
        hub.supervise("team")


async def test_the_longest_retry_delay_is_capped() -> None:
    """Doubled with each crash, it would be beyond what an inbox takes."""
    clock, recorder = ManualClock(), Recorder()
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        actor = await hub.spawn(Crashing(lambda: ValueError("no")), retry=RetryPolicy(backoff=Backoff(9e8)))
        boss = await hub.agents.register("boss")
        channel = await hub.channels.open([boss, actor.agent])
        await channel.post(boss, "crash")
        for crash in range(1, 4):
            await recorder.wait_for("turn.failed", count=crash)
            await until_idle()
            clock.advance(1e9)
            await until_idle()
        assert hub.health().healthy
