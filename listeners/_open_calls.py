"""Calls, turns and tasks that have begun and not ended: which end belongs to which beginning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import Any, Generic, TypeVar

import attrs

__all__ = ("TEXT_MAX", "Call", "OpenCalls", "id_of")

TEXT_MAX = 128
"""Longer names and ids are not kept."""

T = TypeVar("T")

_LOOKED_AT_MAX = 100
"""How many beginnings with the same id are looked through for one that fits an end that names no agent."""


@attrs.frozen
class Call:
    """What names a call, a turn or a task."""

    what: str
    tie: str | int
    agent: str | int | None
    turn: str | int | None

    def may_be(self, other: Call) -> bool:
        """Return whether both may name the same one: neither names another agent, or another turn, than the other."""
        agents, turns = {self.agent, other.agent} - {None}, {self.turn, other.turn} - {None}
        return len(agents) <= 1 and len(turns) <= 1


class OpenCalls(Generic[T]):
    """The beginnings whose end has not come, and what is kept of each; of too many, the oldest is forgotten."""

    def __init__(self, count_max: int) -> None:
        self.forgotten: int = 0
        self._count_max = count_max
        self._kept: dict[Call, T] = {}
        self._by_tie: dict[tuple[str, str | int], dict[Call, None]] = {}

    def count(self) -> Mapping[str, int]:
        """Return how many there are of each sort."""
        return Counter(call.what for call in self._kept)

    def all(self) -> Mapping[Call, T]:
        """Return what is kept of each, the oldest first."""
        return self._kept

    def begin(self, call: Call, kept: T) -> T | None:
        """Keep this of a beginning; return what was kept of the one that it replaces, or that is forgotten for it."""
        gone: T | None = self._kept.get(call)
        if call not in self._kept and len(self._kept) >= self._count_max:
            gone = self._remove(next(iter(self._kept)))
            self.forgotten += 1
        self._kept[call] = kept
        self._by_tie.setdefault((call.what, call.tie), {})[call] = None
        return gone

    def find(self, call: Call) -> T | None:
        """Return what is kept of the beginning to which this belongs; None if there is none."""
        fitting = self._fitting(call)
        return None if fitting is None else self._kept[fitting]

    def end(self, call: Call) -> T | None:
        """Return what is kept of the beginning to which this end belongs, and forget it; None if there is none."""
        fitting = self._fitting(call)
        return None if fitting is None else self._remove(fitting)

    def _fitting(self, call: Call) -> Call | None:
        if call in self._kept:
            return call
        some = islice(self._by_tie.get((call.what, call.tie), ()), _LOOKED_AT_MAX)
        return next((begun for begun in some if call.may_be(begun)), None)

    def _remove(self, call: Call) -> T:
        tie = (call.what, call.tie)
        del self._by_tie[tie][call]
        if not self._by_tie[tie]:
            del self._by_tie[tie]
        return self._kept.pop(call)


def id_of(value: Any) -> str | int | None:
    """Return an id as it is kept, None for what is none: events of other systems have any values."""
    if isinstance(value, str):
        return value if len(value) <= TEXT_MAX else hash(value)  # the text may have megabytes
    return value if type(value) is int else None
