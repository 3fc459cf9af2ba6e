"""The file operations that FileStore is made of, and the only place that syncs.

Names are relative to an open directory, and no link is followed. Errors leave as ``OSError``.

Names that end in ``@`` cannot be store paths, so a store gives them to its own files: ``*.new@`` is a replacement that
is being written, ``*.lock@`` names the holder of a path.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hubwire.errors import InvalidPath
from hubwire.ports import normalize_path

__all__ = (
    "FULL",
    "LOCK_SUFFIX",
    "children",
    "create_replacement",
    "empty_directory",
    "fill_replacement",
    "holds_a_file",
    "is_current",
    "lock_current",
    "make_root",
    "open_directory",
    "open_regular",
    "place",
    "remove",
    "remove_if_empty",
    "state",
    "states_below",
    "sweep",
    "sync_all",
    "sync_data",
    "unlink_if_there",
    "write_all",
    "write_through",
)

FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
"""The errors for a full disk, a full quota and a file at its limit: space may come back, so these can be undone."""

LOCK_SUFFIX = ".lock@"
REPLACEMENT_SUFFIX = ".new@"

_PIECE_BYTES = 1 << 20

_LINK_ATTEMPTS = 3
"""A replacement may lose its first name between the two looks at its names, but not three times."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Opening a FIFO in the place of a file must not wait for its other end.
_REGULAR = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


# --- syncing --------------------------------------------------------------------------------------------------------


def sync_data(fd: int) -> None:
    """Put the content of a file on the medium, with its size but without its times: an append needs no more."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # fsync leaves it in the cache of the drive there
    else:
        os.fdatasync(fd)


def sync_all(fd: int) -> None:
    """Put a file or the entries of a directory on the medium: without it a new or renamed file may have no name."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fsync(fd)


# --- opening --------------------------------------------------------------------------------------------------------


def make_root(root: str, *, sync: bool) -> None:
    """Make the root directory and the missing ones above it; each new entry is synced in the directory that has it."""
    directory = Path(root)
    missing = [each for each in (directory, *directory.parents) if not each.is_dir()]
    for each in reversed(missing):
        try:
            each.mkdir(0o700)
        except FileExistsError:
            if not each.is_dir():
                raise
        if sync:
            parent = os.open(each.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                sync_all(parent)
            finally:
                os.close(parent)


def open_directory(name: str, parent: int) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except NotADirectoryError as error:
        # Linux reports a link and a file in the same way, but for a reader only the link is an error.
        if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
        raise


def open_regular(name: str, flags: int, directory: int) -> int:
    """Open a regular file that has one name.

    Raises ``IsADirectoryError``; ``ENXIO`` for what is neither file nor directory; ``EMLINK`` for a hard link: through
    its other name the file could be read and changed from outside of the root.
    """
    fd = os.open(name, flags | _REGULAR, 0o600, dir_fd=directory)
    try:
        _check_regular(fd, directory)
    except OSError:
        os.close(fd)
        raise
    return fd


def _check_regular(fd: int, directory: int) -> None:
    status = os.fstat(fd)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.ENXIO, "It is not a regular file")
    if status.st_nlink > 1 and _has_foreign_names(fd, directory):
        raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))


def _has_foreign_names(fd: int, directory: int) -> bool:
    """Return whether an open file has a name beside its own and that of the replacement that :func:`place` linked."""
    for _ in range(_LINK_ATTEMPTS):
        status = os.fstat(fd)
        with os.scandir(directory) as found:
            own = sum(entry.inode() == status.st_ino for entry in found if entry.name.endswith(REPLACEMENT_SUFFIX))
        if status.st_nlink - own <= 1:
            return False
    return True  # it has had them each time: they are not those of a replacement that is being put in place


def is_current(fd: int, name: str, directory: int) -> bool:
    """Return whether the name still refers to the open file: another process may have replaced or deleted it."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(name, dir_fd=directory, follow_symlinks=False))
    except FileNotFoundError:
        return False


def lock_current(name: str, directory: int, *, flags: int = os.O_RDONLY) -> int | None:
    """Open and lock the file that has the name now; return None if there is none."""
    while True:
        try:
            fd = open_regular(name, flags, directory)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if is_current(fd, name, directory):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


# --- writing --------------------------------------------------------------------------------------------------------


def write_all(fd: int, data: bytes) -> None:
    """Write all of ``data``. After a short write, the error of the next one says why it was short."""
    written = os.write(fd, data)
    if written < len(data):
        with memoryview(data) as view:
            while written < len(data):
                written += os.write(fd, view[written:])


def write_through(fd: int, size: int) -> None:
    """Write the first ``size`` bytes of a file over themselves, so that the next sync puts them on the medium again.

    After a failed sync the page cache may show what the disk does not have, and a second sync would report success.
    Stopped in the middle, the content is what it was.
    """
    at = 0
    while at < size and (piece := os.pread(fd, min(size - at, _PIECE_BYTES), at)):
        at += os.pwrite(fd, piece, at)


def create_replacement(directory: int) -> tuple[int, str]:
    """Open a new file that is going to replace another; return its descriptor and its name."""
    fcntl.flock(directory, fcntl.LOCK_SH)  # until the directory is closed: keeps sweep() out
    name = secrets.token_hex(8) + REPLACEMENT_SUFFIX
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _REGULAR, 0o600, dir_fd=directory), name


def fill_replacement(fd: int, data: bytes, *, sync: bool) -> None:
    """Write and close the new file. It is on the medium before it gets its final name.

    Renamed first, it could be empty after the loss of power, and the old content lost.
    """
    try:
        write_all(fd, data)
        if sync:
            sync_all(fd)
    finally:
        os.close(fd)


def place(replacement: str, name: str, directory: int, *, must_be_new: bool) -> None:
    """Give the replacement its name, atomically also for other processes; the caller syncs the directory.

    Raises ``FileExistsError`` if it must be new and is not.
    """
    if must_be_new:
        os.link(replacement, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
        unlink_if_there(replacement, directory)
    else:
        os.rename(replacement, name, src_dir_fd=directory, dst_dir_fd=directory)


def sweep(directory: int) -> None:
    """Delete the replacements that a crash left behind, unless a process is writing one here now."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    try:
        with os.scandir(directory) as found:
            leftovers = [entry.name for entry in found if entry.name.endswith(REPLACEMENT_SUFFIX)]
        for name in leftovers:
            unlink_if_there(name, directory)
    finally:
        fcntl.flock(directory, fcntl.LOCK_UN)


def unlink_if_there(name: str, directory: int) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass


# --- directories ----------------------------------------------------------------------------------------------------


def children(directory: int) -> Iterator[str]:
    """Iterate over the names of the files and, with a slash, of the directories that contain one."""
    for entry in _entries(directory):
        if entry.is_file(follow_symlinks=False):
            yield entry.name
        else:
            with _child(entry.name, directory) as child:
                if child is not None and holds_a_file(child):
                    yield entry.name + "/"


def holds_a_file(directory: int) -> bool:
    """Return whether there is a file at any depth: a crash or a lock file may leave directories without one."""
    return next(children(directory), None) is not None


def state(status: os.stat_result) -> tuple[int, int, int]:
    """Return a value that differs when a file has changed: ``write`` makes a new inode, ``append`` another size."""
    return status.st_ino, status.st_size, status.st_mtime_ns


def states_below(directory: int, path: str) -> Iterator[tuple[str, tuple[int, int, int]]]:
    for entry in _entries(directory):
        if entry.is_dir(follow_symlinks=False):
            with _child(entry.name, directory) as child:
                if child is not None:
                    yield from states_below(child, f"{path}/{entry.name}")
        else:
            try:
                status = os.stat(entry.name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield f"{path}/{entry.name}", state(status)


def remove(name: str, directory: int, *, sync: bool) -> None:
    """Delete a file, a link, or a directory with all its content; the caller syncs the directory that contained it."""
    try:
        os.unlink(name, dir_fd=directory)
    except (IsADirectoryError, PermissionError):  # Linux raises the first, other systems the second
        with _child(name, directory) as child:
            if child is None:
                raise
            empty_directory(child, sync=sync)
        remove_if_empty(name, directory)


def empty_directory(directory: int, *, sync: bool) -> None:
    """Delete all content except lock files: without its lock file a path could be held twice."""
    for name in os.listdir(directory):
        if not name.endswith(LOCK_SUFFIX):
            try:
                remove(name, directory, sync=sync)
            except FileNotFoundError:
                pass  # Another process deletes here as well.
    if sync:
        sync_all(directory)


def remove_if_empty(name: str, parent: int) -> bool:
    try:
        os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _entries(directory: int) -> Iterator[os.DirEntry[str]]:
    """Iterate over the entries that a store path can name: regular files and directories with permitted names."""
    with os.scandir(directory) as found:
        for entry in found:
            if entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False):
                try:
                    normalize_path(entry.name)
                except InvalidPath:
                    continue
                yield entry


@contextmanager
def _child(name: str, parent: int) -> Iterator[int | None]:
    """Open a directory; None if it has just been deleted."""
    try:
        child = open_directory(name, parent)
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    try:
        yield child
    finally:
        os.close(child)
