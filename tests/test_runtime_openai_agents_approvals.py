"""What waits for approval in openai-agents is asked in the hub, and what the host decides itself is recorded there."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anyio
import pytest

from hubwire import Hub
from hubwire.errors import ConfigurationError, HubClosed
from hubwire.listeners.audit import AuditLog, verify
from hubwire.runtimes import openai_agents
from hubwire.stores import MemoryStore
from support.openai_team import agents, answered, call, deploy, recorded, says, scripted, search, solo
from support.resuming import refuses


async def answer_next(hub: Hub, *, is_passed: bool = True, reason: str = "", count: int = 1) -> list[Any]:
    """Answer what is asked next, as a person would; return the events that ask."""
    asked: list[Any] = []
    async for event in hub.events(after=-1, pattern="approval.challenge_issued"):
        if any(each.approval_id == event.approval_id for each in hub.approvals.pending()):  # type: ignore[attr-defined]
            await hub.approvals.answer(event.approval_id, "ann", is_passed=is_passed, reason=reason)  # type: ignore[attr-defined]
            asked.append(event)
            if len(asked) == count:
                break
    return asked


def deploying(*more: Any, calls: int = 1) -> Any:
    steps = [call("deploy", f"d{number}", target=f"host-{number}") for number in range(calls)]
    return solo(steps, *more)


async def test_nothing_is_called_before_the_verdict() -> None:
    async with recorded() as seen:
        agent = deploying([says("done")])
        result = await agents.Runner.run(agent, "go")
        await seen.settle()
        assert [each for each in seen.kinds if each.startswith(("tool.", "approval."))] == []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer_next, seen.hub)
            result = await openai_agents.resume(seen.recorder, agent, result)
    assert result.final_output == "done"
    order = ["approval.requested", "approval.approved", "approval.used", "tool.called", "tool.completed"]
    assert [each for each in seen.kinds if each in order] == order
    assert seen.of("approval.requested")[0].arguments == {"target": "host-0"}
    assert seen.of("approval.requested")[0].correlation_id == seen.of("turn.started")[0].correlation_id


async def test_a_denial_goes_to_the_model_with_its_reason() -> None:
    async with recorded() as seen:
        agent = deploying([says("then not")])
        result = await agents.Runner.run(agent, "go")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: answer_next(seen.hub, is_passed=False, reason="freeze until Monday"))
            result = await openai_agents.resume(seen.recorder, agent, result)
    assert result.final_output == "then not"
    assert "freeze until Monday" in json.dumps(agent.model.last_call.input, default=str)
    assert [each for each in seen.kinds if each.startswith("tool.")] == []
    assert len(seen.of("approval.denied")) == 1
    assert len(seen.of("approval.requested")) == 1, "that the host has passed it on is no second verdict"


async def test_all_that_waits_is_asked_at_once() -> None:
    async with recorded() as seen:
        agent = deploying([says("done")], calls=3)
        result = await agents.Runner.run(agent, "go")
        async with anyio.create_task_group() as tasks:

            async def answer_when_all_are_there() -> None:
                async for _ in seen.hub.events(after=-1, pattern="approval.challenge_issued"):
                    if len(seen.hub.approvals.pending()) == 3:
                        break
                await answer_next(seen.hub, count=3)

            tasks.start_soon(answer_when_all_are_there)
            await openai_agents.resume(seen.recorder, agent, result)
    assert sorted(each.arguments["target"] for each in seen.of("tool.called")) == ["host-0", "host-1", "host-2"]
    assert len(seen.of("approval.requested")) == 3


async def test_a_run_that_waits_goes_on_in_another_process() -> None:
    """With its state as JSON, another recorder, and another hub on the store: it is one question."""
    store, log = MemoryStore(), MemoryStore()
    hub = Hub(store)
    hub.attach(AuditLog(log))
    async with recorded(hub) as seen:
        agent = deploying()
        result = await agents.Runner.run(agent, "go")
        saved = json.dumps(result.to_state().to_json())
        with anyio.move_on_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(openai_agents.resume, seen.recorder, agent, result)
                await seen.heard.wait_for("approval.challenge_issued")
                tasks.cancel_scope.cancel()
    first = seen.of("turn.started")[0].correlation_id
    hub = Hub(store)
    hub.attach(AuditLog(log))
    async with recorded(hub) as seen:
        agent = solo([says("done")])
        state = await agents.RunState.from_json(agent, json.loads(saved))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer_next, hub)
            result = await openai_agents.resume(seen.recorder, agent, state)
        assert result.final_output == "done"
    assert seen.of("approval.requested") == [], "it was asked before"
    assert seen.of("turn.started")[0].correlation_id == first
    assert [each.tool for each in seen.of("tool.completed")] == ["deploy"]
    assert (await verify(log)).holds


@pytest.mark.parametrize("may_repeat", [False, True])
async def test_an_approval_lets_a_call_be_made_once(may_repeat: bool) -> None:
    """A state that is resumed again is that of a crash in which the tool may have run."""
    async with recorded() as seen:
        agent = deploying([says("first")])
        saved = (await agents.Runner.run(agent, "go")).to_state().to_json()
        lives = [solo([says(f"life {number}")]) for number in range(2)]
        for again in lives:
            state = await agents.RunState.from_json(again, saved)
            async with anyio.create_task_group() as tasks:
                if again is lives[0]:
                    tasks.start_soon(answer_next, seen.hub)
                await openai_agents.resume(seen.recorder, again, state, may_repeat=may_repeat)
    assert len(seen.of("approval.requested")) == 1
    assert len(seen.of("tool.called")) == 1 + may_repeat
    assert ("may have been made" in json.dumps(lives[1].model.last_call.input, default=str)) is not may_repeat


async def test_other_arguments_are_another_question() -> None:
    """A saved state that is changed meanwhile is not covered by what a person has seen; the SDK does not run it."""
    async with recorded() as seen:
        saved = json.dumps((await agents.Runner.run(deploying(), "go")).to_state().to_json())
        for text in (saved, saved.replace("host-0", "host-9")):
            agent = solo([says("done")])
            state = await agents.RunState.from_json(agent, json.loads(text))
            answering = asyncio.ensure_future(answer_next(seen.hub))
            if text is saved:
                await openai_agents.resume(seen.recorder, agent, state)
            else:
                with pytest.raises(agents.ModelBehaviorError):
                    await openai_agents.resume(seen.recorder, agent, state)
            await answering
    assert [each.arguments["target"] for each in seen.of("approval.requested")] == ["host-0", "host-9"]


async def test_a_verdict_with_other_arguments_is_told_to_the_model() -> None:
    async with recorded() as seen:
        agent = deploying([says("I see")])
        result = await agents.Runner.run(agent, "go")
        async with anyio.create_task_group() as tasks:

            async def modify() -> None:
                async for event in seen.hub.events(after=-1, pattern="approval.challenge_issued"):
                    await seen.hub.approvals.answer(
                        event.approval_id,  # type: ignore[attr-defined]
                        "ann",
                        is_passed=True,
                        arguments={"target": "canary"},
                    )
                    return

            tasks.start_soon(modify)
            await openai_agents.resume(seen.recorder, agent, result)
    assert "canary" in json.dumps(agent.model.last_call.input, default=str)
    assert seen.of("tool.called") == []


@pytest.mark.parametrize("is_passed", [True, False])
async def test_verdicts_of_the_host_are_recorded(is_passed: bool) -> None:
    """In the SDK they are nowhere: of a denied call there is not even a span."""
    async with recorded() as seen:
        agent = deploying([says("done")])
        result = await agents.Runner.run(agent, "go")
        rejection = {} if is_passed else {"rejection_message": "not today"}
        await agents.Runner.run(agent, answered(result, is_passed=is_passed, **rejection))
    assert [each.arguments for each in seen.of("approval.requested")] == [{"target": "host-0"}]
    verdict = seen.of("approval.approved" if is_passed else "approval.denied")
    assert len(verdict) == 1
    if not is_passed:
        assert verdict[0].reason == "not today"
    assert [each.approver for each in seen.of("approval.challenge_completed")] == ["operator"]
    assert [each.tool for each in seen.of("tool.called")] == (["deploy"] if is_passed else [])


async def test_two_hubs_have_one_verdict_each() -> None:
    async with recorded() as asked, recorded(Hub()) as other:
        agent = deploying([says("done")])
        result = await agents.Runner.run(agent, "go")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer_next, asked.hub)
            await openai_agents.resume(asked.recorder, agent, result)
    assert [each.approver for each in asked.of("approval.challenge_completed")] == ["ann"]
    assert [each.approver for each in other.of("approval.challenge_completed")] == ["operator"]
    for seen in (asked, other):
        order = ["approval.requested", "approval.approved", "tool.called"]
        assert [each for each in seen.kinds if each in order] == order


async def test_decide_lets_the_host_run_on_in_its_own_way() -> None:
    async with recorded() as seen:
        agent = deploying([says("streamed")])
        result = agents.Runner.run_streamed(agent, "go")
        async for _ in result.stream_events():
            pass
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer_next, seen.hub)
            state = await openai_agents.decide(seen.recorder, result)
        result = agents.Runner.run_streamed(agent, state)
        async for _ in result.stream_events():
            pass
        assert result.final_output == "streamed"
    assert len(seen.of("approval.requested")) == 1
    assert [each.tool for each in seen.of("tool.completed")] == ["deploy"]


async def test_what_an_agent_that_is_a_tool_waits_for() -> None:
    """Its call is suspended, and goes on in the resumed run; the approval is one."""
    inner = agents.Agent(
        name="reader", tools=[deploy], model=scripted([call("deploy", "i1", target="t")], [says("inner done")])
    )
    async with recorded() as seen:
        ask = inner.as_tool("ask", "asks the reader")
        agent = solo([call("ask", "o1", input="read")], [says("ok")], tools=[ask])
        result = await agents.Runner.run(agent, "go")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer_next, seen.hub)
            result = await openai_agents.resume(seen.recorder, agent, result)
        assert result.final_output == "ok"
    tools = [f"{each.kind} {each.tool}" for each in seen.events if each.kind.startswith("tool.")]  # type: ignore[attr-defined]
    assert tools == [
        "tool.called ask",
        "tool.abandoned ask",
        "tool.called ask",
        "tool.called deploy",
        "tool.completed deploy",
        "tool.completed ask",
    ]
    assert len(seen.of("approval.requested")) == 1
    assert [each.agent_id for each in seen.of("approval.requested")] == [
        each.agent_id for each in seen.of("tool.called") if each.tool == "deploy"
    ]
    assert len({each.correlation_id for each in seen.of("turn.started")}) == 1


async def test_a_hub_that_ends_leaves_the_run_waiting() -> None:
    agent = deploying([says("done")])
    async with Hub() as hub:
        recorder = openai_agents.record(hub)
        result = await agents.Runner.run(agent, "go")
        resuming = asyncio.ensure_future(openai_agents.resume(recorder, agent, result))
        async for _ in hub.events(after=-1, pattern="approval.challenge_issued"):
            break
    with pytest.raises(HubClosed, match=r"deploy.*still waits"):
        await resuming
    assert [each.name for each in result.interruptions] == ["deploy"]
    assert agent.model.remaining_steps == 1, "it did not run on"


async def test_what_waits_for_nothing_is_returned() -> None:
    async with recorded() as seen:
        agent = solo([call("search", "s", query="x")], [says("ok")], tools=[search])
        result = await agents.Runner.run(agent, "go")
        assert await openai_agents.resume(seen.recorder, agent, result) is result


async def test_wrong_arguments_are_refused() -> None:
    async with recorded() as seen:
        agent = deploying()
        result = await agents.Runner.run(agent, "go")
        for wrong in (None, "state", 7, object(), {}):
            with pytest.raises(ConfigurationError, match=r"resume\(\).*no run of openai-agents"):
                await openai_agents.resume(seen.recorder, agent, wrong)
            with pytest.raises(ConfigurationError, match=r"decide\(\)"):
                await openai_agents.decide(seen.recorder, wrong)
        with pytest.raises(ConfigurationError, match=r"what record\(hub\) returns"):
            await openai_agents.resume(seen.hub, agent, result)  # type: ignore[arg-type]
        good = {"recorder": seen.recorder, "waiting": result, "may_repeat": False}
        await refuses(openai_agents.decide, good)
        await refuses(openai_agents.resume, {**good, "agent": agent})
    assert seen.of("approval.requested") == []


async def test_a_run_without_tracing_is_asked_about_once_too() -> None:
    """It has no trace to be known by."""
    config = agents.RunConfig(tracing_disabled=True)
    async with recorded() as seen:
        saved = (await agents.Runner.run(deploying(), "go", run_config=config)).to_state().to_json()
        for number in range(2):
            agent = solo([says("done")])
            state = await agents.RunState.from_json(agent, saved)
            async with anyio.create_task_group() as tasks:
                if number == 0:
                    tasks.start_soon(answer_next, seen.hub)
                await openai_agents.resume(seen.recorder, agent, state, run_config=config)
    assert len(seen.of("approval.requested")) == 1
    assert len(seen.of("approval.used")) == 1


async def test_a_recorder_that_is_closed_decides_nothing() -> None:
    async with Hub() as hub:
        recorder = openai_agents.record(hub)
        agent = deploying()
        result = await agents.Runner.run(agent, "go")
        await recorder.aclose()
        with pytest.raises(HubClosed, match="the recorder is closed"):
            await openai_agents.resume(recorder, agent, result)
        assert hub.approvals.pending() == ()
