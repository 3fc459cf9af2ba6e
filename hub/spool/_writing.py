"""Writing to a spool: from any thread, over forks and inside of signal handlers. Of the standard library alone."""

from __future__ import annotations

import os
import time
from _thread import RLock
from collections import deque

from ._files import OpenFile, make_directory, open_file
from ._lines import LINE_BYTES_MAX, line_of, moment, used_bytes
from ._losses import add_losses

TYPE_CHECKING = False  # as of `typing`, which takes longer to import than a line takes to write
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("BYTES_MAX", "FILE_BYTES_MAX", "Refused", "Writer")

BYTES_MAX = 256 * 1024 * 1024
FILE_BYTES_MAX = 8 * 1024 * 1024

_AROUND_BYTES = 140
"""What a line has around its event, at most: its number, time, process and checksum."""
_LOOK_BYTES = 1024 * 1024
"""After how many bytes of its own a writer looks again what all have written."""
_LOOK_SECONDS = 0.2
"""How often a writer that is refused looks whether there is room again."""
_WAITING_MAX = 1000


class Refused(Exception):
    """An event is not written, for the reason that is its text."""


class Writer:
    """Appends lines to a file of its own, and opens another one when that is full, or gone, or has failed."""

    def __init__(
        self,
        directory: str,
        *,
        sync: bool = True,
        bytes_max: int = BYTES_MAX,
        file_bytes_max: int = FILE_BYTES_MAX,
        now_ns: Callable[[], int] = time.time_ns,
        told: Callable[[BaseException], object] | None = None,
    ) -> None:
        """``told`` is called with the first of failures in a row. A process that may fork registers it for that."""
        self.directory: str = directory
        self._sync = sync
        self._bytes_max = bytes_max
        self._file_bytes_max = file_bytes_max
        self._now_ns = now_ns
        self._told = told
        self._begin()

    def _begin(self) -> None:
        self._lock = RLock()
        self._is_writing = False
        self._waiting: deque[bytes] = deque(maxlen=_WAITING_MAX)
        """What signal handlers have appended while their thread was writing."""
        self._file: OpenFile | None = None
        self._full: OpenFile | None = None
        """The file after which the next one of the stream comes."""
        self._used = 0
        self._looked = 0.0
        self._unlooked = _LOOK_BYTES
        self._was_there = False
        self.written: int = 0
        self.failures: int = 0
        self.lost: int = 0
        """How many failed since the last line, which the next one says."""
        self.is_failing: bool = False
        self.last_error: str | None = None

    def after_fork_in_child(self) -> None:
        """Leave the file to the parent, and begin anew: a thread of the parent may be writing."""
        file = self._file
        self._begin()
        if file is not None:
            file.close()

    def append(self, event: bytes) -> int | None:
        """Write an event, one object of JSON; return the number of its line, None if it is not written, or later.

        It raises only what a signal handler of the program raises in it.
        """
        with self._lock:
            if self._is_writing:
                self._waiting.append(event)
                return None
            self._is_writing = True
            try:
                number = self._append(event)
                while self._waiting:
                    self._append(self._waiting.popleft())
                return number
            finally:
                self._is_writing = False

    def failed(self, error: BaseException) -> None:
        """Count an event that is not written."""
        with self._lock:
            self.failures += 1
            self.lost += 1
            self.last_error = f"{type(error).__name__}: {error}"[:500]
            is_first, self.is_failing = not self.is_failing, True
        if is_first and self._told is not None:
            self._told(error)

    def close(self) -> None:
        """Give the file to another writer, and to what drains the directory. The next append opens one again.

        Events that were lost, and that no line says, are counted beside the spool.
        """
        with self._lock:
            file, self._file, self._full = self._file, None, None
            lost, self.lost = self.lost, 0
            if file is not None:
                file.close()
        if lost:
            add_losses(self.directory, lost)

    def _append(self, event: bytes) -> int | None:
        try:
            number = self._write(event)
        except BaseException as error:
            file, self._file, self._full = self._file, None, None
            if file is not None:
                file.close()
            self.failed(error)
            if not isinstance(error, Exception):
                raise
            return None
        self.written += 1
        self.lost = 0
        self.is_failing = False
        return number

    def _write(self, event: bytes) -> int:
        if len(event) > LINE_BYTES_MAX:
            raise Refused(
                f"the event has {len(event):,} bytes, more than {LINE_BYTES_MAX:,}; store its payload elsewhere"
            )
        self._check_room(len(event) + _AROUND_BYTES)
        file = self._opened()
        line = line_of(file.number + 1, os.getpid(), moment(self._now_ns()), self.lost, event)
        file.append(line, sync=self._sync)
        self._used += len(line)
        self._unlooked += len(line)
        if file.size >= self._file_bytes_max:
            file.close()
            self._file, self._full = None, file
        return file.number

    def _opened(self) -> OpenFile:
        file = self._file
        if file is not None:
            if file.is_there():
                return file
            self._file = None
            file.close()
        self._file = open_file(self.directory, size_max=self._file_bytes_max, sync=self._sync, after=self._full)
        self._full = None
        return self._file

    def _check_room(self, size: int) -> None:
        """Raise :class:`Refused` if the directory holds too much; the directory itself is made once, not again."""
        if not self._was_there:
            make_directory(self.directory)
            self._was_there = True
        is_over = self._used + size > self._bytes_max
        if self._unlooked >= _LOOK_BYTES or (is_over and time.monotonic() - self._looked >= _LOOK_SECONDS):
            self._used = used_bytes(self.directory)
            self._unlooked, self._looked = 0, time.monotonic()
            is_over = self._used + size > self._bytes_max
        if is_over:
            raise Refused(
                f"{self.directory} holds {self._used:,} bytes that no hub has taken, and may hold {self._bytes_max:,};"
                " drain it: hubwire spool drain STORE DIRECTORY"
            )
