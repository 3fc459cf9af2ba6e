"""Posting an envelope: what is decided about it, and its outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, TypedDict

import attrs

from .._foreign.arguments import Call
from .._state import State
from .._state.delegation import delegators_of
from .._state.delivering import InboxesBlock
from .._state.drafts import Draft
from .._state.envelopes import Envelopes
from .._state.inboxes import PRIORITIES
from .._state.keys import KeyedPost
from .._state.origin import Origin
from ..errors import CommandRejected, EventTooLarge, HubError, InboxFull, NotFound, PostRejected
from ..events import EnvelopePosted, EnvelopeRejected, Event, canonical
from .authorizer import CLEAR, About, Clearance
from .core import Core, new_id
from .provenances import said_of
from .room import Ticket

__all__ = ("POST", "RESERVED", "Posting", "own_key", "posting_of")

POST = Call("channel.post()", partial(PostRejected, code="malformed"))

RESERVED = "hubwire-"
"""What idempotency keys of the hub itself begin with."""


class PlaceOfPost(TypedDict, total=False):
    """Where an envelope is posted: one of these, or none if it is sent directly."""

    channel_id: str
    topic: str


@attrs.define(eq=False, repr=False, kw_only=True)
class Posting:
    """One envelope on its way into a channel: posted now, or before with the same key, or refused."""

    core: Core
    envelopes: Envelopes
    channel_id: str
    """In which it is posted; empty for what is published on a topic, or sent directly."""
    sender_id: str
    content: Any
    audience: list[str] | None
    """The ids of the agents that it is addressed to; None for all participants."""
    cause: EnvelopePosted | None
    """The envelope because of which this one is posted."""
    origin: Origin
    priority: str = attrs.field(default="normal", init=False)
    ttl_seconds: float | None = attrs.field(default=None, init=False)
    idempotency_key: str | None = attrs.field(default=None, init=False)
    hops_max: int | None = attrs.field(default=None, init=False)
    delay_seconds: float = attrs.field(default=0.0, init=False)
    envelope_id: str = attrs.field(factory=new_id, init=False)
    clearance: Clearance = CLEAR
    """What the arbiter has decided so far."""
    earlier: KeyedPost | None = None
    """What is known of the post before with the same key."""
    refusal: CommandRejected | None = None
    ticket: Ticket | None = None
    """Its place in line, while it waits for room in inboxes."""
    is_redacted: bool = False
    """Whether the content is not the one that was given."""
    is_blocked: bool = False
    """Whether the last decision was to wait for room."""

    def take_terms(
        self, call: Call, priority: str, ttl_seconds: object, idempotency_key: object, hops_max: object, later: object
    ) -> None:
        """Take what the caller gives beside the content. What is malformed is the post's refusal."""
        try:
            self.priority = call.one_of("priority", priority, PRIORITIES)
            if ttl_seconds is not None:
                self.ttl_seconds = call.seconds("ttl_seconds", ttl_seconds, is_optional=True)
            if idempotency_key is not None:
                self.idempotency_key = own_key(call, idempotency_key)
            if hops_max is not None:
                self.hops_max = call.whole("hops_max", hops_max, is_optional=True)
            self.delay_seconds = call.seconds("deliver_after", later, is_zero_ok=True)
        except PostRejected as error:
            self.refusal = error  # it is recorded, as every refusal is of a post that names its sender

    def take_provenance(self, call: Call, given: object) -> None:
        """Take where the content comes from, as the sender says it; what is malformed is the post's refusal."""
        try:
            self.origin = {**self.origin, **said_of(call, given)}
        except PostRejected as error:
            self.refusal = self.refusal or error

    async def run(self) -> EnvelopePosted:
        """Post the envelope; return the committed event. A refusal is recorded, then raised."""
        core = self.core
        try:
            if core.authorizer.has_arbiter and self.refusal is None:
                await self.authorize()
            while not (events := await core.execute(self._decide)) and self.earlier is None:
                if self.is_blocked and self.ticket is not None:
                    await self.ticket.wake
                else:
                    await self.authorize_others()
        except EventTooLarge as error:
            rejected = self.rejected(error, content=None)
            await core.execute(lambda: [rejected])
            raise
        finally:
            self._leave_line()
        if self.refusal is not None:
            raise self.refusal
        if self.earlier is not None:
            await core.until_committed(self.earlier.seq)
            return await self.posted_before(self.earlier)
        return _posted_of(events)

    def put_now(self) -> EnvelopePosted | None:
        """Post the envelope without a wait, also for its commit. None, and it is not posted, where :meth:`run` has to.

        That is where it has to be admitted or allowed first, was posted before, waits for room, or is refused.
        """
        core = self.core
        if core.authorizer.has_arbiter or self.refusal is not None:
            return None
        try:
            events = core.execute_now(self.decide)
        except (CommandRejected, EventTooLarge):
            return None
        return _posted_of(events) if events else None

    async def posted_before(self, earlier: KeyedPost) -> EnvelopePosted:
        """Return the event of the post before; if it is held no more, all that is known of it."""
        event = await self.core.event_at(earlier.seq)
        if isinstance(event, EnvelopePosted):
            return event
        return EnvelopePosted(
            seq=earlier.seq,
            hub=self.core.hub_id,
            **self.place(),
            agent_id=self.sender_id,
            envelope_id=earlier.envelope_id,
            content=canonical(self.content),
            recipients=(),
            audience=None if self.audience is None else tuple(dict.fromkeys(self.audience)),
            idempotency_key=self.idempotency_key,
        )

    async def authorize(self) -> None:
        """Have the arbiter decide about it."""
        authorizer, sender_id = self.core.authorizer, self.sender_id
        content = self.content = authorizer.freeze(self.content)
        present, reached = self._present(), self._reached()
        about: About = {
            "channel_id": self.channel_id or None,
            "content": content,
            "hops": 0 if self.cause is None else self.cause.hops + 1,
            "delegators": delegators_of(self.cause, reached),
            "present": present,
            "facts": {
                "priority": self.priority,
                "ttl_seconds": self.ttl_seconds,
                "idempotency_key": self.idempotency_key,
                "deliver_after": self.delay_seconds,
                "causation_id": None if self.cause is None else self.cause.id,
                **self.origin.get("metadata", {}),
                **self._facts(),
            },
        }
        self.clearance = await authorizer.clear(self.command, sender_id, self.audience, about)
        await self.authorize_others()

    async def authorize_others(self) -> None:
        """Have the arbiter decide about the agents that have joined since it decided."""
        self.clearance = await self.core.authorizer.reach(
            self.clearance, self.sender_id, self.channel_id or None, self._reached(), self.content
        )

    def _decide(self) -> Sequence[Event]:
        """Return the events of the post, or of its refusal; none in the cases of :meth:`decide`."""
        if self.refusal is not None:
            return [self.rejected(self.refusal, content=self.content)]
        try:
            return self.decide()
        except CommandRejected as error:
            self.refusal = error
            return [self.rejected(error, content=self.content)]

    def decide(self, draft: Draft | None = None) -> Sequence[Event]:
        """Return the events of the post, after those of ``draft`` in the same command; raise if it is refused.

        Return none if it was posted before (see ``earlier``), if it has to wait for room (``is_blocked``), or if agents
        have joined about which the arbiter has to decide first.
        """
        self.is_blocked = False
        if (redaction := self.core.redaction) is not None:  # so that the type of the channel sees what is journaled
            given, self.content = self.content, redaction.value(self.content)
            self.is_redacted = self.is_redacted or self.content is not given
        self.earlier = None if self.idempotency_key is None else self._find()
        if self.earlier is not None:
            return ()
        if self.clearance is not CLEAR:
            self.clearance.check()
            if self.audience is None and not self.clearance.covers(self._reached()):
                return ()
        try:
            events = self._put(draft)
        except InboxesBlock as block:
            return self._wait_for(block.agent_ids, draft)
        if ahead := self.core.room.ahead_of(self.ticket, self._reached):
            return self._wait_for(ahead, draft)
        if self.ticket is not None:
            self._leave_line()
        return redaction.marked(events) if redaction is not None and self.is_redacted else events

    def _wait_for(self, agent_ids: tuple[str, ...], draft: Draft | None) -> Sequence[Event]:
        """Stand in line before these inboxes; refuse to where that would be for ever, and of what a turn has held."""
        if draft is not None:
            raise InboxFull(
                f"the inbox of {self.core.acting.label(agent_ids[0])} is full, and what a turn holds until its end does"
                " not wait; post with at_once=True to wait for room",
                agent_ids=agent_ids,
            )
        self.core.check_may_wait("room in an inbox")
        self.ticket = self.core.room.stand_in_line(self.ticket, agent_ids, self.core.acting.label)
        self.is_blocked = True
        return ()

    def _leave_line(self) -> None:
        if self.ticket is not None:
            self.core.room.leave(self.ticket)
            self.ticket = None

    def _reached(self) -> Sequence[str]:
        """Return the agents whose inboxes it is for."""
        if self.audience is not None:
            return self.audience
        return [each for each in self._present() if each != self.sender_id]

    # -- what differs where it is published --

    command: ClassVar[str] = "send"
    """What the arbiter is asked about."""

    def place(self) -> PlaceOfPost:
        """Return where it is posted, as fields of events."""
        return {"channel_id": self.channel_id}

    def _facts(self) -> Mapping[str, Any]:
        """Return what the arbiter is told besides."""
        return {}

    def _present(self) -> Sequence[str]:
        """Return the agents that it is for where it is addressed to none, and perhaps its sender."""
        return self.core.authorizer.participants(self.channel_id)

    def _find(self) -> KeyedPost | None:
        return self.envelopes.find(self.channel_id, self.sender_id, self.content, self.audience, self.idempotency_key)

    def _put(self, draft: Draft | None) -> Sequence[Event]:
        return self.envelopes.post(
            self.channel_id,
            self.sender_id,
            self.content,
            self.audience,
            answered=self._answered(),
            **self._terms(draft),
        )

    def _terms(self, draft: Draft | None) -> dict[str, Any]:
        return {
            "envelope_id": self.envelope_id,
            "priority": self.priority,
            "cause": self.cause,
            "hops_max": self.hops_max,
            "ttl_seconds": self.ttl_seconds,
            "idempotency_key": self.idempotency_key,
            "unreachable": self.clearance.unreachable,
            "delay_seconds": self.delay_seconds,
            "draft": draft,
            **self.origin,
        }

    def _answered(self) -> str | None:
        """Return the agent whose envelope in this channel this one answers."""
        cause = self.cause
        return None if cause is None or cause.channel_id != self.channel_id else cause.agent_id

    # -- refusal --

    def rejected(self, error: HubError, *, content: Any) -> EnvelopeRejected:
        """Return the event of its refusal."""
        return EnvelopeRejected(
            **self.place(),
            agent_id=self.sender_id,
            reason=str(error),
            error=type(error).__name__,
            code=_code_of(error),
            content=content,
            audience=None if self.audience is None else tuple(self.audience),
            **self.origin,
        )


def _posted_of(events: Sequence[Event]) -> EnvelopePosted:
    (posted,) = [event for event in events if isinstance(event, EnvelopePosted)]
    return posted


def _code_of(error: HubError) -> str:
    if isinstance(error, EventTooLarge):
        return "too_large"
    return getattr(error, "code", "not_found" if isinstance(error, NotFound) else "")


def posting_of(
    core: Core,
    state: State,
    channel_id: str,
    sender_id: str,
    content: Any,
    *,
    audience: list[str] | None,
    cause: EnvelopePosted | None,
    priority: str = "normal",
    ttl_seconds: float | None = None,
    idempotency_key: str | None = None,
    hops_max: int | None = None,
    deliver_after: float = 0.0,
    origin: Origin | None = None,
    call: Call = POST,
) -> Posting:
    """Return a post to be run: see :meth:`hubwire.Channel.post`. What is malformed in its terms is its ``refusal``."""
    posting = Posting(
        core=core,
        envelopes=state.envelopes,
        channel_id=channel_id,
        sender_id=sender_id,
        content=content,
        audience=audience,
        cause=cause,
        origin={} if origin is None else origin,
    )
    posting.take_terms(call, priority, ttl_seconds, idempotency_key, hops_max, deliver_after)
    return posting


def own_key(call: Call, given: object) -> str | None:
    """Return the idempotency key of a program's post; refuse one that could be the hub's own."""
    key = call.text("idempotency_key", given, is_optional=True)
    if key is not None and key.startswith(RESERVED):
        raise call.refusal("idempotency_key", key, f"text that does not begin with {RESERVED!r}, as the hub's own do")
    return key
