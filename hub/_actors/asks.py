"""Asks: a question and its answer, tied together by causation.

A question is an envelope, by default in no channel; the answer is an envelope caused by it. A question whose
``idempotency_key`` begins with ``LINKED`` lives no longer than its asker waits, also across a restart of the hub: then
no task waits any more, and an actor lets the question expire unhandled.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Coroutine, Iterable, Iterator
from functools import partial
from typing import Any

from .._commands.agents import Agent, id_of
from .._commands.channel import Channel
from .._commands.core import Core
from .._commands.direct import direct_post
from .._commands.posting import Posting
from .._commands.provenances import said_of
from .._foreign.arguments import Call
from .._foreign.guards import clean
from .._foreign.timeouts import within
from .._state import State
from .._state.keys import USED_ONCE
from .._state.origin import Origin
from ..clock import SystemClock
from ..errors import AskCycle, AskFailed, AskTimeout
from ..events import (
    AgentUnregistered,
    ChannelClosed,
    ChannelExpired,
    EnvelopeDeadLettered,
    EnvelopeDropped,
    EnvelopeExpired,
    EnvelopePosted,
    Event,
    TurnFailed,
)
from ..events._making import maker
from ..ports import Clock
from .alarms import Alarm
from .calls import Ask, TurnCall, turns_around
from .workload import Workload

__all__ = ("Asks",)

ASKED = USED_ONCE
LINKED = f"{ASKED}linked:"
_ASK = Call("hub.ask()")
_SAID_CHARS_MAX = 300
"""How much of why a turn failed is in an error."""

_ask = maker(
    Ask,
    "hub",
    "asker_id",
    "answerer_id",
    "answerer_name",
    "is_linked",
    "timeout",
    "end",
    "monotonic",
    "turns",
    "answer",
    "channel_id",
)


class Asks:
    """The questions whose answers tasks wait for."""

    def __init__(self, core: Core, state: State, clock: Clock) -> None:
        self.workload: Workload = Workload(core.demand)
        self._core = core
        self._state = state
        self._label = state.agents.label
        self._clock = clock
        self._by_key: dict[str, Ask] = {}
        self._by_question: dict[str, Ask] = {}
        """By the id of the event that posted the question."""
        self._by_envelope: dict[str, Ask] = {}
        self._by_channel: dict[str, set[Ask]] = {}
        """Of the questions that are in channels."""
        self._alarm = Alarm(self._by_key)
        self._answers: set[str] = set()
        self._closed: dict[str, str] = {}
        """Why agents that are registered do not answer: their actors were stopped with their groups."""
        core.on_applied(EnvelopePosted, self._posted)
        core.on_applied(TurnFailed, self._turn_failed)
        for kind in (EnvelopeDeadLettered, EnvelopeDropped):
            core.on_applied(kind, self._lost)
        for end in (ChannelClosed, ChannelExpired):
            core.on_applied(end, self._channel_ended)
        core.on_applied(AgentUnregistered, self._left)
        core.at_end(self._end)

    def through(self, core: Core) -> Asks:
        """Return the same asks as one command of another hub has them, by its own ``core``."""
        face = copy.copy(self)
        face._core = core  # noqa: SLF001 - it is one of this class
        return face

    def close(self, agent_id: str, reason: str) -> None:
        """The group of an agent's actor was stopped: it answers no question any more."""
        self._closed[agent_id] = reason
        for ask in self._by_key.values():
            if ask.answerer_id == agent_id:
                ask.fail(reason)

    def open(self, agent_id: str) -> None:
        """An agent has an actor, and answers perhaps."""
        self._closed.pop(agent_id, None)

    def __len__(self) -> int:
        return len(self._by_key)

    # -- what an envelope is --

    def of_question(self, envelope: EnvelopePosted) -> Ask | None:
        """Return what a task waits for, if this envelope is the question."""
        return self._by_question.get(envelope.id)

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
        provenance: Iterable[str] = (),
        call: Call = _ASK,
        face: Core | None = None,
    ) -> EnvelopePosted:
        """See :meth:`hubwire.Hub.ask`; ``face`` is the hub as the asker has it."""
        timeout = call.seconds("timeout", timeout)
        if channel is not None:
            call.instance("channel", channel, Channel, wanted="a Channel, or None")
        is_linked, said = call.flag("linked", is_linked), said_of(call, provenance)
        # Without rules, and to a channel that is there, the answerer is there or the question is refused.
        may_come = channel is None and self._core.demand.has_rules
        core = self._core
        if face is not None and face.acting.tenancy is not None:
            face.acting.check_channel(None if channel is None else channel.id)
            if may_come:
                core = face
            else:
                answerer = id_of(face, answerer, call, "answerer")
        if not may_come:
            return await self._begin(core, asker, answerer, content, timeout, channel, is_linked, said, call)
        given = (asker, answerer, content, timeout, channel, is_linked, said, call)
        return await core.demand.run(core, (answerer,), partial(self._begin_knowing, given))

    async def _begin_knowing(self, given: tuple[Any, ...], core: Core) -> EnvelopePosted:
        with core.knowing():
            asking = self._begin(core, *given)
        return await asking

    def _begin(
        self,
        core: Core,
        asker: Agent | str,
        answerer: Agent | str,
        content: Any,
        timeout: float,
        channel: Channel | None,
        is_linked: bool,  # noqa: FBT001 - a function of each ask, called in two places
        said: Origin,
        call: Call,
    ) -> Coroutine[Any, Any, EnvelopePosted]:
        asker_id, answerer_id = id_of(core, asker, call, "asker"), id_of(core, answerer, call, "answerer")
        ask = self._new(asker_id, answerer_id, timeout, channel, is_linked=is_linked)
        return self._ask(ask, self._posting(core, ask, content, said), timeout)

    def _new(self, asker_id: str, answerer_id: str, timeout: float, channel: Channel | None, *, is_linked: bool) -> Ask:
        self._core.check_may_wait("an answer")
        if answerer_id in self._closed and not self._core.demand.meets(answerer_id):
            raise AskFailed(
                f"{self._label(answerer_id)} will not answer: {self._closed[answerer_id]}; spawn its actor again, or"
                " ask another agent"
            )
        if channel is None:
            for each in (asker_id, answerer_id):
                self._state.agents.get(each)
        turns, clock = turns_around(), self._clock
        # What is asked for an answer is of no use when the time of that answer is over.
        above = [turn.ask.left() for turn in turns if turn.ask is not None and turn.ask.is_linked]
        given = min(timeout, *above) if above else timeout
        if given <= 0:
            raise AskTimeout(
                f"{self._label(answerer_id)} was not asked: the time of the question that is answered here is over"
            )
        answerer = self._state.agents.known(answerer_id)
        return _ask(
            hub=self._core,
            asker_id=asker_id,
            answerer_id=answerer_id,
            answerer_name=answerer_id if answerer is None else answerer.name,
            is_linked=is_linked,
            timeout=given,
            end=clock.monotonic() + given,
            monotonic=clock.monotonic,
            turns=turns,
            answer=asyncio.get_running_loop().create_future(),
            channel_id=None if channel is None else channel.id,
        )

    async def _ask(self, ask: Ask, posting: Posting, timeout: float) -> EnvelopePosted:
        """Post the question; return the answer when it has committed. ``timeout`` is what the caller has said."""
        self._by_key[ask.key] = ask
        if ask.channel_id is not None:
            self._by_channel.setdefault(ask.channel_id, set()).add(ask)
        self.workload.begin_waiting(ask)
        try:
            if posting.core.coming is None:
                self._check_cycle(ask)
            else:
                with posting.core.knowing():
                    self._check_cycle(ask)
            question = posting.put_now()
            if question is None:
                question = await within(self._clock, ask.timeout, self._post, ask, posting)
            if ask.answerer_id not in question.recipients:
                raise AskFailed(
                    f"the question did not reach {self._label(ask.answerer_id)}; see envelope.dispatch_failed"
                )
            if type(self._clock) is SystemClock:
                self._alarm.watch(ask)
                answer = await ask.answer
            else:
                answer = await within(self._clock, ask.left(), _result, ask.answer)
            if not self._core.is_settled(answer.seq):
                await within(self._clock, ask.left(), self._core.until_committed, answer.seq)
        except TimeoutError:
            whose = "" if ask.timeout == timeout else ", all that was left for the question that is answered here"
            raise AskTimeout(
                f"{ask.answerer} has not answered within {ask.timeout:g} s{whose}{_failure_of(ask)}"
            ) from None
        finally:
            self._forget(ask)
        return answer

    async def _post(self, ask: Ask, posting: Posting) -> EnvelopePosted:
        authorizer = posting.core.authorizer
        if authorizer.has_arbiter:
            posting.content = authorizer.freeze(posting.content)
            await authorizer.authorize(
                "ask",
                ask.asker_id,
                [ask.answerer_id],
                channel_id=ask.channel_id,
                content=posting.content,
                facts={"timeout": ask.timeout, "linked": ask.is_linked, **posting.origin.get("metadata", {})},
            )
        return await posting.run()

    def _posting(self, core: Core, ask: Ask, content: Any, said: Origin) -> Posting:
        """Return the post of the question, with a key that a program cannot give to an envelope."""
        make = direct_post if ask.channel_id is None else Posting
        posting = make(
            core=core,
            envelopes=self._state.envelopes,
            channel_id=ask.channel_id or "",
            sender_id=ask.asker_id,
            content=content,
            audience=[ask.answerer_id],
            cause=None if (turn := ask.turn) is None else turn.envelope,
            origin=said,
        )
        ask.key = f"{LINKED if ask.is_linked else ASKED}{posting.envelope_id}"
        posting.ttl_seconds, posting.idempotency_key = ask.timeout if ask.is_linked else None, ask.key
        return posting

    def _check_cycle(self, ask: Ask) -> None:
        if ask.asker_id == ask.answerer_id:
            raise AskCycle(f"{self._label(ask.asker_id)} asks itself, and would wait for ever")
        if not ask.turns:
            return
        above: list[tuple[TurnCall, tuple[str, ...]]] = [(each, (ask.answerer_id, ask.asker_id)) for each in ask.turns]
        seen: set[TurnCall] = set()
        for turn, below in above:
            if (cause := turn.ask) is None or turn in seen:
                continue
            seen.add(turn)
            # Over several hubs, the agent of the turn may ask in the name of another one.
            agents = [cause.asker_id, *(each.agent_id for each in cause.turns if cause.hub is not ask.hub)]
            chain = (*below, cause.asker_id)
            if ask.answerer_id in agents:
                raise AskCycle(
                    f"{self._label(ask.answerer_id)} waits for the answer that {self._label(ask.asker_id)} asks it for:"
                    f" {' <- '.join(map(self._label, chain))}"
                )
            above += [(each, chain) for each in cause.turns]
        if self.workload.is_deadlock(ask):
            because, advice = "all that it handles at present waits", "spawn it with a higher concurrency"
            if self.workload.waits_for_place(ask.answerer_id):
                because = "its actor would be made on demand, and all actors in whose place it could be made wait"
                advice = "give spawn_on_demand() a larger active_max"
            raise AskCycle(
                f"{self._label(ask.answerer_id)} cannot answer {self._label(ask.asker_id)}: {because}, over others"
                f" perhaps, for this one; {advice}, or ask another agent"
            )

    def _forget(self, ask: Ask) -> None:
        """The task waits no more: leave neither an answer in an inbox nor a question that no task waits for."""
        del self._by_key[ask.key]
        self.workload.end_waiting(ask)
        if ask.question is not None:
            del self._by_question[ask.question.id]
            del self._by_envelope[ask.question.envelope_id]
        if ask.channel_id is not None and (asks := self._by_channel.get(ask.channel_id)) is not None:
            asks.discard(ask)
            if not asks:
                del self._by_channel[ask.channel_id]
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
            turn.withdraw()
        elif question is not None and state.inboxes.find(ask.answerer_id, question.envelope_id) is not None:
            yield EnvelopeExpired(
                agent_id=ask.answerer_id, channel_id=question.channel_id, envelope_id=question.envelope_id
            )

    # -- what happens to questions --

    def _posted(self, event: EnvelopePosted) -> None:
        if not self._by_key:
            return
        if (asked_now := self._by_key.get(event.idempotency_key or "")) is not None:
            asked_now.question = event
            self._by_question[event.id] = self._by_envelope[event.envelope_id] = asked_now
        elif (ask := self._by_question.get(event.causation_id or "")) is not None:
            addressed = not event.audience or ask.asker_id in event.audience
            is_there = event.channel_id == ask.channel_id and event.topic is None
            if addressed and is_there and event.agent_id == ask.answerer_id and not ask.answer.done():
                self._answers.add(event.envelope_id)
                ask.answer.set_result(event)

    def _lost(self, event: EnvelopeDeadLettered | EnvelopeDropped) -> None:
        ask = self._by_envelope.get(event.envelope_id)
        if ask is not None and ask.answerer_id == event.agent_id:
            ask.fail(f"it could not handle the question, which was dead-lettered or dropped ({event.reason})")

    def _turn_failed(self, event: TurnFailed) -> None:
        ask = self._by_envelope.get(event.envelope_id)
        if ask is not None and ask.answerer_id == event.agent_id:
            ask.failed = event

    def _channel_ended(self, event: ChannelClosed | ChannelExpired) -> None:
        for ask in self._by_channel.get(event.channel_id or "", ()):
            ask.fail("the channel of the question has ended")

    def _left(self, event: AgentUnregistered) -> None:
        self._closed.pop(event.agent_id or "", None)
        for ask in self._by_key.values():
            if event.agent_id in (ask.answerer_id, ask.asker_id):
                left = ask.answerer if event.agent_id == ask.answerer_id else f"agent {event.agent_id}, which asks,"
                ask.fail(f"{left} has left the hub")

    def _end(self) -> None:
        self._alarm.stop()
        for ask in self._by_key.values():
            if not ask.answer.done():
                ask.answer.set_exception(self._core.end_error("the hub was closed before the answer came"))


def _failure_of(ask: Ask) -> str:
    """Return what is known of the turn in which the question was handled, if that failed."""
    if (failed := ask.failed) is None:
        return ""
    text = clean(f"{failed.error_type}: {failed.error_message}", _SAID_CHARS_MAX)
    said = "".join(char if char.isprintable() else " " for char in text)
    return f"; its turn failed with {said} (turn.failed, seq {failed.seq})"


async def _result(future: asyncio.Future[EnvelopePosted]) -> EnvelopePosted:
    return await future
