"""What a program relied on that comes from the audit events of Calute, where no other test shows it."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest

from hubwire import Event, Hub, codec, scope
from hubwire.events import (
    AgentSwitched,
    ErrorRaised,
    HookMutated,
    LoopBlocked,
    LoopWarned,
    PolicyDecided,
    SandboxDecided,
    SkillAuthored,
    SkillRated,
    SkillUsed,
    ToolCalled,
    ToolCompleted,
    ToolFailed,
    TurnEnded,
    TurnStarted,
)
from hubwire.listeners import AuditLog
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder, history

ERROR = "error"
BY_TAG: dict[str, tuple[Event, str | None]] = {
    "turn_start": (TurnStarted(turn_id="t", prompt="fix"), None),
    "turn_end": (TurnEnded(turn_id="t", content="fixed", tool_calls=1), None),
    "tool_call_attempt": (ToolCalled(tool="search", call_id="1", arguments={"q": "x"}), None),
    "tool_call_complete": (ToolCompleted(tool="search", call_id="1", result="3 hits", duration_ms=12.5), None),
    "tool_call_failure": (ToolFailed(tool="search", call_id="1", error_type="OSError", error_message="x" * 500), ERROR),
    "tool_policy_decision": (PolicyDecided(tool="search", action="deny", policy="p"), None),
    "sandbox_decision": (SandboxDecided(tool="search", backend="docker", reason="untrusted"), None),
    "tool_loop_warning": (LoopWarned(tool="search", pattern="same", severity_level="high", call_count=3), "warning"),
    "tool_loop_block": (LoopBlocked(tool="search", pattern="same", call_count=9), "error"),
    "hook_mutation": (HookMutated(hook="before", tool="search", mutated_field="arguments"), None),
    "error": (ErrorRaised(error_type="OSError", error_message="no", error_context="start"), "error"),
    "skill_used": (SkillUsed(skill="s", version="1", outcome="success", duration_ms=1.0), None),
    "skill_authored": (SkillAuthored(skill="s", tool_count=2, unique_tools=("a", "b")), None),
    "skill_feedback": (SkillRated(skill="s", rating="good", reason="quick"), None),
    "agent_switch": (AgentSwitched(from_agent="planner", to_agent="coder", reason="code"), None),
}
"""What each kind of theirs is here, and its severity: ``info`` is not written."""


@pytest.mark.parametrize("tag", BY_TAG)
async def test_each_kind_has_one_here(tag: str) -> None:
    """It is in the journal as it was emitted, with the session of its scope and its severity."""
    given, severity = BY_TAG[tag]
    store = MemoryStore()
    async with Hub(store) as hub:
        with scope(session="s-1"):
            emitted = await hub.emit(given)
        assert emitted in await history(hub)
    assert (emitted.session_id, emitted.severity) == ("s-1", severity)
    assert codec.decode(codec.encode(emitted)) == emitted


async def test_a_recorder_is_a_collector_in_memory() -> None:
    """What is in it cannot be changed; the list can."""
    seen = Recorder()
    async with Hub(listeners=[seen]) as hub:
        for event, _ in BY_TAG.values():
            await hub.emit(event)
        await hub.flush()
        assert len(seen.of("tool.called")) == len(seen.of(ToolCompleted)) == 1
        with pytest.raises(AttributeError):
            seen.of(ToolCalled)[0].tool = "other"  # type: ignore[misc]
        seen.events.clear()
        assert seen.kinds == []


async def test_events_go_to_any_stream_as_lines() -> None:
    """The stream stays open: it is the program's."""
    stream = io.StringIO()
    async with Hub() as hub:

        @hub.on("tool.*", in_loop=True)
        def write(event: Event) -> None:
            stream.write(codec.encode(event).decode() + "\n")

        with scope(session="s-1"):
            for tag in ("tool_call_attempt", "tool_call_complete"):
                await hub.emit(BY_TAG[tag][0])
        await hub.flush()
    lines = stream.getvalue().encode().split(b"\n")
    assert [codec.decode(line).kind for line in lines[:-1]] == ["tool.called", "tool.completed"]
    assert lines[-1] == b""


def answer(attempt: int) -> str:
    if attempt == 1:
        raise TimeoutError("too slow")
    return "3 hits"


async def test_a_tool_call_has_its_events_in_order() -> None:
    """Each attempt is a call of its own; who audits sees the order in which they were emitted."""
    store = MemoryStore()
    log = AuditLog(store)
    async with Hub(store, listeners=[log]) as hub:
        coder = await hub.agents.register("coder")
        async with hub.turns.turn(coder, prompt="fix", session="s-1") as turn:
            for attempt in (1, 2):
                await hub.emit(LoopWarned(tool="search", call_count=attempt))
                await hub.emit(PolicyDecided(tool="search", action="allow"))
                try:
                    async with turn.tool("search", {"q": "x"}) as call:
                        await hub.emit(SandboxDecided(tool="search", backend="docker"))
                        call.done(answer(attempt))
                except TimeoutError:
                    continue
                await hub.emit(SkillUsed(skill="search", outcome="success"))
            turn.done("fixed")
        await hub.flush()
    records = [each for each in await log.read_all() if each["kind"].partition(".")[0] not in ("hub", "log", "agent")]
    once = ["loop.warned", "policy.decided", "tool.called", "sandbox.decided"]
    assert [each["kind"] for each in records if not each["kind"].startswith("listener.")] == [
        "turn.started",
        *once,
        "tool.failed",
        *once,
        "tool.completed",
        "skill.used",
        "turn.ended",
    ]
    assert {each["session_id"] for each in records if "turn_id" in each} == {"s-1"}
    assert {each["agent_id"] for each in records if each["kind"] != "listener.attached"} == {coder.id}
    calls = [each["call_id"] for each in records if each["kind"].startswith("tool.")]
    assert calls[0] == calls[1] != calls[2] == calls[3]


async def test_calls_of_one_tool_side_by_side_are_told_apart() -> None:
    seen = Recorder()
    async with Hub(listeners=[seen]) as hub:
        coder = await hub.agents.register("coder")
        async with hub.turns.turn(coder) as turn:
            both = asyncio.Barrier(2)

            async def search(query: str) -> None:
                async with turn.tool("search", query) as call:
                    await both.wait()
                    call.done(query)

            await asyncio.gather(search("a"), search("b"))
        await hub.flush()
    asked = {event.call_id: event.arguments for event in seen.of(ToolCalled)}
    answered = {event.call_id: event.result for event in seen.of(ToolCompleted)}
    assert asked == answered
    assert sorted(asked.values()) == ["a", "b"]


async def test_a_failing_listener_never_runs_a_tool_again() -> None:
    """Nor does it end the turn: what the program sees is what its tool did."""
    charged: list[int] = []

    class Failing:
        async def on_events(self, events: Any) -> None:
            raise OSError("no disk")

    async with Hub(listeners=[Failing()]) as hub:
        coder = await hub.agents.register("coder")
        async with hub.turns.turn(coder) as turn:
            async with turn.tool("charge_card") as call:
                charged.append(1)
                call.done("charged")
            await hub.flush()
            turn.done("done")
        await hub.flush()
        kinds = [event.kind for event in await history(hub)]
    assert charged == [1]
    assert [kinds.count(kind) for kind in ("tool.called", "tool.completed", "turn.ended")] == [1, 1, 1]
