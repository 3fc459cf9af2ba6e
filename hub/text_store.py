"""Logs on stores that hold only text, such as AG2's.

Such a store has no ``expect``, no ``if_absent``, no sizes and no bytes, and does not say which effects survive a crash.
The adapter here makes what a log needs from the methods that exist, so that a log itself always works on a
:class:`~hubwire.ports.KnowledgeStore`.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, cast

from .errors import AlreadyExists, AppendConflict, HubError, StoreError
from .ports import ChangeCallback, ChangeSubscription, KnowledgeStore

__all__ = ("TextStore", "as_knowledge_store")


class TextStore(Protocol):
    """The methods of AG2's knowledge stores (1.2.1); AG2 documents their promises."""

    async def read(self, path: str) -> str | None:
        """Return the whole file; None if there is no such file."""

    async def read_range(self, path: str, start: int, end: int | None = None) -> str:
        """Return the bytes ``[start, end)``, decoded; ``""`` if there is no such file.

        Bytes that are not UTF-8 raise ``UnicodeDecodeError``, whose ``object`` is the bytes of this range.
        """

    async def write(self, path: str, content: str) -> None:
        """Create the file or replace it."""

    async def append(self, path: str, content: str) -> int:
        """Append to the file, creating it if need be; return the byte offset at which the content starts."""

    async def list(self, path: str = "/") -> builtins.list[str]:
        """Return the names of the immediate children, directories with a trailing ``/``."""

    async def exists(self, path: str) -> bool:
        """Tell whether the path is a file or a directory."""

    async def delete(self, path: str) -> None:
        """Delete the file, or all files below the directory."""

    async def on_change(self, path: str, callback: ChangeCallback) -> ChangeSubscription:
        """Call ``callback`` with the path of each change at or below ``path``, as far as the store notices it."""


def as_knowledge_store(store: KnowledgeStore | TextStore) -> KnowledgeStore:
    r"""Return the store itself if it is a :class:`~hubwire.ports.KnowledgeStore`, or an adapter that makes it one.

    On a text store these promises are weaker:

    * Durability is the store's own, and ``"unknown"``. Where its ``write`` is not atomic (AG2's disk store), a process
      that dies in the moment in which opening cuts a torn record off may lose the segment.
    * A second writer is noticed when ``append`` returns another offset than the expected one: by then both have
      written. Each stops at its first such append, and the next opening sets aside the records that are not part of
      the log's history.
    * ``if_absent`` and ``expect`` of ``write`` check first and write then, in two steps.
    * :meth:`~hubwire.ports.KnowledgeStore.size` reads the file, so opening reads the log once.
    * Bytes that are not UTF-8 (the torn end of a record may be such) are written as ``\xNN``.

    An exception of the store is raised as :class:`~hubwire.errors.StoreError`, with the original as ``__cause__``.
    """
    return cast("KnowledgeStore", store) if hasattr(store, "read_bytes") else _Completed(store)


class _Completed:
    """A text store with the other methods that a log needs."""

    durability = "unknown"

    def __init__(self, store: TextStore) -> None:
        self._store = store

    def __repr__(self) -> str:
        return repr(self._store)

    async def read(self, path: str) -> str | None:
        with self._translated("read", path):
            return await self._store.read(path)

    async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        if start < 0 or (end is not None and end < 0):
            raise ValueError(f"a range begins and ends at 0 or later, not at {start} and {end}")
        with self._translated("read", path):
            try:
                content = (await self._store.read_range(path, start, end)).encode()
            except UnicodeDecodeError as error:
                # The range cuts a character in two, or the file is damaged: the error holds the bytes.
                if end is not None and len(error.object) > end - start:
                    raise
                return error.object
            return content if content or await self._store.exists(path) else None

    async def read_range(self, path: str, start: int, end: int | None = None) -> str:
        with self._translated("read", path):
            return await self._store.read_range(path, start, end)

    async def size(self, path: str) -> int | None:
        content = await self.read_bytes(path)
        return None if content is None else len(content)

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        if if_absent and await self.exists(path):
            raise AlreadyExists(f"{path!r} exists already; nothing was written", path=path)
        if expect is not None and (actual := await self.size(path)) != expect and (actual or expect):
            raise AppendConflict(
                f"{path!r} has {actual} bytes, not {expect}; nothing was written",
                path=path,
                expected=expect,
                actual=actual,
            )
        with self._translated("write", path):
            await self._store.write(path, _text(content))

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        with self._translated("append to", path):
            offset = await self._store.append(path, _text(content))
        if expect is not None and offset != expect:
            raise AppendConflict(
                f"{path!r} had {offset} bytes, not {expect}: another writer has written to it, and the content appended"
                " now is behind that; let only one program write it",
                path=path,
                expected=expect,
                actual=offset,
            )
        return offset

    async def list(self, path: str = "/") -> builtins.list[str]:
        with self._translated("list", path):
            return sorted(await self._store.list(path))

    async def exists(self, path: str) -> bool:
        with self._translated("look for", path):
            return await self._store.exists(path)

    async def delete(self, path: str) -> None:
        with self._translated("delete", path):
            await self._store.delete(path)

    async def on_change(self, path: str, callback: ChangeCallback) -> ChangeSubscription:
        with self._translated("watch", path):
            return await self._store.on_change(path, callback)

    async def aclose(self) -> None:
        """Has no effect: the program that made a text store closes it."""

    @contextmanager
    def _translated(self, what: str, path: str) -> Iterator[None]:
        try:
            yield
        except HubError:
            raise  # a store of hubwire is behind it
        except Exception as error:
            name = type(self._store).__name__
            raise StoreError(f"{name} could not {what} {path!r} ({error}); check that store", path=path) from error


def _text(content: str | bytes) -> str:
    return content if isinstance(content, str) else content.decode(errors="backslashreplace")
