"""JetStreamJournal: the hub's write-ahead log as a stream of NATS JetStream."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import Any, TypeVar

import attrs

from hubwire import Event, codec
from hubwire.errors import ConfigurationError, Fenced, HubError, LogDamaged, StoreError, StoreUnavailable
from hubwire.ports import KnowledgeStore, normalize_path
from hubwire.standby import Lease
from hubwire.waking import start_later

from ..durability import Durability
from ._following import Told, follow
from ._held import End, Held
from ._kept import Kept, checked_name
from ._lease import JetStreamLease
from ._messages import Head, heads_of
from ._stream import Missing, Refused, Stream, Unsettled
from ._synced import synced_durability
from ._words import Telling

__all__ = ("JetStreamJournal",)

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_PAUSE_SECONDS = 0.05
_TAKEOVERS_MAX = 20


class _Phase(Enum):
    CLOSED = "closed"
    PREPARED = "prepared"
    """It can be read."""
    OPEN = "open"


class JetStreamJournal:
    """A :class:`~hubwire.ports.SharedJournal` that is a stream of NATS JetStream, on three servers or more.

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

    **Many readers.** :meth:`follow` reads on a connection of its own, from any server. How far events are committed is
    in each message, and said beside the stream, at ``hw._committed.<name>``, at once and twice a second.

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
        self._held = Held(self._stream, self._subject, repr(self))
        self._aside = f"hw._committed.{name}"  # no name of a journal begins so
        self._telling: Telling | None = None
        self._heard = Told()
        self._beating: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._under_way: asyncio.Task[Any] | None = None
        self._phase = _Phase.CLOSED

    def __repr__(self) -> str:
        return f"JetStreamJournal({self._stream!s})"

    def lease(self) -> Lease:
        """Return the lease of this journal: see :func:`hubwire.standby.leading`. It has a connection of its own."""
        return JetStreamLease(self._make, f"hw.{self.name}.lease")

    @property
    def first_seq(self) -> int:
        return self._held.first_seq

    @property
    def next_seq(self) -> int:
        end = self._held.end
        return end.committed if self._phase is _Phase.PREPARED else end.next_seq

    @property
    def hub_id(self) -> str | None:
        return self._held.end.hub

    @property
    def size_bytes(self) -> int:
        return self._held.size_bytes

    # -- opening and closing --

    async def prepare(self) -> None:
        async with self._opening:
            await self._prepare()

    async def _prepare(self) -> None:
        self._check_unopened()
        if self._phase is _Phase.CLOSED:
            await self._stream.connect()
        self._phase = _Phase.PREPARED
        try:
            if await self._stream.find():
                await self._held.find_end()
                await self._held.find_beginning()
            else:
                self._held.forget()
        except BaseException:
            await self._disconnect()
            raise

    async def open(self) -> None:
        self._check_unopened()
        async with self._opening:  # what one that prepares finds would be taken for the end, after the fence
            await self._open()

    async def _open(self) -> None:
        self._check_unopened()
        self._writing, self._under_way = asyncio.Lock(), None  # those of another event loop cannot be waited for
        self._phase = _Phase.OPEN  # from here on another one that tries finds it so
        try:
            await self._stream.open()
            if self._monitoring is not None:
                self.durability = await synced_durability(self._monitoring, self.durability)
            await self._take_over()
            await self._held.find_beginning()
        except BaseException:
            await self._disconnect()
            raise
        say = partial(self._stream.say, self._aside)
        self._telling = Telling(self.epoch, self._held.end.committed, say, self._is_writing)
        self._beating = start_later(self._telling.run(), name="hubwire journal on JetStream")
        self._beating.add_done_callback(_seen)

    def _check_unopened(self) -> None:
        if self._phase is _Phase.OPEN:
            raise StoreError(f"{self!r} is open already; close it first, or make another journal object")

    async def _disconnect(self) -> None:
        self._phase = _Phase.CLOSED
        await self._stream.aclose()

    async def _take_over(self) -> None:
        """Store a fence behind the last message: from here on nobody else can append."""
        for _ in range(_TAKEOVERS_MAX):
            if await self._held.find_end() is None:
                await self._check_is_new()
            end = self._held.end
            fence = Head(secrets.token_hex(16), 0, end.next_seq, end.next_seq, end.hub, part=0, parts=0)
            try:
                self.epoch = await self._settled(self._subject, fence, b"")
            except Fenced:  # another one took over, or appended, between the two
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self._held.end = End.of(self.epoch, fence)
                return
        raise StoreUnavailable(
            f"{self!r} could not be taken over: {_TAKEOVERS_MAX} times another hub has appended in between; see which"
            " programs use it"
        )

    async def _check_is_new(self) -> None:
        """See that a journal without a message never had one: snapshots come after events."""
        snapshots = f"{self.path}/snapshots"
        found = "positions and pointers are kept beside it" if await self._kept.load() else None
        if found is None and await self.store.list(snapshots):
            found = f"there are snapshots of it at {snapshots} of {self.store!r:.200}"
        if found is not None:
            raise LogDamaged(
                f"{self!r} has no event, and {found}: its stream was emptied, or made anew. Nothing was written."
                " Restore the stream from a copy; or give the journal another name and path, to begin anew",
                path=self._stream.name,
            )

    async def aclose(self) -> None:
        if self._phase is _Phase.OPEN:
            try:
                await self._mark()
            except (HubError, Refused, Unsettled):
                pass  # it is said for those that come later; it is no event
            finally:
                await self.release()
        else:
            await self._disconnect()

    async def _mark(self) -> None:
        """Say in the stream how far events are committed: those that follow later hear no word beside it."""
        told, end = self._told(), self._held.end
        if told <= end.committed or self._is_writing():
            return
        mark = Head(
            secrets.token_hex(16), self.epoch, end.next_seq, end.next_seq, end.hub, part=0, parts=0, committed=told
        )
        await self._stream.publish(self._subject, b"", mark.headers(), end.place, self._subject)

    async def release(self) -> None:
        """Give the journal up; another one goes on with it."""
        self._phase = _Phase.CLOSED
        beating, self._beating = self._beating, None
        if beating is not None:
            beating.cancel()
        try:
            if self._under_way is not None and self._is_writing():
                await asyncio.wait([self._under_way], timeout=self._wait_seconds)
        finally:
            await self._stream.aclose()

    # -- those that follow --

    def follow(self, after: int = -1) -> AsyncIterator[Sequence[Event]]:
        return follow(self._make(), self._subject, self._aside, repr(self), self._heard, after)

    def committed(self, seq: int) -> None:
        if self._phase is not _Phase.OPEN:
            self._heard.advance(seq)
        elif self._telling is not None:
            self._telling.advance(min(seq, self._held.end.next_seq))

    def _is_writing(self) -> bool:
        return self._under_way is not None and not self._under_way.done()

    def _told(self) -> int:
        return 0 if self._telling is None else self._telling.committed

    # -- appending --

    async def append(self, events: Sequence[Event]) -> None:
        await self._alone(lambda: self._append(events))

    async def append_batches(self, events: Sequence[Event], batches: Sequence[range]) -> None:  # noqa: ARG002
        await self.append(events)  # one message is whole, or not there

    async def _append(self, events: Sequence[Event]) -> None:
        held, start = self._held, self._held.end
        assert events[0].seq == start.next_seq
        content = b"\n".join([codec.encode(event) for event in events])
        end, hub = events[-1].seq + 1, events[-1].hub
        batch = Head(secrets.token_hex(16), self.epoch, start.next_seq, end, hub, committed=self._told())
        for head, piece in heads_of(content, self._stream.content_max, batch):
            if head.is_last:
                held.grow(await self._settled(self._subject, head, piece), head, len(content))
            else:  # says whose the events before it are
                said = attrs.evolve(head, hub=start.hub)
                held.end = End.of(await self._settled(self._subject, said, piece), said)

    async def _alone(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do one thing at a time, to its end, also when its caller is cancelled."""
        async with self._writing:
            if self._under_way is not None and self._is_writing():
                await asyncio.wait([self._under_way])  # of a caller that was cancelled
            self._check_open()
            self._under_way = task = start_later(work(), name="hubwire journal on JetStream")
            task.add_done_callback(_seen)
            return await asyncio.shield(task)

    async def _settled(self, subject: str, head: Head, content: bytes) -> int:
        """Store a message behind the last one of the journal, for certain; return its place.

        An answer that is lost is settled by asking the leader of the stream for the last message. Raises
        :class:`~hubwire.errors.Fenced`, and :class:`~hubwire.errors.StoreUnavailable` if it cannot be settled in time.
        """
        loop = asyncio.get_running_loop()
        end, last = loop.time() + self._wait_seconds, self._held.end.place
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
            self._check_open()
            if self._under_way is not None and self._is_writing():
                await asyncio.wait([self._under_way])
            await self._check_last(self._held.end.place)

    def _check_open(self) -> None:
        if self._phase is not _Phase.OPEN:
            raise StoreError(f"{self!r} is closed")

    # -- what is kept beside the events --

    async def keep(self, name: str, content: bytes | None) -> None:
        subject = self._kept.subject(checked_name(name))
        await self._alone(partial(self._keep, subject, content))

    async def _keep(self, subject: str, content: bytes | None) -> None:
        pieces = self._kept.messages(content, self.epoch, self._stream.content_max)
        places = [await self._settled(subject, head, piece) for head, piece in pieces]
        await self._stream.purge(subject, before=places[0])

    async def kept(self) -> Mapping[str, bytes]:
        if self._phase is _Phase.PREPARED and not await self._stream.find():
            return {}
        return await self._kept.load()

    # -- reading --

    def replay(self, after: int = -1) -> AsyncIterator[Event]:
        return self._held.replay(after, self.next_seq)

    async def truncate_before(self, seq: int) -> None:
        await self._held.truncate_before(seq)


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
