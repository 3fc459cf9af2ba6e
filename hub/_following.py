"""Following: a hub that applies what another one commits, and has no possession of the journal."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import attrs
from anyio.abc import TaskGroup

from ._commit.journaling import shared
from ._commit.phase import Phase
from ._delivery.first_failure import prepare
from ._foreign.arguments import has_method
from ._foreign.guards import failure_of, guarded, text_of
from ._journal.history import Mark
from ._parts import Parts
from ._state.moments import deadline_ns
from ._values import Value
from .errors import ConfigurationError, HistoryGone, HubFailed, JournalBehind, LogDamaged, StoreError, StoreUnavailable
from .events import Event, HubStarted, HubStopped
from .own_log import OwnLog
from .ports import SharedJournal

if TYPE_CHECKING:
    from ._journal.upkeep import Upkeep

__all__ = ("Following", "FollowingStatistics", "following_of")

_log = OwnLog("hub")

_BATCH = 256
"""So many events are applied in one turn of the loop."""

_RESTORE_ATTEMPTS = 10
"""The hub that leads may take a snapshot, and delete the one that is being read."""

_PAUSE_SECONDS = 0.2
_AGAIN_SECONDS = 1.0
"""A journal that cannot be reached is followed again after this time."""

_BLOCKED_SECONDS = 0.01

SILENT_SECONDS = 10.0
"""A hub that leads and is not heard of for so long does not lead any more, or cannot be heard."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class FollowingStatistics(Value):
    """How a hub follows another one."""

    leader: str | None
    """Where the hub runs that leads, as far as its own events say: its process and its host."""
    events_behind: int
    """How many events are known to be committed, and not applied here."""
    seconds_behind: float
    """For how long the newest event has waited that is not applied here; 0 if there is none."""
    silent_seconds: float
    """How long ago the last events, or the last sign of life of the hub that leads, came."""
    error: str | None
    """Why the journal cannot be followed at present; it is tried again each second."""


class Following:
    """Reads the events of the journal and applies them, as long as the hub follows."""

    def __init__(self, parts: Parts, journal: SharedJournal, upkeep: Upkeep) -> None:
        self._parts = parts
        self._journal = journal
        self._upkeep = upkeep
        self._pipeline = parts.pipeline
        self._ring = parts.pipeline.ring
        self._newest: Mark | None = None
        """The last event that the state has, where its id is known."""
        self._leader: str | None = None
        self._heard_at = 0.0
        self._waiting: Sequence[Event] = ()
        """Those that have come and are not applied."""
        self._error: Exception | None = None
        self._scope: anyio.CancelScope | None = None
        self._has_left = anyio.Event()
        self.has_led: bool = False
        """Whether the hub has had possession of the journal since."""

    # -- beginning --

    async def begin(self, tasks: TaskGroup) -> None:
        """Restore the state, catch up with what is committed, and go on to follow in a task of this group.

        Raises what the journal raises.
        """
        parts, pipeline = self._parts, self._pipeline
        parts.pulse.start()
        self._ring.start_at(await self._restore())
        pipeline.ingress.hub_id = self._journal.hub_id or ""
        parts.core.recall.renew = self._upkeep.look_again
        end = self._journal.next_seq
        self.go_on(tasks, is_connected=True)
        await self._ring.applied.wait_beyond(end - 1)
        pipeline.lifecycle.check_not_failed()
        await prepare()
        await parts.fanout.follow(tasks)

    async def _restore(self) -> int:
        """Bring the state to the newest snapshot; return the ``seq`` of the event that comes next.

        The hub that leads may take other snapshots meanwhile, and truncate what came after this one.
        """
        for attempt in range(_RESTORE_ATTEMPTS):
            await guarded(self._journal.prepare)
            try:
                snapshot = await self._upkeep.newest_snapshot()
            except LogDamaged:
                if attempt == _RESTORE_ATTEMPTS - 1:
                    raise
                await anyio.sleep(_PAUSE_SECONDS)
                continue
            if snapshot is None:
                return 0
            await guarded(self._journal.prepare)
            if self._journal.first_seq <= snapshot.seq:
                self._upkeep.snapshotter.take_up(snapshot)
                if snapshot.last_id is not None:
                    self._newest = Mark(snapshot.seq - 1, snapshot.last_id)
                return snapshot.seq
        raise StoreUnavailable(
            f"the snapshots of {self._journal.path} are replaced faster than they can be read; give the hub that leads"
            " a larger snapshot_bytes"
        )

    def go_on(self, tasks: TaskGroup, *, is_connected: bool) -> None:
        """Follow, in a task of this group; ``is_connected``: the journal is prepared."""
        self._heard_at = monotonic()
        self._has_left = anyio.Event()
        self._scope = anyio.CancelScope()
        tasks.start_soon(self._run, self._scope, self._has_left, is_connected)

    async def leave(self) -> None:
        """Follow no longer; return when no event is applied any more."""
        if self._scope is not None:
            self._scope.cancel()
            with anyio.CancelScope(shield=True):
                await self._has_left.wait()

    # -- following --

    async def _run(self, scope: anyio.CancelScope, has_left: anyio.Event, is_connected: bool) -> None:  # noqa: FBT001 - a task group passes it on by its place
        try:
            with scope:
                while True:
                    try:
                        if not is_connected:
                            await guarded(self._journal.prepare)
                        await self._follow()
                    except StoreError as error:
                        if isinstance(error, LogDamaged):
                            raise
                        self._failing(error)
                    is_connected = False
                    await anyio.sleep(_AGAIN_SECONDS)
        except Exception as error:  # noqa: BLE001 - a hub that cannot follow has failed
            self._pipeline.fail(_failure_of(error))
        except asyncio.CancelledError:
            if not _is_scope_cancelled():  # as when the program ends, by Ctrl-C too
                outside = HubFailed("the hub stops, because its tasks were cancelled from outside of it")
                self._pipeline.fail(outside, is_logged=False)
            raise
        finally:
            has_left.set()

    def _failing(self, error: Exception) -> None:
        if self._error is None:
            _log.problem("the journal cannot be followed; it is tried again each second", error)
        self._error = error

    async def _follow(self) -> None:
        """Apply what comes, until that ends."""
        batches = self._journal.follow(self._ring.applied.value - 1)
        try:
            while (batch := await _next_of(batches)) is not None:
                self._heard_at = monotonic()
                self._error = None
                if batch:
                    await self._take(batch)
        finally:
            self._waiting = ()
            if has_method(batches, "aclose"):
                with anyio.CancelScope(shield=True), anyio.move_on_after(_AGAIN_SECONDS):
                    await guarded(batches.aclose)  # type: ignore[attr-defined]

    async def _take(self, batch: Sequence[Event]) -> None:
        """Apply events, some in each turn of the loop; wait where a listener holds up who puts events."""
        parts = self._parts
        for first in range(0, len(batch), _BATCH):
            self._waiting = batch[first:]
            while parts.fanout.blocks():  # noqa: ASYNC110 - rare, and what ends it sets no event
                await anyio.sleep(_BLOCKED_SECONDS)
            self.apply(batch[first : first + _BATCH])
            if self._ring.first > self._journal.next_seq:
                await guarded(self._journal.prepare)  # what the ring has let go of is read in the journal
            await anyio.lowlevel.checkpoint()
        self._waiting = ()

    def apply(self, events: Sequence[Event]) -> None:
        """Apply events that are committed."""
        expected = self._ring.applied.value
        ingress = self._pipeline.ingress
        for event in events:
            if event.seq != expected:
                raise LogDamaged(
                    f"event {event.seq} came where {expected} should be: the journal {self._journal.path} has lost"
                    " some, or is another one; start this hub again",
                    path=self._journal.path,
                )
            if event.hub != ingress.hub_id:
                if ingress.hub_id:
                    raise LogDamaged(
                        f"event {event.seq} is one of hub {event.hub}, and those before it of {ingress.hub_id}: the"
                        f" journal {self._journal.path} is another one by now; start this hub again",
                        path=self._journal.path,
                    )
                ingress.hub_id = event.hub
            if type(event) is HubStarted:
                self._leader = f"process {event.pid} on {event.host}"
            elif type(event) is HubStopped:
                self._leader = None
            expected += 1
        self._pipeline.follow(events)
        self._newest = Mark(events[-1].seq, events[-1].id, "this hub followed it")

    # -- taking the lead --

    async def take_possession(self) -> None:
        """Open the journal. If that raises, or is cancelled, the hub has no possession of it, and has to go on.

        From then on no other hub can append. The state lacks the last events: :meth:`catch_up`.
        """
        await self.leave()
        await self._journal.open()

    async def catch_up(self) -> None:
        """Apply the last events of the journal, which is open: nothing can come after them."""
        parts, start = self._parts, self._ring.applied.value
        self.has_led = True
        parts.core.recall.renew = None
        if parts.fanout.replays is not None:
            parts.fanout.replays.renew()
        events: list[Event] = []
        async for event in self._upkeep.take_up(start, self._newest):
            events.append(event)
            if len(events) == _BATCH:
                self.apply(events)
                events = []
                await anyio.lowlevel.checkpoint()
        if events:
            self.apply(events)
        if self._ring.applied.value != self._journal.next_seq:
            raise JournalBehind(
                f"this hub has followed up to event {self._ring.applied.value - 1}, but the journal"
                f" {self._journal.path} ends before event {self._journal.next_seq}: it has lost its end, or is another"
                " one. Nothing was changed; restore the journal from a copy",
                path=self._journal.path,
            )

    # -- reports --

    def statistics(self) -> FollowingStatistics | None:
        """Return how the hub follows; None if it does not any more."""
        if self._pipeline.lifecycle.phase is not Phase.FOLLOWING:
            return None
        waiting = self._waiting
        return FollowingStatistics(
            leader=self._leader,
            events_behind=max(len(waiting), self._journal.next_seq - self._ring.applied.value, 0),
            seconds_behind=self._age_seconds(waiting[0]) if waiting else 0.0,
            silent_seconds=monotonic() - self._heard_at,
            error=None if self._error is None else text_of(self._error),
        )

    def _age_seconds(self, event: Event) -> float:
        return max(0.0, (self._parts.clock.now_ns() - deadline_ns(event.at, 0)) / 1e9)

    def problems(self) -> list[str]:
        """Return why what is read here may be old."""
        found = self.statistics()
        if found is None:
            return []
        if found.error is not None:
            return [f"the journal cannot be followed, so that what this hub shows gets old: {found.error}"]
        if found.silent_seconds >= SILENT_SECONDS:
            silent = f"no hub that leads was heard of for {found.silent_seconds:.0f} s"
            return [f"{silent}: start one, or let this one lead, by await hub.lead()"]
        return []

    def notes(self) -> tuple[str, ...]:
        """Return what is worth knowing."""
        found = self.statistics()
        if found is None:
            return ()
        whom = "another hub" if found.leader is None else f"the hub in {found.leader}"
        behind = f"{found.events_behind} events and {found.seconds_behind:.1f} s behind"
        return (f"it follows {whom}, and is {behind}; it takes no commands",)


def following_of(parts: Parts) -> Following:
    """Return what lets a hub follow; raise :class:`~hubwire.errors.ConfigurationError` if its journal cannot be."""
    journal = parts.journal
    followed = None if journal is None else shared(journal)
    if followed is None or parts.upkeep is None:
        have = "it is in memory alone" if journal is None else f"its journal is a {type(journal).__name__}"
        raise ConfigurationError(
            "hub.follow() needs a journal that other programs can follow, such as JetStreamJournal; of this hub,"
            f" {have}"
        )
    return Following(parts, followed, parts.upkeep)


async def _next_of(batches: AsyncIterator[Sequence[Event]]) -> Sequence[Event] | None:
    """Return the next batch, None at the end. Only an ``Exception`` comes out, unless the task is cancelled.

    A hub that follows waits here for most of its life, so that here it is cancelled when its loop is ended under it.
    """
    try:
        return await anext(batches, None)
    except BaseException as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and (_is_scope_cancelled() or (task and task.cancelling())):
            raise
        failure = failure_of(error)
        if failure is error:
            raise
        raise failure from error


def _is_scope_cancelled() -> bool:
    return anyio.current_effective_deadline() == -math.inf


def _failure_of(error: Exception) -> HubFailed:
    """Return what a hub fails with that cannot follow any more, because of an error that is not to pass."""
    if isinstance(error, HistoryGone):
        what = (
            "this hub has come so far behind the one it follows that the events which come next are no longer in the"
            " journal; make it anew: it begins from the newest snapshot"
        )
    else:
        what = f"this hub cannot follow any more ({text_of(error)}); make it anew when its cause is mended"
    failure = HubFailed(what)
    failure.__cause__ = error
    return failure
