"""From lines of a spool to committed events of a hub, each once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import anyio
import attrs
from anyio import to_thread

from ..errors import CallerError, HubClosed, Overloaded
from ..events import Event, GenericEvent, RecordingDropped, Severity, evolve
from ..own_log import OwnLog
from ._lines import file_name
from ._marks import Marks
from ._reading import SPOOL, Line, batches
from ._sources import Sources

__all__ = ("Counts", "Drain", "Emitter", "key_of", "losses_in")

_log = OwnLog("spool")

_BATCH = 300
_BATCH_BYTES = 1024 * 1024
_LOOK_AGAIN_SECONDS = 0.2


class Emitter(Protocol):
    """What a drain needs of a hub."""

    async def emit_many(self, events: Any) -> list[Any]: ...


@attrs.define
class Counts:
    """What a drain has done."""

    events: int = 0
    lines: int = 0
    damaged: int = 0
    torn: int = 0
    refused: int = 0
    missing: int = 0
    lost: int = 0


class Drain:
    """Takes what is in the files, in batches; a batch is committed, and then marked as taken."""

    def __init__(self, hub: Emitter, sources: Sources, marks: Marks, counts: Counts) -> None:
        self._hub = hub
        self._sources = sources
        self._marks = marks
        self.counts: Counts = counts
        self.is_in_doubt: bool = False
        """Whether a batch was begun, and is not marked as taken."""

    async def round(self, *, at_once: bool) -> bool:
        """Take what is next; return whether there was any. Where there is none, files that are over are ended."""
        if lines := await to_thread.run_sync(self._sources.next):
            for batch in batches(lines, count=_BATCH, size=_BATCH_BYTES):
                await self._take(batch)
            return True
        await self._tell_losses()
        await to_thread.run_sync(partial(self._sources.end_those_over, at_once=at_once))
        if lines := await to_thread.run_sync(self._sources.next):  # the rest of a torn line
            await self._take(lines)
            return True
        return False

    async def _tell_losses(self) -> None:
        """Tell the hub of events that could not be written, and that no line says."""
        losses, told = await to_thread.run_sync(self._sources.losses), self._marks.losses
        if losses < told:  # the file was removed
            self._marks.take_losses(0)
            told = 0
        if losses == told:
            return
        self.is_in_doubt = True
        key = f"{self._marks.id}:losses:{losses}"
        count = losses - told
        event = RecordingDropped(count=count, steps={SPOOL: count}, source=SPOOL, source_id=key, metadata={SPOOL: key})
        try:
            await self._put([event])
            self.counts.lost += count
        except HubClosed:
            self.is_in_doubt = False
            raise
        except CallerError as error:  # the numbers of the feed say it, at least
            self.counts.lost += count
            _log.problem("a hub is not told of events that a spool has lost", error, count=count)
        self._marks.take_losses(losses)
        await to_thread.run_sync(self._marks.save)
        self.is_in_doubt = False

    async def _take(self, lines: Sequence[Line]) -> None:
        self.is_in_doubt = True
        try:
            await self._put([event for line in lines for event in _events_of(line)])
        except HubClosed:
            self.is_in_doubt = False
            raise
        except CallerError:
            # One of them is refused, and with it all, so that none was put: each goes by itself.
            for line in lines:
                await self._take_one(line)
        for line in lines:
            self._count(line)
            self._marks.take(line.file, line.place, keep=line.event is None and not line.is_torn)
        await to_thread.run_sync(self._marks.save)
        self.is_in_doubt = False

    async def _take_one(self, line: Line) -> None:
        try:
            await self._put(list(_events_of(line)))
        except HubClosed:
            raise
        except CallerError as error:
            self.counts.refused += 1
            self._marks.take(line.file, line.place, keep=True)
            kind = None if line.event is None else line.event.kind
            try:
                await self._put([_report(line, "line_refused", Severity.ERROR, kind=kind, reason=str(error))])
            except HubClosed:
                raise
            except CallerError:
                return  # a hub that takes no event of ours either: it is counted, and the file is set aside

    async def _put(self, events: Sequence[Event]) -> None:
        while True:
            try:
                await self._hub.emit_many(events)
            except Overloaded:
                await anyio.sleep(_LOOK_AGAIN_SECONDS)
            else:
                self.counts.events += len(events)
                return

    def _count(self, line: Line) -> None:
        counts = self.counts
        counts.lines += 1
        counts.lost += line.lost
        counts.missing += line.missing
        if line.is_torn:
            counts.torn += 1
        elif line.event is None:
            counts.damaged += 1


def key_of(event: Event) -> tuple[str, int] | None:
    """Return the file and the place of the line that an event came from; None if it came from none."""
    said = None if event.metadata is None else event.metadata.get(SPOOL)
    if type(said) is not str:
        return None
    stream, *numbers = said.split(":")
    if len(numbers) != 2 or not all(number.isascii() and number.isdecimal() for number in numbers):
        return None
    return file_name(stream, int(numbers[0])), int(numbers[1])


def losses_in(event: Event, marks: Marks) -> int | None:
    """Return how many losses a hub was told of by an event; None if it was of none of this spool."""
    said = None if event.metadata is None else event.metadata.get(SPOOL)
    before = f"{marks.id}:losses:"
    if type(said) is not str or not said.startswith(before):
        return None
    number = said[len(before) :]
    return int(number) if number.isascii() and number.isdecimal() and len(number) < 12 else None


def _events_of(line: Line) -> Iterator[Event]:
    """Iterate over the events of a line: it has one at least, so that the hub knows which lines it has taken."""
    if line.missing:
        yield _report(line, "lines_missing", Severity.ERROR, count=line.missing)
    if line.lost:
        yield _report(line, "events_lost", Severity.ERROR, count=line.lost)
    if line.event is not None:
        yield _marked(line.event, line)
    elif line.is_torn:
        yield _report(line, "line_torn", Severity.WARNING, reason=line.reason)
    else:
        yield _report(line, "line_damaged", Severity.ERROR, reason=line.reason, bytes=line.size)


def _report(line: Line, what: str, severity: Severity, **about: Any) -> Event:
    data = {"file": line.file, "line": line.place, **about}
    return _marked(GenericEvent(kind=f"spool.{what}", data=data, severity=severity, occurred_at=line.at or None), line)


def _marked(event: Event, line: Line) -> Event:
    """Give an event by what it is known; one that names no origin has the spool for one."""
    metadata = {**(event.metadata or {}), SPOOL: line.key}
    if event.source_id is not None:
        return evolve(event, metadata=metadata)
    return evolve(event, metadata=metadata, source=event.source or SPOOL, source_id=line.key)
