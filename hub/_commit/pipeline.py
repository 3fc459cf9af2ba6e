"""The way of an event from a command to its commit: admission, ingress, applying, the ring, the journal.

There is no ``await`` between deciding and applying: no lock is needed, no check goes stale, and the order of ``seq`` is
the order of the ring.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from .. import context
from .._foreign.guards import guarded_call, text_of
from ..codec import size_of
from ..errors import HubClosed, HubFailed, JournalFailed, Overloaded, QuotaExceeded
from ..events import Event
from ..limits import Limits
from ..ports import Clock, Journal
from .admission import Admission
from .append_times import AppendTimes
from .commits import CommitWaiters, never_committed
from .held import is_inside, may_be_inside
from .ingress import Ingress
from .journaling import Downstream, FullStores, run_journal, shared
from .phase import MOVES, Lifecycle, Phase
from .possession import Possession
from .ring import Ring
from .weights import LIGHT

if TYPE_CHECKING:
    from .meter import Meter  # imported with the first tenant

__all__ = ("Pipeline",)

E = TypeVar("E", bound=Event)

_YIELD_EVERY = 128
"""In memory, emitters let other tasks run when so many events were put since they did, or half a batch of bytes."""
_MAY_FAIL = frozenset(phase for phase, next_phases in MOVES.items() if Phase.FAILED in next_phases)
_OPEN = Phase.OPEN  # looking a member up costs as much as a call

_running_loop = asyncio._get_running_loop  # noqa: SLF001 - exported by asyncio; None where no loop runs, instead of an error


class Pipeline:
    """Takes events in, in order, until they are journaled; the fan-out says when they are committed."""

    def __init__(
        self,
        ring: Ring,
        apply: Callable[[Event], None],
        journal: Journal | None,
        clock: Clock,
        lifecycle: Lifecycle,
        limits: Limits,
    ) -> None:
        """``apply`` brings the state machines to a stamped event; it cannot fail."""
        self.ring = ring
        if journal is None:
            ring.journaled = ring.applied  # what has nowhere to be written is journaled as soon as it is applied
        self.lifecycle = lifecycle
        self.ingress: Ingress = Ingress(clock, limits.event_bytes_max)
        self.admission: Admission
        self.full_stores: FullStores = FullStores(clock)
        self.possession: Possession | None = (
            None if journal is None else Possession(journal, clock, lifecycle, self.fail)
        )
        self.watchers: dict[type[Event], list[Callable[[Any], None]]] = {}
        """Called at once with each applied event of a kind, in this order, and in this process only."""
        self.meter: Meter | None = None
        """What counts for tenants, and knows their quotas; None while there are no tenants."""
        self.append_times: AppendTimes | None = None if journal is None else AppendTimes()
        self.offers_dropped: int = 0
        self._apply = apply
        self._journal = journal
        self._limits = limits
        self._tell_followers: Callable[[int], None] | None = None
        """Has the journal tell those that follow it how far is committed; None if no other program can follow it."""
        self._downstream: Downstream
        self._commits = CommitWaiters()
        self._turn = _Turn(self.ring, limits.batch_bytes_max // 2)

    def connect(self, downstream: Downstream) -> None:
        """Say, once and before the start, what comes after the journal."""
        self._downstream = downstream
        self.admission = Admission(self.ring, self.lifecycle, self._limits, downstream.blocks)

    @property
    def hub_id(self) -> str:
        """The ``hub`` of every event; empty before the hub has found or made its id."""
        return self.ingress.hub_id

    # -- commands --

    async def emit(self, events: Sequence[E]) -> list[E]:
        """Do with a caller's events what :meth:`execute` does with those that a command decides on."""
        return await self.execute(lambda: events, are_own=False)

    async def execute(self, decide: Callable[[], Sequence[E]], *, are_own: bool = True) -> list[E]:
        """Admit, decide, put, and wait for the commit; return the stamped events.

        In a listener that the commit waits for, return as soon as the events are applied. A command that decides on no
        events has been admitted, and that is all.
        """
        admission = self.admission
        if may_be_inside() and is_inside(self):
            admission.check_reserve()
            return self.put(decide(), are_own=are_own, has_quota=True)
        if admission.is_free:
            self._check_open()
        else:
            await admission.wait_for_room()
        try:
            events = self.put(decide(), are_own=are_own, has_quota=True)
        except QuotaExceeded as refused:
            await self.until_told(refused)
            raise
        finally:
            # A command that was refused leaves its room to the next.
            admission.let_in()
        if events:
            await self.until_committed(events[-1].seq)
        return events

    def execute_now(self, decide: Callable[[], Sequence[E]]) -> list[E] | None:
        """Carry out a command without a wait, also for its commit; None, without effect, if it had to be admitted."""
        if may_be_inside() or not self.admission.is_free or self.meter is not None:
            return None
        self._check_open()
        try:
            return self.put(decide())
        finally:
            self.admission.let_in()

    def put_nowait(self, events: Sequence[E]) -> list[E]:
        """Admit and put a caller's events; raise :class:`Overloaded` instead of waiting. They are not committed yet."""
        if may_be_inside() and is_inside(self):
            self.admission.check_reserve()
        else:
            lifecycle = self.lifecycle
            if lifecycle.phase is not _OPEN or lifecycle.home.loop is not _running_loop():
                lifecycle.check_open()
            if not self.admission.is_free:
                self.admission.check_room_now()
        return self.put(events, are_own=False, has_quota=True)

    def offer(self, events: Sequence[Event]) -> bool:
        """Put events if they can be taken now; otherwise drop and count them, and return False."""
        try:
            self.put_nowait(events)
        except (Overloaded, HubClosed, HubFailed):
            self.offers_dropped += 1
            return False
        return True

    def put(
        self,
        events: Sequence[E],
        around: context.Context | None = None,
        *,
        are_own: bool = True,
        has_quota: bool = False,
    ) -> list[E]:
        """Take events through ingress, apply them and put them on the ring, without admission. All of them or none.

        ``around`` is the context that they inherit: by default, that of the running code. ``are_own``: they were made
        for this, and are stamped without being copied. ``has_quota``: they are a command's, which a quota may refuse.
        """
        if not events:
            return []
        around = context.current() if around is None else around
        stamped = self.ingress.stamp(events, self.ring.applied.value, around, are_own=are_own)
        if self.meter is not None:
            self.count(stamped, are_own=are_own, has_quota=has_quota)
        return self.put_stamped(stamped)

    def count(self, stamped: Sequence[Event], *, are_own: bool, has_quota: bool) -> None:
        """Count events for their tenants; report and raise if they are a command's that is beyond a quota."""
        meter = self.meter
        if meter is None:
            return
        refused = meter.breach(stamped, are_own=are_own) if has_quota else None
        if refused is not None:
            meter.to_report(refused, self._put_report)
            raise refused
        meter.count(stamped)

    def _put_report(self, event: Event) -> Event:
        return self.put_stamped(self.ingress.stamp((event,), self.ring.applied.value, context.EMPTY, are_own=True))[0]

    async def until_told(self, refused: QuotaExceeded) -> None:
        """Return when the report of a breach has committed: the caller learns of it after the log."""
        if refused.seq is not None:
            with suppress(HubClosed, HubFailed):
                await self.until_committed(refused.seq)

    def put_stamped(self, events: list[E]) -> list[E]:
        """Apply events that went through ingress now, and put them on the ring; return them."""
        ring, apply, watchers = self.ring, self._apply, self.watchers
        for event in events:
            if event._weight >= LIGHT:  # noqa: SLF001 - stamping left it for us
                ring.weigh(event.seq, event._weight)  # noqa: SLF001
            apply(event)
            if (of_kind := watchers.get(type(event))) is not None:
                for watch in of_kind:
                    watch(event)
        ring.put(events)
        self._downstream.after_put()
        return events

    def follow(self, events: Sequence[Event]) -> None:
        """Apply events that the hub which leads has committed, and put them on the ring. They go on from the last."""
        ring, apply, watchers = self.ring, self._apply, self.watchers
        for event in events:
            if (weight := size_of(event)) >= LIGHT:
                ring.weigh(event.seq, weight)
            apply(event)
            if (of_kind := watchers.get(type(event))) is not None:
                for watch in of_kind:
                    watch(event)
        ring.put(events)
        self.ingress.time.at = events[-1].at
        end = ring.applied.value
        ring.journaled.advance(end)
        self.commit(end)
        self._downstream.after_put()

    def resume_at(self, at: str) -> None:
        """Stamp events later than this: the newest event of the snapshot that was restored."""
        self.ingress.time.at = at

    def replay(self, event: Event) -> None:
        """Apply an event of the journal, when the hub starts."""
        self._apply(event)
        self.ingress.time.at = event.at

    def _check_open(self) -> None:
        lifecycle = self.lifecycle
        if lifecycle.phase is not _OPEN or lifecycle.home.loop is not _running_loop():
            lifecycle.check_open()

    # -- commit --

    def is_held_by_caller(self) -> bool:
        """Tell whether this code runs inside a listener that the commit waits for, and so must not wait for it."""
        return is_inside(self)

    async def until_committed(self, seq: int) -> None:
        """Return when the event ``seq`` is committed; at once inside a listener that the commit waits for.

        Raises what the hub failed with, or :class:`~hubwire.errors.HubClosed` if it was closed before.
        """
        ring = self.ring
        committed = ring.committed
        if committed.value > seq:
            # The wait is over before it began, in memory: let the listeners run before their mailboxes overflow.
            turn = self._turn
            if ring.applied.value >= turn.seq_end or ring.weights.total >= turn.bytes_end:
                turn.end()
                # Twice: what waits for the commit is woken in the first turn, and its listener called in the second.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            return
        if may_be_inside() and is_inside(self):
            return
        self.lifecycle.check_not_failed()
        if committed.ended:
            raise never_committed(seq)
        await self._commits.add(seq)

    def is_settled(self, seq: int) -> bool:
        """Tell whether :meth:`until_committed` would return without letting other tasks run."""
        ring, turn = self.ring, self._turn
        return ring.committed.value > seq and ring.applied.value < turn.seq_end and ring.weights.total < turn.bytes_end

    def commit(self, value: int) -> None:
        """Events below ``value`` are committed: wake the tasks that wait for them."""
        ring = self.ring
        if value <= ring.committed.value or self.lifecycle.failure is not None:
            return
        ring.committed.advance(value)
        if self._commits.waiting:
            self._commits.wake_below(value)
        if self.admission.waiting:
            self.admission.let_in()
        if self._tell_followers is not None:
            self._told_followers(self._tell_followers, value)

    def _told_followers(self, tell: Callable[[int], None], value: int) -> None:
        try:
            guarded_call(tell, value)
        except Exception as error:  # noqa: BLE001 - a journal is a guest, and those that follow would stand still
            failure = JournalFailed(f"the journal could not be told what is committed ({text_of(error)})")
            failure.__cause__ = error
            self.fail(failure)

    # -- life --

    async def run_journal(self) -> None:
        """Append what is applied to the journal for as long as the hub runs."""
        journal, times = self._journal, self.append_times
        assert journal is not None
        assert times is not None
        followed = shared(journal)
        self._tell_followers = None if followed is None else followed.committed
        await run_journal(journal, self.ring, self.full_stores, self._downstream, self.fail, times)

    def fail(self, failure: HubFailed, *, is_logged: bool = True) -> None:
        """Stop for good: every task that waits for admission or a commit gets the failure. The first failure counts."""
        if not self.lifecycle.fail(failure, is_logged=is_logged):
            return
        self.admission.refuse_all(failure)
        self.end()
        self._downstream.after_failure()

    def fail_unless_ended(self, failure: HubFailed) -> None:
        """Stop for good, as :meth:`fail` does, if events are or may be under way."""
        if self.lifecycle.phase in _MAY_FAIL:
            self.fail(failure)

    def end(self) -> None:
        """No watermark moves any more: end all waits."""
        for watermark in (self.ring.applied, self.ring.journaled, self.ring.committed):
            watermark.end()
        self._commits.end(self.lifecycle.failure)


class _Turn:
    """What was put since emitters last let other tasks run."""

    def __init__(self, ring: Ring, bytes_max: int) -> None:
        self._ring = ring
        self._bytes_max = bytes_max
        self.seq_end: int = _YIELD_EVERY
        """The ``seq`` that ends the turn."""
        self.bytes_end: int = bytes_max
        """The weight of all events that ends it, if that comes first."""

    def end(self) -> None:
        """Begin the next one."""
        self.seq_end = self._ring.applied.value + _YIELD_EVERY
        self.bytes_end = self._ring.weights.total + self._bytes_max
