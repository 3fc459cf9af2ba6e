"""What a journal is that other programs can follow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..late_types import late_type
from ._journal import Journal

if TYPE_CHECKING:
    from ..events import Event
else:
    Event = late_type("hubwire.events", "Event")

__all__ = ("SharedJournal",)


@runtime_checkable
class SharedJournal(Journal, Protocol):
    """A journal that other programs can follow while one writes it.

    **What followers see.** An event is *committed* when the journal and every REQUIRED listener have it: the hub that
    writes tells the journal how far that is, by :meth:`committed`. No follower is given an event that is not. When
    another hub opens the journal, all that was appended before is committed: that hub recovers from it.
    :class:`hubwire.testing.SharedJournalContract` proves such a journal.
    """

    async def prepare(self) -> None:
        """Connect in order to read, without possession: another hub goes on writing, and nothing is written here.

        From then on ``first_seq``, ``hub_id``, :meth:`~Journal.kept` and :meth:`~Journal.replay` are as after
        :meth:`~Journal.open`, and ``next_seq`` is the end of the events that are known to be committed: as of this
        call, which may be made again. That knowledge may lag behind what is kept, as the pointer to a snapshot: follow
        from there. A journal that was never written is empty. ``open`` may come after it on the same object, and then
        takes possession; ``aclose`` ends it.

        Raises :class:`~hubwire.errors.StoreUnavailable`, :class:`~hubwire.errors.LogDamaged`, and
        :class:`~hubwire.errors.StoreError` if the journal is open.
        """

    def follow(self, after: int = -1) -> AsyncIterator[Sequence[Event]]:
        """Iterate for ever over the committed events with ``seq`` > ``after``, in order, each once, in batches.

        Neither :meth:`prepare` nor :meth:`~Journal.open` is needed, and several iterations may go on side by side, on
        one object too. An empty batch is a sign of life: it says that a hub has the journal open now. While one has,
        a batch comes at least every two seconds, unless what it is read from is out of reach, which the iteration
        waits for. What is read slowly stays in the journal; leaving the iteration, or ``aclose`` of it, ends it.

        Raises :class:`~hubwire.errors.HistoryGone` if the next event was truncated, also later;
        :class:`~hubwire.errors.LogDamaged`; :class:`~hubwire.errors.StoreUnavailable` if the journal cannot be reached
        at first.
        """

    def committed(self, seq: int) -> None:
        """Take notice that the events below ``seq`` are committed, which the hub knows that has the journal open.

        It returns at once. Followers learn of it with the next append, or within half a second where none comes. What
        is less than was told before, or more than was appended, has no effect beyond that; so has the call of a hub
        that was replaced.

        A journal that is not open is told it, too, by a hub that follows and has it from the one that leads, as with
        the answer to a command: the iterations of this object need not wait until they hear it themselves. They may.
        """
