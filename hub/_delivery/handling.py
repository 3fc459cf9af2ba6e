"""Handling: how a listener is called, within its time, and what counts as its failure."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import attrs

from .. import context
from .._commit.backoff import Backoff
from .._commit.held import HeldCall, is_inside
from .._foreign.guards import guarded
from ..errors import ListenerTimeout, PartialBatch
from ..events import Event
from ..ports import Clock
from .adapted import Adapted
from .reports import Reports

__all__ = ("Failure", "Handler")

LEAVE_SECONDS_MAX = 5.0
_BACKOFF = Backoff(seconds=0.1, seconds_max=30.0)


@attrs.frozen
class Failure:
    """A call of a listener failed, with the first ``handled`` events done."""

    error: Exception
    handled: int = 0
    knows_place: bool = False
    """Whether the event after those that are done is to blame; otherwise, it may be any of the batch."""


class Handler:
    """Calls one listener, and pauses between calls that fail. All calls of the listener go through here."""

    def __init__(self, listener: Adapted, timeout: float, clock: Clock, reports: Reports) -> None:
        """``timeout`` is in seconds per event."""
        self._listener = listener
        self._timeout = timeout
        self._clock = clock
        self._reports = reports
        self._pause: anyio.CancelScope | None = None
        self.is_hurried: bool = False
        """Whether the listener is to come to its end, so that failures are no longer followed by pauses."""

    def is_calling(self) -> bool:
        """Return whether this code runs inside a call of the listener, or in a task that such a call started."""
        return is_inside(self)

    async def enter(self, seconds_max: float | None) -> int | None:
        """Enter the listener's context; return the position that it keeps itself, None if it keeps none.

        Raises what the listener raises, and :class:`~hubwire.errors.ListenerTimeout`. Its context is not open then.
        """
        with HeldCall(self):
            with anyio.move_on_after(seconds_max) as scope:
                await guarded(self._listener.enter)
            if scope.cancelled_caught:
                assert seconds_max is not None
                raise ListenerTimeout(f"not entered after {seconds_max:g} s")
            try:
                return await guarded(self._listener.last_seq)
            except BaseException:
                await self.leave()
                raise

    async def leave(self) -> None:
        """Leave the listener's context, also when the task is being cancelled."""
        # A log must be closed even when the hub has failed and all other tasks are cancelled.
        with HeldCall(self), anyio.move_on_after(LEAVE_SECONDS_MAX, shield=True):
            try:
                await guarded(self._listener.leave)
            except Exception as error:  # noqa: BLE001 - the listener is on its way out; statistics report it
                self._reports.failed_to_leave(error)

    async def call(self, events: Sequence[Event]) -> Failure | None:
        """Have the listener handle the events, in one call; return its failure if it does not handle all of them."""
        context.cause(events[-1])
        seconds = self._timeout * len(events)
        handled = 0
        try:
            with HeldCall(self), anyio.move_on_after(seconds) as scope:
                await guarded(self._listener.on_events, events)
                handled = len(events)
        except PartialBatch as error:
            handled = min(error.handled, len(events) - 1)
            cause = error.__cause__
            return Failure(cause if isinstance(cause, Exception) else error, handled, knows_place=True)
        except Exception as error:  # noqa: BLE001 - that is what a failure is
            return Failure(error)
        finally:
            self._reports.called(handled)
        if scope.cancelled_caught:
            return Failure(ListenerTimeout(f"not done with {len(events)} events after {seconds:g} s"))
        return None

    async def pause(self, failures: int) -> None:
        """Sleep for a random time that grows with the number of failures."""
        if not self.is_hurried:
            with anyio.CancelScope() as self._pause:
                await self._clock.sleep(_BACKOFF.pause_seconds(failures))
            self._pause = None

    def hurry(self) -> None:
        """End the pause after a failure, and do not pause again: the listener is to come to its end."""
        self.is_hurried = True
        if self._pause is not None:
            self._pause.cancel()
