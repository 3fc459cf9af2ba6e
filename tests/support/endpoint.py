"""An endpoint for webhooks: a small HTTP server that notes what it gets, and answers as it is told to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Self

import attrs

__all__ = ("Answering", "Connection", "Endpoint", "Request", "answer")


@attrs.frozen
class Request:
    """A request, as it came."""

    target: str
    headers: dict[str, str]
    body: bytes


@attrs.frozen
class Connection:
    """What an answer is written to."""

    writer: asyncio.StreamWriter

    async def say(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        self.writer.write(answer(status, body, **headers))
        await self.writer.drain()

    async def flood(self, count: int) -> None:
        """Answer with a body of so many bytes, as far as they are read."""
        self.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % count)
        for _ in range(count // 65536 + 1):
            self.writer.write(b"x" * 65536)
            await self.writer.drain()

    def cut(self) -> None:
        self.writer.transport.abort()


Answering = Callable[[Request, Connection], Awaitable[Any]]


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _say_yes(_: Request, connection: Connection) -> None:
    await connection.say(200)


class Endpoint:
    """The server: ``async with Endpoint() as endpoint``."""

    def __init__(self, answering: Answering = _say_yes, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.answering = answering
        self.requests: list[Request] = []
        self.connections = 0
        self.port = port
        self._tls = tls
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/hook"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while not writer.is_closing():
                request = await _read(reader)
                self.requests.append(request)
                await self.answering(request, Connection(writer))
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(first.split(" ")[1], headers, body)
