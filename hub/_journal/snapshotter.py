"""The snapshotter: when a snapshot of the state is worth its cost, and how one is taken and restored."""

from __future__ import annotations

from collections.abc import Mapping

from .._commit.pipeline import Pipeline
from .._state import State
from ..ports import Journal
from .snapshots import Snapshot, Snapshots

__all__ = ("Snapshotter",)

_CLOSING_SNAPSHOT_BYTES = 1024 * 1024
"""A journal that has grown by less since the last snapshot is replayed faster than another one is made."""


class Snapshotter:
    """Takes snapshots of a hub's state while the hub runs, and restores the newest when it starts."""

    def __init__(
        self, journal: Journal, state: State, pipeline: Pipeline, *, snapshot_bytes: int, journal_bytes_max: int
    ) -> None:
        """A snapshot is due after ``snapshot_bytes`` of journal, but before a quarter of ``journal_bytes_max``."""
        self.kept: Snapshots = Snapshots(journal, state.machines)
        self._journal = journal
        self._state = state
        self._pipeline = pipeline
        self._interval_bytes_min = snapshot_bytes
        self._interval_bytes_max = journal_bytes_max // 4

    async def restore(self, kept: Mapping[str, bytes]) -> Snapshot | None:
        """Bring the state to the newest snapshot, and return that; None if the whole journal has to be replayed.

        Raises what :meth:`Snapshots.load` raises.
        """
        snapshot = await self.kept.load(kept)
        if snapshot is not None:
            self.take_up(snapshot)
        return snapshot

    def take_up(self, snapshot: Snapshot) -> None:
        """Bring the state, which is empty, to a snapshot."""
        self._state.restore(snapshot.entries)
        self._pipeline.resume_at(snapshot.at)

    def is_due(self) -> bool:
        """Return whether enough was journaled since the newest snapshot."""
        # A snapshot costs as much as the state is large: by then at least as much was journaled.
        interval = min(max(self._interval_bytes_min, self.kept.newest_bytes), self._interval_bytes_max)
        return self._unsaved_bytes(at_least=interval) >= interval

    def is_worth_closing_with(self) -> bool:
        """Return whether the next start is faster with a snapshot taken now."""
        worth = max(_CLOSING_SNAPSHOT_BYTES, self.kept.newest_bytes)
        return self._unsaved_bytes(at_least=worth) >= worth

    async def take(self) -> None:
        """Take a snapshot of the present state, and keep it as soon as that is committed.

        Raises what the hub failed with, or :class:`~hubwire.errors.HubClosed`, if the hub ends before: then no snapshot
        is kept.
        """
        pipeline = self._pipeline
        seq = pipeline.ring.applied.value
        # No await comes before the entries are taken: the state is that after the event before ``seq``.
        snapshot = Snapshot(
            seq=seq,
            hub=pipeline.hub_id,
            at=pipeline.ingress.last_at,
            entries=self._state.snapshot(),
            last_id=self._last_id(),
        )
        await pipeline.until_committed(seq - 1)
        await self.kept.save(snapshot)

    def _last_id(self) -> str | None:
        """Return the id of the newest applied event; None if it is not on the ring any more."""
        ring = self._pipeline.ring
        end = ring.applied.value
        return ring.slice(end - 1, end)[0].id if end > ring.first else None

    def _unsaved_bytes(self, at_least: int) -> int:
        """How much of the journal came after the newest snapshot, taking all events for equally large.

        Where the whole journal is smaller than ``at_least``, it is all of that: looked at for each batch, it is cheap.
        """
        journal = self._journal
        size = journal.size_bytes
        if size < at_least:
            return size
        next_seq = journal.next_seq
        return size * (next_seq - (self.kept.newest_seq or 0)) // max(1, next_seq - journal.first_seq)
