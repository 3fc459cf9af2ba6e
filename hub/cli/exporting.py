"""What ``hubwire export`` and ``hubwire report`` share: the records of a log, and the file that they go to."""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import mkstemp
from threading import Lock
from typing import IO, Any

import anyio
import anyio.to_thread
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hubwire.listeners.audit import signed_part
from hubwire.listeners.audit.blobs import opened, restore
from hubwire.listeners.audit.stand_ins import Leaves

from ..erasable import COMMITTED, Opener
from ..errors import ConfigurationError
from ..exports import ExportRecord, Format, export
from ..log import Head, LogReader, Record, read_kept
from ..ports import KnowledgeStore
from ..proof import SignedPart, VerifierKey
from ..query import Selection, query
from .failures import CommandFailed
from .output import escape_json, is_terminal
from .redacted import shown
from .target import Names, fields_of, head_at, head_of

__all__ = ("STDOUT", "LinkedSource", "NotWritten", "Source", "check_output", "export_to", "size_text")

STDOUT = "-"

_PROGRESS_EVERY = 500
_NAMING = Selection(kind=("agent.registered", "channel.created"))


class NotWritten(CommandFailed):
    """The output cannot be written, and nothing was changed."""


# --- in -------------------------------------------------------------------------------------------------------------


_Lines = AsyncIterator[tuple[Record, str | None]]
"""Records, each with the chain value before it where that is known."""


class Source:
    """The selected records of a log, up to the end that it has when they are first asked for."""

    def __init__(self, store: KnowledgeStore, path: str, selection: Selection) -> None:
        self.written: int = 0
        """How many records were selected."""
        self._store = store
        self._path = path
        self._selection = selection
        self._opener = Opener(store, path)
        self._leaves: Leaves | None = None

    async def records(self, progress: Progress) -> AsyncIterator[ExportRecord]:
        """Iterate over the records; those that were too long for a line come whole."""
        end = await self.end()
        task = progress.add_task("exporting", total=end)
        async for record, previous in self._lines(end):
            self.written += 1
            whole, leaf = await self._whole(record), await self._withheld(record)
            contents = await self._contents(record, whole)
            yield ExportRecord(record.line, record.index, whole, previous, leaf is not None, leaf, contents)
            if self.written % _PROGRESS_EVERY == 0:
                progress.update(task, completed=record.index)
        progress.update(task, completed=end)

    async def end(self) -> int:
        """Return how many records the log has."""
        reader = LogReader(self._store, self._path)
        await reader.seek_end()
        return reader.index

    async def _lines(self, end: int) -> _Lines:
        """Iterate over the records, each with the chain value before it where that is known."""
        if self._selection.is_everything:
            async for record in each_record(self._store, self._path, 0, end):
                yield record, "" if record.index == 0 else None
            return
        async for found in query(self._store, self._path, self._selection):
            if found.index >= end:
                return
            yield Record(found.index, found.line), None

    async def _withheld(self, record: Record) -> bytes | None:
        """Return the hash of a record that is withheld from a copy, in the tree of its log; None if it is there."""
        if self._leaves is None:
            self._leaves = await Leaves.of_log(self._store, self._path)
        found = self._leaves.stand_in(record)
        return None if found is None else found.leaf

    async def _whole(self, record: Record) -> bytes | None:
        if (b'"cut":{' not in record.line and COMMITTED not in record.line) or fields_of(record) is None:
            return None
        whole = await self._restore(record.body)
        return None if whole == record.body else whole

    async def _restore(self, body: bytes) -> bytes:
        return await opened(self._store, self._path, body, self._opener)

    async def _contents(self, record: Record, whole: bytes | None) -> dict[str, dict[str, Any]] | None:  # noqa: ARG002
        """Return the erasable contents of a record with what shows that they are its own; None: they are in it."""
        return None


class LinkedSource(Source):
    """The same, and what a report wants to know beside: the chain value before each record, the head, and names."""

    def __init__(
        self,
        store: KnowledgeStore,
        path: str,
        selection: Selection,
        *,
        raw: bool,
        vkey: VerifierKey | None = None,
        witnesses: Sequence[VerifierKey] = (),
    ) -> None:
        super().__init__(store, path, selection)
        self.signed: SignedPart | None = None
        """What shows that the records are in a signed log; known when they were read, None for one that is not."""
        self._vkey = vkey
        self._witnesses = tuple(witnesses)
        self.head: Head | None = None
        """The head of the log at that end; known when the records were read, None for a log without a chain."""
        self.names: dict[str, str] = {}
        """Names of agents and topics of channels that the selected records are about; without a selection, none."""
        self._names = Names()
        self._shown = shown(raw=raw)

    async def _restore(self, body: bytes) -> bytes:
        """Return a long record as it stands in the log: a report holds its lines against the chain."""
        return await restore(self._store, self._path, body)

    async def _contents(self, record: Record, whole: bytes | None) -> dict[str, dict[str, Any]] | None:
        if COMMITTED not in record.line or fields_of(record) is None:
            return None
        return await self._opener.salted(record.body if whole is None else whole)

    async def _lines(self, end: int) -> _Lines:
        if not self._selection.is_everything:
            async for naming in query(self._store, self._path, _NAMING):
                self._names.learn_line(self._shown.record(Record(naming.index, naming.line)).line)
        lines = super()._lines(end)
        shown = array("Q")
        async for record, previous in (
            self._followed(lines) if self._selection.is_everything else self._linked(lines, end)
        ):
            if not self._selection.is_everything:
                self._use_names(fields_of(record) or {})
                shown.append(record.index)
            yield record, previous
        self.head = await head_at(self._store, self._path, end)
        of_all = range((await read_kept(self._store, self._path)).first, end)
        numbers = of_all if self._selection.is_everything else shown
        self.signed = await signed_part(
            self._store, numbers, path=self._path, vkey=self._vkey, witnesses=self._witnesses
        )

    async def _followed(self, lines: _Lines) -> _Lines:
        """Iterate over all records, each with the chain value of the one before."""
        last: Record | None = None
        async for record, known in lines:
            yield record, known if last is None else _chain_of(last)
            last = record

    async def _linked(self, lines: _Lines, end: int) -> _Lines:
        """Iterate over a selection, with the chain values before: the records between are read for them, once."""
        walk: AsyncIterator[Record] | None = None
        before: Record | None = None
        async for record, _ in lines:
            if walk is None:
                walk = each_record(self._store, self._path, max(record.index - 1, 0), end)
            previous = "" if record.index == 0 else None
            while before is None or before.index < record.index:
                if before is not None and before.index == record.index - 1:
                    previous = _chain_of(before)
                before = await anext(walk)
            yield record, previous

    def _use_names(self, fields: dict[str, Any]) -> None:
        audience = fields.get("audience")
        for each in (fields.get("agent_id"), *(audience if isinstance(audience, list) else ())):
            if isinstance(each, str):
                self.names[each] = self._names.agent(each)
        if isinstance(channel_id := fields.get("channel_id"), str):
            self.names[channel_id] = self._names.channel(channel_id)


def _chain_of(record: Record) -> str | None:
    head = head_of(record)
    return None if head is None else head.h


async def each_record(store: KnowledgeStore, path: str, start: int, end: int) -> AsyncIterator[Record]:
    """Iterate over the records of a log from number ``start``, or the first that is kept, to before number ``end``."""
    reader = LogReader(store, path)
    await reader.seek_index(start)
    while records := await reader.read():
        for record in records:
            if record.index >= end:
                return
            yield record


# --- out ------------------------------------------------------------------------------------------------------------


def check_output(output: str, *, is_text: bool) -> None:
    """Refuse to write to a terminal what is no text for people."""
    if output == STDOUT and not is_text and is_terminal(sys.stdout):
        raise ConfigurationError("this is not for a terminal; name a file: --output FILE")


async def export_to(output: str, source: Source, format_: Format, *, raw: bool, force: bool) -> int:
    """Write an export to a file, or the standard output, with a bar of progress; return how many bytes it has."""
    written = 0
    with progress_bar(output) as progress:
        async with _opened(output, force=force) as file:
            async for piece in export(source.records(progress), format_, redactor=None if raw else "default"):
                written += len(piece)
                await anyio.to_thread.run_sync(_write, file, piece, output)
    return written


@asynccontextmanager
async def _opened(output: str, *, force: bool) -> AsyncIterator[IO[bytes]]:
    """Open what the output goes to: ``-``, the standard output, or a file, which is there when all of it is written.

    Raises :class:`NotWritten`.
    """
    if output == STDOUT:
        file: Any = _Terminal() if is_terminal(sys.stdout) else sys.stdout.buffer
        yield file
        await anyio.to_thread.run_sync(sys.stdout.buffer.flush)
        return
    part = _Part(Path(output))
    try:
        yield await anyio.to_thread.run_sync(partial(part.begin, force=force))
        await anyio.to_thread.run_sync(part.end)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(part.discard)


class _Terminal:
    """A terminal as a file: characters that would move its cursor or hide in it are escaped, as in JSON."""

    def write(self, piece: bytes) -> None:
        text = piece.decode(errors="backslashreplace").replace("\r\n", "\n")
        sys.stdout.write(escape_json(text))


class _Part:
    """The file beside the one that is wanted, whose name it gets when all is written.

    Ctrl-C does not wait for the thread in which it is begun: one that is discarded by then is not begun any more.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._is_discarded = False
        self._lock = Lock()

    def begin(self, *, force: bool) -> IO[bytes]:
        """Open it. Only the user may read it: it may hold what others must not see. Raises :class:`NotWritten`."""
        path = self._path
        with self._lock:
            try:
                if path.is_dir():
                    raise NotWritten(f"{path} is a directory; name a file in it")
                if path.exists() and not path.is_file():  # to replace a device would take it away from all others
                    raise NotWritten(f"{path} is a device or a pipe; name a file, or write to the standard output: -")
                if path.exists() and not force:
                    raise NotWritten(f"{path} is there already; name another file, or pass --force to replace it")
                if self._is_discarded:
                    raise NotWritten(f"{path} is not written: the command was ended")
                descriptor, name = mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent)
            except OSError as error:
                text = f"{path} cannot be written ({error.strerror}); name a file where you may write"
                raise NotWritten(text) from error
            os.close(descriptor)
            self._file = Path(name).open("wb")  # noqa: SIM115 - until it is discarded
            return self._file

    def end(self) -> None:
        """Give it the name that is wanted."""
        assert self._file is not None
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            Path(self._file.name).replace(self._path)
        except OSError as error:
            raise _not_kept(str(self._path), error) from error

    def discard(self) -> None:
        """Close it, and remove it where it has not become the one that is wanted."""
        with self._lock:
            self._is_discarded = True
            if self._file is None:
                return
            with suppress(OSError):  # it may have more to write, for which there is no room
                self._file.close()
            with suppress(OSError):
                Path(self._file.name).unlink()


def _write(file: IO[bytes], piece: bytes, output: str) -> None:
    try:
        file.write(piece)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _not_kept(output, error) from error


def _not_kept(output: str, error: OSError) -> NotWritten:
    what = "the standard output" if output == STDOUT else output
    return NotWritten(f"{what} cannot be written ({error.strerror}); make room there, or name another file")


def progress_bar(output: str) -> Progress:
    """Return a bar of progress at the standard error; it shows nothing where that is none, or shows the output."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("records"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not is_terminal(sys.stderr) or (output == STDOUT and is_terminal(sys.stdout)),
        redirect_stdout=False,
        redirect_stderr=False,
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
