"""Inboxes and deliveries: what an agent has to read."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import attrs

from .._state.agents import Agents
from .._state.inboxes import PRIORITIES, Inboxes, Waiting
from ..events import EnvelopeDeadLettered, EnvelopePosted
from .core import Core

__all__ = ("Delivery", "Inbox")


@attrs.frozen(eq=False)
class Delivery:
    """An envelope, delivered to one agent."""

    _core: Core = attrs.field(repr=False)
    _inboxes: Inboxes = attrs.field(repr=False)
    agent_id: str
    event: EnvelopePosted
    """The fact that it was posted; its ``content`` is what was said."""
    attempt: int = 1
    """Which attempt this is: 1 at first, and one more each time that the envelope was nacked."""

    @property
    def content(self) -> Any:
        return self.event.content

    async def ack(self) -> None:
        """Be done with the envelope: it is not delivered to this agent again, and makes room in its inbox.

        Raises :class:`~hubwire.errors.NotFound` if it was acked already, or is gone from the inbox.
        """
        await self._core.execute(lambda: self._inboxes.ack(self.agent_id, self.event.envelope_id))

    async def nack(self, reason: str = "", *, delay_seconds: float = 0.0) -> bool:
        """Give the envelope back, because it could not be handled: it comes again, at the earliest after the delay.

        It comes after what waits with the same priority. When it was nacked as often as ``deliveries_max`` of the
        inbox's rule says, it is dead-lettered instead: reported by ``envelope.dead_lettered``, and gone from the inbox.
        Returns whether it comes again. The delay follows the hub's clock and survives a restart.

        Raises :class:`~hubwire.errors.NotFound` if it is not in the inbox any more, and
        :class:`~hubwire.errors.CommandRejected` if it was nacked and did not come again yet.
        """
        envelope_id = self.event.envelope_id
        events = await self._core.execute(lambda: self._inboxes.nack(self.agent_id, envelope_id, delay_seconds, reason))
        return not isinstance(events[0], EnvelopeDeadLettered)


class Inbox:
    """``async for delivery in agent.inbox()``: at least once, only what is committed; urgent envelopes come first.

    Those of one priority come in the order of posting. It ends when the hub closes, or the agent leaves, and raises
    what the hub failed with. There is nothing to close: what was not acked is delivered again by the next one. Several
    tasks may read one inbox; each delivery goes to one of them.
    """

    def __init__(self, core: Core, agents: Agents, inboxes: Inboxes, agent_id: str) -> None:
        self.agent_id = agent_id
        self._core = core
        self._committed = core.committed
        self._agents = agents
        self._inboxes = inboxes
        self._queues: dict[str, deque[tuple[EnvelopePosted, int]]] = {priority: deque() for priority in PRIORITIES}
        self._arrivals: set[asyncio.Future[None]] = set()
        for waiting in self._inboxes.pending(agent_id):
            if waiting.delayed_until_ns is None:
                self.arrive(waiting.envelope, waiting.ready_seq)
        core.deliver_to(self)

    def __aiter__(self) -> Inbox:
        return self

    async def __anext__(self) -> Delivery:
        committed = self._committed
        while True:
            delivery, uncommitted = self._next(committed.value)
            if delivery is not None:
                return delivery
            self._core.check_failure()
            if self._core.is_stopped and (uncommitted is None or committed.ended):
                raise StopAsyncIteration
            if uncommitted is not None:
                await committed.wait_beyond(uncommitted)
            elif self.agent_id in self._agents:
                await self._arrival()
            else:
                raise StopAsyncIteration

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
                    return Delivery(self._core, self._inboxes, self.agent_id, envelope, waiting.attempts + 1), None
                else:
                    uncommitted = ready_seq if uncommitted is None else min(uncommitted, ready_seq)
                    break
        return None, uncommitted

    def _current(self, envelope: EnvelopePosted, ready_seq: int) -> Waiting | None:
        """Return what waits since ``ready_seq``; None if it is gone, or comes again later."""
        waiting = self._inboxes.find(self.agent_id, envelope.envelope_id)
        if waiting is None or waiting.ready_seq != ready_seq or waiting.delayed_until_ns is not None:
            return None
        return waiting

    async def _arrival(self) -> None:
        """Return when an envelope arrives, or none will any more. All tasks that wait are woken."""
        arrival = asyncio.get_running_loop().create_future()
        self._arrivals.add(arrival)
        try:
            await arrival
        finally:
            self._arrivals.discard(arrival)

    def arrive(self, event: EnvelopePosted, ready_seq: int) -> None:
        """An envelope was posted, or comes again; it is delivered when the event ``ready_seq`` is committed."""
        queue = self._queues[event.priority]
        queue.append((event, ready_seq))
        # Other readers may ack what this one never reads. Removing that costs no more than what has arrived since.
        if len(queue) > 2 * self._inboxes.count(self.agent_id) + 64:
            self._queues[event.priority] = deque(each for each in queue if self._current(*each) is not None)
        self.look()

    def look(self) -> None:
        """Wake the tasks that wait: an envelope has arrived, or none will any more."""
        for arrival in self._arrivals:
            if not arrival.done():
                arrival.set_result(None)
