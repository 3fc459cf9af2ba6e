"""The feed that takes a spool into a hub."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import attrs
from anyio import to_thread

from .._delivery.duty import Duty
from .._foreign.arguments import Call
from ..errors import AlreadyRunning, ConfigurationError, HubError, NotFound
from ..events import Event
from ..own_log import OwnLog
from ._draining import Counts, Drain, key_of, losses_in
from ._files import make_directory
from ._marks import Marks
from ._reading import SPOOL
from ._sources import DrainLock, Sources, take_lock
from ._spool import directory_of

__all__ = ("SpoolFeed",)

_log = OwnLog("spool")
_FEED = Call("SpoolFeed()", ConfigurationError)
_LEAVING_SECONDS = 5.0


class _Known:
    """Learns from the hub itself what it has committed: also what a drain that was killed could not mark any more."""

    duty = Duty.DURABLE
    pattern = "*"
    since = "now"

    def __init__(self, marks: Marks) -> None:
        self._marks = marks

    async def on_events(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.metadata is None or SPOOL not in event.metadata:
                continue
            if (key := key_of(event)) is not None:
                self._marks.take(*key)
            elif (losses := losses_in(event, self._marks)) is not None:
                self._marks.take_losses(losses)
        await to_thread.run_sync(self._marks.save)


class SpoolFeed:
    """Takes what processes leave in a spool into a hub, each event once, also over crashes of all of them.

    ``hub.feed(SpoolFeed(directory))`` follows the directory until the hub closes. The events of all files are taken in
    the order of their times. Each keeps what it says of itself, ``occurred_at`` is when it was written, and its
    metadata say from which line it is: ``{"spool": "<stream>:<first number>:<line>"}``. A hub with a journal is asked
    at the start what it has committed, by a listener of the name ``spool:<id of the directory>``; one in memory has
    nothing to remember.

    A file is deleted when all of it is committed and its writer is gone or has gone on to another file; with
    ``archive``, a directory on the same disk, it is put there instead. A line that is not as it was written is never
    taken: ``spool.line_damaged`` reports it, by file and line, and its file is put into ``set-aside`` within the
    spool. So is one that the hub refuses: ``spool.line_refused``. ``spool.line_torn`` is a line in which its writer was
    killed, so that no program was told that it is written; ``spool.events_lost`` says how many could not be written.

    ``follow=False``: it ends when all that is there is taken. ``poll_seconds``: how often it looks. One directory is
    drained by one at a time: the feed waits for another one to end, or, with ``waits=False``, raises
    :class:`~hubwire.errors.AlreadyRunning`. ``run()`` raises :class:`~hubwire.errors.LogDamaged` if it cannot know what
    is taken, and ``OSError`` of a directory that it cannot read.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        follow: bool = True,
        waits: bool = True,
        archive: str | os.PathLike[str] | None = None,
        poll_seconds: float = 0.25,
    ) -> None:
        self.directory: str = directory_of(_FEED, directory)
        self.name: str = "spool"
        self._archive = None if archive is None else directory_of(_FEED, archive, "archive")
        self._follow = _FEED.flag("follow", follow)
        self._waits = _FEED.flag("waits", waits)
        self._poll_seconds = _FEED.seconds("poll_seconds", poll_seconds)
        self._counts = Counts()
        self._marks: Marks | None = None
        """Those of the last run: not all of them may be on the disk."""
        self._not_taken = 0
        """How many files have lines that were not taken, and are there for a person to look at."""
        self._problem: str | None = None
        self._finishing: anyio.Event | None = None
        """Set when the hub is about to close; None while the feed does not run."""
        self._finished = anyio.Event()

    def __repr__(self) -> str:
        return f"<SpoolFeed {self.directory!r}: {self._counts.lines} lines>"

    def problems(self) -> Sequence[str]:
        """Return why not all that is in the spool comes into the hub. What is gone for good, its numbers say."""
        counts = self._counts
        found = [] if self._problem is None else [self._problem]
        for count, what in ((counts.damaged, "damaged"), (counts.refused, "refused by the hub")):
            if count and self._not_taken:
                found.append(
                    f"{count:,} lines of {self.directory} are {what}; their files are in set-aside there, and events of"
                    " the kinds spool.* say which they are: remove those files when you have looked at them"
                )
        return found

    def statistics(self) -> Mapping[str, int]:
        """Return how many lines were taken, what they were, and how many events came of them."""
        return attrs.asdict(self._counts)

    async def run(self, hub: Any) -> None:
        """Take in what there is and what comes. ``hub`` is a :class:`~hubwire.Hub`, started, and in this loop."""
        lock = await self._locked()
        try:
            self._finished = anyio.Event()
            self._finishing = anyio.Event()
            self._problem = None
            marks = await to_thread.run_sync(self._loaded)
            await to_thread.run_sync(marks.save)
            await self._drain(hub, marks)
        finally:
            self._finishing = None
            self._finished.set()
            lock.release()

    async def finish(self) -> None:
        """Take in what is there by now; then the feed ends. Returns at once if it does not run."""
        if self._finishing is not None:
            self._finishing.set()
            await self._finished.wait()

    async def _locked(self) -> DrainLock:
        while True:
            try:
                return await to_thread.run_sync(self._take_lock)
            except AlreadyRunning as error:
                if not self._waits:
                    raise
                self._problem = str(error)
            await anyio.sleep(self._poll_seconds)

    def _loaded(self) -> Marks:
        """Return the marks, with what a run before could not save: a hub in memory does not remember it."""
        marks = Marks.load(self.directory)
        self._marks = marks if self._marks is None else marks.join(self._marks)
        return self._marks

    def _take_lock(self) -> DrainLock:
        make_directory(self.directory)
        return take_lock(self.directory)

    async def _drain(self, hub: Any, marks: Marks) -> None:
        attachment = None
        try:
            attachment = hub.attach(_Known(marks), name=f"spool:{marks.id}")
        except ConfigurationError:
            pass  # a hub without a journal remembers nothing
        if attachment is not None:
            await attachment.ready()
        await to_thread.run_sync(marks.forget_missing)
        sources = Sources(self.directory, marks, self._archive)
        drain = Drain(hub, sources, marks, self._counts)
        try:
            await self._go_on(drain, marks, sources)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(_LEAVING_SECONDS):
                await self._leave(hub, attachment, marks, sources, is_known=not drain.is_in_doubt)

    async def _go_on(self, drain: Drain, marks: Marks, sources: Sources) -> None:
        assert self._finishing is not None
        while True:
            is_last = not self._follow or self._finishing.is_set()
            is_more = await drain.round(at_once=is_last)
            if self._counts.damaged or self._counts.refused:
                self._not_taken = marks.kept + await to_thread.run_sync(sources.set_aside)
            if not is_more:
                if is_last:
                    return
                with anyio.move_on_after(self._poll_seconds):
                    await self._finishing.wait()

    async def _leave(self, hub: Any, attachment: Any, marks: Marks, sources: Sources, *, is_known: bool) -> None:
        """Let the hub keep its journal for this feed no longer, if all that it has committed is marked."""
        sources.close()
        try:
            await to_thread.run_sync(marks.save)
        except OSError as error:  # what ends the run says it, or the next one does
            is_known = False
            _log.detail("the marks of a spool are not saved", error=str(error))
        if attachment is None:
            return
        try:
            await attachment.detach()
            if is_known:
                await hub.forget(attachment.name)
        except NotFound:
            pass  # no position was kept yet
        except HubError as error:
            _log.detail("a spool is still known to its hub", error=str(error))
