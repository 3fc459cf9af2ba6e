"""Clocks that move, step and lie: the hub keeps its time, and says what was wrong."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from hubwire import GenericEvent, Hub, clock
from hubwire._commit.time_of_day import HELD_SECONDS_MAX
from hubwire.expectations import Expectation
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import until, until_idle

YEAR_SECONDS = 365.0 * 86_400


class Panic(BaseException):
    pass


class Lying:
    """The system's clock, until it is told to answer otherwise."""

    def __init__(self) -> None:
        self.day: Callable[[], Any] = time.time_ns
        self.elapsed: Callable[[], Any] = time.monotonic
        self.sleeps: Callable[[float], Any] = anyio.sleep

    def now_ns(self) -> Any:
        return self.day()

    def monotonic(self) -> Any:
        return self.elapsed()

    async def sleep(self, seconds: float) -> None:
        await self.sleeps(seconds)


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise error

    return fail


def said(n: int = 0) -> GenericEvent:
    return GenericEvent(kind="number.said", data={"n": n})


BAD: dict[str, Callable[..., Any]] = {
    "an error": raising(ValueError("no time")),
    "a panic": raising(Panic("native")),
    "not a number": lambda: math.nan,
    "a text": lambda: "today",
    "nothing": lambda: None,
    "true": lambda: True,
    "infinite": lambda: math.inf,
    "a fraction": lambda: 1.5,
    "huge": lambda: 10**40,
    "negative and huge": lambda: -(10**40),
}


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD)
async def test_a_bad_time_of_day_is_replaced(answer: Callable[..., Any]) -> None:
    """The last good one goes on; health names it, an event reports it, and the next start is well."""
    clock, recorder, store = Lying(), Recorder(), MemoryStore()
    async with Hub(store, clock=clock, listeners=[recorder]) as hub:
        before = await hub.emit(said())
        clock.day = answer
        after = await hub.emit(said())
        assert before.at <= after.at < "2200"
        assert not hub.health().healthy
        assert "the clock fails" in hub.health().problems[0]
        assert hub.statistics().clock_failures > 0
        failed: Any = await recorder.wait_for("hub.guest_failed")
        assert (failed.guest, failed.count) == ("clock", 1)
        assert "now_ns()" in failed.reason
        clock.day = time.time_ns
        await hub.emit(said())
        assert hub.health().healthy
    async with Hub(store) as hub:
        assert (await hub.emit(said())).at >= after.at


@pytest.mark.parametrize("answer", [*BAD.values()][:7], ids=[*BAD][:7])
async def test_bad_monotonic_seconds_are_replaced(answer: Callable[..., Any]) -> None:
    clock, recorder = Lying(), Recorder()
    clock.elapsed = answer
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        agent = await hub.agents.register("agent")
        await hub.channels.open([agent], ttl_seconds=0.01)
        await recorder.wait_for("channel.expired")
        assert hub.statistics().clock_failures > 0


@pytest.mark.parametrize("sleeps", [*BAD.values()][:2], ids=[*BAD][:2])
async def test_a_sleep_that_raises_is_slept(sleeps: Callable[..., Any]) -> None:
    clock, recorder = Lying(), Recorder()
    clock.sleeps = sleeps
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        agent = await hub.agents.register("agent")
        await hub.channels.open([agent], ttl_seconds=0.01)
        await recorder.wait_for("channel.expired")


async def test_a_sleep_that_returns_at_once_spins_not() -> None:
    """Between two looks there is a pause, so that other tasks run, and the deadline is kept."""
    clock, recorder = Lying(), Recorder()
    calls = 0

    async def none(_: float) -> None:
        nonlocal calls
        calls += 1

    clock.sleeps = none
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        agent = await hub.agents.register("agent")
        await hub.channels.open([agent], ttl_seconds=0.2)
        await recorder.wait_for("channel.expired")
        assert calls < 50


async def test_a_glitch_into_the_future_passes() -> None:
    """Later events have the right time again, also after a restart, and an event reports the step."""
    clock, recorder, store = ManualClock(), Recorder(), MemoryStore()
    async with Hub(store, clock=clock, listeners=[recorder]) as hub:
        before = await hub.emit(said())
        clock.step(10 * YEAR_SECONDS)
        assert (await hub.emit(said())).at > "2035"
        clock.step(-10 * YEAR_SECONDS)
        clock.advance(1)
        after = await hub.emit(said())
        assert before.at < after.at < "2027"
        stepped: Any = await recorder.wait_for("hub.clock_stepped")
        assert (round(stepped.seconds / YEAR_SECONDS), stepped.count) == (10, 1)
        assert hub.statistics().clock_steps_back == 1
        clock.step(10 * YEAR_SECONDS)
        await hub.emit(said())
    clock.step(-10 * YEAR_SECONDS)
    async with Hub(store, clock=clock) as hub:
        assert (await hub.emit(said())).at < "2027"


async def test_deadlines_count_again_after_a_glitch() -> None:
    clock, recorder = ManualClock(), Recorder()
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        agent = await hub.agents.register("agent")
        await hub.channels.open([agent], ttl_seconds=10)
        clock.step(10 * YEAR_SECONDS)
        await hub.emit(said())
        clock.advance(60)
        await recorder.wait_for("channel.expired")
        clock.step(-10 * YEAR_SECONDS)
        await hub.emit(said())
        await hub.channels.open([agent], ttl_seconds=10)
        await until_idle()
        clock.advance(9)
        await until_idle()
        assert recorder.kinds.count("channel.expired") == 1
        clock.advance(60)
        await recorder.wait_for("channel.expired", count=2)


async def test_a_quiet_hub_notices_a_step_back() -> None:
    """Its deadlines are compared with the time now and then: no event need be stamped."""
    clock, recorder = ManualClock(), Recorder()
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        agent = await hub.agents.register("agent")
        await hub.channels.open([agent], ttl_seconds=10)
        clock.step(-2 * HELD_SECONDS_MAX)
        assert hub.statistics().clock_steps_back == 0
        clock.advance(10)
        await until_idle()
        assert hub.statistics().clock_steps_back == 1
        assert recorder.kinds.count("hub.clock_stepped") == 1


async def test_a_small_step_back_holds_the_time() -> None:
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        before = await hub.emit(said())
        clock.step(-HELD_SECONDS_MAX)
        assert (await hub.emit(said())).at == before.at
        clock.step(-0.000001)
        assert (await hub.emit(said())).at < before.at


async def test_an_unset_clock_holds_the_time() -> None:
    """A machine without a battery starts in 1970: where a later time is known, it counts until the clock is set."""
    store = MemoryStore()
    async with Hub(store, clock=ManualClock()) as hub:
        before = await hub.emit(said())
    clock = ManualClock(start_ns=-5 * 10**9)
    async with Hub(store, clock=clock) as hub:
        assert (await hub.emit(said())).at == before.at
        clock.step(60 * YEAR_SECONDS)
        assert (await hub.emit(said())).at > before.at


async def test_a_new_hub_may_live_before_1970() -> None:
    clock, recorder, store = ManualClock(start_ns=-(10**18)), Recorder(), MemoryStore()
    async with Hub(store, clock=clock, listeners=[recorder]) as hub:
        agent = await hub.agents.register("agent")
        await hub.channels.open([agent], ttl_seconds=10)
        await until_idle()
        clock.advance(10)
        expired = await recorder.wait_for("channel.expired")
        assert expired.at.startswith("1938")
    async with Hub(store, clock=clock) as hub:
        assert (await hub.emit(said())).at.startswith("1938")


@pytest.mark.parametrize("seconds_per_look", [1e-6, 0.013, 7.0])
async def test_a_clock_that_moves_at_each_look(seconds_per_look: float) -> None:
    """Expectations that are kept, and channels that expire, at moments that pass between two looks."""
    clock, recorder = ManualClock(seconds_per_look=seconds_per_look), Recorder()
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        planner, coder = [await hub.agents.register(name) for name in ("planner", "coder")]
        for n in range(30):
            channel = await hub.channels.open(
                [planner, coder],
                expectations=[Expectation(name="reply_within", params={"seconds": 0.05})],
                ttl_seconds=0.05 * (n % 5 + 1),
            )
            if channel.is_open:
                try:
                    await channel.post(planner, 1)
                    await channel.post(coder, 2)
                except Exception:  # noqa: BLE001, S110 - the channel may have expired
                    pass
            await until_idle()
            clock.advance(0.05)
        clock.advance(10)
        await until(lambda: hub.statistics().channels == 0)
        assert hub.health().healthy


async def test_a_deadline_may_pass_between_two_looks() -> None:
    """Each expectation is kept, and the next one is to be looked at a moment after the one that is looked at."""
    clock = ManualClock(seconds_per_look=0.001)
    async with Hub(clock=clock) as hub:
        agents = [await hub.agents.register(name) for name in ("planner", "coder")]
        for _ in range(60):
            kept = Expectation(name="reply_within", params={"seconds": 0.5})
            channel = await hub.channels.open(agents, expectations=[kept])
            await channel.post(agents[0], 1)
            await channel.post(agents[1], 2)
        await until_idle()
        clock.advance(0.2)
        for _ in range(300):
            clock.advance(0.001)
            await until_idle()
        assert hub.health().healthy


class PanicException(BaseException):
    """As native code raises it; the class itself cannot be imported."""


async def test_ids_are_made_before_1970(monkeypatch: pytest.MonkeyPatch) -> None:
    """UUIDs of version 7 have no time before 1970, and native code panics there: ids are made all the same."""
    panics = []

    def uuid7(*args: int, **kwargs: int) -> Any:
        if not args and not kwargs:
            panics.append(1)
            raise PanicException("Getting elapsed time since UNIX_EPOCH")
        return native(*args, **kwargs)

    native: Any = vars(clock)["uuid7"]
    monkeypatch.setattr(clock, "uuid7", uuid7)
    monkeypatch.setattr(clock, "_is_before_1970", False)
    monkeypatch.setattr(time, "time_ns", lambda: -(10**18))
    store = MemoryStore()
    for _ in range(2):
        async with Hub(store) as hub:
            one = await hub.agents.register("one")
            two = await hub.agents.register("two")
            channel = await hub.channels.open([one, two])
            await channel.post(one, "question")
            assert not hub.health().problems
            await one.unregister()
            await two.unregister()
    assert len(panics) == 1, "each writes a trace to stderr"
    monkeypatch.setattr(time, "time_ns", lambda: 10**18)
    assert clock.uuid_of_now().timestamp == 10**12, "the clock was set meanwhile"


def test_other_errors_of_ids_come_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who stops the program while an id is made has stopped it."""

    def uuid7() -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(clock, "uuid7", uuid7)
    monkeypatch.setattr(clock, "_is_before_1970", False)
    with pytest.raises(KeyboardInterrupt):
        clock.uuid_of_now()
