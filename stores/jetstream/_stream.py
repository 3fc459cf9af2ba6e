"""A stream of JetStream, with what a journal asks of it. With the connection below it: all use of nats-py.

What no server answers is asked again, until it does or the time is over: a server may die, and its cluster goes on in
seconds. An answer that was lost is settled by who knows what was written: see :class:`~.journal.JetStreamJournal`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any

from hubwire.errors import ConfigurationError, LogDamaged, StoreError, StoreFull

from ._connection import (
    TRANSIENT,
    APIError,
    Connection,
    NatsError,
    NotFoundError,
    ServiceUnavailableError,
    api,
)

__all__ = ("Missing", "Refused", "Stored", "Stream", "Unsettled")

_PULL_MESSAGES = 64
_SILENT_SECONDS = 2.0
"""After so long a reader that hears nothing is made anew: nats-py needs 18 seconds to find that its server has died."""
_IDLE_SECONDS = 1.0
"""After so long without an append, another stream may be there by the same name and with as many messages."""
_WRONG_LAST = frozenset({10071, 10164})
"""The second: another message of the subject is on its way to the replicas."""
_FULL = frozenset({10023, 10037, 10047, 10077, 10122})
"""Codes of errors by which a server refuses a message for want of room."""


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


class Stream(Connection):
    """One stream on a cluster."""

    def __init__(
        self, servers: str, name: str, subjects: str, *, replicas: int, wait_seconds: float, options: dict[str, Any]
    ) -> None:
        super().__init__(servers, name, wait_seconds=wait_seconds, options=options)
        self._subjects = subjects
        self._replicas = replicas
        self._created: object = None
        self._acked_at = 0.0
        """When the stream was the one that was opened, for certain, by the loop's clock."""

    # -- opening --

    async def open(self) -> None:
        """Connect, and make the stream if it is not there; see that it is one to which a journal can be trusted."""
        if not self.is_connected:
            await self.connect()
        try:
            info = await self._made()
            self._check(info)
            self._created = self._created or info.created
            self._check_is(info)  # it may have been read before
            self._is_in_doubt = False
            self._acked_at = asyncio.get_running_loop().time()
        except BaseException:
            await self.aclose()
            raise

    async def connect(self) -> None:
        self._created = None
        await super().connect()

    async def find(self) -> bool:
        """Look whether there is a stream, and that it is one to be trusted; it is the one that is read from then on.

        Raises :class:`~hubwire.errors.LogDamaged` if it is another one than was found before.
        """
        try:
            info = await self._patiently(lambda: self._js.stream_info(self.name))
        except NotFoundError:
            return False
        except APIError as error:
            raise self._refused_request(error) from error
        self._check(info)
        self._created = self._created or info.created
        self._check_is(info)
        return True

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

    # -- writing --

    async def publish(self, subject: str, content: bytes, headers: dict[str, str], last: int, of: str) -> int:
        """Store a message if the last one of the subject ``of`` is still ``last``; return its place.

        Raises :class:`Refused`, :class:`Unsettled`, and :class:`~hubwire.errors.StoreFull` if nothing was stored for
        want of room.
        """
        fenced = {"Nats-Expected-Last-Subject-Sequence": str(last)}
        if of != subject:
            fenced["Nats-Expected-Last-Subject-Sequence-Subject"] = of
        loop = asyncio.get_running_loop()
        try:
            if self._is_in_doubt or loop.time() - self._acked_at > _IDLE_SECONDS:
                await self.check_is_same()
            ack = await self._answer(
                self._js.publish(subject, content, stream=self.name, headers={**headers, **fenced})
            )
        except APIError as error:
            raise self._refusal(error) from error
        except (*TRANSIENT, NatsError) as error:
            self._is_in_doubt = True
            raise Unsettled(f"{type(error).__name__}: {error}") from error
        self._acked_at = loop.time()
        return int(ack.seq)

    async def check_is_same(self) -> None:
        """Ask once whether this is the stream that was opened, if there is one.

        Places of another one would be taken for those of this. Raises :class:`~hubwire.errors.LogDamaged`.
        """
        try:
            info = await self._answer(self._js.stream_info(self.name))
        except NotFoundError as error:
            raise Missing("there is no such stream now") from error
        self._check_is(info)
        self._is_in_doubt = False

    def _check_is(self, info: Any) -> None:
        if info.created != self._created:
            raise LogDamaged(
                f"{self} is another one than was opened: it was made anew at {info.created}, and what it had is lost."
                " Nothing was appended; restore the stream from a copy",
                path=self.name,
            )

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

    async def push(self, name: str, subject: str, to: str, begin: int) -> None:
        """Have the messages of a subject sent to another one, from a place on: by a consumer of this name.

        It says each second that it is there, waits where what it has sent is not taken, and ends when none listens.
        """
        config = api.ConsumerConfig(
            name=name,
            filter_subject=subject,
            deliver_subject=to,
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=max(begin, 1),
            ack_policy=api.AckPolicy.NONE,
            max_deliver=1,
            flow_control=True,
            idle_heartbeat=1.0,
            inactive_threshold=10.0,
            num_replicas=1,
            mem_storage=True,
        )
        await self._told(lambda: self._js.add_consumer(self.name, config))

    async def push_no_more(self, name: str) -> None:
        """Delete a consumer. Where that fails it ends by itself."""
        try:
            await self._answer(self._js.delete_consumer(self.name, name))
        except (*TRANSIENT, NatsError):
            return

    async def read(self, subject: str, begin: int, end: int) -> AsyncIterator[Stored]:
        """Iterate over the messages of a subject with places from ``begin`` up to ``end``, in order."""
        place = begin
        while place <= end:
            pull = await self._told(partial(self._pull, subject, place))
            try:
                while place <= end:
                    try:
                        messages = await self._answer(pull.fetch(_PULL_MESSAGES, timeout=_SILENT_SECONDS))
                    except (*TRANSIENT, NatsError):
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


async def _ended(pull: Any) -> None:
    try:
        await pull.unsubscribe()
    except (NatsError, OSError):
        return
