"""What commands and actors do with their hub: carry out commands, announce facts, wait for commits, follow inboxes."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol
from weakref import ref

import anyio

from .._commit.pipeline import Pipeline
from .._commit.ring import Watermark
from .._reraise import repeat
from .._state.inboxes import Inboxes
from ..clock import uuid_of_now
from ..context import Context
from ..errors import ConfigurationError, HistoryGone, HubClosed, HubFailed
from ..events import (
    AgentRuleSet,
    AgentUnregistered,
    ChannelClosed,
    ChannelClosing,
    ChannelExpired,
    ChannelOpened,
    ChannelParticipantHidden,
    ChannelParticipantRemoved,
    EnvelopeAcked,
    EnvelopeDeadLettered,
    EnvelopeDropped,
    EnvelopeExpired,
    EnvelopeNacked,
    EnvelopePosted,
    EnvelopeRedelivered,
    EnvelopeReturned,
    Event,
)
from ..ports import Journal
from .acting import Acting
from .authorizer import Authorizer
from .demand import Coming, Demand
from .emitting import Emitting
from .recall import Recall
from .room import Room

if TYPE_CHECKING:
    from ..redaction.ingress import IngressRedaction

__all__ = ("Core", "InboxReader", "new_id")


_CHANGES_FOR_POSTS = (
    AgentRuleSet,
    AgentUnregistered,
    ChannelClosing,
    ChannelClosed,
    ChannelExpired,
    ChannelParticipantHidden,
    ChannelParticipantRemoved,
)
"""After which a post that waits may be refused, or need no room any more."""

_NONE_COME = nullcontext()


def new_id() -> str:
    """Return a new id of an agent, a channel or an envelope: 32 hex digits that sort by time."""
    return uuid_of_now().hex


class InboxReader(Protocol):
    """An inbox that is being read."""

    agent_id: str

    def arrive(self, event: EnvelopePosted, ready_seq: int) -> None:
        """An envelope was posted or comes again; it may be delivered when the event ``ready_seq`` is committed."""

    def look(self) -> None:
        """Look again: the hub or the inbox has ended, and no envelope will arrive any more."""


class Core:
    """A hub, as its commands and its actors use it."""

    def __init__(
        self,
        pipeline: Pipeline,
        inboxes: Inboxes,
        authorizer: Authorizer,
        acting: Acting,
        recall: Recall,
        journal: Journal | None = None,
    ) -> None:
        self.authorizer: Authorizer = authorizer
        self.acting: Acting = acting
        """Which agent gives commands: any, or one."""
        self.emitting: Emitting = Emitting(pipeline.ingress, authorizer)
        """Has the arbiter decide about events that are emitted."""
        self.redaction: IngressRedaction | None = pipeline.ingress.redaction
        """What redacts contents before they are decided about; None for nothing."""
        self.recall: Recall = recall
        self.demand: Demand = Demand()
        """Finds agents whose actors are made on demand."""
        self.coming: Coming | None = None
        """Those of them that the next command registers first: see :meth:`expecting`."""
        self.room: Room = Room()
        """Where posts wait for room in inboxes."""
        self.committed: Watermark = pipeline.ring.committed
        """The ``seq`` below which all events are committed."""
        self._applied = pipeline.ring.applied
        self._pipeline = pipeline
        self._journal = journal
        self._lifecycle = pipeline.lifecycle
        self._inboxes = inboxes
        self._at_end: list[Callable[[], None]] = []
        self._readers: dict[str, list[ref[InboxReader]]] = {}
        """By agent. A list is read faster than a ``WeakSet``, and with each envelope."""
        self._awaited: dict[str, list[asyncio.Future[Event]]] = {}
        self.on_applied(EnvelopePosted, self._posted)
        self.on_applied(EnvelopeNacked, self._comes_again)
        self.on_applied(EnvelopeReturned, self._comes_again)
        self.on_applied(EnvelopeRedelivered, self._comes_again)
        self.on_applied(AgentUnregistered, self._unregistered)
        for kind in (ChannelOpened, ChannelClosed, ChannelExpired):
            self.on_applied(kind, self._opened_or_ended)
        for gone in (EnvelopeAcked, EnvelopeDropped, EnvelopeExpired, EnvelopeDeadLettered):
            self.on_applied(gone, self._left_inbox)
        for change in _CHANGES_FOR_POSTS:
            self.on_applied(change, lambda _: self.room.look_again())
        for held in recall.kinds_to_hold:
            self.on_applied(held, recall.hold)

    def as_one(self, agent_id: str) -> Core:
        """Return the same hub as one agent has it: all but ``acting`` is shared."""
        face = copy.copy(self)
        face.acting = self.acting.as_one(agent_id)
        if face.acting.tenancy is not None:
            face.demand = self.demand.of(face.acting.tenant)
        return face

    def as_tenant(self, tenant: str) -> Core:
        """Return the same hub as one tenant has it."""
        face = copy.copy(self)
        face.acting, face.demand = self.acting.as_tenant(tenant), self.demand.of(tenant)
        return face

    def expecting(self, coming: Coming) -> Core:
        """Return the same hub as it is for a command that registers these agents first; see :meth:`knowing`."""
        face = copy.copy(self)
        face.acting = self.acting.expecting(coming.ids)
        face.authorizer = self.authorizer.expecting(coming.events)
        face.coming = coming
        return face

    def knowing(self) -> AbstractContextManager[None]:
        """Return a block, without ``await``, in which the agents are known that the next command registers first."""
        return _NONE_COME if self.coming is None else self.coming.known()

    # -- the life of the hub --

    @property
    def was_started(self) -> bool:
        """Whether the hub was started, in its whole life: it may have stopped since."""
        return self._lifecycle.was_started

    @property
    def hub_id(self) -> str:
        """The ``hub`` of every event."""
        return self._pipeline.hub_id

    @property
    def has_journal(self) -> bool:
        """Whether a crash can leave a part of what was put."""
        return self._journal is not None

    @property
    def is_open(self) -> bool:
        """Whether the hub takes commands now."""
        return self._lifecycle.is_open

    @property
    def is_stopped(self) -> bool:
        """Whether the hub puts no events any more, because it was closed or has failed."""
        return self._lifecycle.puts_no_more

    @property
    def next_seq(self) -> int:
        """The ``seq`` of the next event."""
        return self._applied.value

    def check_failure(self) -> None:
        """Raise what the hub failed with, if it has failed."""
        self._lifecycle.check_not_failed()

    def is_ours(self) -> bool:
        """Return whether it was proved within the last second that no other hub took the journal over."""
        possession = self._pipeline.possession
        return possession is None or possession.is_ours

    async def until_leading(self) -> bool:
        """Wait while the hub follows or starts; return False if it has ended without leading."""
        return await self._lifecycle.until_leading()

    async def prove_ours(self) -> bool:
        """Prove it, when the hub leads; return False if it ends before it does.

        Raises what the hub fails with if another one took over.
        """
        possession = self._pipeline.possession
        return possession is None or await possession.prove_when_ours()

    def end_error(self, message: str) -> HubFailed | HubClosed:
        """Return what a task gets that waits when the hub ends: what the hub failed with, or ``HubClosed(message)``."""
        failure = self._lifecycle.failure
        return HubClosed(message) if failure is None else repeat(failure)

    def check_not_ended(self) -> None:
        """Raise what a task gets that waits when the hub ends, if it has ended: nothing happens any more."""
        if self.is_stopped:
            raise self.end_error("the hub was closed; what is waited for did not happen before")

    def at_end(self, callback: Callable[[], None]) -> None:
        """Call this when the hub is closed or has failed."""
        self._at_end.append(callback)

    def end(self) -> None:
        """The hub is closed or has failed: release all tasks that wait for events that will not come."""
        for callback in self._at_end:
            callback()
        self.room.end(lambda: self.end_error("the hub was closed; there was no room in an inbox before"))
        for agent_id in self._readers:
            for inbox in self._readers_of(agent_id):
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
        return self._pipeline.execute(decide) if self.coming is None else self._execute_with(self.coming, decide)

    async def _execute_with(self, coming: Coming, decide: Callable[[], Sequence[Event]]) -> list[Event]:
        await coming.allow(self)
        return await self._pipeline.execute(lambda: coming.with_them(decide))

    def execute_now(self, decide: Callable[[], Sequence[Event]]) -> list[Event] | None:
        """Carry out a command without a wait, also for its commit; None, without effect, if it had to be admitted."""
        return self._pipeline.execute_now(decide) if self.coming is None else None

    def is_settled(self, seq: int) -> bool:
        """Tell whether :meth:`until_committed` would return without letting other tasks run."""
        return self._pipeline.is_settled(seq)

    async def execute_shielded(self, decide: Callable[[], Sequence[Event]]) -> list[Event]:
        """Carry out a command even while the task is being cancelled; return the stamped events."""
        pipeline = self._pipeline
        events = pipeline.execute_now(decide)
        if events is not None and (not events or pipeline.is_settled(events[-1].seq)):
            return events  # as mostly in memory: a shield costs more than all else here
        with anyio.CancelScope(shield=True):
            if events is None:
                events = await pipeline.execute(decide)
            else:
                await pipeline.until_committed(events[-1].seq)
        assert events is not None  # only the scope itself could cancel that
        return events

    def announce(self, events: Sequence[Event], around: Context | None = None) -> list[Event]:
        """Put events without admission and without waiting; return them stamped.

        If the hub has failed, or has put its last event, none are put, and an empty list is returned. ``around``:
        the context that the events inherit, by default that of the code that runs.
        """
        if not self._lifecycle.takes_events:
            return []
        return self._pipeline.put(events, around)

    def on_applied(self, kind: type[Event], callback: Callable[[Any], None]) -> None:
        """Call this at once with each event of this kind that is applied, after the callbacks registered before."""
        self._pipeline.watchers.setdefault(kind, []).append(callback)

    async def event_at(self, seq: int) -> Event | None:
        """Return an event that was applied; None if it is neither in memory nor in the journal any more."""
        ring = self._pipeline.ring
        if ring.first <= seq:
            return ring.slice(seq, seq + 1)[0]
        if self._journal is None or seq < self._journal.first_seq:
            return None
        replay = self._journal.replay(seq - 1)
        try:
            return await anext(replay, None)
        except HistoryGone:
            return None
        finally:
            if isinstance(replay, AsyncGenerator):
                await replay.aclose()

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
        self.check_not_ended()
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
        agent_id = inbox.agent_id
        readers = self._readers.setdefault(agent_id, [])
        readers[:] = [reader for reader in readers if reader() is not None]
        readers.append(ref(inbox, lambda _: self._reads_no_more(agent_id)))

    def _reads_no_more(self, agent_id: str) -> None:
        """A reader is gone: of a hundred thousand agents that were read once, no reader is kept."""
        if agent_id in self._readers and not self._readers_of(agent_id):
            del self._readers[agent_id]

    def _readers_of(self, agent_id: str) -> list[InboxReader]:
        return [inbox for reader in self._readers.get(agent_id, ()) if (inbox := reader()) is not None]

    def _left_inbox(self, event: Event) -> None:
        self.room.freed(event.agent_id)

    def _posted(self, event: EnvelopePosted) -> None:
        if event.delay_seconds:
            return  # it arrives when it is due: envelope.returned
        for agent_id in event.recipients:
            self._arrives(agent_id, event, event.seq)

    def _comes_again(self, event: EnvelopeNacked | EnvelopeReturned | EnvelopeRedelivered) -> None:
        assert event.agent_id is not None
        waiting = self._inboxes.find(event.agent_id, event.envelope_id)
        if waiting is not None and waiting.delayed_until_ns is None:
            self._arrives(event.agent_id, waiting.envelope, event.seq)

    def _arrives(self, agent_id: str, envelope: EnvelopePosted, ready_seq: int) -> None:
        if agent_id not in self._readers:
            return
        if inboxes := self._readers_of(agent_id):
            for inbox in inboxes:
                inbox.arrive(envelope, ready_seq)
        else:
            del self._readers[agent_id]

    def _unregistered(self, event: AgentUnregistered) -> None:
        inboxes = self._readers_of(event.agent_id or "")
        self._readers.pop(event.agent_id or "", None)
        for inbox in inboxes:
            inbox.look()
