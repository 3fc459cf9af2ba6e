"""Failures of a FileStore: which store error an ``OSError`` becomes, and which paths are closed after it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from hubwire.errors import AppendConflict, PathPoisoned, StoreError, StoreFull

from ._posix import FULL
from ._watch import is_at_or_below

__all__ = ("Failures", "conflict")


class Failures:
    """Translates errors, and remembers the paths for which the disk can no longer be trusted.

    The kernel reports a failed write-back once and then treats the pages as clean, so that a second sync would succeed
    over lost data (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._poisoned: dict[str, OSError] = {}

    def is_poisoned(self, path: str) -> bool:
        return path in self._poisoned

    def refuse_poisoned(self, path: str) -> None:
        # Not only the path itself: a directory that could not be synced closes all paths below it.
        for poisoned, error in self._poisoned.items():
            if is_at_or_below(path, poisoned):
                raise PathPoisoned(
                    f"{path!r} in {self._root} is closed for this store: what the disk holds of {poisoned!r} is "
                    f"unknown since an earlier error ({error.strerror}); mend the disk and start again",
                    path=path,
                ) from error

    @contextmanager
    def translated(self, doing: str, path: str, *, changes: bool = False) -> Iterator[None]:
        """Turn an ``OSError`` into a store error; ``changes`` says that the failed call may have changed the medium."""
        try:
            yield
        except OSError as error:
            raise self.translate(error, doing, path, changes=changes) from error

    def translate(self, error: OSError, doing: str, path: str, *, changes: bool = False) -> StoreError:
        """Return the store error for an ``OSError``; a hot path calls this, because a generator would cost too much."""
        if changes and error.errno == errno.EIO:
            return self.poison(doing, path, error)
        if changes and error.errno in FULL:
            return self.full(doing, path, error)
        if error.errno == errno.ELOOP:
            message = "it leads through a symbolic link, which is not followed; mount the directory instead"
        elif error.errno == errno.EMLINK:
            message = "it is a hard link: its other name is read and changed with it; replace it by a copy of its own"
        else:
            message = f"{error.strerror}; mend that and call again"
        return StoreError(f"cannot {doing} {path!r} in {self._root}: {message}", path=path)

    def failed_write(self, doing: str, path: str, error: OSError, offset: int | None = None) -> StoreError:
        """Return the store error for a failure to write, sync or close, when the bytes written so far can be undone."""
        return (self.full if error.errno in FULL else self.poison)(doing, path, error, offset)

    def full(self, doing: str, path: str, error: OSError, offset: int | None = None) -> StoreFull:
        return StoreFull(
            f"cannot {doing} {path!r} in {self._root}: {error.strerror}; nothing was kept, make room and call again",
            path=path,
            byte_offset=offset,
        )

    def poison(self, doing: str, path: str, error: OSError, offset: int | None = None) -> StoreError:
        self._poisoned.setdefault(path, error)
        return StoreError(
            f"cannot {doing} {path!r} in {self._root}: {error.strerror}. What the disk holds is unknown, so that "
            "path is closed for this store; mend the disk and start again",
            path=path,
            byte_offset=offset,
        )


def conflict(path: str, expected: int, actual: int | None) -> AppendConflict:
    found = "does not exist" if actual is None else f"has {actual} bytes"
    return AppendConflict(
        f"{path!r} {found}, not the expected {expected} bytes: another writer changed it. Nothing was written; read it"
        " again",
        path=path,
        expected=expected,
        actual=actual,
    )
