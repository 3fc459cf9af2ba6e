"""Writing the journal, and pausing while a store is full."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import perf_counter_ns
from typing import Any, Protocol, cast

from .._foreign.arguments import has_method
from .._foreign.guards import guarded, text_of
from ..errors import HubFailed, JournalFailed, StoreFull
from ..events import Event
from ..ports import Clock, Journal, SharedJournal
from .append_times import AppendTimes
from .ring import Ring

__all__ = ("Downstream", "FullStores", "run_journal", "shared")

_RETRY_SECONDS = 1.0
_DEADLINE_SECONDS = 60.0


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


class FullStores:
    """The writers that wait for space on their store. The hub pauses meanwhile: emitters wait, health is false."""

    def __init__(self, clock: Clock) -> None:
        self.waiting: dict[str, StoreFull] = {}
        """The writers that have no space now, by name; empty while all is well."""
        self.on_full: Callable[[], None] | None = None
        """Called at each attempt that finds a store full."""
        self._clock = clock

    async def retry(self, writer: str, write: Callable[[], Awaitable[None]], full: StoreFull) -> None:
        """``write`` has raised ``full``: call it again, each second for a minute, while it raises such an error."""
        deadline = self._clock.monotonic() + _DEADLINE_SECONDS
        try:
            while True:
                self.waiting[writer] = full
                if self.on_full is not None:
                    self.on_full()
                await self._clock.sleep(_RETRY_SECONDS)
                try:
                    return await write()
                except StoreFull as error:
                    if self._clock.monotonic() >= deadline:
                        raise
                    full = error
        finally:
            self.waiting.pop(writer, None)


def shared(journal: Journal) -> SharedJournal | None:
    """Return the journal if other programs can follow it."""
    is_shared = all(has_method(journal, each) for each in ("prepare", "follow", "committed"))
    return cast(SharedJournal, journal) if is_shared else None


async def run_journal(
    journal: Journal,
    ring: Ring,
    full_stores: FullStores,
    downstream: Downstream,
    fail: Callable[[HubFailed], None],
    times: AppendTimes,
) -> None:
    """Append what is applied to the journal, a batch at a time, for as long as the hub runs.

    While one append is in flight the next batch grows: group commit without timers.
    """
    append_batches = _append_batches_of(journal)
    while await ring.applied.wait_beyond(start := ring.journaled.value):
        end, groups = ring.batch_end(start, ring.applied.value), None
        if ring.groups.waiting:
            end, groups = ring.groups.take(start, end)
        events = ring.slice(start, end)
        append = partial(append_batches, start, groups) if groups else journal.append
        begun_ns = perf_counter_ns()
        try:
            try:
                await guarded(append, events)
            except StoreFull as full:
                await full_stores.retry("the journal", partial(guarded, append, events), full)
        except Exception as error:  # noqa: BLE001 - after any error, the hub cannot go on
            failure = JournalFailed(
                f"the journal could not be written ({text_of(error)}), so the hub stops: mend its store, then start it"
                " again; it will recover every event that was journaled"
            )
            failure.__cause__ = error
            fail(failure)
            return
        times.add(begun_ns, perf_counter_ns())
        ring.journaled.advance(end)
        downstream.after_journaled()


def _append_batches_of(journal: Journal) -> Callable[[int, Sequence[range], Sequence[Event]], Awaitable[None]]:
    """Return what appends events of which some have to stay together: see :class:`~hubwire.ports.BatchingJournal`."""
    batching: Any = journal
    can_batch = has_method(journal, "append_batches")

    def append(start: int, groups: Sequence[range], events: Sequence[Event]) -> Awaitable[None]:
        if not can_batch:
            return journal.append(events)
        batches = [range(group.start - start, group.stop - start) for group in groups]
        made: Awaitable[None] = batching.append_batches(events, batches)
        return made

    return append
