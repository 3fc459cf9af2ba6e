"""The objects of a hub whose methods are commands: made of what a link carries, and found by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .._commands import (
    Agent,
    AgentCommands,
    Channel,
    ChannelCommands,
    Core,
    Delivery,
    Task,
    TimerCommands,
    TopicCommands,
)
from .._commands.agents import actor_of
from .._commands.timers import Timer
from .._foreign.arguments import Call
from .._parts import Parts
from ..events import EnvelopePosted, Event
from .values import Unreadable

__all__ = ("Objects",)

_ASK = Call("hub.ask()")


class Objects:
    """Those of one hub, as one of its cores has them."""

    def __init__(self, parts: Parts, core: Core, faced: Callable[[Any], Any] = lambda value: value) -> None:
        self._parts = parts
        self._core = core
        self._faced = faced

    def handle(self, kind: str, fields: Mapping[str, str]) -> Any:
        core, parts, thing_id = self._core, self._parts, fields["id"]
        made: Any
        if kind == "Agent":
            made = Agent(core, parts.state, thing_id, fields["name"])
        elif kind == "Channel":
            made = Channel(core, parts.state, thing_id)
        elif kind == "Task":
            tasks = parts.groups.tasks
            made = Task(core, parts.state.tasks, tasks._outcomes, thing_id, fields["agent_id"])  # noqa: SLF001
        else:
            made = Timer(core, parts.state.timers, thing_id)
        return self._faced(made)

    def delivery(self, agent_id: str, event: Event, attempt: int) -> Any:
        if not isinstance(event, EnvelopePosted):
            raise Unreadable("a delivery is that of an envelope")
        return self._faced(Delivery(self._core, self._parts.state, agent_id, event, attempt))

    def group(self, name: str) -> Any:
        """Return the group of commands of this name."""
        core, parts = self._core, self._parts
        state, groups = parts.state, parts.groups
        if name == "hub":
            return _Hub(parts, core)
        makers: Mapping[str, Callable[[], Any]] = {
            "agents": lambda: AgentCommands(core, state),
            "channels": lambda: ChannelCommands(core, state),
            "inboxes": lambda: groups.inboxes._through(core),  # noqa: SLF001 - it is no command
            "tasks": lambda: groups.tasks._through(core),  # noqa: SLF001
            "timers": lambda: TimerCommands(core, state.timers),
            "topics": lambda: TopicCommands(core, state),
            "approvals": lambda: parts.approvals.made()._through(core),  # noqa: SLF001
            "dead_letters": lambda: parts.dead_letters.made()._through(core),  # noqa: SLF001
        }
        return makers[name]()


class _Hub:
    """The commands of the hub itself."""

    def __init__(self, parts: Parts, core: Core) -> None:
        self._parts = parts
        self._core = core
        self._pipeline = core._pipeline  # noqa: SLF001 - it is the one that marks

    async def emit(self, event: Event) -> Event:
        self._pipeline.ingress.check(event)
        if self._core.emitting.is_needed:
            event = await self._core.emitting.allowed(event)
        return (await self._pipeline.emit((event,)))[0]

    async def emit_many(self, events: Any) -> list[Event]:
        from .._commands.batches import Batches  # noqa: PLC0415 - few programs emit batches

        batches = Batches(self._pipeline, self._core.emitting, self._parts.limits.event_bytes_max)
        return await batches.emit_many(events, self._own)

    def _own(self, event: Event, _: Call) -> Event:
        self._pipeline.ingress.check(event)
        return event

    async def ask(
        self, asker: Any, answerer: Any, content: Any, *, timeout: Any = 60.0, channel: Any = None, linked: Any = True
    ) -> EnvelopePosted:
        asks = self._parts.asks.through(self._core)
        acting = self._core.acting
        if acting.agent_id is None and acting.tenancy is None:
            return await asks.ask(asker, answerer, content, timeout=timeout, channel=channel, is_linked=linked)
        asker_id = actor_of(self._core, asker, _ASK, "asker")
        return await asks.ask(
            asker_id, answerer, content, timeout=timeout, channel=channel, is_linked=linked, face=self._core
        )
