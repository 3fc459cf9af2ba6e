"""The messages of a subject as they come, and the words that are said beside the stream.

What nats-py has for it finds in 18 seconds that a server has died. Here a consumer that is silent for two seconds, or
whose messages have a gap, is made anew, after the last message that came.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import Any

from hubwire.errors import LogDamaged, StoreError
from hubwire.own_log import OwnLog

from ._connection import sent_as
from ._stream import Stored, Stream

__all__ = ("Tail",)

_SILENT_SECONDS = 2.0
_PAUSE_SECONDS = 0.5
_STATUS = "Status"
_LAST_CONSUMER = "Nats-Last-Consumer"
_STALLED = "Nats-Consumer-Stalled"

_log = OwnLog("stores")


class Tail:
    """Reads a subject from a place on, for ever."""

    def __init__(self, stream: Stream, subject: str, aside: str) -> None:
        self.place: int = 0
        """Of the last message that was returned."""
        self._stream = stream
        self._subject = subject
        self._aside = aside
        self._word: bytes | None = None
        self._woken = asyncio.Event()
        self._consumer: _Consumer | None = None
        self._spoken: Any = None

    async def begin(self, place: int) -> None:
        """Begin after a place. Raises :class:`~hubwire.errors.StoreError`."""
        self.place = place
        self._spoken = await self._stream.listen(self._aside, self._hear)
        await self._renew()

    async def aclose(self) -> None:
        """End it; nothing of it is left."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.aclose()
        if self._spoken is not None:
            await self._stream.leave(self._spoken)

    def word(self) -> bytes | None:
        """Return the last word that was said since this was asked."""
        word, self._word = self._word, None
        return word

    async def _hear(self, message: Any) -> None:
        self._word = message.data
        self._woken.set()

    def wake(self) -> None:
        """Let :meth:`next` return soon, with what there is."""
        self._woken.set()

    async def next(self) -> Stored | None:
        """Return the next message; None after a word, and now and then while there is none."""
        consumer = self._consumer
        while consumer is not None and consumer.came:
            message = consumer.came.popleft()
            if (found := await consumer.taken(message)) is not None and found.place > self.place:
                self.place = found.place
                return found
        if consumer is None or consumer.is_lost():
            await self._renew_patiently()
        elif self._word is None:
            await self._wait()
        return None

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_PAUSE_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()  # and not before: it may have been set while what came before was handled

    async def _renew_patiently(self) -> None:
        """Read on by another consumer, as soon as the servers have one; what is damaged is raised."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        while True:
            try:
                await self._renew()
            except LogDamaged:
                raise
            except StoreError as error:
                _log.problem("a journal cannot be followed now; trying again", error)
                if loop.time() - since > self._stream.wait_seconds and not await self._is_there():
                    raise LogDamaged(
                        f"{self._stream} is not there any more, since {self._stream.wait_seconds:g} seconds: it was"
                        " deleted, or the disks of its servers were lost. Restore it from a copy",
                        path=self._stream.name,
                    ) from error
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return

    async def _is_there(self) -> bool:
        try:
            return await self._stream.find()
        except LogDamaged:
            raise
        except StoreError:
            return True  # it is not known

    async def _renew(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.aclose()
            if not await self._stream.find():
                raise StoreError(f"{self._stream} is not there now")
        self._consumer = consumer = _Consumer(self._stream, self._woken)
        await consumer.begin(self._subject, self.place + 1)


class _Consumer:
    """One consumer of the servers, and what came of it."""

    def __init__(self, stream: Stream, woken: asyncio.Event) -> None:
        self.came: deque[Any] = deque()
        self._stream = stream
        self._woken = woken
        self._name = f"hubwire-{secrets.token_hex(8)}"
        self._inbox: Any = None
        self._count = 0
        """How many messages of it were taken."""
        self._heard_at = 0.0
        self._reconnects = 0
        self._has_gap = False

    async def begin(self, subject: str, place: int) -> None:
        self._reconnects = self._stream.reconnects
        to = self._stream.inbox()
        self._inbox = await self._stream.listen(to, self._hear)
        await self._stream.push(self._name, subject, to, place)
        self._heard_at = asyncio.get_running_loop().time()

    async def aclose(self) -> None:
        if self._inbox is not None:
            await self._stream.leave(self._inbox)
            await self._stream.push_no_more(self._name)

    def is_lost(self) -> bool:
        """Whether messages may be missing, or none may come any more."""
        is_silent = asyncio.get_running_loop().time() - self._heard_at > _SILENT_SECONDS
        return is_silent or self._has_gap or self._reconnects != self._stream.reconnects

    async def _hear(self, message: Any) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        self.came.append(message)
        self._woken.set()

    async def taken(self, message: Any) -> Stored | None:
        """Return what a message is that came; None if it is one of the consumer itself, or comes after a gap."""
        headers = message.headers or {}
        if _STATUS in headers:
            if answer := headers.get(_STALLED) or message.reply:
                await self._stream.say(answer, b"")  # what was sent is taken
            last = headers.get(_LAST_CONSUMER) or "0"
            self._has_gap = self._has_gap or not last.isdecimal() or int(last) > self._count
            return None
        number, place = sent_as(message)
        if self._has_gap or number != self._count + 1:
            self._has_gap = True
            return None
        self._count += 1
        return Stored(place, message.subject, message.headers, message.data)
