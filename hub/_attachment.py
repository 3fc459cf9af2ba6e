"""An attachment: one listener on one hub, at its own place in the stream, in its own task, with its own duty."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any, Literal, Protocol

import anyio
import attrs

from . import context
from ._adapt import Adapted, ListenerTimeout, guarded, is_cancelled, text_of
from ._announcements import Announcements
from ._cursor import Cursor
from ._duty import Duty, Overflow
from ._handling import Failed, Handler
from ._matcher import Matcher
from ._pipeline import Pipeline
from .errors import ConfigurationError, JournalBehind
from .ports import Clock, Journal

__all__ = ("Attachment", "AttachmentState", "AttachmentStatistics", "Since")

Since = Literal["now", "start"] | int

LEAVE_SECONDS_MAX = 5.0


class AttachmentState(Enum):
    """Where an attachment is in its life."""

    STARTING = "starting"
    CATCHING_UP = "catching_up"
    RUNNING = "running"
    DETACHED = "detached"


@attrs.frozen(kw_only=True)
class AttachmentStatistics:
    """How an attachment does. Numbers count events since it was attached, unless they say otherwise."""

    name: str
    duty: Duty
    state: AttachmentState
    position: int
    """The ``seq`` of the next event it will see."""
    lag: int
    """How many events it could see and has not handled."""
    handled: int
    batches: int
    dropped: int
    failed: int
    restarts: int
    last_error: str | None


class Host(Protocol):
    """What an attachment is attached to: the fan-out."""

    pipeline: Pipeline
    journal: Journal | None
    clock: Clock
    announcements: Announcements

    def place_if_numbered(self, attachment: Attachment) -> None:
        """It was entered, and waits for its place."""

    def caught_up(self, attachment: Attachment) -> None:
        """It has reached the present."""

    def moved(self, attachment: Attachment) -> None:
        """It has handled something."""

    def remove(self, attachment: Attachment, reason: str) -> None:
        """It is at its end."""

    def forget(self, attachment: Attachment) -> None:
        """It is not wanted any more, before it was entered."""


class Attachment:
    """One listener on one hub. :meth:`hubwire.Hub.attach` makes it."""

    def __init__(
        self,
        host: Host,
        listener: Adapted,
        *,
        name: str,
        pattern: str | Iterable[str],
        duty: Duty,
        overflow: Overflow,
        since: Since,
        timeout: float,
        mailbox: int,
    ) -> None:
        self.name = name
        self.duty = duty
        self.overflow = overflow
        self.mailbox = mailbox
        self.state: AttachmentState = AttachmentState.STARTING
        ring = host.pipeline.ring
        limit = ring.journaled if duty is Duty.REQUIRED else ring.committed
        self.cursor: Cursor = Cursor(ring, host.journal, limit, 0)
        self.done: int = 0
        """Events below this ``seq`` are handled, or were dropped, or are not for this listener."""
        self.is_entered: bool = False
        self.entered_at: int | None = None
        """What the listener's ``last_seq()`` said when it was entered."""
        self.attached_at: int | None = None
        """What "now" means for it; None: whenever the hub starts."""
        self.failure: Exception | None = None
        """Why it could not be entered, placed, or given its events."""
        self._host = host
        self._listener = listener
        # Nobody gets events about himself, because handling them could make more. A required listener does: its failure
        # stops the hub, so nothing can go round, and an audit log that proves that nothing is missing needs every seq.
        self._matcher = Matcher(pattern, about=None if duty is Duty.REQUIRED else name)
        self.pattern: tuple[str, ...] = self._matcher.patterns
        self._since = since
        self._timeout = timeout
        self._stop_at: float = math.inf
        self._task: asyncio.Task[Any] | None = None
        self._scope: anyio.CancelScope | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._handler = Handler(
            listener,
            name=name,
            duty=duty,
            overflow=overflow,
            timeout=timeout,
            pipeline=host.pipeline,
            clock=host.clock,
            announcements=host.announcements,
        )

    # -- what the hub and its user see --

    @property
    def is_lossy(self) -> bool:
        return self.duty is Duty.BEST_EFFORT and self.overflow is Overflow.DROP_OLDEST

    @property
    def keeps_ring(self) -> bool:
        """Whether the ring must keep what this attachment has not read."""
        return self.state is AttachmentState.RUNNING and not self.is_lossy

    @property
    def may_drop(self) -> bool:
        """Whether it misses what the ring does not keep, rather than reading it from the journal."""
        catching_up = self.state is AttachmentState.CATCHING_UP and self._host.journal is None
        return self.is_lossy and (self.state is AttachmentState.RUNNING or catching_up)

    @property
    def hub_id(self) -> str | None:
        """The id of the hub whose events the listener holds, if it holds any and says so."""
        return self._listener.declared("hub_id", None)

    def is_task(self, task: object) -> bool:
        return task is not None and task is self._task

    def statistics(self) -> AttachmentStatistics:
        """Return how the attachment does, now."""
        return AttachmentStatistics(
            name=self.name,
            duty=self.duty,
            state=self.state,
            position=self.done,
            lag=max(0, self.cursor.limit - self.done),
            **attrs.asdict(self._handler.count),
        )

    async def ready(self) -> None:
        """Return when the listener has caught up with the present: from then on the commit waits for a REQUIRED one.

        Raises what kept it from getting there.
        """
        await self._until(lambda: self.state in (AttachmentState.RUNNING, AttachmentState.DETACHED))
        await self.drain(self.cursor.limit)
        if self.failure is not None:
            raise self.failure

    async def detach(self) -> None:
        """Let the listener go, after the batch it is at; a REQUIRED one after everything journaled until now.

        Called from the listener itself, it returns at once.
        """
        if self._task is None:
            self._host.forget(self)
            return
        self.stop(self._host.pipeline.ring.journaled.value if self.duty is Duty.REQUIRED else 0)
        if asyncio.current_task() is not self._task:
            await self.finished()

    # -- what the fan-out tells and asks --

    def stop(self, end: int) -> None:
        """Work no more once the events below ``end`` are handled, or else after the present batch."""
        self._stop_at = min(self._stop_at, end)
        self.cursor.wake()
        self._handler.hurry()
        self._tell_waiters()

    def refuse(self, failure: Exception) -> None:
        """Let the listener go without an event."""
        self.failure = failure
        self.stop(0)

    def cancel(self) -> None:
        """Stop in the middle of whatever the listener is doing."""
        if self._scope is not None:
            self._scope.cancel()

    def end(self) -> None:
        """The listener is left, or never was entered; nobody need wait for it."""
        self.state = AttachmentState.DETACHED
        self._tell_waiters()

    async def drain(self, end: int) -> None:
        """Return when events below ``end`` are handled, or never will be."""
        await self._until(lambda: self.done >= end or self.state is AttachmentState.DETACHED)

    async def entered(self) -> None:
        """Return when the listener was entered, or could not be."""
        await self._until(lambda: self.is_entered or self.state is AttachmentState.DETACHED)

    async def finished(self) -> None:
        """Return when the listener was left, for whatever reason."""
        await self._until(lambda: self.state is AttachmentState.DETACHED)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def _tell_waiters(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # -- its life --

    async def run(self) -> None:
        """Enter the listener, work from when it has its place until it is told to stop, and leave it."""
        if self.state is AttachmentState.DETACHED:
            return
        self._task = asyncio.current_task()
        context.leave_all()
        reason = "it was cancelled, not being done when the hub closed"
        try:
            with anyio.CancelScope() as self._scope:
                async with self._entered():
                    self.is_entered = True
                    self._host.place_if_numbered(self)
                    self._tell_waiters()
                    await self._until(lambda: self.state is not AttachmentState.STARTING or self._stop_at == 0)
                    reason = await self._work()
        except Failed as refusal:
            self.failure = refusal.error
            reason = f"it could not be entered: {text_of(refusal.error)}"
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and is_cancelled():
                raise
            reason = f"its task ended: {text_of(error)}"
            if self.duty is Duty.REQUIRED:
                self._handler.fail_hub(RuntimeError(reason), self.done)
            if not isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._host.remove(self, reason)
            self.end()

    @asynccontextmanager
    async def _entered(self) -> AsyncIterator[None]:
        listener = self._listener
        try:
            # A required one may have a long log to check, and the hub cannot start without it anyway.
            with anyio.move_on_after(None if self.duty is Duty.REQUIRED else self._timeout) as scope:
                await guarded(listener.enter)
        except Exception as error:
            raise Failed(error) from error
        if scope.cancelled_caught:
            raise Failed(ListenerTimeout(f"not entered after {self._timeout:g} s"))
        try:
            try:
                self.entered_at = await guarded(listener.last_seq)
            except Exception as error:
                raise Failed(error) from error
            yield
        finally:
            # A log must be given up even when the hub has failed and everything else is cancelled.
            with anyio.move_on_after(LEAVE_SECONDS_MAX, shield=True):
                try:
                    await guarded(listener.leave)
                except Exception as error:  # noqa: BLE001 - the listener is on its way out; the hub's statistics tell
                    self._handler.count.last_error = text_of(error)

    def go(self) -> None:
        """Take the place that ``last_seq()`` or ``since`` names. The ring is numbered now.

        Raises :class:`~hubwire.errors.JournalBehind` if that is beyond the end, and
        :class:`~hubwire.errors.ConfigurationError` if the listener holds another hub's events.
        """
        pipeline, journal = self._host.pipeline, self._host.journal
        if self.hub_id not in (None, pipeline.hub_id):
            raise ConfigurationError(
                f"listener {self.name!r} holds events of hub {self.hub_id}, but this is hub {pipeline.hub_id}; give"
                " each hub logs of its own"
            )
        newest = pipeline.ring.applied.value
        if self.entered_at is not None:
            start = self.entered_at + 1
        elif self._since == "now":
            start = newest if self.attached_at is None else self.attached_at
        elif self._since == "start":
            start = pipeline.ring.first if journal is None else journal.first_seq
        else:
            start = self._since
        if journal is None:
            start = max(start, pipeline.ring.first)
        if start > newest:
            raise JournalBehind(
                f"listener {self.name!r} has event {start - 1}, but the journal ends before {newest}: it was restored"
                " from an older copy, or belongs to another hub. Give the hub the store that belongs to the listener"
            )
        self.state = AttachmentState.CATCHING_UP
        self.cursor.jump(start)
        self._advance(start)

    async def _work(self) -> str:
        """Read and handle until told to stop; return why it ended."""
        cursor = self.cursor
        while self.done < self._stop_at and not cursor.ended:
            if cursor.behind <= 0:
                await cursor.wait()
                continue
            if self.is_lossy and self.state is AttachmentState.RUNNING:
                self.drop_before(cursor.limit - self.mailbox)
            try:
                taken = await cursor.take()
            except Exception as error:  # noqa: BLE001 - HistoryGone, or whatever a journal raises
                self.failure = error
                if self.duty is Duty.REQUIRED:
                    await self._handler.stop_hub(error, self.done)
                return f"its events could not be read: {text_of(error)}"
            # Most listeners take everything, and most batches tell of no listener: nothing to select.
            is_plain = self._matcher.takes_all and taken and taken[0].seq > self._host.announcements.newest_seq
            events = taken if is_plain else self._matcher.select(taken)
            reason = await self._handler.handle(events) if events else None
            self._advance(cursor.seq)
            if reason is not None:
                return reason
        return "detached" if self.failure is None else text_of(self.failure)

    def _advance(self, done: int) -> None:
        self.done = done
        if self.state is AttachmentState.CATCHING_UP and self._is_level():
            self.state = AttachmentState.RUNNING
            self._host.caught_up(self)
        self._host.moved(self)
        self._tell_waiters()

    def _is_level(self) -> bool:
        """Tell whether the listener has caught up, so that from now on its duty counts.

        One that may be slow never reaches the very end; it has caught up when its mailbox holds the rest. Without a
        journal there is nothing to read behind the ring, so all but the lossy have caught up where they begin.
        """
        if self._host.journal is None and not self.is_lossy:
            return True
        room = 0 if self.duty is Duty.REQUIRED else self.mailbox
        return self.cursor.is_on_ring and self.cursor.behind <= room

    def drop_before(self, seq: int) -> None:
        """Let the listener miss the events below ``seq``; they are on the ring still."""
        start = self.cursor.seq
        if seq <= start:
            return
        missed = self._matcher.select(self._host.pipeline.ring.slice(start, seq))
        self.cursor.jump(seq)
        if missed:
            self._handler.count.dropped += len(missed)
            self._host.announcements.overflow(self.name, len(missed), missed[0].seq, missed[-1].seq)
