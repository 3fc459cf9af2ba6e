"""Turns: within one process, what changes a path happens in the order in which it was asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ._watch import is_at_or_below

__all__ = ("Turns",)


class Turns:
    """A queue for each path; a whole tree waits for, and delays, every path in it."""

    def __init__(self) -> None:
        self._paths: dict[str, asyncio.Future[None]] = {}
        self._trees: dict[str, asyncio.Future[None]] = {}

    @asynccontextmanager
    async def turn(self, path: str, *, tree: bool = False) -> AsyncIterator[None]:
        """Wait for all who asked before, for this path or for a tree that overlaps, then keep the others away."""
        before = [done for done in self._before(path, tree=tree) if not _is_over(done)]
        queues = self._trees if tree else self._paths
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queues[path] = done
        try:
            if before:
                await asyncio.wait(before)
            yield
        finally:
            # Who is cancelled while waiting must not let those behind overtake those before.
            _finish_after(before, done)
            done.add_done_callback(lambda _: queues.pop(path) if queues.get(path) is done else None)

    def _before(self, path: str, *, tree: bool) -> list[asyncio.Future[None]]:
        trees = [
            done
            for top, done in self._trees.items()
            if is_at_or_below(path, top) or (tree and is_at_or_below(top, path))
        ]
        if tree:
            return trees + [done for other, done in self._paths.items() if is_at_or_below(other, path)]
        return [*trees, self._paths[path]] if path in self._paths else trees


def _is_over(done: asyncio.Future[None]) -> bool:
    # A loop that was closed in the middle will not come back to finish.
    return done.done() or done.get_loop().is_closed()


def _finish_after(before: list[asyncio.Future[None]], done: asyncio.Future[None]) -> None:
    waiting = {each for each in before if not each.done()}

    def one_is_over(over: asyncio.Future[None]) -> None:
        waiting.discard(over)
        if not waiting and not done.done():
            done.set_result(None)

    for each in list(waiting):
        each.add_done_callback(one_is_over)
    if not waiting:
        done.set_result(None)
