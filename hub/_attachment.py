"""An attachment: one listener on one hub, at its own place in the stream, in its own task, with its own duty."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from functools import partial
from typing import Any, Literal, Protocol

import anyio
import attrs
from anyio.abc import TaskStatus

from . import context
from ._cursor import Cursor
from ._matcher import Matcher
from ._pipeline import Handling, Pipeline, handling
from .errors import ConfigurationError, HistoryGone, HubError, JournalBehind, ListenerFailed, PartialBatch, StoreFull
from .events import Event
from .ports import Clock, HubListener, Journal

__all__ = ("Attachment", "AttachmentState", "AttachmentStatistics", "Duty", "ListenerTimeout", "Overflow", "Since")

Since = Literal["now", "start"] | int

RESTARTS_MAX = 3
RESTART_WINDOW_SECONDS = 5.0
BACKOFF_SECONDS = 0.1
BACKOFF_SECONDS_MAX = 30.0
LEAVE_SECONDS_MAX = 5.0

_OWN_DOMAINS = frozenset({"listener", "mailbox", "hub", "log"})


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

    def caught_up(self, attachment: Attachment) -> None:
        """It has reached the present."""

    def moved(self, attachment: Attachment) -> None:
        """It has handled something."""

    def remove(self, attachment: Attachment, reason: str) -> None:
        """It is at its end."""

    def announce_failure(self, attachment: Attachment, error: BaseException, event: Event) -> None:
        """Its listener failed to handle an event."""

    def announce_overflow(self, attachment: Attachment, count: int, first_seq: int, last_seq: int) -> None:
        """Its listener missed events."""

    def announce_restart(self, attachment: Attachment) -> None:
        """Its listener goes on after a failure."""


class Attachment:
    """One listener on one hub. :meth:`hubwire.Hub.attach` makes it."""

    def __init__(
        self,
        host: Host,
        listener: HubListener,
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
        self.state = AttachmentState.STARTING
        self.restarts = 0
        ring = host.pipeline.ring
        limit = ring.journaled if duty is Duty.REQUIRED else ring.committed
        self.cursor = Cursor(ring, host.journal, limit, 0)
        self.done = 0
        """Events below this ``seq`` are handled, or were dropped, or are not for this listener."""
        self.entered_at: int | None = None
        """What the listener's ``last_seq()`` said when it was entered."""
        self.attached_at: int | None = None
        """What "now" means for it; None: whenever the hub starts."""
        self.failure: Exception | None = None
        """Why it could not be entered or placed."""
        self._host = host
        self._listener = listener
        # Nobody gets events about himself, because handling them could make more. A required listener does: its failure
        # stops the hub, so nothing can go round, and an audit log that proves that nothing is missing needs every seq.
        self._matcher = Matcher(pattern, about=None if duty is Duty.REQUIRED else name)
        self.pattern = self._matcher.patterns
        self._since = since
        self._timeout = timeout
        self._stopping = False
        self._placed = asyncio.Event()
        self._ready = asyncio.Event()
        self._finished = asyncio.Event()
        self._task: asyncio.Task[Any] | None = None
        self._pausing: anyio.CancelScope | None = None
        self._scope: anyio.CancelScope | None = None
        self._progress: list[asyncio.Future[None]] = []
        self._failure_times: deque[float] = deque()
        self._handled = self._batches = self._dropped = self._failed = 0
        self._last_error: str | None = None

    # -- what the hub and its user see --

    @property
    def is_lossy(self) -> bool:
        return self.duty is Duty.BEST_EFFORT and self.overflow is Overflow.DROP_OLDEST

    @property
    def is_caught_up(self) -> bool:
        return self._ready.is_set()

    @property
    def hub_id(self) -> str | None:
        """The id of the hub whose events the listener holds, if it holds any and says so."""
        return getattr(self._listener, "hub_id", None)

    def is_task(self, task: object) -> bool:
        return task is not None and task is self._task

    def statistics(self) -> AttachmentStatistics:
        """Return how the attachment does, now."""
        return AttachmentStatistics(
            name=self.name,
            duty=self.duty,
            state=self.state,
            position=self.done,
            lag=max(0, self.cursor.behind + self.cursor.seq - self.done),
            handled=self._handled,
            batches=self._batches,
            dropped=self._dropped,
            failed=self._failed,
            restarts=self.restarts,
            last_error=self._last_error,
        )

    async def ready(self) -> None:
        """Return when the listener has caught up with the present: from then on the commit waits for a REQUIRED one.

        Raises what kept it from getting there.
        """
        await self._ready.wait()
        if self.failure is not None:
            raise self.failure

    async def detach(self) -> None:
        """Let the listener go, after the batch it is at; a REQUIRED one after everything journaled until now.

        Called from the listener itself, it returns at once, and the batch is the last.
        """
        if asyncio.current_task() is self._task:
            self.stop()
            return
        if self.duty is Duty.REQUIRED:
            await self.drain(self._host.pipeline.ring.journaled.value)
        self.stop()
        await self._finished.wait()

    def stop(self) -> None:
        """Work no more after the present batch."""
        self._stopping = True
        self.cursor.wake()
        if self._pausing is not None:
            self._pausing.cancel()

    async def drain(self, target: int) -> None:
        """Return when events below ``target`` are handled, or never will be."""
        while self.done < target and not self._finished.is_set():
            progress = asyncio.get_running_loop().create_future()
            self._progress.append(progress)
            await progress

    async def wait_finished(self) -> None:
        """Return when the listener was left, for whatever reason."""
        await self._finished.wait()

    def cancel(self) -> None:
        """Stop in the middle of whatever the listener is doing."""
        if self._scope is not None:
            self._scope.cancel()

    # -- its task --

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Enter the listener, say so, and work from when it has its place."""
        self._task = asyncio.current_task()
        context.leave_all()
        reason = "detached"
        try:
            with anyio.CancelScope() as self._scope:
                async with self._entered():
                    task_status.started()
                    await self._placed.wait()
                    reason = await self._work() or reason
        except _CannotEnter as refusal:
            self.failure = refusal.error
            reason = f"could not be entered: {refusal.error!r}"
            task_status.started()
        finally:
            self.state = AttachmentState.DETACHED
            self._finished.set()
            self._ready.set()
            self._tell_progress()
        self._host.remove(self, reason)

    @asynccontextmanager
    async def _entered(self) -> AsyncIterator[None]:
        listener: Any = self._listener
        if not hasattr(type(listener), "__aenter__"):
            yield
            return
        try:
            await listener.__aenter__()
            if hasattr(listener, "last_seq"):
                self.entered_at = listener.last_seq()
        except Exception as error:
            raise _CannotEnter(error) from error
        try:
            yield
        finally:
            # A log must be given up even when the hub has failed and everything else is cancelled.
            with anyio.move_on_after(LEAVE_SECONDS_MAX, shield=True):
                try:
                    await listener.__aexit__(None, None, None)
                except Exception as error:  # noqa: BLE001 - the listener is on its way out; the hub's statistics tell
                    self._last_error = repr(error)

    def go(self) -> None:
        """Take the place that ``last_seq()`` or ``since`` names. The ring is numbered now."""
        ring, journal = self._host.pipeline.ring, self._host.journal
        newest = ring.applied.value
        if self.entered_at is not None:
            start = self.entered_at + 1
        elif self._since == "now":
            start = newest if self.attached_at is None else self.attached_at
        elif self._since == "start":
            start = ring.first if journal is None else journal.first_seq
        else:
            start = self._since
        if journal is None:
            start = max(start, ring.first)
        if start > newest:
            self.failure = JournalBehind(
                f"listener {self.name!r} has event {start - 1}, but the journal ends before {newest}: it was restored"
                " from an older copy, or belongs to another hub. Give the hub the store that belongs to the listener"
            )
            self._stopping = True
            start = newest
        self.cursor.jump(start)
        self.done = start
        self.state = AttachmentState.CATCHING_UP
        self._placed.set()

    async def _work(self) -> str | None:
        """Read and handle until told to stop; return why, if it is for another reason."""
        cursor, host = self.cursor, self._host
        while True:
            if self._stopping:
                return None if self.failure is None else str(self.failure)
            if not self.is_caught_up and cursor.behind <= 0:
                self.state = AttachmentState.RUNNING
                self._ready.set()
                host.caught_up(self)
            if cursor.behind <= 0:
                await cursor.wait()
                continue
            if self.is_lossy and self.is_caught_up and cursor.behind > self.mailbox:
                self.drop_before(cursor.seq + cursor.behind - self.mailbox)
            try:
                taken = await cursor.take()
            except HistoryGone as error:
                self.failure = error
                if self.duty is Duty.REQUIRED:
                    await self._stop_hub(error, cursor.seq, cursor.seq)
                return str(error)
            events = self._matcher.select(taken)
            reason = await self._handle(events) if events else None
            self.done = cursor.seq
            host.moved(self)
            self._tell_progress()
            if reason is not None:
                return reason

    def _tell_progress(self) -> None:
        waiting, self._progress = self._progress, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def drop_before(self, seq: int) -> None:
        """Let the listener miss the events below ``seq``; they are on the ring still."""
        start = self.cursor.seq
        if seq <= start:
            return
        missed = self._matcher.select(self._host.pipeline.ring.slice(start, seq))
        self.cursor.jump(seq)
        if missed:
            self._dropped += len(missed)
            self._host.announce_overflow(self, len(missed), missed[0].seq, missed[-1].seq)

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
            except _Failed as failure:
                alone = alone or not failure.knows_place
                self._count(failure.handled)
                events = events[failure.handled :]
                if failure.knows_place or len(batch) == 1:
                    if reason := await self._give_up_on(events[0], failure.error):
                        return reason
                    events = events[1:]
            else:
                self._count(len(batch))
                events = events[len(batch) :]
        return None

    async def _handle_required(self, events: Sequence[Event]) -> None:
        try:
            await self._host.pipeline.retry_while_full(partial(self._call_translating_full, events))
        except (StoreFull, _Failed) as failure:
            error = failure.error if isinstance(failure, _Failed) else failure
            await self._stop_hub(error, events[0].seq, events[-1].seq)
        self._count(len(events))

    async def _stop_hub(self, error: BaseException, first_seq: int, last_seq: int) -> None:
        self._failed += 1
        self._last_error = repr(error)
        failure = ListenerFailed(
            f"the required listener {self.name!r} failed at events {first_seq} to {last_seq} ({error!r}), so the hub"
            " stops: mend its cause, then start the hub again; the listener goes on where it was",
            listener=self.name,
        )
        failure.__cause__ = error
        self._host.pipeline.fail(failure)
        await anyio.sleep_forever()  # until the hub, which has failed now, cancels its tasks

    async def _call_translating_full(self, events: Sequence[Event]) -> None:
        try:
            await self._call(events)
        except _Failed as failure:
            if isinstance(failure.error, StoreFull):
                raise failure.error from None
            raise

    async def _call(self, events: Sequence[Event]) -> None:
        """Call the listener once; raise :class:`_Failed`, whatever it does, unless it handles all of them."""
        context.cause(events[-1])
        mark = Handling()
        if self.duty is Duty.REQUIRED or self.overflow is Overflow.BLOCK:
            handling.set(mark)
        seconds = self._timeout * len(events)
        try:
            with anyio.move_on_after(seconds) as scope:
                await self._listener.on_events(events)
        except PartialBatch as error:
            raise _Failed(error.__cause__ or error, min(error.handled, len(events) - 1), knows_place=True) from None
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            raise _Failed(RuntimeError("the listener raised CancelledError"), 0) from None
        except (Exception, SystemExit, GeneratorExit) as error:
            raise _Failed(error, 0) from None
        finally:
            mark.active = False
        if scope.cancelled_caught:
            raise _Failed(ListenerTimeout(f"not done with {len(events)} events after {seconds:g} s"), 0)

    def _count(self, handled: int) -> None:
        self._handled += handled
        self._batches += 1

    async def _give_up_on(self, event: Event, error: BaseException) -> str | None:
        """Go on without this event, after a pause; return why not, if the listener has failed too often."""
        self._failed += 1
        self._last_error = repr(error)
        if event.kind.partition(".")[0] not in _OWN_DOMAINS:
            self._host.announce_failure(self, error, event)
        clock, times = self._host.clock, self._failure_times
        now = clock.monotonic()
        times.append(now)
        while times[0] < now - RESTART_WINDOW_SECONDS:
            times.popleft()
        if len(times) > RESTARTS_MAX:
            return f"failed {len(times)} times in {RESTART_WINDOW_SECONDS:g} seconds, the last time with {error!r}"
        if not self._stopping:
            backoff = min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS * 2 ** (len(times) - 1))
            with anyio.CancelScope() as self._pausing:
                await clock.sleep(random.uniform(0, backoff))  # noqa: S311 - jitter, not a secret
            self._pausing = None
        self.restarts += 1
        self._host.announce_restart(self)
        return None


class ListenerTimeout(HubError):
    """A listener took longer than its attachment's timeout, and was cancelled."""


class _CannotEnter(HubError):
    def __init__(self, error: Exception) -> None:
        super().__init__(repr(error))
        self.error = error


class _Failed(HubError):
    """A call of a listener failed after ``handled`` events; the one after them is to blame if it ``knows_place``."""

    def __init__(self, error: BaseException, handled: int, *, knows_place: bool = False) -> None:
        super().__init__(repr(error))
        self.error = error
        self.handled = handled
        self.knows_place = knows_place


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
