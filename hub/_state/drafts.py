"""Several posts decided in one command: each sees what those before it will have done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import attrs

from ..errors import PostRejected
from ..events import EnvelopeDropped, EnvelopePosted, Event
from .channels import ChannelEntry
from .inboxes import PRIORITIES

__all__ = ("Draft", "Rooms")


class Rooms(Protocol):
    """How full inboxes are."""

    def count(self, agent_id: str) -> int:
        """Return how many envelopes wait in an inbox."""

    def oldest(self, agent_id: str, priority: str, count: int) -> list[EnvelopePosted]:
        """Return up to ``count`` envelopes that may be dropped for one of this priority."""


class Draft:
    """The posts that one command has decided on so far, and what channels and inboxes are like after them."""

    def __init__(self, rooms: Rooms) -> None:
        self.gone: set[str] = set()
        """The channels that these posts end."""
        self._rooms = rooms
        self._states: dict[str, Any] = {}
        self._arrived: dict[str, dict[str, EnvelopePosted]] = {}
        self._dropped: dict[str, set[str]] = {}

    def after(self, channel: ChannelEntry) -> ChannelEntry:
        """Return what a channel is like after these posts. Raises :class:`PostRejected` if one of them ends it."""
        channel_id = channel.channel_id
        if channel_id in self.gone:
            raise PostRejected(
                f"channel {channel_id} is ended by an earlier post of the same command; post before that one",
                code="not_active",
            )
        if channel_id in self._states:
            return attrs.evolve(channel, channel_state=self._states[channel_id])
        return channel

    def add(self, events: Sequence[Event]) -> None:
        """Take the events of one more post."""
        for event in events:
            if isinstance(event, EnvelopePosted):
                if event.channel_state is not None and event.channel_id is not None:
                    self._states[event.channel_id] = event.channel_state
                for agent_id in event.recipients:
                    self._arrived.setdefault(agent_id, {})[event.envelope_id] = event
            elif isinstance(event, EnvelopeDropped) and event.agent_id is not None:
                self._drop(event.agent_id, event.envelope_id, [e for e in events if isinstance(e, EnvelopePosted)])

    def has_dropped(self, agent_id: str, envelope_id: str) -> bool:
        """Tell whether an envelope that was in an inbox before has to make room for these posts."""
        return envelope_id in self._dropped.get(agent_id, ())

    def _drop(self, agent_id: str, envelope_id: str, posted: Sequence[EnvelopePosted]) -> None:
        if any(each.envelope_id == envelope_id for each in posted):
            return  # it found no room, and was never there
        if self._arrived.get(agent_id, {}).pop(envelope_id, None) is None:
            self._dropped.setdefault(agent_id, set()).add(envelope_id)

    # -- as Rooms --

    def count(self, agent_id: str) -> int:
        arrived, dropped = self._arrived.get(agent_id, ()), self._dropped.get(agent_id, ())
        return self._rooms.count(agent_id) + len(arrived) - len(dropped)

    def oldest(self, agent_id: str, priority: str, count: int) -> list[EnvelopePosted]:
        dropped, arrived = self._dropped.get(agent_id, ()), self._arrived.get(agent_id, {})
        urgency = PRIORITIES.index(priority)
        found: list[EnvelopePosted] = []
        if self._rooms.count(agent_id):
            found = self._rooms.oldest(agent_id, priority, count + len(dropped))
        found = [each for each in found if each.envelope_id not in dropped]
        found += [each for each in arrived.values() if PRIORITIES.index(each.priority) >= urgency]
        return sorted(found, key=lambda each: -PRIORITIES.index(each.priority))[:count]
