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

from .. import context
from .._commit.pipeline import Pipeline
from .._foreign.guards import guarded, is_cancelled, message_of, text_of
from ..errors import ConfigurationError, HistoryGone, HubClosed, JournalBehind, ListenerTimeout
from ..events import ListenerSuspended
from ..ports import Clock, Journal
from .adapted import Adapted
from .announcements import Announcements
from .cursor import Cursor
from .duty import Duty, Overflow
from .handling import Failed, Handler
from .matcher import Matcher

__all__ = ("Attachment", "AttachmentState", "AttachmentStatistics", "Since")

Since = Literal["now", "start"] | int

LEAVE_SECONDS_MAX = 5.0


class AttachmentState(Enum):
    """Where an attachment is in its life."""

    STARTING = "starting"
    CATCHING_UP = "catching_up"
    RUNNING = "running"
    SUSPENDED = "suspended"
    """A DURABLE listener that gets no more events until it is resumed, or the hub is started again."""
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
    retries: int
    """How often a DURABLE listener got an event again after it had failed."""
    last_error: str | None


class Host(Protocol):
    """What an attachment is attached to: the fan-out."""

    pipeline: Pipeline
    journal: Journal | None
    clock: Clock
    announcements: Announcements

    def place_if_numbered(self, attachment: Attachment) -> None:
        """It was entered, and waits for its place."""

    def position_of(self, name: str) -> int | None:
        """Return the position that is kept of a DURABLE name."""

    async def save_position(self, attachment: Attachment) -> None:
        """Keep the position of a DURABLE name that is new."""

    def caught_up(self, attachment: Attachment) -> None:
        """It has reached the present."""

    def moved(self, attachment: Attachment) -> None:
        """It has handled something."""

    def remove(self, attachment: Attachment, reason: str) -> None:
        """It is at its end."""

    def forget(self, attachment: Attachment) -> None:
        """It is not wanted any more, before it was entered."""


@attrs.frozen
class _Resumed:
    """What :meth:`Attachment.resume` was told."""

    skip_missed: bool


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
        attempts_max: int,
    ) -> None:
        self.name = name
        self.duty = duty
        self.overflow = overflow
        self.mailbox = mailbox
        self.state: AttachmentState = AttachmentState.STARTING
        ring = host.pipeline.ring
        limit = ring.journaled if duty is Duty.REQUIRED else ring.committed
        self.done: int = 0
        """Events below this ``seq`` are handled, or were dropped, or are not for this listener."""
        self.is_entered: bool = False
        self.is_placed: bool = False
        """Whether it has its place: ``done`` means nothing before."""
        self.entered_at: int | None = None
        """What the listener's ``last_seq()`` said when it was entered."""
        self.attached_at: int | None = None
        """What "now" means for it; None: whenever the hub starts."""
        self.failure: Exception | None = None
        """Why it could not be entered, placed, or given its events."""
        self.suspension: Exception | None = None
        """Why a DURABLE listener gets no more events."""
        self._resumed: _Resumed | None = None
        self._host = host
        self._listener = listener
        # Nobody gets events about himself, because handling them could make more. Who is promised every event does: one
        # failure stops the hub or, repeated, suspends the listener, so nothing can go round, and an audit log that
        # proves that nothing is missing needs every seq.
        matcher = Matcher(
            pattern,
            about=name if duty is Duty.BEST_EFFORT else None,
            newest_about=lambda: host.announcements.newest_seq,
        )
        self.pattern: tuple[str, ...] = matcher.patterns
        self.cursor: Cursor = Cursor(ring, host.journal, limit, matcher)
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
            attempts_max=attempts_max,
            progress=self._progress,
            pipeline=host.pipeline,
            clock=host.clock,
            announcements=host.announcements,
        )

    # -- what the hub and its user see --

    @property
    def is_required(self) -> bool:
        return self.duty is Duty.REQUIRED

    @property
    def is_durable(self) -> bool:
        return self.duty is Duty.DURABLE

    @property
    def is_lossy(self) -> bool:
        return self.duty is Duty.BEST_EFFORT and self.overflow is Overflow.DROP_OLDEST

    @property
    def keeps_ring(self) -> bool:
        """Whether the ring must keep what this attachment has not read."""
        return self.state is AttachmentState.RUNNING and self.duty is not Duty.DURABLE and not self.is_lossy

    @property
    def may_drop(self) -> bool:
        """Whether it misses what the ring does not keep, rather than reading it from the journal."""
        catching_up = self.state is AttachmentState.CATCHING_UP and self._host.journal is None
        return self.is_lossy and (self.state is AttachmentState.RUNNING or catching_up)

    @property
    def blocks(self) -> bool:
        """Whether emitters wait for it."""
        return self.duty is Duty.BEST_EFFORT and self.overflow is Overflow.BLOCK

    @property
    def missed(self) -> tuple[int, int] | None:
        """The ``seq`` of the first and the last event that it has not seen, and never will; None if there are none.

        They are in the journal no more: it has been away, suspended or too slow while the journal outgrew its bound.
        """
        journal = self._host.journal
        if self.duty is not Duty.DURABLE or journal is None or not self.is_placed or self.done >= journal.first_seq:
            return None
        return self.done, journal.first_seq - 1

    @property
    def hub_id(self) -> str | None:
        """The id of the hub whose events the listener holds, if it holds any and says so."""
        return self._listener.declared("hub_id", None)

    def is_calling(self) -> bool:
        """Tell whether the code that runs is called by the listener: in its task, or in one that it started."""
        task = asyncio.current_task()
        return (task is not None and task is self._task) or self._handler.is_calling()

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

        From then on, too, a DURABLE listener goes on from its place after a crash. Raises what kept it from getting
        there, or what it was suspended for.
        """
        at_rest = (AttachmentState.RUNNING, AttachmentState.SUSPENDED, AttachmentState.DETACHED)
        await self._until(lambda: self.state in at_rest)
        await self.drain(self.cursor.limit)
        if self.duty is Duty.DURABLE:
            await self._host.save_position(self)
        if (error := self.failure or self.suspension) is not None:
            raise error

    async def detach(self) -> None:
        """Let the listener go, after the batch it is at; a REQUIRED one after everything journaled until now.

        Called from the listener itself, it returns at once. The position of a DURABLE one is kept, and the journal for
        it: attached again under its name, it goes on from there. :meth:`hubwire.Hub.forget` ends that.
        """
        if self._task is None:
            self._host.forget(self)
            return
        self.stop(self._host.pipeline.ring.journaled.value if self.duty is Duty.REQUIRED else 0)
        if not self.is_calling():
            await self.finished()

    def resume(self, *, skip_missed: bool = False) -> None:
        """Let a suspended listener go on where it stopped: with the event that it failed at, or did not get to.

        Does nothing if it is not suspended. If the journal no longer holds what comes next, this raises
        :class:`~hubwire.errors.HistoryGone`, and :attr:`missed` tells what it is. With ``skip_missed``, the listener
        goes on with the oldest event held; what it missed is counted as dropped, and told as ``mailbox.overflowed``.
        Raises :class:`~hubwire.errors.HubClosed` if it is detached.
        """
        if self.state is AttachmentState.DETACHED:
            raise HubClosed(f"listener {self.name!r} is detached, or its hub closed; attach it again")
        if self.state is not AttachmentState.SUSPENDED:
            return
        if self.missed is not None and not skip_missed:
            raise self._gone()
        self.suspension = None
        self.state = AttachmentState.CATCHING_UP
        self._resumed = _Resumed(skip_missed=skip_missed)
        self._handler.begin_again()
        self._handler.count.restarts += 1
        self._host.announcements.restart(self.name, self._handler.count.restarts)
        self._tell_waiters()

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
        """Return when events below ``end`` are handled, or never will be, or not unless it is resumed."""
        at_rest = (AttachmentState.SUSPENDED, AttachmentState.DETACHED)
        await self._until(lambda: self.done >= end or self.state in at_rest)

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
        """Take the place that ``last_seq()``, the position kept, or ``since`` names. The ring is numbered now.

        Raises :class:`~hubwire.errors.JournalBehind` if that is beyond the end,
        :class:`~hubwire.errors.HistoryGone` if a REQUIRED listener has not seen what the journal no longer holds, and
        :class:`~hubwire.errors.ConfigurationError` if the listener holds another hub's events.
        """
        pipeline, journal = self._host.pipeline, self._host.journal
        if self.hub_id not in (None, pipeline.hub_id):
            raise ConfigurationError(
                f"listener {self.name!r} holds events of hub {self.hub_id}, but this is hub {pipeline.hub_id}; give"
                " each hub logs of its own"
            )
        newest = pipeline.ring.applied.value
        kept = self._host.position_of(self.name) if self.duty is Duty.DURABLE else None
        if self.entered_at is not None:
            start = self.entered_at + 1
        elif kept is not None:
            start = kept
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
        if self.duty is Duty.REQUIRED and journal is not None and start < journal.first_seq:
            raise HistoryGone(
                f"the required listener {self.name!r} goes on from event {start}, but the journal is truncated before"
                f" {journal.first_seq}: it was not attached meanwhile. Restore an older copy of the journal, or give"
                " the listener a new beginning",
                first_seq=journal.first_seq,
            )
        self.state = AttachmentState.CATCHING_UP
        self.is_placed = True
        self.cursor.jump(start)
        self.done = start
        self.suspend_if_missing()
        self._advance(start)

    async def _work(self) -> str:
        """Read and handle until told to stop; return why it ended."""
        cursor = self.cursor
        while self.done < self._stop_at and not cursor.ended:
            if self.state is AttachmentState.SUSPENDED:
                await self._until(lambda: self.state is not AttachmentState.SUSPENDED or self._stop_at < math.inf)
                if self.state is AttachmentState.SUSPENDED:
                    break
            if self._resumed is not None:
                self._take_up()
                continue
            if cursor.behind <= 0:
                await cursor.wait()
                continue
            if self.is_lossy and self.state is AttachmentState.RUNNING:
                self.drop_before(cursor.limit - self.mailbox)
            try:
                events = await cursor.take()
            except Exception as error:  # noqa: BLE001 - HistoryGone, or whatever a journal raises
                if await self._bear_unreadable(error):
                    continue
                return f"its events could not be read: {text_of(error)}"
            reason = await self._handler.handle(events) if events else None
            if reason is not None and self.duty is Duty.DURABLE:
                self._suspend("failed", self._handler.error, self._handler.attempts)
                if self._stop_at < math.inf:
                    break
                continue
            self._advance(cursor.seq)
            if reason is not None:
                return reason
        return "detached" if self.failure is None else text_of(self.failure)

    async def _bear_unreadable(self, error: Exception) -> bool:
        """Do what the duty says when the next events cannot be read; tell whether to go on."""
        if isinstance(error, HistoryGone) and self._host.journal is not None and self.duty is not Duty.REQUIRED:
            if self.duty is Duty.BEST_EFFORT:
                self._skip_gone(error.first_seq)
            else:
                self.suspend_if_missing()
            return True
        if self.duty is Duty.DURABLE:
            if not await self._handler.retry(error, self.done):
                self._suspend("failed", error, self._handler.attempts)
            return self._stop_at == math.inf
        self.failure = error
        if self.duty is Duty.REQUIRED:
            await self._handler.stop_hub(error, self.done)
        return False

    # -- what it misses --

    def suspend_if_missing(self) -> None:
        """Give a DURABLE listener no more events if the next one is not held any more."""
        if (missed := self.missed) is not None and self.state is not AttachmentState.SUSPENDED:
            self._suspend("missed", self._gone(), 0, first_seq_held=missed[1] + 1)

    def _gone(self) -> HistoryGone:
        assert self.missed is not None
        first, last = self.missed
        return HistoryGone(
            f"listener {self.name!r} has missed events {first} to {last}, which the journal no longer holds;"
            " resume(skip_missed=True) lets it go on without them",
            first_seq=last + 1,
        )

    def _suspend(self, reason: str, error: Exception, attempts: int, first_seq_held: int | None = None) -> None:
        if self._stop_at < math.inf or self.state is AttachmentState.SUSPENDED:
            return  # it goes, and may try again when it is attached again; or it has been told already
        self.suspension = error
        self._handler.count.last_error = text_of(error)
        self.state = AttachmentState.SUSPENDED
        self._host.announcements.put(
            ListenerSuspended(
                listener=self.name,
                reason=reason,
                event_seq=self.done,
                attempts=attempts,
                error_type=type(error).__name__,
                error_message=message_of(error),
                first_seq_held=first_seq_held,
            )
        )
        self.cursor.wake()
        self._tell_waiters()

    def _take_up(self) -> None:
        """Go on after :meth:`resume`: not before the batch that the listener was at when it was suspended has ended."""
        resumed, self._resumed = self._resumed, None
        assert resumed is not None
        if (missed := self.missed) is not None and resumed.skip_missed:
            self._skip_gone(missed[1] + 1)
            return
        self.suspend_if_missing()
        self.cursor.jump(self.done)
        self._advance(self.done)

    def _skip_gone(self, first_seq: int) -> None:
        """Go on at ``first_seq``; what is before it is not held any more."""
        count = first_seq - self.done
        self._handler.count.dropped += count
        self._host.announcements.overflow(self.name, count, self.done, first_seq - 1)
        self.cursor.jump(first_seq)
        self._advance(first_seq)

    def _progress(self, done: int) -> None:
        """A batch has failed after the events below ``done``: a DURABLE listener goes on from there."""
        if self.duty is Duty.DURABLE:
            self.done = done
            self._host.moved(self)

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
        if seq <= self.cursor.seq:
            return
        if missed := self.cursor.pass_over(seq):
            self._handler.count.dropped += len(missed)
            self._host.announcements.overflow(self.name, len(missed), missed[0].seq, missed[-1].seq)
