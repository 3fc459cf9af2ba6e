"""What a store is, and what some stores can besides."""

from __future__ import annotations

import builtins
from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable

__all__ = (
    "ChangeCallback",
    "ChangeSubscription",
    "CompactableStore",
    "CuttableStore",
    "EagerStore",
    "Hold",
    "HoldableStore",
    "KnowledgeStore",
    "ReservingStore",
)


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
    surrogates) raises ``UnicodeEncodeError`` and writes no file.

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

    async def release(self, *, as_found: bool = False) -> None:
        """Give the path up. May be called again.

        ``as_found``: leave what an earlier holder that was killed may have left, as if the path had not been taken.
        """


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
class CuttableStore(Protocol):
    """A store that can put the end of a file right without room for a second copy of it (a local disk can)."""

    async def cut(self, path: str, size: int, *, expect: int) -> None:
        """Keep the first ``size`` bytes of a file that has ``expect`` bytes, and write them to the medium once more.

        With ``size`` equal to ``expect`` it only writes. Stopped in the middle, the file is as it was. Raises
        :class:`~hubwire.errors.AppendConflict`, with the file as it was, if that has another size.
        """


@runtime_checkable
class ReservingStore(Protocol):
    """A store that knows how much room is left, and can keep some of it in reserve for the way out of a full disk."""

    async def free_bytes(self) -> int:
        """Return how many bytes may still be written, without the reserve."""

    async def keep_reserve(self) -> bool:
        """Keep up to 1 MiB in reserve, unless the disk has too little room for that; return whether it is kept.

        ``write`` and ``hold`` get it when the disk is full, ``append`` never does. It may be called again.
        """


@runtime_checkable
class CompactableStore(Protocol):
    """A store that keeps the appended content of a file in pieces, and can merge them."""

    async def compact(self, path: str) -> bool:
        """Merge the pieces of a file that gets no more appends; return whether all of them are merged.

        The content stays the same, also for readers during the call. If it fails or is cancelled, the file is as
        readable as before, and the call may be made again. For a missing file it has no effect.
        """

    async def uncompacted(self, path: str) -> builtins.list[str]:
        """Return the names of the files right below ``path`` that are in pieces, or have merged pieces left to delete.

        It asks the store once, however many files there are. The names are sorted.
        """
