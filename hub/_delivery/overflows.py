"""What mailboxes drop, gathered: a drop must cost next to nothing, and many of them are one letter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .duty import Duty

if TYPE_CHECKING:
    from .letter_lines import Death  # imported with the first letter

__all__ = ("Overflows",)

RANGES_MAX = 100
"""How many stretches one letter names; what is dropped beyond is added to the last one."""


class Overflows:
    """What was dropped since this was asked last: of each listener how many events, and which stretches."""

    def __init__(self) -> None:
        self._dropped: dict[str, tuple[Duty, int, list[tuple[int, int]]]] = {}

    def __len__(self) -> int:
        return len(self._dropped)

    def add(self, attachment: str, duty: Duty, count: int, first_seq: int, last_seq: int) -> None:
        """Note that ``count`` events were dropped, which are next to each other in the eyes of the listener."""
        _, before, ranges = self._dropped.get(attachment) or (duty, 0, [])
        if len(ranges) < RANGES_MAX:
            ranges.append((first_seq, last_seq))
        else:
            ranges[-1] = (ranges[-1][0], last_seq)
        self._dropped[attachment] = (duty, before + count, ranges)

    def take(self, at_ns: int) -> Sequence[Death]:
        """Return a letter for each listener, and begin anew."""
        from .letter import DeadLetterReason  # noqa: PLC0415 - most hubs have no letters
        from .letter_lines import Death  # noqa: PLC0415

        dropped, self._dropped = self._dropped, {}
        reason = DeadLetterReason.OVERFLOW
        return [
            Death(attachment=name, duty=duty, reason=reason, at_ns=at_ns, ranges=tuple(ranges), count=count)
            for name, (duty, count, ranges) in dropped.items()
        ]
