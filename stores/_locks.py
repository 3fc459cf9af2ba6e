"""Locks on paths: within one process, the changes of a path happen in the order in which they were requested."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ._watch import is_at_or_below

__all__ = ("PathLocks",)


class PathLocks:
    """A fair lock for each path, and for whole trees: a tree waits for every path in it, and keeps it locked."""

    def __init__(self) -> None:
        self._paths: dict[str, asyncio.Future[None]] = {}
        self._trees: dict[str, asyncio.Future[None]] = {}

    @asynccontextmanager
    async def locked(self, path: str, *, tree: bool = False) -> AsyncIterator[None]:
        """Hold the lock of a path or a tree, after all earlier callers with an overlapping path or tree."""
        earlier = [released for released in self._earlier(path, tree=tree) if not _is_over(released)]
        locks = self._trees if tree else self._paths
        released: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        locks[path] = released
        try:
            if earlier:
                await asyncio.wait(earlier)
            yield
        finally:
            # A caller that is cancelled while it waits must not let the later ones overtake the earlier ones.
            _release_after(earlier, released)
            released.add_done_callback(lambda _: locks.pop(path) if locks.get(path) is released else None)

    def _earlier(self, path: str, *, tree: bool) -> list[asyncio.Future[None]]:
        trees = [
            released
            for top, released in self._trees.items()
            if is_at_or_below(path, top) or (tree and is_at_or_below(top, path))
        ]
        if tree:
            return trees + [released for other, released in self._paths.items() if is_at_or_below(other, path)]
        return [*trees, self._paths[path]] if path in self._paths else trees


def _is_over(released: asyncio.Future[None]) -> bool:
    # A loop that was closed in the middle will never release its locks.
    return released.done() or released.get_loop().is_closed()


def _release_after(earlier: list[asyncio.Future[None]], released: asyncio.Future[None]) -> None:
    waiting = {each for each in earlier if not each.done()}

    def one_is_released(one: asyncio.Future[None]) -> None:
        waiting.discard(one)
        if not waiting and not released.done():
            released.set_result(None)

    for each in list(waiting):
        each.add_done_callback(one_is_released)
    if not waiting:
        released.set_result(None)
