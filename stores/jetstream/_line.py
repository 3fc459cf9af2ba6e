"""A connection for requests and replies: with :mod:`._connection` and what is on it, all use of nats-py."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from hubwire.errors import ConfigurationError
from hubwire.waking import start_later

from ._connection import USER, abort, closed

try:
    from nats.aio.client import Client
    from nats.errors import Error as NatsError, NoRespondersError
except ImportError as error:  # pragma: no cover - the extra is installed where tests run
    raise ConfigurationError("a link over NATS needs nats-py: pip install 'hubwire[nats]'") from error

__all__ = ("Line",)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_BYTES_MAX = 1024 * 1024
_MARGIN_BYTES = 1024
_PAUSE_SECONDS = 0.05
_CLOSING_SECONDS = 2.0

Reply = Callable[[bytes], Awaitable[None]]


class Line:
    """One connection, made when it is needed, and one subject on it."""

    def __init__(
        self, call: str, servers: str, name: str, subject: str, wait_seconds: float, options: dict[str, Any]
    ) -> None:
        if type(servers) is not str or not servers.strip(" ,"):
            raise ConfigurationError(f"{call}: servers are addresses, as 'nats://n1:4222,nats://n2:4222'")
        if type(name) is not str or not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"{call}: name is that of the journal: letters, digits, _ and -, at most 128, not {name!r:.140}"
            )
        if type(wait_seconds) not in (int, float) or not 0 < wait_seconds < float("inf"):
            raise ConfigurationError(f"{call}: wait_seconds is a number above 0, not {wait_seconds!r:.60}")
        self.bytes_max = _BYTES_MAX - _MARGIN_BYTES
        self._servers = [each.strip() for each in servers.split(",")]
        self._name = name
        self._subject = subject
        self._wait_seconds = float(wait_seconds)
        self._options = options
        self._connection: Any = None
        self._connecting: asyncio.Task[Any] | None = None
        self._broken: asyncio.Future[None] | None = None
        """Done when the connection breaks: what was asked on it is not answered any more."""

    def __str__(self) -> str:
        shown = ",".join(USER.sub(r"\1…@", each) for each in self._servers)
        return f"{self._subject} at {shown}"

    async def connected(self) -> None:
        """Return when there is a connection. Raises ``ConnectionError`` if no server is reached."""
        if self._connection is None:
            if self._connecting is None:
                self._connecting = start_later(self._connect(), name=f"hubwire connecting {self._name}")
                self._connecting.add_done_callback(self._ended_connecting)
            # Shielded: others wait for it, too.
            await asyncio.shield(self._connecting)
        elif not self._connection.is_connected:
            raise ConnectionError(f"the connection to the servers of {self} is broken, and is being made anew")

    def _ended_connecting(self, task: asyncio.Task[Any]) -> None:
        self._connecting = None
        if not task.cancelled() and task.exception() is None:
            self._connection = task.result()

    async def _connect(self) -> Any:
        connection: Any = Client()
        try:
            async with asyncio.timeout(self._wait_seconds):
                await connection.connect(
                    self._servers,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=_PAUSE_SECONDS,
                    error_cb=_failed,
                    disconnected_cb=self._disconnected,
                    **{"name": f"hubwire commands {self._name}", **self._options},
                )
        except BaseException as error:
            await _given_up(connection)
            if isinstance(error, (NatsError, OSError, TimeoutError, ValueError, OverflowError)):
                raise ConnectionError(
                    f"no server of {self} could be reached: {type(error).__name__}: {error}"
                ) from error
            if isinstance(error, (TypeError, AttributeError, LookupError)):
                raise ConfigurationError(
                    f"{self} cannot be connected with these options: {type(error).__name__}: {error}. They are"
                    " arguments of nats.connect"
                ) from error
            raise
        self.bytes_max = connection.max_payload - _MARGIN_BYTES
        return connection

    async def _disconnected(self) -> None:
        broken, self._broken = self._broken, None
        if broken is not None and not broken.done():
            broken.set_result(None)

    async def request(self, body: bytes, seconds: float) -> bytes:
        """Ask, and return the first answer."""
        if self._broken is None:
            self._broken = asyncio.get_running_loop().create_future()
        asking = start_later(self._connection.request(self._subject, body, timeout=seconds), name="hubwire request")
        try:
            waited: set[asyncio.Future[Any]] = {asking, self._broken}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise ConnectionError("the connection broke before there was an answer")
            return bytes(asking.result().data)
        except NoRespondersError as error:
            raise ConnectionRefusedError("no hub serves") from error
        except (TimeoutError, OSError):
            raise
        except NatsError as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error
        finally:
            asking.cancel()

    async def subscribe(self, taken: Callable[[bytes, Reply], None]) -> Any:
        """Call ``taken`` with each request, and with what answers it."""

        async def arrived(message: Any) -> None:
            async def reply(body: bytes) -> None:
                try:
                    await message.respond(body)
                except (NatsError, OSError):
                    return  # it is asked again

            if message.reply:
                taken(bytes(message.data), reply)

        try:
            return await self._connection.subscribe(self._subject, cb=arrived)
        except NatsError as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error

    async def publish(self, body: bytes) -> None:
        """Say it to all that listen; there is no answer."""
        try:
            await self._connection.publish(self._subject, body)
        except NatsError as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error

    async def listen(self, taken: Callable[[bytes], None]) -> Any:
        """Call ``taken`` with all that is said."""

        async def arrived(message: Any) -> None:
            taken(bytes(message.data))

        try:
            return await self._connection.subscribe(self._subject, cb=arrived)
        except NatsError as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error

    async def unsubscribe(self, subscription: Any) -> None:
        """Take no more requests."""
        try:
            await subscription.unsubscribe()
        except (NatsError, OSError):
            return

    async def aclose(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if self._connecting is not None:
            self._connecting.cancel()
        if connection is not None:
            await _given_up(connection)


async def _failed(error: Exception) -> None:
    """Say nothing: a request that fails says it, and a connection is made anew."""


async def _given_up(connection: Any) -> None:
    closing = start_later(closed(connection), name="hubwire closing a connection")
    try:
        await asyncio.wait([closing], timeout=_CLOSING_SECONDS)
    finally:
        if not closing.done():
            abort(connection)
            closing.cancel()
