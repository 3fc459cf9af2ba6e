"""Which redactor a part of hubwire uses, that is given one, none, or no word about it; and what that part withholds."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ConfigurationError
from ..events import Event, GenericEvent
from ..events._shown import is_a, shown
from .redactor import Redactor

__all__ = ("Redacting", "redacting")


class Redacting:
    """A redactor in the hands of one part, and the count of what that part gets without its contents."""

    def __init__(self, redactor: Redactor) -> None:
        self.redactor: Redactor = redactor
        self.withheld: int = 0
        """Of how many events and records the contents were left out, because they could not be redacted."""

    def events(self, events: Sequence[Event]) -> list[Event]:
        """Return events, redacted: see :meth:`Redactor.redact_events`."""
        made = self.redactor.redact_events(events)
        for old, new in zip(events, made, strict=True):
            if new is not old and type(new) is GenericEvent and new.data.keys() == {"$redacted"}:
                self.withheld += 1
        return made

    def line(self, body: bytes) -> bytes:
        """Return a record, redacted: see :meth:`Redactor.redact_line`."""
        made = self.redactor.redact_line(body)
        if made is not body and b'"$redacted":' in made:
            self.withheld += 1
        return made


def redacting(call: str, given: object) -> Redacting | None:
    """Return what redacts by the redactor that was given; None for none, and that of the package for ``"default"``.

    Raises :class:`~hubwire.errors.ConfigurationError` for what is no redactor.
    """
    if given is None:
        return None
    if type(given) is str and given == "default":
        return Redacting(Redactor.shared())
    if is_a(given, Redactor):
        made: Redactor = given  # type: ignore[assignment]
        return Redacting(made)
    raise ConfigurationError(
        f"{call}: redactor is a hubwire.redaction.Redactor, 'default', or None to leave everything as it is, not"
        f" {shown(given)}"
    )
