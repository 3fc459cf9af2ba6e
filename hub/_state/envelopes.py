"""Posting envelopes: ``submitted -- posted | rejected``, and what a post does to channels and inboxes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Unpack

import attrs

from .._values import Value
from ..errors import ChannelTypeFailed, PostRejected
from ..events import ChannelClosed, ChannelExpired, EnvelopePosted, Event, canonical, evolve
from ..events._making import event_maker
from ..events._plain import freeze_plain
from ..events._shown import shown
from .agents import Agents, is_id
from .channel_types import ChannelTypes, Conversation, Post
from .channels import ChannelEntry, Channels, ChannelState
from .delegation import delegators_of
from .delivering import Delivering, all_get_in
from .drafts import Draft
from .endings import Endings
from .guests import ask_reason, ask_result, call_type
from .inboxes import PRIORITIES, Inboxes
from .keys import USED_ONCE, KeyedPost, KeyedPosts, Keys, check_of
from .moments import is_duration
from .origin import Origin
from .subscriptions import Subscriptions

__all__ = ("Envelopes", "KeyedEnvelope", "KeyedPosts")

_KEY_LENGTH_MAX = 255

RECIPIENTS_MAX = 10_000
"""Of what is published: as many as take part in a channel at most, since all get it in one turn of the loop."""

_published = event_maker(
    EnvelopePosted,
    "agent_id",
    "envelope_id",
    "content",
    "recipients",
    "audience",
    "priority",
    "causation_id",
    "hops",
    "delegators",
    "ttl_seconds",
    "idempotency_key",
    "delay_seconds",
    "topic",
    known=("agent_id", "envelope_id"),
)


@attrs.frozen(eq=False, repr=False)
class KeyedEnvelope(Value):
    """An envelope that was posted with a key, as earlier versions kept it in snapshots."""

    channel_id: str
    envelope: EnvelopePosted


class Envelopes:
    """Decides about posts, and remembers their idempotency keys: see :class:`Keys`."""

    entry_types: ClassVar[tuple[type, ...]] = (KeyedPosts, KeyedEnvelope)

    def __init__(
        self,
        agents: Agents,
        channels: Channels,
        types: ChannelTypes,
        endings: Endings,
        inboxes: Inboxes,
        subscriptions: Subscriptions,
    ) -> None:
        self._agents = agents
        self._channels = channels
        self._types = types
        self._endings = endings
        self._inboxes = inboxes
        self._subscriptions = subscriptions
        self._keys: Keys = Keys()

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        return {EnvelopePosted: self._posted, ChannelClosed: self._ended, ChannelExpired: self._ended}

    def snapshot(self) -> Sequence[KeyedPosts]:
        return self._keys.entries()

    def restore(self, entries: Sequence[KeyedPosts | KeyedEnvelope]) -> None:
        self._keys.restore(entry for entry in entries if isinstance(entry, KeyedPosts))
        for entry in entries:
            if isinstance(entry, KeyedEnvelope):
                self._posted(entry.envelope)

    # -- commands --

    def find(
        self,
        place: str,
        sender_id: str,
        content: Any,
        audience: Iterable[str] | None,
        key: str | None,
        *,
        cause_id: str | None = None,
    ) -> KeyedPost | None:
        """Return what is known of the post with this key, if there was one; refuse the key for a different post.

        ``place``: the id of the channel, or the topic, in which a key means one envelope. Directly it is the sender's
        id, and a key means one envelope because of the event ``cause_id``.
        """
        post = None if key is None or key.startswith(USED_ONCE) else self._keys.find(place, key, cause_id)
        if post is None:
            return None
        named = None if audience is None else tuple(dict.fromkeys(audience))
        if post.check != check_of(sender_id, named, content):
            raise PostRejected(
                f"idempotency_key {shown(key)} was used {self._at(place)} for another envelope,"
                f" {post.envelope_id}; use each key for one envelope",
                code="key_reused",
            )
        return post

    def post(
        self,
        channel_id: str,
        sender_id: str,
        content: Any,
        audience: Iterable[str] | None,
        *,
        envelope_id: str,
        priority: str = "normal",
        cause: EnvelopePosted | None = None,
        hops_max: int | None = None,
        ttl_seconds: float | None = None,
        idempotency_key: str | None = None,
        unreachable: Mapping[str, str] | None = None,
        answered: str | None = None,
        delay_seconds: float = 0.0,
        draft: Draft | None = None,
        **origin: Unpack[Origin],
    ) -> list[Event]:
        """Post an envelope that answers one of ``answered``; not to the keys of ``unreachable``, for its reasons.

        Raises :class:`InboxesBlock` if it has to wait. ``draft``: the posts before it in the same command.
        """
        channel = self._channels.get(channel_id)
        if draft is not None:
            channel = draft.after(channel)
        self._check_sender(channel, sender_id)
        named = None if audience is None else tuple(dict.fromkeys(audience))
        self._check_audience(channel, named or ())
        reached = [each for each in channel.participants if each != sender_id] if named is None else named
        hops = 0 if cause is None else cause.hops + 1
        _check_terms(priority, ttl_seconds, idempotency_key, hops, hops_max)
        state, end_reason, result = self._after(channel, Post(sender_id, content, named))
        delivery = Delivering(channel_id, sender_id, envelope_id, priority)
        delivery.to_each(self._agents, reached, unreachable or {}, draft or self._inboxes)
        posted = EnvelopePosted(
            channel_id=channel_id,
            agent_id=sender_id,
            envelope_id=envelope_id,
            content=content,
            recipients=tuple(delivery.recipients),
            audience=named,
            priority=priority,
            causation_id=None if cause is None else cause.id or None,
            hops=hops,
            delegators=delegators_of(cause, reached),
            ttl_seconds=None if ttl_seconds is None else float(ttl_seconds),
            idempotency_key=idempotency_key,
            channel_state=state,
            answers=None if answered in delivery.recipients else answered,
            delay_seconds=delay_seconds,
            **origin,
        )
        if end_reason is None:
            return delivery.events(posted)
        gone = None if draft is None else draft.gone
        return delivery.events(posted, self._endings.end(channel_id, end_reason, result=result, gone=gone))

    def publish(
        self,
        topic: str | None,
        sender_id: str,
        content: Any,
        audience: Iterable[str] | None,
        *,
        envelope_id: str,
        priority: str = "normal",
        cause: EnvelopePosted | None = None,
        hops_max: int | None = None,
        ttl_seconds: float | None = None,
        idempotency_key: str | None = None,
        unreachable: Mapping[str, str] | None = None,
        delay_seconds: float = 0.0,
        draft: Draft | None = None,
        **origin: Unpack[Origin],
    ) -> list[Event]:
        """Publish an envelope on a topic, for its subscribers but the sender, or for those named: see :meth:`post`.

        Without a topic it is for those named, directly.
        """
        sender = self._agents.get(sender_id)
        named = None if audience is None else tuple(dict.fromkeys(audience))
        reached = self.subscribers(topic or "", sender_id) if named is None else named
        if len(reached) > RECIPIENTS_MAX:
            raise PostRejected(
                f"{len(reached):,} agents have subscribed to topic {shown(topic)}, and an envelope has up to"
                f" {RECIPIENTS_MAX:,} recipients; publish on several topics, to each of which fewer subscribe",
                code="too_many",
            )
        hops = 0 if cause is None else cause.hops + 1
        _check_terms(priority, ttl_seconds, idempotency_key, hops, hops_max)
        rooms = draft or self._inboxes
        delivery: Delivering | None = None
        if unreachable or not all_get_in(self._agents, reached, rooms):
            delivery = Delivering(None, sender_id, envelope_id, priority)
            delivery.to_each(self._agents, reached, unreachable or {}, rooms)
        posted = _published(
            agent_id=sender.agent_id,
            envelope_id=envelope_id,
            content=content,
            recipients=tuple(reached if delivery is None else delivery.recipients),
            audience=named,
            priority=priority,
            causation_id=None if cause is None else cause.id or None,
            hops=hops,
            delegators=delegators_of(cause, reached),
            ttl_seconds=None if ttl_seconds is None else float(ttl_seconds),
            idempotency_key=idempotency_key,
            delay_seconds=delay_seconds,
            topic=topic,
        )
        if origin:
            posted = evolve(posted, **origin)
        return [posted] if delivery is None else delivery.events(posted)

    def subscribers(self, topic: str, sender_id: str) -> list[str]:
        """Return the ids of the agents that get what this one publishes on a topic: not itself."""
        found = [each for each in self._subscriptions.subscribers(topic) if each != sender_id]
        if not self._agents.has_tenants:
            return found
        tenant, tenant_of = self._agents.tenant_of(sender_id), self._agents.tenant_of
        return [each for each in found if tenant_of(each) == tenant]

    def notice(self, channel_id: str, content: Any, recipients: Iterable[str], *, envelope_id: str) -> list[Event]:
        """Post a notice of the hub itself: to types and expectations it is not a post, and it cannot be refused.

        Where it does not get into an inbox, an event reports it.
        """
        delivery = Delivering(channel_id, None, envelope_id, "normal")
        for agent_id in recipients:
            if (agent := self._agents.known(agent_id)) is not None:
                delivery.to(agent_id, agent.inbox_rule, self._inboxes)
        posted = EnvelopePosted(
            channel_id=channel_id,
            envelope_id=envelope_id,
            content=content,
            recipients=tuple(delivery.recipients),
            is_notice=True,
        )
        return delivery.events(posted)

    def _check_sender(self, channel: ChannelEntry, sender_id: str) -> None:
        channel_id = channel.channel_id
        if channel.state is not ChannelState.ACTIVE:
            raise PostRejected(
                f"channel {channel_id} is {channel.state.value}; post when it is open", code="not_active"
            )
        self._agents.get(sender_id)
        if not self._channels.takes_part(channel, sender_id):
            raise PostRejected(
                f"{self._agents.label(sender_id)} is not a participant of channel {channel_id}, and cannot post to it",
                code="not_participant",
            )
        if sender_id in channel.hidden:
            raise PostRejected(
                f"{self._agents.label(sender_id)} is hidden in channel {channel_id}; channel.show() lets it post again",
                code="hidden",
            )

    def _check_audience(self, channel: ChannelEntry, named: Iterable[str]) -> None:
        if strangers := [each for each in named if not self._channels.takes_part(channel, each)]:
            raise PostRejected(
                f"{self._agents.listed(strangers)} cannot be addressed: not a participant of channel"
                f" {channel.channel_id}",
                code="unknown_audience",
            )

    def _after(self, channel: ChannelEntry, post: Post) -> tuple[Any, str | None, Any]:
        """Return the channel's state after the post, None if it is the same; if it ends, why, and with what result."""
        channel_type = self._types.get(channel.type, channel.version)
        if type(channel_type) is Conversation:
            return None, None, None  # the type of most channels: it allows all posts, has no state, and does not end
        manifest, before = channel.manifest(), channel.channel_state
        try:
            if reason := ask_reason(channel_type.refuse, manifest, before, post):
                reason = self._agents.named_in(reason)  # a type knows agents by their ids alone
                raise PostRejected(f"channel {channel.channel_id} does not allow it: {reason}", code="not_allowed")
            state = call_type(channel_type.fold, manifest, before, post)
            state = before if state is before else _frozen(state)
            ending = ask_reason(channel_type.ending, manifest, state)
            result = None if ending is None else ask_result(channel_type, manifest, state)
        except ChannelTypeFailed as error:
            raise PostRejected(str(error), code="not_allowed") from error
        return None if state is before else state, ending, result

    def _at(self, place: str) -> str:
        if place in self._agents:
            return f"by {self._agents.label(place)} because of the same envelope"
        return f"in channel {place}" if is_id(place) else f"on topic {shown(place.partition(chr(10))[0])}"

    def _topic_place(self, event: EnvelopePosted) -> str | None:
        """Return where a key of what was published means one envelope: on a topic, as each tenant has its own."""
        return None if event.topic is None else self.place_of(event.topic, event.agent_id)

    def place_of(self, topic: str, sender_id: str | None) -> str:
        """Return a topic as keys know it."""
        tenant = self._agents.tenant_of(sender_id) if self._agents.has_tenants else None
        return topic if tenant is None else f"{topic}\n{tenant}"  # a topic has no line break

    # -- applying --

    def _posted(self, event: EnvelopePosted) -> None:
        key = event.idempotency_key
        if key is not None and not key.startswith(USED_ONCE):
            self._keys.add(event, self._topic_place(event))

    def _ended(self, event: ChannelClosed | ChannelExpired) -> None:
        self._keys.end(event.channel_id or "")


def _check_terms(priority: str, ttl_seconds: float | None, key: str | None, hops: int, hops_max: int | None) -> None:
    if hops_max is not None and (isinstance(hops_max, bool) or not isinstance(hops_max, int)):
        raise PostRejected(f"hops_max is a whole number, or None for no limit, not {shown(hops_max)}", code="malformed")
    if priority not in PRIORITIES:
        raise PostRejected(f"a priority is one of {', '.join(PRIORITIES)}, not {shown(priority)}", code="malformed")
    if ttl_seconds is not None and not is_duration(ttl_seconds):
        raise PostRejected(
            f"an envelope's ttl_seconds is a positive number, or None for no end, not {shown(ttl_seconds)}",
            code="malformed",
        )
    if key is not None:
        _check_key(key)
    if hops_max is not None and hops > hops_max:
        raise PostRejected(
            f"{hops} envelopes led to this one, each by answering the one before, and {hops_max} are allowed",
            code="too_deep",
        )


def _frozen(state: Any) -> Any:
    plain = freeze_plain(state)
    return canonical(state) if plain is None else plain[0]


def _check_key(key: object) -> None:
    if type(key) is str and 0 < len(key) <= _KEY_LENGTH_MAX and key.isascii():
        return
    if not isinstance(key, str) or not 0 < len(key) <= _KEY_LENGTH_MAX or canonical(key) != key:
        raise PostRejected(
            f"an idempotency_key is text of 1 to {_KEY_LENGTH_MAX} characters, not {shown(key)}", code="malformed"
        )
