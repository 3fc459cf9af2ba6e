"""Where files end, as this process last found or made it, and for how long that can be relied on."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime

import attrs

from hubwire.ports import Clock

from ._parts import End
from ._watch import is_at_or_below

__all__ = ("Grace", "KnownEnd", "KnownEnds", "Moment")

_ENDS_MAX = 1024


@attrs.frozen
class Moment:
    """A reading of both clocks, in seconds."""

    monotonic: float
    of_day: float


@attrs.frozen
class KnownEnd:
    """An end, and a moment before the request that found or made it."""

    end: End
    moment: Moment


class Grace:
    """The period for which merged parts stay after a compaction."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds

    def now(self) -> Moment:
        return Moment(self._clock.monotonic(), self._clock.now_ns() / 1e9)

    def is_half_over(self, since: Moment) -> bool:
        # One clock stands still while a laptop sleeps, the other can be set: the one that moved further counts.
        now = self.now()
        return max(now.monotonic - since.monotonic, now.of_day - since.of_day) > self._seconds / 2

    def is_over(self, since: datetime) -> bool:
        return self.now().of_day - since.timestamp() >= self._seconds


class KnownEnds:
    """The known ends of up to 1,024 files; beyond that, the one that was kept earliest is forgotten."""

    def __init__(self) -> None:
        self._ends: OrderedDict[str, KnownEnd] = OrderedDict()

    def take(self, path: str) -> KnownEnd | None:
        """Return a known end and forget it: a change is about to begin, and it may fail halfway."""
        return self._ends.pop(path, None)

    def keep(self, path: str, known: KnownEnd) -> None:
        self._ends[path] = known
        if len(self._ends) > _ENDS_MAX:
            self._ends.popitem(last=False)

    def forget(self, top: str) -> None:
        """Forget the ends of the files at or below ``top``."""
        for path in [path for path in self._ends if is_at_or_below(path, top)]:
            del self._ends[path]
