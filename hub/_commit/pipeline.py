"""The way of an event from a command to its commit: admission, stamping, applying, the ring, the journal.

Between deciding and applying nothing is awaited: no lock is needed, no check goes stale, ``seq`` order is ring order.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Protocol

import attrs
from uuid_utils import uuid7

from .. import codec, context
from .._foreign.guards import guarded, text_of
from .._state import State
from ..clock import timestamp
from ..errors import (
    CommandRejected,
    ConfigurationError,
    EventTooLarge,
    HubClosed,
    HubFailed,
    JournalFailed,
    Overloaded,
    StoreFull,
    repeat,
)
from ..events import Event
from ..events._event import stamp
from ..ports import Clock, Journal
from ..waking import Waker
from .held import is_inside, may_be_inside
from .ring import Ring

__all__ = ("Limits", "Pipeline")

DEPTH_MAX = 32
"""How long a chain of listeners may get in which each emits because of the one before."""

_YIELD_EVERY = 128
_UNWEIGHED = 64 * 1024
"""An upper bound for the JSON of what stamping does not weigh: keys, and short texts."""

_FULL_RETRY_SECONDS = 1.0
_FULL_DEADLINE_SECONDS = 60.0

_running_loop = asyncio._get_running_loop  # noqa: SLF001 - exported by asyncio; None where no loop runs, instead of an error


@attrs.frozen(kw_only=True)
class Limits:
    """The bounds of a hub, in events unless the name says otherwise."""

    in_flight_max: int = 1024
    listener_reserve: int = 256
    event_bytes_max: int = 8 * 1024 * 1024


class Downstream(Protocol):
    """What comes after the journal: the fan-out."""

    def blocks(self) -> bool:
        """Tell whether a BLOCK listener is so far behind that emitters have to wait."""

    def after_put(self) -> None:
        """Events are on the ring."""

    def after_journaled(self) -> None:
        """The journal has more events."""

    def after_failure(self) -> None:
        """The hub has failed."""


class Pipeline:
    """Takes events in, in order, until they are journaled; the fan-out says when they are committed."""

    def __init__(self, ring: Ring, state: State, journal: Journal | None, clock: Clock, limits: Limits) -> None:
        self.ring = ring
        self.state = state
        self.hub_id = ""
        self.failure: HubFailed | None = None
        self.pauses: dict[str, StoreFull] = {}
        """Who can write nothing at present, and why; empty while all is well."""
        self.dropped_offers = 0
        self.downstream: Downstream
        self.watchers: dict[type[Event], Callable[[Any], None]] = {}
        """Who in this process is to be told at once that an event of some kind was applied."""
        self._journal = journal
        self._clock = clock
        self._limits = limits
        self.last_at: str = ""
        """When the newest event happened: no later one gets an earlier time."""
        self.closed: bool = True
        """No command is taken: not yet, or no more."""
        self.stopped: bool = False
        """The last event is on the ring: nothing may be put any more."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._granted = 0
        self._queue: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._uncommitted: deque[tuple[int, asyncio.Future[None]]] = deque()
        """The tasks that wait for a commit, in the order of ``seq``."""
        self._waker = Waker()

    @property
    def in_flight(self) -> int:
        """How many events are applied and not yet committed."""
        return self.ring.applied.value - self.ring.committed.value

    @property
    def waiting(self) -> int:
        """How many emitters wait to be admitted."""
        return len(self._queue)

    # -- commands --

    async def execute(self, decide: Callable[[], Sequence[Event]]) -> list[Event]:
        """Admit, decide, put, and wait for the commit; return the stamped events.

        In a listener that the commit waits for, return as soon as the events are applied. A command that decides on no
        events has been admitted, and that is all.
        """
        if may_be_inside() and is_inside(self):
            self._check_reserve()
            return self.put(decide())
        if self._queue or not self._has_room():
            await self._wait_for_room()
        else:
            self._check_open()
        try:
            events = self.put(decide())
        finally:
            # A command that was refused leaves its room to the next.
            self.admit()
        if events:
            await self.until_committed(events[-1].seq)
        return events

    def put_nowait(self, events: Sequence[Event]) -> list[Event]:
        """Admit and put events; raise :class:`Overloaded` instead of waiting. They are not committed yet."""
        if may_be_inside() and is_inside(self):
            self._check_reserve()
        elif self.closed or self._loop is not _running_loop():
            self._check_open()
        elif self._queue or not self._has_room():
            raise Overloaded(
                f"{self.in_flight} events wait to be committed, and {self.waiting} emitters to be admitted;"
                " use await hub.emit(...) to wait for room, or hub.offer(...) to drop"
            )
        return self.put(events)

    def put(self, events: Sequence[Event], around: context.Context | None = None) -> list[Event]:
        """Stamp, apply and put events on the ring, without admission. All of them or, if one is refused, none.

        ``around`` is what they inherit: by default, what the code that runs is in.
        """
        if not events:
            return []
        stamped = self._stamp(events, context.current() if around is None else around)
        apply, watchers = self.state.apply, self.watchers
        for event in stamped:
            apply(event)
            if (watch := watchers.get(type(event))) is not None:
                watch(event)
        ring = self.ring
        ring.put(stamped)
        if self._journal is None:
            ring.journaled.advance(ring.applied.value)
        self.downstream.after_put()
        return stamped

    def _stamp(self, events: Sequence[Event], around: context.Context) -> list[Event]:
        if around.depth > DEPTH_MAX:
            raise CommandRejected(
                f"event {events[0].kind!r} is number {around.depth} in a row that a listener emitted because of the one"
                " before; let a listener not answer its own events"
            )
        at = timestamp(self._clock.now_ns())
        if at > self.last_at:
            self.last_at = at
        else:
            at = self.last_at
        seq, hub_id, bytes_max = self.ring.applied.value, self.hub_id, self._limits.event_bytes_max
        stamped = []
        for event in events:
            copy = stamp(event, seq, str(uuid7()), at, hub_id, around, bytes_max)
            # Stamping has counted a lower bound. Only where the true size may be too large is it worth encoding now.
            if copy._weight * 6 + _UNWEIGHED > bytes_max:  # noqa: SLF001 - stamping left it for us
                self._check_size(copy)
            stamped.append(copy)
            seq += 1
        return stamped

    def _check_size(self, event: Event) -> None:
        size, limit = len(codec.encode(event)), self._limits.event_bytes_max
        if size > limit:
            raise EventTooLarge(
                f"event {event.kind!r} has {size} bytes, more than the {limit} of event_bytes_max;"
                " store the payload elsewhere and emit a reference",
                kind=event.kind,
                size_bytes=size,
                limit_bytes=limit,
            )

    # -- admission --

    def _has_room(self) -> bool:
        ring = self.ring
        in_flight = ring.applied.value - ring.committed.value + self._granted
        return in_flight < self._limits.in_flight_max and not self.downstream.blocks()

    def _check_open(self) -> None:
        if self.failure is not None:
            raise repeat(self.failure)
        if self.closed:
            raise HubClosed(
                "the hub is not running, or closing, and takes no commands; use it inside 'async with hub:'"
            )
        self._check_loop()

    def _check_loop(self) -> None:
        if self._loop is not _running_loop():
            raise ConfigurationError(
                "the hub runs in another event loop, or another process; use it in the loop it was started in, or"
                " emit_threadsafe"
            )

    def _check_reserve(self) -> None:
        # Not whether the hub is open: what a listener emits while the hub starts or closes belongs to what it handles.
        if self.failure is not None or self.stopped:
            self._check_open()
        self._check_loop()
        if self.in_flight >= self._limits.in_flight_max + self._limits.listener_reserve:
            raise Overloaded(
                f"{self.in_flight} events wait to be committed, and a listener that the commit waits for emits more;"
                " emit less from it, or attach it as BEST_EFFORT"
            )

    async def _wait_for_room(self) -> None:
        self._check_open()
        future = asyncio.get_running_loop().create_future()
        self._queue[future] = None
        self.admit()
        try:
            await future
        except asyncio.CancelledError:
            self._queue.pop(future, None)
            if future.done() and not future.cancelled() and future.exception() is None:
                self._granted -= 1
                self.admit()
            raise
        self._granted -= 1
        self._check_open()

    def admit(self) -> None:
        """Let in those who wait at the door, as far as there is room."""
        while self._queue and self._has_room():
            future, _ = self._queue.popitem(last=False)
            if not future.done():
                self._granted += 1
                future.set_result(None)

    # -- commit --

    def is_held_by_caller(self) -> bool:
        """Tell whether this code runs inside a listener that the commit waits for, and so must not wait for it."""
        return is_inside(self)

    async def until_committed(self, seq: int) -> None:
        """Return when the event ``seq`` is committed; at once inside a listener that the commit waits for.

        Raises what the hub failed with, or :class:`~hubwire.errors.HubClosed` if it was closed before.
        """
        if self.ring.committed.value > seq:
            if seq % _YIELD_EVERY == 0:
                # Nothing to wait for, in memory: let the listeners run all the same, before their mailboxes overflow.
                await asyncio.sleep(0)
            return
        if may_be_inside() and is_inside(self):
            return
        if self.failure is not None:
            raise repeat(self.failure)
        if self.stopped and self.ring.committed.ended:
            raise _never_committed(seq)
        future = asyncio.get_running_loop().create_future()
        waiting = self._uncommitted
        if not waiting or waiting[-1][0] <= seq:
            waiting.append((seq, future))
        else:
            insort(waiting, (seq, future), key=itemgetter(0))
        await future

    def commit(self, value: int) -> None:
        """Events below ``value`` are committed: wake the tasks that wait for them."""
        if value <= self.ring.committed.value or self.failure is not None:
            return
        self.ring.committed.advance(value)
        waiting = self._uncommitted
        if waiting and waiting[0][0] < value:
            self._waker.wake(self._take_committed(value))
        if self._queue:
            self.admit()

    def _take_committed(self, value: int) -> Iterator[asyncio.Future[None]]:
        waiting = self._uncommitted
        while waiting and waiting[0][0] < value:
            yield waiting.popleft()[1]

    # -- the journal --

    async def run_journal(self) -> None:
        """Append what is applied to the journal, a batch at a time, for as long as the hub runs."""
        assert self._journal is not None
        ring, append = self.ring, self._journal.append
        while await ring.applied.wait_beyond(ring.journaled.value):
            end = ring.applied.value
            events = ring.slice(ring.journaled.value, end)
            try:
                await self.retry_while_full("the journal", partial(guarded, append, events))
            except Exception as error:  # noqa: BLE001 - whatever the journal raised, the hub cannot go on
                failure = JournalFailed(
                    f"the journal could not be written ({text_of(error)}), so the hub stops: mend its store, then start"
                    " it again; it will recover every event that was journaled"
                )
                failure.__cause__ = error
                self.fail(failure)
                return
            ring.journaled.advance(end)
            self.downstream.after_journaled()

    async def retry_while_full(self, who: str, write: Callable[[], Awaitable[None]]) -> None:
        """Call ``write`` again, each second for a minute, while it raises :class:`StoreFull`: the hub pauses."""
        deadline = None
        try:
            while True:
                try:
                    return await write()
                except StoreFull as error:
                    now = self._clock.monotonic()
                    deadline = deadline or now + _FULL_DEADLINE_SECONDS
                    if now >= deadline:
                        raise
                    self.pauses[who] = error
                await self._clock.sleep(_FULL_RETRY_SECONDS)
        finally:
            self.pauses.pop(who, None)

    # -- the end --

    def begin(self) -> None:
        """Run in this event loop. No command is taken yet, but listeners may emit."""
        self._loop = asyncio.get_running_loop()

    def open(self) -> None:
        """Take commands from now on."""
        self.closed = False

    def close(self) -> None:
        """Take no more commands; those that wait at the door are turned away."""
        self.closed = True
        self._turn_away(HubClosed("the hub was closed before this command was admitted; nothing has happened"))

    def fail(self, failure: HubFailed) -> None:
        """Stop for good: everybody who waits gets the failure."""
        if self.failure is not None:
            return
        self.failure = failure
        self._turn_away(failure)
        waiting, self._uncommitted = self._uncommitted, deque()
        for _, future in waiting:
            if not future.done():
                future.set_exception(repeat(failure))
        self.end()
        self.downstream.after_failure()

    def end(self) -> None:
        """Nothing moves any more: let nobody wait for it."""
        self.closed = self.stopped = True
        for watermark in (self.ring.applied, self.ring.journaled, self.ring.committed):
            watermark.end()
        waiting, self._uncommitted = self._uncommitted, deque()
        for seq, future in waiting:
            if not future.done():
                future.set_exception(_never_committed(seq))

    def _turn_away(self, error: Exception) -> None:
        queue, self._queue = self._queue, OrderedDict()
        for future in queue:
            if not future.done():
                future.set_exception(repeat(error))


def _never_committed(seq: int) -> HubClosed:
    return HubClosed(f"the hub was closed before event {seq} was committed; the journal decides at the next start")
