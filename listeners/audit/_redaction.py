"""What an audit log leaves out: records and events on their way into it are redacted, and say by which rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from hubwire import Event, codec

if TYPE_CHECKING:
    from hubwire.redaction import Redactor
    from hubwire.redaction.choice import Redacting

__all__ = ("Redaction",)


class Redaction:
    """Redacts by one redactor, or by none."""

    def __init__(self, redactor: Redactor | Literal["default"] | None) -> None:
        self._by: Redacting | None = None
        if redactor is not None:
            from hubwire.redaction.choice import redacting  # noqa: PLC0415 - a log without one needs none of it

            self._by = redacting("AuditLog", redactor)

    @property
    def stamp(self) -> str | None:
        """The rules; None without a redactor."""
        return None if self._by is None else self._by.redactor.stamp

    @property
    def fields(self) -> dict[str, Any]:
        """What ``log.opened`` says of it: the rules, what they look for, and what they cannot find."""
        if self._by is None:
            return {}
        redactor = self._by.redactor
        return {"redaction": redactor.stamp, "coverage": [redactor.coverage.to_fields()]}

    @property
    def withheld(self) -> int:
        """Of how many events and records the contents were left out, because they could not be redacted."""
        return 0 if self._by is None else self._by.withheld

    def line(self, body: bytes) -> bytes:
        """Return a record as it is stored, redacted at once: one that is not large."""
        return body if self._by is None else self._by.line(body)

    @property
    def prepare(self) -> Callable[[list[bytes]], list[bytes]] | None:
        """What returns small records as they are stored, many at once; None if each is redacted by itself, or none."""
        return self._by.lines if self._by is not None and self._by.is_quick else None

    @property
    def is_late(self) -> bool:
        """Whether small records can be redacted when they are written, and not only one by one before that."""
        return self._by is None or self._by.is_quick

    async def lines(self, bodies: list[bytes]) -> list[bytes]:
        """Return records as they are stored."""
        return bodies if self._by is None else await self._by.shown_lines(bodies)

    def words(self, text: str | None) -> str | None:
        """Return a short text of the caller's as it is stored, also beside the log."""
        if text is None or self._by is None:
            return text
        shown = self._by.redactor.redact(text)
        return shown if type(shown) is str else "(withheld)"

    async def bodies(self, events: Sequence[Event]) -> list[bytes]:
        """Return the lines of events as they are stored."""
        return [codec.encode(event) for event in (events if self._by is None else await self._by.shown(events))]
