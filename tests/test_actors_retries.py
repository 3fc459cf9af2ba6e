"""A turn that fails is not an actor that has crashed: what becomes of the envelope, and what goes on beside it."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from hubwire import Backoff, BaseActor, Escalate, Hub, InboxRule, RetryPolicy, Turn
from hubwire.errors import CommandRejected, ConfigurationError
from hubwire.expectations import Expectation
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import GatedStore, contents, until, until_idle
from support.actors import channel_to


class Worker(BaseActor):
    """Raises what it is given for the content of a turn, and otherwise remembers it."""

    name = "worker"

    def __init__(self, errors: dict[str, BaseException] | None = None) -> None:
        self.errors = errors or {}
        self.heard: list[tuple[Any, int]] = []

    async def on_envelope(self, turn: Turn, /) -> None:
        self.heard.append((turn.content, turn.delivery.attempt))
        if (error := self.errors.get(turn.content)) is not None:
            raise error


async def wait(clock: ManualClock, seconds: float) -> None:
    clock.advance(seconds)
    await until_idle()


# --- a failed turn ----------------------------------------------------------------------------------------------------


async def test_a_failed_turn_leaves_its_actor_alive() -> None:
    """Others of the inbox go on, and each bad envelope backs off by itself until it is dead-lettered."""
    clock, recorder, worker = ManualClock(), Recorder(), Worker({"bad": ValueError("bad"), "worse": KeyError("worse")})
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        handle = await hub.spawn(worker)
        channel, boss = await channel_to(hub, handle.agent)
        for content in ("bad", "worse", "good"):
            await channel.post(boss, content)
        await until_idle()
        assert [content for content, _ in worker.heard] == ["bad", "worse", "good"]
        for seconds in (1, 2, 4, 8):
            await wait(clock, seconds - 0.01)
            before = len(worker.heard)
            await wait(clock, 0.01)
            assert len(worker.heard) == before + 2
        assert worker.heard[-2:] == [("bad", 5), ("worse", 5)]
        await hub.flush()
        dead = recorder.of("envelope.dead_lettered")
        assert [(event.attempts, event.reason) for event in dead] == [(5, "ValueError: bad"), (5, "KeyError: 'worse'")]
        statistics = handle.statistics()
        assert (statistics.starts, statistics.crashes, statistics.handled, statistics.failed) == (1, 0, 1, 10)
        assert recorder.of("actor.crashed") == []
        assert hub.health().healthy


async def test_a_failed_turn_cancels_no_other() -> None:
    release, begun = anyio.Event(), list[Any]()

    async def work(turn: Turn) -> None:
        begun.append(turn.content)
        if turn.content == "bad":
            raise ValueError
        await release.wait()

    async with Hub(clock=ManualClock()) as hub:
        handle = await hub.spawn(work, concurrency=3)
        channel, boss = await channel_to(hub, handle.agent)
        for content in ("one", "bad", "two"):
            await channel.post(boss, content)
        await until_idle()
        release.set()
        await until_idle()
        assert begun == ["one", "bad", "two"]
        assert handle.statistics().handled == 2


async def test_a_policy_says_how_often_and_when() -> None:
    """On the actor's class or for one spawn, which counts; beyond what the inbox's rule says, too."""
    clock, worker = ManualClock(), Worker({"bad": ValueError("bad")})
    policy = RetryPolicy(attempts_max=3, backoff=Backoff(10, 15, factor=10))

    class Patient(Worker):
        retry = policy

    patient = Patient({"bad": ValueError("bad")})
    async with Hub(clock=clock) as hub:
        rule = {"inbox": InboxRule(deliveries_max=2)}
        handles = [await hub.spawn(worker, retry=policy, rule=rule), await hub.spawn(patient, name="patient")]
        channel, boss = await channel_to(hub, *(handle.agent for handle in handles))
        await channel.post(boss, "bad")
        await until_idle()
        for seconds, heard in ((9, 1), (1, 2), (14, 2), (1, 3), (100, 3)):
            await wait(clock, seconds)
            assert (len(worker.heard), len(patient.heard)) == (heard, heard)
        assert hub.statistics().envelopes_pending == 0


async def test_what_never_helps_is_not_tried_again() -> None:
    """Also a subclass, one in a group of exceptions, and what is no Exception."""
    recorder = Recorder()
    errors: dict[str, BaseException] = {
        "direct": UnicodeError("a kind of ValueError"),
        "group": ExceptionGroup("two", [OSError(), ExceptionGroup("one", [ValueError("inner")])]),
        "exit": SystemExit(3),
        "other": OSError("may help"),
    }
    policy = RetryPolicy(never_for=(ValueError, SystemExit))
    async with Hub(clock=ManualClock(), listeners=[recorder]) as hub:
        handle = await hub.spawn(Worker(errors), retry=policy)
        channel, boss = await channel_to(hub, handle.agent)
        for content in errors:
            await channel.post(boss, content)
        await until_idle()
        await hub.flush()
        assert [event.attempts for event in recorder.of("envelope.dead_lettered")] == [1, 1, 1]
        assert contents(hub, handle.agent) == ["other"]
        assert handle.is_running


@pytest.mark.parametrize(
    "error", [Escalate("lost"), ConnectionResetError("lost"), ExceptionGroup("one", [Escalate("lost")])]
)
async def test_an_actor_says_what_is_a_crash(error: Exception) -> None:
    """By Escalate, or by what its policy names; the envelope comes again to the next life."""
    clock, recorder = ManualClock(), Recorder()
    worker = Worker({"bad": error})
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        handle = await hub.spawn(worker, retry=RetryPolicy(crash_for=(ConnectionError,)))
        channel, boss = await channel_to(hub, handle.agent)
        await channel.post(boss, "bad")
        await until_idle()
        assert not handle.is_running
        await wait(clock, 0.1)
        await wait(clock, 0.9)
        assert worker.heard == [("bad", 1), ("bad", 2)]
        await hub.flush()
        assert [event.kind for event in recorder.events if event.kind in ("turn.failed", "actor.crashed")] == [
            "turn.failed",
            "actor.crashed",
        ] * 2


@pytest.mark.parametrize(
    "settings",
    [
        {"attempts_max": 0},
        {"attempts_max": 1.5},
        {"attempts_max": True},
        {"backoff": 1.0},
        {"backoff": Backoff},
        {"never_for": (ValueError("an object"),)},
        {"never_for": "ValueError"},
        {"never_for": (int,)},
        {"crash_for": 7},
    ],
    ids=str,
)
def test_a_wrong_policy_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"RetryPolicy\(\)"):
        RetryPolicy(**settings)


@pytest.mark.parametrize(
    "settings",
    [{"seconds": -1}, {"seconds": float("nan")}, {"seconds_max": "1"}, {"factor": 0.5}, {"jitter": 2}, {"jitter": ""}],
    ids=str,
)
def test_a_wrong_backoff_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"Backoff\(\)"):
        Backoff(**settings)


def test_a_backoff_grows_to_its_limit() -> None:
    """With a jitter of less, it keeps a part that is certain."""
    backoff = Backoff(1, 300)
    assert [backoff.pause_seconds(failures) for failures in (1, 2, 3, 9, 10, 10**6)] == [1, 2, 4, 256, 300, 300]
    assert RetryPolicy(never_for=ValueError).never_for == (ValueError,)  # type: ignore[arg-type]
    for _ in range(100):
        assert 6 <= Backoff(8, jitter=0.25).pause_seconds(1) <= 8


async def test_an_actor_with_a_wrong_policy_is_refused() -> None:
    class Wrong(Worker):
        async def retry(self) -> None:  # type: ignore[override]
            """Something else of its own."""

    async with Hub() as hub:
        with pytest.raises(ConfigurationError, match="retry is a"):
            await hub.spawn(Wrong())
        assert hub.statistics().agents == 0


# --- notices ----------------------------------------------------------------------------------------------------------


async def channel_with_a_deadline(hub: Hub, *others: Any) -> tuple[Any, Any]:
    boss = await hub.agents.register("boss")
    late = Expectation(name="reply_within", params={"seconds": 5}, on_violation="warn")
    return await hub.channels.open([boss, *others], expectations=[late]), boss


async def test_a_notice_is_no_turn() -> None:
    """It is acked, and an actor without ``on_notice`` never sees it."""
    clock, recorder, worker = ManualClock(), Recorder(), Worker()
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        handle = await hub.spawn(worker)
        channel, boss = await channel_with_a_deadline(hub, handle.agent)
        await channel.post(boss, "the build")
        await until_idle()
        await wait(clock, 6)
        await wait(clock, 6)
        await hub.flush()
        assert [event.is_notice for event in recorder.of("envelope.posted")] == [False, True]
        assert worker.heard == [("the build", 1)]
        assert len(recorder.of("turn.started")) == 1
        assert hub.statistics().envelopes_pending == 0


async def test_an_actor_may_ask_for_notices() -> None:
    """A reply to one has no addressee: a clear error, and no crash."""
    clock, said = ManualClock(), list[str]()

    class Attentive(Worker):
        async def on_notice(self, turn: Turn, /) -> None:
            try:
                await turn.reply("sorry")
            except CommandRejected as error:
                said.append(str(error))

    async with Hub(clock=clock) as hub:
        handle = await hub.spawn(Attentive())
        channel, boss = await channel_with_a_deadline(hub, handle.agent)
        await channel.post(boss, "the build")
        await until_idle()
        await wait(clock, 6)
        await wait(clock, 6)
        assert len(said) == 1
        assert "is a notice of the hub, and has no sender" in said[0]
        assert handle.statistics().handled == 2

        class Wrong(Worker):
            def on_notice(self, turn: Turn, /) -> None:
                """Not a coroutine function."""

        with pytest.raises(ConfigurationError, match="on_notice"):
            await hub.spawn(Wrong(), name="wrong")


# --- the end of the process -------------------------------------------------------------------------------------------


class Hanging(Worker):
    """Its turns do not end before the process does."""

    async def on_envelope(self, turn: Turn, /) -> None:
        self.heard.append((turn.content, turn.delivery.attempt))
        if turn.content == "bomb":
            await anyio.sleep_forever()


async def life(store: MemoryStore, worker: Worker, **settings: Any) -> None:
    """Run a hub until the worker has begun, and end it as a kill does."""
    async with Hub(store) as hub:
        heard = len(worker.heard)
        handle = await hub.spawn(worker, **settings)
        if not heard:
            channel, boss = await channel_to(hub, handle.agent)
            await channel.post(boss, "bomb")
            await channel.post(boss, "next")
        await until(lambda: len(worker.heard) > heard or not contents(hub, handle.agent))
        await hub.abort()


@pytest.mark.parametrize(("attempts_max", "attempts"), [(None, 5), (2, 2), (1, 1)])
async def test_what_ends_the_process_is_dead_lettered(attempts_max: int | None, attempts: int) -> None:
    """Each turn that began and never ended counts, and what is behind it keeps its place."""
    store, worker, recorder = MemoryStore(), Hanging(), Recorder()
    policy = RetryPolicy(attempts_max=attempts_max)
    for _ in range(attempts):
        await life(store, worker, retry=policy)
    assert worker.heard == [("bomb", attempt) for attempt in range(1, attempts + 1)]
    async with Hub(store, listeners=[recorder]) as hub:
        handle = await hub.spawn(worker, retry=policy)
        await until(lambda: not contents(hub, handle.agent))
        assert worker.heard[attempts:] == [("next", 1)]
        await hub.flush()
        (dead,) = recorder.of("envelope.dead_lettered")
        assert (dead.attempts, dead.reason) == (attempts, "its last turn came to no end")


async def test_a_close_counts_no_attempt() -> None:
    """The hub itself has cancelled the turn then."""
    store, worker = MemoryStore(), Hanging()
    for _ in range(3):
        async with Hub(store, close_seconds_max=0.2) as hub:
            heard = len(worker.heard)
            handle = await hub.spawn(worker)
            if not heard:
                channel, boss = await channel_to(hub, handle.agent)
                await channel.post(boss, "bomb")
            await until(lambda before=heard: len(worker.heard) > before)  # type: ignore[misc]
    assert worker.heard == [("bomb", 1)] * 3


async def test_a_turn_of_a_recovered_envelope_begins_on_disk() -> None:
    """It may have ended the process before, faster than the journal writes; a new one does not wait."""
    store, worker = GatedStore(), Worker()
    async with Hub(store) as hub:
        agent = await hub.agents.register("worker")
        channel, boss = await channel_to(hub, agent)
        await channel.post(boss, "before")
    async with Hub(store) as hub:
        store.gate.close()
        begun = len(store.appends)
        await hub.spawn(worker)
        await until(lambda: len(store.appends) > begun)
        await until_idle()
        assert worker.heard == []
        store.gate.open()
        await until(lambda: worker.heard == [("before", 1)])
        channel = hub.channels.get(channel.id)
        await channel.post(boss, "new")
        await until(lambda: worker.heard[1:] == [("new", 1)])


# --- deliveries -------------------------------------------------------------------------------------------------------


async def test_a_stale_delivery_is_fenced() -> None:
    """What was nacked and came again is not acked or nacked by the one before."""
    async with Hub() as hub:
        b = await hub.agents.register("b")
        channel, boss = await channel_to(hub, b)
        await channel.post(boss, "x")
        inbox = b.inbox()
        first = await anext(inbox)
        assert await first.nack("busy") is True
        second = await anext(inbox)
        assert (await first.nack(), await first.ack()) == (None, False)
        assert contents(hub, b) == ["x"]
        assert await second.ack() is True
        assert (await second.ack(), await second.nack()) == (False, None)


async def test_an_ack_that_comes_too_late_breaks_no_loop() -> None:
    """The envelope has expired meanwhile; the reader goes on with the next one."""
    clock, acked = ManualClock(), list[bool]()
    async with Hub(clock=clock) as hub:
        b = await hub.agents.register("b")
        channel, boss = await channel_to(hub, b)
        await channel.post(boss, "short", ttl_seconds=1)
        await channel.post(boss, "long")
        async for delivery in b.inbox():
            if delivery.content == "short":
                await wait(clock, 2)
            acked.append(await delivery.ack())
            if delivery.content == "long":
                break
        assert acked == [False, True]
