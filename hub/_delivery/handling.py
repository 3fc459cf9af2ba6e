"""Handling: how a listener is called, within its time, and what counts as its failure."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter

import anyio
import attrs

from .. import context
from .._commit.backoff import Backoff
from .._commit.held import Around, HeldCall, is_inside
from .._foreign.tasks import GuestTask, LeftBehind, TimeOver
from .._values import Value
from ..errors import ListenerTimeout, PartialBatch
from ..events import Event
from ..ports import Clock
from .adapted import Adapted
from .forms import Form
from .reports import Reports

__all__ = ("Failure", "Handler")

LEAVE_SECONDS_MAX = 5.0
_BACKOFF = Backoff(seconds=0.1, seconds_max=30.0, jitter=1.0)


@attrs.frozen(eq=False, repr=False)
class Failure(Value):
    """A call of a listener failed, with the first ``handled`` events done."""

    error: Exception
    handled: int = 0
    knows_place: bool = False
    """Whether the event after those that are done is to blame; otherwise, it may be any of the batch."""
    is_final: bool = False
    """Whether the listener cannot be called again: it goes on with this call though it was cancelled."""


class Handler:
    """Calls one listener, and pauses between calls that fail. All calls of the listener go through here.

    They run in a task of the listener's own, so that one that does not end can be left behind.
    """

    def __init__(
        self, listener: Adapted, timeout: float, clock: Clock, reports: Reports, held: object | None = None
    ) -> None:
        """``timeout`` is in seconds per event. ``held``: what a call with events holds up besides this listener."""
        self._listener = listener
        self._form: Form = listener.form
        self._timeout = timeout
        self._clock = clock
        self._reports = reports
        self._held = held
        self._guest = GuestTask(f"listener {reports.name!r}")
        self._calls: tuple[HeldCall, ...] = ()
        """The call that the listener is in, or was in last."""
        self._pause: anyio.CancelScope | None = None
        self.attached_in: Around | None = None
        """The calls in which the listener was attached to a hub that runs, until it is entered: they may wait."""
        self._is_entered = False
        self.has_ended: bool = False
        """Whether the listener was left, and must not be called or asked any more."""
        self.is_hurried: bool = False
        """Whether the listener is to come to its end, so that failures are no longer followed by pauses."""
        self.is_muted: bool = False
        """Whether events go past the listener, which is not called with them."""

    @property
    def still_running(self) -> int:
        """How many calls were left behind, and go on."""
        return int(self._guest.is_still_running) + self._form.still_running

    @property
    def left_seq(self) -> int | None:
        """The ``seq`` of the first event that the listener was not called with, because it was to end before."""
        return self._form.left_seq

    @property
    def ends_at(self) -> float:
        """The listener comes to its end by itself once the events below this ``seq`` are handled, or given up."""
        return self._form.ends_at

    def problem(self) -> str | None:
        """Return what the listener does not do any more, None if all is well."""
        return self._form.problem()

    def is_calling(self) -> bool:
        """Return whether this code runs inside a call of the listener, or in a task that such a call started."""
        return is_inside(self) or self._form.is_calling()

    async def enter(self, seconds_max: float | None) -> tuple[int | None, str | None, str | None]:
        """Enter the listener's context; return what it says: its last event's ``seq`` and ``id``, and its hub's id.

        Raises what the listener raises, and :class:`~hubwire.errors.ListenerTimeout`. Its context is not open then.
        """
        try:
            await self._guest.call(self._enter, seconds=seconds_max)
        except asyncio.CancelledError:
            await self._leave_if_entered()
            raise
        except TimeOver as late:
            await self._leave_if_entered()
            assert seconds_max is not None
            raise ListenerTimeout(f"not entered after {seconds_max:g} s{_rest(late)}") from None
        try:
            return self._listener.last_seq(), self._listener.last_id(), self._listener.hub_id()
        except Exception:
            await self.leave()
            raise

    async def _enter(self) -> None:
        around, self.attached_in = self.attached_in or Around(), None
        with around.entered(), HeldCall(self):
            await self._listener.enter()
        self._is_entered = True

    async def _leave_if_entered(self) -> None:
        """Leave what was entered all the same in the moment in which the hub gave it up: a log would stay held."""
        if self._is_entered:
            await self.leave()

    async def leave(self) -> None:
        """Leave the listener's context, also when the task is being cancelled."""
        if self._guest.is_left_behind:
            return  # it would have to be left in the task that goes on
        self.has_ended = True
        # A log must be closed even when the hub has failed and all other tasks are cancelled.
        with anyio.CancelScope(shield=True):
            try:
                await self._guest.call(self._leave, seconds=LEAVE_SECONDS_MAX)
            except Exception as error:  # noqa: BLE001 - the listener is on its way out; statistics report it
                self._reports.failed_to_leave(error)

    async def _leave(self) -> None:
        with HeldCall(self):
            await self._listener.leave()

    def end(self) -> None:
        """The listener is called no more."""
        self.has_ended = True
        self._guest.end()
        self._form.end()

    def cut(self) -> None:
        """Wait no longer for the call that the listener is in, nor for one that comes: there is no time left."""
        self._form.cut()
        self._guest.cut()

    def divide(self, lanes: Form) -> None:
        """The listener is called by several handlers, which stand behind this form; this one enters and leaves it."""
        self._form = lanes

    def mute(self, *, is_muted: bool) -> None:
        """Let events go past the listener from now on, or no longer."""
        self.is_muted = is_muted
        self._form.mute(is_muted=is_muted)

    def stop(self, end: float) -> None:
        """Let the listener come to its end without a pause; a function gets no event from this ``seq`` on."""
        self._form.stop(end)
        self.hurry()

    async def call(self, events: Sequence[Event]) -> Failure | None:
        """Have the listener handle the events, in one call; return its failure if it does not handle all of them."""
        form = self._form
        if self.is_muted:
            self._reports.passed(len(events))
            return None
        times = self._reports.call_times
        began = perf_counter() if times.records else None
        handled = 0
        try:
            if form.bounds_itself:
                await self._guest.call(self._deliver, events)
            elif form.knows_place and len(events) > 1:
                await self._guest.call(self._deliver, events, seconds=self._timeout, progress=form.handled)
            else:
                await self._guest.call(self._deliver, events, seconds=self._timeout * len(events))
            handled = len(events) if form.left_seq is None else form.handled()
        except PartialBatch as error:
            handled = min(error.handled, len(events) - 1)
            cause = error.__cause__
            return Failure(cause if isinstance(cause, Exception) else error, handled, knows_place=True)
        except TimeOver as late:
            handled = self._handled(events)
            is_final = isinstance(late, LeftBehind)
            if is_final:
                for each in self._calls:
                    each.is_active = False  # no caller waits for it any more
            return Failure(self._lateness(events, late), handled, form.knows_place, is_final)
        except Exception as error:  # noqa: BLE001 - that is what a failure is
            handled = self._handled(events)
            return Failure(error, handled, form.knows_place)
        finally:
            if began is not None:
                times.took(self._reports.name, perf_counter() - began)
            self._reports.called(handled - form.passed)
            if form.passed:
                self._reports.passed(form.passed)
        return None

    async def call_again(self, events: Sequence[Event]) -> Failure | None:
        """Do the same with events that the listener has given up, in an order of their own."""
        self._form.is_retry = True
        try:
            return await self.call(events)
        finally:
            self._form.is_retry = False

    async def _deliver(self, events: Sequence[Event]) -> None:
        context.cause(events[-1])
        with HeldCall(self) as call:
            if self._held is None:
                self._calls = (call,)
                await self._form.on_events(events)
            else:
                with HeldCall(self._held) as around:
                    self._calls = (call, around)
                    await self._form.on_events(events)

    def _handled(self, events: Sequence[Event]) -> int:
        return min(self._form.handled(), len(events) - 1)

    def _lateness(self, events: Sequence[Event], late: TimeOver) -> ListenerTimeout:
        if self._form.knows_place:
            return ListenerTimeout(f"not done with an event after {self._timeout:g} s{_rest(late)}")
        seconds = self._timeout * len(events)
        return ListenerTimeout(f"not done with {len(events)} events after {seconds:g} s{_rest(late)}")

    async def pause(self, failures: int, seconds: float | None = None) -> None:
        """Sleep for a random time that grows with the number of failures, or for as long as the listener has said."""
        if not self.is_hurried:
            with anyio.CancelScope() as self._pause:
                await self._clock.sleep(_BACKOFF.pause_seconds(failures) if seconds is None else seconds)
            self._pause = None

    def hurry(self) -> None:
        """End the pause after a failure, and do not pause again: the listener is to come to its end."""
        self.is_hurried = True
        if self._pause is not None:
            self._pause.cancel()


def _rest(late: TimeOver) -> str:
    return ", and it goes on though it was cancelled" if isinstance(late, LeftBehind) else ""
