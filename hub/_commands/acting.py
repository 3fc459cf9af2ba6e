"""Which agent gives commands: any, by the program's own code, or, on the face of a hub that an agent has, that one."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from .._foreign.arguments import Call
from .._state.agents import Agents
from ..errors import AccessDenied
from ..events._shown import shown
from .denials import Denials

__all__ = ("Acting",)


@attrs.frozen(eq=False, repr=False)
class Acting:
    """Which agents arguments mean, and as which of them the caller may act: as any, or as one."""

    _agents: Agents
    _denials: Denials
    agent_id: str | None = None
    """The one agent; None for the program's own code, which may act as any."""
    _coming: Mapping[str, str] = {}
    """By name, the ids of agents that the command registers first."""

    @property
    def others(self) -> tuple[str, ...]:
        """The id of the one agent, as one of those that a command concerns; none for the program's own code."""
        return () if self.agent_id is None else (self.agent_id,)

    def as_one(self, agent_id: str) -> Acting:
        """Return the same for one registered agent. Raises :class:`~hubwire.errors.NotFound` if it is not there."""
        return Acting(self._agents, self._denials, self._agents.get(agent_id).agent_id)

    def expecting(self, ids: Mapping[str, str]) -> Acting:
        """Return the same for a command that registers agents first, which will have these ids, by their names."""
        return attrs.evolve(self, coming=ids)

    def id_of(self, given: str) -> str:
        """Return the id that is given as itself, or as the name of an agent; what is neither is returned unchanged.

        No name is an id, so it is clear which is meant. The state machine refuses what is neither.
        """
        if given in self._agents:
            return given
        entry = self._agents.find(given)
        return self._coming.get(given, given) if entry is None else entry.agent_id

    def check_here(self) -> None:
        """Raise :class:`~hubwire.errors.NotFound` if the one agent has left the hub."""
        if self.agent_id is not None:
            self._agents.get(self.agent_id)

    def may_act_as(self, agent_id: str) -> bool:
        """Tell whether the caller may act as this agent."""
        return self.agent_id is None or self.agent_id == agent_id

    def check(self, agent_id: str, call: Call, argument: str = "agent") -> None:
        """Raise :class:`~hubwire.errors.AccessDenied` unless the caller may act as this agent, and report it."""
        if not self.may_act_as(agent_id):
            raise self.refusal(call, f"{argument} is {self.label(agent_id)}; name the agent that acts")

    def check_registered(self, agent_id: str, call: Call) -> None:
        """Raise unless the caller may act as this agent, or is the one that has registered it."""
        if not self.may_act_as(agent_id) and self._agents.get(agent_id).registered_by != self.agent_id:
            raise self.refusal(call, f"{self.label(agent_id)} was not registered by it")

    def check_one_of(self, agent_ids: tuple[str, ...], call: Call, channel_id: str) -> None:
        """Raise unless the caller may act as one of those who take part in a channel."""
        if self.agent_id is not None and self.agent_id not in agent_ids:
            raise self.refusal(call, f"it takes no part in channel {channel_id}; let it join first")

    def check_approver(self, approver: object, call: Call) -> None:
        """Raise unless the caller may answer in this approver's name: an agent answers in its own."""
        if self.agent_id is None:
            return
        if type(approver) is not str or approver not in (self.agent_id, self._agents.get(self.agent_id).name):
            raise self.refusal(call, f"approver is {shown(approver)}; an agent answers in its own name")

    def refusal(self, call: Call, reason: str) -> AccessDenied:
        """Return the error for what an agent may not do through its hub; ``command.denied`` reports it."""
        assert self.agent_id is not None
        entry = self._agents.known(self.agent_id)
        name = self.agent_id if entry is None else entry.name
        self._denials.note(self.agent_id, name, call.name, reason)
        return AccessDenied(
            f"{call.name}: this is the hub as agent {shown(name)} has it, and {reason}. The hub itself, which the"
            " program holds, acts as any agent",
            command=call.name,
        )

    def label(self, agent_id: str) -> str:
        """Return an agent as messages name it."""
        name = next((name for name, each in self._coming.items() if each == agent_id), None)
        return self._agents.label(agent_id) if name is None else f"agent {shown(name)}"
