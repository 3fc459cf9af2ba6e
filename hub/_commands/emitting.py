"""Emitting an event when there is an arbiter: it sees the event as it is committed."""

from __future__ import annotations

from typing import TypeVar

import attrs

from .._commit.ingress import Ingress
from ..context import current
from ..events import Event
from .authorizer import About, Authorizer

__all__ = ("Emitting",)

E = TypeVar("E", bound=Event)


@attrs.frozen(eq=False, repr=False)
class Emitting:
    """Has the arbiter decide about events that are to be emitted."""

    _ingress: Ingress
    _authorizer: Authorizer

    async def allowed(self, event: E) -> E:
        """Return the event, frozen as the arbiter has seen it; raise if it denies it."""
        event = self._ingress.freeze(event)
        await self._authorizer.authorize("emit", event.agent_id or current().agent_id, **self._about(event))
        return event

    def allowed_now(self, event: E) -> E:
        """Do the same for a caller that cannot wait."""
        event = self._ingress.freeze(event)
        self._authorizer.authorize_now("emit", event.agent_id or current().agent_id, **self._about(event))
        return event

    def _about(self, event: Event) -> About:
        channel_id = event.channel_id or current().channel_id
        return {
            "channel_id": channel_id,
            "present": self._authorizer.participants(channel_id),
            "content": event,
            "facts": {"kind": event.kind},
        }
