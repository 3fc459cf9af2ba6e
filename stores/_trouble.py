"""What FileStore makes of an ``OSError``: which store error it is, and which paths must not be touched again."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from hubwire.errors import AppendConflict, PathPoisoned, StoreError, StoreFull

from ._posix import FULL
from ._watch import is_at_or_below

__all__ = ("Trouble", "conflict")


class Trouble:
    """Translates errors, and remembers the paths about which the disk cannot be trusted any more.

    The kernel reports a failed write-back once and then takes the pages for clean, so that a second sync would succeed
    over lost data (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._poisoned: dict[str, OSError] = {}

    def is_poisoned(self, path: str) -> bool:
        return path in self._poisoned

    def refuse_poisoned(self, path: str) -> None:
        # Not only the path itself: a directory that could not be synced closes what is below it.
        for poisoned, error in self._poisoned.items():
            if is_at_or_below(path, poisoned):
                raise PathPoisoned(
                    f"{path!r} in {self._root} is closed for this store: what the disk holds of {poisoned!r} is "
                    f"unknown since an earlier error ({error.strerror}); mend the disk and start again",
                    path=path,
                ) from error

    @contextmanager
    def translated(self, doing: str, path: str, *, changes: bool = False) -> Iterator[None]:
        """Turn an ``OSError`` into a store error; ``changes`` says that the medium may have been half changed by it."""
        try:
            yield
        except OSError as error:
            raise self.translate(error, doing, path, changes=changes) from error

    def translate(self, error: OSError, doing: str, path: str, *, changes: bool = False) -> StoreError:
        """Return the store error for an ``OSError``: as :meth:`translated`, where a generator would cost too much."""
        if changes and error.errno == errno.EIO:
            return self.poison(doing, path, error)
        if changes and error.errno in FULL:
            return self.full(doing, path, error)
        if error.errno == errno.ELOOP:
            message = "it leads through a symbolic link, which is not followed; mount the place instead"
        else:
            message = f"{error.strerror}; mend that and call again"
        return StoreError(f"cannot {doing} {path!r} in {self._root}: {message}", path=path)

    def failed_write(self, doing: str, path: str, error: OSError, offset: int | None = None) -> StoreError:
        """Say what a failure to write, sync or close means, when what was written so far can be taken back."""
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
        f"{path!r} {found}, not the {expected} bytes expected: somebody else wrote. Nothing was written; read it again",
        path=path,
        expected=expected,
        actual=actual,
    )
