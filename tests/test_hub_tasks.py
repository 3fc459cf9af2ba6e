"""Tasks and turns on a hub: what owners may do, what happens by itself, and what a restart finds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from hubwire import Hub, Task, WatchLimits
from hubwire.errors import CommandRejected, NotFound
from hubwire.events import (
    Event,
    ModelCalled,
    ModelCompleted,
    TaskCancelRequested,
    TaskCompleted,
    TaskExpired,
    TaskMirrorFailed,
    TaskStarted,
    ToolAbandoned,
    ToolCalled,
    ToolCompleted,
    TurnAbandoned,
    TurnStarted,
)
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock, Recorder, history
from support import advance, until_idle


def kinds(events: Iterable[Event], domain: str) -> list[str]:
    return [event.kind for event in events if event.kind.startswith(f"{domain}.")]


@pytest.fixture
async def hub(clock: ManualClock, recorder: Recorder) -> AsyncIterator[Hub]:
    watch = WatchLimits(turn_seconds_max=60, model_seconds_max=10, tool_seconds_max=30, open_max=5)
    async with Hub(clock=clock, listeners=[recorder], watch=watch) as hub:
        yield hub


# --- tasks ------------------------------------------------------------------------------------------------------------


async def test_a_task_runs_from_start_to_result(hub: Hub, recorder: Recorder) -> None:
    coder = await hub.agents.register("coder")
    channel = await hub.channels.open([coder])
    task = await hub.tasks.start(coder, "fix the build", channel=channel, capability="python", ttl_seconds=60)
    await task.progress({"done": 0.5})
    (entry,) = hub.tasks.running()
    assert (entry.title, entry.owner_id, entry.channel_id, entry.progress) == (
        "fix the build",
        coder.id,
        channel.id,
        {"done": 0.5},
    )
    assert task.is_running
    await task.complete(result={"tests": "green"})
    assert not task.is_running
    assert hub.tasks.running() == ()
    await hub.flush()
    assert kinds(recorder.events, "task") == ["task.started", "task.progressed", "task.completed"]
    (completed,) = recorder.of(TaskCompleted)
    assert (completed.result, completed.capability, completed.owner_id) == ({"tests": "green"}, "python", coder.id)
    assert completed.started_at == recorder.of(TaskStarted)[0].at


async def test_an_end_is_final(hub: Hub, recorder: Recorder) -> None:
    coder = await hub.agents.register("coder")
    task = await hub.tasks.start(coder, "fix")
    await task.fail(ValueError("no such file"))
    for command in (task.complete, task.cancel, task.progress, task.checkpoint):
        with pytest.raises(CommandRejected, match="it was failed, and that is final"):
            await command("x")
    with pytest.raises(CommandRejected, match="failed"):
        hub.tasks.get(task.id, coder)
    with pytest.raises(NotFound):
        hub.tasks.get("nothing", coder)
    await hub.flush()
    assert kinds(recorder.events, "task") == ["task.started", "task.failed"]


async def test_a_task_belongs_to_its_owner(hub: Hub) -> None:
    """Only the owner changes it and reads its checkpoint."""
    coder, other = await hub.agents.register("coder"), await hub.agents.register("other")
    task = await hub.tasks.start(coder, "fix")
    await task.checkpoint({"line": 7})
    await task.checkpoint({"line": 9})
    assert task.read_checkpoint() == {"line": 9}
    foreign = hub.tasks.get(task.id, other)
    for command in (foreign.complete, foreign.cancel, foreign.progress, foreign.checkpoint):
        with pytest.raises(CommandRejected, match=f"only agent {coder.name!r} may"):
            await command("x")
    with pytest.raises(CommandRejected, match="does not own"):
        foreign.read_checkpoint()


async def test_others_may_request_cancellation_once(hub: Hub, recorder: Recorder) -> None:
    coder, planner, stranger = [await hub.agents.register(name) for name in ("coder", "planner", "stranger")]
    channel = await hub.channels.open([planner, coder])
    task = await hub.tasks.start(coder, "fix", channel=channel)
    assert not task.is_cancel_requested
    await hub.tasks.get(task.id, planner).request_cancel("not needed any more")
    assert task.is_cancel_requested
    with pytest.raises(CommandRejected, match="has requested already"):
        await hub.tasks.get(task.id, planner).request_cancel()
    with pytest.raises(CommandRejected, match="not a participant"):
        await hub.tasks.get(task.id, stranger).request_cancel()
    with pytest.raises(CommandRejected, match="use cancel"):
        await task.request_cancel()
    with pytest.raises(CommandRejected, match="at most 500"):
        await hub.tasks.get(task.id, planner).request_cancel("x" * 501)
    await task.cancel("asked to")
    await hub.flush()
    (asked,) = recorder.of(TaskCancelRequested)
    assert (asked.agent_id, asked.owner_id, asked.reason) == (planner.id, coder.id, "not needed any more")


async def test_a_task_expires(hub: Hub, clock: ManualClock, recorder: Recorder) -> None:
    coder = await hub.agents.register("coder")
    short = await hub.tasks.start(coder, "short", ttl_seconds=5)
    long = await hub.tasks.start(coder, "long", ttl_seconds=50)
    endless = await hub.tasks.start(coder, "endless", ttl_seconds=None)
    await advance(clock, 4.9)
    assert short.is_running
    await advance(clock, 0.2)
    assert [task.is_running for task in (short, long, endless)] == [False, True, True]
    await advance(clock, 1e6)
    assert [task.is_running for task in (short, long, endless)] == [False, False, True]
    await hub.flush()
    assert [(each.task_id, each.reason) for each in recorder.of(TaskExpired)] == [
        (short.id, "its time was up"),
        (long.id, "its time was up"),
    ]


async def test_closing_and_leaving_end_tasks(hub: Hub, recorder: Recorder) -> None:
    """A task ends with its channel, and when its owner leaves the hub."""
    coder, planner = await hub.agents.register("coder"), await hub.agents.register("planner")
    channel = await hub.channels.open([planner, coder])
    there = await hub.tasks.start(coder, "there", channel=channel)
    elsewhere = await hub.tasks.start(coder, "elsewhere")
    await channel.close()
    assert not there.is_running
    with pytest.raises(CommandRejected, match="its channel was closed"):
        await there.complete()
    assert elsewhere.is_running
    await coder.unregister()
    assert not elsewhere.is_running
    await until_idle()
    await hub.flush()
    assert [(each.task_id, each.reason) for each in recorder.of(TaskExpired)] == [
        (there.id, "its channel was closed"),
        (elsewhere.id, "its owner left the hub"),
    ]


async def test_a_task_elsewhere_keeps_its_id(hub: Hub, recorder: Recorder) -> None:
    """A task that runs in another system is followed under the id that it has there."""
    coder = await hub.agents.register("coder")
    task = await hub.tasks.observe(coder, "nightly", task_id="job-42", source="the other system")
    with pytest.raises(CommandRejected, match="is or was a task 'job-42'"):
        await hub.tasks.observe(coder, "nightly", task_id="job-42")
    await task.complete()
    with pytest.raises(CommandRejected, match="is or was a task 'job-42'"):
        await hub.tasks.observe(coder, "nightly", task_id="job-42")
    await hub.emit(TaskMirrorFailed(task_id="job-42", operation="complete", error_type="OSError"))
    await hub.flush()
    assert kinds(recorder.events, "task") == ["task.started", "task.completed", "task.mirror_failed"]
    (started,) = recorder.of(TaskStarted)
    assert (started.is_observed, started.source, started.task_id) == (True, "the other system", "job-42")


@pytest.mark.parametrize(
    "settings",
    [
        {"ttl_seconds": 0},
        {"ttl_seconds": float("inf")},
        {"ttl_seconds": True},
        {"capability": 5},
        {"parent": "none"},
    ],
)
async def test_an_impossible_task_is_refused(hub: Hub, recorder: Recorder, settings: dict[str, Any]) -> None:
    coder = await hub.agents.register("coder")
    with pytest.raises(CommandRejected):
        await hub.tasks.start(coder, "fix", **settings)
    with pytest.raises(CommandRejected):
        await hub.tasks.start(coder, None)  # type: ignore[arg-type]
    assert hub.tasks.running() == ()
    await hub.flush()
    assert kinds(recorder.events, "task") == []


async def test_owned_kinds_come_from_commands_only(hub: Hub) -> None:
    with pytest.raises(CommandRejected, match=r"task\.complete\(\) makes it"):
        await hub.emit(TaskCompleted(task_id="x", owner_id="y"))


async def test_a_task_survives_a_restart(tmp_path: Path, clock: ManualClock) -> None:
    """Its checkpoint survives with it."""
    store = FileStore(tmp_path)
    async with Hub(store, clock=clock) as hub:
        coder = await hub.agents.register("coder")
        channel = await hub.channels.open([coder])
        kept = await hub.tasks.start(coder, "kept", ttl_seconds=100)
        lost = await hub.tasks.start(coder, "late", ttl_seconds=10)
        ended = await hub.tasks.start(coder, "ended")
        await hub.tasks.start(coder, "closed with its channel", channel=channel)
        await kept.checkpoint({"line": 7})
        await ended.complete()
        await channel.close()
    clock.advance(20)
    recorder = Recorder()
    async with Hub(store, clock=clock, listeners=[recorder]) as hub:
        await until_idle()
        await hub.flush()
        assert [entry.task_id for entry in hub.tasks.running()] == [kept.id]
        reasons = {each.task_id: each.reason for each in await history(hub) if isinstance(each, TaskExpired)}
        assert reasons[lost.id] == "its time was up"
        assert sorted(reasons.values()) == ["its channel was closed", "its time was up"]
        again = hub.tasks.get(kept.id, coder.id)
        assert again.read_checkpoint() == {"line": 7}
        with pytest.raises(CommandRejected, match="completed"):
            hub.tasks.get(ended.id, coder.id)
        await advance(clock, 81)
        assert not again.is_running


async def test_many_tasks_expire_in_batches(hub: Hub, recorder: Recorder) -> None:
    """More than fit into one command."""
    coder = await hub.agents.register("coder")
    channel = await hub.channels.open([coder])
    tasks: list[Task] = [await hub.tasks.start(coder, str(number), channel=channel) for number in range(600)]
    await channel.close()
    await until_idle()
    await hub.flush()
    assert {each.task_id for each in recorder.of(TaskExpired)} == {task.id for task in tasks}


# --- turns, model calls, tool calls -----------------------------------------------------------------------------------


async def test_open_facts_are_known(hub: Hub) -> None:
    """Facts are emitted, and what has begun and not ended is listed."""
    coder = await hub.agents.register("coder")
    await hub.emit(TurnStarted(turn_id="t1", agent_id=coder.id))
    await hub.emit(ModelCalled(model="m", call_id="c1", agent_id=coder.id, turn_id="t1"))
    await hub.emit(ToolCalled(tool="ls", call_id="c1", agent_id=coder.id, turn_id="t1"))
    await hub.emit(ModelCompleted(model="m", call_id="c1", agent_id=coder.id))
    assert [(each.family, each.id, each.name) for each in hub.turns.open()] == [
        ("turn", "t1", ""),
        ("tool", "c1", "ls"),
    ]
    assert hub.statistics().turns_open == 2


async def test_a_missing_end_is_reported(hub: Hub, clock: ManualClock, recorder: Recorder) -> None:
    await hub.emit(ToolCalled(tool="ls", call_id="slow", turn_id="t", channel_id="c", task_id="k", session_id="s"))
    await hub.emit(ModelCalled(model="m", call_id="quick"))
    await advance(clock, 29.9)
    assert kinds(recorder.events, "tool") == ["tool.called"]
    assert kinds(recorder.events, "model") == ["model.called", "model.abandoned"]
    await advance(clock, 0.2)
    (told,) = recorder.of(ToolAbandoned)
    assert (told.tool, told.call_id, told.reason) == ("ls", "slow", "its end has not come within 30 s")
    assert (told.turn_id, told.channel_id, told.task_id, told.session_id) == ("t", "c", "k", "s")
    await hub.emit(ToolCompleted(tool="ls", call_id="slow"))
    await advance(clock, 1000)
    assert kinds(recorder.events, "tool") == ["tool.called", "tool.abandoned", "tool.completed"]


async def test_leaving_abandons_what_was_begun(hub: Hub, recorder: Recorder) -> None:
    coder, other = await hub.agents.register("coder"), await hub.agents.register("other")
    for agent in (coder, other):
        await hub.emit(TurnStarted(turn_id="t", agent_id=agent.id))
    await coder.unregister()
    await until_idle()
    assert [(each.agent_id, each.reason) for each in recorder.of(TurnAbandoned)] == [
        (coder.id, "its agent left the hub")
    ]
    assert [each.agent_id for each in hub.turns.open()] == [other.id]


async def test_too_many_open_facts_abandon_the_oldest(hub: Hub, recorder: Recorder) -> None:
    for number in range(7):
        await hub.emit(ToolCalled(tool="ls", call_id=str(number)))
        await until_idle()
    assert [each.call_id for each in recorder.of(ToolAbandoned)] == ["0", "1"]
    assert {each.reason for each in recorder.of(ToolAbandoned)} == {"more than 5 have begun and not ended"}
    assert len(hub.turns.open()) == 5


async def test_facts_from_elsewhere_are_not_awaited(hub: Hub, clock: ManualClock, recorder: Recorder) -> None:
    """What another system recorded has no deadline here."""
    await hub.emit(ToolCalled(tool="ls", call_id="1", source="a file", source_id="1/2"))
    await hub.emit(ToolCalled(tool="ls", call_id="2", occurred_at="2020-01-01T00:00:00Z"))
    assert hub.turns.open() == ()
    await advance(clock, 1000)
    assert kinds(recorder.events, "tool") == ["tool.called", "tool.called"]


async def test_a_restart_abandons_open_facts(clock: ManualClock) -> None:
    """Their agents died with the hub."""
    store = MemoryStore()
    async with Hub(store, clock=clock) as hub:
        await hub.emit(ToolCalled(tool="ls", call_id="1"))
        await hub.emit(ToolCalled(tool="ls", call_id="2"))
        await hub.emit(ToolCompleted(tool="ls", call_id="2"))
    async with Hub(store, clock=clock) as hub:
        told = [each for each in await history(hub) if isinstance(each, ToolAbandoned)]
        assert [(each.call_id, each.reason) for each in told] == [("1", "the hub was restarted")]
        assert hub.turns.open() == ()
