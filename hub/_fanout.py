"""The fan-out: who is attached, who the commit waits for, and what is announced about them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from ._attachment import Attachment, Duty, ListenerTimeout, Overflow
from ._pipeline import Pipeline
from .context import EMPTY
from .errors import ConfigurationError
from .events import Event, ListenerAttached, ListenerDetached, ListenerFailed, ListenerRestarted, MailboxOverflowed
from .ports import Clock, Journal

__all__ = ("Fanout",)

_ANNOUNCE_SECONDS = 1.0
"""At most one announcement per attachment and reason in this time; the rest are counted into the next one."""


class Fanout:
    """All attachments of a hub."""

    def __init__(self, pipeline: Pipeline, journal: Journal | None, clock: Clock) -> None:
        self.pipeline = pipeline
        self.journal = journal
        self.clock = clock
        self.attachments: list[Attachment] = []
        self.lost: list[Attachment] = []
        """Those that were let go because they failed."""
        self._required: list[Attachment] = []
        self._blocking: list[Attachment] = []
        self._tasks: TaskGroup | None = None
        self._pending: dict[tuple[str, str], _Tally] = {}
        pipeline.downstream = self

    # -- attaching --

    def add(self, attachment: Attachment) -> None:
        """Take an attachment in; it starts at once if the hub runs."""
        if any(other.name == attachment.name for other in self.attachments):
            raise ConfigurationError(
                f"a listener named {attachment.name!r} is attached already; give this one another name=..."
            )
        self.attachments.append(attachment)
        if self._tasks is not None:
            attachment.attached_at = self.pipeline.ring.applied.value
            self._tasks.start_soon(self._run_late, attachment)

    async def start(self, tasks: TaskGroup) -> None:
        """Enter the listeners attached so far. They read nothing before :meth:`go`."""
        for attachment in self.attachments:
            await tasks.start(attachment.run)
            if attachment.failure is not None and attachment.duty is Duty.REQUIRED:
                raise attachment.failure
        self._tasks = tasks

    def go(self) -> None:
        """Give the listeners their places and let them work; the ring is numbered now."""
        for attachment in tuple(self.attachments):
            self._place(attachment)
            if attachment.failure is not None:
                raise attachment.failure

    async def _run_late(self, attachment: Attachment) -> None:
        assert self._tasks is not None
        await self._tasks.start(attachment.run)
        if attachment.failure is None:
            self._place(attachment)
            self._announce_attached(attachment)

    def announce_attached(self) -> None:
        """Announce the listeners that were attached before the start."""
        for attachment in self.attachments:
            self._announce_attached(attachment)

    def _announce_attached(self, attachment: Attachment) -> None:
        self.announce(
            ListenerAttached(
                listener=attachment.name,
                duty=attachment.duty.value,
                pattern=attachment.pattern,
                since_seq=attachment.cursor.seq,
            )
        )

    def _place(self, attachment: Attachment) -> None:
        attachment.go()
        if attachment.overflow is Overflow.BLOCK:
            self._blocking.append(attachment)

    def caught_up(self, attachment: Attachment) -> None:
        """From here on the commit waits for this attachment, if it is a required one."""
        if attachment.duty is Duty.REQUIRED:
            self._required.append(attachment)

    def remove(self, attachment: Attachment, reason: str) -> None:
        """Let an attachment go; nobody waits for it any more."""
        if reason != "detached":
            self.lost.append(attachment)
        for attachments in (self.attachments, self._required, self._blocking):
            if attachment in attachments:
                attachments.remove(attachment)
        self.announce(ListenerDetached(listener=attachment.name, reason=reason))
        self.moved(attachment)

    # -- starting and stopping --

    def known_hub_id(self, journal_id: str | None) -> str | None:
        """Return the id of the hub whose events the journal and the listeners hold; None if they hold none.

        Raises :class:`~hubwire.errors.ConfigurationError` if they hold events of different hubs.
        """
        known = journal_id
        for attachment in self.attachments:
            listener_id = attachment.hub_id
            if listener_id is not None and known is not None and listener_id != known:
                raise ConfigurationError(
                    f"listener {attachment.name!r} holds events of hub {listener_id}, but this is hub {known}; give each"
                    " hub logs of its own"
                )
            known = known or listener_id
        return known

    def highest_position(self) -> int:
        """Return the highest ``last_seq()`` of all listeners; -1 if none has one."""
        return max((each.entered_at for each in self.attachments if each.entered_at is not None), default=-1)

    def is_own_task(self, task: object) -> bool:
        """Tell whether this is the task of a listener."""
        return any(attachment.is_task(task) for attachment in self.attachments)

    async def drain(self) -> None:
        """Return when every listener has handled what is committed, and everything applied is."""
        target = self.pipeline.ring.applied.value
        await self.pipeline.ring.committed.wait_beyond(target - 1)
        for attachment in tuple(self.attachments):
            await attachment.drain(target)

    async def stop(self, duty: Duty, seconds_max: float) -> None:
        """Leave the listeners of this duty; those that take longer than ``seconds_max`` are cancelled."""
        leaving = [attachment for attachment in self.attachments if attachment.duty is duty]
        for attachment in leaving:
            attachment.stop()
        with anyio.move_on_after(seconds_max):
            for attachment in leaving:
                await attachment.wait_finished()
        for attachment in leaving:
            attachment.cancel()
        for attachment in leaving:
            await attachment.wait_finished()

    # -- what the pipeline asks and tells --

    def blocks(self) -> bool:
        applied = self.pipeline.ring.applied.value
        return bool(self._blocking) and any(applied - attachment.done >= attachment.mailbox for attachment in self._blocking)

    def after_put(self) -> None:
        if self.journal is None:
            self.after_journaled()
        if (excess_end := self.pipeline.ring.excess_end) is not None:
            self._trim(excess_end)

    def after_journaled(self) -> None:
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
        elif attachment.overflow is Overflow.BLOCK:
            self.pipeline.admit()

    def _trim(self, excess_end: int) -> None:
        ring = self.pipeline.ring
        end = min(excess_end, ring.committed.value)
        for attachment in self.attachments:
            if attachment.is_caught_up and not attachment.is_lossy:
                end = min(end, attachment.cursor.seq)
        for attachment in self.attachments:
            if attachment.is_caught_up and attachment.is_lossy:
                attachment.drop_before(end)
        ring.forget_before(end)

    # -- announcements --

    def announce(self, event: Event) -> None:
        """Put one of the hub's own events: it needs no admission, and has nobody's context."""
        if self.pipeline.failure is None and not self.pipeline.stopped:
            self.pipeline.put([event], EMPTY)

    def announce_failure(self, attachment: Attachment, error: BaseException, event: Event) -> None:
        def make(tally: _Tally) -> Event:
            return ListenerFailed(
                listener=attachment.name,
                reason="timeout" if isinstance(error, ListenerTimeout) else "error",
                error_type=type(error).__name__,
                error_message=_text(error),
                event_seq=tally.last_seq,
                count=tally.count,
            )

        self._tally((attachment.name, type(error).__name__), make, 1, event.seq, event.seq)

    def announce_overflow(self, attachment: Attachment, count: int, first_seq: int, last_seq: int) -> None:
        def make(tally: _Tally) -> Event:
            return MailboxOverflowed(
                listener=attachment.name, count=tally.count, first_seq=tally.first_seq, last_seq=tally.last_seq
            )

        self._tally((attachment.name, "overflow"), make, count, first_seq, last_seq)

    def announce_restart(self, attachment: Attachment) -> None:
        def make(_: _Tally) -> Event:
            return ListenerRestarted(listener=attachment.name, restarts=attachment.restarts)

        self._tally((attachment.name, "restart"), make, 1, 0, 0)

    def _tally(
        self, key: tuple[str, str], make: Callable[[_Tally], Event], count: int, first_seq: int, last_seq: int
    ) -> None:
        tally = self._pending.get(key)
        if tally is None:
            tally = self._pending[key] = _Tally(make)
            asyncio.get_running_loop().call_later(_ANNOUNCE_SECONDS, self._settle, key)
            tally.add(count, first_seq, last_seq)
            self._tell(tally)
        else:
            tally.make = make
            tally.add(count, first_seq, last_seq)

    def _settle(self, key: tuple[str, str]) -> None:
        """A second is over: tell what came together in it, and watch for another one if something did."""
        tally = self._pending.get(key)
        if tally is None:
            return
        if tally.count:
            self._tell(tally)
            asyncio.get_running_loop().call_later(_ANNOUNCE_SECONDS, self._settle, key)
        else:
            del self._pending[key]

    def settle_all(self) -> None:
        """Tell at once whatever has come together."""
        for tally in self._pending.values():
            if tally.count:
                self._tell(tally)
        self._pending.clear()

    def _tell(self, tally: _Tally) -> None:
        event = tally.make(tally)
        tally.count = 0
        # Not from within the trimming or failing that led here: that must be over before the ring moves again.
        asyncio.get_running_loop().call_soon(self.announce, event)


class _Tally:
    """What has come together of one kind of announcement about one attachment."""

    def __init__(self, make: Callable[[_Tally], Event]) -> None:
        self.make = make
        self.count = 0
        self.first_seq = 0
        self.last_seq = 0

    def add(self, count: int, first_seq: int, last_seq: int) -> None:
        if not self.count:
            self.first_seq = first_seq
        self.count += count
        self.last_seq = last_seq


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as again:  # noqa: BLE001 - a listener's own exception class may do anything
        return f"<str() of it raised {type(again).__name__}>"
