"""The fan-out: all attachments of a hub, and those that the commit or emitters wait for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup

from .._commit.held import Around
from .._commit.pipeline import Pipeline
from .._foreign.guards import text_of
from .._journal.history import Mark, event_at
from ..errors import (
    ConfigurationError,
    HistoryGone,
    HubClosed,
    HubError,
    HubFailed,
    JournalBehind,
    ListenerFailed,
)
from ..events import FrozenDict, ListenerAttached, ListenerDetached
from ..ports import Clock, Journal
from .adapted import Adapted
from .announcements import Announcements
from .attachment import Attachment, AttachmentState
from .letters import Letters
from .lost import Lost
from .reading import DETACHED
from .replays import Replays
from .settings import Options

if TYPE_CHECKING:
    from .._journal.upkeep import Upkeep  # imported only for a hub with a journal

__all__ = ("Fanout",)

_LEAST_SECONDS = 0.1
"""How long listeners have at least for what is left when the hub closes, though actors have used up the time."""

_GRACE_SECONDS = 0.1
"""How long listeners that are cancelled at a deadline have to end."""


class Fanout:
    """All attachments of a hub."""

    def __init__(self, pipeline: Pipeline, journal: Journal | None, clock: Clock, upkeep: Upkeep | None) -> None:
        self.pipeline = pipeline
        self.journal = journal
        self.replays: Replays | None = None if journal is None else Replays(journal)
        self.clock = clock
        self.announcements: Announcements = Announcements(pipeline, clock)
        self.letters: Letters = Letters(journal, clock, self.announcements)
        self.attachments: list[Attachment] = []
        self._unstarted: list[Attachment] = []
        """Those of them that wait for the hub: to be started, or to lead."""
        self.lost: Lost = Lost(clock)
        self.dropped_gone: int = 0
        """How many events were dropped for listeners that are detached now."""
        self._required: list[Attachment] = []
        self._blocking: list[Attachment] = []
        self._ring = pipeline.ring
        self._applied = pipeline.ring.applied
        self._journaled = pipeline.ring.journaled
        self._committed = pipeline.ring.committed
        self._tasks: TaskGroup | None = None
        self._around = Around()
        self._upkeep = upkeep

    # -- attaching --

    def _check_attachable(self, name: str) -> None:
        """Raise an error if a listener of this name cannot be attached."""
        lifecycle = self.pipeline.lifecycle
        lifecycle.check_not_failed()
        if not lifecycle.takes_listeners:
            raise HubClosed(f"the hub is closing, or closed; {name!r} cannot be attached any more")
        lifecycle.check_here()
        if any(other.name == name for other in self.attachments):
            raise ConfigurationError(f"a listener named {name!r} is attached already; give this one another name=...")

    def attach(self, listener: Any, options: Options, hub: object, *, in_loop: bool = False) -> Attachment:
        """Attach a listener and bind it: see :meth:`hubwire.Hub.attach`. It starts at once if the hub runs."""
        adapted = Adapted(listener, in_loop=in_loop)
        names = {attachment.name for attachment in self.attachments}
        settings = options.settings_for(adapted, names, has_journal=self.journal is not None)
        attachment = Attachment(self, adapted, settings)
        self._check_attachable(settings.name)
        adapted.bind(hub)
        adapted.bind_attachment(attachment)
        self._check_attachable(settings.name)  # binding is the listener's code, and may have attached another one
        self.attachments.append(attachment)
        if self._tasks is None or (self.pipeline.lifecycle.is_following and attachment.is_of_leader):
            self._unstarted.append(attachment)
        else:
            now = self._applied.value if self._ring.is_numbered else None
            attachment.start_in(self._tasks, self._around, now)
        return attachment

    def find(self, name: str) -> Attachment | None:
        """Return the attachment of this name, if there is one."""
        return next((each for each in self.attachments if each.name == name), None)

    def forget(self, attachment: Attachment) -> None:
        """Remove an attachment that was not entered."""
        if attachment in self.attachments:
            self.attachments.remove(attachment)
            self._unstarted = [each for each in self._unstarted if each is not attachment]
            attachment.forgotten()

    async def follow(self, tasks: TaskGroup) -> None:
        """Enter the listeners that a hub has which follows: those that no commit waits for, and no position is kept of.

        The ring is numbered: each works as soon as it was entered. The others are entered by :meth:`start`.
        """
        self._tasks, self._around = tasks, Around()
        attachments = [each for each in self._unstarted if not each.is_of_leader]
        self._unstarted = [each for each in self._unstarted if each.is_of_leader]
        for attachment in attachments:
            tasks.start_soon(attachment.run)
        for attachment in attachments:
            await attachment.entered()

    def forget_unstarted(self) -> None:
        """Remove the attachments that wait for the hub: it ends before it leads."""
        for attachment in tuple(self._unstarted):
            self.forget(attachment)

    def announce_followers(self) -> None:
        """Announce the listeners that were at work while the hub followed: it leads now, and puts events."""
        for attachment in self.attachments:
            if attachment.is_placed:
                self._announce(attachment)

    async def start(self, tasks: TaskGroup) -> None:
        """Enter the listeners attached so far, side by side. They read events after :meth:`go`.

        A hub that has followed has entered some before, and its ring is numbered: the others work at once.

        Raises :class:`~hubwire.errors.ListenerFailed` if a required listener could not be entered, or the error itself
        if it is one of ours, which says what to do.
        """
        self._tasks, self._around = tasks, Around()  # the hub may be run in a turn of another hub
        self.letters.start(tasks)
        attachments, self._unstarted = tuple(self._unstarted), []
        for attachment in attachments:
            tasks.start_soon(attachment.run)
        for attachment in attachments:
            await attachment.entered()
            if attachment.is_required and (error := attachment.failure) is not None:
                if isinstance(error, HubError):
                    raise error
                raise ListenerFailed(
                    f"the required listener {attachment.name!r} could not be entered ({text_of(error)}), so the hub"
                    " does not start: mend its cause, or attach it with another duty",
                    listener=attachment.name,
                ) from error

    def go(self) -> None:
        """Give the listeners their places and let them work. The ring is numbered by now."""
        for attachment in tuple(self.attachments):
            if not attachment.is_entered:
                continue
            if attachment.is_required or attachment.is_durable:
                self._place(attachment)
            else:
                self.place_if_numbered(attachment)

    def place_if_numbered(self, attachment: Attachment) -> None:
        """Give a listener that was entered later than :meth:`go` its place."""
        if self._ring.is_numbered:
            try:
                self._place(attachment)
            except (ConfigurationError, HistoryGone, JournalBehind) as error:
                attachment.stop(0, error)

    def _place(self, attachment: Attachment) -> None:
        attachment.place()
        self.lost.forget(attachment.name)
        self._announce(attachment)

    def _announce(self, attachment: Attachment) -> None:
        self.announcements.put(
            ListenerAttached(
                listener=attachment.name,
                duty=attachment.duty.value,
                pattern=attachment.pattern,
                since_seq=attachment.done,
            )
        )

    def position_of(self, name: str) -> int | None:
        """Return the position that is kept for a DURABLE name."""
        return None if self._upkeep is None else self._upkeep.positions.get(name)

    def handled_by(self, name: str, last_seq: int | None) -> int:
        """Return the ``seq`` below which a listener that holds ``last_seq`` is known to have handled what matches."""
        return 0 if self._upkeep is None else self._upkeep.positions.handled(name, last_seq)

    async def save_position(self, attachment: Attachment) -> None:
        """Keep the position of a DURABLE attachment whose name is new."""
        if self._upkeep is not None and not self._upkeep.positions.is_kept(attachment.name):
            await self._upkeep.save_positions()

    def caught_up(self, attachment: Attachment) -> None:
        """Let the commit or emitters wait for this attachment from now on, if its duty says so."""
        if attachment.rules.holds_commit:
            self._required.append(attachment)
        elif attachment.rules.holds_emitters:
            self._blocking.append(attachment)

    def remove(self, attachment: Attachment, reason: str) -> None:
        """Remove an attachment: neither the commit nor emitters wait for it any more."""
        if reason != DETACHED and self.pipeline.lifecycle.failure is None:
            self.lost.add(attachment, reason)
        self.dropped_gone += attachment.statistics().dropped
        for attachments in (self.attachments, self._required, self._blocking):
            if attachment in attachments:
                attachments.remove(attachment)
        self.announcements.put(ListenerDetached(listener=attachment.name, reason=reason))
        self.moved(attachment)

    # -- starting and stopping --

    def known_hub_id(self) -> str | None:
        """Return the id of the hub whose events the listeners hold; None if they hold none."""
        ids = (attachment.hub_id for attachment in self.attachments if attachment.is_entered)
        return next((hub_id for hub_id in ids if hub_id is not None), None)

    def marks(self, journal: Journal) -> list[Mark]:
        """Return the last events of the listeners that must not miss any, as far as the journal must have them.

        One beyond its end is found when the listener gets its place.
        """
        marks = [
            each.mark
            for each in self.attachments
            if (each.is_required or each.is_durable) and each.hub_id in (None, journal.hub_id)
        ]
        return [mark for mark in marks if mark is not None and mark.seq < journal.next_seq]

    async def check_history(self, attachment: Attachment) -> None:
        """Stop a listener that is entered while the hub runs, if it holds another event than the journal."""
        mark = attachment.mark
        if not self._ring.is_numbered or self.journal is None or mark is None:
            return
        try:
            if (event := await event_at(self.journal, mark.seq)) is not None:
                mark.check(event, self.journal)
        except JournalBehind as error:
            attachment.stop(0, error)

    def highest_position(self) -> int:
        """Return the highest ``last_seq()`` of all listeners; -1 if none has one."""
        return max((each.last_seq for each in self.attachments if each.last_seq is not None), default=-1)

    def problems(self) -> list[str]:
        """Return what listeners are owed and do not get, and what to do."""
        found = [problem for each in self.attachments if (problem := each.problem()) is not None]
        return [*self.lost.problems(), *found]

    def heads(self) -> FrozenDict | None:
        """Return the heads of the logs that listeners write, as text, by the listener's name; None without any."""
        heads = {each.name: str(head) for each in self.attachments if (head := each.head) is not None}
        return FrozenDict(heads) if heads else None

    def is_calling(self) -> bool:
        """Return whether this code runs inside a call of a listener, or in a task that such a call started."""
        return any(attachment.is_calling() for attachment in self.attachments)

    async def drain(self, end: int) -> None:
        """Return when the events below ``end`` are committed, and each listener has handled them or never will."""
        await self._until_committed(end)
        for attachment in tuple(self.attachments):
            await attachment.drain(end)

    async def _until_committed(self, end: int) -> None:
        with suppress(HubClosed, HubFailed):  # the hub has ended, and its attachments with it
            await self.pipeline.until_committed(end - 1)

    async def close(self, deadline: float) -> None:
        """Add no listener any more; let those there are handle all events, also those to which that leads.

        Cancel those that are not done at ``deadline``, in the loop's time, except the required ones.
        """
        end = 0
        deadline = max(deadline, anyio.current_time() + _LEAST_SECONDS)
        with anyio.move_on_at(deadline):
            while end < self._applied.value:
                end = self._applied.value
                await self._until_committed(end)
                for attachment in tuple(self.attachments):
                    await attachment.drain_to_close(end)
        owed = min(end, self._committed.value)
        at_work = [each for each in self.attachments if each.state is not AttachmentState.SUSPENDED]
        await _cancel([each for each in at_work if each.done < owed and not each.is_required], deadline)
        self.announcements.flush()

    async def leave(self, deadline: float) -> None:
        """Leave the listeners when they have handled all events, the required ones after the others, side by side.

        Those that are not left at ``deadline``, in the loop's time, are cancelled; the others have half of the time.
        """
        now = anyio.current_time()
        for is_required, until in ((False, now + (deadline - now) / 2), (True, deadline)):
            leaving = [attachment for attachment in self.attachments if attachment.is_required is is_required]
            for attachment in leaving:
                attachment.stop(self._applied.value)
            with anyio.move_on_at(until):
                for attachment in leaving:
                    await attachment.finished()
            await _cancel(leaving, until)
        await self.letters.settle(max(deadline, anyio.current_time() + _LEAST_SECONDS))

    def end(self) -> None:
        """The hub has ended: remove the attachments that were not entered, so that no task waits for them."""
        for attachment in tuple(self.attachments):
            self.forget(attachment)
        self.letters.end()
        if self._upkeep is not None:
            self._upkeep.end()

    # -- for the pipeline --

    def blocks(self) -> bool:
        """Return whether a listener for which emitters wait is behind by as much as its mailbox holds."""
        if not self._blocking:
            return False
        applied = self._applied.value
        is_full_from = self._ring.is_full_from
        return any(
            applied - attachment.done >= attachment.mailbox or is_full_from(attachment.done)
            for attachment in self._blocking
        )

    def after_put(self) -> None:
        """Events are on the ring."""
        if self.journal is None:
            self.after_journaled()
        ring = self.pipeline.ring
        if ring.applied.value >= ring.trim_at:
            self._trim(ring.excess_end)

    def after_journaled(self) -> None:
        """The journal has more events, or a required listener has handled some: commit those that can be."""
        if self._upkeep is not None:
            self._upkeep.journaled()
        committed = self._journaled.value
        for attachment in self._required:
            committed = min(committed, attachment.done)
        self.pipeline.commit(committed)

    def after_failure(self) -> None:
        """The hub has failed: end all tasks of attachments."""
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()

    def moved(self, attachment: Attachment) -> None:
        """An attachment has handled events, or is removed: what waits for it may go on."""
        rules = attachment.rules
        if rules.holds_commit:
            self.after_journaled()
        elif rules.holds_emitters:
            self.pipeline.admission.let_in()
        elif rules.keeps_position:
            assert self._upkeep is not None
            self._upkeep.moved(attachment)

    def _trim(self, excess_end: int) -> None:
        ring = self.pipeline.ring
        end = min(excess_end, ring.committed.value)
        readings = [attachment.reading for attachment in self.attachments]
        for reading in readings:
            if (kept_from := reading.kept_from) is not None:
                end = min(end, kept_from)
        for reading in readings:
            if reading.may_drop:
                reading.drop_before(end)
        ring.forget_before(end)


async def _cancel(attachments: Sequence[Attachment], deadline: float) -> None:
    """Cancel attachments, and wait for their listeners to end; those that do not are left behind."""
    for attachment in attachments:
        attachment.cancel()
    with anyio.move_on_at(deadline + _GRACE_SECONDS):
        for attachment in attachments:
            await attachment.finished()
    for attachment in attachments:
        attachment.cut()
    for attachment in attachments:
        await attachment.finished()
