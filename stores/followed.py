"""A hub's journal on a store that several programs reach, which they can follow: by looking again and again.

.. code-block:: python

    journal = FollowedStoreJournal(open_store("s3://bucket/acme"), poll_seconds=2.0)
    async with Hub(journal=journal) as hub:
        ...

It needs no server. Those that follow are seconds behind: see :mod:`hubwire.stores.jetstream` for milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from enum import Enum
from typing import Any

import attrs

from hubwire import Event, StoreJournal
from hubwire.errors import ConfigurationError, HistoryGone, LogDamaged, StoreError
from hubwire.log import LogReader
from hubwire.own_log import OwnLog
from hubwire.ports import KnowledgeStore
from hubwire.waking import start_later

__all__ = ("FollowedStoreJournal",)

_FILE = re.compile(r"committed-(\d{1,19})")
_IDLE_POLLS_MAX = 8
"""A follower that hears of no leader looks so much less often, at last."""
_IDLE_BEATS = 2
_BATCH = 1024
_MARK_BYTES_MAX = 4096

_log = OwnLog("stores")


class _Phase(Enum):
    CLOSED = "closed"
    PREPARED = "prepared"
    OPEN = "open"


@attrs.frozen
class _Mark:
    """How far events are committed, as the hub that has the journal open has written it; its last one has no beat."""

    epoch: int = 0
    committed: int = 0
    beat: int = 0
    """Another one each time that it was written."""

    def content(self) -> bytes:
        text = json.dumps([1, self.epoch, self.committed, self.beat])
        return f"{text} {zlib.crc32(text.encode()):08x}\n".encode()

    @classmethod
    def parse(cls, content: bytes) -> _Mark | None:
        """Return what was written; None for what is none, or damaged: it is written again soon."""
        text, _, checksum = content[:_MARK_BYTES_MAX].rstrip(b"\n").rpartition(b" ")
        if checksum != b"%08x" % zlib.crc32(text):
            return None
        try:
            version, *numbers = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            return None
        return (
            cls(*numbers) if version == 1 and len(numbers) == 3 and {type(each) for each in numbers} == {int} else None
        )


class FollowedStoreJournal(StoreJournal):
    """A :class:`~hubwire.StoreJournal` that is a :class:`~hubwire.ports.SharedJournal`.

    The hub that has it open writes how far events are committed into the file ``committed-<epoch>`` beside them: after
    a commit, but at most every ``poll_seconds``, and half as often without one. Those that follow look for it as often,
    and an eighth as often while no hub has the journal open: each look is a listing and a read, and each time that the
    file is written a write of the store. They are up to two such times behind, and a sign of life comes as often.
    """

    def __init__(self, store: KnowledgeStore, *, poll_seconds: float = 1.0, **settings: Any) -> None:
        """``settings`` are those of :class:`~hubwire.StoreJournal`."""
        if type(poll_seconds) not in (int, float) or not 0 < poll_seconds < 1e6:
            raise ConfigurationError(
                f"FollowedStoreJournal(): poll_seconds is a number of seconds above 0, not {poll_seconds!r:.40}"
            )
        super().__init__(store, **settings)
        self._poll_seconds = poll_seconds
        self._phase = _Phase.CLOSED
        self._end = 0
        """Of the events that are known to be committed; of a journal that is open, as it was told."""
        self._beating: asyncio.Task[None] | None = None
        self.first_seq: int = 0

    def __repr__(self) -> str:
        return f"FollowedStoreJournal({self.store!r:.200}, path={self.path!r})"

    @property
    def next_seq(self) -> int:
        return self._end if self._phase is _Phase.PREPARED else super().next_seq

    # -- with possession --

    async def open(self) -> None:
        self._check_unopened()
        before, self._phase = self._phase, _Phase.OPEN
        try:
            await super().open()
        except BaseException:
            self._phase = before
            raise
        self._end = self.next_seq
        self._beating = start_later(self._beat(), name="hubwire followed journal")

    def committed(self, seq: int) -> None:
        if self._phase is _Phase.OPEN:
            self._end = max(self._end, min(seq, self.next_seq))

    async def _beat(self) -> None:
        """Write how far events are committed, again and again."""
        written, beat = -1, 0
        while True:
            for _ in range(_IDLE_BEATS if written >= 0 else 0):
                await asyncio.sleep(self._poll_seconds)
                if self._end > written:
                    break
            beat += 1
            end = self._end
            try:
                await self._write(_Mark(self.epoch, end, beat))
            except (StoreError, OSError) as error:
                _log.problem("it cannot be written how far events are committed; trying again", error)
            else:
                written = end

    async def _write(self, mark: _Mark) -> None:
        await self.store.write(f"{self.path}/committed-{mark.epoch}", mark.content())
        for epoch in await self._epochs():
            if epoch < mark.epoch:
                await self.store.delete(f"{self.path}/committed-{epoch}")

    async def aclose(self) -> None:
        is_open, self._phase = self._phase is _Phase.OPEN, _Phase.CLOSED
        try:
            if is_open:
                await self._stop_beating()
                await self._write(_Mark(self.epoch, self._end, 0))
        except (StoreError, OSError) as error:
            _log.problem("it could not be written how far events are committed", error)
        finally:
            await super().aclose()

    async def release(self) -> None:
        self._phase = _Phase.CLOSED
        try:
            await self._stop_beating()
        finally:
            await super().release()

    async def _stop_beating(self) -> None:
        beating, self._beating = self._beating, None
        if beating is not None:
            beating.cancel()
            await asyncio.wait([beating], timeout=self._poll_seconds)

    # -- without --

    async def prepare(self) -> None:
        self._check_unopened()
        mark = await self._read_mark()
        self._phase, self._end = _Phase.PREPARED, mark.committed
        await self._find_first()

    def _check_unopened(self) -> None:
        if self._phase is _Phase.OPEN:
            raise StoreError(f"{self!r} is open already; close it first, or make another journal object")

    async def _find_first(self) -> None:
        """Look where it begins, and whose it is."""
        reader = LogReader(self.store, self.path)
        await reader.seek_index(0)
        while records := await reader.read():
            for record in records:
                if (event := self._decode(record)) is not None:
                    self.first_seq = min(event.seq, self._end)
                    self.hub_id = event.hub if event.seq < self._end else None
                    return
        self.first_seq = self._end
        self.hub_id = None

    async def _epochs(self) -> list[int]:
        names = await self.store.list(self.path)
        return sorted(int(match[1]) for name in names if (match := _FILE.fullmatch(name)))

    async def _read_mark(self) -> _Mark:
        """Return the mark of the newest writer."""
        for epoch in reversed(await self._epochs()):
            content = await self.store.read_bytes(f"{self.path}/committed-{epoch}", 0, _MARK_BYTES_MAX)
            mark = _Mark.parse(content or b"")
            if mark is not None and mark.epoch == epoch:
                return mark
        return _Mark()

    # -- following --

    async def follow(self, after: int = -1) -> AsyncIterator[Sequence[Event]]:
        seq, seen, idle = after + 1, _Mark(), 0
        while True:
            try:
                mark = await self._read_mark()
                async for events in self._between(seq, mark.committed):
                    seq = events[-1].seq + 1
                    yield events
            except (LogDamaged, HistoryGone):
                raise
            except StoreError as error:
                if not idle:
                    raise
                _log.problem("a journal cannot be followed now; trying again", error)
                mark = seen
            if mark != seen and mark.beat and idle:  # the first may be of a writer that is gone
                yield ()
            idle, seen = 1 if mark != seen else min(max(2 * idle, 1), _IDLE_POLLS_MAX), mark
            await asyncio.sleep(idle * self._poll_seconds)

    async def _between(self, start: int, end: int) -> AsyncIterator[Sequence[Event]]:
        """Iterate over the events from ``start`` on and below ``end``: what comes after them may not be durable."""
        if start >= end:
            return
        reader = LogReader(self.store, self.path)
        await reader.seek_after_seq(start - 1)
        waiting = deque[Event]()
        while start < end and (records := await reader.read()):
            for record in records:
                if (event := self._decode(record)) is None or not start + len(waiting) <= event.seq < end:
                    continue
                if event.seq != start + len(waiting):
                    raise await self._gap(start + len(waiting), event.seq)
                waiting.append(event)
            while waiting:
                batch = [waiting.popleft() for _ in range(min(_BATCH, len(waiting)))]
                start += len(batch)
                yield batch

    async def _gap(self, expected: int, found: int) -> Exception:
        """Return what a missing event is: truncated, or lost."""
        reader = LogReader(self.store, self.path)
        await reader.seek_index(0)
        first = await reader.first_seq_of(reader.index)
        if first is not None and first > expected:
            return HistoryGone(
                f"events from {expected} on are wanted, but the journal {self.path} is truncated before {first}; go on"
                " from there",
                first_seq=first,
            )
        return LogDamaged(
            f"the journal {self.path} holds event {found} where {expected} should be; restore it from a copy",
            path=self.path,
        )
