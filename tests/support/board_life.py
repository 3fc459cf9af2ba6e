"""Random lives of hubs, for the board: what happened, and what the hub says there is now."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import attrs

from hubwire import Agent, ApprovalPolicy, Channel, Hub, InboxOverflow, InboxRule, Task
from hubwire.approvals import ChallengeKind, RiskLevel
from hubwire.board import Board
from hubwire.errors import CallerError
from hubwire.events import (
    Event,
    ModelCalled,
    ModelCompleted,
    ToolAbandoned,
    ToolCalled,
    ToolFailed,
    TurnEnded,
    TurnFailed,
    TurnStarted,
)
from hubwire.testing import ManualClock, peek, pending
from support import until_idle

T = TypeVar("T")

ASKED = ApprovalPolicy(challenges=dict.fromkeys(RiskLevel, ChallengeKind.CONFIRM), timeout_seconds=100)


@attrs.define
class Life:
    """A hub, and this and that which is done with it."""

    clock: ManualClock
    chance: random.Random
    number: int = 0
    channels: list[Channel] = attrs.Factory(list)
    tasks: list[Task] = attrs.Factory(list)
    open_turns: list[tuple[str, str]] = attrs.Factory(list)
    hub: Hub = attrs.Factory(Hub)

    async def do(self, hub: Hub, name: str) -> None:
        """Do one thing, where it is possible."""
        self.hub = hub
        self.number += 1
        agents = list(self.hub.agents.list())
        if len(agents) < 2 or name == "register":
            await self._register()
            return
        try:
            await ACTIONS[name](self, agents)
        except CallerError:
            pass  # it is refused: that is one of the things that happen
        await until_idle()

    async def _register(self) -> None:
        overflow = self.chance.choice([InboxOverflow.REJECT, InboxOverflow.DROP_OLDEST, InboxOverflow.DROP_NEWEST])
        inbox = InboxRule(capacity=self.chance.choice([2, 100]), overflow=overflow, deliveries_max=2)
        await self.hub.agents.register(f"agent-{self.number}", rule={"inbox": inbox})

    async def _unregister(self, agents: list[Agent]) -> None:
        await self.chance.choice(agents).unregister()

    async def _open(self, agents: list[Agent]) -> None:
        some = self.chance.sample(agents, min(len(agents), 3))
        invite = self.chance.random() < 0.3
        self.channels.append(await self.hub.channels.open(some, topic=f"topic {self.number}", invite=invite))

    async def _move(self, agents: list[Agent]) -> None:
        channel, agent = self.chance.choice(self.channels or [await self._any(agents)]), self.chance.choice(agents)
        await self.chance.choice([channel.join, channel.leave, channel.accept, channel.decline])(agent)

    async def _any(self, agents: list[Agent]) -> Channel:
        self.channels.append(await self.hub.channels.open(agents[:2]))
        return self.channels[-1]

    async def _close(self, agents: list[Agent]) -> None:
        if self.channels:
            await self.channels.pop(self.chance.randrange(len(self.channels))).close()

    async def _post(self, agents: list[Agent]) -> None:
        channel = self.chance.choice(self.channels or [await self._any(agents)])
        sender = self.chance.choice(agents)
        priority = self.chance.choice(["urgent", "normal", "background"])
        ttl = self.chance.choice([None, None, 30])
        await channel.post(sender, {"text": "hello"}, priority=priority, ttl_seconds=ttl)

    async def _publish(self, agents: list[Agent]) -> None:
        await self.hub.topics.subscribe(self.chance.choice(agents), "news.*")
        await self.hub.topics.publish("news.today", {"text": "it rains"}, sender=self.chance.choice(agents))

    async def _read(self, agents: list[Agent]) -> None:
        for agent in agents:
            if pending(self.hub, agent):
                break
        else:
            return
        delivery = await _soon(anext(agent.inbox()))
        if delivery is not None:
            await (delivery.ack() if self.chance.random() < 0.6 else delivery.nack("no"))

    async def _redeliver(self, agents: list[Agent]) -> None:
        letters = self.hub.inboxes.dead_letters()
        if letters:
            await self.hub.inboxes.redeliver(letters[0])

    async def _start(self, agents: list[Agent]) -> None:
        ttl = self.chance.choice([20.0, 1000.0])
        self.tasks.append(await self.hub.tasks.start(self.chance.choice(agents), "work", ttl_seconds=ttl))

    async def _end(self, agents: list[Agent]) -> None:
        if self.tasks:
            task = self.tasks.pop(self.chance.randrange(len(self.tasks)))
            ends: list[Callable[[], Awaitable[object]]] = [task.complete, task.cancel, lambda: task.fail("no")]
            await self.chance.choice(ends)()

    async def _request(self, agents: list[Agent]) -> None:
        await self.hub.approvals.request(self.chance.choice(agents), "deploy", arguments={"n": 1}, policy=ASKED)

    async def _answer(self, agents: list[Agent]) -> None:
        waiting = self.hub.approvals.pending()
        if waiting:
            chosen = self.chance.choice(waiting).approval_id
            await self.hub.approvals.answer(chosen, "bob", is_passed=self.chance.random() < 0.5)

    async def _turn(self, agents: list[Agent]) -> None:
        agent_id, turn_id = self.chance.choice(agents).id, f"turn {self.number}"
        await self.hub.emit(TurnStarted(agent_id=agent_id, turn_id=turn_id))
        self.open_turns.append((agent_id, turn_id))

    async def _call(self, agents: list[Agent]) -> None:
        agent_id, turn_id = self.chance.choice(self.open_turns or [(agents[0].id, "no turn")])
        about: dict[str, Any] = {
            "agent_id": agent_id,
            "turn_id": turn_id,
            "call_id": f"call {self.chance.randrange(3)}",
        }
        tool = {**about, "tool": "ls"}
        event: Event = self.chance.choice(
            [
                ToolCalled(**tool, arguments={"path": "/"}),
                ToolFailed(**tool, error_message="no"),
                ToolAbandoned(**tool, reason="gone"),
                ModelCalled(**about, model="m"),
                ModelCompleted(**about, model="m", input_tokens=5, output_tokens=2),
            ]
        )
        await self.hub.emit(event)

    async def _end_turn(self, agents: list[Agent]) -> None:
        if self.open_turns:
            agent_id, turn_id = self.open_turns.pop()
            kind = self.chance.choice([TurnEnded, TurnFailed])
            await self.hub.emit(kind(agent_id=agent_id, turn_id=turn_id))

    async def _wait(self, agents: list[Agent]) -> None:
        self.clock.advance(self.chance.choice([1, 25, 120]))


async def _soon(coming: Any) -> Any:
    """Return what comes without waiting for time; None if that does not."""
    import anyio

    with anyio.move_on_after(0.05):
        return await coming
    return None


ACTIONS: dict[str, Callable[[Life, list[Agent]], Coroutine[Any, Any, None]]] = {
    "unregister": Life._unregister,
    "open": Life._open,
    "move": Life._move,
    "close": Life._close,
    "post": Life._post,
    "post again": Life._post,
    "publish": Life._publish,
    "read": Life._read,
    "read again": Life._read,
    "redeliver": Life._redeliver,
    "start": Life._start,
    "end": Life._end,
    "request": Life._request,
    "answer": Life._answer,
    "turn": Life._turn,
    "call": Life._call,
    "call again": Life._call,
    "end turn": Life._end_turn,
    "wait": Life._wait,
}


def facts_of(hub: Hub) -> dict[str, Any]:
    """What the hub says there is."""
    state = peek(hub)
    return {
        "agents": {agent.id: agent.name for agent in hub.agents.list()},
        "inboxes": {agent.id: len(pending(hub, agent)) for agent in hub.agents.list()},
        "channels": {
            each.channel_id: (
                each.topic,
                set(each.participants),
                {"active": "open"}.get(each.state.value, each.state.value),
            )
            for each in state["channels"]
            if hasattr(each, "participants")
        },
        "tasks": {each.task_id: (each.owner_id, each.title) for each in hub.tasks.running()},
        "approvals": [(each.approval_id, each.agent_id, each.action) for each in hub.approvals.pending()],
        "open": {(each.family, each.id, each.agent_id, each.turn_id) for each in state["turns"]},
    }


def facts_on(board: Board) -> dict[str, Any]:
    """What a board says there is."""
    agents = [agent for agent in board.agents() if agent.is_registered]
    spans = [span for run in board.runs() for span in found(board.run(run.run_id)).spans]
    return {
        "agents": {agent.agent_id: agent.name for agent in agents},
        "inboxes": {agent.agent_id: agent.inbox for agent in agents},
        "channels": {
            each.channel_id: (each.topic, set(each.participants), each.state)
            for each in board.channels()
            if not each.ended_at
        },
        "tasks": {each.task_id: (each.owner_id, each.title) for each in board.tasks() if each.state == "running"},
        "approvals": [
            (each.approval_id, each.agent_id, each.action) for each in board.approvals() if each.state == "waiting"
        ],
        "open": {
            (each.family, each.span_id, each.agent_id, each.turn_id)
            for each in spans
            if each.outcome == "open" and each.family != "task"
        },
    }


def found(value: T | None) -> T:
    assert value is not None
    return value
