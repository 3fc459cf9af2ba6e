"""All use of nats-py: a stream of JetStream, with what a journal asks of it, and errors in words.

What no server answers is asked again, until it does or the time is over: a server may die, and its cluster goes on in
seconds. An answer that was lost is settled by who knows what was written: see :class:`~.journal.JetStreamJournal`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from hubwire.errors import ConfigurationError, LogDamaged, StoreError, StoreFull, StoreUnavailable
from hubwire.waking import start_later

try:
    from nats.aio.client import Client
    from nats.errors import Error as NatsError, NoRespondersError
    from nats.js import api
    from nats.js.errors import APIError, NoStreamResponseError, NotFoundError, ServiceUnavailableError
except ImportError as error:  # pragma: no cover - the extra is installed where tests run
    raise ConfigurationError("a journal on JetStream needs nats-py: pip install 'hubwire[nats]'") from error

__all__ = ("Missing", "Refused", "Stored", "Stream", "Unsettled")

T = TypeVar("T")

_VERSION_MIN = (2, 12)
_REQUEST_SECONDS = 2.0
_PAUSE_SECONDS = 0.05
_PULL_MESSAGES = 64
_CLOSING_SECONDS = 2.0
_SILENT_SECONDS = 2.0
"""After so long a reader that hears nothing is made anew: nats-py needs 18 seconds to find that its server has died."""
_WRONG_LAST = frozenset({10071, 10164})
"""The second: another message of the subject is on its way to the replicas."""
_FULL = frozenset({10023, 10037, 10047, 10077, 10122})
"""Codes of errors by which a server refuses a message for want of room."""
_TRANSIENT = (NoRespondersError, NoStreamResponseError, ServiceUnavailableError, TimeoutError, ConnectionError, OSError)
_USER = re.compile(r"^([a-z]*://)?.*@", re.DOTALL)
"""Who connects, and the password: up to the last @, as a password may have what an address may not."""
_MARGIN_BYTES = 4096
"""What headers may take of a message."""


class Refused(Exception):
    """The last message of the subject is another one than was expected; nothing was stored by this attempt."""


class Unsettled(Exception):
    """No server has answered: whether the message is stored is not known."""


class Missing(Unsettled):
    """There is no such stream now: it was deleted, or the servers are not ready yet."""


class Stored:
    """A message as a server has it."""

    __slots__ = ("content", "headers", "place", "subject")

    def __init__(self, place: int, subject: str, headers: dict[str, str] | None, content: bytes) -> None:
        self.place = place
        self.subject = subject
        self.headers = headers
        self.content = content


class Stream:
    """One stream on a cluster."""

    def __init__(
        self, servers: str, name: str, subjects: str, *, replicas: int, wait_seconds: float, options: dict[str, Any]
    ) -> None:
        self.name = name
        self.servers = [each.strip() for each in servers.split(",")]
        self._subjects = subjects
        self._replicas = replicas
        self._wait_seconds = wait_seconds
        self._options = options
        self._connection: Any = None
        self._js: Any = None
        self._broken: asyncio.Future[None] | None = None
        """Done when the connection breaks: what was asked on it is not answered any more."""
        self._error: Exception | None = None
        self._created: object = None
        self._is_in_doubt = False
        """Whether another stream of that name may be there now, as on a server whose disk was lost."""
        self.content_max = 0
        """So many bytes a message may have."""

    def __str__(self) -> str:
        shown = ",".join(_USER.sub(r"\1…@", each) for each in self.servers)
        return f"the stream {self.name} at {shown}"

    # -- connecting --

    async def open(self) -> None:
        """Connect, and make the stream if it is not there; see that it is one to which a journal can be trusted."""
        if self._connection is not None:
            raise StoreError(f"{self} is open already; close it first, or make another journal object")
        self._broken = self._error = None
        self._connection = Client()
        try:
            await self._connect()
            self._check_version()
            self._js = self._connection.jetstream(timeout=_REQUEST_SECONDS)
            self.content_max = self._connection.max_payload - _MARGIN_BYTES
            self._check_payload()
            info = await self._made()
            self._check(info)
            self._created, self._is_in_doubt = info.created, False
        except BaseException:
            await self.aclose()
            raise

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._connection.connect(
                    self.servers,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=_PAUSE_SECONDS,
                    error_cb=self._failed,
                    disconnected_cb=self._disconnected,
                    **{"name": f"hubwire {self.name}", **self._options},
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

    async def _failed(self, error: Exception) -> None:
        """Keep an error of the connection: that nothing could be reached says less."""
        self._error = error

    async def _disconnected(self) -> None:
        self._is_in_doubt = True
        broken, self._broken = self._broken, None
        if broken is not None and not broken.done():
            broken.set_result(None)

    async def _answer(self, question: Coroutine[Any, Any, T]) -> T:
        """Ask; raise :class:`ConnectionError` at once when the connection breaks: nats-py would go on to wait."""
        if self._broken is None:
            self._broken = asyncio.get_running_loop().create_future()
        asking = start_later(question, name=f"hubwire {self.name}")
        try:
            waited: set[asyncio.Future[Any]] = {asking, self._broken}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise ConnectionError("the connection broke before there was an answer")
            return asking.result()
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

    async def _made(self) -> Any:
        wanted = api.StreamConfig(
            name=self.name,
            subjects=[self._subjects],
            retention=api.RetentionPolicy.LIMITS,
            discard=api.DiscardPolicy.NEW,
            storage=api.StorageType.FILE,
            num_replicas=self._replicas,
            deny_delete=True,
            allow_direct=False,
        )

        async def found_or_made() -> Any:
            try:
                return await self._js.stream_info(self.name)
            except NotFoundError:
                return await self._js.add_stream(wanted)

        try:
            return await self._patiently(found_or_made)
        except APIError as error:
            raise ConfigurationError(
                f"{self} could not be made: {error.description}. A cluster of three servers with JetStream keeps"
                " three replicas; for one server, say single_server=True"
            ) from error

    def _check(self, info: Any) -> None:
        config = info.config
        faults = {
            "discards old messages when it is full (discard: old)": config.discard != api.DiscardPolicy.NEW,
            f"has {config.num_replicas} replicas": (config.num_replicas or 1) < self._replicas,
            "answers reads from any replica (allow_direct)": bool(config.allow_direct),
            "is kept in memory (storage: memory)": config.storage != api.StorageType.FILE,
            "drops messages by age (max_age)": bool(config.max_age),
            "keeps so many messages of a subject (max_msgs_per_subject)": config.max_msgs_per_subject > 0,
            "is not retained by limits": config.retention != api.RetentionPolicy.LIMITS,
            f"has other subjects ({config.subjects!r:.120})": config.subjects != [self._subjects],
        }
        if found := [fault for fault, is_there in faults.items() if is_there]:
            raise ConfigurationError(
                f"{self} {' and '.join(found)}: a journal there could lose events. Let hubwire make the stream, under"
                " another name, or change it"
            )

    async def aclose(self) -> None:
        """Close the connection; nothing that is under way is waited for."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        closing = start_later(_closed(connection), name=f"hubwire {self.name}")
        try:
            await asyncio.wait([closing], timeout=_CLOSING_SECONDS)
        finally:
            if not closing.done():
                _abort(connection)
                closing.cancel()

    # -- writing --

    async def publish(self, subject: str, content: bytes, headers: dict[str, str], last: int, of: str) -> int:
        """Store a message if the last one of the subject ``of`` is still ``last``; return its place.

        Raises :class:`Refused`, :class:`Unsettled`, and :class:`~hubwire.errors.StoreFull` if nothing was stored for
        want of room.
        """
        fenced = {"Nats-Expected-Last-Subject-Sequence": str(last)}
        if of != subject:
            fenced["Nats-Expected-Last-Subject-Sequence-Subject"] = of
        try:
            if self._is_in_doubt:
                await self.check_is_same()
            ack = await self._answer(
                self._js.publish(subject, content, stream=self.name, headers={**headers, **fenced})
            )
        except APIError as error:
            raise self._refusal(error) from error
        except (*_TRANSIENT, NatsError) as error:
            self._is_in_doubt = True
            raise Unsettled(f"{type(error).__name__}: {error}") from error
        return int(ack.seq)

    async def check_is_same(self) -> None:
        """Ask once whether this is the stream that was opened, if there is one.

        Places of another one would be taken for those of this. Raises :class:`~hubwire.errors.LogDamaged`.
        """
        try:
            info = await self._answer(self._js.stream_info(self.name))
        except NotFoundError as error:
            raise Missing("there is no such stream now") from error
        if info.created != self._created:
            raise LogDamaged(
                f"{self} is another one than was opened: it was made anew at {info.created}, and what it had is lost."
                " Nothing was appended; restore the stream from a copy",
                path=self.name,
            )
        self._is_in_doubt = False

    def _refusal(self, error: APIError) -> Exception:
        if error.err_code in _WRONG_LAST:
            return Refused(error.description)
        if error.err_code in _FULL:
            return StoreFull(
                f"{self} takes no more messages: {error.description}. Give it more room, or its servers; the hub goes"
                " on when there is some"
            )
        if isinstance(error, ServiceUnavailableError):
            return Unsettled(str(error.description))
        return StoreError(f"{self} refused a message: {error.description} (NATS error {error.err_code})")

    async def purge(self, subject: str, *, before: int | None = None, keep: int | None = None) -> None:
        """Delete the messages of a subject before a place, or all but so many."""
        await self._told(lambda: self._js.purge_stream(self.name, seq=before, subject=subject, keep=keep))

    # -- reading, from the leader of the stream: a replica may be behind --

    async def last(self, subject: str) -> Stored | None:
        """Return the last message of a subject."""
        return await self._message(lambda: self._js.get_msg(self.name, subject=subject))

    async def at_or_after(self, place: int, subject: str) -> Stored | None:
        """Return the first message of a subject from a place on."""
        return await self._message(lambda: self._js.get_msg(self.name, seq=max(place, 1), subject=subject, next=True))

    async def subjects(self, pattern: str) -> list[str]:
        """Return the subjects that have messages."""
        info = await self._told(lambda: self._js.stream_info(self.name, subjects_filter=pattern))
        return sorted(info.state.subjects or {})

    async def size_bytes(self) -> int:
        """Return the size of all messages."""
        info = await self._told(lambda: self._js.stream_info(self.name))
        return int(info.state.bytes)

    async def _message(self, ask: Callable[[], Coroutine[Any, Any, Any]]) -> Stored | None:
        try:
            found = await self._told(ask, is_optional=True)
        except NotFoundError:
            return None
        return Stored(int(found.seq), found.subject, found.headers, found.data or b"")

    async def read(self, subject: str, begin: int, end: int) -> AsyncIterator[Stored]:
        """Iterate over the messages of a subject with places from ``begin`` up to ``end``, in order."""
        place = begin
        while place <= end:
            pull = await self._told(partial(self._pull, subject, place))
            try:
                while place <= end:
                    try:
                        messages = await pull.fetch(_PULL_MESSAGES, timeout=_SILENT_SECONDS)
                    except (*_TRANSIENT, NatsError):
                        if (await self.at_or_after(place, subject)) is None:
                            return
                        break
                    for message in messages:
                        found = message.metadata.sequence.stream
                        if place <= found <= end:
                            yield Stored(found, message.subject, message.headers, message.data)
                        place = max(place, found + 1)
            finally:
                await _ended(pull)

    async def _pull(self, subject: str, begin: int) -> Any:
        config = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=max(begin, 1),
            ack_policy=api.AckPolicy.NONE,
            inactive_threshold=60.0,
            num_replicas=1,
            mem_storage=True,
        )
        return await self._js.pull_subscribe(subject, stream=self.name, config=config)

    async def _told(self, ask: Callable[[], Coroutine[Any, Any, T]], *, is_optional: bool = False) -> T:
        """Ask, as below. Raises :class:`~hubwire.errors.StoreError` if it is refused; what is not there may be so."""
        try:
            return await self._patiently(ask)
        except APIError as error:
            if is_optional and isinstance(error, NotFoundError):
                raise
            raise StoreError(
                f"{self} refused a request: {error.description} (NATS error {error.err_code}); see that it is there,"
                " and what this user may do with it"
            ) from error

    async def _patiently(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Ask until there is an answer. Raises :class:`~hubwire.errors.StoreUnavailable` when the time is over."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._wait_seconds
        while True:
            if self._connection is None:
                raise StoreError(f"{self} is closed")
            try:
                return await self._answer(ask())
            except APIError as error:
                if not isinstance(error, ServiceUnavailableError):
                    raise
                failure: Exception = error
            except (*_TRANSIENT, NatsError) as error:
                failure = error
            if loop.time() > end:
                raise StoreUnavailable(
                    f"{self} has not answered for {self._wait_seconds:g} seconds"
                    f" ({type(failure).__name__}: {failure}); see that most of its servers run"
                ) from failure
            await asyncio.sleep(_PAUSE_SECONDS)


async def _closed(connection: Any) -> None:
    try:
        await connection.close()
    except (NatsError, OSError, AssertionError):  # the last: it was never connected
        return


def _abort(connection: Any) -> None:
    """Give up a connection whose other end takes nothing: nats-py would wait until that has taken all."""
    writer = getattr(getattr(connection, "_transport", None), "_io_writer", None)
    if writer is not None:
        writer.transport.abort()
    for subscription in list(getattr(connection, "_subs", {}).values()):
        if (task := getattr(subscription, "_wait_for_msgs_task", None)) is not None:
            task.cancel()


async def _ended(pull: Any) -> None:
    try:
        await pull.unsubscribe()
    except (NatsError, OSError):
        return
