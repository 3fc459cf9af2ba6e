"""The lease of a journal on JetStream: the last message of a subject, each of which names the one that it follows."""

from __future__ import annotations

import json
from collections.abc import Callable

from hubwire.standby import LeaseEntry

from ._stream import Refused, Stored, Stream, Unsettled

__all__ = ("JetStreamLease",)

_KEPT = 32
"""After so many entries the old ones are deleted."""


class JetStreamLease:
    """A :class:`~hubwire.standby.Lease` beside the events of a journal, on a connection of its own."""

    def __init__(self, stream: Callable[[], Stream], subject: str) -> None:
        self._make = stream
        self._stream: Stream | None = None
        self._subject = subject
        self._places: dict[int, int] = {}
        """Where in the stream the entry is that was seen last, by its number."""

    async def _opened(self) -> Stream:
        if self._stream is None:
            stream = self._make()
            await stream.open()
            self._stream = stream
        return self._stream

    async def aclose(self) -> None:
        """Close the connection; the next call opens it again."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()

    async def read(self) -> LeaseEntry | None:
        stream = await self._opened()
        found = await stream.last(self._subject)
        if found is None:
            self._places = {0: 0}
            return None
        entry = _entry(found)
        self._places = {entry.number: found.place}
        return entry

    async def write(self, holder: str | None, after: int) -> bool:
        stream = await self._opened()
        place = self._places.get(after)
        if place is None:
            return False
        content = json.dumps({"number": after + 1, "holder": holder}).encode()
        try:
            self._places = {after + 1: await stream.publish(self._subject, content, {}, place, self._subject)}
        except Refused:
            return False
        except Unsettled as error:
            raise OSError(f"no server of {stream} has answered: {error}") from error
        if holder is None:
            await self.aclose()
        elif not after % _KEPT:
            await stream.purge(self._subject, keep=1)
        return True


def _entry(found: Stored) -> LeaseEntry:
    try:
        fields = json.loads(found.content)
        number, holder = fields["number"], fields["holder"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return LeaseEntry(found.place, "?")
    if type(number) is not int or not (holder is None or type(holder) is str):
        return LeaseEntry(found.place, "?")
    return LeaseEntry(number, holder)
