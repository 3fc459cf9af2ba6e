"""Emitting an event where there are rules for it, or an arbiter: both see the event as it is committed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from .._commit.ingress import Ingress
from ..context import Context, current
from ..events import Event
from .authorizer import About, Authorizer

if TYPE_CHECKING:
    from .validating import Doubt, Validating  # imported for a hub with rules

__all__ = ("Emitting",)

E = TypeVar("E", bound=Event)


class Emitting:
    """Checks events that are to be emitted by the rules of the hub, and has the arbiter decide about them."""

    def __init__(self, ingress: Ingress, authorizer: Authorizer) -> None:
        self._ingress = ingress
        self._authorizer = authorizer
        self.validating: Validating | None = None
        """None without rules."""
        self.is_needed: bool = authorizer.has_arbiter
        """Whether there are rules or an arbiter, which is known when the hub is made: without them, do not ask."""

    def connect(self, validating: Validating | None) -> None:
        """Say, once and before the start, by which rules events are checked."""
        self.validating = validating
        self.is_needed = self.is_needed or validating is not None

    async def allowed(self, event: E) -> E:
        """Return the event, frozen as it was looked at.

        Raises :class:`~hubwire.errors.EventInvalid` if it breaks a rule, and :class:`~hubwire.errors.AccessDenied` if
        the arbiter denies it.
        """
        event, doubts = self._validated(event)
        if self._authorizer.has_arbiter:
            event = await self.authorized(event)
        if doubts and self.validating is not None:
            self.validating.note(doubts)
        return event

    def allowed_now(self, event: E) -> E:
        """Do the same for a caller that cannot wait."""
        event, doubts = self._validated(event)
        if self._authorizer.has_arbiter:
            event = self._authorized_now(event)
        if doubts and self.validating is not None:
            self.validating.note(doubts)
        return event

    def _validated(self, event: E) -> tuple[E, Sequence[Doubt]]:
        if self.validating is None or self.validating.is_free(event):
            return event, ()
        (event,), doubts = self.validating.checked((event,))
        return event, doubts

    async def all_allowed(self, events: Sequence[E], around: Context | None = None) -> Sequence[E]:
        """Do the same for the events of a batch: the arbiter is asked when all of them are right."""
        doubts: Sequence[Doubt] = ()
        if self.validating is not None:
            events, doubts = self.validating.checked(events, around, are_batch=True)
        if self._authorizer.has_arbiter:
            events = [await self.authorized(event) for event in events]
        if doubts and self.validating is not None:
            self.validating.note(doubts)
        return events

    def check(self, event: Event, around: Context) -> None:
        """Raise :class:`~hubwire.errors.EventInvalid` if the event breaks a rule: one that is committed later."""
        if self.validating is not None:
            self.validating.checked((event,), around)

    async def authorized(self, event: E) -> E:
        """Return the event, frozen as the arbiter has seen it; raise if it denies it. No rule is looked at."""
        event = self._ingress.freeze(event)
        await self._authorizer.authorize("emit", event.agent_id or current().agent_id, **self._about(event))
        return event

    def _authorized_now(self, event: E) -> E:
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
