"""The ways to an endpoint: connections of our own, which are kept for the next request; or a proxy, by a library."""

from __future__ import annotations

import asyncio
import importlib
import ssl
import time
from collections.abc import Mapping
from typing import Any

import anyio
import attrs

from hubwire.addresses import Endpoint

from ._wire import Response, Wire

__all__ = ("Direct", "NotConnected", "Proxied", "Timeouts")

_KEEP_ALIVE_SECONDS = 30.0
_CLOSE_SECONDS = 1.0


class NotConnected(ConnectionError):
    """There is no connection to an address; another one may do."""


@attrs.frozen(kw_only=True)
class Timeouts:
    """In seconds: for one delivery in total, and for its phases."""

    total: float
    connect: float
    write: float
    read: float


class Direct:
    """Connections to the addresses of an endpoint."""

    def __init__(self, endpoint: Endpoint, timeouts: Timeouts, tls: ssl.SSLContext) -> None:
        self._endpoint = endpoint
        self._times = timeouts
        self._tls = tls if endpoint.scheme == "https" else None
        self._idle: dict[str, list[Wire]] = {}
        self._is_closed = False

    async def post(self, address: str, headers: Mapping[str, str], body: bytes) -> Exchange:
        """Post a message, and return what was answered. Raises :class:`NotConnected`, and ``ConnectionError``."""
        head = _head(self._endpoint.target, headers, len(body))
        wire = self._kept(address) or await self._connected(address)
        try:
            await wire.send(head + body, self._times.write)
            return Exchange(self, address, wire, await Response.read(wire, self._times.read))
        except BaseException:
            wire.close()
            raise

    def keep(self, address: str, wire: Wire) -> None:
        """Keep a connection for the next request."""
        if self._is_closed:
            wire.close()
            return
        wire.idle_since = time.monotonic()
        self._idle.setdefault(address, []).append(wire)

    async def aclose(self) -> None:
        """Close the connections that are kept; those in use are closed when they are not any more."""
        self._is_closed = True
        wires = [wire for kept in self._idle.values() for wire in kept]
        self._idle.clear()
        for wire in wires:
            wire.close()
        with anyio.move_on_after(_CLOSE_SECONDS):
            for wire in wires:
                await wire.closed()

    def _kept(self, address: str) -> Wire | None:
        """Return a connection that was used before; those that are too old are closed."""
        kept = self._idle.get(address, [])
        while kept:
            wire = kept.pop()
            if wire.is_fresh(_KEEP_ALIVE_SECONDS):
                return wire
            wire.close()
        self._idle.pop(address, None)
        return None

    async def _connected(self, address: str) -> Wire:
        endpoint, loop = self._endpoint, asyncio.get_running_loop()
        name = None if self._tls is None else endpoint.host  # the certificate is that of the name
        try:
            with anyio.fail_after(self._times.connect):
                _, wire = await loop.create_connection(
                    Wire, address, endpoint.port, ssl=self._tls, server_hostname=name
                )
        except TimeoutError as error:
            raise NotConnected(f"no connection within {self._times.connect:g} s") from error
        except OSError as error:
            raise NotConnected(str(error)) from error
        return wire


class Exchange:
    """A request that was answered."""

    def __init__(self, way: Direct, address: str, wire: Wire, response: Response) -> None:
        self.status_code: int = response.status_code
        self.headers: dict[str, str] = response.headers
        self.stream = response.stream
        self._way = way
        self._address = address
        self._wire = wire
        self._response = response

    async def aclose(self) -> None:
        """Keep the connection if all of the answer was read, and else close it."""
        await self.stream.aclose()
        if self._response.is_over:
            self._way.keep(self._address, self._wire)
        else:
            self._wire.close()


class Proxied:
    """An endpoint behind a proxy."""

    def __init__(self, endpoint: Endpoint, timeouts: Timeouts, tls: ssl.SSLContext, proxy: str) -> None:
        engine: Any = importlib.import_module("httpx2")
        limits = engine.Limits(max_connections=None, keepalive_expiry=_KEEP_ALIVE_SECONDS)
        self._engine = engine
        self._endpoint = endpoint
        self._times = timeouts
        self._transport = engine.AsyncHTTPTransport(verify=tls, trust_env=False, limits=limits, proxy=proxy, retries=0)

    async def post(self, address: str, headers: Mapping[str, str], body: bytes) -> Any:
        """As :meth:`Direct.post`, and what the library raises."""
        endpoint, times = self._endpoint, self._times
        host = f"[{address}]" if ":" in address else address
        request = self._engine.Request(
            "POST",
            self._engine.URL(f"{endpoint.scheme}://{host}:{endpoint.port}{endpoint.target}"),
            headers=headers,
            content=body,
            extensions={
                "sni_hostname": endpoint.host,
                "timeout": {"connect": times.connect, "read": times.read, "write": times.write, "pool": times.connect},
                "target": endpoint.target.encode(),  # as it was given, byte by byte
            },
        )
        try:
            return await self._transport.handle_async_request(request)
        except (self._engine.ConnectError, self._engine.ConnectTimeout) as error:
            raise NotConnected(f"{type(error).__name__}: {error}") from error

    async def aclose(self) -> None:
        await self._transport.aclose()


def _head(target: str, headers: Mapping[str, str], length: int) -> bytes:
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    lines.append(f"Content-Length: {length}")
    if not all(line.isascii() and line.isprintable() for line in lines):
        raise ValueError("a header has text that is not printable ASCII of one line")
    return "\r\n".join([*lines, "", ""]).encode()
