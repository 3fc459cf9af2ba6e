"""Posting directly: a question in no channel, its answer, and what the turn that answers it is reminded of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from .._foreign.arguments import Call
from .._state import State
from .._state.drafts import Draft
from .._state.keys import KeyedPost
from ..events import EnvelopePosted, Event
from ..events._making import maker
from .core import Core
from .posting import PlaceOfPost, Posting

__all__ = ("DirectPost", "direct_post", "direct_post_of")


@attrs.define(eq=False, repr=False, kw_only=True)
class DirectPost(Posting):
    """One envelope on its way from an agent to those that it names, in no channel and on no topic."""

    def place(self) -> PlaceOfPost:
        return {}

    def _present(self) -> Sequence[str]:
        return ()

    def _find(self) -> KeyedPost | None:
        sender_id, cause_id = self.sender_id, None if self.cause is None else self.cause.id
        return self.envelopes.find(
            sender_id, sender_id, self.content, self.audience, self.idempotency_key, cause_id=cause_id
        )

    def _put(self, draft: Draft | None) -> Sequence[Event]:
        if self.origin:
            return self.envelopes.publish(None, self.sender_id, self.content, self.audience, **self._terms(draft))
        # As _terms() says them: to make and take apart a dictionary of them takes longer than all else here.
        return self.envelopes.publish(
            None,
            self.sender_id,
            self.content,
            self.audience,
            envelope_id=self.envelope_id,
            priority=self.priority,
            cause=self.cause,
            hops_max=self.hops_max,
            ttl_seconds=self.ttl_seconds,
            idempotency_key=self.idempotency_key,
            unreachable=self.clearance.unreachable,
            delay_seconds=self.delay_seconds,
            draft=draft,
        )


direct_post = maker(
    DirectPost, "core", "envelopes", "channel_id", "sender_id", "content", "audience", "cause", "origin"
)


def direct_post_of(
    core: Core,
    state: State,
    sender_id: str,
    content: Any,
    *,
    audience: list[str],
    cause: EnvelopePosted | None,
    priority: str = "normal",
    idempotency_key: str | None = None,
    deliver_after: float = 0.0,
    call: Call,
) -> DirectPost:
    """Return a direct post to be run. What is malformed in its terms is its ``refusal``."""
    posting = direct_post(
        core=core,
        envelopes=state.envelopes,
        channel_id="",
        sender_id=sender_id,
        content=content,
        audience=audience,
        cause=cause,
        origin={},
    )
    posting.take_terms(call, priority, None, idempotency_key, None, deliver_after)
    return posting
