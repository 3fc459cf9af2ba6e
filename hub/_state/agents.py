"""Who takes part: ``(absent) -- registered --> (present) -- unregistered --> (absent)``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Unpack

import attrs

from ..errors import CommandRejected, NotFound
from ..events import AgentRegistered, AgentUnregistered, Event, canonical
from .origin import Origin

__all__ = ("AgentEntry", "Agents")


@attrs.frozen
class AgentEntry:
    """What the hub knows of an agent."""

    agent_id: str
    name: str
    capabilities: tuple[str, ...]


class Agents:
    """The registry of agents."""

    entry_types: ClassVar[tuple[type, ...]] = (AgentEntry,)

    def __init__(self) -> None:
        self._by_id: dict[str, AgentEntry] = {}
        self._id_by_name: dict[str, str] = {}

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        return {AgentRegistered: self._registered, AgentUnregistered: self._unregistered}

    def snapshot(self) -> list[AgentEntry]:
        return list(self._by_id.values())

    def restore(self, entries: Sequence[AgentEntry]) -> None:
        self._by_id = {entry.agent_id: entry for entry in entries}
        self._id_by_name = {entry.name: entry.agent_id for entry in entries}

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, agent_id: str) -> AgentEntry:
        try:
            return self._by_id[agent_id]
        except KeyError:
            raise NotFound(f"no agent {agent_id!r} is registered; register it, or look it up by name") from None

    def find(self, name: str) -> AgentEntry | None:
        agent_id = self._id_by_name.get(name)
        return None if agent_id is None else self._by_id[agent_id]

    def __contains__(self, agent_id: str) -> bool:
        return agent_id in self._by_id

    def register(
        self, name: str, capabilities: Iterable[str], *, agent_id: str, **origin: Unpack[Origin]
    ) -> list[Event]:
        # What stamping would replace, because UTF-8 cannot hold it, would not be found by its name.
        if not isinstance(name, str) or not name.strip() or canonical(name) != name:
            raise CommandRejected(f"an agent's name must be text that shows, not {name!r}")
        if isinstance(capabilities, str):
            raise CommandRejected(f"capabilities are a list of names, not one text: write [{capabilities!r}]")
        capabilities = tuple(capabilities)
        if wrong := [each for each in capabilities if not isinstance(each, str)]:
            raise CommandRejected(f"capabilities are names, which {wrong[0]!r} is not")
        if name in self._id_by_name:
            raise CommandRejected(f"an agent named {name!r} is registered already, as {self._id_by_name[name]}")
        return [AgentRegistered(agent_id=agent_id, name=name, capabilities=capabilities, **origin)]

    def unregister(self, agent_id: str) -> list[Event]:
        return [AgentUnregistered(agent_id=agent_id, name=self.get(agent_id).name)]

    def _registered(self, event: AgentRegistered) -> None:
        assert event.agent_id is not None
        self._by_id[event.agent_id] = AgentEntry(event.agent_id, event.name, event.capabilities)
        self._id_by_name[event.name] = event.agent_id

    def _unregistered(self, event: AgentUnregistered) -> None:
        assert event.agent_id is not None
        del self._by_id[event.agent_id], self._id_by_name[event.name]
