"""A running hub that is tailed, at the address of its dashboard: its last events, and those that come."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import anyio
import attrs
import msgspec

from ..log import Record
from ..query import Selection
from ..query._selection import FIELDS
from .failures import CommandFailed
from .hub_client import HubClient, HubUnreachable, Message
from .output import complain
from .sieve import Sieve

__all__ = ("HubRecord", "HubSource", "filters_of")

_LAST_MAX = 2000
"""So many of the newest events come by the stream; for more, the log is asked."""
_NAMES_MAX = 5000
_PAUSE_SECONDS, _PAUSE_SECONDS_MAX = 1.0, 30.0


@attrs.frozen(eq=False, repr=False)
class HubRecord(Record):
    """An event as a dashboard sends it: without what a log adds to its line."""

    @property
    def body(self) -> bytes:
        """The event."""
        return self.line


class HubSource:
    """The events of a hub. It goes on behind the last one after a connection is lost."""

    def __init__(self, address: str, sieve: Sieve) -> None:
        self.target: str = address
        self._client = HubClient(address)
        self._sieve = sieve
        self._tenant = sieve.selection.tenant[0] if len(sieve.selection.tenant) == 1 else None
        self._seq = -1
        """The newest event that was seen."""
        self._begins_at_end = False
        self._last_id: str | None = None

    async def open(self, *, waits: bool) -> None:
        """See that the hub answers; with ``waits``, say that it is waited for until it does."""
        pause = _PAUSE_SECONDS
        while True:
            try:
                await self._client.get("api/session")
                await self._learn("agents", "agent_id", "name")
                await self._learn("channels", "channel_id", "topic")
            except HubUnreachable as error:
                if not waits:
                    raise
                pause = await self._pause("waiting for", error, pause)
            else:
                return

    async def _learn(self, board: str, key: str, called: str) -> None:
        found = await self._client.get(f"api/board/{board}", limit=_NAMES_MAX, tenant=self._tenant)
        for each in found["rows"]:
            if each.get(called):
                self._sieve.note(key, str(each[key]), str(each[called]))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    # -- what there is --

    async def last(self, lines: int | None) -> AsyncIterator[Record]:
        """Iterate over the last events that are wanted, the oldest first; all for None."""
        if lines == 0:
            self._begins_at_end = True
            return
        newest: deque[Record] = deque(maxlen=lines)
        is_recent = self._sieve.is_everything and lines is not None and lines <= _LAST_MAX
        async for record in self._recent(lines or 0) if is_recent else self._history():
            self._seq = max(self._seq, record.index)
            if not self._sieve.takes(record):
                continue
            if lines is None:
                yield record
            else:
                newest.append(record)
        for record in newest:
            yield record

    async def _recent(self, lines: int) -> AsyncIterator[Record]:
        """Iterate over the newest events as they are now; a hub says at once, and each second, which is its newest."""
        newest, ticks, seen = -1, 0, -1
        messages = self._client.messages("api/stream", None, raw=1, boards=1, last=lines, tenant=self._tenant)
        async with aclosing(messages):
            async for message in messages:
                if message.event == "tick":
                    ticks += 1
                    newest = newest if newest >= 0 else _seq_of_tick(message.data)
                for record in _records(message):
                    seen = record.index
                    yield record
                if ticks == 2 or seen >= newest >= 0 or message.event == "stale":
                    return

    async def _history(self) -> AsyncIterator[Record]:
        async for line in self._client.lines("api/export", format="jsonl", **filters_of(self._sieve.selection)):
            yield _record(line, self._client.name)

    # -- what comes --

    async def coming(self) -> AsyncIterator[Record]:
        """Iterate over the events that are wanted of those that come; it never ends."""
        pause = _PAUSE_SECONDS
        while True:
            last = 0 if self._begins_at_end else _LAST_MAX
            try:
                stream = self._client.messages("api/stream", self._last_id, raw=1, last=last, tenant=self._tenant)
                async with aclosing(stream):
                    async for message in stream:
                        pause = _PAUSE_SECONDS
                        for record in self._taken(message):
                            yield record
                ended = HubUnreachable("it has closed the stream")
            except HubUnreachable as error:
                ended = error
            pause = await self._pause("retrying", ended, pause)

    def _taken(self, message: Message) -> list[Record]:
        """Return the wanted events of a message; say what else it tells."""
        if message.event == "gap":
            complain(f"{self._client.name}: {_field_of(message, 'text')}")
        elif message.event == "stale" and (code := _field_of(message, "code")) != "ended":
            if code != "slow":  # its numbers begin anew
                self._seq = -1
            complain(f"{self._client.name}: {_field_of(message, 'text')}")
        if message.id:
            self._last_id = message.id
        fresh = [record for record in _records(message) if record.index > self._seq]
        if fresh:
            self._seq = fresh[-1].index
        return [record for record in fresh if self._sieve.takes(record)]

    async def _pause(self, does: str, error: HubUnreachable, seconds: float) -> float:
        complain(f"{does} {self._client.name} ({seconds:g} s): {str(error).removeprefix(f'{self._client.name} ')}")
        await anyio.sleep(seconds)
        return min(2 * seconds, _PAUSE_SECONDS_MAX)


def _records(message: Message) -> list[Record]:
    if message.event != "events":
        return []
    return [_record(bytes(each), "the stream") for each in _raws(message.data)]


_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Peek(msgspec.Struct):
    seq: int = -1


_peek = msgspec.json.Decoder(_Peek).decode


def _record(line: bytes, name: str) -> Record:
    try:
        return HubRecord(_peek(line).seq, line)
    except msgspec.MsgspecError as error:
        raise CommandFailed(f"{name} has sent what is no event: {line[:80]!r}") from error


def _seq_of_tick(data: bytes) -> int:
    return _tick(data).hub.seq


class _Tick(msgspec.Struct):
    hub: _Peek


_tick = msgspec.json.Decoder(_Tick).decode


def _field_of(message: Message, name: str) -> str:
    try:
        found = msgspec.json.decode(message.data)
    except msgspec.MsgspecError:
        return ""
    return str(found.get(name) or "") if isinstance(found, dict) else ""


def filters_of(selection: Selection) -> dict[str, Any]:
    """Return a selection as the parameters of a dashboard's interface: without ``where``, with one tenant at most."""
    found: dict[str, Any] = {name: list(getattr(selection, name)) for name in ("kind", *FIELDS)}
    found["text"] = selection.text
    found["tenant"] = list(selection.tenant) if len(selection.tenant) == 1 else []
    for name, moment in (("since", selection.since_at), ("until", selection.until_at)):
        found[name] = None if moment is None else moment.isoformat()
    return found
