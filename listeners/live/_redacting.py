"""What outsiders may see of events: by the rules of a redactor, or by a function of the program's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from hubwire import Event, GenericEvent, UnknownEvent, codec
from hubwire.own_log import OwnLog

if TYPE_CHECKING:
    from hubwire.redaction.choice import Redacting

__all__ = ("Counted", "Redact", "RedactingFunction", "redacting")

RedactingFunction = Callable[[Event], Event | None]
"""Returns the event as outsiders may see it, or None to withhold it."""

_log = OwnLog("live")


class Counted(Protocol):
    redaction_failures: int


class Redact(Protocol):
    """Makes of events what outsiders may see of them, None of those that are withheld, and counts failures."""

    def __call__(self, events: Sequence[Event], counts: Counted) -> Sequence[Event | None]: ...

    def is_long_for(self, events: Sequence[Event]) -> bool:
        """Tell whether that would hold up the event loop, and :meth:`aside` is to be awaited instead."""

    async def aside(self, events: Sequence[Event], counts: Counted) -> Sequence[Event | None]:
        """Return the same as a call, made in a thread."""


def redacting(redactor: object) -> Redact | None:
    """Return what redacts; None if everything may be seen. Raises ``ConfigurationError`` for what cannot redact."""
    if redactor is None:
        return None
    if callable(redactor):
        return _ByFunction(redactor)
    from hubwire.redaction.choice import redacting as by_rules  # noqa: PLC0415 - a tail without rules needs none of it

    rules = by_rules("LiveTail", redactor)
    return None if rules is None else _ByRules(rules)


@attrs.frozen(eq=False)
class _ByRules:
    rules: Redacting

    def __call__(self, events: Sequence[Event], counts: Counted) -> Sequence[Event | None]:
        made = self.rules.events(events)
        counts.redaction_failures = self.rules.withheld
        return made

    def is_long_for(self, events: Sequence[Event]) -> bool:
        return self.rules.are_large(events)

    async def aside(self, events: Sequence[Event], counts: Counted) -> Sequence[Event | None]:
        made = await self.rules.shown(events)
        counts.redaction_failures = self.rules.withheld
        return made


@attrs.frozen(eq=False)
class _ByFunction:
    function: Any

    def __call__(self, events: Sequence[Event], counts: Counted) -> Sequence[Event | None]:
        return [_redact(self.function, event, counts) for event in events]

    def is_long_for(self, events: Sequence[Event]) -> bool:  # noqa: ARG002
        """A function of the program's own may not be one for other threads."""
        return False

    async def aside(self, events: Sequence[Event], counts: Counted) -> Sequence[Event | None]:
        return self(events, counts)


def _redact(function: RedactingFunction, event: Event, counts: Counted) -> Event | None:
    try:
        shown = function(event)
        if shown is None or shown is event:
            return shown
        if isinstance(shown, UnknownEvent):
            # It encodes as the bytes it was read from, which contain the redacted fields.
            shown = _with_own_body(shown)
        codec.encode(shown)
        return shown
    except KeyboardInterrupt:  # it is meant for the program
        raise
    except BaseException as error:  # noqa: BLE001 - a redactor that fails must not let out what it should have hidden
        counts.redaction_failures += 1
        # Not the error's text, which may quote the payload.
        _log.failure("redactor raised", kind=event.kind, seq=event.seq, error_type=type(error).__name__)
        return GenericEvent(
            kind=event.kind,
            seq=event.seq,
            id=event.id,
            at=event.at,
            hub=event.hub,
            data={"$redacted": type(error).__name__},
        )


def _with_own_body(event: UnknownEvent) -> UnknownEvent:
    kind: Any = Event
    header = {field.name: getattr(event, field.name) for field in attrs.fields(kind) if field.init}
    present = {name: value for name, value in header.items() if value is not None and (name, value) != ("depth", 0)}
    body = codec.encode_fields({**event.fields, **present, "kind": event.kind})
    return UnknownEvent(**header, kind=event.kind, fields=event.fields, body=body)
