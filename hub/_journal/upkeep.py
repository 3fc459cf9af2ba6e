"""Upkeep: what keeps a start short and the disk bounded. Positions and snapshots are kept, the journal is truncated."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

import attrs

from .._commit.pipeline import Pipeline
from .._foreign.guards import text_of
from .._state import State
from ..ports import Clock, Journal
from .positions import Positions
from .snapshots import Snapshot, Snapshots

__all__ = ("JournalStatistics", "Upkeep")

_SECONDS = 1.0
"""Positions are kept at most once in this time, and what failed is tried again after it."""

_CLOSING_SNAPSHOT_BYTES = 1024 * 1024
"""A journal that has grown by less since the last snapshot is replayed faster than another one is made."""


@attrs.frozen(kw_only=True)
class JournalStatistics:
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


class Reader(Protocol):
    """An attachment, as far as the journal is kept for it."""

    name: str

    @property
    def done(self) -> int:
        """Events below this ``seq`` need not be kept for it."""

    @property
    def is_placed(self) -> bool:
        """Whether ``done`` means anything yet."""

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


class Upkeep:
    """Looks after the journal of a hub, in a task of its own."""

    def __init__(
        self,
        journal: Journal,
        state: State,
        pipeline: Pipeline,
        clock: Clock,
        *,
        snapshot_bytes: int,
        journal_bytes_max: int,
    ) -> None:
        self.positions: Positions = Positions(journal.store, f"{journal.path}/positions")
        self.attached: Attached
        self._errors: dict[str, Exception] = {}
        """What could not be written, and why; empty while all is well."""
        self._snapshots = Snapshots(journal.store, f"{journal.path}/snapshots", state.machines)
        self._journal = journal
        self._state = state
        self._pipeline = pipeline
        self._clock = clock
        self._snapshot_bytes = min(snapshot_bytes, journal_bytes_max // 4)
        self._journal_bytes_max = journal_bytes_max
        self._full_bytes = journal_bytes_max
        self._moved = asyncio.Event()
        self._due = asyncio.Event()

    # -- start --

    async def restore(self) -> int:
        """Bring the state to the newest snapshot; return the ``seq`` from which the journal is to be replayed.

        Raises :class:`~hubwire.errors.JournalBehind` and :class:`~hubwire.errors.LogDamaged`, as
        :class:`~hubwire._journal.positions.Positions` and :class:`~hubwire._journal.snapshots.Snapshots` tell.
        """
        journal = self._journal
        await self.positions.load(next_seq=journal.next_seq, hub=journal.hub_id)
        snapshot = await self._snapshots.load(
            first_seq=journal.first_seq, next_seq=journal.next_seq, hub=journal.hub_id
        )
        if snapshot is None:
            return 0
        self._state.restore(snapshot.entries)
        self._pipeline.last_at = snapshot.at
        return snapshot.seq

    # -- what the fan-out tells --

    def moved(self, attachment: Reader) -> None:
        """A DURABLE attachment has come further."""
        if attachment.is_placed:
            self.positions.move(attachment.name, attachment.done)
            self._moved.set()

    def journaled(self) -> None:
        """The journal has grown."""
        if self._is_snapshot_due() or self._journal.size_bytes > self._full_bytes:
            self._due.set()

    # -- the tasks --

    async def keep_positions(self) -> None:
        """Keep positions that have moved, at most once a second, for as long as the hub runs."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            if self.positions.have_moved:  # a start has kept them already, and the first step of a short life counts
                await self.save_positions()
                self._due.set()
                await self._clock.sleep(_SECONDS)

    async def save_positions(self) -> None:
        """Keep positions that have moved, now. If that fails, statistics tell, and it is tried again in a second."""
        try:
            await self.positions.save(self._pipeline.hub_id)
            self._errors.pop("positions", None)
        except Exception as error:  # noqa: BLE001 - whatever the store raised, the hub goes on: it is kept again later
            self._errors["positions"] = error
            self._moved.set()

    async def forget(self, name: str) -> None:
        """Keep the position of a name no longer, nor the journal for it."""
        await self.positions.forget(name)
        self._due.set()

    async def keep_journal(self) -> None:
        """Make snapshots and truncate the journal when it is time to, for as long as the hub runs."""
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._tidy()
                self._errors.pop("journal", None)
            except Exception as error:  # noqa: BLE001 - whatever the store raised, the hub goes on: nothing is lost
                self._errors["journal"] = error
                await self._clock.sleep(_SECONDS)
                self._due.set()

    async def close(self) -> None:
        """Keep the positions, and a snapshot if it is worth it: everything is committed, and nothing moves any more."""
        await self.positions.save(self._pipeline.hub_id)
        if self._unsaved_bytes() >= max(_CLOSING_SNAPSHOT_BYTES, self._snapshots.newest_bytes):
            await self._take_snapshot()

    # -- snapshots --

    def _unsaved_bytes(self) -> int:
        """How much of the journal came after the newest snapshot, taking all events for equally large."""
        journal = self._journal
        held = journal.next_seq - journal.first_seq
        return journal.size_bytes * (journal.next_seq - (self._snapshots.newest_seq or 0)) // max(1, held)

    def _is_snapshot_due(self) -> bool:
        # A snapshot costs what the state is large. So it is made when at least as much was journaled in the meantime.
        interval = min(max(self._snapshot_bytes, self._snapshots.newest_bytes), self._journal_bytes_max // 4)
        return self._unsaved_bytes() >= interval

    async def _take_snapshot(self) -> None:
        pipeline = self._pipeline
        seq = pipeline.ring.applied.value
        # Nothing is awaited from here to the end of this statement: the state is that after the event before ``seq``.
        snapshot = Snapshot(seq=seq, hub=pipeline.hub_id, at=pipeline.last_at, entries=self._state.snapshot())
        if await pipeline.ring.committed.wait_beyond(seq - 1):
            await self._snapshots.save(snapshot)

    # -- truncation --

    async def _tidy(self) -> None:
        journal = self._journal
        if self._is_snapshot_due():
            await self._take_snapshot()
        owed = self._owed()
        await journal.truncate_before(self._floor(owed))
        while journal.size_bytes > self._journal_bytes_max and owed:
            # The one that is farthest behind has to miss something, lest the disk fill up.
            owed.remove(min(owed))
            await journal.truncate_before(self._floor(owed))
        self._full_bytes = max(self._journal_bytes_max, journal.size_bytes + self._journal_bytes_max // 8)
        for attachment in tuple(self.attached.attachments):
            if attachment.is_durable and attachment.is_placed:
                attachment.suspend_if_missing()

    def _owed(self) -> list[int]:
        """The positions of the DURABLE names. One before the journal's beginning has lost its claim already.

        Those are meant that are on disk: after a crash, these are where the listeners go on.
        """
        return [seq for seq in self.positions.kept.values() if seq >= self._journal.first_seq]

    def _floor(self, owed: Iterable[int]) -> int:
        required = [
            attachment.done
            for attachment in self.attached.attachments
            if attachment.is_required and attachment.is_placed
        ]
        return min([self._snapshots.floor, *required, *owed])

    # -- what it tells --

    def statistics(self) -> JournalStatistics:
        """Return how it stands, now."""
        journal, snapshots = self._journal, self._snapshots
        return JournalStatistics(
            first_seq=journal.first_seq,
            next_seq=journal.next_seq,
            size_bytes=journal.size_bytes,
            snapshot_seq=snapshots.newest_seq,
            snapshot_bytes=snapshots.newest_bytes,
            positions=tuple(sorted(self.positions.kept.items())),
            last_error="; ".join(map(text_of, self._errors.values())) or snapshots.damaged,
        )

    def problems(self) -> list[str]:
        """Return what is owed and not kept."""
        found = [f"the {what} cannot be kept in order: {text_of(error)}" for what, error in self._errors.items()]
        attached = {attachment.name for attachment in self.attached.attachments}
        first_seq = self._journal.first_seq
        found += [
            f"listener {name!r} is not attached, and has missed events {seq} to {first_seq - 1}, which the journal no"
            " longer holds: attach it and resume it, or forget it"
            for name, seq in self.positions.kept.items()
            if seq < first_seq and name not in attached
        ]
        return found
