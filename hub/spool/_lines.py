"""The form of a spool: names of files, and the lines in them. Of the standard library alone: hooks have no time.

A file is called ``<stream>.<number>.jsonl``: 16 letters that no other stream has, also of another boot or machine, and
the number of its first line, by which the files of a stream are in order. A line is one object of JSON::

    {"n":12,"p":4711,"at":"2026-11-21T09:30:00.000001Z","e":{"kind":"tool.called", ...},"c":"0a1b2c3d"}

``n`` counts the lines of the stream from 1, ``p`` is the process that wrote it, ``at`` when that was, ``e`` the event,
and ``c`` the CRC-32 of the line before it. ``lost``, where it is there, is how many events before this one could not be
written, by the process that writes it now.
"""

from __future__ import annotations

import os
import time
from zlib import crc32

__all__ = (
    "LINE_BYTES_MAX",
    "LOCK",
    "SUFFIX",
    "TAKEN",
    "Damaged",
    "body_of",
    "file_name",
    "first_of",
    "is_sound",
    "line_of",
    "moment",
    "new_stream",
    "number_of",
    "stream_of",
    "used_bytes",
)

SUFFIX = ".jsonl"
LOCK = "drain.lock"
"""Whoever drains the directory has it locked."""
TAKEN = "taken.json"
"""What is taken of each file."""

LINE_BYTES_MAX = 8 * 1024 * 1024
"""What a hub takes in one event, by default."""

_STREAM_CHARS = 16
_NUMBER_CHARS = 12
_NAME_CHARS = _STREAM_CHARS + 1 + _NUMBER_CHARS + len(SUFFIX)
_DIGITS_MAX = 15
_SEAL_BYTES = len(b',"c":"01234567"}')
_LETTERS = "abcdefghijklmnop"
"""Not digits, of which many in a row may be taken for the number of a card, and be redacted."""


class Damaged(Exception):
    """A line is not as it was written, for the reason that is its text."""


# --- files ----------------------------------------------------------------------------------------------------------


def new_stream() -> str:
    return "".join(_LETTERS[byte & 15] + _LETTERS[byte >> 4] for byte in os.urandom(_STREAM_CHARS // 2))


def file_name(stream: str, first: int) -> str:
    return f"{stream}.{first:0{_NUMBER_CHARS}d}{SUFFIX}"


def stream_of(name: str) -> str | None:
    """Return the stream of a file; None of what is no file of a spool."""
    stream, number = name[:_STREAM_CHARS], name[_STREAM_CHARS + 1 : -len(SUFFIX)]
    is_one = len(name) == _NAME_CHARS and name.endswith(SUFFIX) and name[_STREAM_CHARS] == "."
    return stream if is_one and not stream.strip(_LETTERS) and number.isascii() and number.isdecimal() else None


def first_of(file: str) -> int:
    """Return the number of the first line of a file, which its name says."""
    return int(file[_STREAM_CHARS + 1 : -len(SUFFIX)])


def used_bytes(directory: str) -> int:
    """Return how many bytes the files of a spool have."""
    used = 0
    with os.scandir(directory) as found:
        for entry in found:
            if stream_of(entry.name) is not None:
                try:
                    used += entry.stat(follow_symlinks=False).st_size
                except FileNotFoundError:
                    continue  # it was taken meanwhile
    return used


# --- lines ----------------------------------------------------------------------------------------------------------


def moment(ns: int) -> str:
    """Return nanoseconds since the epoch as the hub writes a moment."""
    second, rest = divmod(ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}.{rest // 1000:06d}Z"


def line_of(number: int, process: int, at: str, lost: int, event: bytes) -> bytes:
    """Return a line, with its line feed; ``event`` is one object of JSON."""
    said = b',"lost":%d' % lost if lost else b""
    body = b'{"n":%d,"p":%d,"at":"%b"%b,"e":%b' % (number, process, at.encode(), said, event)
    return b'%b,"c":"%08x"}\n' % (body, crc32(body))


def is_sound(line: bytes) -> bool:
    """Tell whether a line, without its line feed, is as it was written."""
    body, seal = line[:-_SEAL_BYTES], line[-_SEAL_BYTES:]
    return seal == b',"c":"%08x"}' % crc32(body) and body.startswith(b'{"n":')


def body_of(line: bytes) -> bytes:
    """Return the object of a line without its checksum. Raises :class:`Damaged`."""
    if not is_sound(line):
        raise Damaged("its checksum is not that of its content")
    return line[:-_SEAL_BYTES] + b"}"


def number_of(line: bytes) -> int:
    """Return the number of a sound line. Raises :class:`Damaged`: a stranger's line may be sound, too."""
    number = line[len(b'{"n":') : max(line.find(b","), 0)]
    if not number.isdigit() or len(number) > _DIGITS_MAX or int(number) == 0:
        raise Damaged("its number is none")
    return int(number)
