"""Where agents talk: ``created --> pending -- opened --> active [-- closing] -- closed | expired --> (absent)``.

This file holds the channels and applies events; :mod:`.membership` decides about participants, and :mod:`.endings` how
a channel ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar

import attrs

from .._values import Value
from ..errors import NotFound
from ..events import (
    AgentUnregistered,
    ChannelAccepted,
    ChannelClosed,
    ChannelClosing,
    ChannelCreated,
    ChannelDeclined,
    ChannelExpired,
    ChannelInvited,
    ChannelOpened,
    ChannelParticipantHidden,
    ChannelParticipantJoined,
    ChannelParticipantRemoved,
    ChannelParticipantShown,
    EnvelopePosted,
    Event,
    FrozenDict,
)
from ..events._shown import shown
from .agents import Agents
from .changing import changed
from .channel_types import Manifest
from .moments import Deadlines, deadline_ns

__all__ = ("ChannelEntry", "ChannelState", "Channels")

EMPTY: FrozenDict = FrozenDict()


class ChannelState(Enum):
    """Where a channel is in its life. A channel that has ended is forgotten, and has no state."""

    PENDING = "pending"
    """It waits for acceptances."""
    ACTIVE = "active"
    CLOSING = "closing"
    """It takes no more posts, and the channels below it are being closed."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ChannelEntry(Value):
    """What the hub knows of a channel."""

    channel_id: str
    creator_id: str
    participants: tuple[str, ...]
    """In the order in which they were named, then in that in which they joined."""
    topic: str
    state: ChannelState
    type: str = "conversation"
    version: int = 1
    listed: tuple[str, ...] = ()
    """The agents that were named when it was created."""
    to_invite: tuple[str, ...] = ()
    """Agents whose invitations are still to come: there are some only between the events of one command."""
    invited: tuple[str, ...] = ()
    """Agents that were invited and have not answered."""
    required_acks: int = 0
    accepted: int = 0
    """How many participants were invited."""
    roles: Mapping[str, str] = EMPTY
    knobs: Mapping[str, Any] = EMPTY
    labels: Mapping[str, str] = EMPTY
    expectations: tuple[Mapping[str, Any], ...] = ()
    parent_id: str | None = None
    created_at: str = ""
    invite_deadline_ns: int | None = None
    expires_ns: int | None = None
    closing_reason: str = ""
    history: str = "whole"
    """What a participant that comes later may read: ``whole`` or ``since_joined``."""
    ends_as: str = "closed"
    result: Any = None
    """With what it will end, while it is closing."""
    channel_state: Any = None
    """The state that its type keeps."""
    hidden: tuple[str, ...] = ()
    """The participants that its type does not see."""
    tenant: str | None = None
    """Whose it is: that of the agent that has opened it."""

    def manifest(self, participants: tuple[str, ...] | None = None) -> Manifest:
        """Return what its type decides by, with the present participants or with those given."""
        participants = self.participants if participants is None else participants
        if self.hidden:
            participants = tuple(each for each in participants if each not in self.hidden)
        return Manifest(
            type=self.type,
            version=self.version,
            topic=self.topic,
            creator_id=self.creator_id,
            participants=participants,
            roles=self.roles,
            knobs=self.knobs,
            expectations=self.expectations,
        )

    def with_participant(self, agent_id: str) -> tuple[str, ...]:
        """Return the participants with one more: where it was named when the channel was created, else last."""
        present = {*self.participants, agent_id}
        named = tuple(each for each in self.listed if each in present)
        return (*named, *(each for each in (*self.participants, agent_id) if each not in self.listed))

    def without(self, agent_id: str) -> tuple[str, ...]:
        return tuple(each for each in self.participants if each != agent_id)


class Channels:
    """The channels that have not ended."""

    entry_types: ClassVar[tuple[type, ...]] = (ChannelEntry,)

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self._by_id: dict[str, ChannelEntry] = {}
        self._by_agent: dict[str, dict[str, None]] = {}
        """The channels of an agent: those it participates in, and those it is invited to."""
        self._children: dict[str, dict[str, None]] = {}
        self._of_tenants: dict[str, int] = {}
        self.closing: dict[str, None] = {}
        self.leaving: dict[tuple[str, str], None] = {}
        """Channel and agent, where the agent has left the hub and the channel has still to let it go."""
        self._timed: dict[tuple[str, str], None] = {}
        self.deadlines: Deadlines[tuple[str, str]] = Deadlines(self._timed)
        """By channel and kind of deadline: ``invite`` or ``ttl``."""

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        return {
            ChannelCreated: self._created,
            ChannelInvited: self._invited,
            ChannelAccepted: self._accepted,
            ChannelDeclined: self._declined,
            ChannelOpened: self._opened,
            ChannelParticipantJoined: self._joined,
            ChannelParticipantRemoved: self._removed,
            ChannelParticipantHidden: self._hidden,
            ChannelParticipantShown: self._shown,
            ChannelClosing: self._closing,
            ChannelClosed: self._ended,
            ChannelExpired: self._ended,
            EnvelopePosted: self._posted,
            AgentUnregistered: self._unregistered,
        }

    def snapshot(self) -> list[ChannelEntry]:
        return list(self._by_id.values())

    def restore(self, entries: Sequence[ChannelEntry]) -> None:
        for entry in entries:
            self._add(entry)
            if entry.state is ChannelState.CLOSING:
                self.closing[entry.channel_id] = None
        for agent_id, channel_ids in self._by_agent.items():
            if agent_id not in self._agents:
                self.leaving |= dict.fromkeys((channel_id, agent_id) for channel_id in channel_ids)

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, channel_id: object) -> bool:
        return channel_id in self._by_id

    def __iter__(self) -> Iterator[ChannelEntry]:
        return iter(self._by_id.values())

    def get(self, channel_id: str) -> ChannelEntry:
        try:
            return self._by_id[channel_id]
        except (KeyError, TypeError):
            raise NotFound(f"no channel {shown(channel_id)} is open: it was closed, or never existed") from None

    def takes_part(self, entry: ChannelEntry, agent_id: str) -> bool:
        """Return whether the agent is a participant, without looking at the others."""
        is_listed = entry.channel_id in self._by_agent.get(agent_id, ())
        return is_listed and agent_id not in entry.invited and agent_id not in entry.to_invite

    def children(self, channel_id: str) -> Iterable[str]:
        return self._children.get(channel_id, ())

    def count_of(self, tenant: str) -> int:
        """Return how many channels of a tenant have not ended."""
        return self._of_tenants.get(tenant, 0)

    def of(self, agent_id: str) -> list[ChannelEntry]:
        """Return the channels that the agent participates in, or is invited to."""
        return [self._by_id[channel_id] for channel_id in self._by_agent.get(agent_id, ())]

    # -- applying --

    def _add(self, entry: ChannelEntry) -> None:
        self._by_id[entry.channel_id] = entry
        if entry.tenant is not None:
            self._of_tenants[entry.tenant] = self.count_of(entry.tenant) + 1
        for agent_id in (*entry.participants, *entry.to_invite, *entry.invited):
            self._by_agent.setdefault(agent_id, {})[entry.channel_id] = None
        if entry.parent_id is not None:
            self._children.setdefault(entry.parent_id, {})[entry.channel_id] = None
        for what, moment in (("invite", entry.invite_deadline_ns), ("ttl", entry.expires_ns)):
            if moment is not None:
                self._timed[entry.channel_id, what] = None
                self.deadlines.add(moment, (entry.channel_id, what))

    def _created(self, event: ChannelCreated) -> None:
        assert event.channel_id is not None
        assert event.agent_id is not None
        invited = set(event.invited)
        self._add(
            ChannelEntry(
                channel_id=event.channel_id,
                creator_id=event.agent_id,
                participants=tuple(each for each in event.participants if each not in invited),
                topic=event.topic,
                state=ChannelState.PENDING,
                type=event.manifest_type,
                version=event.manifest_version,
                listed=event.participants,
                to_invite=event.invited,
                required_acks=event.required_acks,
                roles=event.roles or EMPTY,
                knobs=event.knobs or EMPTY,
                labels=event.labels or EMPTY,
                expectations=event.expectations,
                parent_id=event.parent_id,
                created_at=event.at,
                invite_deadline_ns=_moment(event.at, event.invite_timeout_seconds),
                expires_ns=_moment(event.at, event.ttl_seconds),
                history=event.history,
                tenant=self._agents.tenant_of(event.agent_id),
            )
        )

    def _change(self, event: Event, **changes: Any) -> ChannelEntry:
        assert event.channel_id is not None
        entry = self._by_id[event.channel_id] = changed(self._by_id[event.channel_id], changes)
        return entry

    def _invited(self, event: ChannelInvited) -> None:
        entry = self._by_id[event.channel_id or ""]
        to_invite = entry.to_invite
        # They are invited in order: removing the first is cheaper than searching for it.
        rest = to_invite[1:] if to_invite[0] == event.agent_id else _less(to_invite, event.agent_id)
        self._change(event, to_invite=rest, invited=(*entry.invited, event.agent_id))

    def _accepted(self, event: ChannelAccepted) -> None:
        assert event.agent_id is not None
        entry = self._by_id[event.channel_id or ""]
        self._answered(
            self._change(
                event,
                participants=entry.with_participant(event.agent_id),
                invited=_less(entry.invited, event.agent_id),
                accepted=entry.accepted + 1,
                channel_state=event.channel_state,
            )
        )

    def _declined(self, event: ChannelDeclined) -> None:
        entry = self._by_id[event.channel_id or ""]
        entry = self._change(
            event, invited=_less(entry.invited, event.agent_id), to_invite=_less(entry.to_invite, event.agent_id)
        )
        self._leave(entry.channel_id, event.agent_id or "")
        self._answered(entry)

    def _answered(self, entry: ChannelEntry) -> None:
        if not entry.invited and not entry.to_invite:
            self._by_id[entry.channel_id] = attrs.evolve(entry, invite_deadline_ns=None)
            self._untime(entry.channel_id, "invite")

    def _opened(self, event: ChannelOpened) -> None:
        self._change(event, state=ChannelState.ACTIVE, channel_state=event.channel_state)

    def _joined(self, event: ChannelParticipantJoined) -> None:
        assert event.agent_id is not None
        assert event.channel_id is not None
        entry = self._by_id[event.channel_id]
        self._change(
            event,
            participants=entry.with_participant(event.agent_id),
            roles=FrozenDict({**entry.roles, event.agent_id: event.role}),
            channel_state=event.channel_state,
        )
        self._by_agent.setdefault(event.agent_id, {})[event.channel_id] = None

    def _removed(self, event: ChannelParticipantRemoved) -> None:
        assert event.agent_id is not None
        entry = self._by_id[event.channel_id or ""]
        roles = FrozenDict({agent_id: role for agent_id, role in entry.roles.items() if agent_id != event.agent_id})
        is_guest = event.agent_id != entry.creator_id and event.agent_id in entry.listed
        self._change(
            event,
            participants=entry.without(event.agent_id),
            listed=_less(entry.listed, event.agent_id),
            hidden=_less(entry.hidden, event.agent_id),
            accepted=entry.accepted - (is_guest and entry.required_acks > 0),
            roles=roles,
            channel_state=event.channel_state,
        )
        self._leave(entry.channel_id, event.agent_id)

    def _hidden(self, event: ChannelParticipantHidden) -> None:
        assert event.agent_id is not None
        hidden = (*self._by_id[event.channel_id or ""].hidden, event.agent_id)
        self._change(event, hidden=hidden, channel_state=event.channel_state)

    def _shown(self, event: ChannelParticipantShown) -> None:
        hidden = _less(self._by_id[event.channel_id or ""].hidden, event.agent_id)
        self._change(event, hidden=hidden, channel_state=event.channel_state)

    def _closing(self, event: ChannelClosing) -> None:
        assert event.channel_id is not None
        ending = {"closing_reason": event.reason, "ends_as": event.ends_as, "result": event.result}
        self._change(event, state=ChannelState.CLOSING, **ending)
        self.closing[event.channel_id] = None

    def _ended(self, event: ChannelClosed | ChannelExpired) -> None:
        assert event.channel_id is not None
        entry = self._by_id.pop(event.channel_id)
        if entry.tenant is not None:
            self._of_tenants[entry.tenant] -= 1
            if not self._of_tenants[entry.tenant]:
                del self._of_tenants[entry.tenant]
        self.closing.pop(entry.channel_id, None)
        for agent_id in (*entry.participants, *entry.to_invite, *entry.invited):
            self._leave(entry.channel_id, agent_id)
        if entry.parent_id is not None and (siblings := self._children.get(entry.parent_id)):
            del siblings[entry.channel_id]
            if not siblings:
                del self._children[entry.parent_id]
        for what in ("invite", "ttl"):
            self._untime(entry.channel_id, what)

    def _posted(self, event: EnvelopePosted) -> None:
        if event.channel_state is not None:
            self._change(event, channel_state=event.channel_state)

    def _unregistered(self, event: AgentUnregistered) -> None:
        assert event.agent_id is not None
        for channel_id in self._by_agent.get(event.agent_id, ()):
            self.leaving[channel_id, event.agent_id] = None

    def _leave(self, channel_id: str, agent_id: str) -> None:
        self.leaving.pop((channel_id, agent_id), None)
        channels = self._by_agent.get(agent_id)
        if channels is not None:
            channels.pop(channel_id, None)
            if not channels:
                del self._by_agent[agent_id]

    def _untime(self, channel_id: str, what: str) -> None:
        if (channel_id, what) in self._timed:
            del self._timed[channel_id, what]
            self.deadlines.tidy()


def _moment(at: str, seconds: float | None) -> int | None:
    return None if seconds is None else deadline_ns(at, seconds)


def _less(agent_ids: tuple[str, ...], agent_id: str | None) -> tuple[str, ...]:
    return tuple(each for each in agent_ids if each != agent_id)
