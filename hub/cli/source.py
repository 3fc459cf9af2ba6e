"""The source of conversations: a file or the standard input, gzipped or not, cut into items.

An input is JSON Lines, or one JSON document: an array of items, or a single item. An item is one conversation.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO

import attrs
import msgspec

from .failures import CommandFailed

__all__ = ("NOT_JSON", "InputUnreadable", "Item", "Source", "open_source")

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""The exceptions of msgspec for bytes that are not JSON."""


class InputUnreadable(CommandFailed):
    """The input as a whole cannot be read: it is not JSON, cut off, or missing."""


@attrs.frozen
class Item:
    """One conversation of the input, not parsed yet."""

    number: int
    """Its number in the input, from 0."""
    place: str
    raw: bytes


@contextmanager
def open_source(path: str) -> Iterator[Source]:
    """Open an input: a file, gzipped or not, or ``-``, which is the standard input.

    Raises :class:`InputUnreadable`.
    """
    try:
        with _seekable(path) as file:
            gzipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not gzipped:
                yield Source(_name(path), file)
                return
            with gzip.GzipFile(fileobj=file) as unzipped:
                yield Source(_name(path), unzipped)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputUnreadable(f"{_name(path)} is damaged or cut off: {error}") from error


def _name(path: str) -> str:
    return "stdin" if path == "-" else Path(path).name.encode(errors="replace").decode()


@contextmanager
def _seekable(path: str) -> Iterator[IO[bytes]]:
    """Open an input that can be read twice, to check and to import it: one that can be read only once is copied."""
    with _opened(path) as file:
        if file.seekable():
            yield file
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(file, copy)
            copy.seek(0)
            yield copy


def _opened(path: str) -> AbstractContextManager[IO[bytes]]:
    if path == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise InputUnreadable(f"{path} cannot be read: {error.strerror}") from error


class Source:
    """An open input. :meth:`items` may be called again, and gives the same items again."""

    def __init__(self, name: str, file: IO[bytes] | gzip.GzipFile) -> None:
        self.name = name
        self.digest: str = ""
        """SHA-256 of all bytes, unzipped, as hex; known when :meth:`items` has come to its end."""
        self._file = file
        self._is_lines = self._look()

    def items(self) -> Iterator[Item]:
        """Iterate over the items, reading lines one by one; a document is read as a whole."""
        self._file.seek(0)
        digest = hashlib.sha256()
        if self._is_lines:
            number = 0
            for index, line in enumerate(self._file):
                digest.update(line)
                text = line.removeprefix(b"\xef\xbb\xbf") if index == 0 else line
                if text.strip():
                    yield Item(number, f"line {index + 1}", text)
                    number += 1
        else:
            content = self._file.read()
            digest.update(content)
            yield from self._split(content.removeprefix(b"\xef\xbb\xbf"))
        self.digest = digest.hexdigest()

    def _look(self) -> bool:
        """Tell whether the input is lines rather than one document: by its name, else by its first lines."""
        if self.name.lower().removesuffix(".gz").endswith((".jsonl", ".ndjson")):
            return True
        filled = (line for line in self._file if line.strip())
        first, second = next(filled, b""), next(filled, None)
        return second is not None and _is_json(first.removeprefix(b"\xef\xbb\xbf"))

    def _split(self, content: bytes) -> Iterator[Item]:
        if not content.strip():
            return
        if not content.lstrip().startswith(b"["):
            yield Item(0, "item 1", content)
            return
        try:
            elements = msgspec.json.decode(content, type=list[msgspec.Raw])
        except NOT_JSON as error:
            raise InputUnreadable(f"{self.name} is not a JSON document: {error}") from error
        if elements and _is_message(bytes(elements[0])):
            yield Item(0, "item 1", content)
            return
        for number, element in enumerate(elements):
            yield Item(number, f"item {number + 1}", bytes(element))


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except NOT_JSON:
        return False
    return True


def _is_message(element: bytes) -> bool:
    try:
        decoded = msgspec.json.decode(element)
    except NOT_JSON:
        return False
    return isinstance(decoded, dict) and "role" in decoded
