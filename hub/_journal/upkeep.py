"""Upkeep: what keeps a start short and the disk bounded. Positions and snapshots are kept, the journal is truncated."""

from __future__ import annotations

import asyncio

import attrs

from .._commit.pipeline import Pipeline
from .._foreign.guards import text_of
from .._state import State
from ..errors import HubClosed, HubFailed
from ..ports import Clock, Journal
from .positions import Positions
from .snapshotter import Snapshotter
from .truncation import Attached, Reader, Truncation

__all__ = ("JournalStatistics", "Upkeep")

_SECONDS = 1.0
"""Positions are kept at most once in this time, and what failed is tried again after it."""


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


class Upkeep:
    """Looks after the journal of a hub, in tasks that the hub starts: :meth:`keep_positions`, :meth:`keep_journal`."""

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
        self.snapshotter: Snapshotter = Snapshotter(
            journal, state, pipeline, snapshot_bytes=snapshot_bytes, journal_bytes_max=journal_bytes_max
        )
        self._attached: Attached
        self._truncation = Truncation(
            journal, self.positions, self.snapshotter.kept, journal_bytes_max=journal_bytes_max
        )
        self._journal = journal
        self._pipeline = pipeline
        self._clock = clock
        self._errors: dict[str, Exception] = {}
        """What could not be written, and why; empty while all is well."""
        self._moved = asyncio.Event()
        self._due = asyncio.Event()

    def connect(self, attached: Attached) -> None:
        """Say, once and before the start, for which readers the journal is kept."""
        self._attached = attached

    async def restore(self) -> int:
        """Bring the state to the newest snapshot; return the ``seq`` from which the journal has to be replayed.

        Raises :class:`~hubwire.errors.JournalBehind` if a position is beyond the journal's end, and
        :class:`~hubwire.errors.LogDamaged` if a position cannot be read, or neither a snapshot nor the journal goes
        back far enough.
        """
        await self.positions.load(next_seq=self._journal.next_seq, hub=self._journal.hub_id)
        return await self.snapshotter.restore()

    # -- called by the fan-out --

    def moved(self, attachment: Reader) -> None:
        """A DURABLE attachment has come further."""
        if attachment.is_placed:
            self.positions.move(attachment.name, attachment.done)
            self._moved.set()

    def journaled(self) -> None:
        """The journal has grown."""
        if self.snapshotter.is_due() or self._truncation.is_due():
            self._due.set()

    # -- positions --

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
        """Keep positions that have moved, now. An error is reported by statistics and health, and tried again later."""
        try:
            await self.positions.save(self._pipeline.hub_id)
            self._errors.pop("positions", None)
        except Exception as error:  # noqa: BLE001 - the hub goes on, and the positions are kept later
            self._errors["positions"] = error
            self._moved.set()

    async def forget(self, name: str) -> None:
        """Keep the position of a name no longer, nor the journal for it."""
        await self.positions.forget(name)
        self._due.set()

    # -- the journal --

    async def keep_journal(self) -> None:
        """Take snapshots and truncate the journal whenever that is due, for as long as the hub runs.

        An error is reported by statistics and health, and tried again a second later.
        """
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                if self.snapshotter.is_due():
                    await self.snapshotter.take()
                await self._truncation.truncate(self._attached)
                self._errors.pop("journal", None)
            except (HubClosed, HubFailed):
                return  # the hub has ended
            except Exception as error:  # noqa: BLE001 - the hub goes on, and no event is lost by it
                self._errors["journal"] = error
                await self._clock.sleep(_SECONDS)
                self._due.set()

    async def close(self) -> None:
        """Keep the positions, and a snapshot if it is worth it. All events are committed, and no position moves."""
        await self.positions.save(self._pipeline.hub_id)
        if self.snapshotter.is_worth_closing_with():
            await self.snapshotter.take()

    # -- reports --

    def statistics(self) -> JournalStatistics:
        """Return the present numbers."""
        journal, snapshots, positions = self._journal, self.snapshotter.kept, self.positions.kept
        return JournalStatistics(
            first_seq=journal.first_seq,
            next_seq=journal.next_seq,
            size_bytes=journal.size_bytes,
            snapshot_seq=snapshots.newest_seq,
            snapshot_bytes=snapshots.newest_bytes,
            positions=tuple(sorted(positions.items())),
            last_error="; ".join(map(text_of, self._errors.values())) or snapshots.damaged,
        )

    def problems(self) -> list[str]:
        """Return what is owed and not kept."""
        found = [f"the {what} cannot be kept in order: {text_of(error)}" for what, error in self._errors.items()]
        attached = {attachment.name for attachment in self._attached.attachments}
        first_seq = self._journal.first_seq
        found += [
            f"listener {name!r} is not attached, and has missed events {seq} to {first_seq - 1}, which the journal no"
            " longer holds: attach it and resume it, or forget it"
            for name, seq in self.positions.kept.items()
            if seq < first_seq and name not in attached
        ]
        return found
