"""JetStreamJournal: the hub's write-ahead log as a stream of NATS JetStream."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import attrs

from hubwire import Event, codec
from hubwire.errors import ConfigurationError, Fenced, HistoryGone, LogDamaged, StoreError, StoreUnavailable
from hubwire.ports import KnowledgeStore, normalize_path
from hubwire.standby import Lease
from hubwire.waking import start_later

from ..durability import Durability
from ._kept import Kept, checked_name
from ._lease import JetStreamLease
from ._messages import Head, Message, heads_of
from ._stream import Missing, Refused, Stream, Unsettled
from ._synced import synced_durability

__all__ = ("JetStreamJournal",)

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_PAUSE_SECONDS = 0.05
_TAKEOVERS_MAX = 20


class JetStreamJournal:
    """A :class:`~hubwire.ports.Journal` that is a stream of NATS JetStream, on three servers or more.

    ``servers`` are addresses, separated by commas; ``name`` is that of the journal, and ``hw.<name>`` and the stream
    ``HW_<name>`` are its. ``store`` keeps the snapshots, below ``path``: it has to be one that every machine reaches.
    Each batch of events is one message, acknowledged when most of the replicas have it. What no server has acknowledged
    for ``wait_seconds`` fails, and with it the hub; until then it waits. ``options`` go to ``nats.connect``: for
    ``user_credentials``, ``tls`` and the like.

    **One writer.** Opening takes over, at once: the one before gets :class:`~hubwire.errors.Fenced` at its next append.
    It is the servers that refuse it, by the place which each append expects.

    **What an acknowledgement is worth** depends on a setting of the servers, ``sync_interval: always``. By
    ``monitoring``, the URL of a server's monitoring port, the journal asks whether they have it; ``assert_sync_always``
    says that they do. Otherwise :attr:`durability` is FLUSH: what all of them lose at once, by a loss of power, may be
    lost. ``single_server`` allows fewer than three replicas: the events are as safe as that server's disk is.

    Servers below 2.12 are refused: they acknowledge what they lose. So is a stream that may drop events.
    """

    def __init__(
        self,
        servers: str,
        name: str,
        *,
        store: KnowledgeStore,
        path: str | None = None,
        single_server: bool = False,
        monitoring: str | None = None,
        assert_sync_always: bool = False,
        wait_seconds: float = 30.0,
        options: dict[str, Any] | None = None,
    ) -> None:
        flags = {"single_server": single_server, "assert_sync_always": assert_sync_always}
        texts = {"path": path, "monitoring": monitoring}
        self.name: str = _checked(servers, name, store, flags, texts, wait_seconds)
        if options is not None and not isinstance(options, dict):
            raise ConfigurationError(
                f"JetStreamJournal(): options are arguments of nats.connect, in a dict, not {type(options).__name__}"
            )
        self.store: KnowledgeStore = store
        self.path: str = normalize_path(path or f"/{name}")
        self.epoch: int = 0
        self.first_seq: int = 0
        self.next_seq: int = 0
        self.hub_id: str | None = None
        self.size_bytes: int = 0
        self.durability: Durability = Durability.FSYNC if assert_sync_always else Durability.FLUSH
        """What an acknowledged event survives; known for certain when the journal is open."""
        self._monitoring = monitoring
        self._wait_seconds = float(wait_seconds)
        self._subject = f"hw.{name}.journal"
        self._make = partial(
            Stream,
            servers,
            f"HW_{name}",
            f"hw.{name}.>",
            replicas=1 if single_server else 3,
            wait_seconds=self._wait_seconds,
            options=dict(options or {}),
        )
        self._stream = self._make()
        self._kept = Kept(self._stream, f"hw.{name}.kept")
        self._place = 0
        """Of the last message of the journal."""
        self._oldest_next = 0
        """The event after the oldest message that holds some."""
        self._writing = asyncio.Lock()
        self._under_way: asyncio.Task[Any] | None = None
        self._is_open = False

    def __repr__(self) -> str:
        return f"JetStreamJournal({self._stream!s})"

    def lease(self) -> Lease:
        """Return the lease of this journal: see :func:`hubwire.standby.leading`. It has a connection of its own."""
        return JetStreamLease(self._make, f"hw.{self.name}.lease")

    # -- opening and closing --

    async def open(self) -> None:
        await self._stream.open()
        self._writing, self._under_way = asyncio.Lock(), None  # those of another event loop cannot be waited for
        try:
            if self._monitoring is not None:
                self.durability = await synced_durability(self._monitoring, self.durability)
            await self._take_over()
            await self._find_beginning()
        except BaseException:
            await self._stream.aclose()
            raise
        self._is_open = True

    async def _take_over(self) -> None:
        """Store a fence behind the last message: from here on nobody else can append."""
        for _ in range(_TAKEOVERS_MAX):
            await self._find_end()
            fence = Head(secrets.token_hex(16), 0, self.next_seq, self.next_seq, self.hub_id, part=0, parts=0)
            try:
                self._place = self.epoch = await self._settled(self._subject, fence, b"")
            except Fenced:  # another one took over, or appended, between the two
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return
        raise StoreUnavailable(
            f"{self!r} could not be taken over: {_TAKEOVERS_MAX} times another hub has appended in between; see which"
            " programs use it"
        )

    async def _find_end(self) -> None:
        found = await self._stream.last(self._subject)
        self._place = 0 if found is None else found.place
        head = None if found is None else Head.parse(found.headers, f"message {found.place} of {self._stream}")
        self.next_seq = 0 if head is None else head.next_seq
        self.hub_id = None if head is None else head.hub

    async def _find_beginning(self) -> None:
        first = await self._message_from(1)
        while first is not None and first.head.is_fence and first.place < self._place:
            first = await self._message_from(first.place + 1)
        self.first_seq = self.next_seq if first is None else first.head.first
        self._oldest_next = self.first_seq if first is None else await self._end_of(first)
        self.size_bytes = await self._stream.size_bytes()

    async def _end_of(self, message: Message) -> int:
        """Return the event after the batch of a message."""
        while not message.head.is_last and (found := await self._message_from(message.place + 1)) is not None:
            if found.head.batch != message.head.batch:
                break
            message = found
        return message.head.next_seq

    async def aclose(self) -> None:
        await self.release()

    async def release(self) -> None:
        """Give the journal up; another one goes on with it."""
        self._is_open = False
        if self._under_way is not None and not self._under_way.done():
            await asyncio.wait([self._under_way], timeout=self._wait_seconds)
        await self._stream.aclose()

    # -- appending --

    async def append(self, events: Sequence[Event]) -> None:
        await self._alone(lambda: self._append(events))

    async def append_batches(self, events: Sequence[Event], batches: Sequence[range]) -> None:  # noqa: ARG002
        await self.append(events)  # one message is whole, or not there

    async def _append(self, events: Sequence[Event]) -> None:
        assert events[0].seq == self.next_seq
        content = b"\n".join([codec.encode(event) for event in events])
        end, hub = events[-1].seq + 1, events[-1].hub
        batch = Head(secrets.token_hex(16), self.epoch, self.next_seq, end, hub)
        for head, piece in heads_of(content, self._stream.content_max, batch):
            # A part before the last says whose the events before it are.
            said = head if head.is_last else attrs.evolve(head, hub=self.hub_id)
            self._place = await self._settled(self._subject, said, piece)
        if not self._oldest_next or self.first_seq == self.next_seq:
            self._oldest_next = end
        self.next_seq, self.hub_id = end, hub
        self.size_bytes += len(content)

    async def _alone(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do one thing at a time, to its end, also when its caller is cancelled."""
        async with self._writing:
            if self._under_way is not None and not self._under_way.done():
                await asyncio.wait([self._under_way])  # of a caller that was cancelled
            if not self._is_open:
                raise StoreError(f"{self!r} is closed")
            self._under_way = task = start_later(work(), name="hubwire journal on JetStream")
            task.add_done_callback(_seen)
            return await asyncio.shield(task)

    async def _settled(self, subject: str, head: Head, content: bytes) -> int:
        """Store a message behind the last one of the journal, for certain; return its place.

        An answer that is lost is settled by asking the leader of the stream for the last message. Raises
        :class:`~hubwire.errors.Fenced`, and :class:`~hubwire.errors.StoreUnavailable` if it cannot be settled in time.
        """
        loop = asyncio.get_running_loop()
        end, last = loop.time() + self._wait_seconds, self._place
        while True:
            try:
                return await self._stream.publish(subject, content, head.headers(), last, self._subject)
            except Unsettled as error:
                if loop.time() > end:
                    self._check_is_there(error)
                    raise StoreUnavailable(
                        f"{self!r} has not acknowledged for {self._wait_seconds:g} seconds ({error}): whether the last"
                        " events are stored is not known; see that most of its servers run"
                    ) from error
                await asyncio.sleep(_PAUSE_SECONDS)
            except Refused:
                if (place := await self._own(subject, head)) is not None:
                    return place
                await self._check_last(last)
                await asyncio.sleep(_PAUSE_SECONDS)  # what is under way there is not stored yet

    def _check_is_there(self, error: Unsettled) -> None:
        if isinstance(error, Missing):
            raise LogDamaged(
                f"{self!r} is not there any more, since {self._wait_seconds:g} seconds: its stream was deleted, or the"
                " disks of its servers were lost. Restore the stream from a copy",
                path=self._stream.name,
            ) from error

    async def _own(self, subject: str, head: Head) -> int | None:
        """Return the place of a message, if it is the last one of its subject."""
        found = await self._stream.last(subject)
        if found is None:
            return None
        there = Head.parse(found.headers, f"message {found.place} of {self._stream}")
        return found.place if (there.batch, there.part) == (head.batch, head.part) else None

    async def _check_last(self, last: int) -> None:
        found = await self._stream.last(self._subject)
        if found is not None and found.place > last:
            raise Fenced(
                f"{self!r} was taken over by another hub: it has message {found.place}, and this one had read up to"
                f" {last}. Nothing of this hub is lost that was acknowledged; the other one goes on"
            )
        if last and (found is None or found.place < last):
            raise LogDamaged(
                f"{self!r} ends with message {0 if found is None else found.place}, and had {last}: its servers have"
                " lost events that they had acknowledged. Nothing was appended; restore the stream from a copy",
                path=self._stream.name,
            )

    async def check(self) -> None:
        async with self._writing:
            if not self._is_open:
                raise StoreError(f"{self!r} is closed")
            if self._under_way is not None and not self._under_way.done():
                await asyncio.wait([self._under_way])
            await self._check_last(self._place)

    # -- what is kept beside the events --

    async def keep(self, name: str, content: bytes | None) -> None:
        subject = self._kept.subject(checked_name(name))
        await self._alone(partial(self._keep, subject, content))

    async def _keep(self, subject: str, content: bytes | None) -> None:
        pieces = self._kept.messages(content, self.epoch, self._stream.content_max)
        places = [await self._settled(subject, head, piece) for head, piece in pieces]
        await self._stream.purge(subject, before=places[0])

    async def kept(self) -> Mapping[str, bytes]:
        return await self._kept.load()

    # -- reading --

    async def replay(self, after: int = -1) -> AsyncIterator[Event]:
        expected, end, last = after + 1, self.next_seq, self._place
        self._check_holds(expected)
        if expected >= end:
            return
        begin = await self._message_with(expected)
        parts: list[Message] = []
        async for stored in self._stream.read(self._subject, begin.place, last):
            message = self._parsed(stored.place, stored.headers, stored.content)
            if message.head.is_fence:
                continue
            if parts and parts[0].head.batch != message.head.batch:
                parts = []  # a batch that was not finished
            parts.append(message)
            if not message.head.is_last:
                continue
            batch, parts = parts, []
            if message.head.next_seq <= expected:
                continue
            if [each.head.part for each in batch] != list(range(1, message.head.parts + 1)):
                self._check_holds(expected)  # a truncation may have come between
                raise self._damaged(message.place, "the parts before it are missing")
            for event in self._events(batch):
                if event.seq < expected:
                    continue
                if event.seq != expected:
                    self._check_holds(expected)
                    raise self._damaged(message.place, f"it holds event {event.seq} where {expected} should be")
                expected += 1
                yield event
                if expected == end:
                    return
        self._check_holds(expected)
        raise LogDamaged(
            f"{self!r} ends before event {expected}, but had {end} events; restore the stream from a copy",
            path=self._stream.name,
        )

    def _events(self, batch: Sequence[Message]) -> list[Event]:
        content = b"".join([each.content for each in batch])
        try:
            return [codec.decode(line) for line in content.split(b"\n")]
        except ValueError as error:
            raise self._damaged(batch[-1].place, str(error)) from error

    def _parsed(self, place: int, headers: dict[str, str] | None, content: bytes) -> Message:
        where = f"message {place} of {self._stream}"
        message = Message(place, Head.parse(headers, where), content)
        message.check(str(self._stream))
        return message

    def _damaged(self, place: int, what: str) -> LogDamaged:
        return LogDamaged(f"message {place} of {self._stream} is damaged: {what}", path=self._stream.name)

    def _check_holds(self, seq: int) -> None:
        if seq < self.first_seq:
            raise HistoryGone(
                f"events from {seq} on are wanted, but {self!r} is truncated before {self.first_seq}; go on from there",
                first_seq=self.first_seq,
            )

    async def _message_from(self, place: int) -> Message | None:
        found = await self._stream.at_or_after(place, self._subject)
        return None if found is None else self._parsed(found.place, found.headers, found.content)

    async def _message_with(self, seq: int) -> Message:
        """Return the first message of the batch that holds an event; it is one of those that are held."""
        low, high, best = 1, self._place, None
        while low <= high:
            middle = (low + high) // 2
            found = await self._message_from(middle)
            if found is None or found.place > high:
                high = middle - 1
            elif found.head.next_seq > seq:  # of a batch in parts, the last one alone says so
                best, high = found, middle - 1
            else:
                low = found.place + 1
        if best is not None and best.head.parts > 1:
            best = await self._first_part(best)
        if best is None or best.head.first > seq:
            self._check_holds(seq)
            raise LogDamaged(f"{self!r} has no event {seq}; restore the stream from a copy", path=self._stream.name)
        return best

    async def _first_part(self, last: Message) -> Message:
        """Return the first part of a batch. What is kept beside the events, and a lease, may lie between its parts."""
        low, high, best = 1, last.place, last
        while low < high:
            middle = (low + high) // 2
            found = await self._message_from(middle)
            if found is not None and found.head.batch == last.head.batch:
                best, high = found, middle
            else:
                low = middle + 1
        if best.head.part != 1:
            raise self._damaged(last.place, "the parts before it are missing")
        return best

    # -- truncating --

    async def truncate_before(self, seq: int) -> None:
        seq = min(seq, self.next_seq - 1)
        if seq < self._oldest_next or seq <= self.first_seq:
            return
        message = await self._message_with(seq)
        self.first_seq = message.head.first  # before they go: who reads them then is told so
        await self._stream.purge(self._subject, before=message.place)
        self._oldest_next = await self._end_of(message)
        self.size_bytes = await self._stream.size_bytes()


def _seen(task: asyncio.Task[Any]) -> None:
    """Take notice of what failed, also where its caller was cancelled."""
    if not task.cancelled():
        task.exception()


def _checked(
    servers: object,
    name: object,
    store: object,
    flags: Mapping[str, object],
    texts: Mapping[str, object],
    wait: object,
) -> str:
    """See that arguments can be right; return the name."""
    if type(servers) is not str or not servers.strip():
        raise ConfigurationError(
            "JetStreamJournal(): servers are addresses, such as 'nats://n1:4222,nats://n2:4222', not"
            f" {type(servers).__name__}"
        )
    if type(name) is not str or not _NAME.fullmatch(name):
        shown = f"{name!r:.80}" if type(name) is str else type(name).__name__
        raise ConfigurationError(
            f"JetStreamJournal(): name is 1 to 128 letters, digits, _ and -, such as 'acme', not {shown}"
        )
    if isinstance(store, type) or not callable(getattr(store, "read_bytes", None)):
        raise ConfigurationError(
            "JetStreamJournal(): store keeps the snapshots, such as open_store('s3://bucket/hubs'), not"
            f" {type(store).__name__}"
        )
    for argument, value in texts.items():
        if value is not None and type(value) is not str:
            raise ConfigurationError(f"JetStreamJournal(): {argument} is text, or None, not {type(value).__name__}")
    for argument, value in flags.items():
        if type(value) is not bool:
            raise ConfigurationError(f"JetStreamJournal(): {argument} is True or False, not {type(value).__name__}")
    if type(wait) not in (int, float) or not 0 < wait < 1e6:  # type: ignore[operator]
        raise ConfigurationError(f"JetStreamJournal(): wait_seconds is a number of seconds above 0, not {wait!r:.40}")
    return name
