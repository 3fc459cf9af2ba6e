"""One connection for HTTP/1.1 (RFC 9112): a request is written, and what is answered is read up to its bounds.

It has as little as a webhook needs. A library for all that HTTP can do takes ten times as long for a delivery, and
holds the interpreter so long, for which whatever emits events waits.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from typing import Any, cast

__all__ = ("Response", "Wire")

_HEAD_BYTES_MAX = 64 * 1024
_INTERIM_MAX = 100
"""How many answers 1xx may stand before the one that counts: they come without a pause, and hold up the loop."""
_LINE_BYTES_MAX = 4096
_BUFFER_BYTES_MAX = 64 * 1024

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_END_OF_LINE = re.compile(rb"\r?\n")
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: .*)?", re.DOTALL)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\r?", re.DOTALL)


class Wire(asyncio.Protocol):
    """A connection. What goes wrong is a ``ConnectionError`` that says what."""

    def __init__(self) -> None:
        self.buffer: bytearray = bytearray()
        """What has come, and is not used yet."""
        self.is_ended: bool = False
        """Whether no more comes."""
        self.idle_since: float = 0.0
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_full = False
        self._is_choked = False

    # -- for the event loop --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if len(self.buffer) >= _BUFFER_BYTES_MAX and not self._is_full:
            self._is_full = True
            self._given().pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self.is_ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - it is what each wait finds out
        self.is_ended, self._is_choked = True, False
        self._wake()
        if not self._lost.done():
            self._lost.set_result(None)

    def pause_writing(self) -> None:
        self._is_choked = True

    def resume_writing(self) -> None:
        self._is_choked = False
        self._wake()

    # -- for who posts --

    async def send(self, message: bytes, seconds: float) -> None:
        """Write a request. That the endpoint has closed the connection is seen when the answer is read."""
        self._given().write(message)
        while self._is_choked and not self.buffer:
            await self._wait(seconds, "it did not take the request")

    async def more(self, seconds: float) -> bool:
        """Wait until more has come; False if no more comes."""
        there = len(self.buffer)
        if self._is_full and there < _BUFFER_BYTES_MAX:
            self._is_full = False
            self._given().resume_reading()
        while len(self.buffer) == there and not self.is_ended:
            await self._wait(seconds, "no answer")
        return len(self.buffer) > there

    async def line(self, seconds: float) -> bytes:
        """Return the next line, without its line feed."""
        while (end := self.buffer.find(b"\n")) < 0:
            if len(self.buffer) > _LINE_BYTES_MAX or not await self.more(seconds):
                raise ConnectionError("the answer breaks off, or has a line that is too long")
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 1]
        return line

    def is_fresh(self, seconds: float) -> bool:
        """Tell whether it can be used again: it is open, and no byte has come that was not asked for."""
        return not self.is_ended and not self.buffer and time.monotonic() - self.idle_since < seconds

    def close(self) -> None:
        """Close it, without a word: a farewell of TLS would wait for the endpoint."""
        self._given().abort()

    async def closed(self) -> None:
        """Wait until it is closed."""
        await self._lost

    def _given(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    async def _wait(self, seconds: float, what: str) -> None:
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = loop.call_later(seconds, _expire, waiter, f"{what} within {seconds:g} s")
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _expire(waiter: asyncio.Future[None], what: str) -> None:
    if not waiter.done():
        waiter.set_exception(ConnectionError(what))


class Response:
    """What was answered: its head was read, and its body is not."""

    def __init__(self, wire: Wire, status: int, headers: dict[str, str], minor: bytes, seconds: float) -> None:
        self.status_code: int = status
        self.headers: dict[str, str] = headers
        """By names in lower case."""
        self.is_over: bool = False
        """Whether all of it was read, and another request may follow."""
        self._wire = wire
        self._seconds = seconds
        words = [word.strip() for word in headers.get("connection", "").lower().split(",")]
        self._is_kept = minor == b"1" and "close" not in words

    @classmethod
    async def read(cls, wire: Wire, seconds: float) -> Response:
        """Read the head of the answer, with at most so many seconds between two pieces of it."""
        for _ in range(_INTERIM_MAX):
            minor, status, headers = _parsed(await _head(wire, seconds))
            if status >= 200 or status == 101:
                return cls(wire, status, headers, minor, seconds)
        raise ConnectionError(f"more than {_INTERIM_MAX} answers 1xx, and none that counts")

    @property
    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Iterate over the body. Raises ``ConnectionError`` if it breaks off."""
        coding, length = self.headers.get("transfer-encoding"), self.headers.get("content-length", "")
        if self.status_code in (101, 204, 304):
            self.is_over = self._is_kept and self.status_code != 101
        elif coding is not None and coding.lower().strip() == "chunked":
            async for part in self._chunks():
                yield part
            self.is_over = self._is_kept
        elif coding is None and length.isascii() and length.isdigit() and len(length) < 16:
            async for part in self._part(int(length)):
                yield part
            self.is_over = self._is_kept
        else:  # it ends with the connection
            while self._wire.buffer or await self._wire.more(self._seconds):
                yield self._taken(len(self._wire.buffer))

    async def _part(self, left: int) -> AsyncGenerator[bytes, None]:
        while left:
            if not self._wire.buffer and not await self._wire.more(self._seconds):
                raise ConnectionError("the answer breaks off")
            part = self._taken(left)
            left -= len(part)
            yield part

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        while True:
            match = _CHUNK.fullmatch(await self._wire.line(self._seconds))
            if match is None:
                raise ConnectionError("the answer has a chunk without a size")
            if not (size := int(match[1], 16)):
                break
            async for part in self._part(size):
                yield part
            await self._wire.line(self._seconds)
        for _ in range(_INTERIM_MAX):  # fields that follow the body
            if not (await self._wire.line(self._seconds)).strip():
                return
        raise ConnectionError("the answer has no end")

    def _taken(self, count: int) -> bytes:
        part = bytes(self._wire.buffer[:count])
        del self._wire.buffer[:count]
        return part


async def _head(wire: Wire, seconds: float) -> bytes:
    seen = 0
    while (match := _END_OF_HEAD.search(wire.buffer, max(seen - 3, 0))) is None:
        seen = len(wire.buffer)
        if seen > _HEAD_BYTES_MAX:
            raise ConnectionError(f"the head of the answer has more than {_HEAD_BYTES_MAX:,} bytes")
        if not await wire.more(seconds):
            raise ConnectionError("the endpoint has closed the connection without an answer")
    head = bytes(wire.buffer[: match.start()])
    del wire.buffer[: match.end()]
    return head


def _parsed(head: bytes) -> tuple[bytes, int, dict[str, str]]:
    """Return the second number of the version, the status, and the fields; those of one name in one."""
    first, *lines = _END_OF_LINE.split(head.lstrip(b"\r\n"))
    match = _STATUS.fullmatch(first)
    if match is None:
        raise ConnectionError(f"what came is no answer of HTTP/1.1: {first!r}")
    headers: dict[str, Any] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise ConnectionError("the head of the answer has a line that is no field")
        key, text = name.lower(), value.strip(" \t")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return match[1], int(match[2]), headers
