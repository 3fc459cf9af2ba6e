"""ObjectStore: S3, Google Cloud Storage, Azure Blob Storage, and whatever else obstore speaks to."""

from __future__ import annotations

import asyncio
import builtins
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import attrs
import structlog

from hubwire.clock import SystemClock
from hubwire.errors import AlreadyExists, ConfigurationError, StoreError, StoreUnavailable
from hubwire.ports import ChangeCallback, ChangeSubscription, Clock, normalize_path

from ._arguments import checked_range, encoded, file_path
from ._locks import PathLocks
from ._objects import Found, Objects, Service
from ._parts import End, HoleError, Layout, Part, State
from ._trouble import conflict
from ._watch import Polling, Subscription
from .durability import Durability

__all__ = ("ObjectStore",)

_log = structlog.get_logger("hubwire.stores")

T = TypeVar("T")

_ENDS_MAX = 1024
_HOLES_MAX = 3
_PARALLEL = 16
_PIECE_BYTES = 8 * 1024 * 1024
_PREFIX_BYTES_MAX = 100


class ObjectStore:
    """A store in a bucket: ``/audit/a.jsonl`` is the object of that name below ``prefix``, and parts that follow it.

    ``write`` puts the object ``<path>``. Appended bytes are parts ``<path>@/<byte offset, 20 digits>`` after it, one an
    append, each created under the condition that there is none: so offsets are dense, ``expect`` holds, and many
    writers need no lock service. :meth:`compact` merges parts into the object.

    **Durability** is that of the service: what it acknowledged, it keeps.

    **Concurrency.** Any number of processes may append to one path, and of those who create it with ``if_absent`` one
    succeeds. Replacing (``write``), deleting, and creating with content (``if_absent``) are for when no other process
    appends there: ``write`` over parts deletes them, newest first, and then puts the object. That is the one operation
    here that is not atomic; a reader in between sees a shorter file, and a crash leaves one. ``expect`` of a ``write``
    is compared before that, not together with it. Objects cannot be held: a log is fenced by ``expect`` instead.

    **Errors.** What is transient (5xx, 429, 409, timeouts, resets) is asked again, with the same key and the same
    bytes, up to ``deadline_seconds``; then :class:`~hubwire.errors.StoreUnavailable`, which leaves unknown whether an
    append or a write happened. A service that ignores the condition would lose what others append: it is found out
    before the first create and refused with :class:`~hubwire.errors.ConfigurationError`, unless ``single_writer`` says
    that there is one process only.

    ``grace_seconds`` is for how long parts stay after a compaction. A writer that has done nothing for half of it reads
    the end again before it appends, so the clocks of compactor and service must agree to half of it; and it must be
    longer than a request can be on its way, which S3 bounds to 15 minutes. A subscription lists what is below its path
    every ``poll_seconds``.
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
        self._service = store
        self._place = repr(store)
        self._clock = clock or SystemClock()
        self._grace_seconds = grace_seconds
        self._poll_seconds = poll_seconds
        self._objects = Objects(
            store, self._place, clock=self._clock, deadline_seconds=deadline_seconds, conditional=not single_writer
        )
        self._layout = Layout(self._objects, self.prefix)
        self._is_probed = single_writer
        self._locks = PathLocks()
        self._ends: OrderedDict[str, _KnownEnd] = OrderedDict()
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
        return await self._look_again(path, lambda: self._read(path, start, end))

    async def _read(self, path: str, start: int, end: int | None) -> bytes | None:
        found = await self._read_object(path, start, end)
        size, content = found or (0, b"")
        if end is not None and end <= size:
            return content
        parts, seen = await self._layout.parts_of_range(path, size, max(start, size), end)
        if found is None and not seen:
            return None
        return b"".join([content, *await self._fetch(path, parts, max(start, size), end)])

    async def _read_object(self, path: str, start: int, end: int | None) -> tuple[int, bytes] | None:
        """Return the size of the object and what it has of ``[start, end)``, both as of the same moment."""
        key = self._layout.key(path)
        if start == 0 and end is None:
            return await self._objects.get(key, path)
        found = await self._objects.head(key, path)
        if found is None or start >= found.size:
            return None if found is None else (found.size, b"")
        got = await self._objects.get(key, path, start, found.size if end is None else min(end, found.size))
        if got is None or got[0] != found.size:
            raise HoleError(start)
        return got

    async def _fetch(self, path: str, parts: Sequence[Part], start: int, end: int | None) -> list[bytes]:
        async def fetch(part: Part) -> bytes:
            first = max(start - part.offset, 0)
            last = part.size if end is None else min(end - part.offset, part.size)
            whole = first == 0 and last == part.size
            async with slots:
                got = await self._objects.get(
                    self._layout.part_key(path, part.offset), path, first, None if whole else last
                )
            if got is None or got[0] != part.size:
                raise HoleError(part.offset)
            return got[1]

        slots = asyncio.Semaphore(_PARALLEL)
        return await _all([fetch(part) for part in parts])

    async def read_range(self, path: str, start: int, end: int | None = None) -> str:
        return (await self.read_bytes(path, start, end) or b"").decode()

    async def size(self, path: str) -> int | None:
        path = normalize_path(path)
        return None if path == "/" else (await self._find_end(path)).actual

    # -- changing --

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        """Not atomic over parts, see the class: they are deleted first, newest first."""
        path, data = file_path(path), encoded(content)
        async with self._locks.locked(path):
            asked = self._now()
            self._ends.pop(path, None)
            end = await self._find_end(path) if if_absent or expect is not None else None
            if if_absent and end is not None and end.exists:
                raise _exists(path)
            if end is not None and expect is not None and expect != end.size:
                raise conflict(path, expect, end.actual)
            if end is not None and not end.exists:
                await self._create_file(path, data, expect)
            else:
                parts = await self._layout.part_keys(path)
                await self._objects.delete(parts[::-1], path)
                await self._objects.put(self._layout.key(path), path, data)
            self._remember(path, End(len(data), exists=True), asked)

    async def _create_file(self, path: str, data: bytes, expect: int | None) -> None:
        await self._probe_once()
        if await self._objects.create(self._layout.key(path), path, data, uuid.uuid4().hex) is not None:
            if expect is None:
                raise _exists(path)
            raise conflict(path, expect, (await self._find_end(path)).actual)

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        path, data = file_path(path), encoded(content)
        async with self._locks.locked(path):
            known = self._ends.pop(path, None)
            if known is None or self._is_stale(known) or expect not in (None, known.end.size):
                known = await self._learn_end(path, known)
            losses = 0
            while True:
                if expect not in (None, known.end.size):
                    raise conflict(path, expect or 0, known.end.actual)
                offset = known.end.size
                taken = await self._add(path, known, data)
                if taken is None:
                    return offset
                losses += 1
                if losses > 1 or expect is not None or not data:
                    known = await self._learn_end(path, known)
                else:
                    # Mostly it is one part that somebody else has added, and the next place is free.
                    known = attrs.evolve(known, end=known.end.after(Part(offset, taken.size)))

    async def _add(self, path: str, known: _KnownEnd, data: bytes) -> Found | None:
        """Create the next part at a known end, and remember the end after it; return what is there already, if any."""
        offset, key = known.end.size, self._layout.part_key(path, known.end.size)
        if not data:
            if known.end.exists:
                self._ends[path] = known
                return None
            key = self._layout.key(path)
        await self._probe_once()
        asked = self._now()
        if taken := await self._objects.create(key, path, data, uuid.uuid4().hex):
            return taken
        if self._is_stale(known):
            # The process stood still, or the answer took long: the part may be one that a compaction had taken away.
            found = await self._objects.head(self._layout.key(path), path)
            if data and found is not None and found.size > offset:
                raise StoreUnavailable(
                    f"an append to {path!r} in {self._place} took more than half the grace period, and the file was"
                    " compacted meanwhile; whether it happened is unknown: read the file again",
                    path=path,
                    byte_offset=offset,
                )
        self._remember(path, known.end.after(Part(offset, len(data))) if data else End(0, exists=True), asked)
        return None

    async def delete(self, path: str) -> None:
        """Not atomic: a crash may leave some of the files, and of a file its beginning."""
        path = normalize_path(path)
        async with self._locks.locked(path, tree=True):
            for known in [known for known in self._ends if path == "/" or f"{known}/".startswith(f"{path}/")]:
                del self._ends[known]
            keys = [key async for key, _ in self._objects.walk(self._layout.key(path), path)]
            if path != "/":
                keys += [self._layout.key(path), *await self._layout.part_keys(path)]
            # Sorted, an object comes before its parts, and a part before the next.
            await self._objects.delete(sorted(keys, reverse=True), path)

    async def compact(self, path: str) -> bool:
        """Merge the parts of a file into its object, so that reading it needs one request.

        Parts that an earlier call merged more than ``grace_seconds`` ago are deleted: until then there is something
        left to do. Others may go on appending and reading meanwhile; the appends of this process wait.
        """
        path = file_path(path)
        async with self._locks.locked(path):
            found = await self._objects.head(self._layout.key(path), path)
            base = 0 if found is None else found.size
            parts = [part async for part in self._layout.parts(path)]
            merged = [part for part in parts if part.offset < base]
            _, now = self._now()
            is_old = found is not None and now - found.last_modified.timestamp() >= self._grace_seconds
            if is_old:
                keys = [self._layout.part_key(path, part.offset) for part in reversed(merged)]
                await self._objects.delete(keys, path)
            end = max([base, *(part.end for part in parts)])
            if end > base:
                await self._merge(path, end)
            return end == base and (is_old or not merged)

    async def _merge(self, path: str, end: int) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, end, _PIECE_BYTES):
                piece = await self.read_bytes(path, start, min(start + _PIECE_BYTES, end))
                if piece is None or len(piece) != min(_PIECE_BYTES, end - start):
                    raise self._damaged(path, HoleError(start))
                yield piece

        if end <= _PIECE_BYTES:
            content = b"".join([piece async for piece in pieces()])
            await self._objects.put(self._layout.key(path), path, content)
        else:
            await self._objects.put(self._layout.key(path), path, pieces)

    # -- the end of a file --

    async def _find_end(self, path: str, known: End | None = None) -> End:
        return await self._look_again(path, lambda: self._layout.end(path, known))

    async def _look_again(self, path: str, look: Callable[[], Awaitable[T]]) -> T:
        """Look a few times: a hole may be there only while somebody replaces the file."""
        for _ in range(_HOLES_MAX - 1):
            try:
                return await look()
            except HoleError:
                continue
        try:
            return await look()
        except HoleError as error:
            raise self._damaged(path, error) from None

    async def _learn_end(self, path: str, known: _KnownEnd | None) -> _KnownEnd:
        asked = self._now()
        return _KnownEnd(await self._find_end(path, None if known is None else known.end), *asked)

    def _remember(self, path: str, end: End, asked: tuple[float, float]) -> None:
        self._ends[path] = _KnownEnd(end, *asked)
        if len(self._ends) > _ENDS_MAX:
            self._ends.popitem(last=False)

    def _is_stale(self, known: _KnownEnd) -> bool:
        # The one clock stands still while a laptop sleeps, the other can be set: the one that went further counts.
        monotonic, of_day = self._now()
        return max(monotonic - known.monotonic, of_day - known.of_day) > self._grace_seconds / 2

    def _now(self) -> tuple[float, float]:
        return self._clock.monotonic(), self._clock.now_ns() / 1e9

    async def _probe_once(self) -> None:
        """See that the service keeps the condition of a create: not all that speak S3 do."""
        if self._is_probed:
            return
        key = self._layout.probe_key(uuid.uuid4().hex)
        await self._objects.create(key, "/", b"", "first")
        ignored = await self._objects.create(key, "/", b"", "second") is None
        await self._objects.delete([key], "/")
        if ignored:
            raise ConfigurationError(
                f"{self._place} ignores If-None-Match, so that two writers would overwrite each other's records without"
                " a word. Use another service, or single_writer=True and never more than one process"
            )
        self._is_probed = True

    # -- directories --

    async def list(self, path: str = "/") -> builtins.list[str]:
        path = normalize_path(path)
        prefix = self._layout.key(path)
        objects, folders = await self._objects.children(prefix, path)
        names = {_name(key) for key in objects}
        for folder in map(_name, folders):
            if not folder.endswith("@"):
                names.add(f"{folder}/")
            elif folder != "@":
                names.add(folder[:-1])
        return sorted(names)

    async def exists(self, path: str) -> bool:
        path = normalize_path(path)
        if path == "/":
            return bool(await self.list("/"))
        found, parts, below = await asyncio.gather(
            self._objects.head(self._layout.key(path), path),
            self._layout.page(path),
            self._objects.page(self._layout.key(path), path),
        )
        return found is not None or bool(parts[0]) or bool(below)

    # -- changes --

    async def on_change(self, path: str, callback: ChangeCallback) -> ChangeSubscription:
        """Compares listings, which leave out most parts that are known. While the service is away, nothing is told."""
        path = normalize_path(path)
        last = await self._layout.survey(path, {})

        async def take_snapshot() -> dict[str, State]:
            nonlocal last
            try:
                last = await self._layout.survey(path, last)
            except StoreUnavailable:
                _log.warning("store.poll_failed", path=path, exc_info=True)
            return last

        polling = Polling(take_snapshot, last, self._poll_seconds)
        subscription = Subscription(path, callback, polling.next_changes, self._subscriptions.discard)
        self._subscriptions.add(subscription)
        return subscription

    async def aclose(self) -> None:
        """End the subscriptions, and forget the ends of the files."""
        for subscription in builtins.list(self._subscriptions):
            await subscription.close()
        self._ends.clear()

    def _damaged(self, path: str, hole: HoleError) -> StoreError:
        return StoreError(
            f"{path!r} in {self._place} has a hole at byte {hole.byte_offset}: a part is missing, or left of an earlier"
            " file; restore it from a copy, or delete it",
            path=path,
            byte_offset=hole.byte_offset,
        )


@attrs.frozen
class _KnownEnd:
    """An end, and when the question was asked that found it so."""

    end: End
    monotonic: float
    of_day: float


def _name(key: str) -> str:
    return key.rstrip("/").rpartition("/")[2]


def _exists(path: str) -> AlreadyExists:
    return AlreadyExists(f"{path!r} exists already; nothing was written", path=path)


async def _all(calls: Sequence[Coroutine[Any, Any, T]]) -> builtins.list[T]:
    """Wait for all; the first that fails ends the others."""
    tasks: builtins.list[asyncio.Task[T]] = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
