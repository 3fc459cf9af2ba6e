"""How many events could not be written and never will be told by a line: counted beside the spool.

A process that leaves one event, and cannot, has no next line to say so in. So it adds a byte to ``<directory>.lost``:
one that can be added where the spool itself is full, is no directory, or may not be written. The size of the file is
the number, so that any number of processes may add to it at once. Of the standard library alone.
"""

from __future__ import annotations

import os
from stat import S_ISREG

__all__ = ("LOSSES_MAX", "add_losses", "losses_of")

LOSSES_MAX = 1024 * 1024
"""What comes beyond it is not counted any more."""

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def add_losses(directory: str, count: int) -> None:
    """Count events of a spool that could not be written; if that cannot be written either, they are not counted."""
    try:
        fd = os.open(_path(directory), _FLAGS, 0o600)
    except OSError:
        return
    try:
        status = os.fstat(fd)
        if S_ISREG(status.st_mode) and status.st_size < LOSSES_MAX:
            os.write(fd, b"\n" * min(count, LOSSES_MAX - status.st_size))
    except OSError:
        return
    finally:
        os.close(fd)


def losses_of(directory: str) -> int:
    """Return how many were counted. Raises ``OSError``, but not for a file that is missing."""
    try:
        status = os.stat(_path(directory), follow_symlinks=False)  # noqa: PTH116 - pathlib takes milliseconds
    except FileNotFoundError:
        return 0
    return min(status.st_size, LOSSES_MAX) if S_ISREG(status.st_mode) else 0


def _path(directory: str) -> str:
    return f"{directory}.lost"
