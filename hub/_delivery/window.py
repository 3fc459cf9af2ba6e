"""A window: the events that a listener was given and has not handled, where it handles several side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from ..events import Event

__all__ = ("Window",)

Given = tuple[Event, Hashable]
"""An event and its key: events of one key are handled one after the other; those whose key is None in no order."""


class Window:
    """Says which event is next, and below which ``seq`` all are handled."""

    def __init__(self) -> None:
        self.waiting: int = 0
        """How many events have not begun."""
        self._order: deque[int] = deque()
        """The ``seq`` of each event, from the first that is not handled on."""
        self._handled: set[int] = set()
        """Those of them that are handled, though one before them is not."""
        self._ready: deque[Given] = deque()
        self._behind: dict[Hashable, deque[Event]] = {}
        """For each key of which an event is ready or under way, those that wait for its end."""

    @property
    def ready(self) -> int:
        """How many events may begin."""
        return len(self._ready)

    def low(self, end: int) -> int:
        """Return the ``seq`` below which all events are handled; ``end`` if all of them are."""
        order, handled = self._order, self._handled
        while order and order[0] in handled:
            handled.discard(order.popleft())
        return order[0] if order else end

    def add(self, event: Event, key: Hashable) -> None:
        """Take in the next event; one that was handled before the listener was suspended is not handled again."""
        self._order.append(event.seq)
        if event.seq in self._handled:
            return
        self.waiting += 1
        if key is None:
            self._ready.append((event, None))
        elif key in self._behind:
            self._behind[key].append(event)
        else:
            self._behind[key] = deque()
            self._ready.append((event, key))

    def take(self) -> Given | None:
        """Return the next event that may begin; None if there is none."""
        if not self._ready:
            return None
        self.waiting -= 1
        return self._ready.popleft()

    def handled(self, event: Event, key: Hashable) -> None:
        """An event that was taken is handled, or given up; the next one of its key may begin."""
        self._handled.add(event.seq)
        if key is None:
            return
        if behind := self._behind[key]:
            self._ready.append((behind.popleft(), key))
        else:
            del self._behind[key]

    def clear(self) -> None:
        """Give up all events that are not handled: they are read again. No call is under way."""
        self._order.clear()
        self._ready.clear()
        self._behind.clear()
        self.waiting = 0

    def forget_before(self, seq: int) -> None:
        """Events below this ``seq`` are not read again."""
        self._handled = {each for each in self._handled if each >= seq}
