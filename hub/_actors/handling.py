"""Handling envelopes: a turn for each, the facts about it, and what becomes of the envelope."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import anyio
import attrs

from .._commands.agents import Agent
from .._commands.channels import Channel
from .._commands.core import Core, new_id
from .._commands.inboxes import Delivery
from .._foreign.guards import message_of, text_of
from .._state import State
from ..context import scope
from ..errors import HubClosed, HubFailed
from ..events import EnvelopeExpired, EnvelopePosted, Event, TurnAbandoned, TurnEnded, TurnFailed, TurnStarted
from .actor import called
from .asks import Asks
from .calls import TurnCall
from .turn import Turn

__all__ = ("Services", "TurnHandler")


@attrs.frozen(kw_only=True)
class Services:
    """What all actors of a hub use."""

    core: Core
    state: State
    asks: Asks
    hub: object
    """What actors get as their hub."""
    stop_deadline: Callable[[], float]
    """Returns the moment at which an ``on_stop`` that is called now is cancelled, in ``anyio.current_time()``."""


class TurnHandler:
    """Has one actor handle the envelopes of its agent."""

    def __init__(
        self, services: Services, agent: Agent, actor: Any, *, retry_seconds: float, stop: Callable[[], None]
    ) -> None:
        self.handled: int = 0
        """How many envelopes were handled to the end."""
        self._services = services
        self._core: Core = services.core
        self._inboxes = services.state.inboxes
        self._asks: Asks = services.asks
        self._agent = agent
        self._actor = actor
        self._retry_seconds = retry_seconds
        self._stop = stop

    async def handle(self, delivery: Delivery) -> Exception | None:
        """Have the actor handle an envelope; return what it crashed with, if it did.

        Raises :class:`~hubwire.errors.HubClosed`, or what the hub failed with, if the hub takes no facts any more.
        """
        envelope = delivery.event
        if self._asks.is_stale(envelope):
            await self._expire(delivery)
            return None
        if self._asks.is_answer(envelope):
            return None
        about = _about(self._agent, envelope)
        with scope(correlation_id=envelope.correlation_id, tenant=envelope.tenant, traceparent=envelope.traceparent):
            # Without admission: at most one for each envelope, which the hub has admitted.
            self._core.announce([TurnStarted(**about, envelope_id=envelope.envelope_id)])
            try:
                call, error = await self._call(about["turn_id"], delivery)
            except BaseException:
                self._core.announce([TurnAbandoned(**about, reason="the actor was stopped")])
                raise
            if call.is_withdrawn and (error is not None or call.scope.cancelled_caught):
                abandoned = TurnAbandoned(**about, reason="no task waits for its answer any more")
                await self._conclude(lambda: [abandoned, *self._expiry(delivery)])
                return None
            if error is None:
                await self._conclude(lambda: [TurnEnded(**about), *self._ack(delivery)])
                self.handled += 1
                return None
            if isinstance(error, HubClosed | HubFailed) and not self._core.is_open:
                raise error
            await self._conclude(lambda: [_failed(about, envelope, error), *self._nack(delivery, error)])
            return error

    async def _call(self, turn_id: str, delivery: Delivery) -> tuple[TurnCall, Exception | None]:
        """Have the actor handle the envelope in a turn; return the call, and what it raised."""
        envelope, services = delivery.event, self._services
        turn = Turn(
            asks=self._asks,
            stop=self._stop,
            id=turn_id,
            hub=services.hub,
            agent=self._agent,
            channel=Channel(self._core, services.state, envelope.channel_id or ""),
            delivery=delivery,
        )
        workload = self._asks.workload
        with anyio.CancelScope() as turn_scope:
            call = TurnCall(self._core, self._agent.id, envelope, turn_scope)
            workload.begin(call)
            try:
                with call:
                    await called(self._actor.on_envelope, turn)
            except Exception as error:  # noqa: BLE001 - that is what a crash is
                return call, error
            finally:
                workload.end(call)
        return call, None

    # -- what becomes of the envelope --

    async def _conclude(self, decide: Callable[[], Sequence[Event]]) -> None:
        """Report the end of a turn and of its envelope in one command, even while the actor is being stopped."""
        with anyio.CancelScope(shield=True):
            await self._core.execute(decide)

    def _is_held(self, delivery: Delivery) -> bool:
        """Tell whether this very delivery is still to be acked; the actor may have done so, or nacked it."""
        waiting = self._inboxes.find(delivery.agent_id, delivery.event.envelope_id)
        return waiting is not None and waiting.attempts + 1 == delivery.attempt and waiting.delayed_until_ns is None

    def _ack(self, delivery: Delivery) -> Sequence[Event]:
        if not self._is_held(delivery):
            return ()
        return self._inboxes.ack(delivery.agent_id, delivery.event.envelope_id)

    def _nack(self, delivery: Delivery, error: Exception) -> Sequence[Event]:
        if not self._is_held(delivery):
            return ()
        delay_seconds = self._retry_seconds * 2.0 ** (delivery.attempt - 1)
        return self._inboxes.nack(delivery.agent_id, delivery.event.envelope_id, delay_seconds, text_of(error))

    async def _expire(self, delivery: Delivery) -> None:
        """Let a question expire, because no task waits for its answer."""
        if expired := self._core.announce(self._expiry(delivery)):
            await self._core.until_committed(expired[-1].seq)

    def _expiry(self, delivery: Delivery) -> Sequence[Event]:
        if not self._is_held(delivery):
            return ()
        event = delivery.event
        return [EnvelopeExpired(agent_id=delivery.agent_id, channel_id=event.channel_id, envelope_id=event.envelope_id)]


def _about(agent: Agent, envelope: EnvelopePosted) -> dict[str, Any]:
    return {
        "agent_id": agent.id,
        "channel_id": envelope.channel_id,
        "turn_id": new_id(),
        "causation_id": envelope.id,
    }


def _failed(about: dict[str, Any], envelope: EnvelopePosted, error: Exception) -> TurnFailed:
    return TurnFailed(
        **about,
        envelope_id=envelope.envelope_id,
        error_type=type(error).__name__,
        error_message=message_of(error),
    )
