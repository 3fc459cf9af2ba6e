"""The items that subscribers get."""

from __future__ import annotations

from functools import cached_property

import attrs

from hubwire import Event, codec

from ._cursors import HubCursors, Place

__all__ = ("Missed", "TailItem")


@attrs.frozen(eq=False)
class TailItem:
    """An event on its way out. All subscribers share it."""

    event: Event
    """The event, as the redactor left it."""
    seq: int
    _id: str
    """That of the event before the redactor saw it."""
    _cursors: HubCursors

    @property
    def hub(self) -> str:
        """The id of the hub whose event it is."""
        return self._cursors.hub_id

    @property
    def place(self) -> Place:
        """The place after this event."""
        return Place(self.seq, self._id)

    @cached_property
    def cursor(self) -> str:
        """The place after this event: text for a URL or a header, to give to :meth:`LiveTail.subscribe`."""
        return self._cursors.cursor(self.place)

    @property
    def line(self) -> bytes:
        """The event as one JSON object, without a line feed, encoded once."""
        return codec.encode(self.event)


@attrs.frozen(kw_only=True)
class Missed:
    """The events from ``first_seq`` to ``last_seq`` are no longer available; the next item is after them.

    They are counted whether the subscriber's pattern matches them or not.
    """

    first_seq: int
    last_seq: int
    cursor: str
    """The place after the gap."""

    @property
    def place(self) -> Place:
        """The place after the gap."""
        return Place(self.last_seq)
