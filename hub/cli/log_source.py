"""A log that is tailed: its last records, and those that come, while others write, rotate and prune it."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import TypeVar, cast

import anyio

from ..erasable import Opener
from ..errors import HistoryGone, LogDamaged, StoreUnavailable
from ..log import LogReader, Record, follow, log_exists
from ..ports import KnowledgeStore, normalize_path
from ..query import names_of, query
from .output import complain, escape, say
from .sieve import Sieve
from .target import FOLLOWING_SECONDS, READING_SECONDS, beginning_of, find_log, head_at, open_target, wait_for_log

__all__ = ("LogSource",)

_LEARN_RECORDS_MAX = 100_000
_PAUSE_SECONDS, _PAUSE_SECONDS_MAX = 1.0, 30.0
_AGAIN_SECONDS = 0.2


T = TypeVar("T")


class LogSource:
    """The log at a directory or a store URL. ``sieve`` says which of its records are wanted.

    ``is_patient``: whether a service that cannot be reached is waited for without end, and that is said.
    """

    def __init__(self, target: str, log: str | None, sieve: Sieve, *, is_patient: bool) -> None:
        self.target: str = target
        self.path: str = ""
        """Of the log within its store; empty before it was found."""
        self._log = log
        self._sieve = sieve
        self.store: KnowledgeStore = open_target(target, FOLLOWING_SECONDS if is_patient else READING_SECONDS)
        self._is_patient = is_patient
        self._next = 0

    async def open(self, *, waits: bool) -> None:
        """Find the log; with ``waits``, say that it is waited for if it is not there yet."""
        if not waits:
            self.path = await find_log(self.store, self._log, self.target)
            return
        pause = _PAUSE_SECONDS
        while not self.path:
            try:
                if not await self._is_there():
                    complain(f"waiting for {self.target}: there is no log in it yet")
                self.path = await wait_for_log(self.store, self._log)
            except StoreUnavailable as error:
                pause = await self._pause(error, pause)

    async def _is_there(self) -> bool:
        paths = ("/audit", "/journal") if self._log is None else (normalize_path(self._log),)
        return any([await log_exists(self.store, path) for path in paths])

    async def aclose(self) -> None:
        """Close the store."""
        await self.store.aclose()

    # -- what there is --

    async def last(self, lines: int | None) -> AsyncIterator[Record]:
        """Iterate over the last records that are wanted, the oldest first; all for None."""
        if lines is None and (beginning := await self._patiently(partial(beginning_of, self.store, self.path))):
            say(f"hubwire: {escape(beginning)}", sys.stderr)
        if lines is not None or self._sieve.is_by_name:
            await self._patiently(self._learn)
        end = LogReader(self.store, self.path)
        if lines == 0:
            await self._patiently(end.seek_end)
            self._next = end.index
        elif self._sieve.is_everything and lines is not None:
            await self._patiently(end.seek_end)
            await self._patiently(partial(end.seek_index, max(end.index - lines, 0)))
            async for record in self._scanned(end, lines):
                yield record
        elif lines is None:
            async for record in self._scanned(end, None):
                yield record
        else:
            await self._patiently(end.seek_end)
            self._next = end.index
            for record in await self._patiently(partial(self._found, lines)):
                yield record

    async def _learn(self) -> None:
        most = None if self._sieve.is_by_name else _LEARN_RECORDS_MAX
        async for key, identifier, name in names_of(self.store, self.path, read_records_max=most):
            self._sieve.note(key, identifier, name)

    async def _scanned(self, reader: LogReader, lines: int | None) -> AsyncIterator[Record]:
        last: deque[Record] = deque(maxlen=lines)
        opener = Opener(self.store, self.path)
        while records := await self._patiently(reader.read):
            for record in await opener.records(records):
                if self._sieve.takes(record):
                    if lines is None:
                        yield record
                    else:
                        last.append(record)
        self._next = reader.index
        for record in last:
            yield record

    async def _found(self, lines: int) -> list[Record]:
        """Return the last records that are wanted before the end as it was, read backwards, by indexes."""
        found: list[Record] = []
        records = query(self.store, self.path, self._sieve.selection, newest_first=True, call="tail")
        try:
            async for each in records:
                record = Record(each.index, each.shown)
                if each.index < self._next and self._sieve.passes(record):
                    found.append(record)
                    if len(found) == lines:
                        break
        except LogDamaged:  # what is damaged is passed over: verify is there to say where it is
            return [record async for record in self._scanned(LogReader(self.store, self.path), lines)]
        finally:
            await records.aclose()
        return found[::-1]

    async def head(self) -> str:
        """Return the head of the log after the records that were last; empty if it has none."""
        return str(await head_at(self.store, self.path, self._next) or "")

    # -- what comes --

    async def coming(self) -> AsyncIterator[Record]:
        """Iterate over the records that are wanted of those that come; it never ends."""
        pause, opener = _PAUSE_SECONDS, Opener(self.store, self.path)
        while True:
            try:
                # Its type says iterator, but it is a generator, and has a subscription to close.
                records = cast(AsyncGenerator[Record, None], follow(self.store, self.path, start=self._next))
                async with aclosing(records):
                    async for stored in records:
                        record = await opener.record(stored)
                        if record.index > self._next:
                            self._say_pruned(record.index)
                        self._next, pause = record.index + 1, _PAUSE_SECONDS
                        if self._sieve.takes(record):
                            yield record
            except HistoryGone:  # it was pruned faster than it was read
                await anyio.sleep(_AGAIN_SECONDS)
            except StoreUnavailable as error:
                pause = await self._pause(error, pause)

    def _say_pruned(self, first: int) -> None:
        complain(f"{self.target}: records {self._next} to {first - 1} are gone: they were pruned before they were read")

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what a call returns; one that follows makes it again until the store can be reached."""
        pause = _PAUSE_SECONDS
        while True:
            try:
                return await call()
            except StoreUnavailable as error:
                if not self._is_patient:
                    raise
                pause = await self._pause(error, pause)

    async def _pause(self, error: StoreUnavailable, seconds: float) -> float:
        """Wait for a store that cannot be reached; return how long to wait the next time."""
        what = "S3" if self.target.startswith("s3:") else self.target
        complain(f"retrying {what} ({seconds:g} s): {error}")
        await anyio.sleep(seconds)
        return min(2 * seconds, _PAUSE_SECONDS_MAX)
