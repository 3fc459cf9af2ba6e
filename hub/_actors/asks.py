"""Asks: a question and its answer, tied together by causation, and who waits for whom.

A question is an envelope, by default in a channel of its own; the answer is an envelope caused by it. A question whose
``idempotency_key`` begins with ``LINKED`` lives no longer than its asker waits, also across a restart of the hub: then
nobody waits any more, and an actor lets it expire unhandled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import anyio
import attrs

from .._commands import Agent, Channel, ChannelCommands, Core, new_id
from .._commands.agents import id_of
from .._foreign.timeouts import asked
from .._state import State
from ..errors import AskCycle, AskFailed, AskTimeout, ConfigurationError
from ..events import (
    AgentUnregistered,
    ChannelClosed,
    ChannelExpired,
    EnvelopeDeadLettered,
    EnvelopeDropped,
    EnvelopeExpired,
    EnvelopePosted,
    Event,
)
from ..ports import Clock

__all__ = ("Asks", "Working", "working")

ASKED = "hubwire-ask:"
LINKED = f"{ASKED}linked:"
_TTL_SPARE_SECONDS = 60.0
"""How long a channel outlives its question's time: it is closed earlier, unless the hub was killed."""


@attrs.define(eq=False)
class Working:
    """A turn under way: whose it is, what it handles, and what it waits for."""

    agent_id: str
    envelope: EnvelopePosted
    scope: anyio.CancelScope
    asks: set[_Ask] = attrs.field(factory=set)
    is_withdrawn: bool = False
    """Whether nobody waits for what comes out of it."""


@attrs.define(eq=False)
class _Ask:
    asker_id: str
    answerer_id: str
    key: str
    turn: Working | None
    answer: asyncio.Future[EnvelopePosted]
    channel_id: str = ""
    is_channel_own: bool = True
    question: EnvelopePosted | None = None

    def fail(self, reason: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(AskFailed(f"agent {self.answerer_id} will not answer: {reason}"))


working: ContextVar[Working | None] = ContextVar("hubwire.working", default=None)
"""The turn in which code runs."""


class Asks:
    """The questions that somebody waits for, and the turns that could answer them."""

    def __init__(self, core: Core, state: State, channels: ChannelCommands, clock: Clock) -> None:
        self._core = core
        self._state = state
        self._channels = channels
        self._clock = clock
        self._by_key: dict[str, _Ask] = {}
        self._by_question: dict[str, _Ask] = {}
        self._seats: dict[str, int] = {}
        self._working: dict[str, set[Working]] = {}
        self._answers: set[str] = set()
        core.on_applied(EnvelopePosted, self._posted)
        for kind in (EnvelopeDeadLettered, EnvelopeDropped):
            core.on_applied(kind, self._lost)
        for end in (ChannelClosed, ChannelExpired):
            core.on_applied(end, self._channel_ended)
        core.on_applied(AgentUnregistered, self._left)
        core.at_end(self._end)

    def __len__(self) -> int:
        return len(self._by_key)

    # -- what actors tell and ask --

    def sit(self, agent_id: str, seats: int) -> None:
        """An actor reads this inbox now, and handles so many envelopes at a time; none: it reads no more."""
        if seats:
            self._seats[agent_id] = seats
        else:
            self._seats.pop(agent_id, None)

    def begin(self, turn: Working) -> None:
        self._working.setdefault(turn.agent_id, set()).add(turn)

    def end(self, turn: Working) -> None:
        turns = self._working[turn.agent_id]
        turns.remove(turn)
        if not turns:
            del self._working[turn.agent_id]

    def is_question(self, envelope: EnvelopePosted) -> bool:
        """Tell whether who posted this waits, or has waited, for an answer that is in no inbox."""
        return (envelope.idempotency_key or "").startswith(ASKED)

    def is_answer(self, envelope: EnvelopePosted) -> bool:
        """Tell whether somebody has waited for this envelope, and gets it without reading an inbox."""
        return envelope.envelope_id in self._answers

    def is_stale(self, envelope: EnvelopePosted) -> bool:
        """Tell whether this is a question that lives as long as its asker waits, and nobody waits."""
        key = envelope.idempotency_key
        return key is not None and key.startswith(LINKED) and key not in self._by_key

    # -- asking --

    async def ask(
        self,
        asker: Agent | str,
        answerer: Agent | str,
        content: Any,
        *,
        timeout: float,
        channel: Channel | None,
        is_linked: bool,
    ) -> EnvelopePosted:
        """See :meth:`hubwire.Hub.ask`."""
        if not timeout > 0:
            raise ConfigurationError(f"an ask has a timeout of more than 0 seconds, not {timeout!r}")
        self._core.check_may_wait("an answer")
        turn = working.get()
        ask = _Ask(
            asker_id=id_of(asker),
            answerer_id=id_of(answerer),
            key=f"{LINKED if is_linked else ASKED}{new_id()}",
            turn=turn,
            answer=asyncio.get_running_loop().create_future(),
        )
        self._by_key[ask.key] = ask
        if turn is not None:
            turn.asks.add(ask)
        try:
            self._check_cycle(ask)
            return await self._carry_out(ask, content, timeout, channel, is_linked=is_linked)
        finally:
            self._forget(ask, is_linked=is_linked)

    async def _carry_out(
        self, ask: _Ask, content: Any, timeout: float, channel: Channel | None, *, is_linked: bool
    ) -> EnvelopePosted:
        ttl_seconds = timeout if is_linked else None
        cause = None if ask.turn is None else ask.turn.envelope

        async def exchange() -> EnvelopePosted:
            where = channel
            if where is None:
                where = await self._channels.open(
                    [ask.asker_id, ask.answerer_id],
                    type="consulting",
                    topic="ask",
                    ttl_seconds=None if ttl_seconds is None else ttl_seconds + _TTL_SPARE_SECONDS,
                )
            ask.channel_id, ask.is_channel_own = where.id, channel is None
            question = await where.post(
                ask.asker_id,
                content,
                to=[ask.answerer_id],
                caused_by=cause,
                idempotency_key=ask.key,
                ttl_seconds=ttl_seconds,
            )
            if ask.answerer_id not in question.recipients:
                raise AskFailed(f"the question did not reach agent {ask.answerer_id}; see envelope.dispatch_failed")
            answer = await ask.answer
            await self._core.until_committed(answer.seq)
            return answer

        try:
            answer: EnvelopePosted = await asked(self._clock, timeout, exchange)
        except TimeoutError:
            raise AskTimeout(f"agent {ask.answerer_id} has not answered within {timeout:g} s") from None
        return answer

    def _forget(self, ask: _Ask, *, is_linked: bool) -> None:
        """Nobody waits any more: see that nothing is left behind, neither an answer in an inbox nor a dead question."""
        del self._by_key[ask.key]
        if ask.turn is not None:
            ask.turn.asks.discard(ask)
        if ask.question is not None:
            del self._by_question[ask.question.id]
        answer = None
        if ask.answer.done() and not ask.answer.cancelled() and ask.answer.exception() is None:
            answer = ask.answer.result()
        if not self._core.is_stopped:
            events = list(self._withdrawal(ask) if answer is None and is_linked else ())
            if answer is not None and self._state.inboxes.find(ask.asker_id, answer.envelope_id) is not None:
                events += self._state.inboxes.ack(ask.asker_id, answer.envelope_id)
            self._core.announce(events)
        if answer is not None:
            self._answers.discard(answer.envelope_id)

    def _withdrawal(self, ask: _Ask) -> Iterator[Event]:
        state, question = self._state, ask.question
        turn = self._turn_of(ask)
        if turn is not None:
            turn.is_withdrawn = True
            turn.scope.cancel()
        elif question is not None and state.inboxes.find(ask.answerer_id, question.envelope_id) is not None:
            yield EnvelopeExpired(
                agent_id=ask.answerer_id, channel_id=question.channel_id, envelope_id=question.envelope_id
            )
        if ask.is_channel_own and ask.channel_id in state.channels:
            yield from state.endings.close(ask.channel_id, "nobody waits for the answer any more")

    # -- who waits for whom --

    def _check_cycle(self, ask: _Ask) -> None:
        if ask.asker_id == ask.answerer_id:
            raise AskCycle(f"agent {ask.asker_id} asks itself, and would wait for ever")
        above, chain = ask.turn, [ask.answerer_id, ask.asker_id]
        while above is not None and (cause := self._by_question.get(above.envelope.id)) is not None:
            chain.append(cause.asker_id)
            if cause.asker_id == ask.answerer_id:
                raise AskCycle(
                    f"agent {ask.answerer_id} waits for the answer that agent {ask.asker_id} asks it for:"
                    f" {' <- '.join(chain)}"
                )
            above = cause.turn
        if ask.turn is not None and ask.turn in self._stuck(ask):
            raise AskCycle(
                f"agent {ask.answerer_id} cannot answer agent {ask.asker_id}: all that it handles at present waits,"
                " over others perhaps, for this one; spawn it with a higher concurrency, or ask somebody else"
            )

    def _stuck(self, newest: _Ask) -> set[Working]:
        """Return the turns that can never end but by a timeout: each waits for an answer that needs one of them."""
        stuck = {turn for turns in self._working.values() for turn in turns if turn.asks}
        if self._has_time(newest.answerer_id, stuck):
            return set()
        while free := {turn for turn in stuck if all(self._is_answerable(each, stuck) for each in turn.asks)}:
            stuck -= free
        return stuck

    def _is_answerable(self, ask: _Ask, stuck: set[Working]) -> bool:
        turn = self._turn_of(ask)
        if turn is not None:
            return turn not in stuck
        return self._has_time(ask.answerer_id, stuck)

    def _has_time(self, agent_id: str, stuck: set[Working]) -> bool:
        """Tell whether an agent handles another envelope sooner or later. Of who is no actor, nothing is known."""
        turns = self._working.get(agent_id, set())
        if len(turns) < self._seats.get(agent_id, len(turns) + 1):
            return True
        return any(turn not in stuck for turn in turns)

    def _turn_of(self, ask: _Ask) -> Working | None:
        """Return the turn that handles the question; None before and after."""
        question = ask.question
        if question is None:
            return None
        turns = self._working.get(ask.answerer_id, ())
        return next((turn for turn in turns if turn.envelope.envelope_id == question.envelope_id), None)

    # -- what happens to questions --

    def _posted(self, event: EnvelopePosted) -> None:
        if not self._by_key:
            return
        if (asked_now := self._by_key.get(event.idempotency_key or "")) is not None:
            asked_now.question = event
            self._by_question[event.id] = asked_now
        elif (ask := self._by_question.get(event.causation_id or "")) is not None:
            addressed = not event.audience or ask.asker_id in event.audience
            is_from_answerer = event.agent_id == ask.answerer_id and event.channel_id == ask.channel_id
            if addressed and is_from_answerer and not ask.answer.done():
                self._answers.add(event.envelope_id)
                ask.answer.set_result(event)

    def _lost(self, event: EnvelopeDeadLettered | EnvelopeDropped) -> None:
        for ask in self._by_key.values():
            if ask.question is not None and (ask.answerer_id, ask.question.envelope_id) == (
                event.agent_id,
                event.envelope_id,
            ):
                ask.fail(f"it could not handle the question, which was dead-lettered or dropped ({event.reason})")

    def _channel_ended(self, event: ChannelClosed | ChannelExpired) -> None:
        for ask in self._by_key.values():
            if ask.channel_id == event.channel_id:
                ask.fail("the channel of the question has ended")

    def _left(self, event: AgentUnregistered) -> None:
        for ask in self._by_key.values():
            if event.agent_id in (ask.answerer_id, ask.asker_id):
                ask.fail(f"agent {event.agent_id} has left the hub")

    def _end(self) -> None:
        for ask in self._by_key.values():
            if not ask.answer.done():
                ask.answer.set_exception(self._core.end_error("the hub was closed before the answer came"))
