"""ObjectStore: S3, Google Cloud Storage, Azure Blob Storage, and every other service that obstore speaks to."""

from __future__ import annotations

import builtins

from hubwire.clock import SystemClock
from hubwire.errors import ConfigurationError, StoreUnavailable
from hubwire.own_log import OwnLog
from hubwire.ports import ChangeCallback, ChangeSubscription, Clock, normalize_path

from ._arguments import checked_range, encoded, file_path
from ._compaction import Compaction
from ._ends import Grace
from ._locks import PathLocks
from ._object_reader import ObjectReader
from ._object_writer import ObjectWriter
from ._objects import Objects, Service
from ._parts import Layout, State
from ._watch import Polling, Subscription
from .durability import Durability

__all__ = ("ObjectStore",)

_log = OwnLog("stores")

_PREFIX_BYTES_MAX = 100


class ObjectStore:
    """A store in a bucket: ``/audit/a.jsonl`` is the object of that name below ``prefix``, and parts that follow it.

    ``write`` puts the object ``<path>``. Appended bytes are parts ``<path>@/<byte offset, 20 digits>`` after it, one an
    append, each created under the condition that it does not exist: so offsets are dense, ``expect`` holds, and many
    writers need no lock service. :meth:`compact` merges parts into the object.

    **Durability** is that of the service: what it acknowledged, it keeps.

    **Concurrency.** Any number of processes may append to one path, and of those that create it with ``if_absent`` one
    succeeds. Replacing (``write``), deleting, and creating with content (``if_absent``) are for when no other process
    appends there: ``write`` over parts deletes them, newest first, and then puts the object. That is not atomic: a
    reader in between sees a shorter file, and a crash leaves one. ``expect`` of a ``write`` is compared before that,
    not together with it. Objects cannot be held: a log is fenced by ``expect`` instead.

    **Errors.** After a transient failure (5xx, 429, 409, timeout, reset) the request is repeated, with the same key and
    the same bytes, for up to ``deadline_seconds``; then :class:`~hubwire.errors.StoreUnavailable` leaves unknown
    whether an append or a write happened. A service that ignores the condition would lose what other writers append:
    this is found out before the first create and refused with :class:`~hubwire.errors.ConfigurationError`, unless
    ``single_writer`` says that there is one process only.

    ``grace_seconds`` is how long parts stay after a compaction. A writer that was idle for half of it reads the end
    again before it appends, so the clocks of compactor and service must agree to half of it; and it must be longer than
    a request can be on its way, which S3 bounds to 15 minutes. A subscription lists the objects below its path every
    ``poll_seconds``.
    """

    durability = Durability.FSYNC

    def __init__(
        self,
        store: Service,
        prefix: str = "",
        *,
        single_writer: bool = False,
        deadline_seconds: float = 60.0,
        grace_seconds: float = 3600.0,
        poll_seconds: float = 2.0,
        clock: Clock | None = None,
    ) -> None:
        self.prefix: str = normalize_path(prefix).rstrip("/")
        if len(self.prefix.encode()) > _PREFIX_BYTES_MAX:
            raise ConfigurationError(
                f"the prefix {prefix!r} has more than {_PREFIX_BYTES_MAX} bytes, and keys only 1,024; shorten it"
            )
        clock = clock or SystemClock()
        grace = Grace(clock, grace_seconds)
        self._place = place = repr(store)
        objects = Objects(store, place, clock=clock, deadline_seconds=deadline_seconds, conditional=not single_writer)
        self._layout = Layout(objects, self.prefix)
        self._reader = ObjectReader(objects, self._layout, place)
        self._writer = ObjectWriter(objects, self._layout, self._reader, grace, place, single_writer=single_writer)
        self._compaction = Compaction(objects, self._layout, self._reader, grace)
        self._locks = PathLocks()
        self._poll_seconds = poll_seconds
        self._subscriptions: set[Subscription] = set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._place}, {self.prefix!r})"

    # -- reading --

    async def read(self, path: str) -> str | None:
        content = await self.read_bytes(path)
        return None if content is None else content.decode()

    async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        path = normalize_path(path)
        checked_range(start, end)
        if path == "/":
            return None
        if end is not None and end <= start:
            return None if await self.size(path) is None else b""
        return await self._reader.read(path, start, end)

    async def read_range(self, path: str, start: int, end: int | None = None) -> str:
        return (await self.read_bytes(path, start, end) or b"").decode()

    async def size(self, path: str) -> int | None:
        path = normalize_path(path)
        return None if path == "/" else (await self._reader.end(path)).actual

    async def list(self, path: str = "/") -> builtins.list[str]:
        return await self._reader.list(normalize_path(path))

    async def exists(self, path: str) -> bool:
        return await self._reader.exists(normalize_path(path))

    # -- changing --

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        """Replace the file. Not atomic where it has parts: they are deleted first, newest first."""
        path, data = file_path(path), encoded(content)
        async with self._locks.locked(path):
            await self._writer.write(path, data, if_absent=if_absent, expect=expect)

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        path, data = file_path(path), encoded(content)
        async with self._locks.locked(path):
            return await self._writer.append(path, data, expect)

    async def delete(self, path: str) -> None:
        """Delete a file, or all files below a path. Not atomic: a crash may leave some files, or a file's beginning."""
        path = normalize_path(path)
        async with self._locks.locked(path, tree=True):
            await self._writer.delete(path)

    async def compact(self, path: str) -> bool:
        """Merge the parts of a file into its object, so that one request reads it; return False while work is left.

        Parts that an earlier call merged more than ``grace_seconds`` ago are deleted; until then work is left. Other
        processes may append and read meanwhile; the appends of this process wait.
        """
        path = file_path(path)
        async with self._locks.locked(path):
            return await self._compaction.compact(path)

    async def uncompacted(self, path: str) -> builtins.list[str]:
        return await self._reader.list_with_parts(normalize_path(path))

    # -- changes --

    async def on_change(self, path: str, callback: ChangeCallback) -> ChangeSubscription:
        """Find changes by comparing listings, which leave out most known parts; none while the service is away."""
        path = normalize_path(path)
        last = await self._layout.survey(path, {})

        async def take_snapshot() -> dict[str, State]:
            nonlocal last
            try:
                last = await self._layout.survey(path, last)
            except StoreUnavailable as error:
                _log.problem("store.poll_failed", error, path=path)
            return last

        polling = Polling(take_snapshot, last, self._poll_seconds)
        subscription = Subscription(path, callback, polling.next_changes, self._subscriptions.discard)
        self._subscriptions.add(subscription)
        return subscription

    async def aclose(self) -> None:
        """End the subscriptions, and forget the ends of the files."""
        for subscription in builtins.list(self._subscriptions):
            await subscription.close()
        self._writer.forget_ends()
