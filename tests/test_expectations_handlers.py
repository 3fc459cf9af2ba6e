"""Handlers of violations of a program's own: called at least once, as guests, and never for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Self

import attrs
import pytest

from hubwire import Hub
from hubwire._commands import violations
from hubwire.errors import CommandRejected, ConfigurationError, HubClosed
from hubwire.events import ExpectationViolated
from hubwire.expectations import Expectation
from hubwire.stores import MemoryStore
from hubwire.testing import Gate, ManualClock, Recorder
from support import advance, copy_of, until

SILENCE = Expectation(name="max_silence", params={"seconds": 10}, on_violation="page")


class Pager:
    """A hub on a store with a handler named ``page``."""

    def __init__(self, handler: Callable[..., object] | None, store: MemoryStore | None = None, **terms: Any) -> None:
        self.store = MemoryStore() if store is None else store
        self.clock = ManualClock()
        self.recorder = Recorder()
        self.hub = Hub(self.store, clock=self.clock, listeners=[self.recorder])
        if handler is not None:
            self.hub.channels.register_violation_handler("page", handler, **terms)

    async def __aenter__(self) -> Self:
        await self.hub.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hub.aclose()

    async def violate(self, count: int = 1) -> list[str]:
        """Let so many channels be silent for too long; return their ids."""
        agent = await self.hub.agents.register("a")
        opened = [await self.hub.channels.open([agent], expectations=[SILENCE]) for _ in range(count)]
        await advance(self.clock, 10)
        return [channel.id for channel in opened]

    async def happened(self, kind: str, count: int = 1) -> Any:
        return await self.recorder.wait_for(f"expectation.{kind}", count=count)

    def of(self, kind: str) -> list[Any]:
        return [event for event in self.recorder.events if event.kind == f"expectation.{kind}"]


async def test_a_handler_acts_on_the_hub() -> None:
    """It gets the hub and the committed violation, and what it does has that for a cause."""

    async def page(hub: Hub, violated: ExpectationViolated) -> None:
        assert hub.statistics().committed > violated.seq
        await hub.channels.get(violated.channel_id or "").close("too quiet")

    async with Pager(page) as pager:
        (channel_id,) = await pager.violate()
        handled = await pager.happened("handled")
        closed: Any = await pager.recorder.wait_for("channel.closed")
        (violated,) = pager.of("violated")
        assert (closed.reason, closed.causation_id) == ("too quiet", violated.id)
        assert (handled.channel_id, handled.handler, handled.attempts) == (channel_id, "page", 1)
        assert handled.causation_id == violated.id
        assert pager.hub.statistics().violations_waiting == 0


async def test_a_sync_handler_may_block() -> None:
    """It has a thread of its own, and a closed channel is no reason not to call it."""
    threads: list[int] = []
    release = threading.Event()

    def page(_: Hub, violated: ExpectationViolated) -> None:
        release.wait(30)
        threads.append(threading.get_ident())

    async with Pager(page) as pager:
        (channel_id,) = await pager.violate()
        await pager.happened("handler_called")
        await pager.hub.channels.get(channel_id).close()
        release.set()
        await pager.happened("handled")
    assert threads != [threading.get_ident()]


async def test_what_a_channel_owed_outlives_it() -> None:
    """A channel that the same silence closes has a violation for a handler all the same."""
    seen: list[str] = []

    def page(_: Hub, violated: ExpectationViolated) -> None:
        seen.append(violated.channel_id or "")

    async with Pager(page) as pager:
        agent = await pager.hub.agents.register("a")
        close = Expectation(name="max_silence", params={"seconds": 10}, on_violation="auto_close")
        channel = await pager.hub.channels.open([agent], expectations=[close, SILENCE])
        other = await pager.hub.channels.open([agent], expectations=[SILENCE, close])
        await advance(pager.clock, 10)
        await pager.recorder.wait_for("channel.closed", count=2)
        await pager.happened("handled", len(pager.of("handler_called")) or 1)
        assert other.id in seen
        assert not channel.is_open


class Odd(BaseException):
    """What is no Exception."""


@pytest.mark.parametrize("error", [RuntimeError("busy"), Odd("odd"), asyncio.CancelledError(), SystemExit(1)], ids=repr)
async def test_a_handler_that_fails_is_called_again(error: BaseException) -> None:
    """After pauses that grow; when it has failed for the last time, the violation is given up, and health says so."""

    async def page(_hub: Hub, _violated: ExpectationViolated) -> None:
        raise error

    async with Pager(page, attempts_max=3) as pager:
        await pager.violate()
        await pager.happened("handler_failed")
        assert pager.hub.health().healthy
        for failed, pause in ((2, 1), (3, 2)):
            await advance(pager.clock, pause)
            await pager.happened("handler_failed", failed)
        assert [(each.attempts, each.retry_seconds, each.is_final) for each in pager.of("handler_failed")] == [
            (1, 1.0, False),
            (2, 2.0, False),
            (3, None, True),
        ]
        assert type(error).__name__ in pager.of("handler_failed")[0].reason
        assert pager.hub.statistics().violations_waiting == 0
        assert any("'page' has given up 1" in problem for problem in pager.hub.health().problems)


@pytest.mark.slow
async def test_a_handler_that_hangs_is_left() -> None:
    """Whether it swallows its cancellation, or blocks its thread: its time is over, by the real clock."""
    release = threading.Event()

    async def swallows(_hub: Hub, _violated: ExpectationViolated) -> None:
        while not release.is_set():
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue

    def blocks(_hub: Hub, _violated: ExpectationViolated) -> None:
        release.wait()

    for handler in (swallows, blocks):
        release.clear()
        async with Pager(handler, timeout=0.01, attempts_max=1) as pager:
            await pager.violate()
            failed = await pager.happened("handler_failed")
            assert "longer than 0.01 s" in failed.reason
            assert failed.is_final
            await until(lambda: pager.hub.statistics().guests_abandoned == 1)
            release.set()


async def test_one_handler_does_not_hold_up_another() -> None:
    """Eight violations of one wait for its calls; those of the other are handled meanwhile."""
    gate = Gate(is_open=False)
    done: list[str] = []

    async def page(_hub: Hub, _violated: ExpectationViolated) -> None:
        await gate.pass_through()

    pager = Pager(page)
    pager.hub.channels.register_violation_handler("note", lambda _, violated: done.append(violated.channel_id or ""))
    async with pager:
        await pager.violate(12)
        note = Expectation(name="max_silence", params={"seconds": 5}, on_violation="note")
        agent = pager.hub.agents.named("a")
        noted = await pager.hub.channels.open([agent], expectations=[note])
        await advance(pager.clock, 5)
        await until(lambda: done == [noted.id])
        assert len(pager.of("handler_called")) == violations.AT_A_TIME + 1
        gate.open()
        await pager.happened("handled", 13)


async def test_a_crash_in_any_moment_calls_again() -> None:
    """At least once: after a kill between any two events, and not again when it was handled."""
    calls: list[str] = []

    def page(_: Hub, violated: ExpectationViolated) -> None:
        calls.append(violated.id)

    async with Pager(page) as pager:
        await pager.violate()
        await pager.happened("handled")
        disk = await copy_of(pager.store)
    (segment,) = await disk.list("/journal/log")
    lines = (await disk.read_bytes(f"/journal/log/{segment}") or b"").splitlines(keepends=True)
    first = next(place for place, line in enumerate(lines) if b'"expectation.violated"' in line)
    last = next(place for place, line in enumerate(lines) if b'"expectation.handled"' in line)
    for end in range(first + 1, last + 2):
        torn = await copy_of(disk)
        await torn.write(f"/journal/log/{segment}", b"".join(lines[:end]))
        calls.clear()
        async with Pager(page, torn) as again:
            if end <= last:
                handled = await again.happened("handled")
                assert handled.attempts == 1 + (end == last)
        assert len(calls) == (end <= last)


async def test_a_handler_that_kills_is_not_called_for_ever() -> None:
    """A call that the process does not survive counts, at each start."""
    store = MemoryStore()
    gate = Gate(is_open=False)

    async def page(_hub: Hub, _violated: ExpectationViolated) -> None:
        await gate.pass_through()

    pager = Pager(page, store, attempts_max=2)
    await pager.hub.start()
    await pager.violate()
    await pager.happened("handler_called")
    await pager.hub.abort()
    again = Pager(page, store, attempts_max=2)
    await again.hub.start()
    assert (await again.happened("handler_called")).attempt == 2
    await again.hub.abort()
    async with Pager(page, store, attempts_max=2) as last:
        failed = await last.happened("handler_failed")
        assert failed.is_final
        assert "came to no end" in failed.reason
        assert not last.of("handler_called")


async def test_closing_cuts_a_call_off_without_counting() -> None:
    """It has its time to end; then it is cancelled, and called again by the next start, as if for the first time."""
    store = MemoryStore()
    gate = Gate(is_open=False)

    async def page(_hub: Hub, _violated: ExpectationViolated) -> None:
        await gate.pass_through()

    pager = Pager(page, store)
    pager.hub = Hub(store, clock=pager.clock, listeners=[pager.recorder], close_seconds_max=0.5)
    pager.hub.channels.register_violation_handler("page", page)
    async with pager:
        await pager.violate()
        await pager.happened("handler_called")
    (failed,) = pager.of("handler_failed")
    assert (failed.attempts, failed.is_final) == (0, False)
    gate.open()
    async with Pager(page, store) as again:
        assert (await again.happened("handled")).attempts == 1


async def test_a_handler_may_close_its_hub() -> None:
    """It returns at once there, as in a listener, and the hub does not wait for itself."""

    async def page(hub: Hub, _: ExpectationViolated) -> None:
        await hub.aclose()

    pager = Pager(page)
    await pager.hub.start()
    await pager.violate()
    assert await pager.hub.finished() is None
    assert len(pager.of("handled")) == 1
    with pytest.raises(HubClosed):
        await pager.hub.agents.register("b")


async def test_a_missing_handler_is_awaited_for_some_starts() -> None:
    """Its violations wait, which health says; a start that registers it has it called; the fifth without gives up."""
    calls: list[str] = []
    async with Pager(lambda *_: None) as pager:
        agent = await pager.hub.agents.register("a")
        await pager.hub.channels.open([agent], expectations=[SILENCE])
    store = pager.store
    async with Pager(None, store) as without:
        without.clock.advance(10)
        failed = await without.happened("handler_failed")
        assert (failed.attempts, failed.retry_seconds, failed.is_final) == (1, None, False)
        assert any("'page', which is not there" in problem for problem in without.hub.health().problems)
    kept = await copy_of(store)
    async with Pager(lambda _, violated: calls.append(violated.id), store) as with_it:
        await with_it.happened("handled")
    assert len(calls) == 1
    for start in (2, 3, 4, 5):
        async with Pager(None, kept) as without:
            failed = await without.happened("handler_failed")
            assert (failed.attempts, failed.is_final) == (start, start == 5)
            assert without.hub.statistics().violations_waiting == (start < 5)


async def test_too_many_waiting_violations_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in each snapshot: what is above the bound is given up, by an event."""
    monkeypatch.setattr(violations, "WAITING_MAX", 3)
    gate = Gate(is_open=False)

    async def page(_hub: Hub, _violated: ExpectationViolated) -> None:
        await gate.pass_through()

    async with Pager(page) as pager:
        await pager.violate(5)
        await pager.happened("handler_failed", 2)
        assert all("more than 3" in each.reason and each.is_final for each in pager.of("handler_failed"))
        gate.open()
        await pager.happened("handled", 3)


@pytest.mark.parametrize(
    ("name", "handler", "terms"),
    [
        ("audit", print, {}),
        ("", print, {}),
        ("\ud800", print, {}),
        (7, print, {}),
        ("page", None, {}),
        ("page", Pager, {}),
        ("page", print, {"timeout": 0}),
        ("page", print, {"timeout": float("nan")}),
        ("page", print, {"attempts_max": 0}),
        ("page", print, {"attempts_max": True}),
    ],
    ids=repr,
)
async def test_odd_handlers_are_refused(name: Any, handler: Any, terms: Any) -> None:
    """With nothing registered; so is a second one of a name, and one that comes after the start."""
    hub = Hub()
    with pytest.raises(ConfigurationError, match=r"handler|timeout|attempts_max|name"):
        hub.channels.register_violation_handler(name, handler, **terms)
    hub.channels.register_violation_handler("page", print)
    with pytest.raises(ConfigurationError, match="registered already"):
        hub.channels.register_violation_handler("page", print)
    async with hub:
        with pytest.raises(ConfigurationError, match="started already"):
            hub.channels.register_violation_handler("late", print)


async def test_only_a_registered_handler_is_expected() -> None:
    """The error says which there are; facts about handlers come from the hub alone."""
    async with Pager(print) as pager:
        agent = await pager.hub.agents.register("a")
        for odd in ("pager", 7, None, ["page"]):
            with pytest.raises(
                CommandRejected, match=r"on_violation is one of audit, .*, page, not .*register_violation"
            ):
                await pager.hub.channels.open([agent], expectations=[{"name": "max_silence", "on_violation": odd}])
        assert not pager.hub.channels.list()


async def test_two_hubs_have_their_own_handlers() -> None:
    """Each is called with its hub."""
    seen: list[tuple[str, str]] = []

    def handler_of(name: str) -> Callable[[Hub, ExpectationViolated], None]:
        return lambda hub, violated: seen.append((name, hub.id)) if violated.hub == hub.id else None

    async with Pager(handler_of("one")) as one, Pager(handler_of("two")) as two:
        for pager in (one, two):
            await pager.violate()
            await pager.happened("handled")
        assert seen == [("one", one.hub.id), ("two", two.hub.id)]


async def test_a_handler_works_by_the_real_clock() -> None:
    """Without a clock of a test, too."""
    called = asyncio.Event()

    async def page(_hub: Hub, _violated: ExpectationViolated) -> None:
        called.set()

    hub = Hub()
    hub.channels.register_violation_handler("page", page)
    async with hub:
        agent = await hub.agents.register("a")
        await hub.channels.open([agent], expectations=[attrs.evolve(SILENCE, params={"seconds": 0.01})])
        await called.wait()
