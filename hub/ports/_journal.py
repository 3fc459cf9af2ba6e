"""What a hub's journal is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..late_types import late_type
from ._store import KnowledgeStore

if TYPE_CHECKING:
    from ..events import Event
else:
    Event = late_type("hubwire.events", "Event")

__all__ = ("BatchingJournal", "Journal")


class Journal(Protocol):
    """A hub's write-ahead log: the events it recovers from. One writer, one history.

    Beside the events, the hub keeps small things by name (:meth:`keep`): the positions of its DURABLE listeners and a
    pointer to the newest snapshots of its state, which are files below ``path`` of ``store``. They are useless without
    the events, so keep and copy all of them together. :class:`hubwire.testing.JournalContract` proves a journal.
    """

    @property
    def store(self) -> KnowledgeStore:
        """The store in which the hub keeps snapshots."""

    @property
    def path(self) -> str:
        """The path of ``store`` below which it keeps them, at ``snapshots/``."""

    async def open(self) -> None:
        """Take possession and recover; the properties below are known from here on.

        Raises :class:`~hubwire.errors.AlreadyRunning` before any file is read or repaired if another hub uses it,
        and :class:`~hubwire.errors.LogDamaged` if events that were durable are damaged.
        """

    @property
    def next_seq(self) -> int:
        """The ``seq`` of the next event to append: events ``[first_seq, next_seq)`` are held."""

    @property
    def first_seq(self) -> int:
        """The ``seq`` of the oldest event held; equal to ``next_seq`` if none is."""

    @property
    def hub_id(self) -> str | None:
        """The id of the hub that wrote the events held; None if there are none."""

    @property
    def epoch(self) -> int:
        """A number that is larger than that of every writer that has appended before this one opened the journal."""

    async def append(self, events: Sequence[Event]) -> None:
        """Append events whose ``seq`` goes on from ``next_seq``. Durable when it returns; all of them or none.

        Raises :class:`~hubwire.errors.StoreFull`: no event was written, the same call may be made again;
        :class:`~hubwire.errors.Fenced`: another hub took over. After any other error the journal is unusable.
        """

    async def check(self) -> None:
        """Raise :class:`~hubwire.errors.Fenced` if another hub took over; at most one round trip.

        A newcomer has taken over when its first append is durable, at the latest.
        """

    async def keep(self, name: str, content: bytes | None) -> None:
        """Replace what is kept under ``name``, 1 to 64 of a-z, 0-9 and _, as a whole; ``None``: keep it no longer.

        Durable when it returns. Fenced as appends are: what a replaced hub keeps, and were it in the middle of this
        call, never counts for one that appended after it, or for a later one. Raises
        :class:`~hubwire.errors.Fenced`; after any other error either the old or the new content is kept, and the call
        may be made again.
        """

    async def kept(self) -> Mapping[str, bytes]:
        """Return what is kept, by name. It is checked: never a part of it, and never what damage has made of it.

        Raises :class:`~hubwire.errors.LogDamaged` for what is damaged, :class:`~hubwire.errors.NewerVersion` for what a
        newer version has written; both leave all files as they were.
        """

    def replay(self, after: int = -1) -> AsyncIterator[Event]:
        """Iterate over the events with ``seq`` > ``after`` that are durable when the iteration begins, in order.

        Raises :class:`~hubwire.errors.HistoryGone` if some of them are not held any more, also later, when they are
        truncated while the iteration stands before them.
        """

    @property
    def size_bytes(self) -> int:
        """The size of the events held, in bytes."""

    async def truncate_before(self, seq: int) -> None:
        """Delete events below ``seq``, as many of them as is convenient; at least one event stays.

        ``first_seq`` says how far it went. A crash or a cancellation in the middle leaves the journal whole from some
        event on. Called by the hub alone, one call at a time, while it appends.
        """

    async def aclose(self) -> None:
        """Write a clean marker, so that the next :meth:`open` need not read the events again; release the journal."""


@runtime_checkable
class BatchingJournal(Protocol):
    """A journal that keeps batches together, also over a crash.

    Without it, batches (:meth:`hubwire.Hub.emit_many`) go through :meth:`Journal.append`, whole and in one call each:
    a journal of which a crash may leave a part of such a call leaves a part of a batch.
    """

    async def append_batches(self, events: Sequence[Event], batches: Sequence[range]) -> None:
        """Append events as :meth:`Journal.append` does; after a crash, all events of a batch are held, or none.

        ``batches`` are places in ``events``: ranges that do not overlap, in order, of two events or more. Events
        between them are of no batch. The batches are independent of each other.
        """
