"""Asks: a question and its answer, tied together by causation.

A question is an envelope, by default in a channel of its own; the answer is an envelope caused by it. A question whose
``idempotency_key`` begins with ``LINKED`` lives no longer than its asker waits, also across a restart of the hub: then
no task waits any more, and an actor lets the question expire unhandled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from .._commands.agents import Agent, id_of
from .._commands.channels import Channel, ChannelCommands
from .._commands.core import Core, new_id
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
from .calls import turn_of
from .workload import Ask, Workload

__all__ = ("Asks",)

ASKED = "hubwire-ask:"
LINKED = f"{ASKED}linked:"
_TTL_SPARE_SECONDS = 60.0
"""How long a channel outlives its question's time: it is closed earlier, unless the hub was killed."""


class Asks:
    """The questions whose answers tasks wait for."""

    def __init__(self, core: Core, state: State, channels: ChannelCommands, clock: Clock) -> None:
        self.workload: Workload = Workload()
        self._core = core
        self._state = state
        self._channels = channels
        self._clock = clock
        self._by_key: dict[str, Ask] = {}
        self._by_question: dict[str, Ask] = {}
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

    # -- what an envelope is --

    def is_question(self, envelope: EnvelopePosted) -> bool:
        """Tell whether a task waits, or has waited, for an answer to this that is in no inbox."""
        return (envelope.idempotency_key or "").startswith(ASKED)

    def is_answer(self, envelope: EnvelopePosted) -> bool:
        """Tell whether a task has waited for this envelope, and gets it without reading an inbox."""
        return envelope.envelope_id in self._answers

    def is_stale(self, envelope: EnvelopePosted) -> bool:
        """Tell whether this is a question that lives as long as its asker waits, and no task waits."""
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
        ask = Ask(
            asker_id=id_of(asker),
            answerer_id=id_of(answerer),
            key=f"{LINKED if is_linked else ASKED}{new_id()}",
            is_linked=is_linked,
            timeout=timeout,
            turn=turn_of(self._core),
            answer=asyncio.get_running_loop().create_future(),
        )
        self._by_key[ask.key] = ask
        self.workload.begin_waiting(ask)
        try:
            self._check_cycle(ask)
            answer: EnvelopePosted = await asked(self._clock, timeout, self._exchange, ask, content, channel)
        except TimeoutError:
            raise AskTimeout(f"agent {ask.answerer_id} has not answered within {timeout:g} s") from None
        finally:
            self._forget(ask)
        return answer

    async def _exchange(self, ask: Ask, content: Any, channel: Channel | None) -> EnvelopePosted:
        """Post the question; return the answer when it has committed."""
        ttl_seconds = ask.timeout if ask.is_linked else None
        ask.is_channel_own = channel is None
        if channel is None:
            channel = await self._channels.open(
                [ask.asker_id, ask.answerer_id],
                type="consulting",
                topic="ask",
                ttl_seconds=None if ttl_seconds is None else ttl_seconds + _TTL_SPARE_SECONDS,
            )
        ask.channel_id = channel.id
        question = await channel.post(
            ask.asker_id,
            content,
            to=[ask.answerer_id],
            caused_by=None if ask.turn is None else ask.turn.envelope,
            idempotency_key=ask.key,
            ttl_seconds=ttl_seconds,
        )
        if ask.answerer_id not in question.recipients:
            raise AskFailed(f"the question did not reach agent {ask.answerer_id}; see envelope.dispatch_failed")
        answer = await ask.answer
        await self._core.until_committed(answer.seq)
        return answer

    def _check_cycle(self, ask: Ask) -> None:
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
        if self.workload.is_deadlock(ask):
            raise AskCycle(
                f"agent {ask.answerer_id} cannot answer agent {ask.asker_id}: all that it handles at present waits,"
                " over others perhaps, for this one; spawn it with a higher concurrency, or ask another agent"
            )

    def _forget(self, ask: Ask) -> None:
        """The task waits no more: leave neither an answer in an inbox nor a question that no task waits for."""
        del self._by_key[ask.key]
        self.workload.end_waiting(ask)
        if ask.question is not None:
            del self._by_question[ask.question.id]
        if ask.answer.done() and not ask.answer.cancelled() and ask.answer.exception() is None:
            answer, inboxes = ask.answer.result(), self._state.inboxes
            if inboxes.find(ask.asker_id, answer.envelope_id) is not None and not self._core.is_stopped:
                self._core.announce(inboxes.ack(ask.asker_id, answer.envelope_id))
            self._answers.discard(answer.envelope_id)
        elif ask.is_linked and not self._core.is_stopped:
            self._core.announce(list(self._withdrawal(ask)))

    def _withdrawal(self, ask: Ask) -> Iterator[Event]:
        state, question = self._state, ask.question
        turn = self.workload.turn_for(ask)
        if turn is not None:
            turn.is_withdrawn = True
            turn.scope.cancel()
        elif question is not None and state.inboxes.find(ask.answerer_id, question.envelope_id) is not None:
            yield EnvelopeExpired(
                agent_id=ask.answerer_id, channel_id=question.channel_id, envelope_id=question.envelope_id
            )
        if ask.is_channel_own and ask.channel_id in state.channels:
            yield from state.endings.close(ask.channel_id, "no task waits for the answer any more")

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
