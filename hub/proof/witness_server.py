"""A witness over HTTP: ``POST /add-checkpoint``, within bounds of bytes, time and connections."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio

from ..errors import ConfigurationError
from ..own_log import OwnLog
from .cosigning import shown
from .http_witness import ADD_CHECKPOINT
from .note import VerifierKey
from .witness import SUBMISSION_BYTES_MAX, Witness, WitnessAnswer

if TYPE_CHECKING:
    from ..ports import Clock
    from .cosigning import WitnessKey
else:
    Clock = WitnessKey = object

__all__ = ("WitnessServer",)

_log = OwnLog("proof")

_HEAD_BYTES_MAX = 8 * 1024
_SECONDS_MAX = 10.0
"""So long a client may take for a request, and for the next one on its connection."""
_CLIENTS_MAX = 64
_REQUESTS_MAX = 1000
"""On one connection."""
_LINE = re.compile(rb"([A-Z]{1,10}) (/[!-~]{0,200}) HTTP/1\.([01])")
_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    411: "Length Required",
    413: "Content Too Large",
    422: "Unprocessable Entity",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class WitnessServer:
    """A witness of other hubs' logs, at a port of this machine, while it is entered.

    As in::

        async with WitnessServer(WitnessKey.from_file("witness.key"), "./witness", logs=[their_vkey], port=8441):
            ...

    It has no accounts: the signature of a log that it knows is what lets a request in. In front of the internet, put a
    server of HTTPS before it. A connection has 10 seconds for a request, a request 64 KB, and there are 64 connections
    at a time.
    """

    def __init__(
        self,
        key: WitnessKey,
        state: str | os.PathLike[str],
        logs: Iterable[VerifierKey | str] = (),
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        begins: bool = False,
        clock: Clock | None = None,
    ) -> None:
        """``key``, ``state``, ``logs``, ``begins`` and ``clock`` are those of :class:`~hubwire.proof.Witness`.

        ``port`` 0 takes a free one. Raises :class:`~hubwire.errors.ConfigurationError`.
        """
        if type(host) is not str or not host or not host.isprintable():
            raise ConfigurationError(f"WitnessServer(): host is an address of this machine, not {shown(host)}")
        if type(port) is not int or not 0 <= port <= 65_535:
            raise ConfigurationError(f"WitnessServer(): port is a number from 0 to 65,535, not {shown(port)}")
        self._host, self._port = host, port
        self.witness: Witness = Witness(key, state, logs, begins=begins, clock=clock)
        """What answers."""
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()

    @property
    def vkey(self) -> VerifierKey:
        """The key by which others check its cosignatures."""
        return self.witness.vkey

    @property
    def url(self) -> str:
        """The URL that its clients are given, while it is entered."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=_HEAD_BYTES_MAX)
        except OSError as error:
            self.witness.close()
            raise ConfigurationError(
                f"WitnessServer(): cannot listen at {self._host}:{self._port}: {error.strerror or error}"
            ) from error
        except BaseException:
            self.witness.close()
            raise
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for each in list(self._clients):
            each.transport.abort()
        with anyio.CancelScope(shield=True):
            await self.witness.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= _CLIENTS_MAX or self._server is None:
            writer.transport.abort()
            return
        self._clients.add(writer)
        try:
            for _ in range(_REQUESTS_MAX):
                async with asyncio.timeout(_SECONDS_MAX):
                    if not await self._answer(reader, writer):
                        break
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass  # it is gone, or too slow
        except Exception as error:  # noqa: BLE001 - of one client; the others go on
            _log.failure("a request to a witness could not be answered", error)
        finally:
            self._clients.discard(writer)
            with suppress(OSError):
                writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether another one may follow."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            _send(writer, WitnessAnswer(400, "the head of the request is too long\n"), is_last=True)
            return False
        first, *lines = head[:-4].split(b"\r\n")
        match = _LINE.fullmatch(first)
        pairs = [line.decode("latin-1").partition(":") for line in lines]
        fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
        is_last = match is None or match[3] == b"0" or "close" in fields.get("connection", "").lower()
        length = fields.get("content-length", "0" if match is not None and match[1] != b"POST" else "")
        if match is None or len(fields) != len(pairs):
            refused = WitnessAnswer(400, "this is no request of HTTP/1.1\n")
        elif "transfer-encoding" in fields or not length.isascii() or not length.isdigit():
            refused = WitnessAnswer(411, "a request has a Content-Length\n")
        elif len(length) > 9 or int(length) > SUBMISSION_BYTES_MAX:
            refused = WitnessAnswer(413, f"a request has at most {SUBMISSION_BYTES_MAX:,} bytes\n")
        else:
            if fields.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await reader.readexactly(int(length))
            _send(writer, await self._answered(match[1], match[2], body), is_last=is_last)
            return not is_last
        _send(writer, refused, is_last=True)
        return False

    async def _answered(self, method: bytes, path: bytes, body: bytes) -> WitnessAnswer:
        if path != ADD_CHECKPOINT.encode():
            return WitnessAnswer(404, f"a witness has {ADD_CHECKPOINT}, and nothing else\n")
        if method != b"POST":
            return WitnessAnswer(405, "post a checkpoint here\n")
        return await self.witness.add_checkpoint(body)


def _send(writer: asyncio.StreamWriter, answer: WitnessAnswer, *, is_last: bool) -> None:
    body = answer.body.encode()
    writer.write(
        f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}\r\nContent-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(body)}\r\nX-Content-Type-Options: nosniff\r\n"
        f"{'Connection: close' if is_last else 'Connection: keep-alive'}\r\n\r\n".encode()
        + body
    )
