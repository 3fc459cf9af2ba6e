"""Where agents talk: ``(absent) -- created --> pending -- opened --> active -- closed --> (absent)``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Any, ClassVar, Unpack

import attrs

from ..errors import CommandRejected, NotFound
from ..events import ChannelClosed, ChannelCreated, ChannelOpened, EnvelopePosted, Event
from .agents import Agents
from .origin import Origin

__all__ = ("ChannelEntry", "ChannelState", "Channels")


class ChannelState(Enum):
    """Where a channel is in its life. A closed channel is forgotten, so it has no state."""

    PENDING = "pending"
    ACTIVE = "active"


@attrs.frozen
class ChannelEntry:
    """What the hub knows of a channel."""

    channel_id: str
    participants: tuple[str, ...]
    topic: str
    state: ChannelState


class Channels:
    """The channels that are not closed."""

    entry_types: ClassVar[tuple[type, ...]] = (ChannelEntry,)

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self._by_id: dict[str, ChannelEntry] = {}

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        return {ChannelCreated: self._created, ChannelOpened: self._opened, ChannelClosed: self._closed}

    def snapshot(self) -> list[ChannelEntry]:
        return list(self._by_id.values())

    def restore(self, entries: Sequence[ChannelEntry]) -> None:
        self._by_id = {entry.channel_id: entry for entry in entries}

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, channel_id: str) -> ChannelEntry:
        try:
            return self._by_id[channel_id]
        except KeyError:
            raise NotFound(f"no channel {channel_id!r} is open: it was closed, or never was") from None

    def open(
        self, participants: Iterable[str], topic: str, *, channel_id: str, **origin: Unpack[Origin]
    ) -> list[Event]:
        ids = tuple(participants)
        if not isinstance(topic, str):
            raise CommandRejected(f"a channel's topic must be text, not {topic!r}")
        if not ids:
            raise CommandRejected("a channel needs at least one participant")
        if len(set(ids)) < len(ids):
            raise CommandRejected("a participant is named twice; name each one once")
        for agent_id in ids:
            self._agents.get(agent_id)
        return [
            ChannelCreated(channel_id=channel_id, agent_id=ids[0], participants=ids, topic=topic, **origin),
            ChannelOpened(channel_id=channel_id, **origin),
        ]

    def close(self, channel_id: str, reason: str, **origin: Unpack[Origin]) -> list[Event]:
        self.get(channel_id)
        if not isinstance(reason, str):
            raise CommandRejected(f"the reason for closing a channel must be text, not {reason!r}")
        return [ChannelClosed(channel_id=channel_id, reason=reason, **origin)]

    def settle(self) -> list[Event]:
        """Close what a crash left half open: nobody was told of these channels, and nothing can open them any more."""
        pending = [entry.channel_id for entry in self._by_id.values() if entry.state is ChannelState.PENDING]
        return [
            ChannelClosed(channel_id=channel_id, reason="the hub died while it was opened") for channel_id in pending
        ]

    def post(
        self,
        channel_id: str,
        sender_id: str,
        content: Any,
        audience: Iterable[str] | None,
        *,
        envelope_id: str,
        **origin: Unpack[Origin],
    ) -> list[Event]:
        channel = self.get(channel_id)
        if channel.state is not ChannelState.ACTIVE:
            raise CommandRejected(f"channel {channel_id} is {channel.state.value}; post when it is open")
        self._agents.get(sender_id)
        if sender_id not in channel.participants:
            raise CommandRejected(f"agent {sender_id} is no participant of channel {channel_id}, and cannot post to it")
        named = None if audience is None else tuple(dict.fromkeys(audience))
        if strangers := [agent_id for agent_id in named or () if agent_id not in channel.participants]:
            raise CommandRejected(f"{', '.join(strangers)} cannot be addressed: no participant of channel {channel_id}")
        reached = [agent_id for agent_id in channel.participants if agent_id != sender_id] if named is None else named
        return [
            EnvelopePosted(
                channel_id=channel_id,
                agent_id=sender_id,
                envelope_id=envelope_id,
                content=content,
                recipients=tuple(agent_id for agent_id in reached if agent_id in self._agents),
                audience=named,
                **origin,
            )
        ]

    def _created(self, event: ChannelCreated) -> None:
        assert event.channel_id is not None
        self._by_id[event.channel_id] = ChannelEntry(
            event.channel_id, event.participants, event.topic, ChannelState.PENDING
        )

    def _opened(self, event: ChannelOpened) -> None:
        assert event.channel_id is not None
        entry = self._by_id[event.channel_id]
        self._by_id[event.channel_id] = attrs.evolve(entry, state=ChannelState.ACTIVE)

    def _closed(self, event: ChannelClosed) -> None:
        assert event.channel_id is not None
        del self._by_id[event.channel_id]
