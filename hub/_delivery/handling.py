"""Handling: how one listener gets a batch, and what its failures lead to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from contextvars import ContextVar

import anyio
import attrs

from .. import context
from .._commit.backoff import Backoff, FailureWindow
from .._commit.held import HeldCall
from .._commit.pipeline import Pipeline
from .._foreign.guards import guarded, text_of
from ..errors import HubError, ListenerFailed, ListenerTimeout, PartialBatch
from ..events import Event
from ..ports import Clock
from .adapted import Adapted
from .announcements import Announcements
from .duty import Duty, Overflow

__all__ = ("OWN_DOMAINS", "Count", "Failed", "Handler")

RESTARTS_MAX = 3
RESTART_WINDOW_SECONDS = 5.0
_BACKOFF = Backoff(seconds=0.1, seconds_max=30.0)

OWN_DOMAINS = frozenset({"listener", "mailbox", "hub", "log"})
"""The first words of the kinds of the hub's own events."""


def _is_told(event: Event) -> bool:
    """Tell whether a failure at this event is announced.

    Not about the hub's own events: two listeners that fail at them would go on for ever.
    """
    return event.kind.partition(".")[0] not in OWN_DOMAINS


@attrs.define
class Count:
    """What :class:`AttachmentStatistics` counts."""

    handled: int = 0
    batches: int = 0
    dropped: int = 0
    failed: int = 0
    restarts: int = 0
    retries: int = 0
    last_error: str | None = None


class Handler:
    """Has one listener handle events, and bears its failures as its duty says."""

    def __init__(
        self,
        listener: Adapted,
        *,
        name: str,
        duty: Duty,
        overflow: Overflow,
        timeout: float,
        attempts_max: int,
        progress: Callable[[int], None],
        pipeline: Pipeline,
        clock: Clock,
        announcements: Announcements,
    ) -> None:
        """``progress`` is told, when a batch fails, the ``seq`` of the first event that is not handled."""
        self.count: Count = Count()
        self.attempts: int = 0
        """How often a DURABLE listener has failed at the event it is at."""
        self.error: Exception = RuntimeError()
        """What it failed with the last time."""
        self._listener = listener
        self._name = name
        self._duty = duty
        self._overflow = overflow
        self._timeout = timeout
        self._attempts_max = attempts_max
        self._progress = progress
        self._pipeline = pipeline
        self._clock = clock
        self._announcements = announcements
        self._recent_failures = FailureWindow(RESTARTS_MAX, RESTART_WINDOW_SECONDS)
        self._pause: anyio.CancelScope | None = None
        self._is_hurried = False

    def hurry(self) -> None:
        """Pause no more after a failure: the listener is asked to come to its end."""
        self._is_hurried = True
        if self._pause is not None:
            self._pause.cancel()

    def begin_again(self) -> None:
        """Let a listener that was given up on try as often as at first."""
        self.attempts = 0

    def is_calling(self) -> bool:
        """Tell whether the code that runs is called by the listener: in its task, or in one that it started."""
        call = _call.get()
        return call is not None and call.active and call.handler is self

    async def handle(self, events: Sequence[Event]) -> str | None:
        """Have the listener handle a batch; return why it must go, if it must."""
        if self._duty is Duty.REQUIRED:
            await self._handle_required(events)
            return None
        alone = False
        while events:
            batch = events[:1] if alone else events
            try:
                await self._call(batch)
                events = events[len(batch) :]
                self.attempts = 0
            except Failed as failure:
                events = events[failure.handled :]
                if failure.handled:
                    self.attempts = 0
                self._progress(events[0].seq)
                alone = alone or not failure.knows_place
                if not failure.knows_place and len(batch) > 1:
                    continue
                if self._duty is Duty.DURABLE:
                    if not await self.retry(failure.error, events[0].seq, tell=_is_told(events[0])):
                        return text_of(failure.error)
                elif reason := await self._give_up_on(events[0], failure.error):
                    return reason
                else:
                    events = events[1:]
        return None

    async def retry(self, error: Exception, seq: int, *, tell: bool = True) -> bool:
        """Pause before a DURABLE listener gets the event again; tell whether it shall."""
        self.attempts += 1
        self.error = error
        self.count.failed += 1
        self.count.last_error = text_of(error)
        if tell and self.attempts == 1:
            self._announcements.failure(self._name, error, seq)
        if self.attempts >= self._attempts_max or self._is_hurried:
            return False
        await self._sleep(_BACKOFF.pause_seconds(self.attempts))
        self.count.retries += 1
        return not self._is_hurried

    async def _sleep(self, seconds: float) -> None:
        if not self._is_hurried:
            with anyio.CancelScope() as self._pause:
                await self._clock.sleep(seconds)
            self._pause = None

    async def _handle_required(self, events: Sequence[Event]) -> None:
        async def handle_rest() -> None:
            nonlocal events
            try:
                await self._call(events)
            except Failed as failure:
                events = events[failure.handled :]
                raise failure.error from failure.error.__cause__

        try:
            await self._pipeline.retry_while_full(f"listener {self._name!r}", handle_rest)
        except Exception as error:  # noqa: BLE001 - whatever the listener raised, the hub cannot go on
            await self.stop_hub(error, events[0].seq)

    async def stop_hub(self, error: Exception, seq: int) -> None:
        self.fail_hub(error, seq)
        await anyio.sleep_forever()  # until the hub, which has failed now, cancels its tasks

    def fail_hub(self, error: Exception, seq: int) -> None:
        self.count.failed += 1
        self.count.last_error = text_of(error)
        failure = ListenerFailed(
            f"the required listener {self._name!r} failed at event {seq} ({text_of(error)}), so the hub stops: mend its"
            " cause, then start the hub again; the listener goes on where it was",
            listener=self._name,
        )
        failure.__cause__ = error
        self._pipeline.fail(failure)

    async def _call(self, events: Sequence[Event]) -> None:
        """Call the listener once; raise :class:`Failed`, whatever it does, unless it handles all of them."""
        context.cause(events[-1])
        call = _Call(self)
        _call.set(call)
        holds_commits = self._duty is Duty.REQUIRED or self._overflow is Overflow.BLOCK
        seconds = self._timeout * len(events)
        handled = 0
        try:
            with HeldCall(self._pipeline) if holds_commits else nullcontext(), anyio.move_on_after(seconds) as scope:
                await guarded(self._listener.on_events, events)
                handled = len(events)
        except PartialBatch as error:
            handled = min(error.handled, len(events) - 1)
            cause = error.__cause__
            raise Failed(cause if isinstance(cause, Exception) else error, handled, knows_place=True) from None
        except Exception as error:  # noqa: BLE001 - that is what a failure is
            raise Failed(error) from None
        finally:
            call.active = False
            self.count.handled += handled
            self.count.batches += 1
        if scope.cancelled_caught:
            raise Failed(ListenerTimeout(f"not done with {len(events)} events after {seconds:g} s"))

    async def _give_up_on(self, event: Event, error: Exception) -> str | None:
        """Go on without this event, after a pause; return why not, if the listener has failed too often."""
        count, clock, announcements = self.count, self._clock, self._announcements
        count.failed += 1
        count.last_error = text_of(error)
        tell = _is_told(event)
        if tell:
            announcements.failure(self._name, error, event.seq)
        failures = self._recent_failures.add(clock.monotonic())
        if failures is None:
            often = f"more than {RESTARTS_MAX} times in {RESTART_WINDOW_SECONDS:g} seconds"
            return f"failed {often}, last with {text_of(error)}"
        await self._sleep(_BACKOFF.pause_seconds(failures))
        count.restarts += 1
        if tell:
            announcements.restart(self._name, count.restarts)
        return None


@attrs.define(eq=False)
class _Call:
    """One call of a listener; tasks that it starts inherit it."""

    handler: Handler
    active: bool = True


_call: ContextVar[_Call | None] = ContextVar("hubwire.call", default=None)


class Failed(HubError):
    """A call of a listener failed after ``handled`` events; the one after them is to blame if it ``knows_place``."""

    def __init__(self, error: Exception, handled: int = 0, *, knows_place: bool = False) -> None:
        super().__init__(text_of(error))
        self.error = error
        self.handled = handled
        self.knows_place = knows_place
