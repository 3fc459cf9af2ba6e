"""An attachment: one listener on one hub, at its own place in the stream, in its own task, with its own duty."""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any, Literal, Protocol

import anyio
import attrs

from . import context
from ._adapt import Adapted, ListenerTimeout, guarded, is_cancelled, text_of
from ._announcements import Announcements
from ._cursor import Cursor
from ._matcher import Matcher
from ._pipeline import Handling, Pipeline, handling
from .errors import ConfigurationError, HubError, JournalBehind, ListenerFailed, PartialBatch
from .events import Event
from .ports import Clock, Journal

__all__ = ("OWN_DOMAINS", "Attachment", "AttachmentState", "AttachmentStatistics", "Duty", "Overflow", "Since")

Since = Literal["now", "start"] | int

RESTARTS_MAX = 3
RESTART_WINDOW_SECONDS = 5.0
BACKOFF_SECONDS = 0.1
BACKOFF_SECONDS_MAX = 30.0
LEAVE_SECONDS_MAX = 5.0

OWN_DOMAINS = frozenset({"listener", "mailbox", "hub", "log"})
"""The first words of the kinds of the hub's own events."""


class Duty(Enum):
    """An attachment's delivery guarantee."""

    REQUIRED = "required"
    """The commit waits for it. If it fails, the hub stops."""

    BEST_EFFORT = "best_effort"
    """It sees what its mailbox holds. If it fails, it is restarted a few times, then detached; the hub goes on."""


class Overflow(Enum):
    """What happens when a BEST_EFFORT listener has more to read than its mailbox holds."""

    DROP_OLDEST = "drop_oldest"
    """The oldest events are dropped for it, counted, and announced as ``mailbox.overflowed``."""

    BLOCK = "block"
    """Emitters wait until it has caught up."""


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
        self._pause: anyio.CancelScope | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._patience = _Patience()
        self._count = _Count()

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
            **attrs.asdict(self._count),
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
        if self._pause is not None:
            self._pause.cancel()
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
        except _Failed as refusal:
            self.failure = refusal.error
            reason = f"it could not be entered: {text_of(refusal.error)}"
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and is_cancelled():
                raise
            reason = f"its task ended: {text_of(error)}"
            if self.duty is Duty.REQUIRED:
                self._fail_hub(RuntimeError(reason), self.done)
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
            raise _Failed(error) from error
        if scope.cancelled_caught:
            raise _Failed(ListenerTimeout(f"not entered after {self._timeout:g} s"))
        try:
            try:
                self.entered_at = await guarded(listener.last_seq)
            except Exception as error:
                raise _Failed(error) from error
            yield
        finally:
            # A log must be given up even when the hub has failed and everything else is cancelled.
            with anyio.move_on_after(LEAVE_SECONDS_MAX, shield=True):
                try:
                    await guarded(listener.leave)
                except Exception as error:  # noqa: BLE001 - the listener is on its way out; the hub's statistics tell
                    self._count.last_error = text_of(error)

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
                    await self._stop_hub(error, self.done)
                return f"its events could not be read: {text_of(error)}"
            # Most listeners take everything, and most batches tell of no listener: nothing to select.
            is_plain = self._matcher.takes_all and taken and taken[0].seq > self._host.announcements.newest_seq
            events = taken if is_plain else self._matcher.select(taken)
            reason = await self._handle(events) if events else None
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
            self._count.dropped += len(missed)
            self._host.announcements.overflow(self.name, len(missed), missed[0].seq, missed[-1].seq)

    # -- handling --

    async def _handle(self, events: Sequence[Event]) -> str | None:
        """Have the listener handle a batch; return why it must go, if it must."""
        if self.duty is Duty.REQUIRED:
            await self._handle_required(events)
            return None
        alone = False
        while events:
            batch = events[:1] if alone else events
            try:
                await self._call(batch)
                events = events[len(batch) :]
            except _Failed as failure:
                events = events[failure.handled :]
                alone = alone or not failure.knows_place
                if failure.knows_place or len(batch) == 1:
                    if reason := await self._give_up_on(events[0], failure.error):
                        return reason
                    events = events[1:]
        return None

    async def _handle_required(self, events: Sequence[Event]) -> None:
        async def handle_rest() -> None:
            nonlocal events
            try:
                await self._call(events)
            except _Failed as failure:
                events = events[failure.handled :]
                raise failure.error from failure.error.__cause__

        try:
            await self._host.pipeline.retry_while_full(f"listener {self.name!r}", handle_rest)
        except Exception as error:  # noqa: BLE001 - whatever the listener raised, the hub cannot go on
            await self._stop_hub(error, events[0].seq)

    async def _stop_hub(self, error: Exception, seq: int) -> None:
        self._fail_hub(error, seq)
        await anyio.sleep_forever()  # until the hub, which has failed now, cancels its tasks

    def _fail_hub(self, error: Exception, seq: int) -> None:
        self._count.failed += 1
        self._count.last_error = text_of(error)
        failure = ListenerFailed(
            f"the required listener {self.name!r} failed at event {seq} ({text_of(error)}), so the hub stops: mend its"
            " cause, then start the hub again; the listener goes on where it was",
            listener=self.name,
        )
        failure.__cause__ = error
        self._host.pipeline.fail(failure)

    async def _call(self, events: Sequence[Event]) -> None:
        """Call the listener once; raise :class:`_Failed`, whatever it does, unless it handles all of them."""
        context.cause(events[-1])
        mark = Handling()
        if self.duty is Duty.REQUIRED or self.overflow is Overflow.BLOCK:
            handling.set(mark)
        seconds = self._timeout * len(events)
        handled = 0
        try:
            with anyio.move_on_after(seconds) as scope:
                await guarded(self._listener.on_events, events)
                handled = len(events)
        except PartialBatch as error:
            handled = min(error.handled, len(events) - 1)
            cause = error.__cause__
            raise _Failed(cause if isinstance(cause, Exception) else error, handled, knows_place=True) from None
        except Exception as error:  # noqa: BLE001 - that is what a failure is
            raise _Failed(error) from None
        finally:
            mark.active = False
            self._count.handled += handled
            self._count.batches += 1
        if scope.cancelled_caught:
            raise _Failed(ListenerTimeout(f"not done with {len(events)} events after {seconds:g} s"))

    async def _give_up_on(self, event: Event, error: Exception) -> str | None:
        """Go on without this event, after a pause; return why not, if the listener has failed too often."""
        count, clock, announcements = self._count, self._host.clock, self._host.announcements
        count.failed += 1
        count.last_error = text_of(error)
        # About the hub's own events nothing is told: two listeners that fail at them would go on for ever.
        tell = event.kind.partition(".")[0] not in OWN_DOMAINS
        if tell:
            announcements.failure(self.name, error, event.seq)
        backoff = self._patience.backoff_seconds(clock.monotonic())
        if backoff is None:
            often = f"more than {RESTARTS_MAX} times in {RESTART_WINDOW_SECONDS:g} seconds"
            return f"failed {often}, last with {text_of(error)}"
        if self._stop_at == math.inf:
            with anyio.CancelScope() as self._pause:
                await clock.sleep(random.uniform(0, backoff))  # noqa: S311 - jitter, not a secret
            self._pause = None
        count.restarts += 1
        if tell:
            announcements.restart(self.name, count.restarts)
        return None


@attrs.define
class _Count:
    """What :class:`AttachmentStatistics` counts."""

    handled: int = 0
    batches: int = 0
    dropped: int = 0
    failed: int = 0
    restarts: int = 0
    last_error: str | None = None


class _Patience:
    """How often a listener may fail, and how long it pauses then."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def backoff_seconds(self, now: float) -> float | None:
        """Return the longest pause after a failure; None if it was one too many."""
        times = self._times
        times.append(now)
        while times[0] < now - RESTART_WINDOW_SECONDS:
            times.popleft()
        if len(times) > RESTARTS_MAX:
            return None
        return min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS * 2.0 ** (len(times) - 1))


class _Failed(HubError):
    """A call of a listener failed after ``handled`` events; the one after them is to blame if it ``knows_place``."""

    def __init__(self, error: Exception, handled: int = 0, *, knows_place: bool = False) -> None:
        super().__init__(text_of(error))
        self.error = error
        self.handled = handled
        self.knows_place = knows_place
