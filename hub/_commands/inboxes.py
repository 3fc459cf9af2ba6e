"""Inboxes and deliveries: what an agent has to read."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import attrs

from ..errors import repeat
from ..events import EnvelopePosted
from .core import Core

__all__ = ("Delivery", "Inbox")


@attrs.frozen(eq=False)
class Delivery:
    """An envelope, delivered to one agent."""

    _core: Core = attrs.field(repr=False)
    agent_id: str
    event: EnvelopePosted
    """The fact that it was posted; its ``content`` is what was said."""

    @property
    def content(self) -> Any:
        return self.event.content

    async def ack(self) -> None:
        """Be done with the envelope: it is not delivered to this agent again.

        Raises :class:`~hubwire.errors.NotFound` if it was acked already.
        """
        inboxes = self._core.state.inboxes
        await self._core.pipeline.execute(lambda: inboxes.ack(self.agent_id, self.event.envelope_id))


class Inbox:
    """``async for delivery in agent.inbox()``: at least once, in order of posting, only what is committed.

    It ends when the hub closes, and raises what the hub failed with. There is nothing to close: what was not acked is
    delivered again by the next one.
    """

    def __init__(self, core: Core, agent_id: str) -> None:
        self.agent_id = agent_id
        self._core = core
        self._queue = deque(core.state.inboxes.pending(agent_id))
        self._arrival: asyncio.Future[None] | None = None
        core.read(self)

    def __aiter__(self) -> Inbox:
        return self

    async def __anext__(self) -> Delivery:
        pipeline = self._core.pipeline
        while True:
            while self._queue:
                event = self._queue[0]
                committed = await pipeline.ring.committed.wait_beyond(event.seq)
                if not committed:
                    break
                self._queue.popleft()
                if self._core.state.inboxes.is_pending(self.agent_id, event.envelope_id):
                    return Delivery(self._core, self.agent_id, event)
            if pipeline.failure is not None:
                raise repeat(pipeline.failure)
            if pipeline.stopped or self.agent_id not in self._core.state.agents:
                raise StopAsyncIteration
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival

    def arrive(self, event: EnvelopePosted) -> None:
        """An envelope was posted; it is delivered when it is committed."""
        self._queue.append(event)
        self.look()

    def look(self) -> None:
        """Look again: something arrived, or nothing will any more."""
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
