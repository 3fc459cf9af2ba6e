"""A hub as one agent has it: the same commands, given by that agent alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from ._actors.calls import turn_of
from ._actors.rules import SpawnSettings, name_of
from ._commands import (
    Agent,
    AgentCommands,
    ChannelCommands,
    TaskCommands,
    TimerCommands,
    TopicCommands,
    TurnCommands,
)
from ._face import EMIT, Face
from ._foreign.arguments import Call
from ._parts import Parts
from .context import current
from .events import Event

__all__ = ("ActingHub",)

E = TypeVar("E", bound=Event)

_SPAWN = Call("hub.spawn()")


class ActingHub(Face):
    """A hub as one agent has it: what is done through it, that agent does.

    It is what actors get, as ``turn.hub`` and in ``on_start``; :meth:`hubwire.Hub.acting_as` gives it to others. The
    commands are those of :class:`hubwire.Hub`, and take the same arguments. Where one names another agent as the one
    that acts, it raises :class:`~hubwire.errors.AccessDenied`, without effect, and ``command.denied`` reports it.
    So does what is found through it: the inbox of another agent is not read, nor is its rule set; it can be addressed,
    invited and observed. A channel is closed, and its participants are hidden and shown, by those that take part in it.

    It keeps honest code honest and gives the arbiter true names; it is no wall around hostile code in the same process.
    """

    def __init__(self, parts: Parts, agent_id: str) -> None:
        core = parts.core.as_one(agent_id)
        super().__init__(parts, core)
        self.agent: Agent = Agent(core, parts.state, agent_id, parts.state.agents.get(agent_id).name)
        """The agent that acts."""
        self.agents: AgentCommands = AgentCommands(core, parts.state)
        """As :attr:`hubwire.Hub.agents`. What is registered here, this agent has registered; it does not act as it."""
        self.channels: ChannelCommands = ChannelCommands(core, parts.state)
        """As :attr:`hubwire.Hub.channels`."""
        self.tasks: TaskCommands = parts.groups.tasks._through(core)  # noqa: SLF001 - it is no command
        """As :attr:`hubwire.Hub.tasks`; the owner is this agent."""
        self.turns: TurnCommands = parts.groups.turns._through(core)  # noqa: SLF001 - it is no command
        """As :attr:`hubwire.Hub.turns`; what is recorded is this agent's."""
        self.timers: TimerCommands = TimerCommands(core, parts.state.timers)
        """As :attr:`hubwire.Hub.timers`; a timer is this agent's, and ends with it."""
        self.topics: TopicCommands = TopicCommands(core, parts.state)
        """As :attr:`hubwire.Hub.topics`; this agent publishes, and subscriptions are its own."""

    def __repr__(self) -> str:
        return f"<the hub as agent {self.agent.name!r} has it>"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(
                f"the hub as one agent has it has no {name!r}: that is for the program's own code, which holds the hub"
            )

    def _own(self, event: E, call: Call = EMIT) -> E:
        self._parts.pipeline.ingress.check(event)
        self._core.acting.check_here()
        if (tenancy := self._core.acting.tenancy) is not None:
            tenancy.check_headers(event, call, has_agent=True)
        changes = self._of_turn(event)
        if event.agent_id is None:
            changes["agent_id"] = self.agent.id
        else:
            self._core.acting.check(event.agent_id, call, "the event's agent_id")
        own: Any = event
        return attrs.evolve(own, **changes) if changes else event

    def _of_turn(self, event: Event) -> dict[str, str]:
        """Return what the event does not say, nor the code around, of the agent's turn in which it is emitted."""
        turn = turn_of(self._parts.core)
        if turn is None or turn.agent_id != self.agent.id:
            return {}
        envelope, here = turn.envelope, current()
        told = {"turn_id": turn.turn_id, "causation_id": envelope.id, "session_id": envelope.session_id}
        return {
            name: value
            for name, value in told.items()
            if value and getattr(event, name) is None and getattr(here, name) is None
        }

    def _may_spawn(self, actor: Any, settings: SpawnSettings) -> SpawnSettings:
        if settings.name is None:  # the name of an actor is its code: it is read once
            settings = attrs.evolve(settings, name=name_of(actor))
        if (agent := self.agents.find(settings.name or "")) is not None:
            self._core.acting.check_registered(agent.id, _SPAWN)
        return settings
