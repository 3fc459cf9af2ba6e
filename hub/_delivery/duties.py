"""Duties: what each of them promises, and what follows when its listener is slow or fails.

An attachment goes by the rules of its duty, and does not know which duty it has: only :func:`rules_of` does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import ClassVar, Self

import anyio
import attrs

from .._commit.backoff import FailureWindow
from .._commit.pipeline import Pipeline
from .._commit.ring import Ring, Watermark
from .._foreign.guards import guarded_call, text_of
from .._values import Value
from ..errors import EventRefused, HistoryGone, ListenerFailed, RetryLater, StoreFull, TargetGone
from ..events import Event
from ..events._shown import is_a, number_of
from ..ports import Clock
from .duty import Duty, Overflow
from .giving_up import LettersOf
from .handling import Failure, Handler
from .life import Suspension
from .place import Place
from .reports import Reports, is_announced
from .settings import DEAD_LETTER, Settings

__all__ = ("Departure", "DutyRules", "Skip", "Tools", "left_behind", "rules_of", "unreadable_text")

RESTARTS_MAX = 3
RESTART_WINDOW_SECONDS = 5.0
PAUSE_SECONDS_MIN = 0.01
PAUSE_SECONDS_MAX = 86_400.0
"""No listener gets an event again later than after a day: more is a mistake."""


@attrs.frozen(eq=False, repr=False)
class Skip(Value):
    """The listener goes on at ``first_seq``, because the events before it are no longer held."""

    first_seq: int


@attrs.frozen(eq=False, repr=False)
class Departure(Value):
    """The listener is to be detached."""

    reason: str
    failure: Exception | None = None
    """What :meth:`Attachment.ready` raises."""


@attrs.frozen(eq=False, repr=False)
class Tools(Value):
    """What the rules of a duty work with."""

    handler: Handler
    reports: Reports
    place: Place
    pipeline: Pipeline
    clock: Clock
    letters: LettersOf


class DutyRules(ABC):
    """The rules of a duty, for one attachment."""

    holds_commit: ClassVar[bool] = False
    """Whether the commit waits for the listener."""

    holds_emitters: ClassVar[bool] = False
    """Whether emitters wait when the listener is behind by as many events as its mailbox holds."""

    drops_oldest: ClassVar[bool] = False
    """Whether the listener misses what its mailbox does not hold; the others read it on the ring or in the journal."""

    keeps_position: ClassVar[bool] = False
    """Whether the hub keeps the listener's position, and suspends the listener instead of detaching it."""

    sees_itself: ClassVar[bool] = True
    """Whether the listener gets the hub's events about itself.

    Handling them can lead to more of them, without an end. Where every event is promised, there is an end, because a
    failure stops the hub or, repeated, suspends the listener; and an audit log that proves to be complete needs every
    ``seq``.
    """

    def __init__(self, settings: Settings, tools: Tools) -> None:
        self._settings = settings
        self._handler = tools.handler
        self._reports = tools.reports
        self._place = tools.place
        self._letters = tools.letters

    def beside(self, tools: Tools) -> Self:
        """Return the same rules for another call of the listener, side by side with this one.

        What counts for the listener as a whole, as how often it fails, the two have in common.
        """
        other = copy(self)
        other.use(tools)
        return other

    def use(self, tools: Tools) -> None:
        """Go on with another handler and another place."""
        self._handler, self._place = tools.handler, tools.place

    @property
    def keeps_ring(self) -> bool:
        """Whether the ring keeps what the listener has not read, once it has caught up."""
        return self.holds_commit or self.holds_emitters

    @staticmethod
    def limit(ring: Ring) -> Watermark:
        """Return the watermark up to which the listener reads."""
        return ring.committed

    @property
    def room(self) -> int:
        """How many events the listener may be behind when it counts as caught up. A slow one never reaches the end."""
        return self._settings.mailbox

    @property
    def enter_seconds_max(self) -> float | None:
        """How long entering the listener may take."""
        return self._settings.timeout

    @property
    def detach_end(self) -> int:
        """The ``seq`` up to which the listener handles events before it is detached; 0: it stops at once."""
        return 0

    def check_start(self, start: int, first_seq: int) -> None:
        """Raise an error if the listener must not start at ``start`` when ``first_seq`` is the oldest event held."""

    def forget_failures(self) -> None:
        """Let a listener that is resumed fail as often as a new one before it is suspended."""

    # -- when it fails --

    async def handle(self, events: Sequence[Event]) -> Suspension | Departure | None:
        """Have the listener handle a batch; return why it gets no more events, None if it does.

        After a failure that does not say which event is to blame, the events are delivered one by one.
        """
        is_single = False
        while events:
            batch = events[:1] if is_single else events
            failure = await self._call(batch)
            if failure is None:
                events = events[len(batch) :]
                continue
            events = events[failure.handled :]
            if failure.is_final:
                return await self.left_behind(events[0], failure.error)
            if not failure.knows_place:
                is_single = True
                if len(batch) > 1:
                    continue
            error = failure.error
            if is_a(error, TargetGone) and not self.holds_commit:
                return self._target_gone(events[0], error)
            if not is_a(error, EventRefused) and await self._try_again(events[0], error):
                continue
            if (end := await self.given_up(events[0], error)) is not None:
                return end
            events = events[1:]
        return None

    async def _call(self, events: Sequence[Event]) -> Failure | None:
        return await self._handler.call(events)

    async def _try_again(self, event: Event, error: Exception) -> bool:
        """Return whether the listener gets the event again, after a pause."""
        return False

    def _target_gone(self, event: Event, error: Exception) -> Departure:
        self._reports.failed(error, event.seq, announce=is_announced(event))
        return Departure(text_of(error), error)

    async def left_behind(self, event: Event, error: Exception) -> Suspension | Departure | None:
        """Do what follows when the listener goes on with a call though it was cancelled: it is not called again."""
        self._reports.failed(error, event.seq, announce=is_announced(event))
        return left_behind(error)

    @abstractmethod
    async def given_up(self, event: Event, error: Exception) -> Suspension | Departure | None:
        """Do what follows when the listener has failed at an event for the last time.

        Return why it gets no more events, None if it gets those after this one.
        """

    @abstractmethod
    async def unreadable(self, error: Exception, seq: int) -> Skip | Suspension | Departure | None:
        """Do what follows when the events from ``seq`` on cannot be read.

        Return how the listener goes on, or why it does not; None: the events are read again.
        """

    def problem(self) -> str | None:
        """Return what the listener is failing at just now, None if it is well."""
        return None

    @property
    def is_failing(self) -> bool:
        """Whether the listener has failed more than once at its event, which it is owed also after a restart."""
        return False

    def crashed(self, reason: str, seq: int) -> None:
        """Do what follows when the listener's task has ended at ``seq`` though neither listener nor hub meant it to."""


class Required(DutyRules):
    """The commit waits for the listener. If the listener fails, the hub stops."""

    holds_commit = True

    def __init__(self, settings: Settings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self._pipeline = tools.pipeline
        self._rest: Sequence[Event] = ()
        """What the listener has still to handle of a batch."""

    @staticmethod
    def limit(ring: Ring) -> Watermark:
        return ring.journaled

    @property
    def room(self) -> int:
        return 0

    @property
    def enter_seconds_max(self) -> float | None:
        # The listener may have a long log to check, and the hub cannot start without it anyway.
        return None

    @property
    def detach_end(self) -> int:
        return self._place.limit

    def check_start(self, start: int, first_seq: int) -> None:
        if start < first_seq:
            raise HistoryGone(
                f"the required listener {self._settings.name!r} goes on from event {start}, but the journal is"
                f" truncated before {first_seq}: it was not attached meanwhile. Restore an older copy of the journal,"
                " or give the listener a new beginning",
                first_seq=first_seq,
            )

    async def _call(self, events: Sequence[Event]) -> Failure | None:
        """Call the listener; while its store is full, the hub pauses, and the listener is called with the rest."""
        self._rest = events
        try:
            try:
                await self._call_with_rest()
            except StoreFull as full:
                name = f"listener {self._settings.name!r}"
                await self._pipeline.full_stores.retry(name, self._call_with_rest, full)
        except Exception as error:  # noqa: BLE001 - after any error of the listener, the hub cannot go on
            return Failure(error, len(events) - len(self._rest), knows_place=True)
        return None

    async def _call_with_rest(self) -> None:
        failure = await self._handler.call(self._rest)
        if failure is not None:
            self._rest = self._rest[failure.handled :]
            raise failure.error from failure.error.__cause__

    async def given_up(self, event: Event, error: Exception) -> None:
        self._fail_hub(error, event.seq)
        await anyio.sleep_forever()  # until the hub, which has failed now, cancels its tasks

    async def unreadable(self, error: Exception, seq: int) -> Departure:
        self._fail_hub(error, seq)
        return Departure(unreadable_text(error), error)

    def crashed(self, reason: str, seq: int) -> None:
        self._fail_hub(RuntimeError(reason), seq)

    def _fail_hub(self, error: Exception, seq: int) -> None:
        name = self._settings.name
        self._reports.failed(error, seq, announce=False, is_fatal=True)
        failure = ListenerFailed(
            f"the required listener {name!r} failed at event {seq} ({text_of(error)}), so the hub stops: mend its"
            " cause, then start the hub again; the listener goes on where it was",
            listener=name,
        )
        failure.__cause__ = error
        self._pipeline.fail(failure)


class Durable(DutyRules):
    """The listener sees every event. If it fails, it gets the event again with growing pauses; then it is suspended."""

    keeps_position = True

    def __init__(self, settings: Settings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self._attempts = 0
        """How often in a row the listener has failed at the event it is at."""

    def problem(self) -> str | None:
        if not self._attempts:
            return None
        return (
            f"fails at event {self._place.done}, {self._attempts} times of {self._settings.attempts_max} by now, and is"
            f" tried again ({self._reports.count.last_error}): mend the cause"
        )

    @property
    def is_failing(self) -> bool:
        return self._attempts > 1

    def forget_failures(self) -> None:
        self._attempts = 0

    async def _call(self, events: Sequence[Event]) -> Failure | None:
        failure = await self._handler.call(events)
        if failure is None or failure.handled:
            self._attempts = 0
        if failure is not None:
            self._place.advance(events[failure.handled].seq)
        return failure

    async def _try_again(self, event: Event, error: Exception) -> bool:
        return await self._pause(error, event.seq, announce=is_announced(event))

    async def given_up(self, event: Event, error: Exception) -> Suspension | None:
        if is_a(error, EventRefused):
            self._attempts += 1
            self._reports.failed(error, event.seq, announce=False)
        elif not self._is_exhausted_by_letter():
            return attrs.evolve(self._suspension(error), is_at_event=True)
        try:
            await self._letters.store(event, error, self._attempts)
        except Exception as unstored:  # noqa: BLE001 - without a letter the event would be lost
            error.add_note(f"its dead letter could not be stored: {text_of(unstored)}")
            return attrs.evolve(self._suspension(unstored), is_at_event=True)
        if is_announced(event):
            self._reports.given_up(error, event.seq)
        self._attempts = 0
        self._place.advance(event.seq + 1)
        return None

    def _is_exhausted_by_letter(self) -> bool:
        """Tell whether the event is to be a dead letter: not if it was tried less often, because the hub ends."""
        settings = self._settings
        return settings.when_exhausted == DEAD_LETTER and self._attempts >= settings.attempts_max

    async def unreadable(self, error: Exception, seq: int) -> Suspension | None:
        return None if await self._pause(error, seq, announce=True) else self._suspension(error)

    async def _pause(self, error: Exception, seq: int, *, announce: bool) -> bool:
        """Pause after a failure; return whether to try again."""
        seconds, is_attempt = _wish_of(error)
        if is_attempt:
            self._attempts += 1
            is_reported_soon = self._is_exhausted_by_letter()
            self._reports.failed(error, seq, announce=announce and self._attempts == 1 and not is_reported_soon)
            if self._attempts >= self._settings.attempts_max:
                return False
        await self._handler.pause(self._attempts, seconds)
        if self._handler.is_hurried:
            return False
        self._reports.retried()
        return True

    def _suspension(self, error: Exception) -> Suspension:
        return Suspension("failed", error, self._attempts)


class BestEffort(DutyRules):
    """The listener sees what its mailbox holds. It goes on after a failure; after too many, it is detached."""

    sees_itself = False

    def __init__(self, settings: Settings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self._clock = tools.clock
        self._failures = FailureWindow(RESTARTS_MAX, RESTART_WINDOW_SECONDS)

    async def given_up(self, event: Event, error: Exception) -> Departure | None:
        announce = is_announced(event)
        self._letters.put(event, error)
        self._reports.failed(error, event.seq, announce=announce, is_given_up=True)
        if is_a(error, EventRefused):
            return None  # it is the event that is at fault
        failures = self._failures.add(self._clock.monotonic())
        if failures is None:
            often = f"more than {RESTARTS_MAX} times in {RESTART_WINDOW_SECONDS:g} seconds"
            return Departure(f"failed {often}, last with {text_of(error)}")
        if event.seq + 1 >= self._handler.ends_at:
            return None  # it was attached for this event alone, and does not go on
        await self._handler.pause(failures)
        self._reports.restarted(announce=announce)
        return None

    async def left_behind(self, event: Event, error: Exception) -> Suspension | Departure | None:
        self._letters.put(event, error)
        self._reports.failed(error, event.seq, announce=is_announced(event), is_given_up=True)
        return left_behind(error)

    async def unreadable(self, error: Exception, seq: int) -> Skip | Departure:
        if isinstance(error, HistoryGone) and error.first_seq > seq:
            return Skip(error.first_seq)
        return Departure(unreadable_text(error), error)


class DropOldest(BestEffort):
    """The listener misses the oldest events when it is slow."""

    drops_oldest = True


class Block(BestEffort):
    """Emitters wait when the listener is slow."""

    holds_emitters = True


def rules_of(duty: Duty, overflow: Overflow) -> type[DutyRules]:
    """Return the rules of a duty."""
    if duty is Duty.BEST_EFFORT:
        return Block if overflow is Overflow.BLOCK else DropOldest
    return Required if duty is Duty.REQUIRED else Durable


def _wish_of(error: Exception) -> tuple[float | None, bool]:
    """Return after how many seconds the listener wants the event again, None to leave it to us, and if it has tried."""
    if not is_a(error, RetryLater):
        return None, True
    try:
        seconds = number_of(guarded_call(getattr, error, "seconds", None))
        is_attempt = guarded_call(getattr, error, "is_attempt", True) is not False
    except Exception:  # noqa: BLE001 - the error is the listener's, and a subclass may do what it likes
        return None, True
    if seconds is None:
        return None, True
    # What is never counted and never pauses would keep the loop for itself.
    return min(max(seconds, 0.0 if is_attempt else PAUSE_SECONDS_MIN), PAUSE_SECONDS_MAX), is_attempt


def left_behind(error: Exception) -> Departure:
    """Return why a listener is detached that goes on with a call though it was cancelled."""
    return Departure(f"it failed, and cannot be called again: {text_of(error)}", error)


def unreadable_text(error: Exception) -> str:
    """Return the reason for which a listener is detached whose events could not be read."""
    return f"its events could not be read: {text_of(error)}"
