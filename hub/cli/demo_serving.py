"""The end of the demo: its team goes on working beside a dashboard, until Ctrl-C."""

from __future__ import annotations

import itertools
import secrets
import signal
from contextlib import AsyncExitStack
from typing import Any

import anyio

from hubwire.listeners.audit import AuditLog

from .. import Agent, Channel, Hub
from ..approvals import ApprovalPolicy, ChallengeKind, RiskLevel
from ..errors import ConfigurationError, HubError
from ..events import (
    ModelCalled,
    ModelCompleted,
    ToolCalled,
    ToolCompleted,
    ToolFailed,
    TurnEnded,
    TurnStarted,
)
from ..ports import KnowledgeStore
from .output import complain, say
from .scenario import title_of

__all__ = ("serve_team",)

PORT = 8765
_STEP_SECONDS = 1.2
_AT_A_TIME = 2
_ASK_EVERY = 4
"""Of so many tickets, one wants to be deployed, and waits for a person."""
# Who tries this out says yes or no, and passes no quiz before.
_POLICY = ApprovalPolicy(timeout_seconds=300.0, challenges=dict.fromkeys(RiskLevel, ChallengeKind.CONFIRM))
_NAMES = ("planner", "coder", "tester", "reviewer")


async def serve_team(store: KnowledgeStore, *, port: int | None, step_seconds: float = _STEP_SECONDS) -> None:
    """Serve the dashboard of a hub on which four agents work on tickets, one after the other, until a signal."""
    try:
        from hubwire.listeners.dashboard import Dashboard
    except (ImportError, ConfigurationError) as error:
        complain(f"the dashboard is not shown: {error}")
        return
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(Hub(store, listeners=[AuditLog(store)]))
        address = await _served(stack, Dashboard(hub, show_content=True), port)
        say("")
        say("The team goes on. Look at it, and decide what waits for you:")
        say(address)  # on a line of its own, where a terminal of 80 columns does not break it
        say("Stop it with Ctrl-C.")
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with anyio.create_task_group() as tasks:
                team = _Team(hub, step_seconds)
                tasks.start_soon(team.work)
                async for _ in signals:
                    break
                tasks.cancel_scope.cancel()


async def _served(stack: AsyncExitStack, dashboard: Any, port: int | None) -> str:
    """Serve at the port that was named; if none was, at the usual one, or at a free one if that is taken."""
    if port is not None:
        return str(await stack.enter_async_context(dashboard.serve(port=port)))
    try:
        return str(await stack.enter_async_context(dashboard.serve(port=PORT)))
    except ConfigurationError:
        return str(await stack.enter_async_context(dashboard.serve(port=0)))


class _Team:
    """Four agents with tickets without an end."""

    def __init__(self, hub: Hub, step_seconds: float) -> None:
        self._hub = hub
        self._seconds = step_seconds
        self._agents: dict[str, Agent] = {}
        self._tickets = itertools.count(1)

    async def work(self) -> None:
        """Work until it is cancelled."""
        for name in _NAMES:
            self._agents[name] = self._hub.agents.find(name) or await self._hub.agents.register(name)
        async with anyio.create_task_group() as tasks:
            for agent in self._agents.values():
                tasks.start_soon(self._read, agent)
            for _ in range(_AT_A_TIME):
                tasks.start_soon(self._work_on_tickets)
                await anyio.sleep(self._seconds * 2)

    async def _read(self, agent: Agent) -> None:
        async for delivery in agent.inbox():
            await anyio.sleep(self._seconds)
            await delivery.ack()

    async def _work_on_tickets(self) -> None:
        while True:
            ticket = next(self._tickets)
            channel = await self._hub.channels.open(list(self._agents.values()), topic=f"#{ticket} {title_of(ticket)}")
            await self._say(channel, "planner", "coder", f"please look: {title_of(ticket)}")
            await self._turn(channel, "coder", ticket, "edit", {"file": f"src/part_{ticket}.py"}, "saved")
            await self._say(channel, "coder", "tester", "the patch is ready, please test it")
            await self._turn(channel, "tester", ticket, "pytest", {"path": "tests"}, "42 passed", fails=ticket % 3 == 0)
            await self._say(channel, "tester", "reviewer", "all green")
            await self._turn(channel, "reviewer", ticket, "diff", {"ticket": ticket}, {"files": 1, "added": 12})
            if ticket % _ASK_EVERY == 0:
                await self._deploy(channel, ticket)
            await self._say(channel, "reviewer", "planner", "looks good to me")
            await channel.close("solved")

    async def _say(self, channel: Channel, sender: str, to: str, text: str) -> None:
        await channel.post(self._agents[sender], {"text": text}, to=[self._agents[to]])
        await anyio.sleep(self._seconds)

    async def _turn(
        self, channel: Channel, name: str, ticket: int, tool: str, arguments: Any, result: Any, *, fails: bool = False
    ) -> None:
        """Emit what a turn is made of: a call of a model, and of a tool, that fails at first perhaps."""
        about: dict[str, Any] = {
            "agent_id": self._agents[name].id,
            "channel_id": channel.id,
            "turn_id": secrets.token_hex(8),
            "correlation_id": channel.id,  # the turns for a ticket are one run
        }
        emit = self._hub.emit
        await emit(TurnStarted(prompt=f"ticket #{ticket}: {title_of(ticket)}", **about))
        for attempt in range(2 if fails else 1):
            call: dict[str, Any] = {"model": "demo-1", "call_id": secrets.token_hex(8)}
            await emit(ModelCalled(request={"text": f"What is next for ticket #{ticket}?"}, **call, **about))
            await anyio.sleep(self._seconds)
            taken: dict[str, Any] = {"input_tokens": 800 + ticket % 7 * 130, "output_tokens": 60}
            taken["duration_ms"] = self._seconds * 1000
            await emit(ModelCompleted(response={"text": f"I call {tool}."}, **taken, **call, **about))
            used: dict[str, Any] = {"tool": tool, "call_id": secrets.token_hex(8)}
            await emit(ToolCalled(arguments=arguments, **used, **about))
            await anyio.sleep(self._seconds)
            if fails and not attempt:
                await emit(ToolFailed(error_type="TestsFailed", error_message="1 failed, 41 passed", **used, **about))
            else:
                await emit(ToolCompleted(result=result, **used, **about))
        await emit(TurnEnded(content="done", tool_calls=2 if fails else 1, **about))

    async def _deploy(self, channel: Channel, ticket: int) -> None:
        """Ask a person; what is denied, or not answered in time, is not done."""
        coder = self._agents["coder"]
        try:
            await self._hub.approvals.gate(coder, "deploy", arguments={"ticket": ticket}, policy=_POLICY)
        except HubError as error:
            await self._say(channel, "coder", "planner", f"not deployed: {error}")
        else:
            await self._say(channel, "coder", "planner", "deployed")
