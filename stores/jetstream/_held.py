"""What a stream holds of a journal: where it begins and ends, in which message an event is, and the events in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import attrs

from hubwire import Event, codec
from hubwire.errors import HistoryGone, LogDamaged

from ._messages import Head, Message
from ._stream import Stored, Stream

__all__ = ("Batches", "End", "Held")


@attrs.frozen
class End:
    """Where a journal ends, by its last message."""

    place: int = 0
    """Of that message in the stream; 0 if there is none."""
    next_seq: int = 0
    hub: str | None = None
    committed: int = 0
    """The events below are committed for certain."""
    epoch: int = 0

    @classmethod
    def of(cls, place: int, head: Head) -> End:
        """Return what a message says that is the last one."""
        return cls(place, head.next_seq, head.hub, head.committed_before, head.epoch or place)


class Batches:
    """The events of messages that come in order, from one event on, without a gap."""

    def __init__(self, stream: Stream, seq: int) -> None:
        self.expected: int = seq
        """The event that comes next."""
        self._stream = stream
        self._parts: list[Message] = []

    def add(self, message: Message) -> Sequence[Event]:
        """Return the events that are whole with a message. Raises :class:`~hubwire.errors.LogDamaged`."""
        head, parts = message.head, self._parts
        if head.is_fence:
            return ()
        if parts and parts[0].head.batch != head.batch:
            parts = []  # a batch that was not finished
        self._parts = [*parts, message]
        if not head.is_last:
            return ()
        parts, self._parts = self._parts, []
        if head.next_seq <= self.expected:
            return ()
        if [each.head.part for each in parts] != list(range(1, head.parts + 1)):
            raise self._damaged(message, "the parts before it are missing")
        return self._decoded(parts)

    def _decoded(self, parts: Sequence[Message]) -> Sequence[Event]:
        content = parts[0].content if len(parts) == 1 else b"".join([each.content for each in parts])
        try:
            found = [codec.decode(line) for line in content.split(b"\n")]
        except ValueError as error:
            raise self._damaged(parts[-1], str(error)) from error
        events = [event for event in found if event.seq >= self.expected]
        for event in events:
            if event.seq != self.expected:
                raise self._damaged(parts[-1], f"it holds event {event.seq} where {self.expected} should be")
            self.expected += 1
        return events

    def _damaged(self, message: Message, what: str) -> LogDamaged:
        return LogDamaged(f"message {message.place} of {self._stream} is damaged: {what}", path=self._stream.name)


class Held:
    """What a stream holds of a journal, as far as it was looked at."""

    def __init__(self, stream: Stream, subject: str, shown: str) -> None:
        self.end: End = End()
        self.first_seq: int = 0
        self.size_bytes: int = 0
        self._stream = stream
        self._subject = subject
        self._shown = shown
        self._oldest_next = 0
        """The event after the oldest message that holds some."""

    # -- where it begins and ends --

    def forget(self) -> None:
        """There is no stream."""
        self.end, self.first_seq, self.size_bytes, self._oldest_next = End(), 0, 0, 0

    async def find_end(self) -> Head | None:
        """Look where it ends; return what its last message says."""
        found = await self._stream.last(self._subject)
        if found is None:
            self.end = End()
            return None
        head = Head.parse(found.headers, f"message {found.place} of {self._stream}")
        self.end = End.of(found.place, head)
        return head

    async def find_beginning(self) -> None:
        """Look where it begins, and how large it is."""
        first = await self._first()
        self.first_seq = self.end.next_seq if first is None else first.head.first
        self._oldest_next = self.first_seq if first is None else await self._end_of(first)
        self.size_bytes = await self._stream.size_bytes()

    async def _first(self) -> Message | None:
        first = await self._from(1)
        while first is not None and first.head.is_fence and first.place < self.end.place:
            first = await self._from(first.place + 1)
        return first

    async def _end_of(self, message: Message) -> int:
        """Return the event after the batch of a message."""
        while not message.head.is_last and (found := await self._from(message.place + 1)) is not None:
            if found.head.batch != message.head.batch:
                break
            message = found
        return message.head.next_seq

    def grow(self, place: int, head: Head, size: int) -> None:
        """A batch was appended, whose last message is this."""
        if not self._oldest_next or self.first_seq == self.end.next_seq:
            self._oldest_next = head.next_seq
        self.end = End.of(place, head)
        self.size_bytes += size

    # -- reading --

    async def replay(self, after: int, end: int) -> AsyncIterator[Event]:
        """Iterate over the events above ``after`` and below ``end``, in order."""
        batches, last = Batches(self._stream, after + 1), self.end.place
        self._check_holds(batches.expected)
        if batches.expected >= end:
            return
        begin = await self.place_with(batches.expected)
        async for stored in self._stream.read(self._subject, begin, last):
            message = self.parsed(stored)
            try:
                events = batches.add(message)
            except LogDamaged:
                await self.check_still_holds(batches.expected)  # a truncation may have come between
                raise
            for event in events:
                if event.seq >= end:
                    return
                yield event
            if batches.expected >= end:
                return
        await self.check_still_holds(batches.expected)
        raise LogDamaged(
            f"{self._shown} ends before event {batches.expected}, but had {end} events; restore the stream from a copy",
            path=self._stream.name,
        )

    def parsed(self, stored: Stored) -> Message:
        """Return a message. Raises :class:`~hubwire.errors.LogDamaged` if it is not as it was written."""
        message = Message(
            stored.place, Head.parse(stored.headers, f"message {stored.place} of {self._stream}"), stored.content
        )
        message.check(str(self._stream))
        return message

    def _check_holds(self, seq: int) -> None:
        if seq < self.first_seq:
            raise HistoryGone(
                f"events from {seq} on are wanted, but {self._shown} is truncated before {self.first_seq}; go on from"
                " there",
                first_seq=self.first_seq,
            )

    async def check_still_holds(self, seq: int) -> None:
        """Raise :class:`~hubwire.errors.HistoryGone` if an event is truncated, by another program too."""
        if (first := await self._first()) is not None:
            self.first_seq = max(self.first_seq, first.head.first)
        self._check_holds(seq)

    async def _from(self, place: int) -> Message | None:
        found = await self._stream.at_or_after(place, self._subject)
        return None if found is None else self.parsed(found)

    async def place_with(self, seq: int) -> int:
        """Return the place of the first message of the batch that holds an event; it is one of those that are held."""
        return (await self._message_with(seq)).place

    async def _message_with(self, seq: int) -> Message:
        low, high, best = 1, self.end.place, None
        while low <= high:
            middle = (low + high) // 2
            found = await self._from(middle)
            if found is None or found.place > high:
                high = middle - 1
            elif found.head.next_seq > seq:  # of a batch in parts, the last one alone says so
                best, high = found, middle - 1
            else:
                low = found.place + 1
        if best is not None and best.head.parts > 1:
            best = await self._first_part(best)
        if best is None or best.head.first > seq:
            await self.check_still_holds(seq)
            raise LogDamaged(
                f"{self._shown} has no event {seq}; restore the stream from a copy", path=self._stream.name
            )
        return best

    async def unfinished(self) -> int:
        """Return the place of the first part of the batch at the end, which is not whole yet."""
        last = await self._from(self.end.place)
        return self.end.place if last is None else (await self._first_part(last)).place

    async def _first_part(self, last: Message) -> Message:
        """Return the first part of a batch. What is kept beside the events, and a lease, may lie between its parts."""
        low, high, best = 1, last.place, last
        while low < high:
            middle = (low + high) // 2
            found = await self._from(middle)
            if found is not None and found.head.batch == last.head.batch:
                best, high = found, middle
            else:
                low = middle + 1
        if best.head.part != 1:
            await self.check_still_holds(last.head.first)
            raise LogDamaged(
                f"message {last.place} of {self._stream} is damaged: the parts before it are missing",
                path=self._stream.name,
            )
        return best

    # -- truncating --

    async def truncate_before(self, seq: int) -> None:
        """Delete the messages before that of an event; one that holds events stays."""
        seq = min(seq, self.end.next_seq - 1)
        if seq < self._oldest_next or seq <= self.first_seq:
            return
        message = await self._message_with(seq)
        self.first_seq = message.head.first  # before they go: who reads them then is told so
        await self._stream.purge(self._subject, before=message.place)
        self._oldest_next = await self._end_of(message)
        self.size_bytes = await self._stream.size_bytes()
