"""Reading: how a listener goes through the stream, from its place to the present and on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from .._foreign.guards import text_of
from ..errors import HistoryGone, HubClosed
from ..events import Event
from .again import Again, Answered
from .duties import Departure, DutyRules, Skip, Tools, left_behind, unreadable_text
from .gathering import Gatherer
from .handling import Failure
from .life import AttachmentState, Life, Resumption, Suspension
from .settings import Settings

__all__ = ("DETACHED", "Reading")

DETACHED = "detached"
"""The reason for the end of a listener that was meant to end."""


class Reading:
    """Reads events for one listener, and has them handled as its duty says."""

    def __init__(
        self,
        settings: Settings,
        rules: DutyRules,
        tools: Tools,
        life: Life,
        caught_up: Callable[[], None],
    ) -> None:
        """``caught_up`` is called each time the listener has reached the present."""
        self._settings = settings
        self._rules = rules
        self._place = tools.place
        self._cursor = tools.place.cursor
        self._life = life
        self._handler = tools.handler
        self._reports = tools.reports
        self._letters = tools.letters
        self._again: deque[Again] = deque()
        """Events that the listener is to get again, between two batches: dead letters of its own."""
        self._caught_up = caught_up
        self._is_over = False
        self._gatherer = Gatherer(settings, tools.place, life, tools.clock)

    def hurry(self, end: int) -> None:
        """Gather no longer while events below ``end`` are not handled."""
        self._gatherer.hurry(end)

    def problem(self) -> str | None:
        """Return what the listener is failing at just now, None if it is well."""
        return self._rules.problem() or self._handler.problem()

    # -- what the ring keeps --

    @property
    def kept_from(self) -> int | None:
        """The ``seq`` from which on the ring must keep events for the listener; None if it need not keep any."""
        is_running = self._life.state is AttachmentState.RUNNING
        return self._cursor.seq if is_running and self._rules.keeps_ring else None

    @property
    def may_drop(self) -> bool:
        """Whether the listener misses events that the ring does not keep, instead of reading them in the journal."""
        state = self._life.state
        catching_up = state is AttachmentState.CATCHING_UP and not self._cursor.reads_journal
        return self._rules.drops_oldest and (state is AttachmentState.RUNNING or catching_up)

    def drop_before(self, seq: int) -> None:
        """Let the listener miss the events below ``seq``, which are still on the ring."""
        cursor = self._cursor
        if seq > cursor.seq and (missed := cursor.pass_over(seq)):
            self._reports.dropped(len(missed), missed[0].seq, missed[-1].seq)
            self._letters.overflowed(len(missed), missed[0].seq, missed[-1].seq)

    # -- from the start to the stop --

    def go_from(self, start: int) -> None:
        """Take the place at which the listener starts."""
        self._life.move(AttachmentState.CATCHING_UP)
        self._place.go_from(start)
        self.suspend_if_missing()
        self._advance(start)

    async def work(self) -> Departure:
        """Read and handle until the listener is to stop; return why it ended."""
        try:
            return await self._work()
        finally:
            self._is_over = True
            while self._again:
                self._again.popleft().settle(None)

    async def _work(self) -> Departure:
        life, place, cursor, again = self._life, self._place, self._cursor, self._again
        while place.done < min(life.stop_at, self._handler.ends_at) and not cursor.ended:
            if again:
                if (departure := await self._deliver_again(again.popleft())) is not None:
                    return departure
            elif life.state is AttachmentState.SUSPENDED:
                if life.is_stopping:
                    break
                await life.until(lambda: bool(again) or life.state is not AttachmentState.SUSPENDED or life.is_stopping)
            elif life.halt is not None:
                self._take_up(life.take_up())
            elif cursor.behind <= 0:
                await cursor.wait()
            else:
                if (departure := await self._read_on()) is not None:
                    return departure
                if cursor.behind > 0:
                    await asyncio.sleep(0)  # a listener that never waits must not keep the loop for itself
        return Departure(DETACHED if life.failure is None else text_of(life.failure), life.failure)

    async def _read_on(self) -> Departure | None:
        """Have the listener handle the next events; return a departure if it is to be detached."""
        cursor, rules = self._cursor, self._rules
        if rules.drops_oldest and self._life.state is AttachmentState.RUNNING:
            self.drop_before(cursor.limit - self._settings.mailbox)
        try:
            events = await self._gatherer.take()
        except Exception as error:  # noqa: BLE001 - HistoryGone, or any error of a journal
            return await self._bear_unreadable(error)
        if events:
            self._place.delivered = events[-1].seq
        end = await rules.handle(events) if events else None
        if isinstance(end, Suspension):
            return self._suspend(end)
        if end is not None and self._rules.keeps_position:
            return end  # it goes on with the event at which it was, when it is attached again
        left_seq = self._handler.left_seq
        self._advance(cursor.seq if left_seq is None else left_seq)
        return end

    async def _bear_unreadable(self, error: Exception) -> Departure | None:
        """Do what the duty says when the next events cannot be read; return a departure if it ends here."""
        if isinstance(error, HistoryGone) and (missing := self._missing()) is not None:
            return self._suspend(missing, unreadable_text(error))
        end = await self._rules.unreadable(error, self._place.done)
        if isinstance(end, Skip):
            self._skip_to(end.first_seq)
            return None
        if isinstance(end, Suspension):
            return self._suspend(end, unreadable_text(error))
        return end

    def _advance(self, done: int) -> None:
        life = self._life
        if life.state is AttachmentState.CATCHING_UP and life.halt is None and self._is_level():
            life.move(AttachmentState.RUNNING)
            self._caught_up()
        self._place.advance(done)
        life.wake()

    def _is_level(self) -> bool:
        """Return whether the listener has caught up, so that from now on its duty counts.

        Without a journal there are no events behind the ring, so only a lossy listener can start behind the present.
        """
        cursor, rules = self._cursor, self._rules
        if not cursor.reads_journal and not rules.drops_oldest:
            return True
        return cursor.is_on_ring and cursor.behind <= rules.room

    # -- dead letters --

    @property
    def takes_old_events(self) -> bool:
        """Whether the listener can be given events that are older than those that it has."""
        return not self._settings.keeps_own_position

    async def deliver_again(self, events: Sequence[Event]) -> Failure | None:
        """Have the listener handle events again when it is done with its batch; return its failure.

        Raises :class:`~hubwire.errors.HubClosed` if it is detached before.
        """
        if self._is_over:
            raise _detached(self._settings.name)
        again = Again(events)
        self._again.append(again)
        self._place.wake()
        self._life.wake()
        try:
            answered = await again.answer
        finally:
            if again in self._again:
                self._again.remove(again)
        if answered is None:
            raise _detached(self._settings.name)
        return answered.failure

    async def _deliver_again(self, again: Again) -> Departure | None:
        answered: Answered | None = None
        try:
            answered = Answered(await self._call_again(again.events))
        finally:
            again.settle(answered)
        failure = answered.failure
        return left_behind(failure.error) if failure is not None and failure.is_final else None

    async def _call_again(self, events: Sequence[Event]) -> Failure | None:
        return await self._handler.call_again(events)

    # -- suspended and resumed --

    @property
    def missed(self) -> tuple[int, int] | None:
        """The ``seq`` of the first and the last event that a DURABLE listener will never see; None if it sees all."""
        return self._place.missed if self._rules.keeps_position else None

    def suspend_if_missing(self) -> None:
        """Give a DURABLE listener no more events if the next one is no longer held."""
        halt = self._life.halt
        if isinstance(halt, Resumption) and halt.skip_missed:
            return  # it goes on without them as soon as the batch that it is at has ended
        if (missing := self._missing()) is not None:
            self._suspend(missing)

    def resume(self, *, skip_missed: bool) -> None:
        """Let a suspended listener go on. Raises :class:`~hubwire.errors.HistoryGone` if it cannot without a gap."""
        if not skip_missed and (missing := self._missing()) is not None:
            raise missing.error
        halt = self._life.halt
        has_failed = isinstance(halt, Suspension) and halt.is_at_event
        self._rules.forget_failures()
        self._life.resume(Resumption(skip_missed, skip_missed and has_failed, self._life.suspension))
        self._reports.restarted()

    def _missing(self) -> Suspension | None:
        if (missed := self.missed) is None:
            return None
        first, last = missed
        error = HistoryGone(
            f"listener {self._settings.name!r} has missed events {first} to {last}, which the journal no longer holds;"
            " resume(skip_missed=True) lets it go on without them",
            first_seq=last + 1,
        )
        return Suspension("missed", error, first_seq_held=last + 1)

    def _suspend(self, suspension: Suspension, reason: str = DETACHED) -> Departure | None:
        """Suspend the listener. If it is to stop, return a departure instead: it may be attached again later."""
        if self._life.is_stopping:
            return Departure(reason)
        if self._life.state is not AttachmentState.SUSPENDED:
            self._life.suspend(suspension)
            self._reports.suspended(suspension, self._place.done)
            self._cursor.wake()
        return None

    def _take_up(self, resumption: Resumption) -> None:
        """Go on as :meth:`resume` asked."""
        missed = self.missed
        if missed is not None and resumption.skip_missed:
            self._skip_to(missed[1] + 1)
            return
        if resumption.skip_failed:
            self._skip_to(self._place.done + 1, resumption.error)
            return
        self.suspend_if_missing()
        self._cursor.jump(self._place.done)
        self._advance(self._place.done)

    def _skip_to(self, first_seq: int, error: Exception | None = None) -> None:
        """Go on at ``first_seq``, because the events before it are no longer held, or had led to an ``error``."""
        done = self._place.done
        self._reports.dropped(first_seq - done, done, first_seq - 1)
        self._letters.skipped(first_seq - done, done, first_seq - 1, error)
        self._cursor.jump(first_seq)
        self._advance(first_seq)


def _detached(name: str) -> HubClosed:
    return HubClosed(f"listener {name!r} was detached before it got the dead letter; attach it again")
