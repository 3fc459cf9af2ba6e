"""A history: the events of one hub, each following one other. An event that two journals share proves that they share
all before it, so one event's ``seq`` and ``id`` name a place in a history, where a number alone does not.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable

import attrs

from .._values import Value
from ..errors import JournalBehind
from ..events import Event
from ..ports import Journal

__all__ = ("Mark", "event_at", "replay_checked")


@attrs.frozen(eq=False, repr=False)
class Mark(Value):
    """An event that was there when some state was kept, so that the journal has to hold it."""

    seq: int
    id: str
    """The event's."""
    when: str = attrs.field(default="it was kept", eq=False)
    """At what: the end of a sentence that begins with "when"."""

    def missing(self, journal: Journal) -> JournalBehind:
        """Return the error for a journal that ends before the event."""
        return JournalBehind(
            f"event {self.seq} was committed when {self.when}, but the journal {journal.path} ends before event"
            f" {journal.next_seq}: it has lost its end, or was restored from an older copy. Nothing was changed."
            f" {_ADVICE}",
            path=journal.path,
        )

    def check(self, event: Event, journal: Journal) -> None:
        """Raise :class:`~hubwire.errors.JournalBehind` if the event of this ``seq`` is another one."""
        if event.id != self.id:
            raise JournalBehind(
                f"event {self.seq} was {self.id} when {self.when}, and is {event.id} in the journal {journal.path}: the"
                f" journal was restored from an older copy, and has gone on since. Nothing was changed. {_ADVICE}",
                path=journal.path,
            )


_ADVICE = (
    "Put the journal's missing part back, or restore the whole store, journal and what is beside it, from one copy"
)


async def event_at(journal: Journal, seq: int) -> Event | None:
    """Return the event of this ``seq``; None if the journal does not hold it, or not any more."""
    if not journal.first_seq <= seq < journal.next_seq:
        return None
    events = journal.replay(seq - 1)
    try:
        return await anext(events, None)
    finally:
        if isinstance(events, AsyncGenerator):
            await events.aclose()


async def replay_checked(journal: Journal, start: int, marks: Iterable[Mark]) -> AsyncIterator[Event]:
    """Iterate over the events from ``start`` on, once those before it are checked against the marks.

    Raises :class:`~hubwire.errors.JournalBehind` at the first mark whose event is another one, or is not there.
    """
    by_seq: dict[int, list[Mark]] = {}
    for mark in marks:
        if mark.seq >= journal.next_seq:
            raise mark.missing(journal)
        by_seq.setdefault(mark.seq, []).append(mark)
    # One event more is read than is needed: a snapshot was mostly taken right behind an event that a mark names.
    first = start - 1 if start > journal.first_seq else start
    for seq in sorted(by_seq):
        if seq < first and (event := await event_at(journal, seq)) is not None:
            for mark in by_seq[seq]:
                mark.check(event, journal)
    async for event in journal.replay(first - 1):
        for mark in by_seq.get(event.seq, ()):
            mark.check(event, journal)
        if event.seq >= start:
            yield event
