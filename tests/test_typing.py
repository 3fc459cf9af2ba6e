"""What type checkers see in a user's code. Mypy checks this file with --strict; the tests run it."""

from __future__ import annotations

from concurrent.futures import Future
from typing import assert_type

from hubwire import (
    ActingHub,
    Agent,
    AgentCommands,
    ApprovalCommands,
    BaseActor,
    BaseHubListener,
    ChannelCommands,
    GenericEvent,
    Hub,
    TaskCommands,
    Turn,
    TurnCommands,
)
from hubwire.events import ToolCalled


class Worker(BaseActor):
    async def on_start(self, hub: ActingHub, agent: Agent) -> None:
        self.found = hub.agents.find(agent.name)

    async def on_envelope(self, turn: Turn) -> None:
        assert_type(turn.hub, ActingHub)


class OnlyTools(BaseHubListener):
    pattern = "tool.called"

    def __init__(self) -> None:
        self.tools: list[str] = []

    async def on_event(self, event: ToolCalled) -> None:
        self.tools.append(event.tool)


async def test_emit_returns_the_class_it_was_given() -> None:
    listener = OnlyTools()
    async with Hub(listeners=[listener]) as hub:
        called = assert_type(await hub.emit(ToolCalled(tool="grep", call_id="1")), ToolCalled)
        assert type(called).kind == "tool.called"
        generic = assert_type(hub.emit_nowait(GenericEvent(kind="user.login", data={})), GenericEvent)
        assert generic.kind == "user.login"
        future = assert_type(hub.emit_threadsafe(ToolCalled(tool="ls", call_id="2")), Future[ToolCalled])
        await hub.flush()
        assert future.cancel() or future.done()
        assert listener.tools[0] == "grep"


async def test_the_groups_of_commands_are_typed_properties() -> None:
    async with Hub() as hub:
        assert_type(hub.agents, AgentCommands)
        assert_type(hub.channels, ChannelCommands)
        assert_type(hub.tasks, TaskCommands)
        assert_type(hub.turns, TurnCommands)
        assert_type(hub.approvals, ApprovalCommands)
        groups = ("agents", "channels", "tasks", "turns", "approvals")
        assert [name for name in groups if not (getattr(Hub, name).__doc__ or "").strip()] == []
        handle = await hub.spawn(Worker())
        assert handle.agent.name == "Worker"
