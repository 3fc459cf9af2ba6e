"""Which agent gives commands: any, by the program's own code, or, on the face of a hub that an agent has, that one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from .._foreign.arguments import Call
from .._state import State
from .._state.agents import Agents, AgentsOf
from ..errors import AccessDenied
from ..events._shown import shown
from .denials import Denials

if TYPE_CHECKING:
    from .tenancy import Tenancy  # imported with the first tenant

__all__ = ("Acting",)


@attrs.frozen(eq=False, repr=False)
class Acting:
    """Which agents arguments mean, and as which of them the caller may act: as any, or as one."""

    agents: Agents | AgentsOf
    """Those that there are for the caller."""
    _state: State
    _denials: Denials
    agent_id: str | None = None
    """The one agent; None for the program's own code, which may act as any."""
    _coming: Mapping[str, str] = {}
    """By name, the ids of agents that the command registers first."""
    tenancy: Tenancy | None = None
    """What there is for the caller besides agents; None for all that there is."""

    @property
    def others(self) -> tuple[str, ...]:
        """The id of the one agent, as one of those that a command concerns; none for the program's own code."""
        return () if self.agent_id is None else (self.agent_id,)

    def as_one(self, agent_id: str) -> Acting:
        """Return the same for one registered agent. Raises :class:`~hubwire.errors.NotFound` if it is not there."""
        entry = self.agents.get(agent_id)
        face = self if entry.tenant is None or self.tenancy is not None else self.as_tenant(entry.tenant)
        return attrs.evolve(face, agent_id=entry.agent_id, coming={})

    def as_tenant(self, tenant: str) -> Acting:
        """Return the same for the program's own code, as far as it works for one tenant."""
        from .tenancy import Tenancy  # noqa: PLC0415 - most hubs have no tenants

        tenancy = Tenancy(self._state, tenant)
        return attrs.evolve(self, agents=tenancy.agents, tenancy=tenancy)

    def expecting(self, ids: Mapping[str, str]) -> Acting:
        """Return the same for a command that registers agents first, which will have these ids, by their names."""
        return attrs.evolve(self, coming=ids)

    def id_of(self, given: str) -> str:
        """Return the id that is given as itself, or as the name of an agent; what is neither is returned unchanged.

        No name is an id, so it is clear which is meant. The state machine refuses what is neither; for a tenant it is
        refused here, as what is another tenant's.
        """
        if given in self.agents:
            return given
        entry = self.agents.find(given)
        if entry is not None:
            return entry.agent_id
        if given in self._coming:
            return self._coming[given]
        if self.tenancy is not None:
            raise self.agents.no_such_name(given)
        return given

    def check_channel(self, channel_id: str | None) -> None:
        """Raise :class:`~hubwire.errors.NotFound` for a channel that there is not for the caller's tenant."""
        if self.tenancy is not None:
            self.tenancy.check_channel(channel_id)

    def check_task(self, task_id: str | None) -> None:
        if self.tenancy is not None:
            self.tenancy.check_task(task_id)

    def check_approval(self, approval_id: str) -> None:
        if self.tenancy is not None:
            self.tenancy.check_approval(approval_id)

    def sees(self, agent_id: str | None) -> bool:
        """Return whether the caller is shown what belongs to this agent, or to none."""
        return self.tenancy is None or self.tenancy.has_agent(agent_id)

    @property
    def tenant(self) -> str | None:
        """The one tenant for which the caller works; None for all."""
        return None if self.tenancy is None else self.tenancy.tenant

    def check_here(self) -> None:
        """Raise :class:`~hubwire.errors.NotFound` if the one agent has left the hub."""
        if self.agent_id is not None:
            self.agents.get(self.agent_id)

    def may_act_as(self, agent_id: str) -> bool:
        """Tell whether the caller may act as this agent."""
        return self.agent_id is None or self.agent_id == agent_id

    def check(self, agent_id: str, call: Call, argument: str = "agent") -> None:
        """Raise :class:`~hubwire.errors.AccessDenied` unless the caller may act as this agent, and report it."""
        if not self.may_act_as(agent_id):
            raise self.refusal(call, f"{argument} is {self.label(agent_id)}; name the agent that acts")

    def check_registered(self, agent_id: str, call: Call) -> None:
        """Raise unless the caller may act as this agent, or is the one that has registered it."""
        if not self.may_act_as(agent_id) and self.agents.get(agent_id).registered_by != self.agent_id:
            raise self.refusal(call, f"{self.label(agent_id)} was not registered by it")

    def check_one_of(self, agent_ids: tuple[str, ...], call: Call, channel_id: str) -> None:
        """Raise unless the caller may act as one of those who take part in a channel."""
        if self.agent_id is not None and self.agent_id not in agent_ids:
            raise self.refusal(call, f"it takes no part in channel {channel_id}; let it join first")

    def check_approver(self, approver: object, call: Call) -> None:
        """Raise unless the caller may answer in this approver's name: an agent answers in its own."""
        if self.agent_id is None:
            return
        if type(approver) is not str or approver not in (self.agent_id, self.agents.get(self.agent_id).name):
            raise self.refusal(call, f"approver is {shown(approver)}; an agent answers in its own name")

    def refusal(self, call: Call, reason: str) -> AccessDenied:
        """Return the error for what an agent may not do through its hub; ``command.denied`` reports it."""
        assert self.agent_id is not None
        entry = self.agents.known(self.agent_id)
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
        return self.agents.label(agent_id) if name is None else f"agent {shown(name)}"
