"""How channels end, and how agents leave them: by command, by their type, by time, or because another is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar, Unpack

import attrs

from ..errors import ChannelTypeFailed, CommandRejected
from ..events import (
    ChannelClosed,
    ChannelClosing,
    ChannelDeclined,
    ChannelExpired,
    ChannelOpened,
    ChannelParticipantHidden,
    ChannelParticipantRemoved,
    Event,
    canonical,
)
from .agents import Agents
from .channel_types import ChannelType, ChannelTypes, Manifest
from .channels import ChannelEntry, Channels, ChannelState
from .origin import Origin

__all__ = ("EVENTS_MAX", "Endings", "call_type")

T = TypeVar("T")

EVENTS_MAX = 1000
"""A command that leads to more events than this is split."""

_KINDS: dict[str, type[ChannelClosed | ChannelExpired]] = {"closed": ChannelClosed, "expired": ChannelExpired}


def call_type(channel_type: ChannelType, method: Callable[..., T], *args: Any) -> T:
    """Call a method of a channel type, which is a guest.

    Raises :class:`~hubwire.errors.ChannelTypeFailed` if the method raises an exception.
    """
    try:
        return method(*args)
    except CommandRejected:
        raise
    except Exception as error:
        raise ChannelTypeFailed(
            f"channel type {channel_type.name!r} version {channel_type.version} failed in"
            f" {getattr(method, '__name__', method)} ({type(error).__name__}: {error}); mend it"
        ) from error


class Endings:
    """Decides how channels end, and how agents leave them."""

    def __init__(self, agents: Agents, channels: Channels, types: ChannelTypes) -> None:
        self._agents = agents
        self._channels = channels
        self._types = types

    # -- commands --

    def close(self, channel_id: str, reason: str, **origin: Unpack[Origin]) -> list[Event]:
        """Close a channel and all below it.

        If they are too many for one command, the first call only says that the channel is closing; each further call
        closes some of them.
        """
        entry = self._channels.get(channel_id)
        if not isinstance(reason, str):
            raise CommandRejected(f"the reason for closing a channel must be text, not {reason!r}")
        if entry.state is ChannelState.CLOSING:
            return self._rest(channel_id, EVENTS_MAX, set())
        return self.end(channel_id, reason, origin=origin)

    def unregister(self, agent_id: str, **origin: Unpack[Origin]) -> list[Event]:
        """Remove an agent from the hub and its channels. What is too much for one command is due after it."""
        events = self._agents.unregister(agent_id, **origin)
        gone: set[str] = set()
        for entry in self._channels.of(agent_id):
            if len(events) >= EVENTS_MAX:
                break
            if entry.channel_id not in gone:
                events += self.remove(entry, agent_id, "the agent left the hub", gone, EVENTS_MAX - len(events))
        return events

    def end(
        self,
        channel_id: str,
        reason: str,
        *,
        ends_as: str = "closed",
        limit: int = EVENTS_MAX,
        gone: set[str] | None = None,
        origin: Origin | None = None,
    ) -> list[Event]:
        """End a channel, and first all below it, if that takes at most ``limit`` events; else say that it is closing.

        ``gone`` are the channels that have ended by the same command; those that end here are added to it.
        """
        gone = set() if gone is None else gone
        ending: list[str] = []
        for each in self._below(channel_id, gone):
            ending.append(each)
            if len(ending) > max(limit, 1):
                gone.add(channel_id)
                if self._channels.get(channel_id).state is ChannelState.CLOSING:
                    return []
                return [ChannelClosing(channel_id=channel_id, reason=reason, ends_as=ends_as, **(origin or {}))]
        gone.update(ending)
        events: list[Event] = [
            ChannelClosed(channel_id=each, reason="the channel above it has ended", **(origin or {}))
            for each in ending[:-1]
        ]
        return [*events, _KINDS[ends_as](channel_id=channel_id, reason=reason, **(origin or {}))]

    def remove(
        self, entry: ChannelEntry, agent_id: str, reason: str, gone: set[str], limit: int = EVENTS_MAX
    ) -> list[Event]:
        """Remove an agent from one channel, whether it is a participant or was only invited."""
        if agent_id not in entry.participants:
            return self.decline(entry, agent_id, reason, gone, limit)
        channel_id, rest = entry.channel_id, entry.without(agent_id)
        state, end_reason = entry.channel_state, None
        if not rest:
            end_reason = "all participants have left"
        elif entry.state is ChannelState.PENDING:
            if agent_id == entry.creator_id:
                end_reason = "its creator left before it was opened"
            elif entry.accepted - 1 + len(entry.invited) < entry.required_acks:
                end_reason = "too few are left to accept"
        else:
            state, end_reason = self._without(entry, entry.manifest(rest))
        removed = ChannelParticipantRemoved(
            channel_id=channel_id, agent_id=agent_id, reason=reason, channel_state=state
        )
        if end_reason is None:
            return [removed]
        return [removed, *self.end(channel_id, end_reason, limit=limit - 1, gone=gone)]

    def hide(
        self, entry: ChannelEntry, agent_id: str, reason: str, gone: set[str], limit: int = EVENTS_MAX
    ) -> list[Event]:
        """Let the channel go on without a participant, which stays in it; of an invited agent, end the invitation."""
        if agent_id not in entry.participants:
            return self.decline(entry, agent_id, reason, gone, limit)
        state, end_reason = entry.channel_state, None
        if entry.state is ChannelState.ACTIVE:
            hiding = attrs.evolve(entry, hidden=(*entry.hidden, agent_id))
            state, end_reason = self._without(entry, hiding.manifest())
        hidden = ChannelParticipantHidden(
            channel_id=entry.channel_id, agent_id=agent_id, reason=reason, channel_state=state
        )
        if end_reason is None:
            return [hidden]
        return [hidden, *self.end(entry.channel_id, end_reason, limit=limit - 1, gone=gone)]

    def _without(self, entry: ChannelEntry, manifest: Manifest) -> tuple[Any, str | None]:
        """Return the state of an open channel with the participants of ``manifest``, and why it ends, if it does."""
        if not manifest.participants:
            return entry.channel_state, "all participants are hidden"
        try:
            channel_type = self._types.get(entry.type, entry.version)
            state = canonical(call_type(channel_type, channel_type.participants_changed, manifest, entry.channel_state))
            return state, call_type(channel_type, channel_type.ending, manifest, state)
        except ChannelTypeFailed as error:
            # A participant cannot be kept in a channel: if its type cannot go on without one, the channel ends.
            return entry.channel_state, str(error)
        except CommandRejected:
            return entry.channel_state, None  # its type is not registered now: all posts are refused until it is

    def decline(
        self, entry: ChannelEntry, agent_id: str, reason: str, gone: set[str], limit: int = EVENTS_MAX
    ) -> list[Event]:
        """Decide that an invitation is not accepted."""
        events: list[Event] = [ChannelDeclined(channel_id=entry.channel_id, agent_id=agent_id, reason=reason)]
        possible = entry.accepted + len(entry.invited) + len(entry.to_invite) - 1
        if entry.state is ChannelState.PENDING and possible < entry.required_acks:
            events += self.end(entry.channel_id, "too few have accepted", limit=limit - 1, gone=gone)
        return events

    # -- what happens by itself --

    def next_due_ns(self) -> int | None:
        if self._channels.closing or self._channels.leaving:
            return 0
        return self._channels.deadlines.next_ns

    def due(self, now_ns: int, limit: int) -> list[Event]:
        events: list[Event] = []
        gone: set[str] = set()
        for channel_id in self._channels.closing:
            if len(events) >= limit:
                return events
            if channel_id not in gone:
                events += self._rest(channel_id, limit - len(events), gone)
        if events:
            # The others may be below what has just ended.
            return events
        for channel_id, agent_id in self._channels.leaving:
            if len(events) >= limit:
                return events
            if channel_id not in gone:
                entry = self._channels.get(channel_id)
                events += self.remove(entry, agent_id, "the agent left the hub", gone, limit - len(events))
                gone.add(channel_id)
        for channel_id, what in self._channels.deadlines.passed(now_ns):
            if len(events) >= limit:
                return events
            if channel_id not in gone:
                events += self._passed(self._channels.get(channel_id), what, gone, limit - len(events))
                gone.add(channel_id)
        return events

    def _passed(self, entry: ChannelEntry, what: str, gone: set[str], limit: int) -> list[Event]:
        if what == "ttl":
            return self.end(entry.channel_id, "its time was up", ends_as="expired", limit=limit, gone=gone)
        if entry.state is ChannelState.PENDING:
            reason = f"{entry.accepted} of {entry.required_acks} acceptances came in time"
            return self.end(entry.channel_id, reason, limit=limit, gone=gone)
        return [
            ChannelDeclined(channel_id=entry.channel_id, agent_id=agent_id, reason="no answer in time")
            for agent_id in entry.invited[:limit]
        ]

    def repair(self) -> list[Event]:
        """Decide, after a replay, how commands end of which a crash has kept only the first events.

        Their callers have not got a result, so that such a channel may be closed.
        """
        events: list[Event] = []
        gone: set[str] = set()
        for entry in self._channels:
            if entry.channel_id in gone or entry.state is ChannelState.CLOSING:
                continue
            if entry.state is ChannelState.PENDING:
                events += self._repair_pending(entry, gone)
            elif reason := self._ending_now(entry):
                events += self.end(entry.channel_id, reason, gone=gone)
        return events

    def _repair_pending(self, entry: ChannelEntry, gone: set[str]) -> list[Event]:
        if entry.to_invite or not entry.required_acks:
            return self.end(entry.channel_id, "the hub died while it was opened", gone=gone)
        if not entry.participants or entry.accepted + len(entry.invited) < entry.required_acks:
            return self.end(entry.channel_id, "too few have accepted", gone=gone)
        return self.opened(entry, entry.participants, gone) if entry.accepted >= entry.required_acks else []

    def _ending_now(self, entry: ChannelEntry) -> str | None:
        if not entry.participants:
            return "all participants have left"
        if entry.channel_state is None:
            return None
        try:
            channel_type = self._types.get(entry.type, entry.version)
            return call_type(channel_type, channel_type.ending, entry.manifest(), entry.channel_state)
        except CommandRejected:
            return None  # a type that is not registered, or fails, closes no channel: the next post reports the error

    def opened(self, entry: ChannelEntry, participants: tuple[str, ...], gone: set[str]) -> list[Event]:
        """Decide that enough have accepted. If the type cannot work with these participants, the channel is closed."""
        try:
            channel_type = self._types.get(entry.type, entry.version)
            manifest = entry.manifest(participants)
            reason = call_type(channel_type, channel_type.refuse_manifest, manifest)
            state = None if reason else canonical(call_type(channel_type, channel_type.begin, manifest))
        except CommandRejected as error:
            reason, state = str(error), None
        if reason:
            return self.end(entry.channel_id, f"it cannot work with the present participants: {reason}", gone=gone)
        return [ChannelOpened(channel_id=entry.channel_id, channel_state=state)]

    def _rest(self, channel_id: str, limit: int, gone: set[str]) -> list[Event]:
        """Return the next events of a channel that is closing; its own end is the last of all."""
        entry = self._channels.get(channel_id)
        events: list[Event] = []
        for each in self._below(channel_id, gone):
            if len(events) >= limit:
                break
            if each == channel_id:
                events.append(_KINDS[entry.ends_as](channel_id=channel_id, reason=entry.closing_reason))
            else:
                events.append(ChannelClosed(channel_id=each, reason="the channel above it has ended"))
        gone.update(event.channel_id for event in events if event.channel_id)
        return events

    def _below(self, channel_id: str, gone: set[str]) -> Iterator[str]:
        """Iterate over a channel and those below it that are not ``gone``: children first, itself last."""
        path = [(channel_id, iter(self._channels.children(channel_id)))]
        while path:
            current, children = path[-1]
            for child in children:
                if child not in gone:
                    path.append((child, iter(self._channels.children(child))))
                    break
            else:
                path.pop()
                yield current
