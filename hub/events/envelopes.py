"""Envelopes: what agents say in channels, and what becomes of it."""

from __future__ import annotations

from typing import Any

from ._event import Event, event

__all__ = ("EnvelopeAcked", "EnvelopePosted", "EnvelopeRejected")


@event("envelope.posted", command="channel.post()")
class EnvelopePosted(Event):
    """An envelope was accepted, and is in the inbox of each of its ``recipients``.

    ``agent_id`` is the sender. ``audience`` is whom it names (None: everybody in the channel but the sender).
    """

    envelope_id: str
    content: Any
    recipients: tuple[str, ...]
    audience: tuple[str, ...] | None = None


@event("envelope.rejected", command="channel.post()")
class EnvelopeRejected(Event):
    """An envelope was refused. Nothing else changed. ``reason`` says why, ``error`` is the class the sender got."""

    reason: str
    error: str
    content: Any = None
    audience: tuple[str, ...] | None = None


@event("envelope.acked", command="delivery.ack()")
class EnvelopeAcked(Event):
    """``agent_id`` is done with an envelope of its inbox: it is not delivered to it again."""

    envelope_id: str
