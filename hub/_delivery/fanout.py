"""The fan-out: who is attached, who the commit waits for, and what is announced about them."""

from __future__ import annotations

from collections.abc import Container, Sequence

import anyio
from anyio.abc import TaskGroup

from .._commit.pipeline import Pipeline
from .._journal.upkeep import Upkeep
from ..errors import ConfigurationError, HistoryGone, HubClosed, JournalBehind, repeat
from ..events import ListenerAttached, ListenerDetached
from ..ports import Clock, Journal
from .announcements import Announcements
from .attachment import Attachment, AttachmentState
from .duty import Duty

__all__ = ("Fanout",)


class Fanout:
    """All attachments of a hub."""

    def __init__(self, pipeline: Pipeline, journal: Journal | None, clock: Clock, upkeep: Upkeep | None) -> None:
        self.pipeline = pipeline
        self.journal = journal
        self.clock = clock
        self.announcements = Announcements(pipeline, clock)
        self.attachments: list[Attachment] = []
        self.lost: dict[str, tuple[Attachment, str]] = {}
        """Those that were let go though nobody asked for it, and why, by name."""
        self._required: list[Attachment] = []
        self._blocking: list[Attachment] = []
        self._tasks: TaskGroup | None = None
        self._numbered = False
        self._closed = False
        self._upkeep = upkeep
        if upkeep is not None:
            upkeep.attached = self

    # -- attaching --

    def check_attachable(self, name: str) -> None:
        """Raise what is against attaching a listener of this name."""
        if self.pipeline.failure is not None:
            raise repeat(self.pipeline.failure)
        if self._closed:
            raise HubClosed(f"the hub is closing, or closed; {name!r} cannot be attached any more")
        if any(other.name == name for other in self.attachments):
            raise ConfigurationError(f"a listener named {name!r} is attached already; give this one another name=...")

    def add(self, attachment: Attachment) -> None:
        """Take an attachment in; it starts at once if the hub runs."""
        self.check_attachable(attachment.name)
        self.attachments.append(attachment)
        if self._tasks is not None:
            if self._numbered:
                attachment.attached_at = self.pipeline.ring.applied.value
            self._tasks.start_soon(attachment.run)

    def forget(self, attachment: Attachment) -> None:
        """Let an attachment go that never was entered."""
        if attachment in self.attachments:
            self.attachments.remove(attachment)
        attachment.end()

    async def start(self, tasks: TaskGroup) -> None:
        """Enter the listeners attached so far, one after the other. They read nothing before :meth:`go`.

        Raises what a required one raised.
        """
        self._tasks = tasks
        for attachment in tuple(self.attachments):
            tasks.start_soon(attachment.run)
            await attachment.entered()
            if attachment.failure is not None and attachment.duty is Duty.REQUIRED:
                raise attachment.failure

    def go(self) -> None:
        """Give the listeners their places and let them work; the ring is numbered now."""
        self._numbered = True
        for attachment in tuple(self.attachments):
            if attachment.is_entered:
                self._place(attachment)

    def place_if_numbered(self, attachment: Attachment) -> None:
        """Give a listener its place that was entered later than the others."""
        if self._numbered:
            try:
                self._place(attachment)
            except (ConfigurationError, HistoryGone, JournalBehind) as error:
                attachment.refuse(error)

    def _place(self, attachment: Attachment) -> None:
        attachment.go()
        self.lost.pop(attachment.name, None)
        self.announcements.put(
            ListenerAttached(
                listener=attachment.name,
                duty=attachment.duty.value,
                pattern=attachment.pattern,
                since_seq=attachment.cursor.seq,
            )
        )

    def position_of(self, name: str) -> int | None:
        return None if self._upkeep is None else self._upkeep.positions.get(name)

    async def save_position(self, attachment: Attachment) -> None:
        if self._upkeep is not None and not self._upkeep.positions.is_kept(attachment.name):
            await self._upkeep.save_positions()

    def caught_up(self, attachment: Attachment) -> None:
        """From here on the commit, or emitters, wait for this attachment, if its duty says so."""
        if attachment.duty is Duty.REQUIRED:
            self._required.append(attachment)
        elif attachment.blocks:
            self._blocking.append(attachment)

    def remove(self, attachment: Attachment, reason: str) -> None:
        """Let an attachment go; nobody waits for it any more."""
        if reason != "detached" and self.pipeline.failure is None:
            self.lost[attachment.name] = (attachment, reason)
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

    def highest_position(self) -> int:
        """Return the highest ``last_seq()`` of all listeners; -1 if none has one."""
        return max((each.entered_at for each in self.attachments if each.entered_at is not None), default=-1)

    def is_calling(self) -> bool:
        """Tell whether the code that runs is called by a listener: in its task, or in one that it started."""
        return any(attachment.is_calling() for attachment in self.attachments)

    async def drain(self, end: int) -> None:
        """Return when events below ``end`` are committed, and every listener has handled them."""
        await self.pipeline.ring.committed.wait_beyond(end - 1)
        for attachment in tuple(self.attachments):
            await attachment.drain(end)

    async def close(self, seconds_max: float) -> None:
        """Take no listener in any more; let all of them handle what there is, and what that leads to.

        Cancel those that are not done after ``seconds_max``.
        """
        self._closed = True
        end = 0
        with anyio.move_on_after(seconds_max):
            while end < self.pipeline.ring.applied.value:
                end = self.pipeline.ring.applied.value
                await self.drain(end)
        owed = min(end, self.pipeline.ring.committed.value)
        at_work = [each for each in self.attachments if each.state is not AttachmentState.SUSPENDED]
        await _cancel([each for each in at_work if each.done < owed and each.duty is not Duty.REQUIRED])
        self.announcements.settle()

    async def leave(self, duties: Container[Duty], seconds_max: float) -> None:
        """Leave the listeners of these duties when they have handled everything; cancel those that take too long."""
        leaving = [attachment for attachment in self.attachments if attachment.duty in duties]
        for attachment in leaving:
            attachment.stop(self.pipeline.ring.applied.value)
        with anyio.move_on_after(seconds_max):
            for attachment in leaving:
                await attachment.finished()
        await _cancel(leaving)

    def end(self) -> None:
        """The hub is over: whoever waits for a listener that never came to be need not."""
        self._closed = True
        for attachment in tuple(self.attachments):
            self.forget(attachment)

    # -- what the pipeline asks and tells --

    def blocks(self) -> bool:
        if not self._blocking:
            return False
        applied = self.pipeline.ring.applied.value
        return any(applied - attachment.done >= attachment.mailbox for attachment in self._blocking)

    def after_put(self) -> None:
        if self.journal is None:
            self.after_journaled()
        ring = self.pipeline.ring
        if ring.applied.value >= ring.trim_at:
            self._trim(ring.excess_end)

    def after_journaled(self) -> None:
        if self._upkeep is not None:
            self._upkeep.journaled()
        committed = self.pipeline.ring.journaled.value
        for attachment in self._required:
            committed = min(committed, attachment.done)
        self.pipeline.commit(committed)

    def after_failure(self) -> None:
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()

    def moved(self, attachment: Attachment) -> None:
        """An attachment has handled something, or is gone: what waits for it may go on."""
        if attachment.duty is Duty.REQUIRED:
            self.after_journaled()
        elif attachment.duty is Duty.DURABLE:
            assert self._upkeep is not None
            self._upkeep.moved(attachment)
        elif attachment.blocks:
            self.pipeline.admit()

    def _trim(self, excess_end: int) -> None:
        ring = self.pipeline.ring
        end = min(excess_end, ring.committed.value)
        for attachment in self.attachments:
            if attachment.keeps_ring:
                end = min(end, attachment.cursor.seq)
        for attachment in self.attachments:
            if attachment.may_drop:
                attachment.drop_before(end)
        ring.forget_before(end)


async def _cancel(attachments: Sequence[Attachment]) -> None:
    for attachment in attachments:
        attachment.cancel()
    for attachment in attachments:
        await attachment.finished()
