"""StructLog: one structlog line an event."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import attrs
import structlog

from hubwire import Event, GenericEvent, UnknownEvent
from hubwire.errors import ConfigurationError, PartialBatch
from hubwire.late_types import late_type

if TYPE_CHECKING:
    from hubwire.redaction import Redactor
    from hubwire.redaction.choice import Redacting
else:
    Redactor = late_type("hubwire.redaction", "Redactor")

__all__ = ("StructLog",)

LEVELS = ("debug", "info", "warning", "error", "critical")

VALUE_CHARS_MAX = 1000
"""How much of one text is logged."""

CONTAINER_VALUES_MAX = 50
"""How many values of one list or object are logged."""

LINE_VALUES_MAX = 400
"""How many values of one event are logged, however deep they lie."""


def _names(cls: Any) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(cls) if field.init and field.name != "depth")


_HEADER = _names(Event)

_RESERVED = frozenset(
    {"data", "event", "exc_info", "exception", "level", "log_level", "logger", "logger_name", "method_name"}
    | {"positional_args", "pathname", "stack", "stack_info", "timestamp", "_record", "_from_structlog", "extra"}
)
"""Keys that structlog's processors read or write: a payload must not be able to set them."""

_BAD_ENDS = frozenset(
    {"abandoned", "blocked", "breached", "dead_lettered", "denied", "detached", "dispatch_failed", "dropped", "failed"}
    | {"mirror_failed", "nacked", "overflowed", "quarantined", "rejected", "suspended", "violated", "warned"}
)
"""Last words of the kinds that are warnings even if the event has no severity and no outcome."""


class StructLog:
    """Logs each event as one line: its kind as the event's name, its header as keys, its own fields beside them.

    ``logger`` is a structlog logger. By default, it is ``structlog.get_logger("hubwire.events")`` in a program that has
    configured structlog when the first event comes, and otherwise one that writes to the standard logger of that name,
    and so no line to stdout. Events below ``level`` are not logged. An event's level is its ``severity``, if that is a
    level; else ``error`` for ``error.raised``; else ``warning`` if its outcome is ``failure`` or ``denied``, or its
    kind ends in a word like ``failed``; else ``info``. Fields of generic and unknown events are under ``data``, and
    so are fields whose names structlog uses itself.

    What is personal or secret is redacted, by the rules of the package: see :class:`~hubwire.redaction.Redactor`.
    ``redactor`` is another one, or None to log what comes as it is.

    Text is escaped as ``repr`` would: control characters, bidirectional marks and line breaks reach neither a terminal
    nor a log file. Long texts and large payloads are cut, marked by ``…``: the journal has them whole.

    The logger is called on the loop, so a logger that may wait belongs behind a queue. Its exceptions are failures of
    this listener. Raises :class:`~hubwire.errors.ConfigurationError` for an unknown level.
    """

    def __init__(
        self,
        logger: Any = None,
        *,
        level: str = "info",
        redactor: Redactor | Literal["default"] | None = "default",
    ) -> None:
        if level not in LEVELS:
            raise ConfigurationError(f"level {level!r} is not one of {', '.join(LEVELS)}")
        self._logger = logger
        self._wanted = frozenset(LEVELS[LEVELS.index(level) :])
        self._redacting: Redacting | None = None
        if redactor is not None:
            from hubwire.redaction.choice import redacting  # noqa: PLC0415 - a log without one needs none of it

            self._redacting = redacting("StructLog", redactor)

    @property
    def withheld(self) -> int:
        """Of how many events the contents were left out, because they could not be redacted."""
        return 0 if self._redacting is None else self._redacting.withheld

    async def on_events(self, events: Sequence[Event]) -> None:
        """Log a batch, one event after the other."""
        if self._logger is None:
            self._logger = _default_logger()
        handled = 0
        try:
            for event in events if self._redacting is None else await self._redacting.shown(events):
                if (level := level_of(event)) in self._wanted:
                    getattr(self._logger, level)(_printable(event.kind), **_keys(event))
                handled += 1
        except Exception as error:
            raise PartialBatch(handled) from error


def _default_logger() -> Any:
    if structlog.is_configured():
        return structlog.get_logger("hubwire.events")
    return structlog.wrap_logger(
        logging.getLogger("hubwire.events"),
        processors=[structlog.processors.KeyValueRenderer(key_order=["event"])],
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def level_of(event: Event) -> str:
    """Return the level an event is logged at."""
    severity = event.severity
    if severity is not None and severity in LEVELS:
        return severity
    if event.kind == "error.raised":
        return "error"
    if event.outcome in ("failure", "denied") or event.kind.rpartition(".")[2] in _BAD_ENDS:
        return "warning"
    return "info"


def _keys(event: Event) -> dict[str, Any]:
    cut = _Cut()
    keys = {name: cut(value) for name in _HEADER if (value := getattr(event, name)) is not None}
    if isinstance(event, GenericEvent):
        keys["data"] = cut(event.data)
    elif isinstance(event, UnknownEvent):
        keys["data"] = cut(event.fields)
    else:
        data: dict[str, Any] = {}
        for name in _own_fields(type(event)):
            (data if name in _RESERVED else keys)[name] = cut(getattr(event, name))
        if data:
            keys["data"] = data
    return keys


_own: dict[type[Event], tuple[str, ...]] = {}


def _own_fields(cls: type[Event]) -> tuple[str, ...]:
    """Return the names of the fields that are neither header nor context."""
    if (names := _own.get(cls)) is None:
        names = _own[cls] = tuple(name for name in _names(cls) if name not in _HEADER)
    return names


class _Cut:
    """Makes the values of one event fit into a line: plain containers, printable text, and not too much of either."""

    def __init__(self) -> None:
        self._room = LINE_VALUES_MAX

    def __call__(self, value: Any) -> Any:
        if type(value) is str:
            return _printable(value)
        if value is None or type(value) in (int, float, bool):
            return value
        if isinstance(value, Mapping):
            fields: dict[str, Any] = {}
            for key, item in value.items():
                if len(fields) == CONTAINER_VALUES_MAX or not self._has_room():
                    fields["…"] = f"{len(value) - len(fields)} more"
                    break
                fields[_printable(str(key))] = self(item)
            return fields
        if isinstance(value, (list, tuple)):
            items: list[Any] = []
            for item in value:
                if len(items) == CONTAINER_VALUES_MAX or not self._has_room():
                    items.append(f"… {len(value) - len(items)} more")
                    break
                items.append(self(item))
            return items
        return _printable(str(value))

    def _has_room(self) -> bool:
        self._room -= 1
        return self._room >= 0


def _printable(text: str) -> str:
    if len(text) > VALUE_CHARS_MAX:
        text = f"{text[:VALUE_CHARS_MAX]}… {len(text) - VALUE_CHARS_MAX} more"
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
