"""Where dead letters are kept: lines in files below the journal, or in memory for a hub without one.

A line is an object that ends in its version and a checksum, so that each is believed or not by itself. A file is
called by the epoch of its writer and a number, as what is beside the journal: a writer that was replaced may add to its
own file once more, and harms none of another. A small file, ``index``, names the others, so that one that is missing
is noticed. What a later line says of a letter counts. No file is deleted that holds a letter or a line that was not
understood: the former are written anew at the end, the latter set aside below ``set-aside/``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import attrs

from .. import codec
from .._values import Value
from ..errors import InvalidRecord, LogDamaged
from ..ports import Journal, KnowledgeStore

__all__ = ("FOLDER", "VERSION", "Files", "LetterFiles", "LetterReader", "Lines", "Place", "line_of")

FOLDER = "dead-letters"
"""Below the path of the journal."""

VERSION = 1

_INDEX = "index"
_ASIDE = "set-aside"
_NAME = re.compile(r"\d{20}-\d{6}\.jsonl")
_SEALED = re.compile(rb',"c":"[0-9a-f]{8}"\}')
_SLICE = 64
"""Other tasks run after so many lines."""


@attrs.frozen(eq=False, repr=False)
class Place(Value):
    """Where a line is."""

    file: str
    start: int
    size: int
    line: bytes | None = None
    """The line itself, where it is kept in memory."""


def line_of(fields: Mapping[str, Any]) -> bytes:
    """Return a line with these fields."""
    return codec.encode_marker(fields, version=VERSION)


class Files(Protocol):
    """Keeps lines."""

    @property
    def size_bytes(self) -> int:
        """What all of them take, also those that do not count any more."""

    @property
    def problems(self) -> Sequence[str]:
        """What is not as it was written."""

    @property
    def damaged(self) -> int:
        """How many lines are not what was written, or were written by a newer version."""

    def load(self) -> AsyncIterator[tuple[Place, dict[str, Any]]]:
        """Iterate, once, over the lines that are kept."""

    async def append(self, lines: Sequence[bytes]) -> list[Place]:
        """Keep lines. Durable when it returns; all of them or none."""

    async def read(self, place: Place) -> bytes:
        """Return a line. Raises :class:`~hubwire.errors.LogDamaged` if it is not what was kept."""

    def misread(self, place: Place, error: Exception) -> None:
        """A line is what was written, but no letter."""

    def oldest(self, *, with_current: bool) -> str | None:
        """Return the name of the oldest file, None if there is none; ``with_current``: be it the one appended to."""

    async def delete(self, file: str) -> None:
        """Delete a file in which no line counts any more."""


class Lines:
    """Keeps lines in memory: of each letter the last one alone."""

    size_bytes: int = 0
    problems: Sequence[str] = ()
    damaged: int = 0

    async def load(self) -> AsyncIterator[tuple[Place, dict[str, Any]]]:
        return
        yield  # it is an iterator all the same

    async def append(self, lines: Sequence[bytes]) -> list[Place]:
        return [Place("", 0, len(line), line) for line in lines]

    async def read(self, place: Place) -> bytes:
        assert place.line is not None
        return place.line

    def misread(self, place: Place, error: Exception) -> None:
        """Do nothing: there is none."""

    def oldest(self, *, with_current: bool) -> str | None:  # noqa: ARG002 - there are no files
        return None

    async def delete(self, file: str) -> None:
        """Do nothing: a line is gone with the last that refers to it."""


class LetterReader:
    """Reads the files of dead letters; it needs no hub, and changes none of them."""

    def __init__(self, store: KnowledgeStore, journal_path: str) -> None:
        self.path: str = f"{journal_path}/{FOLDER}"
        self.sizes: dict[str, int] = {}
        """The size of each file, the oldest first."""
        self.not_understood: set[str] = set()
        """The files that have lines which are damaged, or of a newer version."""
        self.problems: list[str] = []
        self.damaged: int = 0
        self._store = store

    async def load(self) -> AsyncIterator[tuple[Place, dict[str, Any]]]:
        """Iterate over the lines of all files that are what was written; take note of what else there is."""
        names = sorted(name for name in await self._store.list(self.path) if _NAME.fullmatch(name))
        await self._compare(names)
        for name in names:
            content = await self._store.read_bytes(f"{self.path}/{name}")
            if content is None:
                continue  # deleted meanwhile, when no line in it counted
            self.sizes[name] = len(content)
            for number, (start, line) in enumerate(_lines(content)):
                if number % _SLICE == 0:
                    await asyncio.sleep(0)
                for begin, end, fields in self._understood(name, start, line):
                    yield Place(name, begin, end - begin), fields

    async def _compare(self, names: Iterable[str]) -> None:
        """See whether files are missing that the index names."""
        content = await self._store.read_bytes(f"{self.path}/{_INDEX}")
        if content is None:
            return
        try:
            fields = codec.decode_marker(content)
        except InvalidRecord as error:
            self.problems.append(
                f"{self.path}/{_INDEX} is damaged ({error}); whether a file of dead letters is missing is not known"
            )
            return
        named = fields.get("files")
        if fields["v"] > VERSION or not isinstance(named, list):
            self.problems.append(f"{self.path}/{_INDEX} was written by a newer version of hubwire; use that one")
            return
        for name in sorted({str(each) for each in named}.difference(names)):
            self.problems.append(
                f"{self.path}/{name} is missing, and the dead letters in it are; restore it from a copy"
            )

    def _understood(self, name: str, start: int, line: bytes) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """Yield where there are lines, and what they say: one, unless it is damaged."""
        try:
            fields = codec.decode_marker(line)
        except InvalidRecord as error:
            rescued = tuple(_rescued(line))
            if rescued or line.endswith(b"\n"):  # otherwise it was not acknowledged: a kill has cut it
                self._note(name, f"a dead letter in {self.path}/{name}, at byte {start}, is damaged: {error}")
            yield from ((start + begin, start + end, fields) for begin, end, fields in rescued)
            return
        if fields.pop("v") > VERSION:
            what = "was written by a newer version of hubwire; use that one"
            self._note(name, f"a dead letter in {self.path}/{name}, at byte {start}, {what}")
            return
        yield start, start + len(line), fields

    def misread(self, place: Place, error: Exception) -> None:
        """Take note of a line that is what was written, but no letter."""
        self._note(place.file, f"{self.path}/{place.file} has no dead letter at byte {place.start}: {error}")

    def _note(self, name: str, problem: str) -> None:
        self.damaged += 1
        if name not in self.not_understood:
            self.not_understood.add(name)
            self.problems.append(problem)

    async def read(self, place: Place) -> bytes:
        path = f"{self.path}/{place.file}"
        line = await self._store.read_bytes(path, place.start, place.start + place.size)
        try:
            codec.decode_marker(_ended(line or b""))
        except InvalidRecord as error:
            what = "is missing" if line is None else f"is damaged at byte {place.start}: {error}"
            raise LogDamaged(f"{path}, which holds dead letters, {what}; restore it from a copy", path=path) from error
        assert line is not None
        return _ended(line)


class LetterFiles:
    """Keeps lines in files of a store, for the one hub that has the journal."""

    def __init__(self, journal: Journal, *, bytes_max: int) -> None:
        self._journal = journal
        self._store = journal.store
        self._reader = LetterReader(journal.store, journal.path)
        self._file_bytes = max(bytes_max // 8, 1024)
        self._current: str | None = None
        """The file that is appended to; None before the first append, and after one that has failed."""
        self._number = 0

    @property
    def size_bytes(self) -> int:
        return sum(self._reader.sizes.values())

    @property
    def problems(self) -> Sequence[str]:
        return self._reader.problems

    @property
    def damaged(self) -> int:
        return self._reader.damaged

    def load(self) -> AsyncIterator[tuple[Place, dict[str, Any]]]:
        return self._reader.load()

    async def append(self, lines: Sequence[bytes]) -> list[Place]:
        sizes, name = self._reader.sizes, self._current
        is_new = name is None or sizes[name] >= self._file_bytes
        if name is None or is_new:
            name = self._next_name()
        start = sizes.get(name, 0)
        self._current = None  # if it fails, no line is believed to be where an unknown one may be
        await self._store.append(f"{self._reader.path}/{name}", b"".join(lines), expect=start)
        places = []
        for line in lines:
            places.append(Place(name, start, len(line)))
            start += len(line)
        sizes[name] = start
        self._current = name
        if is_new:
            await self._keep_index()
        return places

    def _next_name(self) -> str:
        while True:
            self._number += 1
            name = f"{self._journal.epoch:020d}-{self._number:06d}.jsonl"
            if name not in self._reader.sizes:
                return name

    async def _keep_index(self) -> None:
        path, names = f"{self._reader.path}/{_INDEX}", sorted(self._reader.sizes)
        if names:
            await self._store.write(path, line_of({"files": names}))
        else:
            await self._store.delete(path)

    async def read(self, place: Place) -> bytes:
        return await self._reader.read(place)

    def misread(self, place: Place, error: Exception) -> None:
        self._reader.misread(place, error)

    def oldest(self, *, with_current: bool) -> str | None:
        return next((name for name in sorted(self._reader.sizes) if with_current or name != self._current), None)

    async def delete(self, file: str) -> None:
        await self._journal.check()  # another hub that took over may count on it
        path = f"{self._reader.path}/{file}"
        if file in self._reader.not_understood:
            content = await self._store.read_bytes(path)
            await self._store.write(f"{self._reader.path}/{_ASIDE}/{file}", content or b"")
        size = self._reader.sizes.pop(file)
        if file == self._current:
            self._current = None
        try:
            await self._keep_index()
            await self._store.delete(path)
        except BaseException:
            self._reader.sizes[file] = size
            raise


def _lines(content: bytes) -> Iterable[tuple[int, bytes]]:
    start = 0
    while start < len(content):
        end = content.find(b"\n", start) + 1 or len(content)
        yield start, content[start:end]
        start = end


def _ended(line: bytes) -> bytes:
    """Return a line with its line feed, where that alone is damaged."""
    return line[:-1] + b"\n"


def _rescued(line: bytes) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield the lines that are whole but for the line feed at their end, which would hide the next one too."""
    begin = 0
    for match in _SEALED.finditer(line):
        try:
            fields = codec.decode_marker(line[begin : match.end()] + b"\n")
        except InvalidRecord:
            continue
        end = match.end() + 1
        if fields.pop("v") <= VERSION and end <= len(line):
            yield begin, end, fields
        begin = end
