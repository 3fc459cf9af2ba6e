"""Truncation: how much of the journal is needed, and what is given up when it outgrows its bound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Protocol

from ..errors import StoreError
from ..ports import Journal, ReservingStore
from .archive import Archive
from .positions import Handled, Positions
from .snapshots import Snapshots

__all__ = ("Attached", "Reader", "Truncation")


class Reader(Protocol):
    """An attachment, as far as the journal is kept for it."""

    name: str

    @property
    def owed(self) -> int:
        """Events below this ``seq`` need not be kept for it, as it says now."""

    @property
    def handled(self) -> Handled | None:
        """How far it has come, if it keeps a position itself; None if it does not, or cannot say."""

    @property
    def is_placed(self) -> bool:
        """Whether ``owed`` is known yet."""

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

    Above its bound the DURABLE readers that are farthest behind lose their claim, one after the other. The bound is
    ``journal_bytes_max``, and less where the disk has little room: the journal takes at most half of what it has and
    what is free, so that it is not the journal that fills the disk.
    """

    def __init__(
        self,
        journal: Journal,
        positions: Positions,
        snapshots: Snapshots,
        *,
        journal_bytes_max: int,
        archive: Archive | None = None,
    ) -> None:
        """``archive`` keeps what histories need of the journal, before that is truncated."""
        self._archive = archive
        self._journal = journal
        self._positions = positions
        self._snapshots = snapshots
        self._journal_bytes_max = journal_bytes_max
        self._due_bytes = journal_bytes_max

    def is_due(self) -> bool:
        """Return whether the journal has outgrown its bound, and grown enough since the last attempt."""
        return self._journal.size_bytes > self._due_bytes

    async def truncate(self, attached: Attached, hub: str) -> None:
        """Truncate the journal of this hub as far as possible, and suspend the readers that lose events by it."""
        journal, bytes_max = self._journal, await self._bound()
        with suppress(StoreError):  # a full disk must be left all the same: what cannot be kept counts as not handled
            await self._keep_handled(attached, hub)
            if self._positions.are_reclaimed(journal.first_seq):
                await self._positions.save(hub)
        owed = self._owed()
        await self._truncate_before(self._floor(attached, owed), bytes_max)
        while journal.size_bytes > bytes_max and owed:
            # The one that is farthest behind has to miss events, or else the disk fills up.
            owed.remove(min(owed))
            await self._truncate_before(self._floor(attached, owed), bytes_max)
        self._due_bytes = max(bytes_max, journal.size_bytes + bytes_max // 8)
        for reader in tuple(attached.attachments):
            if reader.is_durable and reader.is_placed:
                reader.suspend_if_missing()

    async def _truncate_before(self, floor: int, bytes_max: int) -> None:
        if self._archive is not None:
            # Snapshots come seldom; positions move each second, and then it is not worth it to keep a few events aside.
            is_pressing = floor == self._snapshots.floor or self._journal.size_bytes > bytes_max // 2
            floor = await self._archive.keep_before(floor, is_pressing=is_pressing)
        await self._journal.truncate_before(floor)

    async def _keep_handled(self, attached: Attached, hub: str) -> None:
        """Keep how far those have come whose own position will soon be before the beginning of the journal."""
        placed = [reader for reader in attached.attachments if reader.is_placed]
        floor = min([self._snapshots.floor, *(reader.owed for reader in placed if reader.is_required)])
        handled = {reader.name: reader.handled for reader in placed if reader.handled is not None}
        if behind := {name: each for name, each in handled.items() if each.last_seq + 1 < floor}:
            await self._positions.keep_handled(behind, hub)

    def _sure(self, reader: Reader) -> int:
        """Return the ``seq`` below which a reader needs no events, not even after a crash."""
        owed, handled = reader.owed, reader.handled
        if handled is None:
            return owed
        return min(owed, max(handled.last_seq + 1, self._positions.handled(reader.name, handled.last_seq)))

    def make_room(self) -> None:
        """The disk is full: truncation is due, however small the journal is."""
        self._due_bytes = -1

    async def _bound(self) -> int:
        store = self._journal.store
        if not isinstance(store, ReservingStore):
            return self._journal_bytes_max
        return min(self._journal_bytes_max, (self._journal.size_bytes + await store.free_bytes()) // 2)

    def _owed(self) -> list[int]:
        """The positions of the DURABLE names. One before the journal's beginning has lost its claim already.

        These are the positions on disk: after a crash, the listeners go on there.
        """
        return [seq for seq in self._positions.kept.values() if seq >= self._journal.first_seq]

    def _floor(self, attached: Attached, owed: Iterable[int]) -> int:
        required = [self._sure(reader) for reader in attached.attachments if reader.is_required and reader.is_placed]
        return min([self._snapshots.floor, *required, *owed])
