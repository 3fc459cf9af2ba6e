"""Calls of one kind that go one by one, in whichever event loop they are made."""

from __future__ import annotations

import asyncio
from functools import partial
from types import TracebackType

__all__ = ("OneByOne",)


class OneByOne:
    """An ``async with`` that one task at a time is in. What a loop that has ended has left in it does not count."""

    def __init__(self) -> None:
        self._last: asyncio.Future[None] | None = None
        """Settled when the newest that has come is out again."""
        self._own: dict[asyncio.Task[object], asyncio.Future[None]] = {}

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        before, own = self._last, loop.create_future()
        self._last = own
        try:
            while before is not None and before.get_loop() is loop and not before.done():
                await asyncio.wait([before])
        except BaseException:
            # Who comes next waits for the one before this one.
            if before is not None and not before.done():
                before.add_done_callback(partial(_settle, own))
            else:
                _settle(own)
            raise
        self._own[task] = own

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        _settle(self._own.pop(task))


def _settle(future: asyncio.Future[None], _: object = None) -> None:
    if not future.done():
        future.set_result(None)
