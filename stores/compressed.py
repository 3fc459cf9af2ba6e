"""compressed: a store whose sealed log segments are compressed with Zstandard, and read as if they were not."""

from __future__ import annotations

import builtins
import re
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from typing import Any

import anyio

from hubwire.errors import ConfigurationError, StoreError
from hubwire.ports import (
    ChangeCallback,
    ChangeSubscription,
    CompactableStore,
    CuttableStore,
    EagerStore,
    Hold,
    HoldableStore,
    KnowledgeStore,
    ReservingStore,
    normalize_path,
)

from ._arguments import checked_range
from ._zstd import FOOTER_BYTES, Table, pack, table_bytes, unpack

__all__ = ("compressed",)

_SEGMENT = re.compile(r".*/log/\d{20}\.jsonl")
_SUFFIX = ".zst"
_PACKED_NAME = re.compile(r"(\d{20}\.jsonl)\.zst")
_TABLES_MAX = 256
_LEVEL_MAX = 19
_METHODS = ("read_bytes", "size", "write", "append", "list", "exists", "delete", "on_change", "aclose")


def compressed(store: KnowledgeStore, *, level: int | None = 9) -> KnowledgeStore:
    """Return ``store`` with sealed segments of logs compressed, to a fifth or less, and all else as it is.

    A segment is compressed soon after it is sealed, in a thread: written beside, read back and compared, and then the
    plain one is deleted. A crash anywhere leaves one of them whole; readers go on. Segments that are there already are
    compressed when their log is next opened to be written. Reading decompresses 256 KiB at a time. ``level`` is that of
    zstd, 1 to 19; with None it only reads compressed segments. ``zstd -d`` reads them, too: they end in ``.jsonl.zst``.

    Every program that uses the store has to open it so. It needs Python 3.14 or the extra ``zstd``; without them
    reading a compressed segment raises :class:`~hubwire.errors.ConfigurationError`.
    """
    if level is not None and (type(level) is not int or not 1 <= level <= _LEVEL_MAX):
        raise ConfigurationError(
            f"compressed(): level is a number from 1 to {_LEVEL_MAX}, or None, not {type(level).__name__}"
        )
    if isinstance(store, type) or not all(callable(getattr(store, name, None)) for name in _METHODS):
        raise ConfigurationError(
            f"compressed(): store is a store, such as FileStore('./data'), not {type(store).__name__}"
        )
    return _class_of(tuple(mixin for port, mixin in _MIXINS if isinstance(store, port)))(store, level)


class _Compressed:
    """What every store has."""

    def __init__(self, store: Any, level: int | None) -> None:
        self._store = store
        self._level = level
        self._tables: OrderedDict[str, Table] = OrderedDict()

    def __repr__(self) -> str:
        return f"compressed({self._store!r})"

    def __getattr__(self, name: str) -> Any:
        if name == "_store":
            raise AttributeError(name)
        return getattr(self._store, name)

    # -- reading --

    async def read(self, path: str) -> str | None:
        content = await self.read_bytes(path)
        return None if content is None else content.decode()

    async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        content: bytes | None = await self._store.read_bytes(path, start, end)
        if content is not None or not _is_segment(path):
            return content
        checked_range(start, end)
        # It is compressed beside before the plain one is deleted: so it is there now, if there is one.
        return await self._read_packed(normalize_path(path), start, end)

    async def read_range(self, path: str, start: int, end: int | None = None) -> str:
        return (await self.read_bytes(path, start, end) or b"").decode()

    async def size(self, path: str) -> int | None:
        size: int | None = await self._store.size(path)
        if size is not None or not _is_segment(path):
            return size
        table = await self._table_of(normalize_path(path))
        return None if table is None else table.size

    async def _read_packed(self, path: str, start: int, end: int | None) -> bytes | None:
        table = await self._table_of(path)
        if table is None:
            return None
        end = table.size if end is None else min(end, table.size)
        wanted = [n for n, plain in enumerate(table.plain[:-1]) if plain < end and table.plain[n + 1] > start]
        if not wanted:
            return b""
        first, last = wanted[0], wanted[-1] + 1
        frames = await self._store.read_bytes(path + _SUFFIX, table.packed[first], table.packed[last])
        if frames is None:
            self._tables.pop(path, None)
            return None  # it was deleted meanwhile
        sizes = [
            (table.packed[n + 1] - table.packed[n], table.plain[n + 1] - table.plain[n]) for n in range(first, last)
        ]
        try:
            plain = unpack(frames, sizes)
        except ValueError as error:
            raise self._damaged(path, error) from error
        return plain[start - table.plain[first] if start > table.plain[first] else 0 : end - table.plain[first]]

    async def _table_of(self, path: str) -> Table | None:
        if (known := self._tables.get(path)) is not None:
            return known if await self._store.exists(path + _SUFFIX) else None
        size = await self._store.size(path + _SUFFIX)
        if size is None:
            return None
        try:
            footer = await self._store.read_bytes(path + _SUFFIX, max(0, size - FOOTER_BYTES), size) or b""
            table_size = table_bytes(footer)
            table = Table.parse(
                await self._store.read_bytes(path + _SUFFIX, max(0, size - table_size), size) or b"", size
            )
        except (ValueError, ArithmeticError) as error:
            if await self._store.size(path + _SUFFIX) is None:
                return None  # it was deleted between the two reads
            raise self._damaged(path, error) from error
        self._tables[path] = table
        if len(self._tables) > _TABLES_MAX:
            self._tables.popitem(last=False)
        return table

    def _damaged(self, path: str, error: Exception) -> StoreError:
        packed = path + _SUFFIX
        return StoreError(f"{packed} is damaged: {error}; restore it from a copy", path=packed)

    async def list(self, path: str = "/") -> builtins.list[str]:
        names = await self._store.list(path)
        return sorted({match[1] if (match := _PACKED_NAME.fullmatch(name)) else name for name in names})

    async def exists(self, path: str) -> bool:
        there: bool = await self._store.exists(path)
        return there or (_is_segment(path) and await self._store.exists(path + _SUFFIX))

    async def on_change(self, path: str, callback: ChangeCallback) -> ChangeSubscription:
        async def changed(each: str) -> None:
            await callback(each.removesuffix(_SUFFIX) if _is_segment(each.removesuffix(_SUFFIX)) else each)

        subscription: ChangeSubscription = await self._store.on_change(path, changed)
        return subscription

    # -- writing --

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        was_packed = await self._unpack(path)
        await self._store.write(path, content, if_absent=if_absent, expect=expect)
        if was_packed:
            await self._forget(path)

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        was_packed = await self._unpack(path)
        offset: int = await self._store.append(path, content, expect=expect)
        if was_packed:
            await self._forget(path)
        return offset

    async def delete(self, path: str) -> None:
        if _is_segment(path):
            await self._forget(path)
        await self._store.delete(path)

    async def _unpack(self, path: str) -> bool:
        """Write a segment plain again that is about to be changed; return whether it is packed."""
        if not _is_segment(path) or await self._store.exists(path):
            return False
        content = await self._read_packed(normalize_path(path), 0, None)
        if content is not None:
            await self._store.write(path, content, if_absent=True)
        return content is not None

    async def _forget(self, path: str) -> None:
        self._tables.pop(normalize_path(path), None)
        await self._store.delete(path + _SUFFIX)

    # -- compacting: what a log asks for when it has sealed a segment --

    async def compact(self, path: str) -> bool:
        if isinstance(self._store, CompactableStore) and not await self._store.compact(path):
            return False
        level, content = self._level, None
        if level is not None and _is_segment(path):
            content = await self._store.read_bytes(path)
        if not content or level is None:
            return True
        packed = await anyio.to_thread.run_sync(pack, content, level)
        await self._store.write(path + _SUFFIX, packed)
        self._tables.pop(normalize_path(path), None)
        if await self._read_packed(normalize_path(path), 0, None) != content:
            await self._forget(path)
            raise StoreError(f"{path}{_SUFFIX} was read back as another content; the plain one stays", path=path)
        if await self._store.size(path) != len(content):
            await self._forget(path)  # it was changed meanwhile
        else:
            await self._store.delete(path)
        return True

    async def uncompacted(self, path: str) -> builtins.list[str]:
        names = set(await self._store.uncompacted(path) if isinstance(self._store, CompactableStore) else ())
        if self._level is not None:
            names |= {name for name in await self._store.list(path) if _is_segment(f"{path}/{name}")}
        return sorted(names)

    async def aclose(self) -> None:
        await self._store.aclose()


class _Holding(_Compressed):
    async def hold(self, path: str) -> Hold:
        hold: Hold = await self._store.hold(path)
        return hold


class _Eager(_Compressed):
    def begin_append(
        self,
        path: str,
        content: bytes,
        *,
        expect: int | None = None,
        done: Callable[[int | None, BaseException | None], None],
    ) -> None:
        """Begin to append to a segment that is being written: such a one is never compressed."""
        self._store.begin_append(path, content, expect=expect, done=done)


class _Cutting(_Compressed):
    async def cut(self, path: str, size: int, *, expect: int) -> None:
        was_packed = await self._unpack(path)
        await self._store.cut(path, size, expect=expect)
        if was_packed:
            await self._forget(path)


class _Reserving(_Compressed):
    async def free_bytes(self) -> int:
        free: int = await self._store.free_bytes()
        return free

    async def keep_reserve(self) -> bool:
        kept: bool = await self._store.keep_reserve()
        return kept


_MIXINS: tuple[tuple[Any, type[_Compressed]], ...] = (
    (HoldableStore, _Holding),
    (EagerStore, _Eager),
    (CuttableStore, _Cutting),
    (ReservingStore, _Reserving),
)


@cache
def _class_of(mixins: tuple[type[_Compressed], ...]) -> type[_Compressed]:
    """Return the class of a store that can do what the one below can: it is asked by its methods."""
    return type("CompressedStore", (*mixins, _Compressed), {"__module__": __name__})


def _is_segment(path: str) -> bool:
    return _SEGMENT.fullmatch(path) is not None
