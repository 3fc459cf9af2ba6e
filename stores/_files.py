"""The synchronous half of FileStore: what happens in its threads.

Life of an append: take the open file from the cache, or open it (and sync the directory that contains its name); lock
it; check that the path still names it, and read its size; compare with ``expect``; write; sync the data; unlock; put
the file back into the cache.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import weakref
from collections.abc import Iterable
from typing import NamedTuple

from hubwire.errors import AlreadyExists, StoreError, StoreFull
from hubwire.forks import register_at_fork

from . import _posix
from ._failures import Failures, conflict
from ._hold import TakenLock, holder_of, take_lock_file
from ._reserve import Reserve
from ._tree import Tree, parent_of
from ._watch import is_at_or_below
from .durability import Durability

__all__ = ("Files", "LongRead")

_LONG_READ_BYTES = 1 << 20
_OPEN_FILES_MAX = 64

_ATTEMPTS = 1000
"""How often to try again because the opened file was replaced or deleted. Each time, another process made progress."""


class LongRead(NamedTuple):
    """The result of a read that is better done piece by piece."""

    length: int


class _Open(NamedTuple):
    """A file that is open for appending, with its identity: one stat a call shows whether it is current."""

    fd: int
    device: int
    inode: int


class Files:
    """Files below ``root``. Paths come normalised, and calls that change one path do not overlap."""

    def __init__(self, root: str, durability: Durability) -> None:
        self._root = root
        self._sync = durability is Durability.FSYNC
        self._sync_replacement = durability is not Durability.NONE
        self.failures = Failures(root)
        self._tree = Tree(root, self.failures, sync=self._sync)
        self.reserve = Reserve(self._tree)
        self._cache: dict[str, _Open] = {}
        self._lock = threading.Lock()  # guards the cache
        register_at_fork(self)
        weakref.finalize(self, _close_all, self._cache)

    # --- reading ----------------------------------------------------------------------------------------------------

    def read(self, path: str, start: int, end: int | None) -> bytes | LongRead | None:
        with self.failures.translated("read", path):
            fd = self.open_for_reading(path)
            if fd is None:
                return None
            try:
                size = os.fstat(fd).st_size
                length = (size if end is None else min(end, size)) - start
                if length > _LONG_READ_BYTES:
                    return LongRead(length)
                return os.pread(fd, length, start) if length > 0 else b""
            finally:
                os.close(fd)

    def open_for_reading(self, path: str) -> int | None:
        with self.failures.translated("read", path):
            try:
                with self._tree.parent(path) as (directory, name):
                    return _posix.open_regular(name, os.O_RDONLY, directory)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None

    def open_for_streaming(self, path: str, _flags: int) -> int:
        """Serve as the ``opener`` of a file object."""
        fd = self.open_for_reading(path)
        if fd is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return fd

    def status(self, path: str) -> os.stat_result | None:
        fd = self.open_for_reading(path)
        if fd is None:
            return None
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def list(self, path: str) -> list[str]:
        with self.failures.translated("list", path), self._tree.directory(path) as directory:
            return [] if directory is None else sorted(_posix.children(directory))

    def exists(self, path: str) -> bool:
        if path != "/" and self.status(path) is not None:
            return True
        with self.failures.translated("look for", path), self._tree.directory(path) as directory:
            return directory is not None and _posix.holds_a_file(directory)

    def absolute_root(self) -> str:
        return self._tree.root

    def snapshot(self, paths: Iterable[str]) -> dict[str, tuple[int, int, int]]:
        """Return every file at or below the paths, with a value that differs when the file has changed."""
        return {each: state for path in paths for each, state in self._states(path).items()}

    def _states(self, path: str) -> dict[str, tuple[int, int, int]]:
        if path != "/" and (status := self.status(path)) is not None:
            return {path: _posix.state(status)}
        with self.failures.translated("watch", path), self._tree.directory(path) as directory:
            return {} if directory is None else dict(_posix.states_below(directory, path.rstrip("/")))

    # --- appending --------------------------------------------------------------------------------------------------

    def append(self, path: str, data: bytes, expect: int | None) -> int:
        self.failures.refuse_poisoned(path)
        try:
            file, size = self._lock_for_append(path, expect)
        except OSError as error:
            raise self.failures.translate(error, "append to", path, changes=True) from error
        try:
            if expect is not None and size != expect:
                raise conflict(path, expect, size)
            if data:
                _posix.write_all(file.fd, data)
                if self._sync:
                    _posix.sync_data(file.fd)
        except OSError as error:
            raise self._undo_append(path, file.fd, size, error) from error
        finally:
            self._give_back(path, file)
        return size

    def _lock_for_append(self, path: str, expect: int | None) -> tuple[_Open, int]:
        """Return the file that the path names now, locked, and its size."""
        with self._lock:
            file = self._cache.pop(path, None)
        for _ in range(_ATTEMPTS):
            try:
                if file is None:
                    file = self._open_for_append(path, create=not expect)
                fcntl.flock(file.fd, fcntl.LOCK_EX)
                status = os.stat(self._tree.root + path, follow_symlinks=False)  # noqa: PTH116 - a Path costs more than it
                if status.st_ino == file.inode and status.st_dev == file.device:
                    return file, status.st_size
            except FileNotFoundError:
                if file is None and expect:
                    raise conflict(path, expect, None) from None
            except OSError:
                if file is not None:
                    os.close(file.fd)
                raise
            if file is not None:
                os.close(file.fd)
                file = None
        raise self._replaced_too_often(path)

    def _open_for_append(self, path: str, *, create: bool) -> _Open:
        with self._tree.parent(path, create=create) as (directory, name):
            fd = _posix.open_regular(name, os.O_RDWR | os.O_APPEND | (os.O_CREAT if create else 0), directory)
            try:
                # Also for an existing file: the process that created it may have died before this step.
                self._tree.sync_entries(parent_of(path), directory)
                status = os.fstat(fd)
            except BaseException:
                os.close(fd)
                raise
        return _Open(fd, status.st_dev, status.st_ino)

    def _undo_append(self, path: str, fd: int, size: int, error: OSError) -> StoreError:
        if error.errno in _posix.FULL:
            try:
                os.ftruncate(fd, size)
                if self._sync:
                    _posix.sync_data(fd)
            except OSError as worse:
                return self.failures.poison("undo an append to", path, worse, size)
        return self.failures.failed_write("append to", path, error, size)

    def _give_back(self, path: str, file: _Open) -> None:
        if self.failures.is_poisoned(path):
            self._close(path, file)
            return
        try:
            fcntl.flock(file.fd, fcntl.LOCK_UN)
        except OSError:  # closing it unlocks it, too
            self._close(path, file)
            return
        with self._lock:
            self._cache[path] = file
            if len(self._cache) <= _OPEN_FILES_MAX:
                return
            oldest = next(iter(self._cache))
            file = self._cache.pop(oldest)
        self._close(oldest, file)

    def _close(self, path: str, file: _Open) -> None:
        try:
            os.close(file.fd)
        except OSError as error:
            self.failures.poison("close", path, error)

    # --- replacing --------------------------------------------------------------------------------------------------

    def write(self, path: str, data: bytes, *, if_absent: bool, expect: int | None) -> None:
        while True:
            try:
                return self._write(path, data, if_absent=if_absent, expect=expect)
            except StoreFull:
                # Replacements are what a log is truncated and positions are kept with: the way out of a full disk. An
                # append of another thread may be quicker to take the room: then there is more.
                if not self.reserve.give_up(len(data)):
                    raise

    def _write(self, path: str, data: bytes, *, if_absent: bool, expect: int | None) -> None:
        self.failures.refuse_poisoned(path)
        with self.failures.translated("write", path, changes=True):
            for _ in range(_ATTEMPTS):
                try:
                    if self._replace(path, data, if_absent=if_absent, expect=expect):
                        self._forget(path)
                        return
                except FileNotFoundError:
                    if expect:
                        raise conflict(path, expect, None) from None
        raise self._replaced_too_often(path)

    def _replace(self, path: str, data: bytes, *, if_absent: bool, expect: int | None) -> bool:
        """Write the file; return False if another process has just created it where it must not exist."""
        with self._tree.parent(path, create=not expect) as (directory, name):
            current = _posix.lock_current(name, directory)
            try:
                size = None if current is None else os.fstat(current).st_size
                if if_absent and size is not None:
                    raise AlreadyExists(f"{path!r} exists already; nothing was written", path=path)
                if expect is not None and expect != (size or 0):
                    raise conflict(path, expect, size)
                must_be_new = if_absent or (expect is not None and size is None)
                if not self._put_in_place(path, data, name, directory, must_be_new=must_be_new):
                    return False
            finally:
                if current is not None:
                    os.close(current)
            self._tree.sync_entries(parent_of(path), directory)
            return True

    def _put_in_place(self, path: str, data: bytes, name: str, directory: int, *, must_be_new: bool) -> bool:
        fd, replacement = _posix.create_replacement(directory)
        try:
            try:
                _posix.fill_replacement(fd, data, sync=self._sync_replacement)
            except OSError as error:
                raise self.failures.failed_write("write", path, error) from error
            _posix.place(replacement, name, directory, must_be_new=must_be_new)
        except BaseException as error:
            _posix.unlink_if_there(replacement, directory)
            if isinstance(error, FileExistsError):
                return False
            raise
        return True

    # --- cutting ----------------------------------------------------------------------------------------------------

    def cut(self, path: str, size: int, expect: int) -> None:
        """Write the first ``size`` bytes of a file of ``expect`` bytes through to the medium, and cut off the rest."""
        self.failures.refuse_poisoned(path)
        with self.failures.translated("cut", path, changes=True):
            try:
                with self._tree.parent(path) as (directory, name):
                    fd = _posix.lock_current(name, directory, flags=os.O_RDWR)
            except FileNotFoundError:
                fd = None
            if fd is None:
                raise conflict(path, expect, None)
            try:
                if (actual := os.fstat(fd).st_size) != expect:
                    raise conflict(path, expect, actual)
                _posix.write_through(fd, size)
                if size < expect:
                    os.ftruncate(fd, size)
                if self._sync:
                    _posix.sync_all(fd)
            finally:
                os.close(fd)

    # --- deleting ---------------------------------------------------------------------------------------------------

    def delete(self, path: str) -> None:
        with self.failures.translated("delete", path, changes=True):
            if path == "/":
                with self._tree.directory(path) as directory:
                    if directory is not None:
                        _posix.empty_directory(directory, sync=self._sync)
            else:
                try:
                    with self._tree.parent(path) as (directory, name):
                        _posix.remove(name, directory, sync=self._sync)
                        self._tree.sync_entries(parent_of(path), directory)
                    self._tree.remove_empty(parent_of(path))
                except (FileNotFoundError, NotADirectoryError):
                    pass
        self._forget(path)

    # --- holding ----------------------------------------------------------------------------------------------------

    def hold(self, path: str, since: str) -> TakenLock:
        """Return the lock that holds the path for as long as its descriptor is open."""
        with self.failures.translated("hold", path), self._tree.parent(path, create=True) as (directory, name):
            while True:
                try:
                    lock_name = name + _posix.LOCK_SUFFIX
                    return take_lock_file(directory, lock_name, path, since, f" in {self.absolute_root()}")
                except OSError as error:
                    if error.errno not in _posix.FULL or not self.reserve.give_up(0):
                        raise

    def holder(self, path: str) -> str | None:
        with self.failures.translated("look for the holder of", path):
            try:
                with self._tree.parent(path) as (directory, name):
                    return holder_of(directory, name + _posix.LOCK_SUFFIX)
            except (FileNotFoundError, NotADirectoryError):
                return None

    def release(self, path: str, lock: TakenLock, *, as_found: bool) -> None:
        with self.failures.translated("release", path):
            try:
                if as_found and lock.found:
                    lock.put_back()
                    return
                # Removed before it is unlocked: a process that has opened it meanwhile sees that it is not current.
                with self._tree.parent(path) as (directory, name):
                    _posix.unlink_if_there(name + _posix.LOCK_SUFFIX, directory)
            except FileNotFoundError:
                pass
            finally:
                os.close(lock.fd)

    # --- closing ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the files that are open for appending; a later append opens its file again."""
        self._forget("/")

    def after_fork_in_child(self) -> None:
        """Close the copies of the parent's files; the lock is new, because a parent's thread might hold the old one."""
        self._lock = threading.Lock()
        self._forget("/")

    def _forget(self, path: str) -> None:
        with self._lock:
            files = [(each, self._cache.pop(each)) for each in list(self._cache) if is_at_or_below(each, path)]
        for each, file in files:
            self._close(each, file)

    def _replaced_too_often(self, path: str) -> StoreError:
        return StoreError(
            f"cannot open {path!r} in {self._root}: it was replaced or deleted {_ATTEMPTS} times in a row; "
            "find the process that does that",
            path=path,
        )


def _close_all(cache: dict[str, _Open]) -> None:
    for file in cache.values():
        os.close(file.fd)
