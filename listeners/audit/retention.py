"""How long records of an audit log are kept, what pruning has done or would do, and what holds it back."""

from __future__ import annotations

import math
from typing import Any

import attrs

from hubwire.errors import ConfigurationError

__all__ = ("REGULATED_DAYS", "Hold", "Pruned", "Pruning", "Retention")

REGULATED_DAYS = 183
"""Six months, never fewer days than six calendar months have: as long as the EU's AI Act (articles 19 and 26) has logs
of high-risk systems kept at least."""

_SEGMENTS_MIN = 2


@attrs.frozen(kw_only=True)
class Retention:
    """How long a log keeps its records, in whole segments. Without a limit it keeps all of them.

    The oldest segment is pruned while it is over one of the limits, and then the next one. The two newest segments
    always stay. What is younger than ``days_min`` stays in any case, over any limit. Ages are those of the newest
    record of a segment, by the clock of the log. Raises :class:`~hubwire.errors.ConfigurationError` for what cannot be.
    """

    days: float | None = None
    """Segments whose newest record is older are pruned. None: no age is too old."""
    bytes_max: int | None = None
    """While all segments together have more bytes, the oldest is pruned. None: no bound."""
    segments_max: int | None = None
    """While there are more segments, the oldest is pruned; 2 or more, with the one that is written. None: no bound."""
    days_min: float = 0.0
    """The floor: no segment with a record that is younger is ever pruned."""

    def __attrs_post_init__(self) -> None:
        """Refuse what is no limit."""
        for name, least, kinds in (("days", 0, (int, float)), ("bytes_max", 1, (int,)), ("segments_max", 2, (int,))):
            value = getattr(self, name)
            if value is not None and not (type(value) in kinds and least <= value < math.inf):
                raise ConfigurationError(f"Retention(): {name} is {_WANTED[name]}, not {_shown(value)}")
        if type(self.days_min) not in (int, float) or not 0 <= self.days_min < math.inf:
            raise ConfigurationError(
                f"Retention(): days_min is a number of days, 0 or more, not {_shown(self.days_min)}"
            )
        if self.days is not None and self.days < self.days_min:
            raise ConfigurationError(
                f"Retention(): days is {self.days}, less than days_min, {self.days_min}, for which records have to be"
                " kept; raise days, or lower days_min if no rule asks for it"
            )

    @classmethod
    def regulated(
        cls, *, days: float | None = REGULATED_DAYS, bytes_max: int | None = None, segments_max: int | None = None
    ) -> Retention:
        """Return a retention with a floor of 183 days, which no other limit undercuts; by default it keeps no longer.

        Raises :class:`~hubwire.errors.ConfigurationError` for fewer ``days``.
        """
        return cls(days=days, bytes_max=bytes_max, segments_max=segments_max, days_min=REGULATED_DAYS)

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit over which segments are pruned."""
        return (self.days, self.bytes_max, self.segments_max) != (None, None, None)


_WANTED = {
    "days": "a number of days, 0 or more, or None",
    "bytes_max": "a number of bytes, 1 or more, or None",
    "segments_max": f"a number of segments, {_SEGMENTS_MIN} or more, or None",
}


def _shown(value: Any) -> str:
    """Return a value as a message names it: the text of a stranger's object is the stranger's code."""
    return f"{value!r:.80}" if type(value) in (int, float, bool, str, type(None)) else type(value).__name__


@attrs.frozen(kw_only=True)
class Hold:
    """A legal hold: as long as it is not released, no record of the log is pruned."""

    name: str
    reason: str
    by: str | None
    """Who has set it, as the caller said."""
    at: str
    """When, by the clock of the log."""

    def __str__(self) -> str:
        by = "" if self.by is None else f" by {self.by}"
        return f"the hold {self.name!r}, set at {self.at}{by}: {self.reason}"


@attrs.frozen(kw_only=True)
class Pruning:
    """What a pruning has removed, or would remove, and what stays although a limit names it."""

    path: str
    """The log's."""
    is_dry_run: bool
    """Whether it only says what would be removed."""
    first: int
    """The index of the first record that the log has then."""
    records: int = 0
    """How many records go."""
    segments: int = 0
    """How many segments go."""
    size_bytes: int = 0
    """The bytes of these segments."""
    reasons: tuple[str, ...] = ()
    """Why they go: a sentence for each limit that they are over."""
    held: tuple[str, ...] = ()
    """What keeps back segments that are over a limit: holds, or the floor; a sentence each."""
    is_archived: bool = False
    """Whether what went is in an archive now."""


@attrs.frozen(kw_only=True)
class Pruned:
    """What a log says of the records before its first one."""

    first: int
    """The index of the first record that is there: those before it were pruned."""
    at: str
    by: str | None
    reason: str
    days_min: float
    """The floor that held then, in days."""
    archive: str | None = None
    """The archive to which they were copied before, as the log names it; None if there was none."""

    def __str__(self) -> str:
        last = self.first - 1
        what = "record 0 was" if not last else f"records 0 to {last} were"
        by = "" if self.by is None else f" by {self.by}"
        archived = "" if self.archive is None else f", archived to {self.archive}"
        return f"{what} pruned at {self.at}{by} ({self.reason}){archived}"
