"""Inboxes and deliveries: what an agent has to read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from .._foreign.arguments import Call
from .._state import State
from .._state.inboxes import PRIORITIES, Waiting
from .._values import Shown
from ..events import EnvelopeDeadLettered, EnvelopePosted, Event
from ..events._making import maker
from .core import Core
from .posting import POST
from .provenances import UNSAID
from .replying import audience_of_reply, post_because_of

__all__ = ("Delivery", "Inbox")

_NACK = Call("delivery.nack()")
_REPLY = attrs.evolve(POST, name="delivery.reply()")


@attrs.define(eq=False, repr=False, on_setattr=attrs.setters.frozen)
class Delivery(Shown):
    """An envelope, delivered to one agent."""

    _core: Core = attrs.field(repr=False)
    _state: State = attrs.field(repr=False)
    agent_id: str
    event: EnvelopePosted
    """The fact that it was posted; its ``content`` is what was said."""
    attempt: int = 1
    """Which attempt this is: 1 at first, and one more each time that the envelope was nacked."""
    is_acked: bool = attrs.field(default=False, init=False, on_setattr=attrs.setters.NO_OP)
    """Whether it was acked by its own :meth:`ack`."""

    @property
    def content(self) -> Any:
        return self.event.content

    async def ack(self) -> bool:
        """Be done with the envelope: it is not delivered to this agent again, and makes room in its inbox.

        Returns False if that came too late, and had no effect: the delivery was acked or nacked already, or the
        envelope has expired, was dropped or dead-lettered, or was counted as an attempt at a restart.
        """
        agent_id, envelope_id, inboxes = self.agent_id, self.event.envelope_id, self._state.inboxes

        def decide() -> Sequence[Event]:
            acked = inboxes.settle(agent_id, envelope_id, self.attempt)
            self.is_acked = self.is_acked or bool(acked)
            return acked

        return bool(await self._core.execute(decide))

    async def nack(self, reason: str = "", *, delay_seconds: float = 0.0) -> bool | None:
        """Give the envelope back, because it could not be handled: it comes again, at the earliest after the delay.

        It comes after what waits with the same priority. When it was nacked as often as ``deliveries_max`` of the
        inbox's rule says, it is dead-lettered instead: reported by ``envelope.dead_lettered``, and gone from the inbox.
        The delay follows the hub's clock and survives a restart.

        Returns whether it comes again; None if that came too late, as for :meth:`ack`, and had no effect.
        """
        agent_id, envelope_id, inboxes = self.agent_id, self.event.envelope_id, self._state.inboxes
        reason = _NACK.text("reason", reason)
        delay_seconds = _NACK.seconds("delay_seconds", delay_seconds, is_zero_ok=True)

        def decide() -> Sequence[Event]:
            if not inboxes.is_held(agent_id, envelope_id, self.attempt):
                return ()
            return inboxes.nack(agent_id, envelope_id, delay_seconds, reason)

        events = await self._core.execute(decide)
        return not isinstance(events[0], EnvelopeDeadLettered) if events else None

    async def reply(
        self, content: Any, *, idempotency_key: str | None = None, provenance: Iterable[str] = ()
    ) -> EnvelopePosted:
        """Answer the envelope's sender: what its ask returns if the envelope is a question, else in its inbox.

        It is answered where it came from: in its channel, on its topic, or directly. The envelope stays in the inbox
        until it is acked; a crash in between answers it again, unless ``idempotency_key`` is given: with that, the same
        answer is posted once. In a channel, or on a topic, a key means one envelope; directly, one for each question.
        ``provenance``: where the content comes from, as :meth:`hubwire.Channel.post` takes it. Returns the committed
        event.

        Raises :class:`~hubwire.errors.CommandRejected` for a notice, which the hub itself has posted, and what
        :meth:`hubwire.Channel.post` raises.
        """
        audience = audience_of_reply(self.event)
        core, state = self._core, self._state
        core.acting.check_here()
        posting = post_because_of(
            core,
            state,
            self.agent_id,
            self.event,
            content,
            audience=audience,
            idempotency_key=idempotency_key,
            call=_REPLY,
        )
        if provenance is not UNSAID:
            posting.take_provenance(_REPLY, provenance)
        return await posting.run()


_delivery = maker(Delivery, "core", "state", "agent_id", "event", "attempt")


class Inbox:
    """``async for delivery in agent.inbox()``: at least once, only what is committed; urgent envelopes come first.

    Those of one priority come in the order of posting. It ends when the hub closes, or the agent leaves, and raises
    what the hub failed with. It need not be closed: what was not acked is delivered again by the next one. Several
    tasks may read one inbox; each delivery goes to one of them.
    """

    def __init__(self, core: Core, state: State, agent_id: str) -> None:
        self.agent_id = agent_id
        self.takes: Callable[[EnvelopePosted], bool] | None = None
        """Tells which envelopes are delivered here; None: all. Others are left to the next inbox."""
        self._core = core
        self._committed = core.committed
        self._state = state
        self._agents = state.agents
        self._inboxes = state.inboxes
        self._queues: dict[str, deque[tuple[EnvelopePosted, int]]] = {priority: deque() for priority in PRIORITIES}
        self._waiting: dict[asyncio.Future[None], None] = {}
        """What the tasks wait for that wait for an envelope, the one that has waited longest first."""
        for waiting in self._inboxes.pending(agent_id):
            if waiting.delayed_until_ns is None:
                self.arrive(waiting.envelope, waiting.ready_seq)
        core.deliver_to(self)

    def __repr__(self) -> str:
        return f"Inbox(agent_id={self.agent_id!r})"

    def __aiter__(self) -> Inbox:
        return self

    async def __anext__(self) -> Delivery:
        committed = self._committed
        delivery: Delivery | None = None
        try:
            while delivery is None:
                if not self._core.is_ours() and not await self._core.prove_ours():
                    self._core.check_failure()
                    break
                delivery, uncommitted = self._next(committed.value)
                if delivery is not None:
                    break
                self._core.check_failure()
                if self._core.is_stopped and (uncommitted is None or committed.ended):
                    break
                if uncommitted is not None:
                    await committed.wait_beyond(uncommitted)
                elif self.agent_id in self._agents:
                    await self._arrival()
                else:
                    break
        except BaseException:
            self._wake_one()  # this task may have been woken for an envelope, which another one is to take then
            raise
        if delivery is None:
            raise StopAsyncIteration
        return delivery

    def _next(self, committed: int) -> tuple[Delivery | None, int | None]:
        """Return the most urgent delivery that is committed; else the first ``seq`` to wait for, if there is one."""
        uncommitted: int | None = None
        for queue in self._queues.values():
            while queue:
                envelope, ready_seq = queue[0]
                waiting = self._current(envelope, ready_seq)
                if waiting is None:
                    queue.popleft()
                elif ready_seq < committed:
                    queue.popleft()
                    return _delivery(self._core, self._state, self.agent_id, envelope, waiting.attempts + 1), None
                else:
                    uncommitted = ready_seq if uncommitted is None else min(uncommitted, ready_seq)
                    break
        return None, uncommitted

    def _current(self, envelope: EnvelopePosted, ready_seq: int) -> Waiting | None:
        """Return what waits since ``ready_seq``; None if it is gone, or comes again later."""
        waiting = self._inboxes.find(self.agent_id, envelope.envelope_id)
        if waiting is None or waiting.ready_seq != ready_seq or waiting.delayed_until_ns is not None:
            return None
        return waiting if self.takes is None or self.takes(envelope) else None

    async def _arrival(self) -> None:
        """Return when an envelope arrives that no other task is woken for, or none will any more."""
        arrival = asyncio.get_running_loop().create_future()
        self._waiting[arrival] = None
        try:
            await arrival
        finally:
            self._waiting.pop(arrival, None)

    def arrive(self, event: EnvelopePosted, ready_seq: int) -> None:
        """An envelope was posted, or comes again; it is delivered when the event ``ready_seq`` is committed."""
        queue = self._queues[event.priority]
        queue.append((event, ready_seq))
        # Other readers may ack what this one never reads. Removing that costs no more than what has arrived since.
        if len(queue) > 2 * self._inboxes.count(self.agent_id) + 64:
            self._queues[event.priority] = deque(each for each in queue if self._current(*each) is not None)
        self._wake_one()

    def take_back(self, delivery: Delivery) -> None:
        """A task of several that read this inbox has ended with a delivery in hand: it is the next of its priority."""
        waiting = self._inboxes.find(self.agent_id, delivery.event.envelope_id)
        if waiting is not None and waiting.attempts + 1 == delivery.attempt and waiting.delayed_until_ns is None:
            self._queues[delivery.event.priority].appendleft((waiting.envelope, waiting.ready_seq))
            self._wake_one()

    def look(self) -> None:
        """Wake all tasks that wait: no envelope will arrive any more."""
        while self._waiting:
            self._wake_one()

    def _wake_one(self) -> None:
        """Wake the task that has waited longest, for one envelope: a hundred that wait need not all look for it."""
        while self._waiting:
            arrival = next(iter(self._waiting))
            del self._waiting[arrival]
            if not arrival.done():
                arrival.set_result(None)
                return
