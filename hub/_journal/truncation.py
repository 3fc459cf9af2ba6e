"""Truncation: how much of the journal is needed, and what is given up when it outgrows its bound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from ..ports import Journal
from .positions import Positions
from .snapshots import Snapshots

__all__ = ("Attached", "Reader", "Truncation")


class Reader(Protocol):
    """An attachment, as far as the journal is kept for it."""

    name: str

    @property
    def done(self) -> int:
        """Events below this ``seq`` need not be kept for it."""

    @property
    def is_placed(self) -> bool:
        """Whether ``done`` is known yet."""

    @property
    def is_required(self) -> bool:
        """Whether it must not miss an event."""

    @property
    def is_durable(self) -> bool:
        """Whether its position is kept, and it may miss events when the journal outgrows its bound."""

    def suspend_if_missing(self) -> None:
        """Give a durable reader no more events if the next one is not held any more."""


class Attached(Protocol):
    """All readers: the fan-out."""

    @property
    def attachments(self) -> Sequence[Reader]:
        """All that are attached now."""


class Truncation:
    """Truncates the journal before what the snapshots, the REQUIRED and the DURABLE readers still need.

    Above ``journal_bytes_max`` the DURABLE readers that are farthest behind lose their claim, one after the other.
    """

    def __init__(self, journal: Journal, positions: Positions, snapshots: Snapshots, *, journal_bytes_max: int) -> None:
        self._journal = journal
        self._positions = positions
        self._snapshots = snapshots
        self._journal_bytes_max = journal_bytes_max
        self._due_bytes = journal_bytes_max

    def is_due(self) -> bool:
        """Return whether the journal has outgrown its bound, and grown enough since the last attempt."""
        return self._journal.size_bytes > self._due_bytes

    async def truncate(self, attached: Attached) -> None:
        """Truncate the journal as far as possible, and suspend the readers that lose events by it."""
        journal, bytes_max = self._journal, self._journal_bytes_max
        owed = self._owed()
        await journal.truncate_before(self._floor(attached, owed))
        while journal.size_bytes > bytes_max and owed:
            # The one that is farthest behind has to miss events, or else the disk fills up.
            owed.remove(min(owed))
            await journal.truncate_before(self._floor(attached, owed))
        self._due_bytes = max(bytes_max, journal.size_bytes + bytes_max // 8)
        for reader in tuple(attached.attachments):
            if reader.is_durable and reader.is_placed:
                reader.suspend_if_missing()

    def _owed(self) -> list[int]:
        """The positions of the DURABLE names. One before the journal's beginning has lost its claim already.

        These are the positions on disk: after a crash, the listeners go on there.
        """
        return [seq for seq in self._positions.kept.values() if seq >= self._journal.first_seq]

    def _floor(self, attached: Attached, owed: Iterable[int]) -> int:
        required = [reader.done for reader in attached.attachments if reader.is_required and reader.is_placed]
        return min([self._snapshots.floor, *required, *owed])
