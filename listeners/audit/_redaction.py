"""What an audit log leaves out: records and events on their way into it are redacted, and say by which rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubwire import Event, codec
from hubwire.errors import ConfigurationError

if TYPE_CHECKING:
    from hubwire.redaction import Redactor

__all__ = ("Redaction",)

STAMP = "redacted"
"""The key of a record that was changed; its value are the rules."""


_LENGTH_MAX = 64
"""Of the kind and the time of a record that is withheld."""


class Redaction:
    """Redacts by one redactor, or by none."""

    def __init__(self, redactor: Redactor | None) -> None:
        if redactor is not None:
            _check(redactor)
        self._redactor = redactor

    @property
    def stamp(self) -> str | None:
        """The rules; None without a redactor."""
        return None if self._redactor is None else self._redactor.stamp

    def record(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of a record as they are stored."""
        if self._redactor is None:
            return fields
        made: dict[str, Any] = self._redactor.redact(fields)
        if made is fields:
            return fields
        if "$redacted" in made:  # it was withheld: what happened, and when, stays
            made = {**made, **{key: fields[key] for key in ("kind", "at") if _is_short(fields.get(key))}}
        return {STAMP: self._redactor.stamp, **made}

    def body(self, event: Event) -> bytes:
        """Return the line of an event as it is stored."""
        if self._redactor is None:
            return codec.encode(event)
        return codec.encode(self._redactor.redact_event(event))


def _is_short(value: object) -> bool:
    return type(value) is str and len(value) <= _LENGTH_MAX


def _check(redactor: object) -> None:
    from hubwire.redaction import Redactor  # noqa: PLC0415 - most logs need none of it

    if not isinstance(redactor, Redactor):
        raise ConfigurationError(
            f"redactor is a hubwire.redaction.Redactor, or None to store what comes as it is, not {redactor!r:.80}"
        )
