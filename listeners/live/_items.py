"""The items that subscribers get, and the cursors with which they continue."""

from __future__ import annotations

import base64
import binascii
from functools import cached_property

import attrs

from hubwire import Event, codec
from hubwire.errors import InvalidCursor

__all__ = ("Missed", "TailItem", "cursor_after", "seq_of")

CURSOR_CHARS_MAX = 512


@attrs.frozen(eq=False)
class TailItem:
    """An event on its way out. All subscribers share it."""

    event: Event
    """The event, as the redactor left it."""
    seq: int
    hub: str

    @cached_property
    def cursor(self) -> str:
        """The place after this event: text for a URL or a header, to give to :meth:`LiveTail.subscribe`."""
        return cursor_after(self.hub, self.seq)

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


def cursor_after(hub_id: str, seq: int) -> str:
    """Return the cursor after event ``seq``."""
    return base64.urlsafe_b64encode(f"{seq}@{hub_id}".encode()).rstrip(b"=").decode()


def seq_of(cursor: str, hub_id: str) -> int:
    """Return the ``seq`` of the event before a cursor, which comes from outside and is not trusted.

    Raises :class:`~hubwire.errors.InvalidCursor` if it is not a cursor, or is that of another hub.
    """
    malformed = f"{str(cursor)[:80]!r} is not a cursor of a live tail; pass one back as it was given, or none"
    if not isinstance(cursor, str) or not cursor.isascii() or len(cursor) > CURSOR_CHARS_MAX:
        raise InvalidCursor(malformed)
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        number, _, owner = text.partition("@")
        seq = int(number)
    except (binascii.Error, ValueError) as error:
        raise InvalidCursor(malformed) from error
    if seq < -1 or not owner or cursor_after(owner, seq) != cursor:
        raise InvalidCursor(malformed)
    if owner != hub_id:
        raise InvalidCursor(
            f"the cursor belongs to hub {owner}, but this is hub {hub_id}, whose events have other numbers; subscribe"
            " without a cursor, and treat the events shown so far as those of another hub"
        )
    return seq
