"""The input: a file or the standard input, cut into items, whatever it is packed in and called.

It is JSON Lines, or one JSON document: an array of items, or a single item. A list of messages, whether it is an array
or lines, is a single item.
"""

from __future__ import annotations

import enum
import hashlib
import json
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, Protocol

import attrs
import msgspec

from .decoding import NotJson, parse_json
from .packing import InputUnreadable, damage_is_reported, unpacked

__all__ = ("FileSource", "InputUnreadable", "Item", "Source", "base_name", "is_message", "open_file", "printable_name")

_ITEM_BYTES_MAX = 1024 * 1024 * 1024
"""A line or a document is read as a whole; packed, a few bytes can be endless lines."""
_SUFFIXES = (".gz", ".zst")
_BLANK = re.compile(r"\s*")


@attrs.frozen
class Item:
    """One item of the input, not parsed yet."""

    number: int
    """Its number in the input, from 0."""
    place: str
    raw: bytes


class Source(Protocol):
    """An open input. :meth:`items` may be called again, and gives the same items again."""

    name: str
    """The name of the file, for people."""
    digest: str
    """Of all that it holds; known when :meth:`items` has come to its end."""

    def items(self) -> Iterator[Item]: ...


def base_name(name: str) -> str:
    """Return the name of an input without what says how it is compressed."""
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def printable_name(path: str) -> str:
    """Return the last part of a path, as text that UTF-8 can hold."""
    return Path(path).absolute().name.encode(errors="replace").decode()


@contextmanager
def open_file(path: str) -> Iterator[FileSource]:
    """Open an input: a file, or ``-``, which is the standard input. Raises :class:`InputUnreadable`."""
    name = "stdin" if path == "-" else printable_name(path)
    with damage_is_reported(name), _seekable(path) as file:
        yield FileSource(name, file)


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
        mode = Path(path).stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputUnreadable(
                f"{path} is a directory; name a file in it, or a store of AG2 with --format ag2-store"
            )
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            raise InputUnreadable(f"{path} is a device, which may have no end; import a file, or - for standard input")
        return Path(path).open("rb")
    except OSError as error:
        raise InputUnreadable(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in its name
        raise InputUnreadable(f"{path!r} cannot be read: {error}") from error


class _Form(enum.Enum):
    DOCUMENT = enum.auto()
    LINES = enum.auto()
    MESSAGES = enum.auto()
    """Each line is a message of one conversation."""


class FileSource:
    """A file."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self.name = name
        self.digest: str = ""
        self._file = file
        self._form = self._look()

    def items(self) -> Iterator[Item]:
        """Iterate over the items, reading lines one by one; a document is read as a whole."""
        stream, digest = unpacked(self._file, self.name), hashlib.sha256()
        if self._form is _Form.DOCUMENT:
            content = stream.read(_ITEM_BYTES_MAX + 1)
            self._check_size(len(content), "the document")
            digest.update(content)
            yield from self._split(content)
        elif self._form is _Form.MESSAGES:
            yield self._joined(self._lines(stream), digest)
        else:
            number = 0
            for index, line in enumerate(self._lines(stream)):
                digest.update(line)
                if line.strip():
                    yield Item(number, f"line {index + 1}", line)
                    number += 1
        self.digest = digest.hexdigest()

    def _joined(self, lines: Iterator[bytes], digest: hashlib._Hash) -> Item:
        """Return all lines as one conversation, of which each is a message."""
        messages, size, count = [], 0, 0
        for index, line in enumerate(lines):
            digest.update(line)
            size, count = size + len(line), index + 1
            self._check_size(size, "the conversation")
            if not line.strip():
                continue
            if not _is_json(line):
                raise InputUnreadable(f"{self.name}, line {index + 1}: is not JSON, and each line is to be a message")
            messages.append(line)
        return Item(0, f"lines 1 to {count:,}", b"[" + b",".join(messages) + b"]")

    def _lines(self, stream: IO[bytes]) -> Iterator[bytes]:
        number = 0
        while line := stream.readline(_ITEM_BYTES_MAX + 1):
            number += 1
            self._check_size(len(line), f"line {number:,}")
            yield line

    def _check_size(self, size: int, what: str) -> None:
        if size > _ITEM_BYTES_MAX:
            raise InputUnreadable(f"{self.name}: {what} has more than {_ITEM_BYTES_MAX:,} bytes, the most that is read")

    def _look(self) -> _Form:
        """Tell what the input is, by its first two lines, and else by its name."""
        filled = (line for line in self._lines(unpacked(self._file, self.name)) if line.strip())
        first, second = next(filled, b""), next(filled, None)
        if second is None:
            return _Form.DOCUMENT
        if _is_json(first):
            return _Form.MESSAGES if _is_message(first) else _Form.LINES
        is_named = base_name(self.name.lower()).endswith((".jsonl", ".ndjson"))
        return _Form.LINES if is_named and _is_json(second) else _Form.DOCUMENT

    def _split(self, content: bytes) -> Iterator[Item]:
        if not content.strip():
            return
        if not content.lstrip().startswith(b"["):
            yield Item(0, "item 1", content)
            return
        elements = self._elements(content)
        if elements and _is_message(elements[0]):
            yield Item(0, "item 1", content)
            return
        for number, element in enumerate(elements):
            yield Item(number, f"item {number + 1}", element)

    def _elements(self, content: bytes) -> list[bytes]:
        try:
            return [bytes(each) for each in msgspec.json.decode(content, type=list[msgspec.Raw])]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # models also write what msgspec refuses, such as NaN
        try:
            return list(_slices(content.decode()))
        except (ValueError, RecursionError) as error:
            raise InputUnreadable(f"{self.name} is not a JSON document: {error}") from None


def _slices(text: str) -> Iterator[bytes]:
    """Iterate over the elements of an array, each as it is written. Raises ``ValueError``."""
    decoder = json.JSONDecoder()
    at = _after_blanks(text, text.index("[") + 1)
    while not text.startswith("]", at):
        _, end = decoder.raw_decode(text, at)
        yield text[at:end].encode()
        at = _after_blanks(text, end)
        if text.startswith(",", at):
            at = _after_blanks(text, at + 1)
        elif not text.startswith("]", at):
            raise ValueError(f"neither a comma nor the end of the array is at character {at:,}")
    if text[at + 1 :].strip():
        raise ValueError(f"more follows the array at character {at + 1:,}")


def _after_blanks(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return at if found is None else found.end()


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
        return True
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        parse_json(line)
    except NotJson:
        return False
    return True


def _is_message(element: bytes) -> bool:
    """Tell whether an element of an array is a message, so that the array is one conversation."""
    try:
        value = parse_json(element)
    except NotJson:
        return False
    return isinstance(value, dict) and is_message(value)


def is_message(value: dict[str, Any]) -> bool:
    """Tell whether an object is a message of a conversation, in any format, and no conversation of its own."""
    if any(key in value for key in ("messages", "contents", "conversations", "conversation", "request")):
        return False
    kind = value.get("type")
    if "lc" in value:
        path = value.get("id")
        return isinstance(path, list) and str(path[-1:]).lower().find("message") >= 0
    return (
        isinstance(value.get("role"), str)
        or ("from" in value and "value" in value)
        or isinstance(value.get("parts"), list)
        or (isinstance(kind, str) and ("data" in value or "call_id" in value or kind == "reasoning"))
    )
