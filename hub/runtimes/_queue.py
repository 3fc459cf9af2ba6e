"""What runtimes have said and the hub has not taken in yet: a bounded queue that any thread may fill.

What is least important is refused first: each grade may fill the queue up to its share. A beginning that is taken has
room for its end, so what was begun in the record can always be ended in it, and what was refused is missing whole.
"""

from __future__ import annotations

import enum
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from ..context import Context

__all__ = ("Entry", "Grade", "Queue")

ENTRY_BYTES = 400
"""What an entry costs beside the texts in it."""


class Grade(enum.Enum):
    """How important an entry is: up to which share of the queue it is taken."""

    PROGRESS = 0.5
    """How far an answer is that streams."""
    CALL = 0.8
    """A model call or a tool call."""
    TURN = 0.9
    """A turn, a hand-over, an error."""
    APPROVAL = 0.97
    END = 2.0
    """The end of what was begun: there is always room for it."""
    MARK = 3.0
    """A place in the queue, and nothing that was said: likewise, and one that is refused is not counted."""


@attrs.define(slots=True, eq=False)
class Entry:
    """One thing that a runtime has said."""

    step: str
    key: str
    parent: str | None
    wall_ns: int
    """The time of day; of what a runtime tells only later, when it was by that runtime's clock."""
    tick_ns: int
    """The same on a clock that is never set."""
    context: Context | None
    """Of the code that said it; None where that is known from what it belongs to."""
    fields: Mapping[str, Any]
    size: int = ENTRY_BYTES
    is_late: bool = False
    """Whether the hub takes it in a while after it happened, so that the event has to say when that was."""


class Queue:
    """Holds entries in the order in which they came. All of it may be called from any thread."""

    def __init__(self, count_max: int, bytes_max: int) -> None:
        self._count_max: Final = count_max
        self._bytes_max: Final = bytes_max
        self._entries: deque[Entry] = deque()
        self._open: dict[str, str | None] = {}
        """What has begun and not ended, by key; the value is what it belongs to."""
        self._refused: dict[str, str | None] = {}
        """Beginnings that were refused, by key, and what they belong to: what belongs to them belongs to that."""
        self._bytes = 0
        self._lock = threading.RLock()  # a callback may come from a signal handler, or from __del__
        self._wake: Callable[[], None] | None = None
        self.dropped: Counter[str] = Counter()
        """What was refused since the last :meth:`take_dropped`, by step."""
        self.dropped_total: int = 0
        self.replays: int = 0
        """How many beginnings have come again before their end."""
        self.is_closed: bool = False
        self.was_heard: bool = False
        """Whether a hub has begun to take in what is here."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def open_keys(self) -> int:
        """How many have begun and not ended."""
        return len(self._open)

    @property
    def is_crowded(self) -> bool:
        """Whether more than half of the room is for ends that have not come."""
        return len(self._open) * 2 > self._count_max

    @property
    def is_full(self) -> bool:
        """Whether a call of a model or a tool that begins now would be refused."""
        share = Grade.CALL.value
        is_many = len(self._entries) + len(self._open) >= share * self._count_max
        return is_many or self._bytes >= share * self._bytes_max

    def forget(self, key: str) -> None:
        """Keep no room for an end any more: its beginning was abandoned, or is no beginning."""
        with self._lock:
            self._open.pop(key, None)

    def on_entry(self, wake: Callable[[], None] | None) -> None:
        """Call this when there is an entry again; it must not wait."""
        with self._lock:
            self._wake = wake
            self.was_heard = self.was_heard or wake is not None
            if self._entries and wake is not None:
                wake()

    def close(self) -> None:
        """Take nothing more: what was put before is all that is ever taken."""
        with self._lock:
            self.is_closed = True

    def begin(self, entry: Entry, grade: Grade) -> bool:
        """Put a beginning, and keep room for its end. False: it was refused, or has begun before and not ended."""
        with self._lock:
            if entry.key in self._open:
                self.replays += 1
                return False
            entry.parent = self._nearest(entry.parent)
            if not self._has_room(entry, grade):
                self._refused[entry.key] = entry.parent
                if len(self._refused) > self._count_max:
                    del self._refused[next(iter(self._refused))]
                return False
            self._open[entry.key] = entry.parent
            self._put(entry)
            return True

    def put(self, entry: Entry, grade: Grade) -> bool:
        """Put what has no end."""
        with self._lock:
            entry.parent = self._nearest(entry.parent)
            if grade is Grade.MARK:
                if self.is_closed:
                    return False
            elif not self._has_room(entry, grade):
                return False
            self._put(entry)
            return True

    def end(self, entry: Entry) -> bool:
        """Put an end. False: its beginning is not here."""
        with self._lock:
            if self._refused.pop(entry.key, self) is not self:
                return False
            if self.is_closed:
                self._refuse(entry)
                return False
            if self._open.pop(entry.key, self) is self:
                return False
            self._put(entry)
            return True

    def is_open(self, key: str) -> bool:
        """Tell whether something has begun under this key, and has not ended."""
        return key in self._open

    def take(self, count: int) -> list[Entry]:
        """Return the oldest entries, which are no longer here then."""
        with self._lock:
            taken = [self._entries.popleft() for _ in range(min(count, len(self._entries)))]
            self._bytes -= sum(entry.size for entry in taken)
            return taken

    def take_dropped(self) -> dict[str, int]:
        """Return how many were refused since the last call, by step."""
        if not self.dropped:
            return {}
        with self._lock:
            dropped, self.dropped = self.dropped, Counter()
            return dict(dropped)

    def _nearest(self, parent: str | None) -> str | None:
        for _ in range(64):
            if parent is None or parent not in self._refused:
                return parent
            parent = self._refused[parent]
        return None

    def _has_room(self, entry: Entry, grade: Grade) -> bool:
        count, size = len(self._entries) + len(self._open), self._bytes + entry.size
        share: float = grade._value_  # the same as .value, which is a function in Python 3.11
        is_full = count >= share * self._count_max or size >= share * self._bytes_max
        if self.is_closed or (is_full and grade is not Grade.END):
            self._refuse(entry)
            return False
        return True

    def _refuse(self, entry: Entry) -> None:
        self.dropped[entry.step] += 1
        self.dropped_total += 1

    def _put(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._bytes += entry.size
        if self._wake is not None and len(self._entries) == 1:
            self._wake()
