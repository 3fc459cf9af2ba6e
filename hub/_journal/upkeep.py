"""Upkeep: what keeps a start short and the disk bounded. Positions and snapshots are kept, the journal is truncated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from .._commit.pipeline import Pipeline
from .._foreign.guards import text_of
from .._state import State
from ..errors import Fenced, HubClosed, HubFailed, StoreFull
from ..events import Event
from ..ports import Clock, Journal, ReservingStore
from .archive import Archive
from .history import Mark, replay_checked
from .positions import Positions
from .snapshots import Snapshot
from .snapshotter import Snapshotter
from .statistics import JournalStatistics
from .store_journal import StoreJournal
from .truncation import Attached, Reader, Truncation

__all__ = ("Upkeep",)

_SECONDS = 1.0
"""Positions are kept at most once in this time, and what failed is tried again after it."""


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
        history_bytes_max: int,
    ) -> None:
        self.positions: Positions = Positions(journal)
        self.archive: Archive = Archive(journal, _wanted_by(state), bytes_max=history_bytes_max)
        self.snapshotter: Snapshotter = Snapshotter(
            journal, state, pipeline, snapshot_bytes=snapshot_bytes, journal_bytes_max=journal_bytes_max
        )
        self._attached: Attached
        self._truncation = Truncation(
            journal,
            self.positions,
            self.snapshotter.kept,
            journal_bytes_max=journal_bytes_max,
            archive=self.archive,
        )
        assert pipeline.possession is not None
        self._possession = pipeline.possession
        self._journal = journal
        self._pipeline = pipeline
        self._clock = clock
        self._errors: dict[str, Exception] = {}
        """What could not be written, and why; empty while all is well."""
        self._journaled = 0
        self._settled = asyncio.Event()
        self._has_ended = False
        self._moved = asyncio.Event()
        self._due = asyncio.Event()
        self._full = asyncio.Event()
        self._truncating = asyncio.Lock()

    def connect(self, attached: Attached) -> None:
        """Say, once and before the start, for which readers the journal is kept."""
        self._attached = attached

    # -- a start: the store is only read before settle() --

    async def restore(self, held: Iterable[Mark] = ()) -> AsyncIterator[Event]:
        """Bring the state to the newest snapshot; iterate over the events that come after it.

        ``held`` are events that listeners hold, and the journal therefore too.

        Raises :class:`~hubwire.errors.JournalBehind` if a position, a snapshot, or the end that was kept last proves
        that the journal has lost events, or holds others in their place;
        :class:`~hubwire.errors.NewerVersion`; and :class:`~hubwire.errors.LogDamaged` if what is kept cannot be read,
        or neither a snapshot nor the journal goes back far enough.
        """
        journal, positions = self._journal, self.positions
        kept = await journal.kept()
        await positions.load(kept)
        self.archive.load(kept)
        marks = [] if positions.end is None else [positions.end]
        start = 0
        if (snapshot := await self.snapshotter.restore(kept)) is not None:
            start = snapshot.seq
            if snapshot.last_id is not None and start > 0:
                positions.end = Mark(start - 1, snapshot.last_id, "a snapshot was taken")
                marks.append(positions.end)
        event = None
        async for event in replay_checked(journal, start, [*marks, *held]):
            yield event
        if event is not None:
            positions.end = Mark(event.seq, event.id)

    async def newest_snapshot(self) -> Snapshot | None:
        """Return the newest snapshot of a journal that another hub writes; None without any.

        Raises as :meth:`restore` does; also where the other one has replaced meanwhile what was being read.
        """
        kept = await self._journal.kept()
        self.archive.load(kept)
        return await self.snapshotter.kept.load(kept, is_followed=True)

    async def look_again(self) -> None:
        """Take up what the hub that leads has kept of the past since this was called last, or since the start."""
        self.archive.load(await self._journal.kept())

    async def take_up(self, start: int, newest: Mark | None) -> AsyncIterator[Event]:
        """Iterate over the events from ``start`` on, which the state has not, once the journal is open.

        ``newest`` is the last event that the state has, so that the journal has to. What was kept beside the journal is
        taken up, too. Raises as :meth:`restore` does.
        """
        kept = await self._journal.kept()
        await self.positions.load(kept)
        self.archive.load(kept)
        await self.snapshotter.kept.take_up(kept)
        marks = [each for each in (self.positions.end, newest) if each is not None and not self._has_seen(each)]
        self._possession.proved()
        async for event in replay_checked(self._journal, start, marks):
            yield event

    def _has_seen(self, mark: Mark) -> bool:
        """Check an event against what is in memory; return False if the journal has to be looked at."""
        ring = self._pipeline.ring
        if not ring.first <= mark.seq < ring.applied.value - 1:
            return False  # the newest one is always looked at: that the journal has it proves that it has the others
        mark.check(ring.slice(mark.seq, mark.seq + 1)[0], self._journal)
        return True

    async def settle(self) -> None:
        """All was checked, and the hub's first event is in the journal: set aside and keep what is to be.

        An error is reported by statistics and health, and tried again later.
        """
        self._settled.set()
        await self.save_positions()
        self._due.set()

    # -- called by the fan-out --

    def moved(self, attachment: Reader) -> None:
        """A DURABLE attachment has come further."""
        if attachment.is_placed:
            self.positions.move(attachment.name, attachment.owed)
            self._moved.set()

    def journaled(self) -> None:
        """The journal has grown, or what a required listener has handled may commit."""
        journaled = self._pipeline.ring.journaled.value
        if journaled > self._journaled:
            self._journaled = journaled
            self._possession.proved()
        if self.snapshotter.is_due() or self._truncation.is_due():
            self._due.set()

    # -- positions --

    async def keep_positions(self) -> None:
        """Keep positions that have moved, at most once a second, for as long as the hub runs."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            # A start has kept them already, and the first step of a short life counts.
            if self.positions.have_moved or "positions" in self._errors:
                await self.save_positions()
                self._due.set()
                await self._clock.sleep(_SECONDS)

    async def save_positions(self) -> None:
        """Keep positions that have moved, now, or as soon as the start has settled.

        An error is reported by statistics and health, and tried again later.
        """
        await self._settled.wait()
        if self._has_ended:
            return  # the close has kept them, or the next start finds out
        try:
            self._see_end()
            await self.positions.save(self._pipeline.hub_id)
            self._errors.pop("positions", None)
        except Fenced as error:
            self._possession.lost(error)
        except Exception as error:  # noqa: BLE001 - the hub goes on, and the positions are kept later
            self._errors["positions"] = error
            self._moved.set()

    def _see_end(self) -> None:
        """Take note of the newest committed event: the journal must never be seen again without it."""
        ring = self._pipeline.ring
        end = ring.committed.value
        if end > ring.first:
            newest = ring.slice(end - 1, end)[0]
            self.positions.end = Mark(newest.seq, newest.id)

    def end(self) -> None:
        """The hub has ended: no task waits until positions are kept, and only :meth:`close` keeps them."""
        self._has_ended = True
        self._settled.set()

    async def forget(self, name: str) -> None:
        """Keep the position of a name no longer, nor the journal for it."""
        self._see_end()
        await self.positions.forget(name, self._pipeline.hub_id)
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
                await self._keep_in_bounds()
                self._errors.pop("journal", None)
            except (HubClosed, HubFailed):
                return  # the hub has ended
            except Fenced as error:
                self._possession.lost(error)
                return
            except Exception as error:  # noqa: BLE001 - the hub goes on, and no event is lost by it
                self._errors["journal"] = error
                await self._clock.sleep(_SECONDS)
                self._due.set()

    async def _keep_in_bounds(self) -> None:
        try:
            await self.snapshotter.kept.repair()
            if self.snapshotter.is_due():
                await self.snapshotter.take()
        except StoreFull:
            # What is not needed any more makes room for the snapshot, which is tried again.
            await self._truncate()
            raise
        self._ask_again()
        await self._truncate()
        if isinstance(self._journal.store, ReservingStore):
            await self._journal.store.keep_reserve()

    def disk_is_full(self) -> None:
        """The journal's disk is full."""
        self._truncation.make_room()
        self._full.set()

    async def keep_room(self) -> None:
        """Truncate the journal whenever its disk is full, for as long as the hub runs.

        Meanwhile :meth:`keep_journal` may wait for a commit, for a snapshot, and the commit waits for room.
        """
        while True:
            await self._full.wait()
            self._full.clear()
            try:
                await self._truncate()
            except Exception as error:  # noqa: BLE001 - the journal tries again each second, and health says what is full
                self._errors["journal"] = error
            self._due.set()

    async def _truncate(self) -> None:
        async with self._truncating:
            await self._truncation.truncate(self._attached, self._pipeline.hub_id)

    def _ask_again(self) -> None:
        """Take up the positions of the listeners that have written since they were called last; keep them soon."""
        for attachment in tuple(self._attached.attachments):
            if attachment.is_durable:
                self.moved(attachment)

    async def close(self) -> None:
        """Keep the positions, and a snapshot if it is worth it. All events are committed, and no position moves."""
        self._see_end()
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

    def notes(self) -> tuple[str, ...]:
        """Return what the start found of the journal, and did about it."""
        return self._journal.recovery if isinstance(self._journal, StoreJournal) else ()

    def problems(self) -> list[str]:
        """Return what is owed and not kept."""
        found = [f"the {what} cannot be kept in order: {text_of(error)}" for what, error in self._errors.items()]
        if (error := self._possession.error) is not None:
            found.append(f"the journal cannot be asked whether another hub took it over: {text_of(error)}")
        attached = {attachment.name for attachment in self._attached.attachments}
        first_seq = self._journal.first_seq
        found += [
            f"listener {name!r} is not attached, and has missed events {seq} to {first_seq - 1}, which the journal no"
            " longer holds: attach it and resume it, or forget it"
            for name, seq in self.positions.kept.items()
            if seq < first_seq and name not in attached
        ]
        return found


def _wanted_by(state: State) -> Callable[[Event], Sequence[str]]:
    """Return what says under which keys the archive keeps an event: its channel, and none for the end of a task."""

    def wanted(event: Event) -> Sequence[str]:
        keys = [event.channel_id or ""] if state.memories.holds(event) else []
        return [*keys, ""] if state.tasks.remembers(event) else keys

    return wanted
