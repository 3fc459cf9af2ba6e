"""The connection to the servers of a cluster: questions are asked until there is an answer, and errors have words."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from hubwire.errors import ConfigurationError, StoreError, StoreUnavailable
from hubwire.waking import start_later

try:
    from nats.aio.client import Client
    from nats.errors import Error as NatsError, NoRespondersError
    from nats.js import api
    from nats.js.errors import APIError, NoStreamResponseError, NotFoundError, ServiceUnavailableError
except ImportError as error:  # pragma: no cover - the extra is installed where tests run
    raise ConfigurationError("a journal on JetStream needs nats-py: pip install 'hubwire[nats]'") from error

__all__ = (
    "TRANSIENT",
    "APIError",
    "Connection",
    "NatsError",
    "NotFoundError",
    "ServiceUnavailableError",
    "api",
    "sent_as",
)

T = TypeVar("T")

_VERSION_MIN = (2, 12)
_REQUEST_SECONDS = 2.0
_PAUSE_SECONDS = 0.05
_CLOSING_SECONDS = 2.0
_CLOSINGS_MAX = 20
TRANSIENT = (NoRespondersError, NoStreamResponseError, ServiceUnavailableError, TimeoutError, ConnectionError, OSError)
_DENIED = "permissions violation"
_ASIDE = '"hw._committed.'
"""What is said beside a stream waits for no answer."""
USER = re.compile(r"^([a-z]*://)?.*@", re.DOTALL)
"""Who connects, and the password: up to the last @, as a password may have what an address may not."""
_MARGIN_BYTES = 4096
"""What headers may take of a message."""


class Connection:
    """One connection, which is made anew whenever it breaks; ``name`` is that of a stream."""

    def __init__(self, servers: str, name: str, *, wait_seconds: float, options: dict[str, Any]) -> None:
        self.name = name
        self.servers = [each.strip() for each in servers.split(",")]
        self.wait_seconds = wait_seconds
        self._options = options
        self._connection: Any = None
        self._js: Any = None
        self._broken: asyncio.Future[None] | None = None
        """Done when the connection breaks: what was asked on it is not answered any more."""
        self._error: Exception | None = None
        self._denied: asyncio.Future[str] | None = None
        """Done when the server has told that this user may not ask what is asked; None before the first question."""
        self._is_in_doubt = False
        """Whether another stream of that name may be there now, as on a server whose disk was lost."""
        self.content_max = 0
        """So many bytes a message may have."""

    def __str__(self) -> str:
        shown = ",".join(USER.sub(r"\1…@", each) for each in self.servers)
        return f"the stream {self.name} at {shown}"

    # -- connecting --

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, which may be broken now."""
        return self._connection is not None

    @property
    def reconnects(self) -> int:
        """How often the connection was made anew."""
        return 0 if self._connection is None else int(self._connection.stats["reconnects"])

    async def connect(self) -> None:
        """Connect to servers of which one can be used."""
        self._broken = self._error = self._denied = None
        self._connection = Client()
        try:
            await self._connect()
            self._check_version()
            self._js = self._connection.jetstream(timeout=_REQUEST_SECONDS)
            self.content_max = self._connection.max_payload - _MARGIN_BYTES
            self._check_payload()
        except BaseException:
            await self.aclose()
            raise

    async def _connect(self) -> None:
        try:
            await self._connected(
                self._connection.connect(
                    self.servers,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=_PAUSE_SECONDS,
                    error_cb=self._failed,
                    disconnected_cb=self._disconnected,
                    **{"name": f"hubwire {self.name}", **self._options},
                )
            )
        except (NatsError, OSError, TimeoutError, ValueError, OverflowError) as error:
            found = self._error or error
            raise StoreUnavailable(
                f"no server of {self} could be reached: {type(found).__name__}: {found}. Start one, or give the right"
                " addresses, user and password"
            ) from error
        except (TypeError, AttributeError, LookupError) as error:
            raise ConfigurationError(
                f"{self} cannot be connected with these options: {type(error).__name__}: {error}. They are arguments of"
                " nats.connect, but for those that the journal gives"
            ) from error

    async def _connected(self, connecting: Coroutine[Any, Any, None]) -> None:
        """Connect in a task of its own: before Python 3.12, what nats-py waits with may swallow a cancellation."""
        task = start_later(connecting, name=f"hubwire {self.name}")
        try:
            async with asyncio.timeout(self.wait_seconds):
                await asyncio.wait([task])
            task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=_CLOSING_SECONDS)

    async def _failed(self, error: Exception) -> None:
        """Keep an error of the connection: that nothing could be reached says less."""
        self._error = error
        words = str(error)
        is_asked = "$js." in words or '"hw.' in words.replace(_ASIDE, "")
        if _DENIED in words and is_asked and self._denied is not None and not self._denied.done():
            self._denied.set_result(words)

    async def _disconnected(self) -> None:
        self._is_in_doubt = True
        broken, self._broken = self._broken, None
        if broken is not None and not broken.done():
            broken.set_result(None)

    async def _answer(self, question: Coroutine[Any, Any, T]) -> T:
        """Ask; raise :class:`ConnectionError` at once when the connection breaks: nats-py would go on to wait.

        What the user of the connection may not ask has no answer either: then raise
        :class:`~hubwire.errors.StoreError`.
        """
        loop = asyncio.get_running_loop()
        if self._broken is None:
            self._broken = loop.create_future()
        if self._denied is None or self._denied.done():
            self._denied = loop.create_future()
        asking, denied = start_later(question, name=f"hubwire {self.name}"), self._denied
        try:
            waited: set[asyncio.Future[Any]] = {asking, self._broken, denied}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                return asking.result()
            if denied.done():
                raise StoreError(
                    f"{self} cannot be used by this user: {denied.result()}. Give it the permissions that a journal"
                    " needs, which the guide 'Operate NATS for a journal' lists"
                )
            raise ConnectionError("the connection broke before there was an answer")
        finally:
            asking.cancel()

    def _check_version(self) -> None:
        version = self._connection.connected_server_version
        if (version.major, version.minor) < _VERSION_MIN:
            raise ConfigurationError(
                f"the server of {self} is nats-server {version.major}.{version.minor}: versions below"
                f" {'.'.join(map(str, _VERSION_MIN))} acknowledge appends that they then lose; use a newer one"
            )

    def _check_payload(self) -> None:
        if self.content_max < _MARGIN_BYTES:
            raise ConfigurationError(
                f"the server of {self} takes messages of up to {self._connection.max_payload} bytes: too few for"
                f" events and what is said of them. Set max_payload to {2 * _MARGIN_BYTES} or more; 1MB is its default"
            )

    async def aclose(self) -> None:
        """Close the connection; nothing that is under way is waited for."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        closing = start_later(closed(connection), name=f"hubwire {self.name}")
        try:
            await asyncio.wait([closing], timeout=_CLOSING_SECONDS)
        finally:
            if not closing.done():
                abort(connection)
                closing.cancel()

    # -- what is not stored --

    async def say(self, subject: str, content: bytes) -> None:
        """Say what is not stored to those who listen now. What cannot be said is lost."""
        try:
            if self._connection is not None:
                await self._connection.publish(subject, content)
        except (NatsError, OSError):
            return

    async def listen(self, subject: str, called: Callable[[Any], Awaitable[None]]) -> Any:
        """Have each message that is sent to a subject given to a function, in order; return the subscription."""
        return await self._told(lambda: self._connection.subscribe(subject, cb=called))

    async def leave(self, subscription: Any) -> None:
        """Have no more messages of a subscription."""
        try:
            await subscription.unsubscribe()
        except (NatsError, OSError):
            return

    def inbox(self) -> str:
        """Return a subject that no other program uses."""
        return str(self._connection.new_inbox())

    # -- asking --

    async def _told(self, ask: Callable[[], Coroutine[Any, Any, T]], *, is_optional: bool = False) -> T:
        """Ask, as below. Raises :class:`~hubwire.errors.StoreError` if it is refused; what is not there may be so."""
        try:
            return await self._patiently(ask)
        except APIError as error:
            if is_optional and isinstance(error, NotFoundError):
                raise
            raise self._refused_request(error) from error

    def _refused_request(self, error: APIError) -> StoreError:
        return StoreError(
            f"{self} refused a request: {error.description} (NATS error {error.err_code}); see that it is there, and"
            " what this user may do with it"
        )

    async def _patiently(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Ask until there is an answer. Raises :class:`~hubwire.errors.StoreUnavailable` when the time is over."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.wait_seconds
        while True:
            if self._connection is None:
                raise StoreError(f"{self} is closed")
            try:
                return await self._answer(ask())
            except APIError as error:
                if not isinstance(error, ServiceUnavailableError):
                    raise
                failure: Exception = error
            except (*TRANSIENT, NatsError) as error:
                failure = error
            if loop.time() > end:
                raise StoreUnavailable(
                    f"{self} has not answered for {self.wait_seconds:g} seconds"
                    f" ({type(failure).__name__}: {failure}); see that most of its servers run"
                ) from failure
            await asyncio.sleep(_PAUSE_SECONDS)


def sent_as(message: Any) -> tuple[int, int]:
    """Return the number of a message among those that a consumer has sent, and its place; zeros for another one."""
    try:
        sequence = message.metadata.sequence
        return int(sequence.consumer), int(sequence.stream)
    except (NatsError, ValueError, LookupError):
        return 0, 0


async def closed(connection: Any) -> None:
    """Close a connection, also one that breaks meanwhile, or is being made anew: nats-py then leaves its tasks."""
    for _ in range(_CLOSINGS_MAX):
        try:
            await connection.close()
        except (NatsError, OSError, AssertionError):  # the last: it was never connected
            pass
        tasks = _tasks_of(connection)
        for task in tasks:
            task.cancel()
        if tasks:  # before Python 3.12, what it waits with may swallow a cancellation
            await asyncio.wait(tasks, timeout=_PAUSE_SECONDS)
        if connection.is_closed and not _tasks_of(connection):
            return


def _tasks_of(connection: Any) -> list[asyncio.Task[Any]]:
    """Return the tasks of a connection that go on."""
    names = ("_reconnection_task", "_reading_task", "_flusher_task", "_ping_interval_task")
    tasks = [getattr(connection, name, None) for name in names]
    tasks += [getattr(each, "_wait_for_msgs_task", None) for each in getattr(connection, "_subs", {}).values()]
    return [task for task in tasks if task is not None and not task.done()]


def abort(connection: Any) -> None:
    """Give up a connection whose other end takes nothing: nats-py would wait until that has taken all."""
    writer = getattr(getattr(connection, "_transport", None), "_io_writer", None)
    if writer is not None:
        writer.transport.abort()
    for task in _tasks_of(connection):
        task.cancel()
