"""Posting an envelope: what is decided about it, and its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from .._state.envelopes import Envelopes
from .._state.origin import Origin
from ..errors import CommandRejected, EventTooLarge, HubError, NotFound
from ..events import EnvelopePosted, EnvelopeRejected, Event
from .authorizer import CLEAR, Clearance
from .core import Core, new_id

__all__ = ("Posting",)


@attrs.define(eq=False, kw_only=True)
class Posting:
    """One envelope on its way into a channel: posted now, or before with the same key, or refused."""

    core: Core
    envelopes: Envelopes
    channel_id: str
    sender_id: str
    content: Any
    audience: list[str] | None
    """The ids of the agents that it is addressed to; None for all participants."""
    causation_id: str | None
    hops: int
    priority: str
    ttl_seconds: float | None
    idempotency_key: str | None
    hops_max: int | None
    origin: Origin
    envelope_id: str = attrs.field(factory=new_id, init=False)
    clearance: Clearance = CLEAR
    """What the arbiter has decided so far."""
    earlier: EnvelopePosted | None = None
    """What was posted before with the same key."""
    refusal: CommandRejected | None = None

    async def run(self) -> EnvelopePosted:
        """Post the envelope; return the committed event. A refusal is recorded, then raised."""
        core = self.core
        try:
            if core.authorizer.has_arbiter:
                await self._authorize()
            while not (events := await core.execute(self._decide)) and self.earlier is None:
                await self._authorize_others()
        except EventTooLarge as error:
            rejected = self._rejected(error, content=None)
            await core.execute(lambda: [rejected])
            raise
        if self.refusal is not None:
            raise self.refusal
        if self.earlier is not None:
            await core.until_committed(self.earlier.seq)
            return self.earlier
        (posted,) = [event for event in events if isinstance(event, EnvelopePosted)]
        return posted

    async def _authorize(self) -> None:
        authorizer = self.core.authorizer
        content = self.content = authorizer.freeze(self.content)
        self.clearance = await authorizer.clear(self.sender_id, self.channel_id, self.audience, content, self.hops)

    async def _authorize_others(self) -> None:
        """Have the arbiter decide about the agents that have joined since it decided."""
        authorizer = self.core.authorizer
        self.clearance = await authorizer.reach(
            self.clearance, self.sender_id, self.channel_id, self.audience, self.content
        )

    def _decide(self) -> Sequence[Event]:
        """Return the events of the post, or of its refusal.

        Return none if it was posted before (see ``earlier``), or if agents have joined about which the arbiter has to
        decide first.
        """
        try:
            self.earlier = self.envelopes.find(
                self.channel_id, self.sender_id, self.content, self.audience, self.idempotency_key
            )
            if self.earlier is not None:
                return ()
            if self.clearance is not CLEAR:
                self.clearance.check()
                if self.audience is None and not self.clearance.covers(self._participants()):
                    return ()
            return self.envelopes.post(
                self.channel_id,
                self.sender_id,
                self.content,
                self.audience,
                envelope_id=self.envelope_id,
                priority=self.priority,
                causation_id=self.causation_id,
                hops=self.hops,
                hops_max=self.hops_max,
                ttl_seconds=self.ttl_seconds,
                idempotency_key=self.idempotency_key,
                unreachable=self.clearance.unreachable,
                **self.origin,
            )
        except CommandRejected as error:
            self.refusal = error
            return [self._rejected(error, content=self.content)]

    def _participants(self) -> Sequence[str]:
        return self.core.authorizer.participants(self.channel_id)

    def _rejected(self, error: HubError, *, content: Any) -> EnvelopeRejected:
        return EnvelopeRejected(
            channel_id=self.channel_id,
            agent_id=self.sender_id,
            reason=str(error),
            error=type(error).__name__,
            code=_code_of(error),
            content=content,
            audience=None if self.audience is None else tuple(self.audience),
            **self.origin,
        )


def _code_of(error: HubError) -> str:
    if isinstance(error, EventTooLarge):
        return "too_large"
    return getattr(error, "code", "not_found" if isinstance(error, NotFound) else "")
