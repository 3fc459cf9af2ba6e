"""Takes the lines of a stream into a hub: in order, each once, and the bad ones named."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence

import attrs
import msgspec

from ... import Event, Hub
from ...errors import CallerError
from ...log import LogReader
from ...ports import KnowledgeStore
from ..importing.fields import Wrong
from ..output import complain
from .lines import Line, Lines
from .records import KEY, Incoming, events_of, keys_of

__all__ = ("AUDIT", "Intake", "Seen", "read_seen")

AUDIT = "/audit"
_KEYS_MAX = 1_000_000
_BATCH = 256
_COMPLAINTS_MAX = 10
_MARK = f'"{KEY}":"'.encode()


_CUT = b'"cut":{"blob":'
"""What stands in a record that is too long for a line: its metadata is elsewhere, its source and its id are there."""


class _Metadata(msgspec.Struct):
    followed: str | None = None
    sse_id: str | None = None


class _Peek(msgspec.Struct):
    source: str | None = None
    source_id: str | None = None
    metadata: _Metadata | None = None


_peek = msgspec.json.Decoder(_Peek).decode


class Seen:
    """The keys of what the store has, the newest million of them."""

    def __init__(self) -> None:
        self._keys: OrderedDict[str, None] = OrderedDict()
        self.forgotten: int = 0
        """How many keys were more than are kept."""
        self.last_event_ids: dict[str, str] = {}
        """By source, the id of the last server-sent event."""

    def add(self, key: str) -> None:
        self._keys[key] = None
        if len(self._keys) > _KEYS_MAX:
            self._keys.popitem(last=False)
            self.forgotten += 1

    def __contains__(self, key: str | None) -> bool:
        return key in self._keys


async def read_seen(store: KnowledgeStore) -> Seen:
    """Read from the audit log of a store what came by streams before."""
    seen = Seen()
    reader = LogReader(store, AUDIT)
    while records := await reader.read():
        for record in records:
            if _MARK in record.line or _CUT in record.line:
                _learn(seen, record.line)
    return seen


def _learn(seen: Seen, line: bytes) -> None:
    try:
        peek = _peek(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return  # a record in which the mark stands by chance
    if peek.metadata is None and peek.source_id is not None:
        for key in keys_of(peek.source, peek.source_id):
            seen.add(key)
    if peek.metadata is None or peek.metadata.followed is None:
        return
    seen.add(peek.metadata.followed)
    if peek.source is not None and peek.metadata.sse_id is not None:
        seen.last_event_ids[peek.source] = peek.metadata.sse_id


@attrs.define
class Intake:
    """One run of ``hubwire follow``."""

    hub: Hub
    seen: Seen
    kind: str | None = None
    lines: int = 0
    events: int = 0
    there: int = 0
    refused: int = 0
    kinds: Counter[str] = attrs.field(factory=Counter)

    async def run(self, stream: Lines) -> None:
        """Take in a stream until it ends."""
        async for lines in stream.batches():
            for at in range(0, len(lines), _BATCH):
                await self._take(lines[at : at + _BATCH], stream.name)

    async def _take(self, lines: Sequence[Line], source: str) -> None:
        fresh: list[tuple[Line, Incoming]] = []
        for line in lines:
            if line.refusal is None and not line.content.strip():
                continue
            self.lines += 1
            if line.refusal is not None:
                self._refuse(source, line, line.refusal)
                continue
            try:
                for each in events_of(line, source, self.kind):
                    if each.key in self.seen:
                        self.there += 1
                        continue
                    if each.key is not None:
                        self.seen.add(each.key)
                    fresh.append((line, each))
            except Wrong as error:
                self._refuse(source, line, str(error))
        for at in range(0, len(fresh), _BATCH):
            await self._emit(source, fresh[at : at + _BATCH])

    async def _emit(self, source: str, fresh: Sequence[tuple[Line, Incoming]]) -> None:
        try:
            self._count(await self.hub.emit_many([each.event for _, each in fresh]))
        except CallerError:
            # One of them is refused, and with it all, so that none was put: each goes by itself.
            await self._emit_singly(source, fresh)

    async def _emit_singly(self, source: str, fresh: Sequence[tuple[Line, Incoming]]) -> None:
        for line, each in fresh:
            try:
                self._count([await self.hub.emit(each.event)])
            except CallerError as error:
                self._refuse(source, line, str(error))

    def _count(self, events: Sequence[Event]) -> None:
        self.events += len(events)
        self.kinds.update(event.kind for event in events)

    def _refuse(self, source: str, line: Line, reason: str) -> None:
        self.refused += 1
        if self.refused <= _COMPLAINTS_MAX:
            complain(f"{source}, {line.place}: {reason}")
        elif self.refused == _COMPLAINTS_MAX + 1:
            complain(f"{source}: more lines are refused; they are counted")
