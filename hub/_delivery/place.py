"""The place of a listener in the stream of events, and where it starts."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ..errors import JournalBehind
from .cursor import Cursor
from .settings import Settings

__all__ = ("Entry", "Place", "start_of")


@attrs.frozen
class Entry:
    """What is known of a listener when it has been entered."""

    last_seq: int | None
    """The position that the listener keeps itself."""
    now: int | None
    """The ``seq`` at which the listener was attached; None if that was before the hub was started."""


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
            " from an older copy, or belongs to another hub. Give the hub the store that belongs to the listener"
        )
    return start
