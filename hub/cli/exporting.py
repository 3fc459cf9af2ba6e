"""What ``hubwire export`` and ``hubwire report`` share: the records of a log, and the file that they go to."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp
from typing import IO

import attrs
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hubwire.listeners.audit.blobs import restore

from ..exports import ExportRecord, Format, export
from ..log import LogReader, Record
from ..ports import KnowledgeStore
from .failures import CommandFailed
from .output import is_terminal
from .tail import Selection
from .target import Names, fields_of

__all__ = ("STDOUT", "Counts", "NotWritten", "exported_to", "output_file", "progress_bar", "records_of", "size_text")

STDOUT = "-"


class NotWritten(CommandFailed):
    """The output cannot be written, and nothing was changed."""


@attrs.define
class Counts:
    """What went into an export."""

    read: int = 0
    written: int = 0
    bytes: int = 0


# --- in -------------------------------------------------------------------------------------------------------------


async def records_of(
    store: KnowledgeStore, path: str, selection: Selection, counts: Counts, progress: Progress
) -> AsyncIterator[ExportRecord]:
    """Iterate over the selected records of a log up to its present end, those that are too long for a line whole."""
    end = LogReader(store, path)
    await end.seek_end()
    reader = LogReader(store, path)
    names = Names()
    task = progress.add_task("exporting", total=end.index)
    while records := await reader.read():
        for record in records:
            if record.index >= end.index:
                return
            if _takes(selection, record, names):
                counts.written += 1
                yield ExportRecord(record.line, record.index, await _whole(store, path, record))
        counts.read = records[-1].index + 1
        progress.update(task, completed=counts.read)


def _takes(selection: Selection, record: Record, names: Names) -> bool:
    if selection.is_everything:
        return True
    names.learn_line(record.line)
    fields = fields_of(record)
    return fields is not None and selection.takes(fields, names)


async def _whole(store: KnowledgeStore, path: str, record: Record) -> bytes | None:
    if b'"cut":{' not in record.line or fields_of(record) is None:
        return None
    whole = await restore(store, path, record.body)
    return None if whole == record.body else whole


# --- out ------------------------------------------------------------------------------------------------------------


async def exported_to(
    file: IO[bytes], records: AsyncIterator[ExportRecord], format_: Format, counts: Counts, *, raw: bool
) -> None:
    """Write an export to an open file."""
    async for piece in export(records, format_, redactor=None if raw else "default"):
        counts.bytes += len(piece)
        file.write(piece)
    file.flush()


@contextmanager
def output_file(output: str, *, force: bool) -> Iterator[IO[bytes]]:
    """Open what the output goes to: ``-``, the standard output, or a file, which is there when all of it is written.

    Only the user may read it: it may hold what others must not see. Raises :class:`NotWritten`.
    """
    if output == STDOUT:
        yield sys.stdout.buffer
        return
    path = Path(output)
    if path.is_dir():
        raise NotWritten(f"{output} is a directory; name a file in it")
    if path.exists() and not force:
        raise NotWritten(f"{output} is there already; name another file, or pass --force to replace it")
    try:
        descriptor, name = mkstemp(prefix=f".{path.name[:200]}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise NotWritten(
            f"{output} cannot be written: {error.strerror}; name a file in a directory of yours"
        ) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


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
