"""FileStore: a directory of the local file system."""

from __future__ import annotations

import asyncio
import builtins
import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar, TypeVarTuple, Unpack

import aiofiles
import anyio

from hubwire.errors import ConfigurationError
from hubwire.forks import register_at_fork
from hubwire.ports import ChangeCallback, ChangeSubscription, Hold, normalize_path

from ._arguments import checked_range, encoded, file_path
from ._file_changes import FileChanges, State, Watcher
from ._files import Files, LongRead
from ._hold import TakenLock, utc_now
from ._lanes import Lanes
from ._reads import Reads
from ._watch import Subscription
from .durability import Durability

__all__ = ("FileStore",)

_PIECE_BYTES = 1 << 20
_LET_GO_SECONDS_MAX = 1.0
"""So long a cancelled hold waits until what it has taken is released again: the disk may hang."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class FileStore:
    """A store in a directory: ``/audit/a.jsonl`` is that file below ``root``, and other programs may read it.

    **Durability** is FSYNC by default: an acknowledged effect survives the loss of power, as far as the drive keeps its
    word. :class:`Durability` says what the lower levels lose. After an error that leaves unknown what the disk holds,
    such as EIO, the call is not repeated: the path is closed (:class:`~hubwire.errors.PathPoisoned`) for the life of
    this object.

    **Safety.** Files have the mode 0600 and directories 0700. The root may be a symbolic link; links below it are not
    followed: reading or writing through one is a :class:`~hubwire.errors.StoreError`. Names that end in ``@`` are for
    the store's own files and cannot be in a path.

    **Concurrency.** Processes exclude each other with ``flock``, so the file system must have it: local ones do, and
    NFS since version 4. A subscription receives the changes of other processes too, after some 20 ms; on a network file
    system, those of other machines within 5 s. Where the system cannot watch the root, or the environment has
    ``WATCHFILES_FORCE_POLLING``, the store looks for changes every ``poll_seconds``.

    A relative root is resolved against the working directory at the first use, and stays there.

    A held path stays held when the store is closed. A forked child holds no path.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        durability: Durability = Durability.FSYNC,
        *,
        poll_seconds: float = 0.5,
    ) -> None:
        self.root: str = os.fspath(root)
        self.durability: Durability = Durability(durability)
        self._files = Files(self.root, self.durability)
        self._reads = Reads()
        self._watcher = Watcher(self._files.absolute_root, poll_seconds)
        self._lanes: Lanes | None = None
        self._subscriptions: set[Subscription] = set()

    def __repr__(self) -> str:
        return f"FileStore({self.root!r}, Durability.{self.durability.name})"

    async def read(self, path: str) -> str | None:
        content = await self.read_bytes(path)
        return None if content is None else content.decode()

    async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        path = normalize_path(path)
        checked_range(start, end)
        found = await self._reads.run(self._files.read, path, start, end)
        return await self._read_long(path, start, found.length) if isinstance(found, LongRead) else found

    async def _read_long(self, path: str, start: int, length: int) -> bytes | None:
        """Read piece by piece, so that no thread is occupied for long, and a cancellation takes effect in between."""
        pieces = []
        with self._files.failures.translated("read", path):
            try:
                opener = self._files.open_for_streaming
                # Not as a context manager, which would close it in the thread pool of the program.
                file = await aiofiles.open(path, "rb", buffering=0, opener=opener, executor=self._reads)
            except FileNotFoundError:
                return None
            try:
                await file.seek(start)
                while length > 0 and (piece := await file.read(min(length, _PIECE_BYTES))):
                    pieces.append(piece)
                    length -= len(piece)
            finally:
                await file.close()
        return b"".join(pieces)

    async def read_range(self, path: str, start: int, end: int | None = None) -> str:
        return (await self.read_bytes(path, start, end) or b"").decode()

    async def size(self, path: str) -> int | None:
        status = await self._reads.run(self._files.status, normalize_path(path))
        return None if status is None else status.st_size

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        path = file_path(path)
        await self._in_lane(
            path, partial(self._files.write, path, encoded(content), if_absent=if_absent, expect=expect)
        )

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        path = file_path(path)
        return await self._in_lane(path, self._files.append, path, encoded(content), expect)

    def begin_append(
        self,
        path: str,
        content: bytes,
        *,
        expect: int | None = None,
        done: Callable[[int | None, BaseException | None], None],
    ) -> None:
        path = file_path(path)
        self._started_lanes.enqueue(path, done, self._files.append, path, content, expect)

    async def cut(self, path: str, size: int, *, expect: int) -> None:
        path = file_path(path)
        if not 0 <= size <= expect:
            raise ConfigurationError(
                f"{path!r} of {expect} bytes cannot be cut to {size}; give a size up to what it has"
            )
        await self._in_lane(path, self._files.cut, path, size, expect)

    async def free_bytes(self) -> int:
        return await self._reads.run(self._files.reserve.free_bytes)

    async def keep_reserve(self) -> bool:
        return await self._in_lane("/", self._files.reserve.keep)

    async def list(self, path: str = "/") -> builtins.list[str]:
        return await self._reads.run(self._files.list, normalize_path(path))

    async def exists(self, path: str) -> bool:
        return await self._reads.run(self._files.exists, normalize_path(path))

    async def delete(self, path: str) -> None:
        """Delete a file or a directory. Not atomic for a directory: a crash may leave some of its files."""
        path = normalize_path(path)
        await self._in_lane(path, self._files.delete, path)

    async def on_change(self, path: str, callback: ChangeCallback) -> ChangeSubscription:
        path = normalize_path(path)

        async def look(paths: Iterable[str]) -> dict[str, State]:
            return await self._reads.run(self._files.snapshot, paths)

        changes = FileChanges(path, look)
        self._watcher.add(changes)
        try:
            await changes.take_baseline()
        except BaseException:
            self._watcher.remove(changes)
            raise

        def ended(subscription: Subscription) -> None:
            self._subscriptions.discard(subscription)
            self._watcher.remove(changes)

        after_close = partial(self._reads.run, self._watcher.wait_stopped)
        subscription = Subscription(path, callback, changes.next_changes, ended, after_close)
        self._subscriptions.add(subscription)
        return subscription

    async def hold(self, path: str) -> Hold:
        """Lock the file ``<path>.lock@``, which contains ``pid``, ``host`` and ``since``.

        When the process ends, the kernel unlocks it. Raises :class:`~hubwire.errors.AlreadyRunning` if it is locked.
        """
        path = normalize_path(path)
        taking = self._in_lane(path, self._files.hold, path, utc_now())
        try:
            taken = await asyncio.shield(taking)
        except asyncio.CancelledError:
            # No caller is left to release it, so a lock that the thread still gets is released here. That is waited
            # for, because the loop may be ending: the file would stay, and a refused start would have left a trace.
            with anyio.move_on_after(_LET_GO_SECONDS_MAX, shield=True):
                await asyncio.wait([taking])
            if not taking.done():
                taking.add_done_callback(
                    lambda late: late.exception() or self._release(path, late.result(), as_found=True)
                )
            elif taking.exception() is None:
                with anyio.move_on_after(_LET_GO_SECONDS_MAX, shield=True):
                    await asyncio.wait([self._release(path, taking.result(), as_found=True)])
            raise
        return _FileHold(taken, partial(self._release, path))

    async def holder(self, path: str) -> str | None:
        """Return which process holds the path now, as text; None if none does. It only reads."""
        return await self._reads.run(self._files.holder, normalize_path(path))

    def _release(self, path: str, lock: TakenLock, *, as_found: bool = False) -> asyncio.Future[None]:
        return self._in_lane(path, partial(self._files.release, path, lock, as_found=as_found))

    async def aclose(self) -> None:
        """Wait for the effects under way, and close. A held path stays held."""
        for subscription in builtins.list(self._subscriptions):
            await subscription.close()
        lanes, self._lanes = self._lanes, None
        if lanes is not None:
            await self._reads.run(lanes.stop)
        await self._reads.run(self._files.close)
        self._reads.end()

    def _in_lane(self, path: str, call: Callable[[Unpack[Ts]], T], *args: *Ts) -> asyncio.Future[T]:
        """Run a change of a path after all earlier changes of the same path."""
        return self._started_lanes.submit(path, call, *args)

    @property
    def _started_lanes(self) -> Lanes:
        if self._lanes is None:
            self._lanes = Lanes()
        return self._lanes


class _FileHold:
    def __init__(self, taken: TakenLock, release: Callable[..., asyncio.Future[None]]) -> None:
        self._taken: TakenLock | None = taken
        self._release = release
        register_at_fork(self)

    async def release(self, *, as_found: bool = False) -> None:
        taken, self._taken = self._taken, None
        if taken is None:
            return
        releasing = self._release(taken, as_found=as_found)
        try:
            await asyncio.shield(releasing)
        except asyncio.CancelledError:
            # The loop may be ending; a refused start leaves no file.
            with anyio.move_on_after(_LET_GO_SECONDS_MAX, shield=True):
                await asyncio.wait([releasing])
            raise

    def after_fork_in_child(self) -> None:
        taken, self._taken = self._taken, None
        if taken is not None:
            os.close(taken.fd)
