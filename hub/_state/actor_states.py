"""What actors keep between turns: ``(none) -- set --> kept [-- set --> kept] -- cleared | left --> (none)``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import attrs

from .._values import Value
from ..errors import CommandRejected
from ..events import ActorStateSet, AgentUnregistered, Event
from .agents import Agents

__all__ = ("STATES_BYTES_MAX", "STATE_BYTES_MAX", "ActorState", "ActorStates")

STATE_BYTES_MAX = 64 * 1024
"""Of one actor, as JSON."""
STATES_BYTES_MAX = 64 * 1024 * 1024
"""Of all actors: they are in each snapshot."""


@attrs.frozen(eq=False, repr=False)
class ActorState(Value):
    """What the actor of an agent keeps."""

    agent_id: str
    value: Any
    """JSON, frozen."""
    envelope_id: str
    """The envelope whose turn has set it."""
    seq: int
    """Of the event that has set it."""
    size_bytes: int


class ActorStates:
    """The states of actors, by agent."""

    entry_types: ClassVar[tuple[type, ...]] = (ActorState,)

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self._states: dict[str, ActorState] = {}
        self._bytes = 0

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        return {ActorStateSet: self._set, AgentUnregistered: lambda event: self._remove(event.agent_id)}

    def snapshot(self) -> Sequence[ActorState]:
        return tuple(self._states.values())

    def restore(self, entries: Sequence[ActorState]) -> None:
        for entry in entries:
            self._add(entry)

    def __len__(self) -> int:
        return len(self._states)

    def find(self, agent_id: str) -> ActorState | None:
        """Return what the actor of an agent keeps; None if it keeps no state."""
        return self._states.get(agent_id)

    def set(self, agent_id: str, envelope_id: str, value: Any, seen_seq: int) -> list[Event]:
        """Keep another state; ``value`` is frozen, None for none.

        ``seen_seq`` is the ``seq`` of the state that the turn has seen, -1 if there was none.
        """
        self._agents.get(agent_id)
        present = self._states.get(agent_id)
        if (-1 if present is None else present.seq) != seen_seq:
            raise CommandRejected(
                f"another turn of {self._agents.label(agent_id)} has changed the actor's state since this turn looked"
                " at it; the envelope comes again; with concurrency=1 this does not happen"
            )
        size = 0 if value is None else len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
        if size > STATE_BYTES_MAX:
            raise CommandRejected(
                f"the state of an actor has {size} bytes as JSON, and {STATE_BYTES_MAX} are allowed; store what is"
                " large elsewhere, and keep a reference"
            )
        total = self._bytes + size - (0 if present is None else present.size_bytes)
        if total > STATES_BYTES_MAX and total > self._bytes:
            raise CommandRejected(
                f"the states of all actors would have {total} bytes as JSON, and {STATES_BYTES_MAX} are allowed;"
                " unregister agents that are done, or keep less"
            )
        return [ActorStateSet(agent_id=agent_id, envelope_id=envelope_id, state=value, size_bytes=size)]

    # -- applying --

    def _set(self, event: ActorStateSet) -> None:
        assert event.agent_id is not None
        self._remove(event.agent_id)
        if event.state is not None:
            self._add(ActorState(event.agent_id, event.state, event.envelope_id, event.seq, event.size_bytes))

    def _add(self, entry: ActorState) -> None:
        self._states[entry.agent_id] = entry
        self._bytes += entry.size_bytes

    def _remove(self, agent_id: str | None) -> None:
        if (entry := self._states.pop(agent_id or "", None)) is not None:
            self._bytes -= entry.size_bytes
