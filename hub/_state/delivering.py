"""Into inboxes: what posting one envelope does to them, and what becomes of it where one is full."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import attrs

from ..errors import InboxFull
from ..events import EnvelopeDispatchFailed, EnvelopeDropped, EnvelopePosted, Event, InboxPressured
from .agents import Agents
from .drafts import Rooms
from .profiles import InboxOverflow, InboxRule

__all__ = ("Delivering", "InboxesBlock", "all_get_in")


_SHARED = ("causation_id", "source", "source_id", "occurred_at")
"""What the events that follow from a post have from it; the rest of their context is that of its command."""


class InboxesBlock(Exception):
    """A post has to wait: the inboxes of ``agent_ids`` are full, and their rule says so."""

    def __init__(self, agent_ids: tuple[str, ...]) -> None:
        super().__init__(agent_ids)
        self.agent_ids: tuple[str, ...] = agent_ids


def all_get_in(agents: Agents, agent_ids: Iterable[str], rooms: Rooms) -> bool:
    """Tell whether there is room in all these inboxes, and nothing else follows: as nearly always."""
    for agent_id in agent_ids:
        if (agent := agents.known(agent_id)) is None:
            return False
        rule, count = agent.inbox_rule, rooms.count(agent_id) + 1
        if count > rule.capacity or count >= rule.pressure_at:
            return False
    return True


class Delivering:
    """What posting one envelope does to inboxes."""

    def __init__(self, channel_id: str | None, sender_id: str | None, envelope_id: str, priority: str) -> None:
        self._about: dict[str, Any] = {"channel_id": channel_id}
        self._sender_id = sender_id
        self._envelope_id = envelope_id
        self._priority = priority
        self.recipients: list[str] = []
        self.full: list[str] = []
        self.blocking: list[str] = []
        """Those of the full ones that senders wait for."""
        self.dropped: bool = False
        self._effects: list[Event] = []

    def events(self, posted: EnvelopePosted, ending: Collection[Event] = ()) -> list[Event]:
        """Return the post, then what it does to inboxes, then the end of its channel: of one cause, and one origin.

        The post comes first: after a crash in between, an inbox holds one envelope too many, and has lost none.
        """
        if not self._effects and not ending:
            return [posted]
        given = {name: value for name in _SHARED if (value := getattr(posted, name)) is not None}
        effects: list[Any] = [*self._effects, *ending]
        return [posted, *([attrs.evolve(each, **given) for each in effects] if given else effects)]

    def to_each(self, agents: Agents, agent_ids: Iterable[str], unreachable: Mapping[str, str], rooms: Rooms) -> None:
        """Put the envelope into inboxes, but those of the keys of ``unreachable``, for its reasons.

        Raises :class:`InboxesBlock` if it has to wait, and :class:`~hubwire.errors.InboxFull` if it reached none.
        """
        for agent_id in agent_ids:
            if agent_id in unreachable:
                self.fail(agent_id, unreachable[agent_id], "AccessDenied")
            elif (agent := agents.known(agent_id)) is None:
                self.fail(agent_id, f"agent {agent_id} has left the hub", "NotFound")
            else:
                self.to(agent_id, agent.inbox_rule, rooms)
        if self.blocking:
            raise InboxesBlock(tuple(self.blocking))
        if self.full and not self.recipients and not self.dropped:
            raise InboxFull(
                f"the inbox of {agents.listed(self.full)} is full, and the envelope has no other recipient;"
                " let it ack what it has read, or give it a larger inbox",
                agent_ids=tuple(self.full),
            )

    def to(self, agent_id: str, rule: InboxRule, inboxes: Rooms) -> None:
        """Put the envelope into an inbox, or decide what happens because that is full."""
        pending = inboxes.count(agent_id)
        if pending < rule.capacity:
            self.recipients.append(agent_id)
            if pending < rule.pressure_at <= pending + 1:
                self._effects.append(InboxPressured(agent_id=agent_id, pending=pending + 1, cap=rule.capacity))
        elif rule.overflow is InboxOverflow.REJECT or rule.overflow is InboxOverflow.BLOCK:
            self.full.append(agent_id)
            if rule.overflow is InboxOverflow.BLOCK:
                self.blocking.append(agent_id)
            self.fail(agent_id, f"its inbox is full: {pending} of {rule.capacity} envelopes wait in it", "InboxFull")
        else:
            self._drop(agent_id, rule, inboxes)

    def fail(self, agent_id: str, reason: str, error: str) -> None:
        """Report that the envelope does not reach an agent; ``error`` is the name of an error's class."""
        self._effects.append(
            EnvelopeDispatchFailed(
                **self._about,
                agent_id=self._sender_id,
                envelope_id=self._envelope_id,
                recipient_id=agent_id,
                reason=reason,
                error=error,
            )
        )

    def _drop(self, agent_id: str, rule: InboxRule, inboxes: Rooms) -> None:
        reason = rule.overflow.value
        # An inbox whose capacity was lowered comes down to it step by step: two go for each that comes.
        count = min(2, inboxes.count(agent_id) - rule.capacity + 1)
        is_oldest = rule.overflow is InboxOverflow.DROP_OLDEST
        oldest = inboxes.oldest(agent_id, self._priority, count) if is_oldest else []
        for envelope in oldest:
            self._effects.append(
                EnvelopeDropped(
                    channel_id=envelope.channel_id, agent_id=agent_id, envelope_id=envelope.envelope_id, reason=reason
                )
            )
        if oldest:
            self.recipients.append(agent_id)
        else:
            self.dropped = True
            self._effects.append(
                EnvelopeDropped(**self._about, agent_id=agent_id, envelope_id=self._envelope_id, reason=reason)
            )
