"""The fan-out: all attachments of a hub, and those that the commit or emitters wait for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import anyio
from anyio.abc import TaskGroup

from .._commit.pipeline import Pipeline
from .._journal.upkeep import Upkeep
from ..errors import ConfigurationError, HistoryGone, HubClosed, HubFailed, JournalBehind
from ..events import ListenerAttached, ListenerDetached
from ..ports import Clock, Journal
from .adapted import Adapted
from .announcements import Announcements
from .attachment import Attachment, AttachmentState
from .reading import DETACHED
from .settings import Options

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
        """The attachments that were detached for another reason than being asked to, and the reasons, by name."""
        self._required: list[Attachment] = []
        self._blocking: list[Attachment] = []
        self._ring = pipeline.ring
        self._applied = pipeline.ring.applied
        self._journaled = pipeline.ring.journaled
        self._committed = pipeline.ring.committed
        self._tasks: TaskGroup | None = None
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

    def attach(self, listener: Any, options: Options, hub: object) -> Attachment:
        """Attach a listener and bind it: see :meth:`hubwire.Hub.attach`. It starts at once if the hub runs."""
        adapted = Adapted(listener)
        names = {attachment.name for attachment in self.attachments}
        settings = options.settings_for(listener, adapted, names, has_journal=self.journal is not None)
        attachment = Attachment(self, adapted, settings)
        self._check_attachable(settings.name)
        adapted.bind(hub)
        self._check_attachable(settings.name)  # binding is the listener's code, and may have attached another one
        self.attachments.append(attachment)
        if self._tasks is not None:
            now = self._applied.value if self._ring.is_numbered else None
            self._tasks.start_soon(attachment.run, now)
        return attachment

    def forget(self, attachment: Attachment) -> None:
        """Remove an attachment that was not entered."""
        if attachment in self.attachments:
            self.attachments.remove(attachment)
            attachment.forgotten()

    async def start(self, tasks: TaskGroup) -> None:
        """Enter the listeners attached so far, one after the other. They read events after :meth:`go`.

        Raises what a required listener raised.
        """
        self._tasks = tasks
        for attachment in tuple(self.attachments):
            tasks.start_soon(attachment.run)
            await attachment.entered()
            if attachment.failure is not None and attachment.is_required:
                raise attachment.failure

    def go(self) -> None:
        """Give the listeners their places and let them work. The ring is numbered by now."""
        for attachment in tuple(self.attachments):
            if attachment.is_entered:
                self._place(attachment)

    def place_if_numbered(self, attachment: Attachment) -> None:
        """Give a listener that was entered later than :meth:`go` its place."""
        if self._ring.is_numbered:
            try:
                self._place(attachment)
            except (ConfigurationError, HistoryGone, JournalBehind) as error:
                attachment.stop(0, error)

    def _place(self, attachment: Attachment) -> None:
        attachment.place()
        self.lost.pop(attachment.name, None)
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
        return max((each.last_seq for each in self.attachments if each.last_seq is not None), default=-1)

    def is_calling(self) -> bool:
        """Return whether this code runs inside a call of a listener, or in a task that such a call started."""
        return any(attachment.is_calling() for attachment in self.attachments)

    async def drain(self, end: int) -> None:
        """Return when the events below ``end`` are committed, and each listener has handled them or never will."""
        with suppress(HubClosed, HubFailed):  # the hub has ended, and its attachments with it
            await self.pipeline.until_committed(end - 1)
        for attachment in tuple(self.attachments):
            await attachment.drain(end)

    async def close(self, seconds_max: float) -> None:
        """Add no listener any more; let those there are handle all events, also those to which that leads.

        Cancel those that are not done after ``seconds_max``, except the required ones.
        """
        end = 0
        with anyio.move_on_after(seconds_max):
            while end < self._applied.value:
                end = self._applied.value
                await self.drain(end)
        owed = min(end, self._committed.value)
        at_work = [each for each in self.attachments if each.state is not AttachmentState.SUSPENDED]
        await _cancel([each for each in at_work if each.done < owed and not each.is_required])
        self.announcements.flush()

    async def leave(self, seconds_max: float) -> None:
        """Leave the listeners when they have handled all events, the required ones after the others.

        Those that are not left after ``seconds_max`` are cancelled; the required ones have as long again.
        """
        for is_required in (False, True):
            leaving = [attachment for attachment in self.attachments if attachment.is_required is is_required]
            for attachment in leaving:
                attachment.stop(self._applied.value)
            with anyio.move_on_after(seconds_max):
                for attachment in leaving:
                    await attachment.finished()
            await _cancel(leaving)

    def end(self) -> None:
        """The hub has ended: remove the attachments that were not entered, so that no task waits for them."""
        for attachment in tuple(self.attachments):
            self.forget(attachment)

    # -- for the pipeline --

    def blocks(self) -> bool:
        """Return whether a listener for which emitters wait is behind by as much as its mailbox holds."""
        if not self._blocking:
            return False
        applied = self._applied.value
        return any(applied - attachment.done >= attachment.mailbox for attachment in self._blocking)

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


async def _cancel(attachments: Sequence[Attachment]) -> None:
    for attachment in attachments:
        attachment.cancel()
    for attachment in attachments:
        await attachment.finished()
