"""Objects: the requests to an object service, each repeated until its result is certain."""

from __future__ import annotations

import atexit
import builtins
import random
import re
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, TypeVar

import attrs
from obstore.exceptions import AlreadyExistsError, BaseError, GenericError, JoinError
from obstore.store import ObjectStoreMethods

from hubwire.errors import StoreError, StoreFull, StoreUnavailable
from hubwire.own_log import OwnLog
from hubwire.ports import Clock

if TYPE_CHECKING:
    from obstore import GetResult  # exists for type checkers only

__all__ = ("PAGE", "Found", "Objects", "Service")

Service = ObjectStoreMethods
"""Any store of obstore."""

_log = OwnLog("stores")

T = TypeVar("T")

_BATCH = "hubwirebatch"
"""The name of the metadata; Azure allows letters, digits and underscores only."""

PAGE = 1000
_LAST_ANSWER_SECONDS = 0.05
_READING = ("read", "list")
_PAUSE_SECONDS = 0.05
_PAUSE_SECONDS_MAX = 5.0
_STATUS = re.compile(r"status code: (\d{3})")
_TRANSIENT_STATUS = {408, 409, 425, 429, 500, 502, 503, 504, 509, 520, 521, 522, 523, 524}
_TRANSIENT_WORDS = re.compile(
    r"error sending request|HTTP error|timed? ?out|RequestTimeout|connection|reset|broken pipe|error decoding response",
    re.IGNORECASE,
)
_NO_RANGE = re.compile(r"status code: 416|InvalidRange|Requested range was invalid|Invalid range")
_FULL = re.compile(r"status code: 507|StorageFull|QuotaExceeded|InsufficientStorage|EntityTooLarge.*quota")


@attrs.frozen
class Found:
    """An object, as HEAD describes it; a listing has every field but the batch."""

    size: int
    e_tag: str | None
    last_modified: datetime
    batch: str | None = None


class _NotYetCertainError(Exception):
    """The service refused a create, but has no such object: another request is under way, or the object was deleted."""


class Objects:
    """Keys, bytes and conditions; it does not know files and parts."""

    def __init__(
        self, service: Service, place: str, *, clock: Clock, deadline_seconds: float, conditional: bool
    ) -> None:
        self._service = service
        self._place = place
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        self._conditional = conditional

    async def head(self, key: str, path: str) -> Found | None:
        async def attempt() -> Found | None:
            try:
                return _found(await self._service.get_async(key, options={"head": True}))
            except FileNotFoundError as error:
                _check_bucket(error)
                return None

        return await self._until_certain("read", path, attempt)

    async def get(self, key: str, path: str, start: int = 0, end: int | None = None) -> tuple[int, bytes] | None:
        """Return the size of the object and its bytes ``[start, end)``; ``start`` must not be beyond its end."""

        async def attempt(*, may_be_empty: bool = True) -> tuple[int, bytes] | None:
            try:
                if end is None:
                    result = await self._service.get_async(key, options={"range": {"offset": start}} if start else None)
                else:
                    result = await self._service.get_async(key, options={"range": (start, end)})
                return result.meta["size"], bytes(await result.bytes_async())
            except FileNotFoundError as error:
                _check_bucket(error)
                return None
            except GenericError as error:
                # No range of an empty object can be had.
                if start or not may_be_empty or not _NO_RANGE.search(str(error)):
                    raise
                found = await self.head(key, path)
                if found is not None and found.size:
                    return await attempt(may_be_empty=False)  # parts were merged into it meanwhile
                return None if found is None else (0, b"")

        return await self._until_certain("read", path, attempt)

    async def put(self, key: str, path: str, content: bytes | Callable[[], AsyncIterable[bytes]]) -> None:
        async def attempt() -> None:
            if isinstance(content, bytes):
                await self._service.put_async(key, content, use_multipart=False)
            else:
                await self._service.put_async(key, content())

        await self._until_certain("write", path, attempt)

    async def create(self, key: str, path: str, content: bytes, batch: str) -> Found | None:
        """Create the object with ``batch`` in its metadata; return the existing one, if it has another batch.

        A lost answer is followed by another attempt with the same key and the same bytes: either they are stored now,
        or the batch of the existing object shows which request created it.
        """
        mode: Literal["create", "overwrite"] = "create" if self._conditional else "overwrite"

        async def attempt() -> Found | None:
            try:
                await self._service.put_async(key, content, attributes={_BATCH: batch}, mode=mode, use_multipart=False)
            except AlreadyExistsError as error:
                if not self._conditional:
                    raise _NotYetCertainError from error
                # 412, but also 409 ConditionalRequestConflict: its batch decides.
                try:
                    found = _found(await self._service.get_async(key, options={"head": True}))
                except FileNotFoundError:
                    raise _NotYetCertainError from error
                return None if found.batch == batch else found
            return None

        return await self._until_certain("write", path, attempt)

    async def page(self, prefix: str, path: str, after: str | None = None) -> list[tuple[str, Found]]:
        """Return the objects below ``prefix`` that sort after ``after``: 1,000, or all if they are fewer."""

        async def attempt() -> list[tuple[str, Found]]:
            async for chunk in self._service.list(prefix or None, offset=after, chunk_size=PAGE):
                return [(meta["path"], Found(meta["size"], meta["e_tag"], meta["last_modified"])) for meta in chunk]
            return []

        return sorted(await self._until_certain("list", path, attempt), key=itemgetter(0))

    async def walk(self, prefix: str, path: str, after: str | None = None) -> AsyncIterator[tuple[str, Found]]:
        """Iterate over the objects below ``prefix``, sorted, page by page."""
        while page := await self.page(prefix, path, after):
            for each in page:
                yield each
            if len(page) < PAGE:
                break
            after = page[-1][0]

    async def children(self, prefix: str, path: str) -> tuple[builtins.list[str], builtins.list[str]]:
        """Return the keys and the common prefixes right below ``prefix``."""

        async def attempt() -> tuple[builtins.list[str], builtins.list[str]]:
            found = await self._service.list_with_delimiter_async(prefix or None)
            return [meta["path"] for meta in found["objects"]], [*found["common_prefixes"]]

        return await self._until_certain("list", path, attempt)

    async def delete(self, keys: Sequence[str], path: str) -> None:
        """Delete in the order of ``keys``, as far as the service keeps it within a request."""

        async def attempt(some: Sequence[str]) -> None:
            try:
                await self._service.delete_async(some)
            except FileNotFoundError as error:
                # S3 ignores missing objects; other services stop there.
                _check_bucket(error)
                if some[1:]:
                    for key in some:
                        await attempt([key])

        for start in range(0, len(keys), PAGE):
            await self._until_certain("delete", path, partial(attempt, keys[start : start + PAGE]))

    async def _until_certain(self, doing: str, path: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Attempt again, after growing pauses, while failures are transient and the deadline has not passed."""
        deadline = self._clock.monotonic() + self._deadline_seconds
        pause = _PAUSE_SECONDS
        while True:
            try:
                return await attempt()
            except (BaseError, OSError, NotImplementedError, ValueError, _NotYetCertainError) as error:
                if not _is_transient(error):
                    raise self._translated(doing, path, error) from error
                if self._clock.monotonic() + pause > deadline:
                    advice = (
                        "See that the service is up, and that its address is right"
                        if doing in _READING
                        else "Whether it happened is unknown; see that the service is up, then look"
                    )
                    raise StoreUnavailable(
                        f"cannot {doing} {path!r} in {self._place}: tried for {self._deadline_seconds:g} s, at last:"
                        f" {_reason(error)}. {advice}",
                        path=path,
                    ) from error
                _log.detail("store.retry", doing=doing, path=path, reason=_reason(error), pause_seconds=pause)
            await self._clock.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - it spreads retries and hides no secret
            pause = min(pause * 2, _PAUSE_SECONDS_MAX)

    def _translated(self, doing: str, path: str, error: Exception) -> StoreError:
        reason = _reason(error)
        if _FULL.search(str(error)):
            return StoreFull(
                f"cannot {doing} {path!r} in {self._place}: {reason}; nothing was kept, make room and call again",
                path=path,
            )
        return StoreError(f"cannot {doing} {path!r} in {self._place}: {reason}; mend that and call again", path=path)


def _found(result: GetResult) -> Found:
    meta = result.meta
    return Found(meta["size"], meta["e_tag"], meta["last_modified"], result.attributes.get(_BATCH))


def _is_transient(error: Exception) -> bool:
    if isinstance(error, _NotYetCertainError):
        return True
    # AlreadyExistsError is 409 here: a service may be busy with another request for the same object.
    if not isinstance(error, (GenericError, JoinError, AlreadyExistsError)):
        return isinstance(error, (TimeoutError, ConnectionError))
    text = str(error)
    if status := _STATUS.search(text):
        return int(status[1]) in _TRANSIENT_STATUS or "RequestTimeout<" in text
    return _TRANSIENT_WORDS.search(text) is not None


def _check_bucket(error: FileNotFoundError) -> None:
    """Raise ``error`` again if the bucket is missing: a missing object is a result, a missing bucket is a failure."""
    if re.search(r"NoSuchBucket|ContainerNotFound", str(error)):
        raise error


def _reason(error: Exception) -> str:
    if isinstance(error, _NotYetCertainError):
        return "another request for the same object is under way"
    # The rest of an obstore message is Rust structures.
    return " ".join(str(error).partition("\n\nDebug source")[0].split())[:300]


@atexit.register
def _let_obstore_finish() -> None:
    # A thread of obstore that has handed over an answer cleans up afterwards and needs the interpreter for that; one
    # that is too late aborts the process after all its work was done. There is no way to wait for it but to sleep.
    time.sleep(_LAST_ANSWER_SECONDS)
