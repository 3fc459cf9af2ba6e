"""An attachment: one listener on one hub, at its own place in the stream, in its own task, with its own duty."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import anyio
import attrs
from anyio.abc import TaskGroup

from .. import context
from .._commit.held import Around, HeldCall
from .._foreign.guards import is_cancelled, text_of
from .._head import Head
from .._journal.history import Mark
from .._journal.positions import Handled
from ..errors import ConfigurationError, HubClosed
from ..events import Event
from ..ports import Clock
from .adapted import Adapted
from .cursor import Cursor
from .duties import Departure, DutyRules, Tools, rules_of
from .duty import Duty, Overflow
from .giving_up import LettersOf
from .handling import Handler
from .holdings import Holdings
from .host import Host
from .life import AttachmentState, Life
from .matcher import matcher_of
from .place import Entry, Place, start_of
from .reading import Reading
from .reports import AttachmentStatistics, Reports
from .settings import Settings, Since
from .wiring import reading_of, surroundings_of

__all__ = ("Attachment", "AttachmentState", "Settings", "Since")

_LOOK_SECONDS = 0.05
"""How often a hub that is closed looks whether a listener fails: that is no move in its life, which would wake it."""


class Attachment:
    """One listener on one hub. :meth:`hubwire.Hub.attach` makes it."""

    def __init__(self, host: Host[Attachment], listener: Adapted, settings: Settings) -> None:
        self.name: str = settings.name
        self.duty: Duty = settings.duty
        self.overflow: Overflow = settings.overflow
        self.mailbox: int = settings.mailbox
        self._host = host
        self._listener = listener
        self._settings = settings
        self._life = Life()
        self._reports = Reports(settings.name, host.announcements)
        rules = rules_of(settings.duty, settings.overflow)
        held = host.pipeline if rules.holds_commit or rules.holds_emitters else None
        self._letters = letters = LettersOf(host.letters, settings.name, settings.duty)
        listener.connect(surroundings_of(settings, self._reports, letters, host, held))
        self._handler = Handler(listener, settings.timeout, host.clock, self._reports, held)
        matcher = matcher_of(
            settings.pattern,
            settings.filters,
            about=None if rules.sees_itself else settings.name,
            newest_about=lambda: host.announcements.newest_seq,
        )
        self.pattern: tuple[str, ...] = matcher.patterns
        self.selected: Callable[[Sequence[Event]], Sequence[Event]] = matcher.select
        """Returns those of some events that the listener gets."""
        pipeline = host.pipeline
        limit = rules.limit(pipeline.ring)
        cursor = Cursor(pipeline.ring, host.replays, limit, matcher, possession=pipeline.possession)
        self._place = Place(cursor, partial(host.moved, self))
        tools = Tools(self._handler, self._reports, self._place, pipeline, host.clock, letters)
        self.rules: DutyRules = rules(settings, tools)
        caught_up = partial(host.caught_up, self)
        self.reading: Reading = reading_of(listener, settings, self.rules, tools, self._life, caught_up)
        self._scope: anyio.CancelScope | None = None
        self._holdings = Holdings(listener, self._place, self._reports)

    # -- for the user --

    @property
    def listener(self) -> Any:
        """The listener as it was attached: an object, or the function itself."""
        return self._listener.candidate

    @property
    def metadata(self) -> Mapping[Any, Any]:
        """What the program has said of it: ``attach(..., metadata={"team": "billing"})``. It is not for hubwire."""
        return MappingProxyType(self._settings.metadata)

    @property
    def clock(self) -> Clock:
        """The clock of the hub."""
        return self._host.clock

    @property
    def tenant(self) -> str | None:
        """The tenant that has attached it: see :meth:`hubwire.TenantHub.attach`. None: the program itself."""
        return None if self._settings.filters is None else self._settings.filters.owner

    def __repr__(self) -> str:
        return f"Attachment(name={self.name!r}, duty={self.duty.value}, state={self.state.value})"

    @property
    def is_muted(self) -> bool:
        """Whether events go past the listener now: see :meth:`mute`."""
        return self._handler.is_muted

    @property
    def state(self) -> AttachmentState:
        """Where the attachment is in its life."""
        return self._life.state

    @property
    def done(self) -> int:
        """Events below this ``seq`` are handled, or were dropped, or do not match."""
        return self._place.done

    @property
    def begins_seq(self) -> int | None:
        """The ``seq`` of the first event that the listener may get; None as long as it has no place."""
        return self._place.start

    @property
    def missed(self) -> tuple[int, int] | None:
        """The ``seq`` of the first and the last event that a DURABLE listener will never see; None if there are none.

        They are no longer in the journal: the listener was away, suspended or too slow while the journal outgrew its
        bound.
        """
        return self.reading.missed

    @property
    def suspension(self) -> Exception | None:
        """Why a DURABLE listener gets no more events."""
        return self._life.suspension

    @property
    def failure(self) -> Exception | None:
        """Why the listener could not be entered, placed, or given its events."""
        return self._life.failure

    @property
    def hub_id(self) -> str | None:
        """The id of the hub whose events the listener holds, if it holds any and says so."""
        return None if self._place.entry is None else self._place.entry.hub_id

    def statistics(self) -> AttachmentStatistics:
        """Return the numbers of this attachment, now."""
        return AttachmentStatistics(
            name=self.name,
            duty=self.duty,
            state=self.state,
            position=self.done,
            lag=self._place.lag,
            still_running=self._handler.still_running,
            is_muted=self.is_muted,
            dead_letters=self._letters.count,
            withheld=self._listener.withheld,
            **attrs.asdict(self._reports.count),
        )

    def problem(self) -> str | None:
        """Return what the listener is owed and does not get, or does wrong, and what to do; None if all is well."""
        name, state = f"listener {self.name!r}", self.state
        if state is AttachmentState.SUSPENDED and (error := self.suspension) is not None:
            remedy = "; attachment.resume() lets it go on, resume(skip_missed=True) after that event"
            return f"{name} is suspended at event {self.done}: {text_of(error)}{'' if self.missed else remedy}"
        if (trouble := self.reading.problem()) is not None:
            return f"{name} {trouble}"
        if state is AttachmentState.CATCHING_UP:
            return f"{name} has not caught up yet: {self._place.lag} events to go; await attachment.ready()"
        if running := self._handler.still_running:
            return f"{name} has {running} calls that took too long and still run: mend what they wait for"
        if (said := self._listener.problem) is not None:
            return f"{name} says: {said}"
        if count := self._listener.withheld:
            what = "it could not redact them: the log of the program says which rule fails"
            return f"{name} has left out the contents of {count} events or records, because {what}"
        return None

    async def ready(self) -> None:
        """Return when the listener has caught up with the present.

        From then on, the commit waits for a REQUIRED listener, and a DURABLE one goes on from its place after a crash.
        Raises the error for which the listener could not be entered, placed, or given its events, or was suspended, and
        :class:`~hubwire.errors.HubClosed`, or what the hub failed with, if that ended before it had a place.
        """
        at_rest = (AttachmentState.RUNNING, AttachmentState.SUSPENDED, AttachmentState.DETACHED)
        await self._life.until(lambda: self.state in at_rest)
        await self.drain(self._place.limit)
        if self.rules.keeps_position and self.is_placed:
            await self._host.save_position(self)
        if (error := self.failure or self.suspension) is not None:
            raise error
        if self.state is AttachmentState.DETACHED:
            lifecycle = self._host.pipeline.lifecycle
            if self.is_required:
                lifecycle.check_not_failed()
            if not self.is_placed and not self._life.is_stopping:
                lifecycle.check_not_failed()
                raise HubClosed(f"the hub has ended, or did not start, before listener {self.name!r} had its place")

    async def detach(self) -> None:
        """Detach the listener after the batch it is at; a REQUIRED one after all events journaled until now.

        Called by the listener itself, this returns at once. The position of a DURABLE listener is kept, and the
        journal for it: attached again under its name, it goes on from there. :meth:`hubwire.Hub.forget` ends that.
        """
        self.begin_to_detach()
        if not self.is_calling():
            await self.finished()

    def mute(self) -> None:
        """Let events go past the listener, which is not called with them, from the next one on: until :meth:`unmute`.

        They count as handled: the commit does not wait, and a position moves on. :meth:`statistics` has their number.
        An object that takes batches has its present one to the end. A mute is not kept: after a restart it is over.
        Raises :class:`~hubwire.errors.ConfigurationError` for a listener that keeps its own position, as an audit log:
        it would have a gap that it does not know of.
        """
        if self._listener.keeps_position:
            raise ConfigurationError(
                f"listener {self.name!r} keeps its own position, and muted it would miss events for good; detach it"
            )
        self._handler.mute(is_muted=True)

    def unmute(self) -> None:
        """Call the listener again, from the next event on; those that went past it do not come again."""
        self._handler.mute(is_muted=False)

    def resume(self, *, skip_missed: bool = False) -> None:
        """Let a suspended listener go on with the event at which it failed, or to which it did not get.

        A listener that is not suspended is left alone. If the journal no longer holds the next events, this raises
        :class:`~hubwire.errors.HistoryGone`, and :attr:`missed` says which they are. With ``skip_missed``, the listener
        goes on with the oldest event held, or after the one at which it failed; those it misses are counted as dropped,
        and reported by ``mailbox.overflowed``. Raises :class:`~hubwire.errors.HubClosed` if it is detached.
        """
        if self.state is AttachmentState.DETACHED:
            raise HubClosed(f"listener {self.name!r} is detached, or its hub closed; attach it again")
        if self.state is not AttachmentState.SUSPENDED:
            return
        self.reading.resume(skip_missed=skip_missed)

    # -- for the hub --

    def is_on(self, host: object) -> bool:
        """Return whether this is the host of the attachment."""
        return self._host is host

    @property
    def is_leaving(self) -> bool:
        """Whether the listener is detached, or is to be."""
        return self._life.is_stopping or self.state is AttachmentState.DETACHED

    def begin_to_detach(self) -> None:
        """Let the listener come to its end, as :meth:`detach` says."""
        if self._scope is None:
            self._life.stop(0)
            self._host.forget(self)
        else:
            self.stop(self.rules.detach_end)

    @property
    def is_function(self) -> bool:
        """Whether the listener is a function, or several."""
        return self._listener.form.is_function

    @property
    def is_required(self) -> bool:
        """Whether the commit waits for the listener."""
        return self.rules.holds_commit

    @property
    def is_durable(self) -> bool:
        """Whether the hub keeps the listener's position."""
        return self.rules.keeps_position

    @property
    def is_of_leader(self) -> bool:
        """Whether the listener is called by the hub that leads, alone: not by those that follow it."""
        return self.is_required or self.is_durable

    @property
    def is_entered(self) -> bool:
        """Whether the listener's context was entered."""
        return self._place.entry is not None

    @property
    def is_placed(self) -> bool:
        """Whether the listener has its place: ``done`` has no meaning before."""
        return self._place.start is not None

    @property
    def last_seq(self) -> int | None:
        """The position that the listener keeps itself, as it was when the listener was entered."""
        return self._place.last_seq

    @property
    def owed(self) -> int:
        """Events below this ``seq`` need not be kept for the listener: it has handled them, and holds their effects."""
        return self._holdings.owed(has_ended=self._handler.has_ended)

    @property
    def handled(self) -> Handled | None:
        """How far the listener had come when it said last which event it holds; None if it keeps no position."""
        return self._holdings.handled

    @property
    def head(self) -> Head | None:
        """The head of the log that the listener writes, if it writes one."""
        return self._listener.head

    @property
    def mark(self) -> Mark | None:
        """The last event that the listener says it holds, so that the journal has to; None if it does not say."""
        return self._holdings.mark

    def suspend_if_missing(self) -> None:
        """Give a DURABLE listener no more events if the next one is no longer held."""
        self.reading.suspend_if_missing()

    def is_calling(self) -> bool:
        """Return whether this code runs inside a call of the listener, or in a task that such a call started."""
        return self._handler.is_calling()

    def stop(self, end: int, failure: Exception | None = None) -> None:
        """Stop once the events below ``end`` are handled, or after the present batch if they are."""
        self._life.stop(end, failure)
        self._handler.stop(end)
        self._place.wake()

    def cancel(self) -> None:
        """Stop in the middle of what the listener is doing."""
        if self._scope is not None:
            self._scope.cancel()

    def cut(self) -> None:
        """Wait for the listener no longer, not even for its end: there is no time left."""
        self._handler.cut()

    def start_in(self, tasks: TaskGroup, around: Around, now: int | None) -> None:
        """Start, while the hub runs, inside the calls that the hub is inside: see :meth:`run`.

        The turn in which a listener is attached waits at most for its entry; another listener may wait for its calls.
        """
        self._handler.attached_in = Around()
        with around.entered(but=HeldCall):
            tasks.start_soon(self.run, now)

    def forgotten(self) -> None:
        """The listener was not entered, and will not be."""
        self._life.detach()

    async def drain(self, end: int) -> None:
        """Return when the events below ``end`` are handled, or when the listener is suspended or detached."""
        at_rest = (AttachmentState.SUSPENDED, AttachmentState.DETACHED)
        self.reading.hurry(end)
        await self._life.until(lambda: self.done >= end or self.state in at_rest)

    async def drain_to_close(self, end: int) -> None:
        """As :meth:`drain`, but do not wait for a listener that fails again and again: its place is kept."""
        while self.done < end and not self.rules.is_failing:
            with anyio.move_on_after(_LOOK_SECONDS):
                await self.drain(end)
                return

    async def entered(self) -> None:
        """Return when the listener has been entered, or could not be."""
        await self._life.until(lambda: self.is_entered or self.state is AttachmentState.DETACHED)

    async def finished(self) -> None:
        """Return when the listener has been left."""
        await self._life.until(lambda: self.state is AttachmentState.DETACHED)

    # -- its life --

    async def run(self, now: int | None = None) -> None:
        """Enter the listener, let it work from its place until it is to stop, and leave it.

        ``now`` is the ``seq`` at which it was attached; None if that was before the hub was started.
        """
        if self.state is AttachmentState.DETACHED:
            return
        context.leave_all()
        departure = Departure("it was cancelled, not being done when the hub closed")
        try:
            with anyio.CancelScope() as self._scope:
                departure = await self._stay(now)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and is_cancelled():
                raise
            departure = Departure(f"its task ended: {text_of(error)}")
            self.rules.crashed(departure.reason, self.done)
            if not isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._handler.end()
            self._host.remove(self, departure.reason)
            self._life.detach(departure.failure)

    async def _stay(self, now: int | None) -> Departure:
        """Enter the listener, let it work, and leave it; return why it is detached."""
        life, handler = self._life, self._handler
        try:
            last_seq, last_id, hub_id = await handler.enter(self.rules.enter_seconds_max)
        except Exception as error:  # noqa: BLE001 - any error of the listener is its own failure
            return Departure(f"it could not be entered: {text_of(error)}", error)
        try:
            self._place.enter(Entry(last_seq, now, last_id, hub_id))
            await self._host.check_history(self)
            if self.failure is None:
                self._host.place_if_numbered(self)
            life.wake()
            await life.until(lambda: self.is_placed or life.stop_at == 0)
            return await self.reading.work()
        finally:
            await handler.leave()

    def place(self) -> None:
        """Take the place that ``last_seq()``, the position kept, or ``since`` names, in a ring that is numbered.

        Raises :class:`~hubwire.errors.JournalBehind` if that is beyond the end,
        :class:`~hubwire.errors.HistoryGone` if a REQUIRED listener has not seen what the journal no longer holds, and
        :class:`~hubwire.errors.ConfigurationError` if the listener holds another hub's events.
        """
        pipeline, place = self._host.pipeline, self._place
        if self.hub_id not in (None, pipeline.hub_id):
            raise ConfigurationError(
                f"listener {self.name!r} holds events of hub {self.hub_id}, but this is hub {pipeline.hub_id}; give"
                " each hub logs of its own"
            )
        kept = self._host.position_of(self.name) if self.rules.keeps_position else None
        start, first_seq = start_of(self._settings, place, kept, pipeline.ring.applied.value), place.cursor.first_seq
        if start < first_seq <= self._host.handled_by(self.name, place.last_seq):
            start = first_seq  # what is not held any more did not match
        self.rules.check_start(start, first_seq)
        self._holdings.begin(start)
        self.reading.go_from(start)
