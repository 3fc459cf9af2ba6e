"""What commands and actors do with their hub: carry out commands, announce facts, wait for commits, follow inboxes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol
from weakref import WeakSet

from uuid_utils import uuid7

from .._commit.pipeline import Pipeline
from .._commit.ring import Watermark
from .._state.inboxes import Inboxes
from ..context import Context
from ..errors import ConfigurationError, HubClosed, HubFailed, repeat
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
        """An envelope was posted or comes again; it may be delivered when the event ``ready_seq`` is committed."""

    def look(self) -> None:
        """Look again: the hub or the inbox has ended, and no envelope will arrive any more."""


class Core:
    """A hub, as its commands and its actors use it."""

    def __init__(self, pipeline: Pipeline, inboxes: Inboxes, authorizer: Authorizer) -> None:
        self.authorizer: Authorizer = authorizer
        self.committed: Watermark = pipeline.ring.committed
        """The ``seq`` below which all events are committed."""
        self._applied = pipeline.ring.applied
        self._pipeline = pipeline
        self._lifecycle = pipeline.lifecycle
        self._inboxes = inboxes
        self._callbacks: dict[type[Event], list[Callable[[Any], None]]] = {}
        self._at_end: list[Callable[[], None]] = []
        self._readers: dict[str, WeakSet[InboxReader]] = {}
        self._awaited: dict[str, list[asyncio.Future[Event]]] = {}
        self.on_applied(EnvelopePosted, self._posted)
        self.on_applied(EnvelopeNacked, self._comes_again)
        self.on_applied(EnvelopeReturned, self._comes_again)
        self.on_applied(AgentUnregistered, self._unregistered)
        for kind in (ChannelOpened, ChannelClosed, ChannelExpired):
            self.on_applied(kind, self._opened_or_ended)

    # -- the life of the hub --

    @property
    def was_started(self) -> bool:
        """Whether the hub was started, in its whole life: it may have stopped since."""
        return self._lifecycle.was_started

    @property
    def is_open(self) -> bool:
        """Whether the hub takes commands now."""
        return self._lifecycle.is_open

    @property
    def is_stopped(self) -> bool:
        """Whether the hub puts no events any more, because it was closed or has failed."""
        return not self._lifecycle.takes_events

    def check_failure(self) -> None:
        """Raise what the hub failed with, if it has failed."""
        self._lifecycle.check_not_failed()

    def end_error(self, message: str) -> HubFailed | HubClosed:
        """Return what a task gets that waits when the hub ends: what the hub failed with, or ``HubClosed(message)``."""
        failure = self._lifecycle.failure
        return HubClosed(message) if failure is None else repeat(failure)

    def at_end(self, callback: Callable[[], None]) -> None:
        """Call this when the hub is closed or has failed."""
        self._at_end.append(callback)

    def end(self) -> None:
        """The hub is closed or has failed: release all tasks that wait for events that will not come."""
        for callback in self._at_end:
            callback()
        for inboxes in self._readers.values():
            for inbox in inboxes:
                inbox.look()
        for waiting in self._awaited.values():
            for future in waiting:
                if not future.done():
                    error = self.end_error("the hub was closed; what was waited for did not happen before")
                    future.set_exception(error)

    # -- events --

    def execute(self, decide: Callable[[], Sequence[Event]]) -> Awaitable[list[Event]]:
        """Carry out a command: admit it, put what it decides, wait for the commit; return the stamped events.

        A command may decide on no events: then it has waited for admission alone, and an empty list is returned.
        """
        return self._pipeline.execute(decide)

    def announce(self, events: Sequence[Event], around: Context | None = None) -> list[Event]:
        """Put events without admission and without waiting; return them stamped.

        If the hub has failed, or has put its last event, nothing happens, and an empty list is returned. ``around``:
        the context that the events inherit, by default that of the code that runs.
        """
        if not self._lifecycle.takes_events:
            return []
        return self._pipeline.put(events, around)

    def on_applied(self, kind: type[Event], callback: Callable[[Any], None]) -> None:
        """Call this at once with each event of this kind that is applied, after the callbacks registered before."""
        callbacks = self._callbacks.setdefault(kind, [])
        callbacks.append(callback)
        self._pipeline.watchers[kind] = callback if len(callbacks) == 1 else partial(_call_each, callbacks)

    # -- waiting --

    def until_committed(self, seq: int) -> Awaitable[None]:
        """Return when an event is committed; at once inside a listener that the commit waits for."""
        return self._pipeline.until_committed(seq)

    def until_all_is_committed(self) -> Awaitable[None]:
        """Return when all that was applied until now is committed, so that a crash cannot undo it."""
        return self._pipeline.until_committed(self._applied.value - 1)

    def check_may_wait(self, what: str) -> None:
        """Raise :class:`~hubwire.errors.ConfigurationError` inside a listener that the commit waits for.

        ``what`` would be waited for: later events lead to it, and they cannot commit before that listener returns.
        """
        if self._pipeline.is_held_by_caller():
            raise ConfigurationError(f"a listener that the commit waits for cannot wait for {what}; use another task")

    async def next_transition_of(self, channel_id: str) -> Event:
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

    def _opened_or_ended(self, event: Event) -> None:
        for future in self._awaited.get(event.channel_id or "", ()):
            if not future.done():
                future.set_result(event)

    # -- inboxes --

    def deliver_to(self, inbox: InboxReader) -> None:
        """Report to this inbox, from now on and while it exists, what is posted to its agent."""
        self._readers.setdefault(inbox.agent_id, WeakSet()).add(inbox)

    def _posted(self, event: EnvelopePosted) -> None:
        for agent_id in event.recipients:
            self._arrives(agent_id, event, event.seq)

    def _comes_again(self, event: EnvelopeNacked | EnvelopeReturned) -> None:
        assert event.agent_id is not None
        waiting = self._inboxes.find(event.agent_id, event.envelope_id)
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


def _call_each(callbacks: Sequence[Callable[[Any], None]], event: Event) -> None:
    for callback in callbacks:
        callback(event)
