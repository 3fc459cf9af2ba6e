"""What commands work on, and who is to be told at once of what they lead to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakSet

from uuid_utils import uuid7

from .._commit.pipeline import Pipeline
from .._state import State
from ..errors import HubClosed, repeat
from ..events import (
    AgentUnregistered,
    ChannelClosed,
    ChannelExpired,
    ChannelOpened,
    EnvelopeNacked,
    EnvelopePosted,
    EnvelopeReturned,
    Event,
)
from .authorizer import Authorizer

__all__ = ("Core", "InboxReader", "new_id")


def new_id() -> str:
    """Return a new id of an agent, a channel or an envelope: 32 hex digits that sort by time."""
    return uuid7().hex


class InboxReader(Protocol):
    """An inbox that is being read."""

    agent_id: str

    def arrive(self, event: EnvelopePosted, ready_seq: int) -> None:
        """An envelope was posted, or comes again; it may be delivered when the event ``ready_seq`` is committed."""

    def look(self) -> None:
        """Look again: nothing will arrive any more."""


class Core:
    """What commands work on, and the inboxes that are being read."""

    def __init__(self, pipeline: Pipeline, state: State, authorizer: Authorizer) -> None:
        self.pipeline = pipeline
        self.state = state
        self.authorizer = authorizer
        self._ends: list[Callable[[], None]] = []
        self._readers: dict[str, WeakSet[InboxReader]] = {}
        self._awaited: dict[str, list[asyncio.Future[Event]]] = {}
        self.watch(EnvelopePosted, self._posted)
        self.watch(EnvelopeNacked, self._comes_again)
        self.watch(EnvelopeReturned, self._comes_again)
        self.watch(AgentUnregistered, self._unregistered)
        for kind in (ChannelOpened, ChannelClosed, ChannelExpired):
            self.watch(kind, self._settled)

    def watch(self, kind: type[Event], callback: Callable[[Any], None]) -> None:
        """From now on call this at once with each event of this kind that is applied, after those who asked before."""
        earlier = self.pipeline.watchers.get(kind)

        def both(event: Event) -> None:
            assert earlier is not None
            earlier(event)
            callback(event)

        self.pipeline.watchers[kind] = callback if earlier is None else both

    async def until_committed(self, seq: int) -> None:
        """Return when an event is committed; at once inside a listener that the commit waits for."""
        await self.pipeline.until_committed(seq)

    async def until_all_is_committed(self) -> None:
        """Return when all that was applied until now is committed: what is known by it no crash can undo then."""
        await self.until_committed(self.pipeline.ring.applied.value - 1)

    def at_end(self, callback: Callable[[], None]) -> None:
        """Call this when the hub is closed or has failed."""
        self._ends.append(callback)

    def read(self, inbox: InboxReader) -> None:
        """From now on tell this inbox what is posted to its agent."""
        self._readers.setdefault(inbox.agent_id, WeakSet()).add(inbox)

    async def next_turn_of(self, channel_id: str) -> Event:
        """Return the next event that opens or ends the channel, not yet committed; raise if the hub ends before."""
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        waiting = self._awaited.setdefault(channel_id, [])
        waiting.append(future)
        try:
            return await future
        finally:
            waiting.remove(future)
            if not waiting and self._awaited.get(channel_id) is waiting:
                del self._awaited[channel_id]

    def end(self) -> None:
        """The hub is closed or has failed: nothing arrives any more."""
        for callback in self._ends:
            callback()
        for inboxes in self._readers.values():
            for inbox in inboxes:
                inbox.look()
        failure = self.pipeline.failure or HubClosed("the hub was closed; what was waited for did not happen before")
        for waiting in self._awaited.values():
            for future in waiting:
                if not future.done():
                    future.set_exception(repeat(failure))

    def _posted(self, event: EnvelopePosted) -> None:
        for agent_id in event.recipients:
            self._arrives(agent_id, event, event.seq)

    def _comes_again(self, event: EnvelopeNacked | EnvelopeReturned) -> None:
        assert event.agent_id is not None
        waiting = self.state.inboxes.find(event.agent_id, event.envelope_id)
        if waiting is not None and waiting.delayed_until_ns is None:
            self._arrives(event.agent_id, waiting.envelope, event.seq)

    def _arrives(self, agent_id: str, envelope: EnvelopePosted, ready_seq: int) -> None:
        if inboxes := self._readers.get(agent_id):
            for inbox in inboxes:
                inbox.arrive(envelope, ready_seq)
        elif inboxes is not None:
            del self._readers[agent_id]

    def _unregistered(self, event: AgentUnregistered) -> None:
        for inbox in self._readers.pop(event.agent_id or "", ()):
            inbox.look()

    def _settled(self, event: Event) -> None:
        for future in self._awaited.get(event.channel_id or "", ()):
            if not future.done():
                future.set_result(event)
