"""Functions that are one listener: in which order they are called, and what follows when one of them fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from hubwire import AttachmentState, Chain, Duty, Event, Hub
from hubwire.errors import ConfigurationError, HubClosed, ListenerFailed, NotFound
from hubwire.events import ListenerAnswered, ListenerDetached, ListenerFailed as Failed
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, history
from support import advance, numbers, said, until, until_idle
from support.fanout import Tried, attached
from support.functions import DUTIES, FORMS, emit_together, formed
from support.odd import Hostile


class Calls:
    """What functions were called with, in the order of the calls."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.failing: set[str] = set()

    def function(self, name: str) -> Callable[[Event], Any]:
        async def function(each: Event) -> None:
            self.made.append(f"{name}{numbers([each])[0]}" if each.kind == "number.said" else f"{name} {each.kind}")
            if name in self.failing:
                raise ValueError(f"{name} fails")

        function.__name__ = name
        return function


def failures(events: list[Event]) -> list[tuple[str, str]]:
    return [(each.listener, each.error_message) for each in events if isinstance(each, Failed)]


# --- order ----------------------------------------------------------------------------------------------------------


async def test_those_of_high_priority_are_called_first() -> None:
    """Those of equal priority in the order in which they were attached; each event goes through all before the next."""
    calls = Calls()
    async with Hub() as hub:
        for name, priority in (("c", 100), ("a", 200), ("d", 100), ("e", -1), ("b", 200)):
            hub.on("number.*", priority=priority)(calls.function(name))
        await until(lambda: hub.attachments[0].state is AttachmentState.RUNNING)
        await emit_together(hub, 0, 1)
        assert calls.made == [f"{name}{n}" for n in (0, 1) for name in "abcde"]
        assert [each.name for each in hub.attachments] == ["Chain"]


async def test_a_chain_calls_its_functions_in_order() -> None:
    calls = Calls()
    chain = Chain(*map(calls.function, "abc"))
    chain.add(calls.function("first"), priority=101)
    async with Hub() as hub:
        await attached(hub, chain, pattern="number.*")
        await emit_together(hub, 0)
        assert calls.made == ["first0", "a0", "b0", "c0"]
        assert list(chain.names) == ["first", "a", "b", "c"]
        assert [each.__name__ for each in chain.functions] == ["first", "a", "b", "c"]


async def test_functions_without_a_priority_are_listeners_of_their_own() -> None:
    calls = Calls()
    async with Hub() as hub:
        hub.on("number.*")(calls.function("a"))
        hub.on("number.*", priority=1)(calls.function("b"))
        hub.on("number.*")(calls.function("c"))
        hub.on("number.*", priority=2)(calls.function("d"))
        assert [each.name for each in hub.attachments] == ["a", "Chain", "c"]


@FORMS
async def test_functions_of_each_form_keep_the_order(form: str) -> None:
    made: list[str] = []
    chain = Chain()
    for name in "abc":
        function, settings = formed(form, lambda each, name=name: made.append(name))  # type: ignore[misc]
        chain.add(function, name=name, **settings)
    async with Hub() as hub:
        await attached(hub, chain, pattern="number.*")
        await emit_together(hub, 0, 1)
    assert made == list("abcabc")


async def test_each_function_sees_what_its_pattern_matches() -> None:
    calls = Calls()
    async with Hub() as hub:

        @hub.on("fanout.*", priority=1)
        async def other(each: Event) -> None:
            calls.made.append("other")

        hub.on(["number.*", "fanout.*"], priority=2)(calls.function("all"))
        await until(lambda: hub.attachments[0].state is AttachmentState.RUNNING)
        await hub.emit(said(0))
        await hub.emit(Tried())
        await hub.flush()
        assert calls.made == ["all0", "all fanout.tried", "other"]


async def test_a_sync_function_has_a_thread_of_its_own() -> None:
    threads: list[int] = []
    chain = Chain()
    for name in "ab":
        chain.add(lambda each: threads.append(threading.get_ident()), name=name)
    async with Hub() as hub:
        await attached(hub, chain, pattern="number.*")
        await emit_together(hub, 0, 1)
    assert len(set(threads)) == 2
    assert threading.get_ident() not in threads


# --- failures -------------------------------------------------------------------------------------------------------


async def test_one_that_fails_does_not_keep_the_others_from_being_called() -> None:
    """It is reported under its own name."""
    calls = Calls()
    calls.failing = {"b"}
    async with Hub() as hub:
        await attached(hub, Chain(*map(calls.function, "abc")), pattern="number.*")
        await emit_together(hub, 0, 1)
        await until_idle()
        assert calls.made == ["a0", "b0", "c0", "a1", "b1", "c1"]
        assert failures(await history(hub)) == [("b", "b fails")]
        assert hub.attachments[0].state is AttachmentState.RUNNING
        assert hub.attachments[0].statistics().failed == 2
        assert hub.attachments[0].statistics().handled == 2


async def test_one_that_fails_too_often_is_called_no_more() -> None:
    """The chain goes on without it, and health says so until it is added again."""
    calls = Calls()
    calls.failing = {"b"}
    chain = Chain(*map(calls.function, "abc"))
    async with Hub() as hub:
        await attached(hub, chain, pattern="number.*")
        await emit_together(hub, *range(6))
        await until_idle()
        assert [each for each in calls.made if each[0] == "b"] == ["b0", "b1", "b2", "b3"]
        assert [each for each in calls.made if each[0] == "c"] == [f"c{n}" for n in range(6)]
        detached = [each for each in await history(hub) if isinstance(each, ListenerDetached)]
        assert [(each.listener, each.reason[:22]) for each in detached] == [("b", "failed more than 3 tim")]
        assert "'b': failed more than 3 times" in hub.health().problems[0]
        calls.failing.clear()
        chain.remove("b")
        chain.add(calls.function("b"))
        await emit_together(hub, 6)
        assert calls.made[-3:] == ["a6", "c6", "b6"]
        assert hub.health().healthy


async def test_each_function_has_its_own_time() -> None:
    calls = Calls()

    async def slow(each: Event) -> None:
        calls.made.append("slow")
        await asyncio.sleep(3600)

    chain = Chain(calls.function("a"))
    chain.add(slow, timeout=0.01)
    chain.add(calls.function("c"))
    async with Hub() as hub:
        await attached(hub, chain, pattern="number.*")
        await emit_together(hub, 0)
        await until_idle()
        assert calls.made == ["a0", "slow", "c0"]
        (failed,) = [each for each in await history(hub) if isinstance(each, Failed)]
        assert (failed.listener, failed.reason) == ("slow", "timeout")


@pytest.mark.slow
async def test_a_chain_needs_as_long_as_its_functions_may() -> None:
    """Each has the time of the listener, not a share of it."""
    made: list[str] = []

    async def slow(each: Event) -> None:
        await asyncio.sleep(0.3)
        made.append("slow")

    async with Hub() as hub:
        await attached(hub, Chain(slow, slow, slow, slow), pattern="number.*", timeout=1.0)
        await emit_together(hub, 0)
        await until_idle()
        assert made == ["slow"] * 4
        assert failures(await history(hub)) == []


async def test_a_durable_chain_repeats_only_what_has_failed() -> None:
    """Its position stays at the event until all have handled it."""
    clock, calls = ManualClock(), Calls()
    calls.failing = {"b"}
    async with Hub(MemoryStore(), clock=clock) as hub:
        settings: dict[str, Any] = {"duty": Duty.DURABLE, "name": "chain"}
        attachment = await attached(hub, Chain(*map(calls.function, "abc")), pattern="number.*", **settings)
        seq = (await hub.emit(said(0))).seq
        await hub.emit(said(1))
        await until_idle()
        assert (calls.made, attachment.done) == (["a0", "b0", "c0"], seq)
        for _ in range(3):
            await advance(clock, 1)
        calls.failing.clear()
        for _ in range(10):
            await advance(clock, 1)
        await hub.flush()
        assert {each for each in calls.made if calls.made.count(each) > 1} == {"b0"}
        assert calls.made[-3:] == ["a1", "b1", "c1"]
        assert ("b", "b fails") in failures(await history(hub))


async def test_a_durable_chain_is_suspended_after_too_many_attempts() -> None:
    calls = Calls()
    calls.failing = {"b"}
    async with Hub(MemoryStore()) as hub:
        settings: dict[str, Any] = {"duty": Duty.DURABLE, "name": "chain", "attempts_max": 1}
        attachment = await attached(hub, Chain(*map(calls.function, "abc")), pattern="number.*", **settings)
        await emit_together(hub, 0)
        assert attachment.state is AttachmentState.SUSPENDED
        calls.failing.clear()
        attachment.resume()
        await hub.flush()
        assert calls.made == ["a0", "b0", "c0", "b0"]


async def test_a_required_chain_calls_all_before_the_hub_stops() -> None:
    calls = Calls()
    calls.failing = {"a"}
    with pytest.raises(ListenerFailed, match="a fails"):
        async with Hub() as hub:
            await attached(hub, Chain(*map(calls.function, "ab")), pattern="number.*", duty=Duty.REQUIRED)
            await hub.emit(said(0))
    assert calls.made == ["a0", "b0"]


@pytest.mark.parametrize("error", [SystemExit(), GeneratorExit(), asyncio.CancelledError(), StopIteration()], ids=repr)
async def test_whatever_a_function_raises_is_its_own_failure(error: BaseException) -> None:
    calls = Calls()

    def wild(each: Event) -> None:
        raise error

    chain = Chain(wild, calls.function("b"))
    async with Hub() as hub:
        await attached(hub, chain, pattern="number.*")
        await emit_together(hub, 0)
        await until_idle()
        assert calls.made == ["b0"]
        assert [listener for listener, _ in failures(await history(hub))] == ["wild"]


async def test_a_function_that_never_ends_is_called_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire._foreign.tasks.GRACE_SECONDS", 0.01)
    release, calls = asyncio.Event(), Calls()

    async def deaf(each: Event) -> None:
        calls.made.append("deaf")
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    chain = Chain(calls.function("a"))
    chain.add(deaf, priority=200, timeout=0.01)
    async with Hub() as hub:
        attachment = await attached(hub, chain, pattern="number.*")
        await emit_together(hub, 0, 1)
        assert calls.made == ["deaf", "a0", "a1"]
        assert attachment.statistics().still_running == 1
        assert "'deaf': it cannot be called again" in hub.health().problems[0]
        release.set()
        await until(lambda: attachment.statistics().still_running == 0)


async def test_what_a_function_of_a_chain_returns_is_announced() -> None:
    async def answer(each: Event) -> int:
        return 7

    async with Hub() as hub:
        await attached(hub, Chain(answer), pattern="number.*")
        await emit_together(hub, 0)
        await until_idle()
        (event,) = [each for each in await history(hub) if isinstance(each, ListenerAnswered)]
        assert (event.listener, event.preview) == ("answer", "7")


# --- as one listener ------------------------------------------------------------------------------------------------


@DUTIES
async def test_a_chain_is_muted_and_once_like_a_function(how: dict[str, Any]) -> None:
    calls = Calls()
    chain = Chain(*map(calls.function, "ab"))
    async with Hub(MemoryStore()) as hub:
        attachment = await attached(hub, chain, pattern="number.*", once=True, **how)
        attachment.mute()
        await emit_together(hub, 0)
        attachment.unmute()
        await emit_together(hub, 1, 2)
        await attachment.finished()
        assert calls.made == ["a1", "b1"]
        assert attachment.statistics().passed == 1


async def test_functions_change_while_they_are_called() -> None:
    """One that is removed is not called for the event on its way; one that is added sees later ones only."""
    calls = Calls()
    chain = Chain()

    async def change(each: Event) -> None:
        if numbers([each]) == [0]:
            assert chain.remove("b") == 1
            chain.add(calls.function("late"), priority=1)
            await hub.emit(said(9))

    chain.add(change)
    for name in "bc":
        chain.add(calls.function(name))
    async with Hub() as hub:
        await attached(hub, chain, pattern="number.*")
        await emit_together(hub, 0, 1)
        await hub.flush()
        assert sorted(calls.made) == ["c0", "c1", "c9", "late9"]


async def test_a_function_with_a_priority_is_detached_like_any() -> None:
    """By itself, its name or its pattern; with the last one the listener ends, and with the next one another begins."""
    calls = Calls()
    functions = [calls.function(name) for name in "abcd"]
    async with Hub() as hub:
        for function in functions:
            hub.on(f"number.{'said' if function is not functions[3] else '*'}", priority=1)(function)
        await until(lambda: hub.attachments[0].state is AttachmentState.RUNNING)
        assert await hub.detach(functions[0]) == 1
        assert await hub.detach("b") == 1
        with pytest.raises(NotFound):
            await hub.detach(functions[0])
        await emit_together(hub, 0)
        assert calls.made == ["c0", "d0"]
        assert await hub.detach(pattern="number.said") == 1
        assert len(hub.attachments) == 1
        assert await hub.detach(pattern="number.*") == 1
        assert len(hub.attachments) == 0
        hub.on("number.*", priority=1)(functions[0])
        await until(lambda: hub.attachments[0].state is AttachmentState.RUNNING)
        await emit_together(hub, 1)
        assert calls.made == ["c0", "d0", "a1"]
        assert await hub.detach(pattern="*") == 1
        assert len(hub.attachments) == 0


async def test_the_listener_of_those_with_a_priority_is_detached_by_its_name() -> None:
    """With it all of them are gone, and a later one is the first of another."""
    calls = Calls()
    async with Hub() as hub:
        gone = calls.function("a")
        hub.on("number.*", priority=1)(gone)
        assert await hub.detach("Chain") == 1
        with pytest.raises(NotFound):
            await hub.detach(gone)
        hub.on("number.*", priority=1)(calls.function("b"))
        await until(lambda: hub.attachments[0].state is AttachmentState.RUNNING)
        await emit_together(hub, 0)
        assert calls.made == ["b0"]


async def test_a_function_is_not_added_to_a_listener_that_leaves() -> None:
    calls = Calls()
    async with Hub() as hub:

        async def leave(each: Event) -> None:
            calls.made.append("leave")
            await hub.detach("Chain")
            hub.on("number.*", priority=1)(calls.function("b"))

        hub.on("number.*", priority=1)(leave)
        await until(lambda: hub.attachments[0].state is AttachmentState.RUNNING)
        await emit_together(hub, 0)
        await until(lambda: hub.attachments[0].name == "Chain-2")
        await until(lambda: hub.attachments[0].state is AttachmentState.RUNNING)
        await emit_together(hub, 1)
        assert calls.made == ["leave", "b1"]


async def test_a_function_of_a_chain_detaches_itself() -> None:
    calls = Calls()
    async with Hub() as hub:

        @hub.on("number.*", priority=200)
        async def leave(each: Event) -> None:
            calls.made.append("leave")
            assert await hub.detach(leave) == 1

        hub.on("number.*", priority=1)(calls.function("b"))
        await until(lambda: hub.attachments[0].state is AttachmentState.RUNNING)
        await emit_together(hub, 0, 1)
        assert calls.made == ["leave", "b0", "b1"]


async def test_detaching_waits_for_the_call_of_a_function() -> None:
    release, begun = asyncio.Event(), asyncio.Event()
    async with Hub() as hub:

        @hub.on("number.*", priority=1)
        async def slow(each: Event) -> None:
            begun.set()
            await release.wait()

        hub.on("number.*", priority=2)(Calls().function("b"))
        await until(lambda: hub.attachments[0].state is AttachmentState.RUNNING)
        await hub.emit(said())
        await begun.wait()
        async with asyncio.TaskGroup() as tasks:
            detaching = tasks.create_task(hub.detach(slow))
            await until_idle()
            assert not detaching.done()
            release.set()


async def test_a_chain_detaches_itself_by_its_attachment() -> None:
    """Also in a later call: each of its functions knows that it is inside the listener."""
    async with Hub() as hub:

        async def leave(each: Event) -> None:
            if numbers([each]) == [1]:
                await attachment.detach()

        attachment = await attached(hub, Chain(leave), pattern="number.*")
        await hub.emit(said(0))
        await hub.flush()
        await hub.emit(said(1))
        await attachment.finished()


async def test_two_hubs_share_a_chain() -> None:
    calls = Calls()
    calls.failing = {"a"}
    chain = Chain(*map(calls.function, "ab"))
    async with Hub() as one, Hub() as other:
        for hub in (one, other):
            await attached(hub, chain, pattern="number.*")
        await emit_together(one, 0, 1, 2, 3, 4)
        await emit_together(other, 5)
        assert calls.made[-2:] == ["a5", "b5"]
        assert not one.health().healthy
        assert other.health().healthy


async def test_many_functions_leave_nothing() -> None:
    """10,000 functions come to a chain and go; no task of theirs stays."""
    calls = Calls()
    async with Hub() as hub:
        hub.on("number.*", priority=1)(calls.function("stays"))
        await until(lambda: hub.attachments[0].state is AttachmentState.RUNNING)
        await emit_together(hub, 0)
        tasks = len(asyncio.all_tasks())
        function = calls.function("f")
        for n in range(100):
            for _ in range(20):
                hub.on("number.*", priority=2)(function)
            if n % 10 == 0:
                await emit_together(hub, n)
            assert await hub.detach(function) == 20
        await until_idle()
        assert len(asyncio.all_tasks()) == tasks
        form: Any = hub.attachments[0]._listener.form
        assert len(form._members) == 1


# --- what it may be given -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"priority": 1.5}, "priority is a whole number"),
        ({"priority": True}, "priority"),
        ({"priority": 2**40}, "priority"),
        ({"pattern": 3}, "pattern"),
        ({"pattern": "Number"}, "matches no kind"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": "x"}, "timeout"),
        ({"in_loop": 1}, "in_loop"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "taken"}, "no other function"),
        ({"name": 3}, "name"),
    ],
)
async def test_wrong_settings_of_a_function_are_refused(settings: dict[str, Any], message: str) -> None:
    """The error names the call that was made, and nothing has changed."""
    chain = Chain()
    chain.add(print, name="taken")
    with pytest.raises(ConfigurationError, match=message):
        chain.add(len, **settings)  # type: ignore[arg-type]
    assert list(chain.names) == ["taken"]
    hub = Hub()
    hub.on("number.*", priority=0, name="taken")(print)
    if "pattern" not in settings:
        with pytest.raises(ConfigurationError, match=r"hub\.on\(\)"):
            hub.on("number.*", **{"priority": 1, **settings})(len)
    assert [len(hub.attachments), *hub.attachments[0].listener.names] == [1, "taken"]


@pytest.mark.parametrize(
    "make", [lambda: 3, lambda: None, lambda: "f", Recorder, Hostile, Chain, lambda: int], ids=range(7)
)
def test_a_chain_has_functions_only(make: Callable[[], Any]) -> None:
    chain, candidate = Chain(), make()
    with pytest.raises(ConfigurationError):
        Chain(candidate)
    with pytest.raises(ConfigurationError):
        chain.add(candidate)
    with pytest.raises(NotFound, match="is not in the chain"):
        chain.remove(candidate)
    assert list(chain.names) == []


def test_settings_of_a_listener_are_not_for_a_function_with_a_priority() -> None:
    hub = Hub()
    for settings in ({"duty": Duty.DURABLE}, {"once": True}, {"concurrency": 2}, {"mailbox": 3}):
        with pytest.raises(ConfigurationError, match=r"hub\.attach\(Chain"):
            hub.on("number.*", priority=1, **settings)(print)
    assert len(hub.attachments) == 0


async def test_a_chain_has_no_concurrency() -> None:
    with pytest.raises(ConfigurationError, match="concurrency and key are for a function"):
        Hub().attach(Chain(print), concurrency=2)


async def test_a_closed_hub_takes_no_function_with_a_priority() -> None:
    hub = Hub()
    hub.on("number.*", priority=1)(print)
    async with hub:
        pass
    with pytest.raises(HubClosed):
        hub.on("number.*", priority=1)(print)


async def test_functions_with_a_priority_wait_for_the_start() -> None:
    """Attached before it, they are called from the first event on."""
    calls, hub = Calls(), Hub()
    hub.on("hub.*", priority=1)(calls.function("a"))
    hub.on("hub.*", priority=2)(calls.function("b"))
    async with hub:
        await hub.flush()
        assert calls.made == ["b hub.started", "a hub.started"]
