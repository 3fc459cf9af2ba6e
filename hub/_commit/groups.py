"""Which of the events that are not journaled yet have to be journaled together."""

from __future__ import annotations

from collections import deque

__all__ = ("Groups",)


class Groups:
    """Ranges of ``seq``, in order, until the journal has them."""

    def __init__(self) -> None:
        self.waiting: deque[range] = deque()
        """Empty as long as there are none, which is how one asks quickly."""

    def add(self, group: range) -> None:
        """Note events that are about to be put."""
        self.waiting.append(group)

    def take(self, start: int, end: int) -> tuple[int, list[range]]:
        """Return the end of an append that begins at ``start`` and divides no group, and the groups in it.

        It is ``end``, or where a group begins that goes beyond; or the end of that, if it begins at ``start``. The
        groups are forgotten.
        """
        waiting, groups = self.waiting, list[range]()
        while waiting and waiting[0].start < end:
            group = waiting[0]
            if group.stop > end:
                if group.start > start:
                    return group.start, groups
                end = group.stop
            groups.append(waiting.popleft())
        return end, groups
