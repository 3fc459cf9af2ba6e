"""A replay gives the same spans: however its batches are cut, and wherever a process has taken over from another."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from hubwire import ApprovalPolicy, BaseActor, Event, Hub, Turn
from hubwire.approvals import FunctionApprover
from hubwire.cli.scenario import Office
from hubwire.events import ModelCalled, ModelCompleted, ToolCalled, ToolFailed, TurnStarted
from hubwire.listeners.opentelemetry._span import SpanData
from hubwire.listeners.opentelemetry._tracing import Settings, Tracing
from hubwire.stores import MemoryStore


class Worker(BaseActor):
    concurrency = 4

    async def on_envelope(self, turn: Turn) -> None:
        about: dict[str, Any] = {"agent_id": turn.agent.id, "turn_id": turn.id}
        await turn.hub.emit(ModelCalled(model="opus", call_id="call_0", **about))
        await turn.hub.emit(ToolCalled(tool="grep", call_id="call_1", **about))
        await turn.hub.approvals.gate(turn.agent, "write")
        await turn.hub.emit(ToolFailed(tool="grep", call_id="call_1", error_message="no", **about))
        await turn.hub.emit(ModelCompleted(model="opus", call_id="call_0", **about))
        if isinstance(turn.content, int) and turn.content:
            await turn.post(turn.content - 1, to=["a" if turn.agent.name == "b" else "b"])


async def history() -> Sequence[Event]:
    """Return what happens on a hub with actors, tasks, approvals and the demo's team, in two runs."""
    store = MemoryStore()
    policy = ApprovalPolicy(approvers=[FunctionApprover("ann", lambda _: True, in_loop=True)])
    async with Hub(store, approvals=policy) as hub:
        boss = await hub.agents.register("boss")
        a = (await hub.spawn(Worker(), name="a")).agent
        b = (await hub.spawn(Worker(), name="b")).agent
        channel = await hub.channels.open([boss, a, b])
        ended = hub.events(pattern="turn.ended")
        for _ in range(4):
            await channel.post(boss, 3, to=[a])
        for _ in range(16):
            await anext(ended)
        task = await hub.tasks.start(boss, "goes on")
        await hub.emit(TurnStarted(turn_id="never ends", agent_id=boss.id))
    async with Hub(store) as hub:
        await hub.tasks.get(task.id, boss.id).complete()
        await Office(hub, tickets=2, pace=0, hang_after=0).work()
        last = hub.statistics().committed - 1
        events = []
        async for event in hub.events(after=-1):
            events.append(event)
            if event.seq >= last:
                break
    return events


def spans_of(tracing: Tracing, events: Sequence[Event], dice: random.Random) -> list[SpanData]:
    """Return the spans of events that come in batches of any size."""
    found: list[SpanData] = []
    rest = list(events)
    while rest:
        size = dice.randint(1, 20)
        found += tracing.handle(rest[:size])
        rest = rest[size:]
    return found


def by_id(spans: Sequence[SpanData]) -> dict[tuple[int, int], SpanData]:
    """Return spans by their ids; fails where one came twice and is not the same."""
    found: dict[tuple[int, int], SpanData] = {}
    for span in spans:
        assert found.setdefault((span.place.trace_id, span.place.span_id), span) == span
    return found


@pytest.mark.slow
async def test_a_replay_gives_the_same_spans() -> None:
    events, dice = await history(), random.Random(1)
    whole = Tracing(Settings()).handle(events)
    assert len(whole) > 60
    assert len(by_id(whole)) == len(whole)
    for _ in range(20):
        assert spans_of(Tracing(Settings()), events, dice) == whole


@pytest.mark.slow
async def test_who_takes_over_makes_the_rest_of_the_spans() -> None:
    """At any event: no span is lost, and what is made by both is the same span."""
    events, dice = await history(), random.Random(2)
    whole = by_id(Tracing(Settings()).handle(events))
    for cut in range(0, len(events), 7):
        before, after = Tracing(Settings()), Tracing(Settings())
        first = spans_of(before, events[:cut], dice)
        handled_again = max(0, cut - dice.randint(0, 30))  # the position was kept a while ago
        after.learn(events[:handled_again])
        second = spans_of(after, events[handled_again:], dice)
        assert by_id([*first, *second]) == whole
