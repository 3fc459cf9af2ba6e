"""A file that grows: read from its beginning, then as it grows, also when it is rotated or written anew.

A line is known by the name and the first line of its file, and its place there, so that a file which is read again
brings only what is new, also when it was rotated meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import BinaryIO

import anyio
from anyio import to_thread

from ..failures import CommandFailed
from ..importing.reading import printable_name
from .lines import Line, Splitter, TooLong

__all__ = ("File",)

_PIECE_BYTES = 1024 * 1024
_POLL_SECONDS = 0.2
_ROTATED = re.compile(r"\.\d+$")
"""What a rotation adds to the name of a file."""


class File:
    """A file; with ``once`` it is read to its end as it is now."""

    def __init__(self, path: str, *, once: bool) -> None:
        self.name: str = _ROTATED.sub("", printable_name(path))
        self._path = Path(path)
        self._once = once
        self._file: BinaryIO | None = None
        self._begin()

    def _begin(self) -> None:
        """Forget what was read: the next line is the first one of another file."""
        self._splitter = Splitter()
        self._first = ""
        self._offset = 0
        self._count = 0

    async def batches(self) -> AsyncIterator[Sequence[Line]]:
        try:
            while True:
                lines, is_at_end = await to_thread.run_sync(self._read)
                if lines:
                    yield lines
                if is_at_end:
                    if self._once:
                        break
                    await anyio.sleep(_POLL_SECONDS)
            if rest := self._close_line():
                yield rest
        finally:
            if self._file is not None:
                self._file.close()

    def _read(self) -> tuple[list[Line], bool]:
        """Return the next lines, and whether the end is reached as it is now."""
        if self._file is None and not self._open():
            return [], True
        assert self._file is not None
        content = self._file.read(_PIECE_BYTES)
        if content:
            return self._lines(self._splitter.feed(content)), False
        return self._look_again()

    def _open(self) -> bool:
        try:
            if not self._path.is_file() and self._path.exists():
                raise CommandFailed(f"{self._path} is no file; a pipe can be read as the standard input: -")
            self._file = self._path.open("rb")
        except FileNotFoundError as error:
            if self._once:
                raise CommandFailed(f"{self._path} cannot be read: {error.strerror}") from error
            return False
        except (OSError, ValueError) as error:
            raise CommandFailed(f"{self._path} cannot be read: {error}") from error
        return True

    def _look_again(self) -> tuple[list[Line], bool]:
        """At the end: see whether the file was cut, or another one has its name."""
        assert self._file is not None
        mine = os.fstat(self._file.fileno())
        if mine.st_size < self._offset + self._splitter.waiting_bytes:
            rest = self._close_line()
            self._file.seek(0)
            self._begin()
            return rest, False
        try:
            named = self._path.stat()
        except OSError:
            return [], True  # it was renamed, and the next one is not there yet
        if (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino):
            return [], True
        if content := self._file.read(_PIECE_BYTES):  # it was written to before it lost its name
            return self._lines(self._splitter.feed(content)), False
        rest = self._close_line()
        self._file.close()
        self._file = None
        self._begin()
        return rest, False

    def _close_line(self) -> list[Line]:
        """Return the last line, if it has no line feed and no more of it comes."""
        return self._lines(self._splitter.end())

    def _lines(self, contents: list[bytes | TooLong]) -> list[Line]:
        return [self._line(content) for content in contents]

    def _line(self, content: bytes | TooLong) -> Line:
        self._count += 1
        offset, place = self._offset, f"line {self._count:,}"
        if isinstance(content, TooLong):
            self._offset += content.size
            self._first = self._first or content.digest
            return Line(b"", place, refusal=content.refusal)
        self._offset += len(content)
        digest = hashlib.sha256(content.strip()).hexdigest()[:16]
        if not self._first and content.strip():
            self._first = digest
        return Line(content.rstrip(b"\r\n"), place, f"{self._first}:{offset}:{digest}")
