"""Which redactor a part of hubwire uses, that is given one, none, or no word about it; and what that part withholds."""

from __future__ import annotations

from collections.abc import Sequence

from .. import codec
from ..errors import ConfigurationError
from ..events import Event, GenericEvent
from ..events._shown import is_a, shown
from .aside import LARGE_BYTES, Aside, are_large
from .redactor import Redactor

__all__ = ("Redacting", "redacting")


class Redacting:
    """A redactor in the hands of one part, and the count of what that part gets without its contents."""

    def __init__(self, redactor: Redactor) -> None:
        self.redactor: Redactor = redactor
        self.withheld: int = 0
        """Of how many events and records the contents were left out, because they could not be redacted."""

    async def shown(self, events: Sequence[Event]) -> list[Event]:
        """Return events, redacted: see :meth:`Redactor.redact_events`. What is large is redacted in a thread."""
        if not self.are_large(events):
            return self.events(events)
        return self._counted(events, await Aside.of(self.redactor).call(self._encoded, events))

    @staticmethod
    def are_large(events: Sequence[Event]) -> bool:
        """Tell whether these events are redacted in a thread."""
        return are_large(events)

    async def shown_lines(self, bodies: Sequence[bytes]) -> list[bytes]:
        """Return records, redacted: see :meth:`Redactor.redact_line`. What is large is redacted in a thread."""
        if sum(map(len, bodies)) <= LARGE_BYTES:
            return self.lines(bodies)
        made = await Aside.of(self.redactor).call(self._lines, bodies)
        return [*map(self._counted_line, bodies, made)]

    def events(self, events: Sequence[Event]) -> list[Event]:
        """Return events, redacted at once: see :meth:`Redactor.redact_events`."""
        return self._counted(events, self.redactor.redact_events(events))

    def line(self, body: bytes) -> bytes:
        """Return a record, redacted at once: see :meth:`Redactor.redact_line`."""
        return self._counted_line(body, self.redactor.redact_line(body))

    def lines(self, bodies: Sequence[bytes]) -> list[bytes]:
        """Return records, redacted at once: see :meth:`Redactor.redact_lines`."""
        made = self._lines(bodies)
        return made if made == bodies else [*map(self._counted_line, bodies, made)]

    @property
    def is_quick(self) -> bool:
        """Whether most records are looked through by one search, and no function of the caller's has a say."""
        return type(self.redactor) is Redactor and self.redactor._fast is not None  # noqa: SLF001 - of its package

    def _encoded(self, events: Sequence[Event]) -> list[Event]:
        """Return events, redacted, and encoded by the way: that takes milliseconds, too."""
        made = self.redactor.redact_events(events)
        for event in made:
            codec.encode(event)
        return made

    def _lines(self, bodies: Sequence[bytes]) -> list[bytes]:
        redactor = self.redactor
        return redactor.redact_lines(bodies) if self.is_quick else [*map(redactor.redact_line, bodies)]

    def _counted(self, events: Sequence[Event], made: list[Event]) -> list[Event]:
        for old, new in zip(events, made, strict=True):
            if new is not old and type(new) is GenericEvent and new.data.keys() == {"$redacted"}:
                self.withheld += 1
        return made

    def _counted_line(self, body: bytes, made: bytes) -> bytes:
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
