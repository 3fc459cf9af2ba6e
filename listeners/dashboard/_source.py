"""Where the events of a dashboard come from: a live hub, or a log without one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import attrs

from hubwire import Hub
from hubwire.errors import HistoryGone, HubClosed, HubError
from hubwire.patterns import Patterns
from hubwire.redaction import Redactor
from hubwire.words import Names

from ..live import LiveTail, Missed
from ._rows import Item

__all__ = ("Gap", "HubSource", "Reader", "Source", "Which", "hub_of_cursor")

_CURSOR_SECRET = b"hubwire.dashboard"
"""Cursors are not secrets here: who may read at all may read from any place on. They last over a restart."""

_BEGINNING = -1
_NAMES_MAX = 10_000


@attrs.frozen
class Gap:
    """Events that a reader will not get."""

    first_seq: int
    last_seq: int
    cursor: str


@attrs.frozen
class Which:
    """Which events a reader gets; all of them by default."""

    kinds: tuple[str, ...] = ()
    tenant: str | None = None
    agent: str | None = None
    channel: str | None = None

    @property
    def patterns(self) -> Patterns | None:
        return Patterns(self.kinds) if self.kinds else None


class Reader(Protocol):
    """Reads events from a place on: what there was, and then what comes."""

    @property
    def cursor(self) -> str: ...
    @property
    def lag(self) -> int:
        """How many events it has still to read."""

    async def take(self, *, waits: bool = True) -> Sequence[Item] | Gap:
        """Return the next events, or a gap before them; nothing when there will be no more, or, unless it ``waits``,
        when there is nothing for it yet.
        """

    def end(self) -> None:
        """Let whoever waits in :meth:`take` get nothing."""


class Source(Protocol):
    """Where events come from."""

    @property
    def sort(self) -> Literal["hub", "log"]: ...
    @property
    def hub(self) -> Hub | None:
        """The live hub; None of a log."""

    @property
    def id(self) -> str:
        """The id of the hub whose events they are; empty while that is not known."""

    @property
    def newest_seq(self) -> int: ...
    @property
    def names(self) -> Names: ...
    @property
    def redactor(self) -> Redactor:
        """What redacts its events, and all else that is shown of it."""

    @property
    def problem(self) -> tuple[str, str] | None:
        """Why there are no more events, and what to do; None if nothing is wrong."""

    async def open(self) -> None:
        """Begin to read, if that was not begun before."""

    async def close(self) -> None: ...

    async def more(self, seq: int) -> bool:
        """Return when there is more than this event; false if no more will come."""

    def cursor_after(self, seq: int) -> str: ...

    def read(self, after: str, which: Which) -> Reader:
        """Return a reader of what is after a cursor. Raises :class:`~hubwire.errors.InvalidCursor`."""


class HubSource:
    """The events of a live hub, by a live tail that is attached to it."""

    sort: Literal["hub", "log"] = "hub"

    def __init__(self, hub: Hub, tail: LiveTail, redactor: Redactor) -> None:
        self.hub: Hub | None = hub
        self._hub = hub
        self._tail = tail
        self.redactor: Redactor = redactor
        self.names: Names = Names()
        self._has_names = False

    def __repr__(self) -> str:
        return repr(self._hub)

    @property
    def id(self) -> str:
        return self._hub.id

    @property
    def newest_seq(self) -> int:
        return self._hub.events(after=_BEGINNING, history=False).behind - 1

    @property
    def problem(self) -> tuple[str, str] | None:
        try:
            self._hub.events(after=_BEGINNING, history=False)
        except HubClosed:
            return "the hub is not running", "start it again: this page continues where it is"
        except HubError as error:
            return str(error)[:300], "look at the log of the program, and start the hub again"
        return None

    async def open(self) -> None:
        """Learn what agents and channels are called whose beginning is in the journal no more."""
        if self._has_names:
            return
        self._has_names = True
        redact = self.redactor.redact
        for agent in self._hub.agents.list()[-_NAMES_MAX:]:
            self.names.learn({"kind": "agent.registered", "agent_id": agent.id, "name": redact(agent.name)})
        for channel in self._hub.channels.list()[-_NAMES_MAX:]:
            self.names.learn({"kind": "channel.created", "channel_id": channel.id, "topic": redact(channel.topic)})

    async def close(self) -> None:
        """A hub is closed by its program."""

    async def more(self, seq: int) -> bool:
        try:
            return bool(await self._hub.events(after=seq, history=False).take())
        except HistoryGone:
            return True
        except HubError:  # readers are told more of it
            return False

    def cursor_after(self, seq: int) -> str:
        return self._tail.cursor_after(seq)

    def read(self, after: str, which: Which) -> Reader:
        subscriber = self._tail.subscribe(
            after, pattern=which.kinds or "*", tenant=which.tenant, agent=which.agent, channel=which.channel
        )
        return _Subscribed(subscriber)


class _Subscribed:
    """A reader of a live tail."""

    def __init__(self, subscriber: object) -> None:
        self._subscriber: Any = subscriber

    @property
    def cursor(self) -> str:
        return str(self._subscriber.cursor)

    @property
    def lag(self) -> int:
        return int(self._subscriber.lag)

    async def take(self, *, waits: bool = True) -> Sequence[Item] | Gap:
        batch = await (self._subscriber.take() if waits else self._subscriber.take_there())
        if batch and isinstance(missed := batch[0], Missed):
            return Gap(missed.first_seq, missed.last_seq, missed.cursor)
        found: Sequence[Item] = batch
        return found

    def end(self) -> None:
        self._subscriber.end()


def hub_of_cursor(cursor: str) -> str | None:
    """Return the id of the hub that a cursor names, which nobody has proved; None if it names none."""
    try:
        content = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))[16:].decode()
    except (binascii.Error, ValueError):
        return None
    parts = content.split("@")
    return parts[1] if len(parts) == 3 and parts[0].isdigit() and len(parts[1]) <= 100 else None
