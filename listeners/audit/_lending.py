"""Audit logs of one process at one place of a store: who has it, and when it gives way to another.

A log has one writer. But a hub of AG2 never closes its audit log: so a log to which only such a hub has written gives
way when the next one of the same process is called by its hub. It is closed well, and opens again if it is called.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from hubwire.errors import AlreadyRunning

__all__ = ("Place",)


class Place:
    """The claim of one audit log to its place."""

    def __init__(self, store: Any, path: str, name: str, aclose: Callable[[], Awaitable[None]]) -> None:
        root = getattr(store, "root", None)
        self._key = (Path(root).absolute() if isinstance(root, str) else id(store), path)
        self.name = name
        self.aclose = aclose
        self.is_lent = False
        self.loop: asyncio.AbstractEventLoop | None = None
        self.kept_in: asyncio.AbstractEventLoop | None = None
        """The event loop in which this log has the place, until it is closed; None if it has not, or was lent it."""

    def take(self, *, is_lent: bool = False) -> None:
        """The log is written from here on; ``is_lent``: until another one is called by a hub of AG2's."""
        loop = asyncio.get_running_loop()
        if loop is self.kept_in and not is_lent:
            return  # as at the append before this one
        if (other := _takers.get(self._key)) is not None:
            other.kept_in = None
        self.is_lent, self.loop, self.kept_in = is_lent, loop, None if is_lent else loop
        _takers[self._key] = self
        if is_lent:
            _lent[self._key] = self
            _lent.move_to_end(self._key)
            if len(_lent) > _LENT_MAX:
                _lent.popitem(last=False)

    def leave(self) -> None:
        """The log is closed."""
        self.kept_in = None
        if _takers.get(self._key) is self:
            del _takers[self._key]
            _lent.pop(self._key, None)

    async def borrow(self) -> None:
        """Have the log that has the place give way, if it does."""
        other = _takers.get(self._key)
        if other is None or other is self or not other.is_lent:
            return
        loop = other.loop
        if loop is asyncio.get_running_loop() or loop is None or loop.is_closed():
            await other.aclose()

    def explained(self, error: AlreadyRunning) -> AlreadyRunning:
        """Return the error with the name of the log that has the place, if that is one of this process."""
        other = _takers.get(self._key)
        if other is None or other is self or error.pid != os.getpid():
            return error
        return AlreadyRunning(
            f"{other.name} of this process has been open since {error.since}, and a log has one writer; use that one,"
            " or call its aclose() first",
            path=error.path or self._key[1],
            pid=error.pid,
            host=error.host,
            since=error.since,
        )


_takers: WeakValueDictionary[Any, Place] = WeakValueDictionary()
"""The logs of this process that are open, by their place."""

_LENT_MAX = 64
_lent: OrderedDict[Any, Place] = OrderedDict()
"""The newest of those that give way: they can, also when the program that made them has dropped them."""
