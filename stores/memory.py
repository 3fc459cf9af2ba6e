"""MemoryStore: the reference that every other store is tested against."""

from __future__ import annotations

import builtins
import os
import socket
from collections.abc import Iterator
from typing import Union

from hubwire.errors import AlreadyExists, StoreError
from hubwire.ports import ChangeCallback, ChangeSubscription, Hold, normalize_path

from ._arguments import checked_range, encoded, file_path
from ._failures import conflict
from ._hold import already_running, utc_now
from ._watch import PendingPaths, Subscription, is_at_or_below
from .durability import Durability

__all__ = ("MemoryStore",)

_Directory = dict[str, Union[bytearray, "_Directory"]]


class MemoryStore:
    """A store in the memory of this process; its contents live as long as the object.

    The cost of an append depends on the content alone, not on the length of the file. Use it in one thread.
    """

    durability = Durability.NONE

    def __init__(self) -> None:
        self._root: _Directory = {}
        self._holds: dict[str, str] = {}
        self._subscriptions: dict[Subscription, tuple[str, PendingPaths]] = {}

    def __repr__(self) -> str:
        return "MemoryStore()"

    async def read(self, path: str) -> str | None:
        content = await self.read_bytes(path)
        return None if content is None else content.decode()

    async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        node = self._find(normalize_path(path))
        checked_range(start, end)
        if not isinstance(node, bytearray):
            return None
        with memoryview(node) as view:
            return bytes(view[start:end])

    async def read_range(self, path: str, start: int, end: int | None = None) -> str:
        return (await self.read_bytes(path, start, end) or b"").decode()

    async def size(self, path: str) -> int | None:
        node = self._find(normalize_path(path))
        return len(node) if isinstance(node, bytearray) else None

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        path, data = file_path(path), encoded(content)
        file = self._find_file(path)
        if if_absent and file is not None:
            raise AlreadyExists(f"{path!r} exists already; nothing was written", path=path)
        _check_expectation(path, file, expect)
        directory, name = self._make_parent(path)
        directory[name] = bytearray(data)
        self._notify(path)

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        path, data = file_path(path), encoded(content)
        file = self._find_file(path)
        _check_expectation(path, file, expect)
        if file is None:
            directory, name = self._make_parent(path)
            file = directory[name] = bytearray()
        offset = len(file)
        file += data
        self._notify(path)
        return offset

    async def list(self, path: str = "/") -> builtins.list[str]:
        node = self._find(normalize_path(path))
        if not isinstance(node, dict):
            return []
        return sorted(name + "/" if isinstance(child, dict) else name for name, child in node.items())

    async def exists(self, path: str) -> bool:
        return bool(self._root) if (path := normalize_path(path)) == "/" else self._find(path) is not None

    async def delete(self, path: str) -> None:
        path = normalize_path(path)
        deleted = builtins.list(_files(self._find(path), path))
        if path == "/":
            self._root = {}
        else:
            self._remove(path)
        for each in deleted:
            self._notify(each)

    async def on_change(self, path: str, callback: ChangeCallback) -> ChangeSubscription:
        path = normalize_path(path)
        pending = PendingPaths()
        subscription = Subscription(path, callback, pending.take, self._forget)
        self._subscriptions[subscription] = (path, pending)
        return subscription

    async def hold(self, path: str) -> Hold:
        path = normalize_path(path)
        if path in self._holds:
            raise already_running(path, os.getpid(), socket.gethostname(), self._holds[path])
        self._holds[path] = utc_now()
        return _MemoryHold(self._holds, path)

    async def aclose(self) -> None:
        """End the subscriptions. The contents stay."""
        for subscription in builtins.list(self._subscriptions):
            await subscription.close()

    def _forget(self, subscription: Subscription) -> None:
        del self._subscriptions[subscription]

    def _find(self, path: str) -> bytearray | _Directory | None:
        node: bytearray | _Directory | None = self._root
        for element in _elements(path):
            node = node.get(element) if isinstance(node, dict) else None
        return node

    def _find_file(self, path: str) -> bytearray | None:
        node = self._find(path)
        if isinstance(node, dict):
            raise StoreError(f"{path!r} is a directory; a file needs another path", path=path)
        return node

    def _make_parent(self, path: str) -> tuple[_Directory, str]:
        *directories, name = _elements(path)
        node = self._root
        for element in directories:
            child = node.setdefault(element, {})
            if isinstance(child, bytearray):
                raise StoreError(f"{path!r} is below the file {element!r}; a file needs another path", path=path)
            node = child
        return node, name

    def _remove(self, path: str) -> None:
        """Remove the node, and the directories above it that become empty."""
        trail: builtins.list[tuple[_Directory, str]] = []
        node: bytearray | _Directory | None = self._root
        for element in _elements(path):
            if not isinstance(node, dict) or element not in node:
                return
            trail.append((node, element))
            node = node[element]
        for directory, name in reversed(trail):
            del directory[name]
            if directory:
                break

    def _notify(self, path: str) -> None:
        for top, pending in self._subscriptions.values():
            if is_at_or_below(path, top):
                pending.add(path)


class _MemoryHold:
    def __init__(self, holds: dict[str, str], path: str) -> None:
        self._holds: dict[str, str] | None = holds
        self._path = path

    async def release(self, *, as_found: bool = False) -> None:  # noqa: ARG002 - none outlives its process
        if self._holds is not None:
            del self._holds[self._path]
            self._holds = None


def _elements(path: str) -> builtins.list[str]:
    return path[1:].split("/") if path != "/" else []


def _files(node: bytearray | _Directory | None, path: str) -> Iterator[str]:
    """Iterate over the paths of the files at or below the node."""
    if isinstance(node, dict):
        for name, child in node.items():
            yield from _files(child, f"{path.rstrip('/')}/{name}")
    elif node is not None:
        yield path


def _check_expectation(path: str, file: bytearray | None, expect: int | None) -> None:
    actual = None if file is None else len(file)
    if expect is not None and expect != (actual or 0):
        raise conflict(path, expect, actual)
