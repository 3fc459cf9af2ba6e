"""``hub.agents``, and an agent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Unpack

import attrs

from .._state.origin import Origin
from .core import Core, new_id
from .inboxes import Inbox

__all__ = ("Agent", "AgentCommands", "id_of")


class AgentCommands:
    """``hub.agents``: who takes part."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def register(self, name: str, *, capabilities: Iterable[str] = (), **origin: Unpack[Origin]) -> Agent:
        """Register an agent under a name that nobody has now; return it.

        Raises :class:`~hubwire.errors.CommandRejected` if the name is taken or empty.
        """
        agent_id = new_id()
        state = self._core.state
        await self._core.pipeline.execute(
            lambda: state.agents.register(name, capabilities, agent_id=agent_id, **origin)
        )
        return Agent(self._core, agent_id, name)

    def find(self, name: str) -> Agent | None:
        """Return the agent that has this name now; None if nobody has it."""
        entry = self._core.state.agents.find(name)
        return None if entry is None else Agent(self._core, entry.agent_id, entry.name)


@attrs.frozen(eq=False)
class Agent:
    """An agent, known by its ``id``."""

    _core: Core = attrs.field(repr=False)
    id: str
    name: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Agent) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def inbox(self) -> Inbox:
        """Return a reader of the agent's inbox: first what is pending, then what arrives."""
        self._core.state.agents.get(self.id)
        return Inbox(self._core, self.id)

    async def unregister(self) -> None:
        """Take the agent out: its name is free, and what is pending in its inbox is gone.

        Raises :class:`~hubwire.errors.NotFound` if it is not registered.
        """
        await self._core.pipeline.execute(lambda: self._core.state.agents.unregister(self.id))


def id_of(agent: Agent | str) -> str:
    """Return the id of an agent, given as itself or as its id."""
    return agent if isinstance(agent, str) else agent.id
