"""What is in a store already, read from its audit log: identity is the item, whatever file it was in.

The source id of an event is ``<format>:<digest of the item>/<message>/<part>``; of items that are there more than once
in one input, ``<digest>.2`` is the second. The channel of a conversation is opened with ``<number of messages>-<digest
of them>-<the first that it has>/opened`` as its message, so that a conversation that grew is known by its beginning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import product

import attrs
import msgspec

from ...log import LogReader, read_kept
from ...ports import KnowledgeStore
from ...redaction import Redactor
from .conversation import Conversation, Part

__all__ = ("Known", "Place", "read_known", "source_id_of")

AUDIT = "/audit"
_SOURCE_ID = re.compile(r"([a-z0-9-]+:[0-9a-f]{32}(?:\.\d+)?)/([^/]*)/(.+)", re.DOTALL)
_OPENED = re.compile(r"(\d+)-([0-9a-f]{32})-(\d+)")


class _Peek(msgspec.Struct):
    """The few keys that say what was imported."""

    kind: str = ""
    source: str | None = None
    source_id: str | None = None
    channel_id: str | None = None


_peek = msgspec.json.Decoder(_Peek).decode


def source_id_of(item: str, part: str) -> str:
    """Return the source id of a part; ``part`` is ``<message>/<part>``."""
    return f"{item}/{part}"


@attrs.define(eq=False)
class Place:
    """How far an item got that is in the store."""

    item: str
    channel_id: str | None = None
    parts: set[str] = attrs.field(factory=set)
    """``<message>/<part>`` of what is there; none is held of an item that is complete."""
    count: int = 0
    source: str = ""
    chain: str = ""
    """The digest of all its messages; empty for facts."""
    length: int = 0
    """How many messages it has."""
    begins: int = 0
    """The first message that its channel has: what was before is in the channel that it continues."""
    is_opened: bool = False
    is_complete: bool = False

    def rest(self, conversation: Conversation) -> Sequence[Part]:
        """Return the parts that are not there, of a conversation that is the item or has grown out of it."""
        is_whole = not self.length or self.length == len(conversation.chain)
        return [
            part
            for part in conversation.parts
            if part.id not in self.parts
            and (is_whole if part.message < 0 else part.message >= self.begins)
            and (is_whole or part.message < self.length)
        ]


class Known:
    """The items that are in the store, and which of them the input has no more."""

    def __init__(self, first_record: int = 0) -> None:
        self.first_record = first_record
        """The first record that the audit log still has."""
        self._places: dict[str, Place] = {}
        self._left: dict[tuple[str, str], Place] = {}

    def add(self, peek: _Peek) -> None:
        """Take in the next record of the log."""
        found = _SOURCE_ID.fullmatch(peek.source_id or "")
        if found is None:
            return
        item, message, part = found.groups()
        place = self._places.get(item)
        if place is None:
            place = self._places[item] = Place(item)
        place.source = peek.source or ""
        if place.is_complete:
            return
        if (opened := _OPENED.fullmatch(message)) and part == "opened":
            # A channel that was created and not opened was cut short by a crash, and the hub has closed it since.
            if peek.kind == "channel.opened":
                place.channel_id, place.chain, place.is_opened = peek.channel_id, opened[2], True
                place.length, place.begins = int(opened[1]), int(opened[3])
                place.count += 1
        elif part == "closed":
            if peek.kind == "channel.closed":
                place.is_complete = True
                place.parts = set()
        elif peek.kind != "agent.registered":
            place.parts.add(f"{message}/{part}")
            place.count += 1

    def find(self, item: str) -> Place | None:
        return self._places.get(item)

    def leave(self, items: Iterable[str]) -> None:
        """Keep in mind what is there and not among these items of the input: one of them may have grown out of it."""
        claimed = set(items)
        for name, place in self._places.items():
            if name not in claimed and place.chain:
                self._left[place.source, place.chain] = place

    def grown_from(self, conversation: Conversation, source: str) -> Place | None:
        """Return the longest beginning of a conversation that came from the same input before, and forget it."""
        if not self._left:
            return None
        # The log shows a name that looks like a person's as what stands for it.
        sources = {source, str(Redactor.shared().redact(source))}
        for digest, name in product(reversed(conversation.chain), sources):
            place = self._left.get((name, digest))
            if place is not None and place.item.startswith(f"{conversation.format}:"):
                del self._left[name, digest]
                return place
        return None


async def read_known(store: KnowledgeStore) -> Known:
    """Read the audit log of a store, and return what was imported into it."""
    known = Known((await read_kept(store, AUDIT)).first)
    reader = LogReader(store, AUDIT)
    while records := await reader.read():
        for record in records:
            if b'"source_id":' in record.line:
                try:
                    known.add(_peek(record.line))
                except (msgspec.DecodeError, UnicodeDecodeError):
                    continue  # a record of another shape is none of an import
    return known
