"""The ports of a hub: listeners, stores, journals, clocks, and the rules for store paths.

These protocols carry the promises; implementations document only their differences. No base class is needed: an
object that has the methods is an implementation. :mod:`hubwire.testing` proves that it keeps the promises.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from .errors import InvalidPath

if TYPE_CHECKING:
    from .events import Event

__all__ = (
    "ChangeCallback",
    "ChangeSubscription",
    "Clock",
    "CompactableStore",
    "EagerStore",
    "Hold",
    "HoldableStore",
    "HubListener",
    "Journal",
    "KnowledgeStore",
    "normalize_path",
)


# --- listeners ------------------------------------------------------------------------------------------------------


class HubListener(Protocol):
    """Receives the events of a hub, in batches.

    **Order.** Events arrive in ascending ``seq``, each once, except that the unfinished part of a batch comes again:
    one by one after the listener raised or took too long, and to a REQUIRED or DURABLE listener after a restart of the
    hub; a DURABLE one may then get events again that it has handled in the last second. Events that the attachment's
    pattern does not match are left out.

    **Durability.** A listener that is not REQUIRED gets only committed events: a crash cannot undo them. A REQUIRED
    listener gets journaled events; when its ``on_events`` returns, the hub takes its effects for durable.

    **Concurrency.** ``on_events`` is never called while an earlier call of the same attachment is running. Other
    listeners and the agents run meanwhile; a slow listener delays them only where its duty says so.

    **Cancellation.** The call is cancelled when it exceeds the attachment's timeout, and at the hub's close deadline.

    **Errors.** Any exception, also ``CancelledError`` and ``SystemExit`` raised by the listener itself, is a failure of
    this listener and never reaches an emitter. The whole batch then counts as not handled, unless the exception is
    :class:`~hubwire.errors.PartialBatch`. The consequence of a failure depends on the attachment's duty.

    The hub also uses, where present:

    * ``async __aenter__`` / ``__aexit__``: entered before the first event, left after the last;
    * ``bind(hub)``: called once, before ``__aenter__``, with the hub it is attached to;
    * ``last_seq() -> int | None``: the last event whose effects the listener holds itself, read after ``__aenter__``;
    * ``pattern``, ``duty``, ``since``: the values for arguments of :meth:`Hub.attach` that are not given.
    """

    async def on_events(self, events: Sequence[Event]) -> None:
        """Handle a batch of 1 to 256 events. They are frozen: keep them as long as you like."""


# --- stores ---------------------------------------------------------------------------------------------------------

ChangeCallback = Callable[[str], Awaitable[None]]
"""Called with the normalised path that changed."""


class ChangeSubscription(Protocol):
    """A running :meth:`KnowledgeStore.on_change`."""

    async def close(self) -> None:
        """Stop calling the callback. When this returns, no call is running or will start. May be called again.

        A call that is running is cancelled, unless it is the one that closes.
        """


class KnowledgeStore(Protocol):
    """A path-addressed store of files that can be appended to.

    **Paths** are literal, case-sensitive, and normalised by :func:`normalize_path`; a path that breaks its rules raises
    :class:`~hubwire.errors.InvalidPath` from every method. Directories exist only by implication: they appear with
    their first file and vanish with their last. A file below a file is undefined.

    **Text** is UTF-8, and kept to the byte: no newline translation. ``str`` content that UTF-8 cannot hold (lone
    surrogates) raises ``UnicodeEncodeError`` and writes nothing.

    **Durability.** When ``write``, ``append`` or ``delete`` returns, its effect survives the failures that the store's
    level covers; the store's docstring states the level. On every reported error none of the content is kept. After a
    crash a path may end in a prefix of the last append that was not acknowledged, and other processes may see bytes
    that are not durable yet: a reader of records stops at the last line feed.

    **Concurrency.** All methods may be called concurrently, also from several processes where the medium is shared.
    Appends to one path are atomic: they never interleave. Within one process, appends to one path that are started in
    some order land in that order.

    **Cancellation** of a call ends the wait; an effect under way may still happen, whole.

    **Life cycle.** A constructor does no I/O and needs no running loop. A store may be used in one loop after another.

    **Errors.** Besides those named at a method: :class:`~hubwire.errors.StoreUnavailable` when the medium stayed out of
    reach for the store's deadline, and :class:`~hubwire.errors.StoreError` for any other error of the medium.
    """

    async def read(self, path: str) -> str | None:
        """Return the whole file as text; None if there is no such file (a directory is not a file).

        Raises ``UnicodeDecodeError`` if it is not UTF-8.
        """

    async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        """Return the bytes ``[start, end)`` of the file, ``end`` None meaning its end; None if there is no such file.

        ``end`` beyond the end of the file is clamped; an empty range is ``b""``. Raises ``ValueError`` if ``start`` or
        ``end`` is negative.
        """

    async def read_range(self, path: str, start: int, end: int | None = None) -> str:
        """Like :meth:`read_bytes`, decoded; ``""`` if there is no such file.

        Raises ``UnicodeDecodeError`` if the range cuts a character in two.
        """

    async def size(self, path: str) -> int | None:
        """Return the size of the file in bytes; None if there is no such file."""

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        """Create the file or replace it atomically: a reader sees the old content or the new, never a mixture.

        ``if_absent`` raises :class:`~hubwire.errors.AlreadyExists` if there is such a file. ``expect`` is the size in
        bytes that the caller expects, 0 standing for an absent file too; another size raises
        :class:`~hubwire.errors.AppendConflict`, whose ``actual`` is None for an absent file. After both errors the file
        is unchanged. The root is a directory: here and in :meth:`append` it is an invalid path.
        """

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        """Append to the file, creating it if need be; return the byte offset at which the content starts.

        ``expect`` is as for :meth:`write`. Empty content creates the file and returns its size.
        Raises :class:`~hubwire.errors.StoreFull` if there is no space, and the store stays usable;
        :class:`~hubwire.errors.PathPoisoned` if the content of the medium is unknown since an earlier failure.
        """

    async def list(self, path: str = "/") -> builtins.list[str]:
        """Return the names of the immediate children, directories with a trailing ``/``, sorted by code point.

        The slash counts: ``a-b`` and ``a.x`` come before ``a/``. Empty for a missing path and for a file.
        """

    async def exists(self, path: str) -> bool:
        """Tell whether the path is a file or a directory. ``/`` exists once the store holds a file."""

    async def delete(self, path: str) -> None:
        """Delete the file, or all files below the directory; ``/`` empties the store. Missing is not an error."""

    async def on_change(self, path: str, callback: ChangeCallback) -> ChangeSubscription:
        """Call ``callback`` with the path of every file at or below ``path`` that changes from now on.

        Calls come from a task of the store, never inside the writer, one at a time, in the order of the changes as far
        as the medium reports it. Several changes of one file may lead to one call. An exception of the callback ends
        this subscription only, and is logged.
        """

    async def aclose(self) -> None:
        """Close all that the store holds open. May be called again; a later call of another method opens it again."""


class Hold(Protocol):
    """Exclusive possession of a path, until it is released, or the process ends or is killed."""

    async def release(self) -> None:
        """Give the path up. May be called again."""


@runtime_checkable
class HoldableStore(Protocol):
    """A store that can keep other processes away from a path (a local disk can, an object store cannot)."""

    async def hold(self, path: str) -> Hold:
        """Take possession of ``path``, a name that need not exist as a file.

        It keeps out only other calls of ``hold``: reads and writes below the path are not prevented. It is not visible
        in the store, and lasts when the path is deleted and when the store is closed. If the path is held already, also
        by this process, raises :class:`~hubwire.errors.AlreadyRunning` at once, which says by which process and since
        when.
        """


@runtime_checkable
class EagerStore(Protocol):
    """A store that begins an append in the call itself; other stores begin when the loop next runs their coroutine."""

    def begin_append(
        self,
        path: str,
        content: bytes,
        *,
        expect: int | None = None,
        done: Callable[[int | None, BaseException | None], None],
    ) -> None:
        """Like :meth:`KnowledgeStore.append`, but call ``done`` with its result, or its error, in the running loop.

        It raises only errors of ``path``. ``done`` must not raise.
        """


@runtime_checkable
class CompactableStore(Protocol):
    """A store that keeps the appended content of a file in pieces, and can merge them."""

    async def compact(self, path: str) -> bool:
        """Merge the pieces of a file that gets no more appends; return whether all of them are merged.

        The content stays the same, also for readers during the call. If it fails or is cancelled, the file is as
        readable as before, and the call may be made again. For a missing file it has no effect.
        """


# --- the journal ----------------------------------------------------------------------------------------------------


class Journal(Protocol):
    """A hub's write-ahead log: the events it recovers from. One writer, one history.

    Beside the events, the hub keeps the positions of its DURABLE listeners and snapshots of its state, in its own files
    below ``path`` of ``store``. They are useless without the events, so keep and copy all of them together.
    """

    @property
    def store(self) -> KnowledgeStore:
        """The store in which the hub keeps positions and snapshots."""

    @property
    def path(self) -> str:
        """The path of ``store`` below which it keeps them."""

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

    async def append(self, events: Sequence[Event]) -> None:
        """Append events whose ``seq`` goes on from ``next_seq``. Durable when it returns; all of them or none.

        Raises :class:`~hubwire.errors.StoreFull`: nothing was written, the same call may be made again;
        :class:`~hubwire.errors.Fenced`: another hub took over. After any other error the journal is unusable.
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


# --- time -----------------------------------------------------------------------------------------------------------


class Clock(Protocol):
    """The source of a hub's time. :class:`hubwire.testing.ManualClock` is one that a test moves by hand."""

    def now_ns(self) -> int:
        """The time of day in nanoseconds since 1970-01-01T00:00:00Z. It may step, also backwards."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Return ``seconds`` later by this clock. Cancellable."""


# --- paths ----------------------------------------------------------------------------------------------------------

PATH_BYTES_MAX = 900
"""S3 keys hold 1,024 bytes; the rest is for a bucket prefix and a part suffix."""

ELEMENT_BYTES_MAX = 255
"""NAME_MAX of the usual file systems."""


@lru_cache(maxsize=1024)
def normalize_path(path: str) -> str:
    """Return ``path`` in its one spelling: a leading ``/``, no ``//``, no trailing ``/``; the root is ``/``.

    Raises :class:`~hubwire.errors.InvalidPath` for a path that some medium could not hold or would take for another:
    an element that is ``.`` or ``..``, ends in ``@`` (object stores keep the parts of a file there), or is longer than
    255 bytes in UTF-8; a control character or NUL; a lone surrogate; more than 900 bytes in all.
    """
    elements = [element for element in path.split("/") if element]
    for element in elements:
        if element in (".", ".."):
            raise InvalidPath(f"store path {path!r} has the element {element!r}; write the path out in full")
        if element.endswith("@"):
            raise InvalidPath(f"store path {path!r}: element {element!r} ends in '@', which is reserved; rename it")
        if not element.isprintable() and any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in element):
            raise InvalidPath(f"store path {path!r} has a control character; leave it out")
        try:
            encoded = element.encode()
        except UnicodeEncodeError:
            raise InvalidPath(
                f"store path {path!r} has a lone surrogate, which UTF-8 cannot hold; leave it out"
            ) from None
        if len(encoded) > ELEMENT_BYTES_MAX:
            raise InvalidPath(f"store path element {element[:40]!r}… has {len(encoded)} bytes; 255 is the most")
    normalized = "/" + "/".join(elements)
    if len(normalized.encode()) > PATH_BYTES_MAX:
        raise InvalidPath(f"store path {normalized[:40]!r}… has {len(normalized.encode())} bytes; 900 is the most")
    return normalized
