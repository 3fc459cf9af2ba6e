"""What ``hubwire export`` and ``hubwire report`` share: the records of a log, and the file that they go to."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import mkstemp
from typing import IO, Any

import anyio
import anyio.to_thread
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hubwire.listeners.audit.blobs import restore

from ..exports import ExportRecord, Format, export
from ..log import Head, LogReader, Record
from ..ports import KnowledgeStore
from .failures import CommandFailed
from .output import is_terminal
from .redacted import shown
from .tail import Selection
from .target import Names, fields_of, head_of, holds_name

__all__ = ("STDOUT", "NotWritten", "Source", "export_to", "size_text")

STDOUT = "-"


class NotWritten(CommandFailed):
    """The output cannot be written, and nothing was changed."""


# --- in -------------------------------------------------------------------------------------------------------------


class Source:
    """The selected records of a log, up to the end that it has when they are first asked for."""

    def __init__(self, store: KnowledgeStore, path: str, selection: Selection, *, raw: bool) -> None:
        self.written: int = 0
        """How many records were selected."""
        self.names_used: dict[str, str] = {}
        """The names of agents and channels that the selected records are about; of all records none, they have them."""
        self.head: Head | None = None
        """The head of the log at that end; known when all was read, None for a log without a chain."""
        self._store = store
        self._path = path
        self._selection = selection
        self._shown = shown(raw=raw)
        self._names = Names()

    async def records(self, progress: Progress) -> AsyncIterator[ExportRecord]:
        """Iterate over the records; those that were too long for a line come whole."""
        end = LogReader(self._store, self._path)
        await end.seek_end()
        reader = LogReader(self._store, self._path)
        task = progress.add_task("exporting", total=end.index)
        previous: Record | None = None
        while records := await reader.read():
            for record in records:
                if record.index >= end.index:
                    break
                if self._takes(record):
                    self.written += 1
                    yield await self._made(record, previous)
                previous = record
            if records[-1].index + 1 >= end.index:
                break
            progress.update(task, completed=records[-1].index + 1)
        progress.update(task, completed=end.index)
        self.head = None if previous is None else head_of(previous)

    def _takes(self, record: Record) -> bool:
        if holds_name(record.line):
            self._names.learn_line(self._shown.record(record).line)
        if self._selection.is_everything:
            return True
        fields = fields_of(record)
        if fields is None or not self._selection.takes(fields, self._names):
            return False
        self._use_names(fields)
        return True

    def _use_names(self, fields: dict[str, Any]) -> None:
        audience = fields.get("audience")
        agents = [fields.get("agent_id"), *(audience if isinstance(audience, list) else ())]
        known = {each: self._names.agent(each) for each in agents if isinstance(each, str)}
        if isinstance(channel_id := fields.get("channel_id"), str):
            known[channel_id] = self._names.channel(channel_id)
        self.names_used |= known

    async def _made(self, record: Record, before: Record | None) -> ExportRecord:
        previous = "" if record.index == 0 else None
        if before is not None and (head := head_of(before)) is not None:
            previous = head.h
        return ExportRecord(record.line, record.index, await self._whole(record), previous)

    async def _whole(self, record: Record) -> bytes | None:
        if b'"cut":{' not in record.line or fields_of(record) is None:
            return None
        whole = await restore(self._store, self._path, record.body)
        return None if whole == record.body else whole


# --- out ------------------------------------------------------------------------------------------------------------


async def export_to(output: str, source: Source, format_: Format, *, raw: bool, force: bool) -> int:
    """Write an export to a file, or the standard output, with a bar of progress; return how many bytes it has."""
    written = 0
    with progress_bar() as progress:
        async with _opened(output, force=force) as file:
            async for piece in export(source.records(progress), format_, redactor=None if raw else "default"):
                written += len(piece)
                await anyio.to_thread.run_sync(file.write, piece)
    return written


@asynccontextmanager
async def _opened(output: str, *, force: bool) -> AsyncIterator[IO[bytes]]:
    """Open what the output goes to: ``-``, the standard output, or a file, which is there when all of it is written.

    Raises :class:`NotWritten`.
    """
    if output == STDOUT:
        yield sys.stdout.buffer
        await anyio.to_thread.run_sync(sys.stdout.buffer.flush)
        return
    path = Path(output)
    part = await anyio.to_thread.run_sync(partial(_begin, path, force=force))
    try:
        yield part
        await anyio.to_thread.run_sync(_end, part, path)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(_discard, part)


def _begin(path: Path, *, force: bool) -> IO[bytes]:
    """Open a file beside the one that is wanted. Only the user may read it: it may hold what others must not see."""
    if path.is_dir():
        raise NotWritten(f"{path} is a directory; name a file in it")
    if path.exists() and not force:
        raise NotWritten(f"{path} is there already; name another file, or pass --force to replace it")
    try:
        descriptor, name = mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise NotWritten(f"{path} cannot be written ({error.strerror}); name a file where you may write") from error
    os.close(descriptor)
    return Path(name).open("wb")


def _end(part: IO[bytes], path: Path) -> None:
    part.flush()
    os.fsync(part.fileno())
    Path(part.name).replace(path)


def _discard(part: IO[bytes]) -> None:
    """Close the file, and remove it where it has not become the one that is wanted."""
    part.close()
    with suppress(OSError):
        Path(part.name).unlink()


def progress_bar() -> Progress:
    """Return a bar of progress for the terminal at the standard error; it shows nothing where there is none."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("records"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not is_terminal(sys.stderr),
        transient=True,
    )


def size_text(size: int) -> str:
    """Return a number of bytes for people: ``813 bytes``, ``1.4 MB``."""
    if size < 1000:
        return f"{size} bytes"
    for unit in ("kB", "MB", "GB"):
        size_in = size / 1000
        if size_in < 999.95 or unit == "GB":
            return f"{size_in:,.1f} {unit}"
        size = round(size_in)
    raise AssertionError(unit)
