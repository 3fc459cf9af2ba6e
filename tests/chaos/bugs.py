"""Bugs that are let into a node, one at a time: chaos that does not find them proves nothing."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from hubwire._state.followers import Followers
from hubwire.errors import StoreError
from hubwire.standby import Holding
from hubwire.stores.jetstream import JetStreamJournal
from hubwire.stores.jetstream._following import _Follower
from hubwire.stores.jetstream._stream import Refused, Stream

__all__ = ("BUGS",)


def _put(owner: Any, name: str, value: Any) -> None:
    assert hasattr(owner, name), name
    setattr(owner, name, value)


def fence_ignored() -> None:
    """An append that is refused is put behind whatever is there by now, and it is not looked at what that is."""

    async def publish(self: Stream, subject: str, content: bytes, headers: dict[str, str], last: int, of: str) -> int:
        while True:
            try:
                return await right(self, subject, content, headers, last, of)
            except Refused:
                found = await self.last(of)
                if not subject.endswith(".journal") or found is None:
                    raise
                last = found.place

    async def check_last(self: JetStreamJournal, last: int) -> None:
        del self, last

    right = Stream.publish
    _put(Stream, "publish", publish)
    _put(JetStreamJournal, "_check_last", check_last)


def watermark_ignored() -> None:
    """Who follows sees what is stored, and not what is committed."""
    right = _Follower.committed

    def committed(self: _Follower, told: int) -> Any:
        del told
        return right(self, sys.maxsize)

    _put(_Follower, "committed", committed)


def results_not_kept() -> None:
    """The next hub that leads does not know what came of the commands of the one before."""
    _put(Followers, "find", lambda self, follower_id, number: None)


def lease_not_needed() -> None:
    """Who cannot look at the lease, as its servers are away, takes that for the death of the hub that leads."""

    async def take(self: Holding) -> None:
        loop = asyncio.get_running_loop()
        seen, since = -1, loop.time()
        while True:
            try:
                async with asyncio.timeout(self._seconds):
                    entry = await self._lease.read()
                number, holder = (0, None) if entry is None else (entry.number, entry.holder)
                if number != seen:
                    seen, since = number, loop.time()
                is_free = holder is None or loop.time() - since > self._seconds
                if is_free and await self._lease.write(self._name, number):
                    self._number = number + 1
                    return
            except (StoreError, OSError):  # a timeout is one, too
                return
            await self.pause()

    _put(Holding, "take", take)


BUGS: dict[str, Callable[[], None]] = {
    each.__name__: each for each in (fence_ignored, watermark_ignored, results_not_kept, lease_not_needed)
}
