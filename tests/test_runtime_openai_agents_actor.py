"""Agents of openai-agents as actors: they answer envelopes, and what was said before is what they know."""

from __future__ import annotations

from typing import Any

import anyio

from hubwire.runtimes.openai_agents import from_openai_agents
from support.openai_team import agents, call, deploy, recorded, says, scripted, solo
from support.refusals import check_refusals


async def test_an_agent_answers_with_the_channel_as_its_memory() -> None:
    async with recorded() as seen:
        hub = seen.hub
        agent = agents.Agent(name="coder", model=scripted([says("a comma")], [says("line 7")]))
        await hub.spawn(from_openai_agents(agent))
        ann = await hub.agents.register("ann")
        coder = hub.agents.named("coder")
        channel = await hub.channels.open([ann, coder])
        for number, said in enumerate(("why is it red?", "where?"), 1):
            await channel.post(ann, said)
            await seen.heard.wait_for("turn.ended", count=2 * number)  # of the hub's turn, and of the run in it
    assert [each.content for each in seen.of("turn.ended") if each.source is not None] == ["a comma", "line 7"]
    assert agent.model.last_call.input == [
        {"role": "user", "content": "ann: why is it red?"},
        {"role": "assistant", "content": "a comma"},
        {"role": "user", "content": "where?"},
    ]


async def test_what_it_does_is_below_the_turn_of_the_hub() -> None:
    async with recorded() as seen:
        await ask(seen, from_openai_agents(solo([says("ok")])))
    outer, inner = seen.of("turn.started")
    assert outer.source is None
    assert inner.source == "openai-agents"
    assert inner.metadata["parent_turn_id"] == outer.turn_id


async def test_what_its_tools_wait_for_is_asked_in_the_hub() -> None:
    async with recorded() as seen:
        agent = solo([call("deploy", "d", target="staging")], [says("done")], tools=[deploy])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(approve, seen)
            await ask(seen, from_openai_agents(agent, recorder=seen.recorder), count=3)
    assert [each.tool for each in seen.of("tool.completed")] == ["deploy"]


async def test_without_a_recorder_the_turn_has_failed_and_says_why() -> None:
    async with recorded() as seen:
        agent = solo(*[[call("deploy", "d", target="staging")]] * 10, tools=[deploy])
        await ask(seen, from_openai_agents(agent), ends="turn.failed", count=1)
    failed = [each for each in seen.of("turn.failed") if each.source is None]
    assert "recorder=record(hub)" in failed[0].error_message


async def approve(seen: Any) -> None:
    event = await seen.heard.wait_for("approval.challenge_issued")
    await seen.hub.approvals.answer(event.approval_id, "ann", is_passed=True)


async def ask(seen: Any, actor: Any, *, ends: str = "turn.ended", count: int = 2) -> None:
    await seen.hub.spawn(actor)
    ann = await seen.hub.agents.register("ann")
    channel = await seen.hub.channels.open([ann, seen.hub.agents.named(actor.name)])
    await channel.post(ann, "go")
    await seen.heard.wait_for(ends, count=count)


async def test_what_is_no_agent_of_it_is_refused_at_once() -> None:
    check_refusals(from_openai_agents, "an Agent of openai-agents", solo([says("ok")]), agents.Agent)
