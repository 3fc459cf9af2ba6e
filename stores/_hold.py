"""Holding a path: a lock file, locked with flock, that names the process that holds it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time

from hubwire.clock import SystemClock, timestamp
from hubwire.errors import AlreadyRunning

from . import _posix

__all__ = ("already_running", "take_lock_file", "utc_now")

_ATTEMPTS = 50
_PAUSE_SECONDS = 0.002


def utc_now() -> str:
    return timestamp(SystemClock().now_ns())


def already_running(path: str, pid: int, host: str, since: str) -> AlreadyRunning:
    return AlreadyRunning(
        f"{path!r} is held by process {pid} on {host} since {since}; stop that one first, or use another path",
        path=path,
        pid=pid,
        host=host,
        since=since,
    )


def take_lock_file(directory: int, name: str, path: str, since: str) -> int:
    """Return the descriptor of the locked file ``name``; the lock lasts as long as the descriptor is open.

    ``since`` is written into it, for others to report. Raises :class:`AlreadyRunning` if another process holds it.
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
            _sign(fd, since)
            return fd
        os.close(fd)  # Its holder removed it after we opened it and before we locked it.
    pid = holder.get("pid")
    raise already_running(
        path,
        pid if isinstance(pid, int) else 0,
        str(holder.get("host", "unknown")),
        str(holder.get("since", "unknown")),
    )


def _sign(fd: int, since: str) -> None:
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    try:
        os.ftruncate(fd, 0)
        _posix.write_all(fd, json.dumps(holder).encode() + b"\n")
    except OSError:
        os.close(fd)
        raise


def _read_holder(fd: int) -> dict[str, object]:
    try:
        holder = json.loads(os.pread(fd, 4096, 0))
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}
