"""The directories of a FileStore: opened element by element, created and synced where they are missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from . import _posix
from ._failures import Failures

__all__ = ("Tree", "parent_of")

_KNOWN_MAX = 4096


def parent_of(path: str) -> str:
    return path.rpartition("/")[0] or "/"


class Tree:
    """Opens directories below ``root`` without following links; the root itself may be one."""

    def __init__(self, root: str, failures: Failures, *, sync: bool) -> None:
        self._given_root = root
        self._failures = failures
        self._sync = sync
        self._known: set[str] = set()

    @cached_property
    def root(self) -> str:
        # Reading the working directory is a system call: not for a constructor, which may run in the loop.
        return os.path.abspath(self._given_root)  # noqa: PTH100 - it is a prefix for strings

    @contextmanager
    def parent(self, path: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """Open the directory that contains the path; yield it, and the name of the path in it."""
        directory = self._open(parent_of(path), create=create)
        try:
            yield directory, path.rpartition("/")[2]
        finally:
            os.close(directory)

    @contextmanager
    def directory(self, path: str) -> Iterator[int | None]:
        """Open the directory; yield None if it does not exist or is a file."""
        try:
            directory = self._open(path, create=False)
        except (FileNotFoundError, NotADirectoryError):
            yield None
            return
        try:
            yield directory
        finally:
            os.close(directory)

    def sync_entries(self, path: str, directory: int) -> None:
        """Put the names in a directory on the medium: without that, a synced file may have no name after a crash."""
        if self._sync:
            try:
                _posix.sync_all(directory)
            except OSError as error:
                raise self._failures.poison("sync the directory", path, error) from error

    def remove_empty(self, path: str) -> None:
        """Remove the directory and those above it, as far as they are empty, but never the root."""
        while path != "/":
            with self.parent(path) as (directory, name):
                if not _posix.remove_if_empty(name, directory):
                    return
            path = parent_of(path)

    def _open(self, path: str, *, create: bool) -> int:
        directory = self._open_root(create=create)
        at = ""
        try:
            for name in path[1:].split("/") if path != "/" else ():
                above, at = at or "/", f"{at}/{name}"
                child = self._open_child(at, name, directory, create=create)
                try:
                    if create and at not in self._known:
                        # Also for an existing one: the process that created it may have died before this step.
                        self.sync_entries(above, directory)
                        self._prepare(at, child)
                except BaseException:
                    os.close(child)
                    raise
                os.close(directory)
                directory = child
        except BaseException:
            os.close(directory)
            raise
        return directory

    def _open_root(self, *, create: bool) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            root = os.open(self.root, flags)
        except FileNotFoundError:
            if not create:
                raise
            _posix.make_root(self.root, sync=self._sync)
            root = os.open(self.root, flags)
        if create and "/" not in self._known:
            self._prepare("/", root)
        return root

    def _open_child(self, path: str, name: str, parent: int, *, create: bool) -> int:
        try:
            return _posix.open_directory(name, parent)
        except FileNotFoundError:
            if not create:
                raise
        self._known.discard(path)
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            pass  # Another process created it first.
        return _posix.open_directory(name, parent)

    def _prepare(self, path: str, directory: int) -> None:
        """Sweep a directory at its first use. From then on its own entry counts as durable."""
        _posix.sweep(directory)
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        self._known.add(path)
