"""Handling envelopes: a turn for each, the facts about it, and what becomes of the envelope."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import attrs

from .._commands.agents import Agent
from .._commands.core import Core, new_id
from .._commands.inboxes import Delivery
from .._foreign.abandoned import Abandoned
from .._foreign.guards import class_name, message_of, text_of
from .._foreign.tasks import TimeOver
from .._state import State
from .._state.drafts import Draft
from .._values import Value
from ..context import scope
from ..errors import HubClosed, HubFailed
from ..events import EnvelopeExpired, EnvelopePosted, Event, TurnAbandoned, TurnEnded, TurnFailed, TurnStarted
from ..events._making import event_maker, maker
from ..own_log import OwnLog
from ..ports import Clock
from .asks import Asks
from .calls import TurnCall
from .effects import Commit, Effects
from .rules import Handling
from .states import kind_of
from .turn import Turn
from .visibility import Visibility

__all__ = ("Seat", "Services", "TurnHandler")

_log = OwnLog("hub")

_ABOUT = ("agent_id", "channel_id", "turn_id", "causation_id")
_turn_started = event_maker(TurnStarted, *_ABOUT, "envelope_id", known=(*_ABOUT, "envelope_id"))
_turn = maker(
    Turn,
    "visibility",
    "asks",
    "stop",
    "effects",
    "core",
    "hub_state",
    "id",
    "hub",
    "agent",
    "delivery",
)
_turn_ended = event_maker(TurnEnded, *_ABOUT, known=_ABOUT)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Services(Value):
    """What all actors of a hub use."""

    core: Core
    state: State
    clock: Clock
    asks: Asks
    acting_as: Callable[[Agent], object]
    """Makes what the actor of an agent gets as its hub."""
    abandoned: Abandoned
    """Through which the code of actors is called."""
    is_recovered: Callable[[Event], bool]
    """Tells whether an event is of a run of the hub before this one."""
    stop_deadline: Callable[[], float]
    """Returns the moment at which an ``on_stop`` that is called now is cancelled, in ``anyio.current_time()``."""


@attrs.frozen(eq=False, repr=False)
class Seat(Value):
    """The seat by which an actor runs, where it could run on other nodes, too."""

    core: Core
    """The hub as the seat has it."""
    since_seq: int
    """Of the event by which it was given."""

    def is_earlier(self, event: Event) -> bool:
        """Tell whether an event is from before the seat was given: another node may have ended by it."""
        return event.seq < self.since_seq


class TurnHandler:
    """Has one actor handle the envelopes of its agent."""

    def __init__(
        self,
        services: Services,
        agent: Agent,
        actor: Any,
        handling: Handling,
        seat: Seat | None = None,
        *,
        stop: Callable[[], None],
    ) -> None:
        self.handled: int = 0
        """How many envelopes were handled to the end."""
        self.failed: int = 0
        """How many turns have failed."""
        self._services = services
        self._core: Core = services.core if seat is None else seat.core
        self._is_recovered: Callable[[Event], bool] = services.is_recovered if seat is None else seat.is_earlier
        self._inboxes = services.state.inboxes
        self._asks: Asks = services.asks
        self._hub = services.acting_as(agent)
        self._own_core = self._core.as_one(agent.id)
        self._agent = Agent(self._own_core, services.state, agent.id, agent.name)
        self._actor = actor
        self._name = f"on_envelope of actor {agent.name!r}"
        self._retry = handling.retry
        self._visibility_seconds = handling.visibility_seconds
        self._stop = stop
        self._state_kind = kind_of(actor)

    async def handle(self, delivery: Delivery) -> Exception | None:
        """Have the actor handle an envelope; return what it crashed with, if it did.

        Raises :class:`~hubwire.errors.HubClosed`, or what the hub failed with, if the hub takes no facts any more.
        """
        envelope = delivery.event
        if self._asks.is_stale(envelope):
            await self._expire(delivery)
        elif self._asks.is_answer(envelope):
            pass  # it leaves the inbox when the task that has asked goes on
        elif (on_envelope := self._method_for(envelope)) is None:
            await self._conclude(lambda: self._ack(delivery))
        elif self._is_used_up(delivery):
            await self._conclude(lambda: self._dead_letter(delivery, "its last turn came to no end", of_before=True))
        else:
            return await self._take_turn(delivery, on_envelope)
        return None

    def _method_for(self, envelope: EnvelopePosted) -> Callable[[Any], Awaitable[None]] | None:
        """Return what is called with the turn; None for a notice, if the actor has no ``on_notice``."""
        method: Callable[[Any], Awaitable[None]] | None
        method = getattr(self._actor, "on_notice", None) if envelope.is_notice else self._actor.on_envelope
        return method

    async def _take_turn(self, delivery: Delivery, on_envelope: Callable[[Any], Awaitable[None]]) -> Exception | None:
        envelope = delivery.event
        agent, turn_id = self._agent, new_id()
        with _scope_of(envelope):
            # Without admission: at most one for each envelope, which the hub has admitted.
            begun = _turn_started(
                agent_id=agent.id,
                channel_id=envelope.channel_id,
                turn_id=turn_id,
                causation_id=envelope.id,
                envelope_id=envelope.envelope_id,
            )
            started = self._core.announce([begun])
            try:
                if started and self._is_recovered(envelope):
                    # It may have ended the process before, faster than the journal: now the beginning is kept first.
                    await self._core.until_committed(started[0].seq)
                call, commit, error = await self._call(turn_id, delivery, on_envelope)
                if error is None and not call.was_cancelled:
                    error = await self._commit(commit)
                    if error is None:
                        return None
            except BaseException:
                abandoned = TurnAbandoned(**_about(agent, turn_id, envelope), reason="the actor was stopped")
                self._core.announce([abandoned])
                raise
            about = _about(agent, turn_id, envelope)
            if call.is_withdrawn and (error is not None or call.was_cancelled):
                abandoned = TurnAbandoned(**about, reason="no task waits for its answer any more")
                await self._conclude(lambda: [abandoned, *self._expiry(delivery)])
                return None
            assert error is not None
            if isinstance(error, HubClosed | HubFailed) and not self._core.is_open:
                raise error
            self.failed += 1
            told = [*commit.rejection(error), _failed(about, envelope, error)]
            await self._conclude(lambda: [*told, *self._give_back(delivery, error)])
            if self._retry.is_crash(error):
                return error
            _log.problem("a turn has failed", error, actor=self._agent.name, envelope=envelope.envelope_id)
            return None

    async def _call(
        self, turn_id: str, delivery: Delivery, on_envelope: Callable[[Any], Awaitable[None]]
    ) -> tuple[TurnCall, Commit, Exception | None]:
        """Have the actor handle the envelope in a turn; return the call, what it leaves to commit, what it raised."""
        envelope, services = delivery.event, self._services
        effects = Effects(self._core, services.state, delivery, turn_id, self._state_kind)
        visibility = Visibility(services.clock, self._visibility_seconds)
        turn = _turn(
            visibility=visibility,
            asks=self._asks,
            stop=self._stop,
            effects=effects,
            core=self._own_core,
            hub_state=services.state,
            id=turn_id,
            hub=self._hub,
            agent=self._agent,
            delivery=delivery,
        )
        workload = self._asks.workload
        error: Exception | None = None
        call = TurnCall(services.core, self._agent.id, envelope, self._asks.of_question(envelope), turn_id)
        workload.begin(call)
        try:
            with call:
                # It begins at once, so that the beginning of a short turn and its end are one batch of the journal.
                await services.abandoned.call(
                    self._name,
                    on_envelope,
                    turn,
                    seconds=visibility.seconds,
                    clock=visibility,
                    waiting=call.waiting,
                )
        except TimeOver:
            error = TimeoutError(f"it has held the envelope for {visibility.text}, and was cancelled")
        except Exception as raised:  # noqa: BLE001 - that is what a failed turn is
            error = raised
        finally:
            commit = effects.end()
            workload.end(call)
        return call, commit, error

    async def _commit(self, commit: Commit) -> Exception | None:
        """Commit what the turn has held, with the ack of its envelope; return what it fails with, if it does."""
        ending = partial(self._ending, commit.turn_id, commit.delivery)
        try:
            if commit.is_empty:
                await self._conclude(ending)
            else:
                stale = partial(self._stale, commit.turn_id, commit.delivery)
                if isinstance((await commit.run(ending, stale))[0], TurnAbandoned):
                    return None
        except Exception as error:  # noqa: BLE001 - of a post that was refused, or of a state that cannot be kept
            return error
        self.handled += 1
        return None

    def _ending(self, turn_id: str, delivery: Delivery, draft: Draft | None = None) -> Sequence[Event]:
        envelope = delivery.event
        ended = _turn_ended(
            agent_id=self._agent.id, channel_id=envelope.channel_id, turn_id=turn_id, causation_id=envelope.id
        )
        if draft is not None and draft.has_dropped(delivery.agent_id, envelope.envelope_id):
            return [ended]
        return [ended, *self._ack(delivery)]

    def _stale(self, turn_id: str, delivery: Delivery) -> Sequence[Event]:
        reason = (
            "its envelope has expired, was dropped, nacked, or given to another reader meanwhile; nothing that it held"
            " was posted"
        )
        return [TurnAbandoned(**_about(self._agent, turn_id, delivery.event), reason=reason)]

    # -- what becomes of the envelope --

    async def _conclude(self, decide: Callable[[], Sequence[Event]]) -> None:
        """Report the end of a turn and of its envelope in one command, even while the actor is being stopped."""
        await self._core.execute_shielded(decide)

    def _is_held(self, delivery: Delivery) -> bool:
        """Tell whether this very delivery is still to be acked; the actor may have done so, or nacked it."""
        return self._inboxes.is_held(delivery.agent_id, delivery.event.envelope_id, delivery.attempt)

    def _ack(self, delivery: Delivery) -> Sequence[Event]:
        return self._inboxes.settle(delivery.agent_id, delivery.event.envelope_id, delivery.attempt)

    def _give_back(self, delivery: Delivery, error: Exception) -> Sequence[Event]:
        """Decide what becomes of an envelope whose turn has failed."""
        reason = text_of(error)
        if self._retry.is_hopeless(error):
            return self._dead_letter(delivery, reason)
        if not self._is_held(delivery):
            return ()
        pause = self._retry.backoff.pause_seconds(delivery.attempt)
        return self._inboxes.nack(
            delivery.agent_id, delivery.event.envelope_id, pause, reason, self._retry.attempts_max
        )

    def _dead_letter(self, delivery: Delivery, reason: str, *, of_before: bool = False) -> Sequence[Event]:
        if not self._is_held(delivery):
            return ()
        attempts = delivery.attempt - of_before
        return self._inboxes.dead_letter(delivery.agent_id, delivery.event.envelope_id, reason, attempts)

    def _is_used_up(self, delivery: Delivery) -> bool:
        """Tell whether an envelope has had all its attempts: the last one ended the process."""
        if delivery.attempt == 1 or not self._is_held(delivery):
            return False
        return delivery.attempt > (self._retry.attempts_max or self._inboxes.attempts_max(self._agent.id))

    async def _expire(self, delivery: Delivery) -> None:
        """Let a question expire, because no task waits for its answer."""
        if expired := self._core.announce(self._expiry(delivery)):
            await self._core.until_committed(expired[-1].seq)

    def _expiry(self, delivery: Delivery) -> Sequence[Event]:
        if not self._is_held(delivery):
            return ()
        event = delivery.event
        return [EnvelopeExpired(agent_id=delivery.agent_id, channel_id=event.channel_id, envelope_id=event.envelope_id)]


def _scope_of(envelope: EnvelopePosted) -> AbstractContextManager[object]:
    """Return the scope of a turn: what it emits inherits these of its envelope, which mostly has none."""
    correlation_id, tenant, traceparent = envelope.correlation_id, envelope.tenant, envelope.traceparent
    if correlation_id is None and tenant is None and traceparent is None:
        return _NO_SCOPE
    return scope(correlation_id=correlation_id, tenant=tenant, traceparent=traceparent)


_NO_SCOPE = nullcontext()


def _about(agent: Agent, turn_id: str, envelope: EnvelopePosted) -> dict[str, Any]:
    return {
        "agent_id": agent.id,
        "channel_id": envelope.channel_id,
        "turn_id": turn_id,
        "causation_id": envelope.id,
    }


def _failed(about: dict[str, Any], envelope: EnvelopePosted, error: Exception) -> TurnFailed:
    return TurnFailed(
        **about,
        envelope_id=envelope.envelope_id,
        error_type=class_name(error),
        error_message=message_of(error),
    )
