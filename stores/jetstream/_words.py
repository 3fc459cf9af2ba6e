"""What the writer of a journal says beside the stream: how far events are committed, and that it is there.

It is not stored. What a follower misses is said again within half a second, and stands in the next message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import attrs

__all__ = ("Telling", "Word")

_BEAT_SECONDS = 0.5
_GATHER_SECONDS = 0.001
"""Of commits that come at once, the last one is said."""
_GATHER_BUSY_SECONDS = 0.004
"""So much longer while appends go on: what is said takes from them, and a later one says it, too."""


@attrs.frozen
class Word:
    """What is said."""

    epoch: int
    committed: int
    """The events below are committed."""

    def content(self) -> bytes:
        """Return it as it is sent."""
        return b"1 %d %d" % (self.epoch, self.committed)

    @classmethod
    def parse(cls, content: bytes) -> Word | None:
        """Return what was said; None for what is no such word, or one of a newer version."""
        match content[:64].split(b" "):
            case [b"1", epoch, committed] if epoch.isdigit() and committed.isdigit():
                return cls(int(epoch), int(committed))
        return None


class Telling:
    """Says how far events are committed: soon after a commit, and again and again."""

    def __init__(
        self, epoch: int, committed: int, say: Callable[[bytes], Awaitable[None]], is_appending: Callable[[], bool]
    ) -> None:
        self.committed: int = committed
        self._epoch = epoch
        self._say = say
        self._is_appending = is_appending
        self._moved = asyncio.Event()

    def advance(self, seq: int) -> None:
        """The events below ``seq`` are committed."""
        if seq > self.committed:
            self.committed = seq
            self._moved.set()

    async def run(self) -> None:
        """Say it, for as long as the journal is open."""
        while True:
            try:
                async with asyncio.timeout(_BEAT_SECONDS):
                    await self._moved.wait()
            except TimeoutError:
                pass
            else:
                await asyncio.sleep(_GATHER_SECONDS)
                if self._is_appending():
                    await asyncio.sleep(_GATHER_BUSY_SECONDS)
            self._moved.clear()
            await self._say(Word(self._epoch, self.committed).content())
