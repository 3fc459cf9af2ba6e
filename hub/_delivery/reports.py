"""Reports: statistics of one listener, and the hub's own events about it."""

from __future__ import annotations

import attrs

from .._foreign.guards import class_name, message_of, text_of
from .._values import Value
from ..errors import EventRefused, RetryLater, TargetGone
from ..events import Event, ListenerSuspended
from ..events._event import OWN_DOMAINS
from ..events._shown import is_a
from ..own_log import OwnLog
from .announcements import Announcements
from .call_times import CallTimes
from .duty import Duty
from .life import AttachmentState, Suspension

__all__ = ("AttachmentStatistics", "Count", "Reports", "is_announced")

_log = OwnLog("hub")

_SAYINGS = (RetryLater, EventRefused, TargetGone)
"""What a listener raises to say what it wants: that is no mistake in its code."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class AttachmentStatistics(Value):
    """The numbers of one attachment. They count events since it was attached, unless they say otherwise."""

    name: str
    duty: Duty
    state: AttachmentState
    position: int
    """The ``seq`` of the next event that the listener will see."""
    lag: int
    """How many events the listener could see and has not handled."""
    handled: int
    batches: int
    dropped: int
    failed: int
    restarts: int
    retries: int
    """How often a DURABLE listener got an event again after it had failed."""
    last_error: str | None
    still_running: int = 0
    """How many calls of the listener were left behind, because they did not end in time, and go on now."""
    is_muted: bool = False
    """Whether events go past the listener now; see :meth:`Attachment.mute`."""
    passed: int = 0
    """How many events went past it while it was muted."""
    answered: int = 0
    """How often a function returned another value than None, which the hub has no use for."""
    dead_letters: int = 0
    """How many dead letters it has made: see ``hub.dead_letters``."""
    withheld: int = 0
    """Of how many events the listener has left out the contents, because they could not be redacted."""


@attrs.define(eq=False, repr=False)
class Count:
    """What :class:`AttachmentStatistics` counts."""

    handled: int = 0
    batches: int = 0
    dropped: int = 0
    failed: int = 0
    restarts: int = 0
    retries: int = 0
    last_error: str | None = None
    passed: int = 0
    answered: int = 0


class Reports:
    """Counts what happens to a listener, and announces it."""

    def __init__(self, name: str, announcements: Announcements) -> None:
        self.count: Count = Count()
        self.name: str = name
        self.call_times: CallTimes = announcements.call_times
        self._announcements = announcements

    def called(self, handled: int) -> None:
        """The listener was called with a batch, and has handled so many events of it."""
        self.count.handled += handled
        self.count.batches += 1

    def passed(self, count: int) -> None:
        """So many events went past the listener, which is muted."""
        self.count.passed += count

    def answered(self, event: Event, answer: object, count: int = 1) -> None:
        """A function has returned what is not None: so often, at ``event`` first. No code of the value's is called."""
        self.count.answered += count
        if is_announced(event):
            self._announcements.answer(self.name, event.seq, answer, count)

    def failed(
        self, error: Exception, seq: int, *, announce: bool, is_fatal: bool = False, is_given_up: bool = False
    ) -> None:
        """The listener has failed at the event ``seq``. ``announce``: by an event too.

        What is fatal to the hub is in the log as the failure of the hub. ``is_given_up``: it does not get it again.
        """
        self.count.failed += 1
        self.count.last_error = text_of(error)
        if not is_fatal:
            self._tell(error, seq)
        if announce:
            self._announcements.failure(self.name, error, seq, is_given_up=is_given_up)

    def _tell(self, error: Exception, seq: int) -> None:
        """Log a failure: where it comes from, unless the listener itself says by it what it wants."""
        if is_a(error, _SAYINGS):
            _log.problem("a listener has failed", listener=self.name, event=seq, error=text_of(error))
        else:
            _log.problem("a listener has failed", error, listener=self.name, event=seq)

    def given_up(self, error: Exception, seq: int) -> None:
        """Announce that the listener does not get the event again at which it has failed, as was counted."""
        self._announcements.failure(self.name, error, seq, is_given_up=True)

    def failed_in_part(self, error: Exception) -> None:
        """One of several functions has failed, which is reported under its own name, and the listener goes on."""
        self.count.failed += 1
        self.count.last_error = text_of(error)

    def failed_to_leave(self, error: Exception) -> None:
        """Leaving the listener's context has failed. Only statistics report it."""
        self.count.last_error = text_of(error)

    def failed_to_answer(self, error: Exception, seq: int) -> None:
        """The listener has not said which events it holds, when asked again."""
        self.failed(error, seq, announce=True)

    def retried(self) -> None:
        """The listener gets an event again."""
        self.count.retries += 1

    def restarted(self, *, announce: bool = True) -> None:
        """The listener goes on after a failure or a suspension."""
        self.count.restarts += 1
        if announce:
            self._announcements.restart(self.name, self.count.restarts)

    def dropped(self, count: int, first_seq: int, last_seq: int) -> None:
        """The listener misses ``count`` events, the first and the last of which are given."""
        self.count.dropped += count
        self._announcements.overflow(self.name, count, first_seq, last_seq)

    def suspended(self, suspension: Suspension, seq: int) -> None:
        """The listener gets no more events; the next would be ``seq``."""
        error = suspension.error
        self.count.last_error = text_of(error)
        self._announcements.put(
            ListenerSuspended(
                listener=self.name,
                reason=suspension.reason,
                event_seq=seq,
                attempts=suspension.attempts,
                error_type=class_name(error),
                error_message=message_of(error),
                first_seq_held=suspension.first_seq_held,
            )
        )


def is_announced(event: Event) -> bool:
    """Return whether a failure at this event is announced.

    Failures at the hub's own events are not: two listeners that fail at them would go on for ever.
    """
    return event.kind.partition(".")[0] not in OWN_DOMAINS
