"""The hub's time: what events are stamped with, and what deadlines are compared with.

The order of events is that of ``seq``. Their ``at`` is what the clock showed, with one correction:

* A clock that is set back by an hour or less holds ``at`` where it is until the clock has caught up, so that times of
  one stream do not run backwards in ordinary operation.
* One that goes back by more was wrong before, or is now. Held, a glitch into 2036 would be the time of all later
  events, in this life of the hub and the next ones. So ``at`` goes back with it, and the hub reports the step.
* One that goes back to before 2020 has lost its time, as a machine without a battery has when it starts. It is not
  believed where a later time is known, and ``at`` is held until the clock is set.
"""

from __future__ import annotations

from collections.abc import Callable

from .._state.moments import deadline_ns
from ..clock import timestamp
from ..ports import Clock

__all__ = ("HELD_SECONDS_MAX", "TimeOfDay")

HELD_SECONDS_MAX = 3600.0
"""By how much a clock may be set back before ``at`` goes back with it."""

_HELD_NS_MAX = round(HELD_SECONDS_MAX * 1e9)
_UNSET_NS = 1_577_836_800_000_000_000
"""2020-01-01: no clock that is set shows an earlier time."""

_NEVER_NS = -(2**63)


class TimeOfDay:
    """Stamps moments, none earlier than the one before, unless the clock was set back by far."""

    def __init__(self, clock: Clock) -> None:
        self.at: str = ""
        """When the newest event happened."""
        self.steps_back: int = 0
        """How often ``at`` went back because the clock did, by more than an hour."""
        self.on_step: Callable[[float], None] | None = None
        """Called with the seconds of each such step."""
        self._now_ns = clock.now_ns
        self._monotonic = clock.monotonic
        self._newest_ns = _NEVER_NS
        self._seen = (_NEVER_NS, 0.0)
        """The latest moment that deadlines were compared with, and what the clock that never steps showed then."""

    def resume(self) -> None:
        """Go on from :attr:`at`, which was set from a journal."""
        self._newest_ns = deadline_ns(self.at, 0) if self.at else _NEVER_NS

    def stamp(self) -> str:
        """Return the ``at`` of an event that happens now."""
        ns = self._now_ns()
        if ns > self._newest_ns:
            self._newest_ns = ns
            self.at = at = timestamp(ns)
            return at
        if ns < self._newest_ns - _HELD_NS_MAX and ns >= _UNSET_NS:
            self._step_back(ns)
        return self.at

    def now_ns(self) -> int:
        """Return the time that deadlines are compared with: at least that of the newest event, from which they count.

        It goes on while a clock that was set back by little stands still.
        """
        ns, elapsed = self._now_ns(), self._monotonic()
        seen_ns, then = self._seen
        held_ns = max(self._newest_ns, seen_ns + round((elapsed - then) * 1e9))
        if held_ns - ns > _HELD_NS_MAX and ns >= _UNSET_NS:
            if ns < self._newest_ns - _HELD_NS_MAX:
                self._step_back(ns)
        else:
            ns = max(ns, held_ns)
        self._seen = (ns, elapsed)
        return ns

    def _step_back(self, ns: int) -> None:
        seconds = (self._newest_ns - ns) / 1e9
        self._newest_ns = ns
        self.at = timestamp(ns)
        self._seen = (ns, self._monotonic())
        self.steps_back += 1
        if self.on_step is not None:
            self.on_step(seconds)
