"""The files of a spool that are being drained: which there are, their lines in the order of time, and their ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections import deque
from collections.abc import Iterator

from ..clock import timestamp
from ..errors import AlreadyRunning
from ..forks import register_at_fork
from ._files import sync_directory
from ._lines import LOCK
from ._losses import losses_of
from ._marks import Marks
from ._reading import Line, Reader, files_in

__all__ = ("SET_ASIDE", "DrainLock", "Source", "Sources", "is_locked", "take_lock")

SET_ASIDE = "set-aside"
"""The directory within a spool for files with lines that could not be taken."""

_OPEN_MAX = 400
"""How many files are open at a time: a process may have a thousand or so."""
_LINGER_SECONDS = 5.0
"""How long a file that no writer has is left for the next writer, before it is deleted."""


def is_locked(directory: str) -> bool:
    """Tell whether a process drains the directory. Raises ``OSError``."""
    try:
        fd = os.open(f"{directory}/{LOCK}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


class DrainLock:
    """The lock of one drain on its directory. A forked child does not have it: it ends with this process."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        register_at_fork(self)

    def after_fork_in_child(self) -> None:
        self.release()

    def release(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def take_lock(directory: str) -> DrainLock:
    """Lock the directory for one drain.

    Raises :class:`~hubwire.errors.AlreadyRunning` if another has it, and ``OSError``.
    """
    fd = os.open(f"{directory}/{LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    except BlockingIOError:
        holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
        since = os.fstat(fd).st_mtime_ns
        os.close(fd)
        raise AlreadyRunning(
            f"{directory} is being drained by process {holder or '(not known yet)'}; a spool is drained by one at a"
            " time: end that one, or leave the directory to it",
            path=directory,
            pid=int(holder) if holder.isdecimal() else 0,
            host=os.uname().nodename,
            since=timestamp(since),
        ) from None
    except BaseException:
        os.close(fd)
        raise
    return DrainLock(fd)


class Source:
    """A file, and its lines that were read and not taken."""

    def __init__(self, reader: Reader) -> None:
        self.reader: Reader = reader
        self.lines: deque[Line] = deque()
        self.is_at_end: bool = False
        self.over_since: float | None = None
        """Since when no writer has it."""

    def fill(self) -> None:
        """Read on, unless there are lines."""
        self.is_at_end = False
        while not self.lines and not self.is_at_end:
            read = self.reader.read()
            self.is_at_end = read is None
            self.lines.extend(read or ())


class Sources:
    """All files. Its methods wait for the disk: they are called in a thread, one at a time."""

    def __init__(self, directory: str, marks: Marks, archive: str | None) -> None:
        self._directory = directory
        self._marks = marks
        self._archive = archive
        self._sources: dict[str, Source] = {}

    def __len__(self) -> int:
        return len(self._sources)

    def next(self) -> list[Line]:
        """Return lines that are next in the order of time, those of one file as they are there; none at the end."""
        for name in files_in(self._directory):
            if name not in self._sources and len(self._sources) < _OPEN_MAX:
                try:
                    reader = Reader(self._directory, name, self._marks.taken(name))
                except FileNotFoundError:
                    continue
                self._sources[name] = Source(reader)
        sources = list(self._sources.values())
        for source in sources:
            source.fill()
        # Of a file that goes on, a line to come may be older than what others have.
        horizons = [source.lines[-1].at for source in sources if source.lines and not source.is_at_end]
        return sorted(_taken_from(sources, min(horizons, default=None)), key=lambda line: line.at)

    def end_those_over(self, *, at_once: bool) -> None:
        """Delete what is taken and has no writer, or put it where it is kept; read the rest of a torn line.

        What no writer has is left to the next one for a while, unless it has to be ``at_once``.
        """
        for name, source in list(self._sources.items()):
            if source.lines or not source.reader.is_over():
                source.over_since = None
                continue
            try:
                if not source.reader.is_at_end():
                    continue  # it was written to after it was read
                if (torn := source.reader.end()) is not None:
                    source.lines.append(torn)
                elif self._marks.taken(name) >= source.reader.place and self._is_due(source, at_once=at_once):
                    self._end(name)
            finally:
                if name in self._sources:
                    source.reader.release()
        if len(self._marks) > len(self._sources):  # what the hub was asked about may be gone
            self._marks.forget_missing()

    def losses(self) -> int:
        """Return how many events could not be written, as it is counted beside the spool."""
        return losses_of(self._directory)

    def set_aside(self) -> int:
        """Return how many files have lines that were not taken, and were put aside for a person to look at."""
        try:
            return len(os.listdir(f"{self._directory}/{SET_ASIDE}"))  # noqa: PTH208
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        for source in self._sources.values():
            source.reader.close()
        self._sources.clear()

    def _is_due(self, source: Source, *, at_once: bool) -> bool:
        now = time.monotonic()
        if source.over_since is None:
            source.over_since = now
        return at_once or now - source.over_since >= _LINGER_SECONDS

    def _end(self, name: str) -> None:
        source = self._sources[name]
        kept = f"{self._directory}/{SET_ASIDE}" if self._marks.has_kept(name) else self._archive
        if kept is None:
            os.unlink(source.reader.path)  # noqa: PTH108
        else:
            os.makedirs(kept, mode=0o700, exist_ok=True)  # noqa: PTH103
            os.rename(source.reader.path, f"{kept}/{name}")  # noqa: PTH104
            sync_directory(kept)
        sync_directory(self._directory)
        # Not before: a file that comes back after the loss of power would be taken once more.
        self._marks.forget(name)
        del self._sources[name]
        source.reader.close()


def _taken_from(sources: list[Source], horizon: str | None) -> Iterator[Line]:
    for source in sources:
        while source.lines and (horizon is None or source.lines[0].at <= horizon):
            yield source.lines.popleft()
