"""Holding a path: a lock file, locked with flock, that names the process that holds it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time

import attrs

from hubwire.clock import SystemClock, timestamp
from hubwire.errors import AlreadyRunning

from . import _posix

__all__ = ("TakenLock", "already_running", "take_lock_file", "utc_now")

_ATTEMPTS = 50
_PAUSE_SECONDS = 0.002


def utc_now() -> str:
    return timestamp(SystemClock().now_ns())


def already_running(path: str, pid: int, host: str, since: str, place: str = "") -> AlreadyRunning:
    """Return the error; ``place`` says which store it is."""
    return AlreadyRunning(
        f"{path!r}{place} is held by process {pid} on {host} since {since}; stop that one first, or use another path",
        path=path,
        pid=pid,
        host=host,
        since=since,
    )


@attrs.frozen
class TakenLock:
    """A lock file that is locked for as long as its descriptor is open."""

    fd: int
    found: bytes
    """What an earlier holder, which was killed, had left in it; empty if it was not there."""

    def put_back(self) -> None:
        """Leave the file as it was found."""
        _overwrite(self.fd, self.found)


def take_lock_file(directory: int, name: str, path: str, since: str, place: str = "") -> TakenLock:
    """Lock the file ``name``.

    ``since`` is written into it, for others to report; ``place`` says which store it is. Raises
    :class:`AlreadyRunning` if another process holds it.
    """
    holder: dict[str, object] = {}
    for _ in range(_ATTEMPTS):
        fd = _posix.open_regular(name, os.O_RDWR | os.O_CREAT, directory)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read_holder(fd)
            os.close(fd)
            if holder:
                break
            # Its holder has just locked it and not signed it yet, or is about to remove it.
            time.sleep(_PAUSE_SECONDS)
            continue
        except OSError:
            os.close(fd)
            raise
        if _posix.is_current(fd, name, directory):
            return TakenLock(fd, _sign(fd, since))
        os.close(fd)  # Its holder removed it after we opened it and before we locked it.
    pid = holder.get("pid")
    raise already_running(
        path,
        pid if isinstance(pid, int) else 0,
        str(holder.get("host", "unknown")),
        str(holder.get("since", "unknown")),
        place,
    )


def holder_of(directory: int, name: str) -> str | None:
    """Return which process holds the lock file ``name``; None if none does."""
    fd = _posix.open_regular(name, os.O_RDONLY, directory)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _read_holder(fd)
        return f"process {holder.get('pid', '?')} on {holder.get('host', '?')} since {holder.get('since', '?')}"
    else:
        return None  # the process that made it was killed
    finally:
        os.close(fd)


def _sign(fd: int, since: str) -> bytes:
    """Write into a lock file who holds it; return what was in it."""
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    try:
        found = os.pread(fd, 4096, 0)
        _overwrite(fd, json.dumps(holder).encode() + b"\n")
    except OSError:
        os.close(fd)
        raise
    return found


def _overwrite(fd: int, content: bytes) -> None:
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    _posix.write_all(fd, content)


def _read_holder(fd: int) -> dict[str, object]:
    try:
        holder = json.loads(os.pread(fd, 4096, 0))
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}
