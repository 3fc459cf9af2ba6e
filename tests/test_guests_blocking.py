"""Guests that block the event loop: nothing can bound them there, so health and the log name them."""

from __future__ import annotations

import asyncio
import functools
import logging
import queue
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import hubwire
from hubwire import BaseActor, Event, GenericEvent, Hub, HubThread
from hubwire._commands import authorizer
from hubwire._commit import lookout
from hubwire._commit.lookout import LoopWatch
from hubwire._foreign.culprits import GUESTS, Culprit, culprit_of
from hubwire.approvals import ApprovalPolicy, FunctionApprover, Question
from hubwire.arbiter import Allow, Command
from hubwire.channel_types import Conversation, Manifest
from hubwire.clock import SystemClock
from hubwire.expectations import Expectation, Owed, Situation
from hubwire.listeners import AuditLog, LiveTail
from hubwire.own_log import OwnLog
from hubwire.redaction import RedactionRule, Redactor
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock
from hubwire.validation import EventRule, Validation
from support import said, until


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats and looks follow each other quickly, and each test has all its lines of the log."""
    monkeypatch.setattr("hubwire._commit.pulse.PERIOD_SECONDS", 0.05)
    monkeypatch.setattr("hubwire._commit.pulse.LAG_SECONDS", 0.1)
    monkeypatch.setattr("hubwire._health.LAG_SECONDS", 0.1)
    monkeypatch.setattr("hubwire._commit.lookout.LOOK_SECONDS", 0.01)
    for module in ("lookout", "pulse"):
        monkeypatch.setattr(f"hubwire._commit.{module}._log", OwnLog("hub"))


class Blocking:
    """Blocks the loop once, when it is let, until the log says in whose code the loop stands still."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        self._guest = ""

    def expect(self, guest: str) -> None:
        """The next call of :meth:`block` blocks; ``guest``: what the log is to say."""
        self._guest = guest

    def block(self) -> None:
        guest, self._guest = self._guest, ""
        patience = time.monotonic() + 10
        while guest and guest not in self.lines:  # it would give up the loop if it waited
            assert time.monotonic() < patience, f"{guest} is not named: {self.lines}"

    @property
    def lines(self) -> str:
        return "\n".join(self._logged("stands still"))

    @property
    def stalls(self) -> int:
        """How often the loop has stood still."""
        return len(self._logged("stood still"))

    def _logged(self, words: str) -> list[str]:
        return [line for each in self._caplog.records if words in (line := each.getMessage())]


@pytest.fixture
def guest(caplog: pytest.LogCaptureFixture) -> Blocking:
    caplog.set_level(logging.WARNING, "hubwire")
    return Blocking(caplog)


async def named(hub: Hub, guest: Blocking, who: str, function: str) -> None:
    """Wait until health names a guest, as a problem and then as a note; ``function``: what was called, in this file.

    On a busy machine the loop may stand still again, which is no guest's fault: health tells of the newest time.
    """

    def says(said: Iterable[str]) -> bool:
        return any(f"in {who}, " in each and function in each and f"{__file__}:" in each for each in said)

    await until(lambda: says(hub.health().problems) or says(hub.health().notes) or guest.stalls > 1)
    await until(lambda: says(hub.health().notes) or guest.stalls > 1)
    assert hub.statistics().loop_lag_seconds_max >= 0.1


class Arbiter:
    def __init__(self, guest: Blocking) -> None:
        self.guest = guest

    def authorize(self, command: Command) -> Allow:
        self.guest.block()
        return Allow()


async def test_a_blocking_arbiter_is_named(guest: Blocking) -> None:
    async with Hub(arbiter=Arbiter(guest)) as hub:
        guest.expect("the arbiter")
        await hub.agents.register("a")
        await named(hub, guest, "the arbiter", "Arbiter.authorize")
        assert "it is called on the event loop, and has to answer at once: make it async" in guest.lines


async def test_a_blocking_async_arbiter_is_named(guest: Blocking) -> None:
    class Async:
        async def authorize(self, command: Command) -> Allow:
            await asyncio.sleep(0)
            guest.block()
            return Allow()

    async with Hub(arbiter=Async()) as hub:
        guest.expect("the arbiter")
        await hub.agents.register("a")
        await named(hub, guest, "the arbiter", "Async.authorize")


async def test_a_blocking_check_of_events_is_named(guest: Blocking) -> None:
    def slow_check(event: Event) -> None:
        guest.block()

    async with Hub(validation=Validation(EventRule("work.*", check=slow_check))) as hub:
        guest.expect("the check of a rule for events")
        await hub.emit(GenericEvent(kind="work.done"))
        await named(hub, guest, "the check of a rule for events", "slow_check")


class Evaluator:
    name, version, seconds, names_agents = "blocking", 1, 5.0, False

    def __init__(self, guest: Blocking) -> None:
        self.guest = guest

    def refuse_params(self, params: Mapping[str, Any]) -> str | None:
        return None

    def owed(self, situation: Situation) -> Iterable[Owed]:
        self.guest.block()
        return []


async def test_a_blocking_evaluator_is_named(guest: Blocking) -> None:
    clock = ManualClock()
    hub = Hub(clock=clock)
    hub.channels.register_evaluator(Evaluator(guest))
    async with hub:
        a, b = await hub.agents.register("a"), await hub.agents.register("b")
        channel = await hub.channels.open([a, b], expectations=[Expectation(name="blocking")])
        guest.expect("an evaluator")
        await channel.post(a, "hello")
        clock.advance(60)
        await named(hub, guest, "an evaluator", "Evaluator.owed")


class Talk(Conversation):
    name = "talk"

    def __init__(self, guest: Blocking) -> None:
        self.guest = guest

    def refuse(self, manifest: Manifest, state: Any, post: Any) -> str | None:
        self.guest.block()
        return super().refuse(manifest, state, post)


async def test_a_blocking_channel_type_is_named(guest: Blocking) -> None:
    hub = Hub()
    hub.channels.register_type(Talk(guest))
    async with hub:
        a, b = await hub.agents.register("a"), await hub.agents.register("b")
        channel = await hub.channels.open([a, b], type="talk")
        guest.expect("a channel type")
        await channel.post(a, "hello")
        await named(hub, guest, "a channel type", "Talk.refuse")


async def test_a_blocking_redactor_is_named(guest: Blocking) -> None:
    def redact(event: Event) -> Event:
        guest.block()
        return event

    tail = LiveTail(redactor=redact)
    async with Hub(listeners=[tail]) as hub:
        subscriber = tail.subscribe()
        guest.expect("the redactor of a LiveTail")
        await hub.emit(said())
        async for _ in subscriber:
            break
        await named(hub, guest, "the redactor of a LiveTail", "redact")


async def test_a_blocking_rule_of_a_redactor_is_named(guest: Blocking) -> None:
    def find(_: str) -> list[tuple[int, int]]:
        guest.block()
        return []

    redactor = Redactor(rules=[RedactionRule("slow", find=find)])
    async with Hub(listeners=[AuditLog(MemoryStore(), redactor=redactor)]) as hub:
        guest.expect("a rule of a redactor")
        await hub.emit(said())
        await named(hub, guest, "a rule of a redactor", "find")


class Kept:
    """A listener with a position and a binding."""

    def __init__(self, guest: Blocking) -> None:
        self.guest = guest

    def bind(self, hub: object) -> None:
        self.guest.block()

    async def on_events(self, events: Sequence[Event]) -> None:
        self.guest.block()


async def test_a_blocking_binding_is_named(guest: Blocking) -> None:
    async with Hub() as hub:
        await until(lambda: hub.health().healthy)
        guest.expect("bind() of a listener")
        hub.attach(Kept(guest))
        await named(hub, guest, "bind() of a listener", "Kept.bind")


async def test_a_position_that_blocks_a_start_is_named(guest: Blocking) -> None:
    class Positioned(Kept):
        def last_seq(self) -> int | None:
            guest.block()
            return None

    listener = Positioned(guest)
    hub = Hub(listeners=[listener])
    guest.expect("last_seq() of a listener")
    async with hub:
        await named(hub, guest, "last_seq() of a listener", "Positioned.last_seq")


async def test_a_blocking_listener_is_named(guest: Blocking) -> None:
    """By the name of its attachment."""
    async with Hub() as hub:
        await hub.attach(Kept(guest), name="keeper").ready()
        guest.expect("listener 'keeper'")
        await hub.emit(said())
        await named(hub, guest, "listener 'keeper'", "Kept.on_events")
        assert "let it await asyncio.to_thread(...) for what blocks" in guest.lines


async def test_a_blocking_clock_is_named(guest: Blocking) -> None:
    class Clock(SystemClock):
        def monotonic(self) -> float:
            guest.block()
            return 1.0

    async with Hub(clock=Clock()) as hub:
        guest.expect("the clock of the hub")
        await hub.agents.register("a")
        hub._parts.clock.monotonic()
        await named(hub, guest, "the clock of the hub", "Clock.monotonic")


async def test_a_blocking_actor_is_named(guest: Blocking) -> None:
    class Coder(BaseActor):
        async def on_envelope(self, turn: Any) -> None:
            guest.block()

    async with Hub() as hub:
        a = await hub.agents.register("a")
        coder = await hub.spawn(Coder(), name="coder")
        channel = await hub.channels.open([a, coder.agent])
        guest.expect("on_envelope of actor 'coder'")
        await channel.post(a, "hello")
        await named(hub, guest, "on_envelope of actor 'coder'", "Coder.on_envelope")


async def test_a_blocking_approver_is_named(guest: Blocking) -> None:
    """One that is called on the loop because its owner said that it is quick."""

    def review(question: Question) -> bool:
        guest.block()
        return True

    approver = FunctionApprover("person", review, in_loop=True)
    async with Hub(approvals=ApprovalPolicy(approvers=(approver,))) as hub:
        agent = await hub.agents.register("a")
        guest.expect("approver person")
        gate = asyncio.ensure_future(hub.approvals.gate(agent, "deploy"))
        await named(hub, guest, "approver person", "review")
        await gate


async def test_the_program_itself_is_named(guest: Blocking) -> None:
    """What blocks need be no guest of the hub's: a callback of the loop, say."""
    async with Hub() as hub:
        guest.expect("code of the program")
        asyncio.get_running_loop().call_soon(guest.block)
        await named(hub, guest, "code of the program", "Blocking.block")


async def test_code_of_others_in_between_does_not_hide_a_guest(guest: Blocking) -> None:
    """The function of the guest's that was called is named, and the one it is in."""

    class Indirect:
        def authorize(self, command: Command) -> Allow:
            list(map(functools.partial(self._look_up), [1]))
            return Allow()

        def _look_up(self, _: int) -> None:
            guest.block()

    async with Hub(arbiter=Indirect()) as hub:
        guest.expect("the arbiter")
        await hub.agents.register("a")
        await named(hub, guest, "the arbiter", "Indirect.authorize")
        assert "), in " in guest.lines


def test_another_thread_sees_a_hub_that_stands_still(guest: Blocking) -> None:
    """While it does: the loop itself can answer only afterwards."""
    seen: list[str] = []
    may_go_on = threading.Event()

    async def block() -> None:
        while not may_go_on.is_set():
            pass

    with HubThread(Hub()) as thread:
        blocked = threading.Thread(target=thread.call, args=(block,))
        blocked.start()
        while not any("the event loop stood still for" in each and f"{__file__}:" in each for each in seen):
            seen += thread.hub.health().problems
        may_go_on.set()
        blocked.join()


def test_a_guest_without_a_frame_is_named_by_its_caller() -> None:
    """What is written in C has no frame; the function that calls it says what it is."""
    answers, loop = queue.SimpleQueue[Allow](), asyncio.new_event_loop()

    class Native:
        authorize = answers.get

    thread = threading.Thread(target=authorizer._authorize, args=(Native(), True))
    thread.start()
    try:
        found: Culprit | None = None
        while found is None:
            found = culprit_of(thread.ident or 0, loop)
        assert (found.guest, found.place) == ("the arbiter", "")
    finally:
        answers.put(Allow())
        thread.join()
        loop.close()


def test_a_loop_that_waits_has_no_culprit() -> None:
    """A process that was stopped, and goes on: nothing is blamed."""
    loop, waits = asyncio.new_event_loop(), threading.Event()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.call_soon(waits.set)
        loop.run_forever()

    thread = threading.Thread(target=run)
    thread.start()
    waits.wait()
    for _ in range(100):
        assert culprit_of(thread.ident or 0, loop) is None
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.mark.parametrize("globals_", [{"__name__": 7}, {}, {"__name__": "hubwire"}], ids=["number", "none", "ours"])
def test_code_without_a_name_is_looked_at(globals_: dict[str, Any]) -> None:
    """Code that is made by a program has the globals that it was given."""
    ends, begun, loop = threading.Event(), threading.Event(), asyncio.new_event_loop()
    exec("def wait():\n  begun()\n  while not ends(): pass", globals_)  # noqa: S102 - that is what is tested
    globals_ |= {"ends": ends.is_set, "begun": begun.set}
    thread = threading.Thread(target=globals_["wait"])
    thread.start()
    begun.wait()
    found = culprit_of(thread.ident or 0, loop)
    ends.set()
    thread.join()
    loop.close()
    assert found is not None
    assert found.place.startswith("wait (<string>:3)")


def test_the_functions_that_call_guests_are_there() -> None:
    """A function that was renamed would name its guests no more."""
    for module, function in GUESTS:
        text = Path(hubwire.__file__).parent.joinpath(*module.split(".")).with_suffix(".py").read_text()
        assert f"def {function}(" in text, (module, function)


async def test_hubs_that_have_ended_are_watched_no_more() -> None:
    """The thread is one for all, and ends with the last of them."""
    before = set(lookout._lookout._watched)
    async with Hub(), Hub():
        assert len(lookout._lookout._watched - before) == 2
    assert lookout._lookout._watched == before


@pytest.mark.slow
async def test_a_hub_starts_where_no_thread_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then only its own pulse says that the loop stood still."""
    monkeypatch.setattr(lookout, "_lookout", lookout._Lookout())  # its thread may run for hubs of other threads
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "hubwire lookout":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr("threading.Thread.start", refuse)
        async with Hub() as hub:
            await hub.emit(GenericEvent(kind="work.done"))
            assert hub.health().healthy
    async with Hub():
        assert lookout._lookout._thread is not None


def test_a_loop_that_was_closed_under_a_hub_is_watched_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A program may leave a hub and its loop to themselves: nobody waits for a sign of life, and the thread ends."""
    monkeypatch.setattr(lookout, "_lookout", lookout._Lookout())
    loop = asyncio.new_event_loop()

    async def begin() -> LoopWatch:
        watch = LoopWatch()
        watch.start()
        watch.expect(0.0, 0.0)
        return watch

    loop.run_until_complete(begin())
    loop.close()
    caplog.clear()
    thread = lookout._lookout._thread
    assert thread is not None
    thread.join(30)
    assert not thread.is_alive()
    assert not lookout._lookout._watched
    assert not caplog.records
