"""Following a journal: its committed events, batch by batch, for ever, while another program writes it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

import anyio

from hubwire import Event
from hubwire.errors import LogDamaged

from ._held import Batches, Held
from ._messages import Message
from ._stream import Stream
from ._tail import Tail
from ._words import Word

__all__ = ("Told", "follow")

_ABSENT_SECONDS = 0.5
_LEAVING_SECONDS = 0.5
"""A reader in the memory of the servers that cannot be deleted in that time ends by itself."""
_BATCH = 1024


class Told:
    """What those that follow were told elsewhere on how far events are committed, as by the answer to a command."""

    def __init__(self) -> None:
        self.committed: int = 0
        self._readers: set[Tail] = set()

    def advance(self, seq: int) -> None:
        """The events below ``seq`` are committed."""
        if seq > self.committed:
            self.committed = seq
            for each in self._readers:
                each.wake()

    @contextmanager
    def waking(self, tail: Tail) -> Iterator[None]:
        """Have a reader look again whenever there is news."""
        self._readers.add(tail)
        try:
            yield
        finally:
            self._readers.discard(tail)


async def follow(
    stream: Stream, subject: str, aside: str, shown: str, told: Told, after: int
) -> AsyncIterator[Sequence[Event]]:
    """Iterate over batches, as :meth:`~hubwire.ports.SharedJournal.follow` does, on a connection of its own."""
    await stream.connect()
    tail = Tail(stream, subject, aside)
    try:
        held = Held(stream, subject, shown)
        await _until_there(stream, held, after)
        follower = await _begun(stream, held, tail, after)
        with told.waking(tail):
            while True:
                stored = await tail.next()
                if stored is not None:
                    await follower.take(held.parsed(stored))
                    await asyncio.sleep(0)  # of what came at once, not all in one turn of the loop
                is_alive = follower.hear(tail.word())
                if events := follower.committed(told.committed):
                    yield events
                elif is_alive:
                    yield ()
    finally:
        with anyio.move_on_after(_LEAVING_SECONDS, shield=True):
            await tail.aclose()
        with anyio.CancelScope(shield=True):
            await stream.aclose()


async def _until_there(stream: Stream, held: Held, after: int) -> None:
    """Return when there is a stream, and it holds what was seen already."""
    loop = asyncio.get_running_loop()
    end = loop.time() + stream.wait_seconds
    while True:
        if await stream.find():
            await held.find_end()
            if held.end.next_seq > after:
                return
        if after >= 0 and loop.time() > end:
            raise LogDamaged(
                f"{stream} ends before event {held.end.next_seq}, and is to be followed after event {after}: it has"
                " lost events, or is another one. Restore it from a copy",
                path=stream.name,
            )
        await asyncio.sleep(_ABSENT_SECONDS)


async def _begun(stream: Stream, held: Held, tail: Tail, after: int) -> _Follower:
    head, seq = await held.find_end(), after + 1
    if head is None:
        begin = 1
    elif seq < held.end.next_seq:
        await held.find_beginning()
        begin = await held.place_with(seq)
    else:
        begin = held.end.place + 1 if head.is_last else await held.unfinished()
    follower = _Follower(Batches(stream, seq), held)
    await tail.begin(begin - 1)
    return follower


class _Follower:
    """The events that have come and are not committed yet."""

    def __init__(self, batches: Batches, held: Held) -> None:
        self._batches = batches
        self._held = held
        self._committed = held.end.committed
        self._epoch = held.end.epoch
        self._waiting: deque[Event] = deque()

    async def take(self, message: Message) -> None:
        """Take the next message. Raises HistoryGone, LogDamaged."""
        try:
            self._waiting += self._batches.add(message)
        except LogDamaged:
            await self._held.check_still_holds(self._batches.expected)  # they may have been truncated
            raise
        head = message.head
        self._committed = max(self._committed, head.committed_before)
        self._epoch = max(self._epoch, head.epoch or message.place)

    def hear(self, content: bytes | None) -> bool:
        """Hear what is said beside the stream; tell whether it is a sign of life of who writes the journal.

        A writer that was replaced may not know it yet; what one says of which no message has come is said again.
        """
        word = None if content is None else Word.parse(content)
        if word is None or word.epoch != self._epoch:
            return False
        self._committed = max(self._committed, word.committed)
        return True

    def committed(self, told: int) -> Sequence[Event]:
        """Return events that are committed, in order, each once; those below ``told`` are, as was told elsewhere."""
        waiting, events = self._waiting, list[Event]()
        end = max(self._committed, told)
        while waiting and waiting[0].seq < end and len(events) < _BATCH:
            events.append(waiting.popleft())
        return events
