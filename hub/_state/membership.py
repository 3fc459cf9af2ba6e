"""The participants of channels: opening, invitations, joining and leaving."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

import attrs

from ..errors import CommandRejected
from ..events import (
    ChannelAccepted,
    ChannelCreated,
    ChannelInvited,
    ChannelOpened,
    ChannelParticipantJoined,
    ChannelParticipantShown,
    Event,
    FrozenDict,
    canonical,
)
from ..events._shown import shown
from .agents import Agents
from .channel_types import ChannelTypes, Manifest
from .channels import EMPTY, ChannelEntry, Channels, ChannelState
from .endings import Endings
from .evaluators import Evaluators, Expectation
from .guests import ask_reason, call_type
from .moments import is_duration
from .origin import Origin

__all__ = ("HISTORIES", "PARTICIPANTS_MAX", "Membership")

HISTORIES = ("whole", "since_joined")
"""What a participant that comes later may read of a channel."""

PARTICIPANTS_MAX = 10_000
"""How many participants a channel may have: a post leads to an event for each full inbox."""


class Membership:
    """Decides about the participants of channels."""

    def __init__(
        self, agents: Agents, channels: Channels, types: ChannelTypes, endings: Endings, evaluators: Evaluators
    ) -> None:
        self._agents = agents
        self._evaluators = evaluators
        self._channels = channels
        self._types = types
        self._endings = endings

    def open(
        self,
        participants: Iterable[str],
        topic: str,
        *,
        channel_id: str,
        type: str = "conversation",  # noqa: A002 - that is what a channel has
        version: int | None = None,
        roles: Mapping[str, str] | None = None,
        knobs: Mapping[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
        expectations: Iterable[Expectation | Mapping[str, Any]] = (),
        parent_id: str | None = None,
        ttl_seconds: float | None = None,
        invite: bool = False,
        required_acks: int | None = None,
        invite_timeout_seconds: float = 30.0,
        history: str = "whole",
        **origin: Unpack[Origin],
    ) -> list[Event]:
        """Open a channel; with ``invite``, create it and invite all participants but the first, its creator."""
        ids = self._checked_participants(participants)
        self._check_place(topic, parent_id, ttl_seconds)
        invited = ids[1:] if invite else ()
        acks = _checked_acks(required_acks, invited, invite_timeout_seconds)
        type_name, version = self._types.identify(type, version)
        given = _checked_knobs(knobs)
        self._types.check_knobs(type_name, version, given)
        created = ChannelCreated(
            channel_id=channel_id,
            agent_id=ids[0],
            participants=ids,
            topic=topic,
            manifest_type=type_name,
            manifest_version=version,
            roles=_checked_roles(roles, ids),
            expectations=self._evaluators.checked(expectations),
            knobs=given,
            labels=_checked_texts("labels", labels),
            parent_id=parent_id,
            invited=invited,
            required_acks=acks,
            invite_timeout_seconds=float(invite_timeout_seconds) if invited else None,
            ttl_seconds=None if ttl_seconds is None else float(ttl_seconds),
            history=history,
            **origin,
        )
        return [created, *self._begun(created, origin)]

    def _checked_participants(self, participants: Iterable[str]) -> tuple[str, ...]:
        ids = tuple(participants)
        if not ids:
            raise CommandRejected("a channel needs at least one participant")
        if len(set(ids)) < len(ids):
            raise CommandRejected("a participant is named twice; name each one once")
        if len(ids) > PARTICIPANTS_MAX:
            raise CommandRejected(f"a channel has up to {PARTICIPANTS_MAX} participants, not {len(ids)}; open several")
        for agent_id in ids:
            self._agents.get(agent_id)
        return ids

    def _check_place(self, topic: object, parent_id: str | None, ttl_seconds: float | None) -> None:
        if not isinstance(topic, str):
            raise CommandRejected(f"a channel's topic must be text, not {shown(topic)}")
        if parent_id is not None and self._channels.get(parent_id).state is not ChannelState.ACTIVE:
            raise CommandRejected(f"channel {parent_id} is not open, so no channel can be opened below it")
        if ttl_seconds is not None and not is_duration(ttl_seconds):
            raise CommandRejected(
                f"a channel's ttl_seconds is a positive number, or None for no end: {shown(ttl_seconds)}"
            )

    def _begun(self, created: ChannelCreated, origin: Origin) -> list[Event]:
        """Return what follows the creation of a channel: it is open, or its invitations."""
        channel_type = self._types.get(created.manifest_type, created.manifest_version)
        manifest = _manifest_of(created)
        if reason := ask_reason(channel_type.refuse_manifest, manifest):
            raise CommandRejected(f"a channel of type {manifest.type} cannot be opened like this: {reason}")
        if not created.invited:
            state = call_type(channel_type.begin, manifest)
            return [ChannelOpened(channel_id=created.channel_id, channel_state=state, **origin)]
        return [
            ChannelInvited(channel_id=created.channel_id, agent_id=each, by=created.participants[0], **origin)
            for each in created.invited
        ]

    def accept(self, channel_id: str, agent_id: str) -> list[Event]:
        entry = self._invited(channel_id, agent_id)
        participants = entry.with_participant(agent_id)
        if entry.state is ChannelState.PENDING:
            accepted = ChannelAccepted(channel_id=channel_id, agent_id=agent_id)
            if entry.accepted + 1 < entry.required_acks:
                return [accepted]
            return [accepted, *self._endings.opened(entry, participants, set())]
        state = self._changed(entry, participants)
        return [ChannelAccepted(channel_id=channel_id, agent_id=agent_id, channel_state=state)]

    def decline(self, channel_id: str, agent_id: str, reason: str) -> list[Event]:
        entry = self._invited(channel_id, agent_id)
        _check_reason(reason)
        return self._endings.decline(entry, agent_id, reason, set())

    def join(self, channel_id: str, agent_id: str, role: str) -> list[Event]:
        entry = self._active(channel_id)
        self._agents.get(agent_id)
        if not isinstance(role, str):
            raise CommandRejected(f"a role is text, not {shown(role)}")
        if agent_id in entry.participants:
            raise CommandRejected(f"{self._agents.label(agent_id)} is a participant of channel {channel_id} already")
        if agent_id in entry.invited:
            raise CommandRejected(
                f"{self._agents.label(agent_id)} was invited to channel {channel_id}: let it accept or decline"
            )
        if len(entry.participants) >= PARTICIPANTS_MAX:
            raise CommandRejected(f"channel {channel_id} is full: it has {PARTICIPANTS_MAX} participants")
        state = self._changed(entry, entry.with_participant(agent_id))
        return [
            ChannelParticipantJoined(
                channel_id=channel_id, agent_id=agent_id, role=role or "participant", channel_state=state
            )
        ]

    def leave(self, channel_id: str, agent_id: str, reason: str) -> list[Event]:
        entry = self._channels.get(channel_id)
        _check_reason(reason)
        if agent_id not in entry.participants:
            raise CommandRejected(
                f"{self._agents.label(agent_id)} is not a participant of channel {channel_id}, and cannot leave it"
            )
        return self._endings.remove(entry, agent_id, reason, set())

    def hide(self, channel_id: str, agent_id: str, reason: str) -> list[Event]:
        entry = self._active(channel_id)
        _check_reason(reason)
        if agent_id not in entry.participants or agent_id in entry.hidden:
            raise CommandRejected(
                f"{self._agents.label(agent_id)} is not a participant of channel {channel_id}, or is hidden already"
            )
        return self._endings.hide(entry, agent_id, reason, set())

    def show(self, channel_id: str, agent_id: str) -> list[Event]:
        entry = self._active(channel_id)
        if agent_id not in entry.hidden:
            raise CommandRejected(f"{self._agents.label(agent_id)} is not hidden in channel {channel_id}")
        shown = attrs.evolve(entry, hidden=tuple(each for each in entry.hidden if each != agent_id))
        state = self._changed(shown, shown.participants)
        return [ChannelParticipantShown(channel_id=channel_id, agent_id=agent_id, channel_state=state)]

    # -- inside --

    def _active(self, channel_id: str) -> ChannelEntry:
        entry = self._channels.get(channel_id)
        if entry.state is not ChannelState.ACTIVE:
            raise CommandRejected(f"channel {channel_id} is {entry.state.value}, and has to be open for that")
        return entry

    def _invited(self, channel_id: str, agent_id: str) -> ChannelEntry:
        entry = self._channels.get(channel_id)
        if agent_id not in entry.invited:
            raise CommandRejected(f"{self._agents.label(agent_id)} has no invitation to channel {channel_id} to answer")
        if entry.state is ChannelState.CLOSING:
            raise CommandRejected(f"channel {channel_id} is closing: it is too late to answer an invitation")
        self._agents.get(agent_id)
        return entry

    def _changed(self, entry: ChannelEntry, participants: tuple[str, ...]) -> Any:
        channel_type = self._types.get(entry.type, entry.version)
        # The hidden ones are participants, too: a graph may name them, and waits for none of them to be shown first.
        everyone = attrs.evolve(entry, hidden=()).manifest(participants)
        if reason := ask_reason(channel_type.refuse_manifest, everyone):
            raise CommandRejected(f"this {entry.type} cannot go on with these participants: {reason}")
        visible = entry.manifest(participants)
        return call_type(channel_type.participants_changed, visible, entry.channel_state)


def _manifest_of(created: ChannelCreated) -> Manifest:
    assert created.agent_id is not None
    return Manifest(
        type=created.manifest_type,
        version=created.manifest_version,
        topic=created.topic,
        creator_id=created.agent_id,
        participants=created.participants,
        roles=created.roles or FrozenDict(),
        knobs=created.knobs or FrozenDict(),
        expectations=created.expectations,
    )


def _checked_acks(required_acks: int | None, invited: tuple[str, ...], timeout_seconds: float) -> int:
    if not invited:
        if required_acks is not None:
            raise CommandRejected(
                "required_acks counts acceptances: open the channel with invite=True and at least two participants"
            )
        return 0
    if not is_duration(timeout_seconds):
        raise CommandRejected(f"invite_timeout_seconds is a positive number, not {shown(timeout_seconds)}")
    acks = len(invited) if required_acks is None else required_acks
    if isinstance(acks, bool) or not isinstance(acks, int) or not 1 <= acks <= len(invited):
        raise CommandRejected(f"required_acks is between 1 and {len(invited)}, the number invited, not {shown(acks)}")
    return acks


def _checked_texts(what: str, given: Mapping[str, str] | None) -> Mapping[str, str]:
    if not given:
        return EMPTY
    texts = canonical(given)
    if not isinstance(texts, FrozenDict) or not all(isinstance(value, str) for value in texts.values()):
        raise CommandRejected(f"a channel's {what} must map text to text, unlike {shown(given)}")
    return texts


def _checked_roles(given: Mapping[str, str] | None, ids: tuple[str, ...]) -> FrozenDict:
    roles = _checked_texts("roles", given)
    if strangers := [agent_id for agent_id in roles if agent_id not in ids]:
        raise CommandRejected(f"{', '.join(strangers)} cannot have a role: not a participant of the channel")
    others = "respondent" if len(ids) == 2 else "participant"
    return FrozenDict(sorted({ids[0]: "initiator", **dict.fromkeys(ids[1:], others), **roles}.items()))


def _checked_knobs(knobs: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if not knobs:
        return EMPTY
    given = canonical(knobs)
    if not isinstance(given, FrozenDict):
        raise CommandRejected(f"a channel's knobs must map names to values, unlike {shown(knobs)}")
    return given


def _check_reason(reason: object) -> None:
    if not isinstance(reason, str):
        raise CommandRejected(f"a reason is text, not {shown(reason)}")
