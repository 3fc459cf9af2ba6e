"""What the upkeep of a journal says of itself, in numbers."""

from __future__ import annotations

import attrs

from .._values import Value

__all__ = ("JournalStatistics",)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class JournalStatistics(Value):
    """What a hub has on its store for its next start."""

    first_seq: int
    """The oldest event held: older ones are truncated."""
    next_seq: int
    size_bytes: int
    snapshot_seq: int | None
    """The ``seq`` after which the next start replays; None if that is all history."""
    snapshot_bytes: int
    positions: tuple[tuple[str, int], ...]
    """Of every DURABLE name, attached or not, the ``seq`` of the next event it has to see, as it is kept."""
    last_error: str | None
    """Why positions, a snapshot or a truncation could not be written; None if all is well."""
