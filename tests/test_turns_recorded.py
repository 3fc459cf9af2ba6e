"""Blocks of code that are turns, model calls and tool calls: the facts that they write, whatever ends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from hubwire import GenericEvent, Hub, scope
from hubwire.errors import CommandRejected, ConfigurationError, HubClosed
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, history
from support import GatedStore, until
from support.odd import Stranger

HOSTILE = [7, b"x", "\ud800", ["a"], Stranger(), float("nan")]


class Unsayable(Exception):
    def __str__(self) -> str:
        raise ValueError("no")


@pytest.fixture
async def hub(clock: ManualClock, recorder: Recorder) -> AsyncIterator[Hub]:
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        yield hub


def facts(recorder: Recorder) -> list[Any]:
    return [event for event in recorder.events if event.kind.partition(".")[0] in ("turn", "model", "tool")]


def kinds(recorder: Recorder) -> list[str]:
    return [event.kind for event in facts(recorder)]


async def test_a_turn_writes_what_happens(hub: Hub, recorder: Recorder, clock: ManualClock) -> None:
    """Its calls are in it, and all ends say how long it took."""
    planner = await hub.agents.register("planner")
    channel = await hub.channels.open([planner])
    task = await hub.tasks.start(planner, "fix")
    async with hub.turns.turn(planner, prompt="fix it", session="s", channel=channel, task=task) as turn:
        async with turn.model("m", request={"messages": []}) as call:
            clock.advance(2)
            call.done({"text": "search"}, input_tokens=10, output_tokens=3)
        async with turn.tool("search", {"q": "x"}) as tool:
            clock.advance(1)
            tool.done(["found"])
        turn.done("fixed")
    await hub.flush()
    started, called, completed, used, returned, ended = facts(recorder)
    assert (started.prompt, called.request, used.arguments) == ("fix it", {"messages": ()}, {"q": "x"})
    assert (completed.response, completed.input_tokens, completed.output_tokens) == ({"text": "search"}, 10, 3)
    assert (returned.result, ended.content, ended.tool_calls) == (("found",), "fixed", 1)
    assert [event.duration_ms for event in (completed, returned, ended)] == [2000, 1000, 3000]
    assert called.call_id == completed.call_id != used.call_id == returned.call_id
    for event in facts(recorder):
        place = (event.agent_id, event.session_id, event.turn_id, event.channel_id, event.task_id)
        assert place == (planner.id, "s", turn.id, channel.id, task.id)
    assert hub.turns.open() == ()


async def test_callbacks_need_no_plumbing(hub: Hub, recorder: Recorder) -> None:
    """What is emitted inside of a turn says whose it is, in child tasks too."""
    planner = await hub.agents.register("planner")

    async def callback() -> None:
        await hub.emit(GenericEvent(kind="framework.called"))
        async with hub.turns.tool("search") as call:
            call.done(1)

    async with hub.turns.turn(planner, session="s") as turn, anyio.create_task_group() as tasks:
        tasks.start_soon(callback)
    await hub.emit(GenericEvent(kind="framework.ended"))
    await hub.flush()
    inside = [event for event in recorder.events if event.kind in ("framework.called", "tool.called", "tool.completed")]
    assert [(event.agent_id, event.turn_id, event.session_id) for event in inside] == [(planner.id, turn.id, "s")] * 3
    (after,) = [event for event in recorder.events if event.kind == "framework.ended"]
    assert (after.agent_id, after.turn_id) == (None, None)


async def test_an_exception_is_the_failure(hub: Hub, recorder: Recorder) -> None:
    """It goes on, and each block that it leaves has failed with it."""
    with pytest.raises(KeyError):
        async with hub.turns.turn("a") as turn, turn.model("m"):
            raise KeyError("nothing")
    await hub.flush()
    assert kinds(recorder) == ["turn.started", "model.called", "model.failed", "turn.failed"]
    assert [(event.error_type, event.error_message) for event in facts(recorder)[2:]] == [("KeyError", "'nothing'")] * 2


async def test_a_failure_can_be_said(hub: Hub, recorder: Recorder) -> None:
    """What is no exception for the program may be a failure of the tool; an exception counts more."""
    async with hub.turns.turn("a") as turn:
        async with turn.tool("one") as call:
            call.failed("no such file", error_type="not_found")
        async with turn.tool("two") as call:
            call.failed(Unsayable())
        with pytest.raises(OSError, match="gone"):
            async with turn.model("three") as model:
                model.failed("slow")
                raise OSError("gone")
    await hub.flush()
    failed = [event for event in facts(recorder) if event.kind.endswith(".failed")]
    assert [event.error_type for event in failed] == ["not_found", "Unsayable", "OSError"]
    assert failed[0].error_message == "no such file"
    assert kinds(recorder)[-1] == "turn.ended"


@pytest.mark.parametrize("exit_with", [KeyboardInterrupt, SystemExit, GeneratorExit])
async def test_a_base_exception_abandons(hub: Hub, recorder: Recorder, exit_with: type[BaseException]) -> None:
    with pytest.raises(exit_with):
        async with hub.turns.turn("a") as turn, turn.tool("t"):
            raise exit_with
    await hub.flush()
    assert kinds(recorder) == ["turn.started", "tool.called", "tool.abandoned", "turn.abandoned"]
    assert {event.reason for event in facts(recorder)[2:]} == {f"{exit_with.__name__} ended it"}


async def test_a_cancellation_abandons(hub: Hub, recorder: Recorder) -> None:
    with anyio.CancelScope() as cancel_scope:
        async with hub.turns.turn("a") as turn, turn.tool("t"):
            cancel_scope.cancel()
            await anyio.sleep_forever()
    await hub.flush()
    assert kinds(recorder) == ["turn.started", "tool.called", "tool.abandoned", "turn.abandoned"]
    abandoned = facts(recorder)[3]
    assert (abandoned.reason, abandoned.started_at) == ("it was cancelled", facts(recorder)[0].at)
    assert hub.turns.open() == ()


async def test_a_cancelled_beginning_has_an_end(clock: ManualClock) -> None:
    """The block does not run, and the beginning that is on disk is not left open."""
    store = GatedStore()
    recorder = Recorder()
    async with Hub(store, clock=clock, listeners=[recorder]) as hub:
        store.gate.close()

        async def run() -> None:
            async with hub.turns.turn("a"):
                raise AssertionError("it has not begun")

        task = asyncio.create_task(run())
        await until(lambda: bool(hub.turns.open()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        store.gate.open()
        await hub.flush()
        assert hub.turns.open() == ()
    assert kinds(recorder) == ["turn.started", "turn.abandoned"]


async def test_the_beginning_is_on_disk_inside(clock: ManualClock) -> None:
    """What a process leaves that dies in a tool: the call, abandoned by the next start."""
    store = GatedStore()
    async with Hub(store, clock=clock) as hub, hub.turns.turn("a") as turn, turn.tool("rm", {"path": "/"}):
        left = store.crashed()
    async with Hub(left, clock=clock) as again:
        told = [event.kind for event in await history(again) if event.kind.startswith(("turn.", "tool."))]
    assert told == ["turn.started", "tool.called", "turn.abandoned", "tool.abandoned"]


async def test_a_closed_hub_is_an_error(clock: ManualClock) -> None:
    """Where nothing else is raised: an exception of the block is not hidden."""
    hub = Hub(clock=clock)
    await hub.start()
    with pytest.raises(HubClosed, match="what becomes of the turn is not recorded"):
        async with hub.turns.turn("a"):
            await hub.aclose()
    with pytest.raises(HubClosed):
        async with hub.turns.turn("a"):
            raise AssertionError("it has not begun")


async def test_an_error_of_the_block_is_not_hidden(clock: ManualClock) -> None:
    hub = Hub(clock=clock)
    await hub.start()
    with pytest.raises(KeyError):
        async with hub.turns.turn("a"):
            await hub.aclose()
            raise KeyError


async def test_what_is_too_large_is_left_out(clock: ManualClock, recorder: Recorder) -> None:
    """The work of the block is not lost because of it."""
    async with Hub(clock=clock, listeners=[recorder], event_bytes_max=100_000) as hub:
        large = "x" * 1_000_000
        async with hub.turns.turn("a", prompt=large) as turn, turn.tool("t", {"text": large}) as call:
            call.done(large)
            turn.done("small")
        await hub.flush()
    started, called, completed, ended = facts(recorder)
    for left_out in (started.prompt, called.arguments, completed.result):
        assert left_out["left_out"] == "it is larger than an event may be"
        assert left_out["bytes"] >= 100_000
    assert ended.content == "small"


async def test_a_block_is_entered_once(hub: Hub, recorder: Recorder) -> None:
    turn = hub.turns.turn("a")
    with pytest.raises(ConfigurationError, match="this turn has not begun; enter it"):
        turn.tool("t")
    with pytest.raises(ConfigurationError, match="has not begun"):
        turn.done(1)
    async with turn:
        call = turn.tool("t")
        with pytest.raises(ConfigurationError, match="this call has not begun"):
            call.done(1)
        with pytest.raises(ConfigurationError, match="this turn has begun already"):
            await turn.__aenter__()
    late: list[Callable[[], object]] = [turn.done, lambda: turn.model("m"), lambda: turn.failed("x")]
    for call_late in late:
        with pytest.raises(ConfigurationError, match="this turn has ended; make another one"):
            call_late()
    with pytest.raises(ConfigurationError, match="has ended"):
        await turn.__aenter__()
    await hub.flush()
    assert kinds(recorder) == ["turn.started", "turn.ended"]


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
async def test_wrong_arguments_change_nothing(hub: Hub, recorder: Recorder, value: Any) -> None:
    """They are refused before the block is entered, and in it."""
    calls: list[Callable[[], object]] = [
        lambda: hub.turns.turn(value),
        lambda: hub.turns.turn("a", session=value),
        lambda: hub.turns.turn("a", channel=value),
        lambda: hub.turns.turn("a", task=value),
        lambda: hub.turns.turn("a", turn_id=value),
        lambda: hub.turns.model(value),
        lambda: hub.turns.model("m", agent=value),
        lambda: hub.turns.tool("t", call_id=value),
    ]
    for call in calls:
        with pytest.raises(CommandRejected):
            call()
    async with hub.turns.turn("a") as turn, turn.model("m") as model:
        for inner in (lambda: turn.model(value), lambda: turn.tool("t", call_id=value), lambda: model.failed(value)):
            with pytest.raises(CommandRejected):
                inner()
        if value != 7:
            with pytest.raises(CommandRejected):
                model.done("x", input_tokens=value)
    await hub.flush()
    assert kinds(recorder) == ["turn.started", "model.called", "model.completed", "turn.ended"]


@pytest.mark.parametrize("payload", [*HOSTILE, {"$x": {1, 2}}, Unsayable()], ids=repr)
async def test_any_payload_is_replayed(clock: ManualClock, payload: Any) -> None:
    store = MemoryStore()
    async with Hub(store, clock=clock) as hub:
        async with hub.turns.turn("a", prompt=payload) as turn, turn.tool("t", payload) as call:
            call.done(payload)
            turn.done(payload)
        async with hub.turns.model("m", request=payload) as model:
            model.done(payload)
        before = [event for event in await history(hub) if event.kind.startswith(("turn", "tool", "model"))]
    async with Hub(store, clock=clock) as again:
        assert [each for each in await history(again) if each.kind.startswith(("turn", "tool", "model"))] == before
        assert len(before) == 6


# --- ids --------------------------------------------------------------------------------------------------------------


async def test_ids_of_calls_are_those_of_their_turn(hub: Hub) -> None:
    """Frameworks number the calls of each turn from one."""
    async with hub.turns.turn("a", turn_id="t1") as one, one.tool("t", call_id="1"):
        async with hub.turns.turn("a", turn_id="t2") as two, two.tool("t", call_id="1"):
            assert [(each.turn_id, each.id) for each in hub.turns.open() if each.family == "tool"] == [
                ("t1", "1"),
                ("t2", "1"),
            ]
        assert [each.turn_id for each in hub.turns.open()] == ["t1", "t1"]
    assert hub.turns.open() == ()


# --- scopes -----------------------------------------------------------------------------------------------------------


async def test_a_scope_carries_a_place(hub: Hub, recorder: Recorder) -> None:
    """An event says what it is about where it says so itself; a command only whose session and turn it is."""
    a, b = await hub.agents.register("a"), await hub.agents.register("b")
    with scope(agent=a, session="s", turn="t", channel="c", task="k"):
        await hub.emit(GenericEvent(kind="x.done"))
        await hub.emit(GenericEvent(kind="x.done", agent_id="other", turn_id="u"))
        channel = await hub.channels.open([a, b])
    await hub.flush()
    own, other = [event for event in recorder.events if event.kind == "x.done"]
    assert (own.agent_id, own.session_id, own.turn_id, own.channel_id, own.task_id) == (a.id, "s", "t", "c", "k")
    assert (other.agent_id, other.session_id, other.turn_id) == ("other", "s", "u")
    opened = next(event for event in recorder.events if event.kind == "channel.opened")
    assert (opened.channel_id, opened.session_id, opened.turn_id, opened.task_id) == (channel.id, "s", "t", None)


def test_another_agent_is_in_no_turn_of_the_first() -> None:
    with scope(agent="a", session="s", turn="t", task="k"):
        with scope(agent="b") as inner:
            assert (inner.agent_id, inner.session_id, inner.turn_id, inner.task_id) == ("b", "s", None, None)
        with scope(agent="a") as same:
            assert (same.turn_id, same.task_id) == ("t", "k")
        with scope(agent="b", turn="u") as other:
            assert (other.turn_id, other.task_id) == ("u", None)


@pytest.mark.parametrize("name", ["agent", "session", "turn", "channel", "task"])
@pytest.mark.parametrize("value", [7, b"x", ["a"], Stranger()], ids=repr)
def test_a_place_is_text(name: str, value: Any) -> None:
    wrong: dict[str, Any] = {name: value}
    with pytest.raises(ConfigurationError, match=f"{name}_id must be text"), scope(**wrong):
        pass


async def test_a_hostile_place_is_replayed(clock: ManualClock) -> None:
    store = MemoryStore()
    async with Hub(store, clock=clock) as hub:
        with scope(agent="\ud800", session="x" * 100_000, turn="\x00"):
            await hub.emit(GenericEvent(kind="x.done"))
            await hub.agents.register("a")
        before = await history(hub)
    async with Hub(store, clock=clock) as again:
        assert (await history(again))[: len(before)] == before


async def test_many_turns_leave_nothing_behind(hub: Hub) -> None:
    for _ in range(300):
        async with hub.turns.turn("a") as turn, turn.tool("t"):
            pass
    assert hub.turns.open() == ()
