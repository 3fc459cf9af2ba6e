"""What a log promises: which events of its hub it holds, and which gaps in their ``seq`` that allows."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import attrs

from hubwire.errors import ConfigurationError
from hubwire.patterns import Patterns

__all__ = ("Coverage", "Promise", "Ranges")

_GAPLESS = frozenset({"required", "durable"})
_RANGES_MAX = 20


@attrs.frozen
class Promise:
    """Which events a log is to hold from here on, as ``log.opened`` says."""

    duty: str
    """A ``required`` or ``durable`` log holds every event that the pattern matches, ``best_effort`` what it got."""
    pattern: tuple[str, ...]
    begins_seq: int
    """The ``seq`` of the first event that it may hold."""
    _patterns: Patterns = attrs.field(init=False, eq=False, repr=False)

    @_patterns.default
    def _read_patterns(self) -> Patterns:
        return Patterns(self.pattern, any_text=True)

    @property
    def is_gapless(self) -> bool:
        """Whether every event that the pattern matches has to be there."""
        return self.duty in _GAPLESS

    @property
    def takes_all(self) -> bool:
        """Whether every event matches."""
        return self._patterns.takes_all

    def takes(self, kind: str) -> bool:
        """Tell whether events of this kind match."""
        return self._patterns.matches(kind)

    def to_fields(self) -> dict[str, Any]:
        """Return the fields of ``log.opened`` that say it."""
        return {"duty": self.duty, "pattern": list(self.pattern), "begins_seq": self.begins_seq}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Promise | None:
        """Return what a ``log.opened`` says; None if it promises none, as one without a hub or of an older version."""
        match fields:
            case {"duty": str(duty), "pattern": [*pattern], "begins_seq": int(begins_seq)}:
                with suppress(ConfigurationError):  # it makes no promise that can be understood
                    return cls(duty, tuple(map(str, pattern)), begins_seq)
        return None


class Ranges:
    """Numbers that are missing: how many there are, and the first twenty stretches."""

    def __init__(self) -> None:
        self.count: int = 0
        self._ranges: list[tuple[int, int]] = []
        self._more = False

    def add(self, first: int, last: int) -> None:
        """Add a stretch, both ends included. Stretches come in ascending order."""
        self.count += last - first + 1
        if self._ranges and self._ranges[-1][1] == first - 1:
            self._ranges[-1] = (self._ranges[-1][0], last)
        elif len(self._ranges) < _RANGES_MAX:
            self._ranges.append((first, last))
        else:
            self._more = True

    def __str__(self) -> str:
        texts = [str(first) if first == last else f"{first} to {last}" for first, last in self._ranges]
        return f"seq {', '.join(texts)}{' and more' if self._more else ''}"


class Coverage:
    """Which events are there, beside which should be: fed with what a log holds, in its order."""

    def __init__(self) -> None:
        self.promise: Promise | None = None
        """What holds for the events that come next."""
        self.last_promise: Promise | None = None
        """What held last: records by hand, after a hub has stopped, leave it as it is."""
        self.next_seq: int | None = None
        """The ``seq`` of the event that comes next, if none is missing; None before the first."""
        self.missing: Ranges = Ranges()
        """Events that the log was to hold."""
        self.dropped: Ranges = Ranges()
        """Events that a BEST_EFFORT log did not get."""
        self.absent: Ranges = Ranges()
        """Events from a time in which the log was not attached."""
        self.unexplained: Ranges = Ranges()
        """Events of which the log does not say whether it was to hold them."""
        self.is_selective: bool = False
        """Whether at some place a pattern selected events, so that a gap is no proof."""

    def opened(self, promise: Promise | None) -> None:
        """The log says what holds from here on."""
        self.promise = promise
        if promise is None:
            return
        self.last_promise = promise
        self.is_selective = self.is_selective or not promise.takes_all
        if self.next_seq is not None and promise.begins_seq > self.next_seq:
            self.absent.add(self.next_seq, promise.begins_seq - 1)
        self.next_seq = max(promise.begins_seq, self.next_seq or 0)

    def resume(self, promise: Promise | None, last_seq: int | None) -> None:
        """The log goes on, behind records that were pruned, with what held at their end."""
        self.promise = self.last_promise = promise
        self.is_selective = promise is not None and not promise.takes_all
        self.next_seq = None if last_seq is None else last_seq + 1

    def event(self, seq: int) -> None:
        """The log holds this event."""
        if self.next_seq is not None and seq > self.next_seq and (ranges := self._ranges_of_gap()) is not None:
            ranges.add(self.next_seq, seq - 1)
        self.next_seq = seq + 1

    def _ranges_of_gap(self) -> Ranges | None:
        if self.promise is None:
            return self.unexplained
        if not self.promise.takes_all:
            return None
        return self.missing if self.promise.is_gapless else self.dropped
