"""An endpoint for webhooks: a small HTTP server that notes what it gets, and answers as it is told to.

It also runs in a process of its own, where it misbehaves, and is killed: ``python webhook_endpoint.py PORT NOTES SEED
SECRET``. There it appends a line to NOTES for each request, before it answers. See test_webhook_kills.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import attrs
import standardwebhooks

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


# --- in a process of its own ------------------------------------------------------------------------------------------

GIGANTIC = 100 * 1024 * 1024
MISCHIEF = ("hang", "429", "500", "302", "flood", "cut", "drip", "early", "503")
ONE_IN = 60


async def misbehave(deed: str, connection: Connection) -> None:
    if deed == "hang":
        await asyncio.Event().wait()
    elif deed == "429":
        await connection.say(429, Retry_After="0")
    elif deed == "503":
        await connection.say(503, b"\x1b[31mnot now\x00", Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")
    elif deed == "302":
        await connection.say(302, Location="http://169.254.169.254/latest/meta-data")
    elif deed == "flood":
        await connection.flood(GIGANTIC)
    elif deed == "cut":
        connection.writer.write(b"HTTP/1.1 20")
        await connection.writer.drain()
        connection.cut()
    elif deed == "drip":
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000:
            connection.writer.write(bytes((byte,)))
            await asyncio.sleep(0.05)
    elif deed == "early":
        await connection.say(204)
        connection.cut()
    else:
        await connection.say(int(deed))


async def main() -> None:
    port, seed = int(sys.argv[1]), int(sys.argv[3])
    dice, check = random.Random(seed), standardwebhooks.Webhook(sys.argv[4])
    gone = Path(f"{sys.argv[2]}.gone")
    notes = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def answering(request: Request, connection: Connection) -> None:
        message = check.verify(request.body, request.headers)
        deed = dice.choice(MISCHIEF) if not dice.randrange(ONE_IN) else "200"
        if message["data"]["n"] in (70, 4000) and not gone.exists():  # noqa: ASYNC240 - it is quick, and waited for
            gone.touch()  # noqa: ASYNC240
            deed = "410"
        note = {"id": request.headers["webhook-id"], "n": message["data"]["n"], "deed": deed}
        os.write(notes, json.dumps(note).encode() + b"\n")
        await misbehave(deed, connection)

    async with Endpoint(answering, port=port) as endpoint:
        print(endpoint.port, flush=True)  # noqa: T201 - the parent waits for it
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
