"""The feed of one hub: events redacted, encoded and batched once for all subscribers."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

import attrs

from hubwire import Event, EventStream, Hub, Matcher, codec
from hubwire.errors import ConfigurationError
from hubwire.waking import Waker

from ._cursors import Cursors, HubCursors, Place
from ._items import Missed, TailItem
from ._redacting import Redact

__all__ = ("Counts", "Feed")

_SLICE = 100
"""How many subscribers are served, or ended, in one turn of the loop."""

_COLD = 16
"""Where more events than these are to be redacted, that is done in several turns of the loop."""
_AT_ONCE = 4
_SLICE_SECONDS = 0.0001
"""So long that takes in one of them: as long as two commits."""

ITEMS_HELD = 4096
"""How many events are held redacted and encoded, for subscribers that reach them a little later than others."""

BATCHES_HELD = 64

_MATCHER = "hub.matcher()"

HELD_BYTES_MAX = 16 * 1024 * 1024
"""How many bytes these events may have."""

BATCH_BYTES_MAX = 256 * 1024
"""How many bytes the batch of a subscriber may have, but for a single event: it is what a slow one keeps in memory."""


@attrs.define
class Counts:
    """The counts in :class:`LiveTailStatistics`."""

    subscribed: int = 0
    refused: int = 0
    sent: int = 0
    missed: int = 0
    redaction_failures: int = 0


class Ending(Protocol):
    def end(self) -> None: ...


K = TypeVar("K")
V = TypeVar("V")


class _Held(Generic[K, V]):
    """The newest of some values, so many at most, and so many bytes of them; the oldest is forgotten first.

    The code that adds to the ``values`` trims them after that.
    """

    def __init__(self, count_max: int, bytes_max: int) -> None:
        self.values: OrderedDict[K, V] = OrderedDict()
        self.bytes: int = 0
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._sizes: dict[K, int] = {}
        """Of those that have one: most events are light, and have none."""

    def __len__(self) -> int:
        return len(self.values)

    def size_of(self, keys: Iterable[K]) -> int:
        """Return how many bytes these values have, as far as they are held."""
        sizes = self._sizes
        return sum([sizes.get(key, 0) for key in keys]) if sizes else 0

    def weigh(self, key: K, size: int) -> None:
        """Count the bytes of a value that was added, if it has so many that they count."""
        self._sizes[key] = size
        self.bytes += size

    def trim(self) -> None:
        values, sizes = self.values, self._sizes
        while len(values) > self._count_max or (self.bytes > self._bytes_max and len(values) > 1):
            oldest, _ = values.popitem(last=False)
            if sizes:
                self.bytes -= sizes.pop(oldest, 0)


class Feed:
    """What the subscribers of one hub share: the items, the batches, and the order in which they read on."""

    def __init__(self, hub: Hub, redact: Redact | None, cursors: Cursors, counts: Counts) -> None:
        self.hub = hub
        self._cursors = HubCursors(cursors, hub)
        self._redact = redact
        self._counts = counts
        self._items: _Held[int, TailItem | None] = _Held(ITEMS_HELD, HELD_BYTES_MAX)
        self._batches: _Held[tuple[int, int, tuple[object, ...]], tuple[TailItem, ...]] = _Held(
            BATCHES_HELD, HELD_BYTES_MAX
        )
        self._matchers: WeakValueDictionary[tuple[object, ...], Matcher] = WeakValueDictionary()
        self._all: EventStream | None = None
        """A place before all events, never moved: it says how many there are."""
        self._waker = Waker(_SLICE)
        self._preparing = asyncio.Lock()
        self._ending: deque[Ending] = deque()

    @property
    def newest_seq(self) -> int:
        """The ``seq`` of the newest committed event. Raises what reading the hub raises."""
        if self._all is None:
            self._all = self.hub.events(after=-1, history=False)
        return self._all.behind - 1

    def place(self, seq: int) -> Place:
        """Return the place after event ``seq``."""
        event = self.hub.events(after=seq - 1, history=False).peek() if seq >= 0 else None
        return Place(seq, "" if event is None else event.id)

    def matcher(self, pattern: str | Iterable[str], which: Mapping[str, Any]) -> Matcher:
        """Return the matcher of a pattern and filters: one object for all that are equal."""
        if type(pattern) is str and not which and (known := self._matchers.get((pattern,))) is not None:
            return known
        if which:
            try:
                fresh = self.hub.matcher(pattern, **which)
            except ConfigurationError as error:
                # The error names the call that was made.
                raise ConfigurationError(str(error).replace(_MATCHER, "tail.subscribe()", 1)) from error
        else:
            fresh = Matcher(pattern)
        return self._matchers.setdefault(fresh.key, fresh)

    def batch(self, start: int, events: Sequence[Event], matcher: Matcher) -> tuple[TailItem, ...]:
        """Return the items of the events that match, from ``start`` on: built once, for the first subscriber there."""
        key = (start, len(events), matcher.key)
        batches = self._batches
        batch = batches.values.get(key)
        if batch is None:
            batch = batches.values[key] = tuple(self._shown(matcher.select(events)))
            if size := self._items.size_of(item.seq for item in batch):
                batches.weigh(key, size)
            batches.trim()
        self._counts.sent += len(batch)
        return batch

    def _shown(self, events: Sequence[Event]) -> list[TailItem]:
        """Return the items of these events, without those that the redactor withholds."""
        fresh = self._fresh(events)
        shown = fresh if self._redact is None or not fresh else self._redact(fresh, self._counts)
        return self._items_of(events, iter(shown))

    def has_to_prepare(self, start: int, events: Sequence[Event], matcher: Matcher) -> bool:
        """Tell whether :meth:`batch` would hold up the loop, unless :meth:`prepare` is awaited before."""
        if self._redact is None or (start, len(events), matcher.key) in self._batches.values:
            return False
        held = self._items.values
        is_cold = len(events) > _COLD and sum([event.seq not in held for event in events]) > _COLD
        return is_cold or self._redact.is_long_for(events)

    async def prepare(self, events: Sequence[Event], matcher: Matcher) -> None:
        """Have :meth:`batch` find these events redacted, once for all subscribers: large ones in a thread, others few
        in each turn of the loop.
        """
        redact = self._redact
        if redact is None:
            return
        async with self._preparing:
            chosen = matcher.select(events)
            if redact.is_long_for(events):
                fresh = self._fresh(chosen)
                if fresh:
                    self._hold(fresh, await redact.aside(fresh, self._counts))
                return
            begun = time.perf_counter()
            for start in range(0, len(chosen), _AT_ONCE):
                if fresh := self._fresh(chosen[start : start + _AT_ONCE]):
                    self._hold(fresh, redact(fresh, self._counts))
                if time.perf_counter() - begun > _SLICE_SECONDS:
                    await asyncio.sleep(0)
                    begun = time.perf_counter()

    def _fresh(self, events: Sequence[Event]) -> list[Event]:
        held = self._items.values
        return [event for event in events if event.seq not in held]

    def _hold(self, events: Sequence[Event], shown: Sequence[Event | None]) -> None:
        """Hold the items of events. Another subscriber may have come before with some of them."""
        held = self._items.values
        made = [(event, each) for event, each in zip(events, shown, strict=True) if event.seq not in held]
        self._items_of([event for event, _ in made], iter([each for _, each in made]))

    def _items_of(self, events: Sequence[Event], made: Iterator[Event | None]) -> list[TailItem]:
        """Return the items of these events; those that are not held yet are made of the next ones of what is shown."""
        items: list[TailItem] = []
        held, cursors, size_of = self._items.values, self._cursors, codec.size_of
        for event in events:  # as little as possible for each: it is what a tail costs a hub
            seq = event.seq
            if seq in held:
                item = held[seq]
            else:
                shown = next(made)
                item = None if shown is None else TailItem(shown, seq, event.id, cursors)
                held[seq] = item
                if shown is not None and (size := size_of(shown)):
                    self._items.weigh(seq, size)
            if item is not None:
                items.append(item)
        self._items.trim()
        return items

    def missed(self, first_seq: int, last_seq: int) -> Missed:
        self._counts.missed += last_seq - first_seq + 1
        return Missed(first_seq=first_seq, last_seq=last_seq, cursor=self.cursor(Place(last_seq)))

    def cursor(self, place: Place) -> str:
        return self._cursors.cursor(place)

    def end(self, subscribers: Iterable[Ending]) -> None:
        """End subscribers, a slice in each turn of the loop."""
        self._ending.extend(subscribers)
        self._end_slice()

    def _end_slice(self) -> None:
        for _ in range(min(_SLICE, len(self._ending))):
            self._ending.popleft().end()
        if self._ending:
            asyncio.get_running_loop().call_soon(self._end_slice)

    async def wait_for_place(self) -> None:
        """Return in a later step of the loop, after the subscribers that called this earlier."""
        await self._waker.wait_in_line()
