"""Cursors: places in the history of a hub, as text that outsiders keep and cannot make."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets

import attrs

from hubwire import Hub
from hubwire.errors import ConfigurationError, InvalidCursor

__all__ = ("Cursors", "HubCursors", "Place", "other_history")

_CHARS_MAX = 1024
_SIGNATURE_BYTES = 16
_SECRET_BYTES_MIN = 16

_SECRET_OF_PROCESS = secrets.token_bytes(32)


@attrs.frozen
class Place:
    """A place behind an event, which is named by more than its number: a restored hub uses numbers again."""

    seq: int
    event_id: str = ""
    """The event's; empty if it is not known, because the event is gone or was never read."""


class Cursors:
    """Signs places, and reads what it has signed."""

    def __init__(self, secret: str | bytes | None) -> None:
        """Raises :class:`~hubwire.errors.ConfigurationError` for a secret that is too short, or none at all."""
        if isinstance(secret, str):
            secret = secret.encode("utf-8", "surrogatepass")
        if secret is not None and (not isinstance(secret, bytes) or len(secret) < _SECRET_BYTES_MIN):
            raise ConfigurationError(
                f"the secret of a LiveTail must be text or bytes, {_SECRET_BYTES_MIN} bytes or more: for example"
                " secrets.token_hex(), kept with the other secrets of the program"
            )
        self._secret: bytes = secret or _SECRET_OF_PROCESS

    def cursor(self, hub_id: str, place: Place) -> str:
        """Return the cursor of a place in the history of this hub."""
        content = f"{place.seq}@{hub_id}@{place.event_id}".encode()
        return _text_of(self._signature(content) + content)

    def place(self, cursor: object, hub_id: str) -> Place:
        """Return the place of a cursor, which comes from outside and is not trusted.

        Raises :class:`~hubwire.errors.InvalidCursor` if it is not one that this signed, or is that of another hub.
        """
        if not isinstance(cursor, str) or not cursor.isascii() or len(cursor) > _CHARS_MAX:
            raise InvalidCursor(_not_ours(cursor))
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except (binascii.Error, ValueError) as error:
            raise InvalidCursor(_not_ours(cursor)) from error
        # Decoding passes over what is no base64, and over bits of the last character: one text only is the cursor.
        if _text_of(raw) != cursor:
            raise InvalidCursor(_not_ours(cursor))
        signature, content = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(content)):
            raise InvalidCursor(_not_ours(cursor))
        number, _, rest = content.decode().partition("@")
        owner, _, event_id = rest.rpartition("@")
        place = Place(int(number), event_id)
        if owner != hub_id:
            raise InvalidCursor(
                f"the cursor belongs to hub {owner}, but this is hub {hub_id}, whose events have other numbers;"
                " subscribe without a cursor, and treat the events shown so far as those of another hub"
            )
        return place

    def _signature(self, content: bytes) -> bytes:
        return hmac.digest(self._secret, content, "sha256")[:_SIGNATURE_BYTES]


class HubCursors:
    """The cursors of one hub."""

    def __init__(self, cursors: Cursors, hub: Hub) -> None:
        self._cursors = cursors
        self._hub = hub

    @property
    def hub_id(self) -> str:
        """The hub has none before it is started for the first time."""
        return self._hub.id

    def cursor(self, place: Place) -> str:
        """Return the cursor of a place in the history of this hub."""
        return self._cursors.cursor(self.hub_id, place)


def _text_of(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _not_ours(cursor: object) -> str:
    shown = cursor[:80] if isinstance(cursor, str) else type(cursor).__name__
    return (
        f"{shown!r} is not a cursor that this live tail has signed: it was changed, or it comes from a process with"
        " another secret. Subscribe without one; LiveTail(secret=...) keeps cursors valid across restarts"
    )


def other_history(place: Place, hub_id: str, found: str) -> InvalidCursor:
    """Return the error for a cursor behind an event that this hub does not have; ``found`` is what it has instead."""
    return InvalidCursor(
        f"the cursor is after event {place.seq}, {place.event_id or 'of unknown id'}, but hub {hub_id} {found}: it was"
        " restored from an older copy. Subscribe without a cursor, and treat later events shown so far as lost"
    )
