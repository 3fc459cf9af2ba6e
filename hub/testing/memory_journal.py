"""A journal in memory that several hubs of one process share, to try out a standby without a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from .. import codec
from .._foreign.arguments import has_method
from ..errors import ConfigurationError, Fenced, HistoryGone, StoreError
from ..events import Event
from ..ports import KnowledgeStore

__all__ = ("MemoryHistory", "MemorySharedJournal")

_BATCH = 1024
_KEPT_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")


class MemoryHistory:
    """What is in a journal in memory, however many hubs have it: see :class:`MemorySharedJournal`.

    ``store`` keeps the snapshots. While a hub has the journal open, those that follow hear of it every
    ``beat_seconds``.
    """

    def __init__(self, store: KnowledgeStore, *, beat_seconds: float = 0.5) -> None:
        if isinstance(store, type) or not has_method(store, "read_bytes"):
            raise ConfigurationError(
                f"MemoryHistory(): store keeps the snapshots, such as MemoryStore(), not {type(store).__name__}"
            )
        if type(beat_seconds) not in (int, float) or not 0 < beat_seconds < 1e6:
            raise ConfigurationError(
                f"MemoryHistory(): beat_seconds is a number of seconds above 0, not {beat_seconds!r:.40}"
            )
        self.store: KnowledgeStore = store
        self.beat_seconds: float = beat_seconds
        self.kept: dict[str, bytes] = {}
        self.first_seq: int = 0
        self.hub_id: str | None = None
        self.committed: int = 0
        """The ``seq`` below which all events are committed."""
        self.epoch: int = 0
        """How often it was opened."""
        self.is_led: bool = False
        """Whether the one that opened it last has it open still."""
        self.size_bytes: int = 0
        """What the events take."""
        self._records: list[bytes] = []
        self._followers: set[asyncio.Event] = set()

    def __repr__(self) -> str:
        return f"<MemoryHistory of events {self.first_seq} to {self.next_seq}, opened {self.epoch} times>"

    @property
    def next_seq(self) -> int:
        """The ``seq`` of the next event."""
        return self.first_seq + len(self._records)

    @property
    def followers(self) -> int:
        """How many follow it now."""
        return len(self._followers)

    def take_over(self) -> int:
        """Count an opening, from which on none before it can append; return its epoch."""
        self.epoch += 1
        self.is_led = True
        self.commit(self.next_seq)
        return self.epoch

    def give_up(self, epoch: int) -> None:
        """The one that opened it so has closed it."""
        if epoch == self.epoch:
            self.is_led = False

    def add(self, records: Sequence[bytes], hub_id: str) -> None:
        """Append what events are encoded as."""
        self._records += records
        self.size_bytes += sum(map(len, records))
        self.hub_id = hub_id

    def commit(self, seq: int) -> None:
        """The events below ``seq`` are committed."""
        if self.committed < min(seq, self.next_seq):
            self.committed = min(seq, self.next_seq)
            for moved in self._followers:
                moved.set()

    def drop_before(self, seq: int) -> None:
        """Delete the events below ``seq``, but not the last one."""
        if (count := min(seq, self.next_seq - 1) - self.first_seq) > 0:
            self.size_bytes -= sum(map(len, self._records[:count]))
            del self._records[:count]
            self.first_seq += count

    def slice(self, start: int, end: int) -> list[Event]:
        """Return the events ``[start, end)``. Raises :class:`~hubwire.errors.HistoryGone`."""
        if start < self.first_seq:
            raise HistoryGone(
                f"events from {start} on are wanted, but {self!r} is truncated; go on from {self.first_seq}",
                first_seq=self.first_seq,
            )
        records = self._records[start - self.first_seq : max(start, end) - self.first_seq]
        return [codec.decode(record) for record in records]

    async def follow(self, after: int) -> AsyncIterator[Sequence[Event]]:
        """Iterate over batches, as :meth:`MemorySharedJournal.follow` does."""
        seq, moved = after + 1, asyncio.Event()
        self._followers.add(moved)
        try:
            while True:
                moved.clear()
                # A place that is truncated is said, also where there is no event after it yet.
                if events := self.slice(seq, min(self.committed, seq + _BATCH)):
                    seq += len(events)
                    await asyncio.sleep(0)  # as what comes over a network
                    yield events
                elif not await _is_set(moved, self.beat_seconds) and self.is_led:
                    yield ()
        finally:
            self._followers.discard(moved)


async def _is_set(moved: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await moved.wait()
    except TimeoutError:
        return False


class MemorySharedJournal:
    """A :class:`~hubwire.ports.SharedJournal` in memory: each hub has one of its own, of one :class:`MemoryHistory`.

    .. code-block:: python

        history = MemoryHistory(MemoryStore())
        leader = Hub(journal=MemorySharedJournal(history))
        standby = Hub(journal=MemorySharedJournal(history))

    The hub that opens it last writes, and the one before gets :class:`~hubwire.errors.Fenced` at its next append, as on
    :class:`~hubwire.stores.jetstream.JetStreamJournal`. Events are encoded and decoded on their way. Use all of one
    history in one event loop; it lives as long as the object.
    """

    def __init__(self, history: MemoryHistory) -> None:
        if not isinstance(history, MemoryHistory):
            raise ConfigurationError(
                "MemorySharedJournal(): history is what several journals share, a MemoryHistory, not"
                f" {type(history).__name__}"
            )
        self.history: MemoryHistory = history
        self.store: KnowledgeStore = history.store
        self.path: str = "/journal"
        self.epoch: int = 0
        self.next_seq: int = 0
        self._is_open = False

    def __repr__(self) -> str:
        return f"MemorySharedJournal({self.history!r})"

    @property
    def first_seq(self) -> int:
        return self.history.first_seq

    @property
    def hub_id(self) -> str | None:
        return self.history.hub_id

    @property
    def size_bytes(self) -> int:
        return self.history.size_bytes

    # -- with possession --

    async def open(self) -> None:
        self._check_unopened()
        self.epoch = self.history.take_over()
        self.next_seq = self.history.next_seq
        self._is_open = True

    async def append(self, events: Sequence[Event]) -> None:
        self._check_leads()
        assert events[0].seq == self.next_seq
        records = [codec.encode(event) for event in events]
        await asyncio.sleep(0)
        self._check_leads()
        self.history.add(records, events[-1].hub)
        self.next_seq = self.history.next_seq

    async def append_batches(self, events: Sequence[Event], batches: Sequence[range]) -> None:  # noqa: ARG002
        await self.append(events)

    def committed(self, seq: int) -> None:
        if self._is_open and self.epoch == self.history.epoch:
            self.history.commit(seq)

    async def check(self) -> None:
        self._check_leads()

    async def keep(self, name: str, content: bytes | None) -> None:
        self._check_leads()
        if type(name) is not str or not 0 < len(name) <= 64 or not set(name) <= _KEPT_NAME or not name[0].isalpha():
            raise ConfigurationError(f"{name!r:.40} cannot name what is kept: use up to 64 of a-z, 0-9 and _")
        if content is None:
            self.history.kept.pop(name, None)
        else:
            self.history.kept[name] = bytes(content)

    async def truncate_before(self, seq: int) -> None:
        self._check_leads()
        self.history.drop_before(seq)

    async def aclose(self) -> None:
        if self._is_open:
            self._is_open = False
            self.history.give_up(self.epoch)

    # -- without --

    async def prepare(self) -> None:
        self._check_unopened()
        self.next_seq = self.history.committed

    async def kept(self) -> Mapping[str, bytes]:
        return dict(self.history.kept)

    async def replay(self, after: int = -1) -> AsyncIterator[Event]:
        seq, end = after + 1, self.next_seq
        self.history.slice(seq, seq)
        while seq < end:
            events = self.history.slice(seq, min(end, seq + _BATCH))
            for event in events:
                yield event
            seq += len(events)

    def follow(self, after: int = -1) -> AsyncIterator[Sequence[Event]]:
        return self.history.follow(after)

    # -- checks --

    def _check_unopened(self) -> None:
        if self._is_open:
            raise StoreError(f"{self!r} is open already; close it first, or make another journal of the same history")

    def _check_leads(self) -> None:
        if not self._is_open:
            raise StoreError(f"{self!r} is closed")
        if self.epoch != self.history.epoch:
            raise Fenced(
                f"{self!r} was taken over by another hub. Nothing of this hub is lost that was acknowledged; the other"
                " one goes on"
            )
