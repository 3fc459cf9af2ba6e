"""How channels end, and how agents leave them: by command, by their type, by time, or because another is gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Unpack

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
from ..events._shown import shown
from .agents import Agents
from .channel_types import ChannelTypes, Manifest
from .channels import ChannelEntry, Channels, ChannelState
from .guests import ask_at_deadline, ask_reason, ask_result, call_type, text_of
from .origin import Origin

__all__ = ("EVENTS_MAX", "Endings")

EVENTS_MAX = 1000
"""A command that leads to more events than this is split."""

_NO_CREATOR = "its creator left before it was opened"
_TIME_UP = "its time was up"
_NONE_VISIBLE = "all participants are hidden"

_KINDS: dict[str, type[ChannelClosed | ChannelExpired]] = {"closed": ChannelClosed, "expired": ChannelExpired}


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
            raise CommandRejected(f"the reason for closing a channel must be text, not {shown(reason)}")
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
        result: Any = None,
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
                about: dict[str, Any] = {"channel_id": channel_id, "reason": reason, "result": result}
                return [ChannelClosing(**about, ends_as=ends_as, **(origin or {}))]
        gone.update(ending)
        events: list[Event] = [
            ChannelClosed(channel_id=each, reason="the channel above it has ended", **(origin or {}))
            for each in ending[:-1]
        ]
        return [*events, _KINDS[ends_as](channel_id=channel_id, reason=reason, result=result, **(origin or {}))]

    def remove(
        self, entry: ChannelEntry, agent_id: str, reason: str, gone: set[str], limit: int = EVENTS_MAX
    ) -> list[Event]:
        """Remove an agent from one channel, whether it is a participant or was only invited."""
        if agent_id not in entry.participants:
            return self.decline(entry, agent_id, reason, gone, limit)
        channel_id, rest = entry.channel_id, entry.without(agent_id)
        state, end_reason, result = entry.channel_state, None, None
        if not rest:
            end_reason = "all participants have left"
        elif entry.state is ChannelState.PENDING:
            if agent_id == entry.creator_id:
                end_reason = _NO_CREATOR
            elif entry.accepted - 1 + len(entry.invited) < entry.required_acks:
                end_reason = "too few are left to accept"
        else:
            state, end_reason, result = self._without(entry, entry.manifest(rest))
        removed = ChannelParticipantRemoved(
            channel_id=channel_id, agent_id=agent_id, reason=reason, channel_state=state
        )
        if end_reason is None:
            return [removed]
        return [removed, *self.end(channel_id, end_reason, limit=limit - 1, gone=gone, result=result)]

    def hide(
        self, entry: ChannelEntry, agent_id: str, reason: str, gone: set[str], limit: int = EVENTS_MAX
    ) -> list[Event]:
        """Let the channel go on without a participant, which stays in it; of an invited agent, end the invitation."""
        if agent_id not in entry.participants:
            return self.decline(entry, agent_id, reason, gone, limit)
        state, end_reason, result = entry.channel_state, None, None
        if entry.state is ChannelState.ACTIVE:
            hiding = attrs.evolve(entry, hidden=(*entry.hidden, agent_id))
            state, end_reason, result = self._without(entry, hiding.manifest())
        hidden = ChannelParticipantHidden(
            channel_id=entry.channel_id, agent_id=agent_id, reason=reason, channel_state=state
        )
        if end_reason is None:
            return [hidden]
        return [hidden, *self.end(entry.channel_id, end_reason, limit=limit - 1, gone=gone, result=result)]

    def _without(self, entry: ChannelEntry, manifest: Manifest) -> tuple[Any, str | None, Any]:
        """Return the state of an open channel with the participants of ``manifest``; if it ends, why and with what."""
        if not manifest.participants:
            return entry.channel_state, _NONE_VISIBLE, None
        try:
            channel_type = self._types.get(entry.type, entry.version)
            state = canonical(call_type(channel_type.participants_changed, manifest, entry.channel_state))
            reason = ask_reason(channel_type.ending, manifest, state)
            return state, reason, None if reason is None else self._result(entry, manifest, state)
        except ChannelTypeFailed as error:
            # A participant cannot be kept in a channel: if its type cannot go on without one, the channel ends.
            return entry.channel_state, str(error), None
        except CommandRejected:
            return entry.channel_state, None, None  # its type is not registered now: all posts are refused until it is

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
            reason, result = self._at_deadline(entry)
            return self.end(entry.channel_id, reason, ends_as="expired", limit=limit, gone=gone, result=result)
        if entry.state is ChannelState.PENDING:
            reason = f"{entry.accepted} of {entry.required_acks} acceptances came in time"
            return self.end(entry.channel_id, reason, limit=limit, gone=gone)
        return [
            ChannelDeclined(channel_id=entry.channel_id, agent_id=agent_id, reason="no answer in time")
            for agent_id in entry.invited[:limit]
        ]

    def _at_deadline(self, entry: ChannelEntry) -> tuple[str, Any]:
        """Return the reason with which a channel expires, and its result: its type may have one."""
        if entry.state is not ChannelState.ACTIVE:
            return _TIME_UP, None
        try:
            channel_type = self._types.get(entry.type, entry.version)
            reason = ask_at_deadline(channel_type, entry.manifest(), entry.channel_state)
            return reason or _TIME_UP, ask_result(channel_type, entry.manifest(), entry.channel_state)
        except CommandRejected as error:
            return f"{_TIME_UP}, and its type has no result: {text_of(error)}", None

    def _result(self, entry: ChannelEntry, manifest: Manifest, state: Any) -> Any:
        """Return the result of a channel that its type ends; None if its type fails."""
        try:
            return ask_result(self._types.get(entry.type, entry.version), manifest, state)
        except CommandRejected:
            return None  # it ends for its reason; without a result

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
                result = self._result(entry, entry.manifest(), entry.channel_state)
                events += self.end(entry.channel_id, reason, gone=gone, result=result)
        return events

    def _repair_pending(self, entry: ChannelEntry, gone: set[str]) -> list[Event]:
        if entry.to_invite or not entry.required_acks:
            return self.end(entry.channel_id, "the hub died while it was opened", gone=gone)
        if entry.creator_id not in entry.participants:
            return self.end(entry.channel_id, _NO_CREATOR, gone=gone)
        if entry.accepted + len(entry.invited) < entry.required_acks:
            return self.end(entry.channel_id, "too few have accepted", gone=gone)
        return self.opened(entry, entry.participants, gone) if entry.accepted >= entry.required_acks else []

    def _ending_now(self, entry: ChannelEntry) -> str | None:
        if not entry.participants:
            return "all participants have left"
        manifest = entry.manifest()
        if not manifest.participants:
            return _NONE_VISIBLE
        try:
            channel_type = self._types.get(entry.type, entry.version)
            return ask_reason(channel_type.ending, manifest, entry.channel_state)
        except CommandRejected:
            return None  # a type that is not registered, or fails, closes no channel: the next post reports the error

    def opened(self, entry: ChannelEntry, participants: tuple[str, ...], gone: set[str]) -> list[Event]:
        """Decide that enough have accepted. If the type cannot work with these participants, the channel is closed."""
        try:
            channel_type = self._types.get(entry.type, entry.version)
            manifest = entry.manifest(participants)
            reason = ask_reason(channel_type.refuse_manifest, manifest)
            state = None if reason else canonical(call_type(channel_type.begin, manifest))
        except CommandRejected as error:
            reason, state = text_of(error), None
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
                events.append(
                    _KINDS[entry.ends_as](channel_id=channel_id, reason=entry.closing_reason, result=entry.result)
                )
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
