"""Positions that a reader keeps: a place in one history, where a number alone names a place in any."""

from __future__ import annotations

import attrs

from ._values import Value
from .errors import InvalidCursor
from .events import Event
from .events._shown import is_a, shown

__all__ = ("Position",)

_CHARS_MAX = 512


@attrs.frozen(eq=False, repr=False)
class Position(Value):
    """The place after one event: to be kept by a reader, and given to :meth:`hubwire.Hub.events` later.

    A hub that was restored from an older copy makes other events under the same numbers. It refuses the position with
    :class:`~hubwire.errors.InvalidCursor`, where a number would go on with what is not the rest of what was read.
    ``str(position)`` is text that can be stored, and :meth:`parse` its reverse.
    """

    hub: str
    """The id of the hub that made the event."""
    seq: int
    """The event's."""
    id: str
    """The event's."""

    @classmethod
    def after(cls, event: Event) -> Position:
        """Return the place after an event that a hub has stamped."""
        if not event.hub:
            raise InvalidCursor(f"the event {event.kind!r} was not stamped by a hub: take the one that emit() returns")
        return cls(event.hub, event.seq, event.id)

    @classmethod
    def parse(cls, text: str) -> Position:
        """Return the position that ``str()`` gave as text.

        Raises :class:`~hubwire.errors.InvalidCursor` for any other text.
        """
        error = InvalidCursor(f"{shown(text)} is not a position in a hub's history; pass one back as it was given")
        if not is_a(text, str) or len(text) > _CHARS_MAX:
            raise error
        hub, _, rest = text.partition(":")
        number, _, event_id = rest.partition(":")
        if not (hub and event_id and number.isascii() and number.isdigit() and len(number) <= 19):
            raise error
        position = cls(hub, int(number), event_id)
        if str(position) != text:
            raise error
        return position

    def other_history(self, found: str) -> InvalidCursor:
        """Return the error for a hub that ``found`` says is another one, or has another history."""
        return InvalidCursor(
            f"the position after event {self.seq} ({self.id}) of hub {self.hub} is one in another history: {found}. The"
            " hub was restored from an older copy, or is another one; read from the beginning, and treat what was read"
            " so far as that of another hub"
        )

    def __str__(self) -> str:
        return f"{self.hub}:{self.seq}:{self.id}"
