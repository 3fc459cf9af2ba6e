"""One request of HTTP/1.1 to a witness, or a timestamping authority, and what is answered, within its bounds.

It follows no redirect, asks no proxy and keeps no connection: who is asked is who was named, and what is read has a
size and an end.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import anyio
import attrs

from .._values import Value
from ..errors import ConfigurationError

__all__ = ("Address", "Answer", "NoAnswer", "address_of", "post")

_URL_CHARS_MAX = 2000
_URL = re.compile(r"[!-~]+", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}", re.ASCII)
_HEAD_BYTES_MAX = 16 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: .*)?")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?")
_PORTS = {"https": 443, "http": 80}


class NoAnswer(Exception):
    """There was no answer, or none within its bounds; its text goes on from who was asked."""


@attrs.frozen(eq=False, repr=False)
class Address(Value):
    """Where to send a request."""

    scheme: str
    host: str
    port: int
    path: str
    """The path, without a slash at its end."""

    @property
    def origin(self) -> str:
        """Scheme, host and port, for people."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """Host and port, as the header ``Host`` has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


@attrs.frozen(eq=False, repr=False)
class Answer(Value):
    """What was answered."""

    status: int
    content_type: str
    """In lower case, without parameters."""
    body: bytes


def address_of(call: str, url: object) -> Address:
    """Return the parts of a URL. Raises :class:`~hubwire.errors.ConfigurationError`: errors never show its password."""
    refused = ConfigurationError(
        f"{call}: url is one such as https://witness.example.org/w, without a user, a query or a fragment"
    )
    if type(url) is not str or not 0 < len(url) <= _URL_CHARS_MAX or not _URL.fullmatch(url):
        raise refused
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise refused from error
    if parts.scheme not in _PORTS or not host or not _HOST.fullmatch(host) or port == 0:
        raise refused
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise refused
    return Address(parts.scheme, host, port or _PORTS[parts.scheme], parts.path.rstrip("/"))


async def post(
    address: Address, path: str, body: bytes, *, content_type: str, seconds: float, bytes_max: int, ssl: Any = None
) -> Answer:
    """Send a request, and return what is answered, whatever its status.

    Raises :class:`NoAnswer`, which says what happened: there was no answer within so many seconds, all in all, or
    none of at most so many bytes.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _exchanged(address, path, body, content_type, bytes_max, ssl)
    except TimeoutError as error:
        raise NoAnswer(f"has not answered within {seconds:g} seconds") from error
    except NoAnswer:
        raise
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        said = getattr(error, "strerror", None) or f"{error!s:.200}" or type(error).__name__
        raise NoAnswer(f"cannot be reached: {said}") from error


async def _exchanged(address: Address, path: str, body: bytes, content_type: str, bytes_max: int, ssl: Any) -> Answer:
    secured = {}
    if address.scheme == "https":
        secured = {"ssl": ssl if ssl is not None else await anyio.to_thread.run_sync(_certified)}
    reader, writer = await asyncio.open_connection(address.host, address.port, limit=_HEAD_BYTES_MAX, **secured)
    try:
        writer.write(
            b"POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: hubwire\r\nAccept-Encoding: identity\r\nContent-Type: %s\r\n"
            b"Content-Length: %d\r\nConnection: close\r\n\r\n"
            % ((address.path + path).encode(), address.authority.encode(), content_type.encode(), len(body))
            + body
        )
        with suppress(ConnectionError):  # it may have answered, and closed, before it took all
            await writer.drain()
        status, fields = await _head(reader)
        kind = fields.get("content-type", "").partition(";")[0].strip().lower()
        return Answer(status, kind, await _body(reader, status, fields, bytes_max))
    finally:
        writer.transport.abort()


@cache
def _certified() -> Any:
    """Return what checks certificates by the authorities of the system. Reading those would hold up the loop."""
    from ssl import create_default_context  # noqa: PLC0415 - not every program speaks TLS

    return create_default_context()


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    for _ in range(10):  # answers 1xx may stand before
        head = await _until(reader, b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        match = _STATUS.fullmatch(first)
        if match is None:
            raise NoAnswer(f"has answered what is no HTTP: {first[:80]!r}")
        status = int(match[1])
        if status >= 200:
            pairs = (line.decode("latin-1").partition(":") for line in lines)
            return status, {name.strip().lower(): value.strip() for name, _, value in pairs}
    raise NoAnswer("has answered without an end")


async def _until(reader: asyncio.StreamReader, end: bytes) -> bytes:
    try:
        return await reader.readuntil(end)
    except asyncio.LimitOverrunError as error:
        raise NoAnswer("has answered with a line, or a head, that is too long") from error
    except asyncio.IncompleteReadError as error:
        raise NoAnswer("has ended the connection without an answer") from error


async def _body(reader: asyncio.StreamReader, status: int, fields: dict[str, str], bytes_max: int) -> bytes:
    if status in (204, 304):
        return b""
    if fields.get("transfer-encoding", "").lower() == "chunked":
        return await _chunks(reader, bytes_max)
    length = fields.get("content-length")
    if length is not None and (not length.isascii() or not length.isdigit() or len(length) > 15):
        raise NoAnswer("has answered with a length that is none")
    wanted = None if length is None else int(length)
    if wanted is not None and wanted > bytes_max:
        raise NoAnswer(f"has answered with more than {bytes_max:,} bytes")
    body = bytearray()
    while wanted is None or len(body) < wanted:
        part = await reader.read((bytes_max + 1 if wanted is None else wanted) - len(body))
        if not part:
            break
        body += part
        if len(body) > bytes_max:
            raise NoAnswer(f"has answered with more than {bytes_max:,} bytes")
    if wanted is not None and len(body) < wanted:
        raise NoAnswer("has ended the connection in the middle of its answer")
    return bytes(body)


async def _chunks(reader: asyncio.StreamReader, bytes_max: int) -> bytes:
    body = bytearray()
    while True:
        match = _CHUNK.fullmatch((await _until(reader, b"\r\n"))[:-2])
        if match is None:
            raise NoAnswer("has answered with a part without a size")
        size = int(match[1], 16)
        if not size:
            return bytes(body)  # fields behind the body are not read: the connection is over
        if len(body) + size > bytes_max:
            raise NoAnswer(f"has answered with more than {bytes_max:,} bytes")
        body += (await reader.readexactly(size + 2))[:-2]
