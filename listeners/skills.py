"""Skills: how often agents used them, how that ended, how long it took, and how they were rated.

It reads the events ``skill.used``, ``skill.authored`` and ``skill.rated``, and keeps a few numbers for each skill, in
memory and bounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs

from hubwire import Event
from hubwire.errors import ConfigurationError

from ._histogram import Histogram
from ._open_calls import TEXT_MAX
from .metrics import BOUNDS_SECONDS, OTHER, Latency

__all__ = ("SkillStatistics", "Skills")

_MILLISECONDS_MAX = 1e13
"""Three centuries: no use of a skill takes longer, also where its event says so."""


@attrs.frozen(kw_only=True)
class SkillStatistics:
    """The numbers of one skill, at one moment."""

    used: int
    succeeded: int
    """How many uses had the outcome ``success``."""
    failed: int
    """How many had the outcome ``failure`` or ``denied``. Of the others it is not known how they ended."""
    duration: Latency
    """How long the uses took whose events say so. ``duration.quantile_seconds(0.95)`` is the 95th percentile."""
    last_used_at: str | None
    authored_at: str | None
    rated: int
    rated_good: int
    rated_bad: int

    @property
    def success_rate(self) -> float | None:
        """The share of successes among the uses whose outcome is known; None if there is none."""
        known = self.succeeded + self.failed
        return self.succeeded / known if known else None

    @property
    def score(self) -> float | None:
        """From -1, all ratings are bad, to 1, all are good; None if there is none that is either."""
        judged = self.rated_good + self.rated_bad
        return (self.rated_good - self.rated_bad) / judged if judged else None


@attrs.define
class _Count:
    used: int = 0
    succeeded: int = 0
    failed: int = 0
    last_used_at: str | None = None
    authored_at: str | None = None
    rated: int = 0
    rated_good: int = 0
    rated_bad: int = 0
    duration: Histogram = attrs.field(factory=lambda: Histogram(BOUNDS_SECONDS))


class Skills:
    """Counts what agents do with skills; :meth:`snapshot` returns the numbers, :meth:`doubtful` which to look at.

    ``names_max``: how many skills have numbers of their own; later ones are counted together as ``other``, and so are
    those whose name is longer than 128 characters. Use it from the hub's own thread. Its numbers are those since it was
    attached: with ``since="start"`` of all that the journal holds.
    Raises :class:`~hubwire.errors.ConfigurationError` if ``names_max`` is not a whole number, 1 or more.
    """

    pattern = "skill.*"

    def __init__(self, *, names_max: int = 1000) -> None:
        if type(names_max) is not int or names_max < 1:
            raise ConfigurationError("Skills(): names_max must be a whole number, 1 or more")
        self._names_max = names_max
        self._counts: dict[str, _Count] = {}

    def __repr__(self) -> str:
        return f"<Skills: {len(self._counts)} names>"

    async def on_events(self, events: Sequence[Event]) -> None:
        """Count a batch."""
        for event in events:
            name = getattr(event, "skill", None)
            if type(name) is not str:  # an event of another version of the kind
                continue
            if event.kind == "skill.used":
                _count_use(self._count_of(name), event)
            elif event.kind == "skill.authored":
                self._count_of(name).authored_at = event.at
            elif event.kind == "skill.rated":
                _count_rating(self._count_of(name), getattr(event, "rating", None))

    def snapshot(self) -> Mapping[str, SkillStatistics]:
        """Return the numbers of each skill, now, by its name."""
        return MappingProxyType({name: _statistics(count) for name, count in self._counts.items()})

    def doubtful(self, *, uses_min: int = 5, success_rate_max: float = 0.4) -> tuple[str, ...]:
        """Return the names of the skills that were used often enough and rarely succeeded, the worst first.

        Often enough is ``uses_min`` uses whose outcome is known; rarely is a share of successes of at most
        ``success_rate_max``. Raises :class:`~hubwire.errors.ConfigurationError` for what is no such number.
        """
        if type(uses_min) is not int or uses_min < 1:
            raise ConfigurationError("Skills.doubtful(): uses_min must be a whole number, 1 or more")
        if type(success_rate_max) not in (int, float) or not 0 <= success_rate_max <= 1:
            raise ConfigurationError("Skills.doubtful(): success_rate_max must be a number from 0 to 1")
        rates = [
            (count.succeeded / (count.succeeded + count.failed), name)
            for name, count in self._counts.items()
            if name != OTHER and count.succeeded + count.failed >= uses_min
        ]
        return tuple(name for rate, name in sorted(rates) if rate <= success_rate_max)

    def _count_of(self, name: str) -> _Count:
        if len(name) > TEXT_MAX or (name not in self._counts and len(self._counts) >= self._names_max):
            name = OTHER
        return self._counts.setdefault(name, _Count())


def _count_use(count: _Count, event: Event) -> None:
    count.used += 1
    count.last_used_at = event.at
    count.succeeded += event.outcome == "success"
    count.failed += event.outcome in ("failure", "denied")
    took: Any = getattr(event, "duration_ms", None)
    if type(took) in (int, float) and 0 <= took <= _MILLISECONDS_MAX:
        count.duration.add([round(took * 1000)])


def _count_rating(count: _Count, rating: object) -> None:
    count.rated += 1
    count.rated_good += rating == "good"
    count.rated_bad += rating == "bad"


def _statistics(count: _Count) -> SkillStatistics:
    numbers = {field.name: getattr(count, field.name) for field in attrs.fields(_Count)}
    return SkillStatistics(**numbers | {"duration": Latency(**count.duration.numbers())})
