"""Handling: how one listener gets a batch, and what its failures lead to."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence

import anyio
import attrs

from . import context
from ._adapt import Adapted, ListenerTimeout, guarded, text_of
from ._announcements import Announcements
from ._duty import Duty, Overflow
from ._pipeline import Handling, Pipeline, handling
from .errors import HubError, ListenerFailed, PartialBatch
from .events import Event
from .ports import Clock

__all__ = ("OWN_DOMAINS", "Count", "Failed", "Handler")

RESTARTS_MAX = 3
RESTART_WINDOW_SECONDS = 5.0
BACKOFF_SECONDS = 0.1
BACKOFF_SECONDS_MAX = 30.0

OWN_DOMAINS = frozenset({"listener", "mailbox", "hub", "log"})
"""The first words of the kinds of the hub's own events."""


@attrs.define
class Count:
    """What :class:`AttachmentStatistics` counts."""

    handled: int = 0
    batches: int = 0
    dropped: int = 0
    failed: int = 0
    restarts: int = 0
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
        pipeline: Pipeline,
        clock: Clock,
        announcements: Announcements,
    ) -> None:
        self.count: Count = Count()
        self._listener = listener
        self._name = name
        self._duty = duty
        self._overflow = overflow
        self._timeout = timeout
        self._pipeline = pipeline
        self._clock = clock
        self._announcements = announcements
        self._patience = _Patience()
        self._pause: anyio.CancelScope | None = None
        self._is_hurried = False

    def hurry(self) -> None:
        """Pause no more after a failure: the listener is asked to come to its end."""
        self._is_hurried = True
        if self._pause is not None:
            self._pause.cancel()

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
            except Failed as failure:
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
        mark = Handling(self._pipeline)
        if self._duty is Duty.REQUIRED or self._overflow is Overflow.BLOCK:
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
            raise Failed(cause if isinstance(cause, Exception) else error, handled, knows_place=True) from None
        except Exception as error:  # noqa: BLE001 - that is what a failure is
            raise Failed(error) from None
        finally:
            mark.active = False
            self.count.handled += handled
            self.count.batches += 1
        if scope.cancelled_caught:
            raise Failed(ListenerTimeout(f"not done with {len(events)} events after {seconds:g} s"))

    async def _give_up_on(self, event: Event, error: Exception) -> str | None:
        """Go on without this event, after a pause; return why not, if the listener has failed too often."""
        count, clock, announcements = self.count, self._clock, self._announcements
        count.failed += 1
        count.last_error = text_of(error)
        # About the hub's own events nothing is told: two listeners that fail at them would go on for ever.
        tell = event.kind.partition(".")[0] not in OWN_DOMAINS
        if tell:
            announcements.failure(self._name, error, event.seq)
        backoff = self._patience.backoff_seconds(clock.monotonic())
        if backoff is None:
            often = f"more than {RESTARTS_MAX} times in {RESTART_WINDOW_SECONDS:g} seconds"
            return f"failed {often}, last with {text_of(error)}"
        if not self._is_hurried:
            with anyio.CancelScope() as self._pause:
                await clock.sleep(random.uniform(0, backoff))  # noqa: S311 - jitter, not a secret
            self._pause = None
        count.restarts += 1
        if tell:
            announcements.restart(self._name, count.restarts)
        return None


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


class Failed(HubError):
    """A call of a listener failed after ``handled`` events; the one after them is to blame if it ``knows_place``."""

    def __init__(self, error: Exception, handled: int = 0, *, knows_place: bool = False) -> None:
        super().__init__(text_of(error))
        self.error = error
        self.handled = handled
        self.knows_place = knows_place
