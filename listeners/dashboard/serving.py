"""Serving a dashboard from within a program: uvicorn without its signals, which stops at once."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import anyio

from hubwire.errors import ConfigurationError
from hubwire.waking import start_later

from .access import Access

__all__ = ("Served", "Serving", "is_loopback")

_CALL = "dashboard.serve()"
_HEADER_BYTES_MAX = 64 * 1024
_CONNECTIONS_MAX = 2000
_STOP_SECONDS = 5.0
_REQUEST_SECONDS = 15.0
"""How long a request may take from its beginning, the first from that of its connection, until it is there."""


class Served(Protocol):
    """What is served: a dashboard."""

    @property
    def access(self) -> Access: ...
    def add_host(self, name: str) -> None: ...
    def end_streams(self) -> None: ...
    def note_malformed(self) -> None: ...
    async def aclose(self) -> None: ...
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class Serving:
    """Serves a dashboard while its block runs; the value of the block is the address to open."""

    def __init__(
        self,
        dashboard: Served,
        *,
        host: str = "127.0.0.1",
        port: int = 8765,
        certfile: str | Path | None = None,
        keyfile: str | Path | None = None,
        insecure: bool = False,
    ) -> None:
        """As :meth:`hubwire.listeners.dashboard.Dashboard.serve` has them."""
        if type(host) is not str or not host or len(host) > 255 or not host.isprintable():
            raise ConfigurationError(f"{_CALL}: host is the name or the address to listen at, as '127.0.0.1'")
        if type(port) is not int or not 0 <= port <= 65_535:
            raise ConfigurationError(f"{_CALL}: port is a whole number from 0, for a free one, to 65,535")
        if (certfile is None) is not (keyfile is None):
            raise ConfigurationError(f"{_CALL}: give certfile and keyfile, or neither")
        if type(insecure) is not bool:
            raise ConfigurationError(f"{_CALL}: insecure is True or False")
        if certfile is None and not insecure and not is_loopback(host):
            raise ConfigurationError(
                f"{_CALL}: beyond this machine, at {host!r}, tokens and events could be read on the way; give certfile"
                " and keyfile for https, or insecure=True if a proxy in front of it, or a private network, sees to that"
            )
        self._dashboard = dashboard
        self._host = host
        self._port = port
        self._certificate = None if certfile is None or keyfile is None else (str(certfile), str(keyfile))
        self._server: Any = None
        self._task: asyncio.Task[None] | None = None
        self.address: str = ""
        """Where it is served, without a token: ``http://127.0.0.1:8765/``."""

    def __repr__(self) -> str:
        return f"<Serving {self.address or 'not begun'}>"  # the URL has a token

    @property
    def url(self) -> str:
        """What a person opens: the address, and the token if one was made."""
        token = self._dashboard.access.made_token
        return f"{self.address}#token={token}" if token else self.address

    async def __aenter__(self) -> str:
        if self._server is not None:
            raise ConfigurationError(f"{_CALL}: this one is serving; call dashboard.serve() for each block")
        await self._dashboard.access.ended.open()
        # Importing the server, looking up the host and reading certificates would hold up the loop.
        self._server, bound, tls = await anyio.to_thread.run_sync(self._prepared)
        scheme = "http" if tls is None else "https"
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.address = f"{scheme}://{host}:{bound.getsockname()[1]}/"
        if not _is_any(self._host):
            self._dashboard.add_host(self._host)
        self._task = start_later(self._server.serve(sockets=[bound]), name="hubwire dashboard server")
        while not self._server.started:
            if self._task.done():
                bound.close()
                self._task.result()
                raise ConfigurationError(f"{_CALL}: the server did not start at {self.address}")
            await asyncio.sleep(0.005)
        return self.url

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task, server = self._task, self._server
        assert task is not None
        assert server is not None
        server.should_exit = True
        self._dashboard.end_streams()
        # The caller's own cancellation waits: connections and the socket are closed in any case, and that is quick.
        with anyio.CancelScope(shield=True):
            _, going = await asyncio.wait([task], timeout=_STOP_SECONDS)
            if going:
                task.cancel()
                await asyncio.wait([task])
            self._server = self._task = None
            await self._dashboard.aclose()
        if not task.cancelled():
            task.result()

    async def wait(self) -> None:
        """Return when the server has ended by itself: it failed. Within the block."""
        if self._task is not None:
            await asyncio.shield(self._task)

    def _prepared(self) -> tuple[Any, socket.socket, ssl.SSLContext | None]:
        uvicorn = _uvicorn()
        tls = self._tls()
        bound = self._bound()
        try:
            config = _config(uvicorn, self._dashboard, tls)
            config.load()
            return _server_class(uvicorn)(config), bound, tls
        except BaseException:
            bound.close()
            raise

    def _bound(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            bound = socket.create_server((self._host, self._port), family=family, backlog=256)
        except (OSError, UnicodeError) as error:
            raise ConfigurationError(
                f"{_CALL}: {self._host} port {self._port} cannot be listened at: {_reason(error)}; take another port,"
                " or port=0 for a free one"
            ) from error
        # Accepted connections inherit it: without, each answer waits 40 ms for the client to acknowledge its headers.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return bound

    def _tls(self) -> ssl.SSLContext | None:
        if self._certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(*self._certificate)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"{_CALL}: certfile {self._certificate[0]} and keyfile {self._certificate[1]} cannot be used: {error}"
            ) from error
        return context


def _reason(error: OSError | UnicodeError) -> str:
    """Say why in the words of the system alone: what asyncio and socket add is said already."""
    number = getattr(error, "errno", None)
    is_of_names = isinstance(error, socket.gaierror)  # their numbers are others
    return os.strerror(number) if number is not None and not is_of_names else str(error)


def is_loopback(host: str) -> bool:
    """Tell whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_any(host: str) -> bool:
    """Tell whether an address stands for all of the machine's."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _uvicorn() -> Any:
    try:
        import uvicorn  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            f"{_CALL}: it needs the package uvicorn; install it by: pip install 'hubwire[web]'"
        ) from error
    return uvicorn


def _config(uvicorn: Any, app: Served, tls: ssl.SSLContext | None) -> Any:
    return uvicorn.Config(
        app,
        http=_protocol_class(app.note_malformed),
        ws="none",
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # who asks is told by the connection: what a client says of itself proves nothing
        server_header=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=_HEADER_BYTES_MAX,
        ssl_context_factory=None if tls is None else (lambda _config, _default: tls),
    )


def _server_class(uvicorn: Any) -> Any:
    class Server(uvicorn.Server):  # type: ignore[misc]
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Signals are the program's."""
            yield

    return Server


class _Quiet:
    """The logger of uvicorn, but for its warnings: each is about what a stranger has sent, and no one can mend that."""

    def __init__(self, logger: Any, note: Callable[[], None]) -> None:
        self._logger = logger
        self._note = note

    def warning(self, message: str, *_: Any) -> None:
        """Count it, instead of a line for each that a stranger can have as many of as he likes."""
        if not message.startswith(_MORE):
            self._note()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)


_MORE = "No supported WebSocket"
"""How a second warning about the same request begins."""


def _protocol_class(note_malformed: Callable[[], None]) -> Any:
    from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: PLC0415 - an extra

    from ._stream import ABORT  # noqa: PLC0415 - an extra

    class Protocol(H11Protocol):
        """A connection that is closed where there are too many, or a request does not come to its end."""

        _waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            quiet: Any = _Quiet(self.logger, note_malformed)
            self.logger = quiet
            super().connection_made(transport)
            if len(self.connections) > _CONNECTIONS_MAX:
                transport.abort()
                return
            inner = self.app

            async def app(scope: Any, receive: Any, send: Any) -> None:
                await inner({**scope, ABORT: transport.abort}, receive, send)

            self.app = app
            self._wait()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                self._wait_for_rest()
            else:
                self._stop_waiting()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.cycle.response_complete:
                self._wait_for_rest()

        def _wait_for_rest(self) -> None:
            """Wait for the end of a request that has begun to come."""
            if self._waiting is None and self.conn.trailing_data[0]:
                self._wait()

        def _wait(self) -> None:
            self._waiting = self.loop.call_later(_REQUEST_SECONDS, self.transport.abort)

        def _stop_waiting(self) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

    return Protocol
