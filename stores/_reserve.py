"""The reserve of a FileStore: room on its disk that small changes get when all other room is used up.

With a full disk not even a lock file can be signed, and a log cannot be told to truncate itself. The reserve is a file
below the root; a replacement or a lock file that finds the disk full takes what it needs of it, and is tried again. An
append never gets it: appends are what fills disks, so they must not find more of it free than a caller is about to use.
"""

from __future__ import annotations

import contextlib
import os

from . import _posix
from ._tree import Tree

__all__ = ("Reserve",)

_NAME = "reserve@"
_BYTES_MAX = 1 << 20
_BYTES_MIN = 64 << 10
"""Less would not hold the small files that the way out is made of."""
_STEP_BYTES = 16 << 10
"""What a change may need beside its content: the file's last block, an entry in a directory, the entry's new block."""
_PART = 16
"""The reserve takes this part of the free room at most: the rest is for the records that it is kept for."""


class Reserve:
    """Makes and gives up the reserve of one root. All calls block."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def free_bytes(self) -> int:
        """Return how much this process may still write to the disk, without the reserve."""
        with self._tree.directory("/") as root:
            status = os.statvfs(self._tree.root if root is None else root)
        return status.f_bavail * status.f_frsize

    def keep(self) -> bool:
        """Make the reserve, or restore its size, as far as the disk has room; return whether there is one."""
        with self._tree.directory("/") as root:
            if root is None:
                return False
            kept = 0
            with contextlib.suppress(FileNotFoundError):
                kept = os.stat(_NAME, dir_fd=root, follow_symlinks=False).st_size
            wanted = min(_BYTES_MAX, (self.free_bytes() + kept) // _PART)
            if wanted < _BYTES_MIN or wanted <= kept:
                return kept >= _BYTES_MIN
            fd = _posix.open_regular(_NAME, os.O_WRONLY | os.O_CREAT, root)
            try:
                os.posix_fallocate(fd, 0, wanted)
            except OSError:
                if kept >= _BYTES_MIN:
                    return True
                _posix.unlink_if_there(_NAME, root)
                return False
            finally:
                os.close(fd)
            return True

    def give_up(self, size: int) -> bool:
        """Give up room for a change of this size, or all there is; return whether there was any."""
        with self._tree.directory("/") as root:
            if root is None:
                return False
            try:
                fd = _posix.open_regular(_NAME, os.O_WRONLY, root)
            except OSError:
                return False
            try:
                rest = os.fstat(fd).st_size - size - _STEP_BYTES
                if rest > 0:
                    os.ftruncate(fd, rest)
                    return True
            except OSError:
                pass  # what cannot be made smaller is deleted
            finally:
                os.close(fd)
            try:
                os.unlink(_NAME, dir_fd=root)
            except OSError:
                return False
            return True
