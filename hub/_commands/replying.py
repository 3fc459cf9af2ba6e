"""Answering an envelope where it came from: in its channel, on its topic, or directly."""

from __future__ import annotations

from typing import Any

from .._foreign.arguments import Call
from .._state import State
from .._state.keys import USED_ONCE
from ..errors import CommandRejected
from ..events import EnvelopePosted
from .core import Core
from .direct import direct_post_of
from .posting import Posting, posting_of
from .publishing import publication_of

__all__ = ("audience_of_reply", "post_because_of")


def audience_of_reply(envelope: EnvelopePosted) -> list[str]:
    """Return the agents to whose inboxes an answer goes: none, if a task waits for it, or has waited."""
    if envelope.agent_id is None:
        raise CommandRejected(
            f"envelope {envelope.envelope_id} is a notice of the hub, and has no sender to answer; look at its"
            " is_notice, or say who is meant: turn.post(to=[...]), channel.post(to=[...])"
        )
    return [] if (envelope.idempotency_key or "").startswith(USED_ONCE) else [envelope.agent_id]


def post_because_of(
    core: Core,
    state: State,
    sender_id: str,
    envelope: EnvelopePosted,
    content: Any,
    *,
    audience: list[str] | None,
    priority: str = "normal",
    idempotency_key: str | None = None,
    deliver_after: float = 0.0,
    call: Call,
) -> Posting:
    """Return what an agent posts because of an envelope, where that came from, to be run."""
    if envelope.channel_id is None and envelope.topic is None:
        # One by one: this is the way of the answer of each ask, and a dictionary of them takes longer.
        return direct_post_of(
            core,
            state,
            sender_id,
            content,
            audience=audience or [],
            cause=envelope,
            priority=priority,
            idempotency_key=idempotency_key,
            deliver_after=deliver_after,
            call=call,
        )
    terms: dict[str, Any] = {
        "audience": audience,
        "priority": priority,
        "idempotency_key": idempotency_key,
        "deliver_after": deliver_after,
    }
    if envelope.channel_id is not None:
        return posting_of(core, state, envelope.channel_id, sender_id, content, cause=envelope, call=call, **terms)
    return publication_of(core, state, envelope.topic or "", sender_id, content, cause=envelope, call=call, **terms)
