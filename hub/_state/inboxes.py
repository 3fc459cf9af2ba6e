"""What agents have still to read: an envelope is pending from ``posted`` to ``acked``, for each recipient by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import attrs

from ..errors import NotFound
from ..events import AgentRegistered, AgentUnregistered, EnvelopeAcked, EnvelopePosted, Event

__all__ = ("InboxEntry", "Inboxes")


@attrs.frozen
class InboxEntry:
    """What an agent has still to read."""

    agent_id: str
    pending: tuple[EnvelopePosted, ...]


class Inboxes:
    """An inbox per registered agent, in the order of posting."""

    entry_types: ClassVar[tuple[type, ...]] = (InboxEntry,)

    def __init__(self) -> None:
        self._pending: dict[str, dict[str, EnvelopePosted]] = {}

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        return {
            AgentRegistered: self._registered,
            AgentUnregistered: self._unregistered,
            EnvelopePosted: self._posted,
            EnvelopeAcked: self._acked,
        }

    def snapshot(self) -> list[InboxEntry]:
        return [InboxEntry(agent_id, tuple(pending.values())) for agent_id, pending in self._pending.items()]

    def restore(self, entries: Sequence[InboxEntry]) -> None:
        self._pending = {
            entry.agent_id: {envelope.envelope_id: envelope for envelope in entry.pending} for entry in entries
        }

    def pending(self, agent_id: str) -> Iterable[EnvelopePosted]:
        """Return the envelopes that the agent has not acked, oldest first."""
        return tuple(self._pending.get(agent_id, {}).values())

    def is_pending(self, agent_id: str, envelope_id: str) -> bool:
        return envelope_id in self._pending.get(agent_id, ())

    def pending_total(self) -> int:
        return sum(map(len, self._pending.values()))

    def ack(self, agent_id: str, envelope_id: str) -> list[Event]:
        envelope = self._pending.get(agent_id, {}).get(envelope_id)
        if envelope is None:
            raise NotFound(
                f"envelope {envelope_id} is not in the inbox of agent {agent_id}: it was acked, or never there"
            )
        return [EnvelopeAcked(agent_id=agent_id, channel_id=envelope.channel_id, envelope_id=envelope_id)]

    def _registered(self, event: AgentRegistered) -> None:
        assert event.agent_id is not None
        self._pending[event.agent_id] = {}

    def _unregistered(self, event: AgentUnregistered) -> None:
        assert event.agent_id is not None
        del self._pending[event.agent_id]

    def _posted(self, event: EnvelopePosted) -> None:
        for agent_id in event.recipients:
            self._pending[agent_id][event.envelope_id] = event

    def _acked(self, event: EnvelopeAcked) -> None:
        assert event.agent_id is not None
        del self._pending[event.agent_id][event.envelope_id]
