"""The place of a listener in the stream of events, and where it starts."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from .._values import Value
from ..errors import JournalBehind
from .cursor import Cursor
from .settings import Settings

__all__ = ("Entry", "Place", "start_of")


@attrs.frozen(eq=False, repr=False)
class Entry(Value):
    """What is known of a listener when it has been entered."""

    last_seq: int | None
    """The position that the listener keeps itself."""
    now: int | None
    """The ``seq`` at which the listener was attached; None if that was before the hub was started."""
    last_id: str | None = None
    """The id of the event of ``last_seq``, if the listener knows it."""
    hub_id: str | None = None
    """The hub whose events the listener holds, if it holds any and says so."""


class Place:
    """Up to where a listener has read, and up to where it has handled events."""

    def __init__(self, cursor: Cursor, moved: Callable[[], None]) -> None:
        """``moved`` is called when events are done."""
        self.cursor = cursor
        self.entry: Entry | None = None
        self._moved = moved
        self.done: int = 0
        """Events below this ``seq`` are handled, or were dropped, or do not match."""
        self.start: int | None = None
        """Where the listener started; None before it has its place."""
        self.delivered: int = -1
        """The ``seq`` of the last event that the listener was given."""

    @property
    def last_seq(self) -> int | None:
        """The position that the listener keeps itself; None if it keeps none, or is not entered yet."""
        return None if self.entry is None else self.entry.last_seq

    @property
    def limit(self) -> int:
        """The ``seq`` before which there are events to read."""
        return self.cursor.limit

    @property
    def lag(self) -> int:
        """How many of the events that there are to read are not done."""
        return max(0, self.limit - self.done)

    def wake(self) -> None:
        """End the wait for events, the present one or else the next."""
        self.cursor.wake()

    def enter(self, entry: Entry) -> None:
        """The listener was entered. It gets its place when the ring is numbered."""
        self.entry = entry

    def go_from(self, start: int) -> None:
        """Take the place at which the listener starts."""
        self.start = self.done = start
        self.cursor.jump(start)

    def advance(self, done: int) -> None:
        """The events below ``done`` are done."""
        self.done = done
        self._moved()

    def held(self, last_seq: int | None) -> int:
        """Return the ``seq`` below which the listener needs no events again, when it says how far its effects go.

        A listener may handle events now and write them later. What its pattern does not match needs no effect.
        """
        if self.delivered < 0 or (last_seq is not None and last_seq >= self.delivered):
            return self.done
        return min(self.done, self.start or 0 if last_seq is None else last_seq + 1)

    @property
    def missed(self) -> tuple[int, int] | None:
        """The ``seq`` of the first and the last event that is not done and no longer held; None if there are none."""
        first_seq = self.cursor.first_seq
        if self.start is None or self.done >= first_seq:
            return None
        return self.done, first_seq - 1


def start_of(settings: Settings, place: Place, kept: int | None, next_seq: int) -> int:
    """Return the ``seq`` at which a listener starts, which its ``last_seq()``, the position kept, or ``since`` names.

    ``next_seq`` is the end of the stream. Raises :class:`~hubwire.errors.JournalBehind` for a place beyond it.
    """
    entry, cursor = place.entry, place.cursor
    assert entry is not None
    if entry.last_seq is not None:
        start = entry.last_seq + 1
    elif kept is not None:
        start = kept
    elif settings.since == "now":
        start = next_seq if entry.now is None else entry.now
    elif settings.since == "start":
        start = cursor.first_seq
    else:
        start = settings.since
    if not cursor.reads_journal:
        start = max(start, cursor.first_seq)
    if start > next_seq:
        raise JournalBehind(
            f"listener {settings.name!r} has event {start - 1}, but the journal ends before {next_seq}: it was restored"
            " from an older copy, or belongs to another hub. Give the hub the store that belongs to the listener; a"
            " store in use is copied by `hubwire backup`, or by hand the listener's files first and the journal last."
            " What can be done with this one, `hubwire doctor` says"
        )
    return start
