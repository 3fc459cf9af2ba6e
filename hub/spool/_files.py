"""One file of a spool, open and locked by the process that writes to it. Of the standard library alone."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from stat import S_ISREG

from ._lines import Damaged, file_name, first_of, is_sound, new_stream, number_of, stream_of

__all__ = ("OpenFile", "make_directory", "open_file", "sync_directory")

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_TAIL_BYTES = 64 * 1024
_ATTEMPTS = 5
"""How often a new file may be locked by what drains the directory before its writer has locked it."""
_LOOKS_MAX = 64
"""How many files are tried before a new one is made."""


class OpenFile:
    """A file that no other process writes to, for as long as this one has it open: the lock ends with the process."""

    __slots__ = ("_fd", "first", "number", "size", "stream")

    def __init__(self, fd: int, stream: str, number: int, size: int) -> None:
        self._fd = fd
        self.stream: str = stream
        self.number: int = number
        """Of the last line that was written to the stream; 0 before the first."""
        self.size: int = size

    def is_there(self) -> bool:
        """Tell whether the file still has a name: what is written to one without is lost."""
        return os.fstat(self._fd).st_nlink > 0

    def append(self, line: bytes, *, sync: bool) -> None:
        """Write a line, or leave the file as it was. Raises ``OSError``."""
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
            if sync:
                _sync_data(self._fd)
        except BaseException:
            os.ftruncate(self._fd, self.size)
            raise
        self.size += len(line)
        self.number += 1

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _sync_data(fd: int) -> None:
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # fsync leaves it in the cache of the drive there
    else:
        os.fdatasync(fd)


def sync_directory(directory: str) -> None:
    """Put the names of a directory on the medium."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(directory: str) -> None:
    """Make a directory and what is missing above it: what agents say is for their user alone."""
    if not os.path.isdir(directory):  # noqa: PTH112 - pathlib takes as long to import as a line to write
        os.makedirs(directory, mode=0o700, exist_ok=True)  # noqa: PTH103


def open_file(directory: str, *, size_max: int, sync: bool, after: OpenFile | None = None) -> OpenFile:
    """Return a file for this process: the next one of its stream ``after`` another, or else one that no writer has.

    So many short processes share a few files. Raises ``OSError``.
    """
    if after is None:
        looks = 0
        for name in sorted(os.listdir(directory)):  # noqa: PTH208
            if stream_of(name) is not None and (looks := looks + 1) <= _LOOKS_MAX:
                found = _adopt(directory, name, size_max)
                if found is not None:
                    return found
    for _ in range(_ATTEMPTS):
        stream = new_stream() if after is None else after.stream
        number = 0 if after is None else after.number
        if (made := _create(directory, stream, number)) is not None:
            if sync:
                sync_directory(directory)
            return made
        after = None  # its name was taken away from it: another stream has none before it
    raise OSError(errno.EAGAIN, "its files are locked as soon as they are made", directory)


def _create(directory: str, stream: str, number: int) -> OpenFile | None:
    path = f"{directory}/{file_name(stream, number + 1)}"
    try:
        fd = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return None
    return _locked(fd, stream, number, 0)


def _adopt(directory: str, name: str, size_max: int) -> OpenFile | None:
    """Return a file that was there, with the number of its last line; None if it is in use, full, torn or damaged."""
    path = f"{directory}/{name}"
    try:
        status = os.stat(path, follow_symlinks=False)  # noqa: PTH116
        if not S_ISREG(status.st_mode) or status.st_size >= size_max:
            return None
        fd = os.open(path, _FLAGS)
    except OSError:
        return None  # another user's, or it was taken meanwhile
    found = _locked(fd, stream_of(name) or "", 0, 0)
    if found is None:
        return None
    try:
        size = os.fstat(fd).st_size
        number = None if size >= size_max else _last_number(fd, size, first_of(name) - 1)
    except BaseException:
        found.close()
        raise
    if number is None:
        found.close()
        return None
    found.number, found.size = number, size
    return found


def _locked(fd: int, stream: str, number: int, size: int) -> OpenFile | None:
    """Return the file, locked; None, and closed, if another process has it or it has no name any more."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink > 0:
            return OpenFile(fd, stream, number, size)
    except BlockingIOError:
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _last_number(fd: int, size: int, before: int) -> int | None:
    """Return the number of the last line, ``before`` in an empty file; None if the end is torn or damaged."""
    if size == 0:
        return before
    length = _TAIL_BYTES
    while True:
        tail = os.pread(fd, length, max(0, size - length))
        if not tail.endswith(b"\n"):
            return None
        start = tail.rfind(b"\n", 0, -1) + 1
        if start or len(tail) >= size:
            line = tail[start:-1]
            try:
                return number_of(line) if is_sound(line) else None
            except Damaged:
                return None
        length *= 16
