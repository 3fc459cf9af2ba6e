"""The lines of dead letters: what is written when an event dies, and what is read of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import attrs
import msgspec

from .. import codec
from .._values import Value
from ..errors import InvalidRecord
from ..events import Event
from .duty import Duty
from .letter import DeadLetterEntry, DeadLetterReason
from .letter_files import Files, LetterReader, Place, line_of

__all__ = ("Death", "Head", "decode_entry", "encode_letter", "heads_of")

_UNREADABLE = "the letter cannot be read where it is kept"


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Death(Value):
    """What is known when a listener gives up an event, or events are dropped for it."""

    attachment: str
    duty: Duty
    reason: DeadLetterReason
    at_ns: int
    event: Event | None = None
    ranges: tuple[tuple[int, int], ...] = ()
    count: int = 1
    attempts: int = 1
    error_type: str = ""
    error: str = ""
    traceback: str = ""

    @property
    def what(self) -> str:
        """What tells it from others of the same listener: the same event may die again after a crash."""
        return f"{self.ranges}" if self.event is None else self.event.id


class Head(msgspec.Struct):
    """What is known of a letter without reading it; its fields are in its line."""

    id: str
    attachment: str
    duty: str
    reason: str
    kind: str | None
    what: str
    """The id of the event, or the ranges."""
    seq: int
    """Of the event, or the first that was dropped."""
    first_at: str
    last_at: str
    at_ns: int
    """When it died first."""
    attempts: int = 1
    retries: int = 0
    count: int = 1
    ranges: list[tuple[int, int]] = []
    is_redacted: bool = False

    @property
    def is_overflow(self) -> bool:
        return self.reason == DeadLetterReason.OVERFLOW.value

    @property
    def is_owed(self) -> bool:
        """Whether the event was promised; one that was skipped, by the choice of a person, is not any more."""
        return self.duty == Duty.DURABLE.value and self.reason != DeadLetterReason.DROPPED.value


class _Body(msgspec.Struct):
    """The rest of a line."""

    error_type: str = ""
    error: str = ""
    traceback: str = ""
    event: msgspec.Raw = msgspec.Raw(b"null")


def encode_letter(head: Head, error_type: str, error: str, traceback: str, event: bytes | None) -> bytes:
    """Return the line of a letter; ``event`` is its JSON."""
    fields: dict[str, Any] = msgspec.structs.asdict(head)
    fields |= {"error_type": error_type, "error": error, "traceback": traceback}
    if event is not None:
        fields["event"] = msgspec.Raw(event)
    return line_of(fields)


async def heads_of(files: Files | LetterReader) -> AsyncIterator[tuple[Head | list[str], Place]]:
    """Iterate over what lines say: a letter, or the ids of those that are gone."""
    async for place, fields in files.load():
        try:
            if "gone" in fields:
                yield msgspec.convert(fields["gone"], list[str]), place
            else:
                yield _checked(msgspec.convert(fields, Head)), place
        except (ValueError, msgspec.MsgspecError) as error:
            files.misread(place, error)


def _checked(head: Head) -> Head:
    Duty(head.duty), DeadLetterReason(head.reason)
    return head


def decode_entry(head: Head, place: Place, line: bytes | None, *, error: str = "") -> DeadLetterEntry:
    """Return a letter, from its head and its line; None for a line that cannot be read, because of an ``error``."""
    body, event = _Body(error=f"{_UNREADABLE}: {error}"), None
    if line is not None:
        body = msgspec.json.decode(line, type=_Body)
        if bytes(body.event) != b"null":
            try:
                event = codec.decode(bytes(body.event))
            except InvalidRecord as invalid:
                body.error = f"{_UNREADABLE}: {invalid}"
    return DeadLetterEntry(
        id=head.id,
        origin="listener",
        attachment=head.attachment,
        agent_id=None,
        duty=Duty(head.duty),
        reason=DeadLetterReason(head.reason),
        kind=head.kind,
        event=event,
        ranges=tuple((first, last) for first, last in head.ranges),
        count=head.count,
        error_type=body.error_type,
        error=body.error,
        traceback=body.traceback,
        attempts=head.attempts,
        retries=head.retries,
        first_at=head.first_at,
        last_at=head.last_at,
        size_bytes=place.size,
        is_redacted=head.is_redacted,
    )
