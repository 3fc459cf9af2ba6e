"""A turn: an envelope in the hands of an actor, and what it may do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import attrs

from .._commands.agents import Agent
from .._commands.channels import Channel
from .._commands.inboxes import Delivery
from ..events import EnvelopePosted
from .asks import Asks

__all__ = ("Turn",)

HubT_co = TypeVar("HubT_co", covariant=True)


@attrs.frozen(eq=False, kw_only=True)
class Turn(Generic[HubT_co]):
    """An envelope in the hands of an actor, and what it may do about it.

    What it emits inherits the envelope's correlation id, tenant and trace context.
    """

    _asks: Asks = attrs.field(repr=False, alias="asks")
    _stop: Callable[[], None] = attrs.field(repr=False, alias="stop")
    id: str
    """The ``turn_id`` that ``turn.started``, ``.ended``, ``.failed`` and ``.abandoned`` carry."""
    hub: HubT_co = attrs.field(repr=False)
    """The hub that the actor was spawned on. Closing it from here returns at once: the hub waits for the turn."""
    agent: Agent
    channel: Channel
    """Where the envelope was posted; it may have ended since."""
    delivery: Delivery

    @property
    def envelope(self) -> EnvelopePosted:
        return self.delivery.event

    @property
    def content(self) -> Any:
        return self.envelope.content

    async def post(
        self,
        content: Any,
        *,
        to: Iterable[Agent | str] | None = None,
        priority: str = "normal",
        idempotency_key: str | None = None,
    ) -> EnvelopePosted:
        """Post in the envelope's channel, because of the envelope: see :meth:`Channel.post`.

        With an ``idempotency_key``, a turn that is repeated after a crash does not post it a second time.
        """
        return await self.channel.post(
            self.agent,
            content,
            to=to,
            caused_by=self.delivery,
            priority=priority,
            idempotency_key=idempotency_key,
        )

    async def reply(self, content: Any, *, idempotency_key: str | None = None) -> EnvelopePosted:
        """Answer the envelope's sender: what its ask returns if the envelope is a question, else in its inbox."""
        to = () if self._asks.is_question(self.envelope) else (self.envelope.agent_id or "",)
        return await self.post(content, to=to, idempotency_key=idempotency_key)

    async def ask(
        self,
        answerer: Agent | str,
        content: Any,
        *,
        timeout: float = 60.0,
        channel: Channel | None = None,
        linked: bool = True,
    ) -> EnvelopePosted:
        """Ask another agent, and return its answer: see :meth:`hubwire.Hub.ask`."""
        return await self._asks.ask(self.agent, answerer, content, timeout=timeout, channel=channel, is_linked=linked)

    def stop(self) -> None:
        """Stop the actor when the envelopes that it handles are done. A permanent one is started again."""
        self._stop()
