"""Envelopes: the messages that agents post to channels, and their way through each inbox."""

from __future__ import annotations

from typing import Any

from ._declare import event
from ._event import Event

__all__ = (
    "EnvelopeAcked",
    "EnvelopeDeadLettered",
    "EnvelopeDiscarded",
    "EnvelopeDispatchFailed",
    "EnvelopeDropped",
    "EnvelopeExpired",
    "EnvelopeNacked",
    "EnvelopePosted",
    "EnvelopeRedelivered",
    "EnvelopeRejected",
    "EnvelopeReturned",
    "InboxPressured",
)


@event("envelope.posted", command="channel.post()")
class EnvelopePosted(Event):
    """An envelope was accepted, and is in the inbox of each of its ``recipients``.

    ``agent_id`` is the sender. ``audience`` are the agents that it is addressed to (None: all participants, or all
    subscribers of its topic, but the sender). ``priority`` is ``urgent``, ``normal`` or ``background``.
    ``causation_id`` is the event that it answers, if any, and ``hops`` how many envelopes led to it, each by answering
    the one before. ``delegators`` are the agents over which the matter has come to the sender, the first one first:
    replies are no delegation. It leaves the inboxes after ``ttl_seconds``. ``channel_state`` is the state of the
    channel's type after it. With ``is_notice`` it is a notice of the hub about a violated expectation, and there is no
    ``agent_id``. ``answers`` is the agent whose envelope it answers, where that agent is no recipient: its ask returns
    the answer. It is delivered ``delay_seconds`` later. With a ``topic`` it was published on that, and is in no
    channel: see ``hub.topics``. With neither it was sent directly: a question of ``hub.ask``, or what was posted
    because of one.
    """

    envelope_id: str
    content: Any
    recipients: tuple[str, ...]
    audience: tuple[str, ...] | None = None
    priority: str = "normal"
    hops: int = 0
    ttl_seconds: float | None = None
    idempotency_key: str | None = None
    channel_state: Any = None
    is_notice: bool = False
    delegators: tuple[str, ...] = ()
    answers: str | None = None
    delay_seconds: float = 0.0
    topic: str | None = None


@event("envelope.rejected", command="channel.post()")
class EnvelopeRejected(Event):
    """An envelope was refused. The state is as before.

    ``reason`` says why, ``error`` is the class of the error that the sender got, and ``code`` its :attr:`code`, for
    programs; for an error without one, ``not_found``, or ``too_large``, which leaves out the content. With a ``topic``
    it was to be published on that; without a channel, too, it was to be sent directly.
    """

    reason: str
    error: str
    code: str = ""
    content: Any = None
    audience: tuple[str, ...] | None = None
    topic: str | None = None


@event("envelope.dispatch_failed", command="channel.post()")
class EnvelopeDispatchFailed(Event):
    """An envelope reached others, but not ``recipient_id``. ``agent_id`` is the sender.

    ``reason`` says why, for people; ``error`` is the class of the error, for programs.
    """

    envelope_id: str
    recipient_id: str
    reason: str
    error: str = ""


@event("envelope.acked", command="delivery.ack()")
class EnvelopeAcked(Event):
    """``agent_id`` has handled an envelope of its inbox, and does not get it again."""

    envelope_id: str


@event("envelope.nacked", command="delivery.nack()")
class EnvelopeNacked(Event):
    """``agent_id`` could not handle an envelope; it comes again ``delay_seconds`` later. ``attempt`` counts from 1.

    It comes after what waits with the same priority. With ``keeps_place``, which the hub says of a turn that its own
    end has interrupted, it comes where it was.
    """

    envelope_id: str
    attempt: int
    delay_seconds: float = 0.0
    reason: str = ""
    keeps_place: bool = False


@event("envelope.returned", command="the hub itself, when a delay is over")
class EnvelopeReturned(Event):
    """An envelope that ``agent_id`` nacked with a delay, or that was posted with one, can be delivered now."""

    envelope_id: str


@event("envelope.dead_lettered", command="delivery.nack()")
class EnvelopeDeadLettered(Event):
    """``agent_id`` could not handle an envelope as often as its inbox or its actor allows, and does not get it again.

    Or an actor's policy says that to try again would be in vain; ``reason`` says what happened at last.

    ``posted_seq`` is the ``seq`` of the event that posted it, which holds its content.
    """

    envelope_id: str
    attempts: int
    reason: str = ""
    posted_seq: int = -1


@event("envelope.redelivered", command="hub.inboxes.redeliver()")
class EnvelopeRedelivered(Event):
    """A dead letter of ``agent_id`` waits in its inbox again, as if it had not been delivered yet."""

    envelope_id: str
    reason: str = ""


@event("envelope.discarded", command="hub.inboxes.discard()")
class EnvelopeDiscarded(Event):
    """A dead letter of ``agent_id`` was given up, for this ``reason``."""

    envelope_id: str
    reason: str = ""


@event("envelope.dropped", command="channel.post()")
class EnvelopeDropped(Event):
    """An envelope was dropped from the full inbox of ``agent_id``, or not put into it. The agent does not get it.

    ``reason`` is the overflow rule of the inbox, ``drop_oldest`` or ``drop_newest``.
    """

    envelope_id: str
    reason: str


@event("envelope.expired", command="the hub itself, when an envelope's time is up")
class EnvelopeExpired(Event):
    """An envelope's time was up before ``agent_id`` acked it: it left the inbox."""

    envelope_id: str


@event("inbox.pressured", command="channel.post()")
class InboxPressured(Event):
    """The inbox of ``agent_id`` reached its high-water mark: ``pending`` of ``cap`` envelopes wait in it."""

    pending: int
    cap: int
