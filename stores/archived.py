"""archived: a store beside its archive, read as one: logs are whole again whose oldest segments were moved there."""

from __future__ import annotations

import builtins
import re
from typing import Any

from hubwire.errors import ConfigurationError, StoreError
from hubwire.ports import ChangeCallback, ChangeSubscription, Hold, HoldableStore, KnowledgeStore, normalize_path

__all__ = ("archived",)

_BEGINNING = re.compile(r"(?P<log>/.+)/(?:kept|pruned)")
"""The files that say where a log begins."""
_METHODS = ("read_bytes", "size", "list", "exists", "on_change", "aclose")


def archived(store: KnowledgeStore, archive: KnowledgeStore) -> KnowledgeStore:
    """Return what reads ``store``, and ``archive`` where the store has no more: it cannot be written.

    ``archive`` is the one to which ``AuditLog(store, archive=archive, retention=...)`` moves what it prunes. All that
    reads a log reads all of its records then: ``verify``, ``query``, ``prove``, exports. A log that has no segment in
    the archive is as it is in the store. Readers go on while the log is pruned. ``aclose()`` closes both.

    Raises :class:`~hubwire.errors.ConfigurationError` for what is no store, or for twice the same.
    """
    for name, value in (("store", store), ("archive", archive)):
        if isinstance(value, type) or not all(callable(getattr(value, each, None)) for each in _METHODS):
            raise ConfigurationError(
                f"archived(): {name} is a store, such as FileStore('./data'), not {type(value).__name__}"
            )
    if store is archive:
        raise ConfigurationError("archived(): store and archive are the same store; give the one that has the archive")
    return (_HeldArchived if isinstance(store, HoldableStore) else _Archived)(store, archive)


class _Archived:
    """The two stores."""

    def __init__(self, store: Any, archive: Any) -> None:
        self._store = store
        self._archive = archive

    def __repr__(self) -> str:
        return f"archived({self._store!r}, {self._archive!r})"

    async def _of(self, path: str) -> tuple[Any, Any]:
        """Return the stores in the order in which they are asked for a file; None for one that is not asked."""
        found = _BEGINNING.fullmatch(normalize_path(path))
        if found is not None and await self._archive.list(f"{found['log']}/log"):
            return self._archive, None  # the log begins where its archive does
        return self._store, self._archive

    async def read(self, path: str) -> str | None:
        content = await self.read_bytes(path)
        return None if content is None else content.decode()

    async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        first, then = await self._of(path)
        content: bytes | None = await first.read_bytes(path, start, end)
        if content is None and then is not None:
            content = await then.read_bytes(path, start, end)
        return content

    async def read_range(self, path: str, start: int, end: int | None = None) -> str:
        return (await self.read_bytes(path, start, end) or b"").decode()

    async def size(self, path: str) -> int | None:
        first, then = await self._of(path)
        size: int | None = await first.size(path)
        return await then.size(path) if size is None and then is not None else size

    async def exists(self, path: str) -> bool:
        first, then = await self._of(path)
        return bool(await first.exists(path) or (then is not None and await then.exists(path)))

    async def list(self, path: str = "/") -> builtins.list[str]:
        # The archive after the store: what is pruned in between is in one of them.
        names = {*await self._store.list(path), *await self._archive.list(path)}
        beginnings = {name for name in names & {"kept", "pruned"} if not await self.exists(f"{path}/{name}")}
        return sorted(names - beginnings)

    async def on_change(self, path: str, callback: ChangeCallback) -> ChangeSubscription:
        subscription: ChangeSubscription = await self._store.on_change(path, callback)
        return subscription

    async def write(
        self,
        path: str,
        content: str | bytes,  # noqa: ARG002
        *,
        if_absent: bool = False,  # noqa: ARG002
        expect: int | None = None,  # noqa: ARG002
    ) -> None:
        raise self._refused("written", path)

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:  # noqa: ARG002
        raise self._refused("appended to", path)

    async def delete(self, path: str) -> None:
        raise self._refused("deleted", path)

    def _refused(self, what: str, path: str) -> StoreError:
        return StoreError(
            f"{path} cannot be {what}: {self!r:.200} only reads a store beside its archive; write to the store itself",
            path=path,
        )

    async def aclose(self) -> None:
        try:
            await self._store.aclose()
        finally:
            await self._archive.aclose()


class _HeldArchived(_Archived):
    """Of a store whose logs are held by their writers: so a reader can tell whether one is at work."""

    async def hold(self, path: str) -> Hold:
        raise self._refused("held", path)
