"""What an event is: the class that all kinds inherit from, and the two kinds that need no declaration.

:mod:`._declare` declares kinds, :mod:`._stamp` stamps events, and :mod:`._pairs` makes both fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar, cast

import attrs

from ..errors import ConfigurationError
from ._pairs import define, fields_of, frozen_pair
from ._severity import Outcome, Severity

__all__ = ("HEADER", "OWN_DOMAINS", "Event", "GenericEvent", "UnknownEvent", "evolve", "field_names", "own_fields")

E = TypeVar("E")


@define
class Event:
    """An immutable fact: a state transition that happened.

    Declare a kind with the :func:`event` decorator, or use :class:`GenericEvent`. When an event is emitted, the hub
    stamps a copy of it; until then the first four fields are empty.

    The header, on every event:

    * ``seq``: the hub's dense, gapless number, from 0;
    * ``id``: a UUIDv7;
    * ``at``: when it happened by the hub's clock, ISO 8601 in UTC with microseconds; never less than that of the event
      before;
    * ``hub``: the id of the hub;
    * ``kind``: two or more lower-case words joined by dots, the last in the past tense.

    The context; a field is None where it does not apply, and is then left out of the record:

    * ``tenant``, ``correlation_id``, ``traceparent`` (W3C Trace Context): taken from :mod:`hubwire.context` if None;
    * ``source``, ``source_id``, ``occurred_at``: the origin of the event, its id and its time there, when that is not
      this hub and now;
    * ``actor``: on whose behalf;
    * ``agent_id``, ``session_id``, ``turn_id``, ``channel_id``, ``task_id``: what it is about; taken from the context,
      too, where a program emits it, and of these ``session_id`` and ``turn_id`` where a command makes it;
    * ``causation_id``: the ``id`` of the event whose handling emitted this one, and ``depth``, how many such steps lie
      before it; only the hub counts them;
    * ``severity``, a :class:`Severity`, and ``outcome``, an :class:`Outcome`: members or their text, of which the hub
      makes members. Other text is refused; it stays text where a record of an earlier version has it;
    * ``metadata``: further fields of the application.
    """

    command: ClassVar[str | None] = None
    """The command that makes events of this kind, where a state machine owns it; None if a program may emit it."""

    seq: int = -1
    id: str = ""
    at: str = ""
    hub: str = ""
    tenant: str | None = None
    source: str | None = None
    source_id: str | None = None
    occurred_at: str | None = None
    actor: str | None = None
    agent_id: str | None = None
    session_id: str | None = None
    turn_id: str | None = None
    channel_id: str | None = None
    task_id: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    severity: Severity | str | None = None
    outcome: Outcome | str | None = None
    metadata: Mapping[str, Any] | None = None
    depth: int = 0
    _body: bytes | None = attrs.field(default=None, init=False, eq=False)
    _weight: int = attrs.field(default=0, init=False, eq=False)

    if TYPE_CHECKING:
        __attrs_attrs__: ClassVar[tuple[attrs.Attribute[Any], ...]]
        kind: ClassVar[str]  # of an instance, in GenericEvent and UnknownEvent

    # Written once for all kinds: attrs would compile one for each, and that is half the time of declaring a kind.
    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(
            (mine := getattr(self, name)) is (its := getattr(other, name))
            or mine == its  # a NaN is not equal to itself
            for name in field_names(type(self))
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.seq, self.id))

    def __repr__(self) -> str:
        given = [
            f"{field.name}={value!r}"
            for field in fields_of(type(self))
            if field.init and not _is_default(value := getattr(self, field.name), field.default)
        ]
        return f"{type(self).__name__}({', '.join(given)})"


def _is_default(value: Any, default: Any) -> bool:
    """Compare with a default without calling ``==`` of a class that is not ours."""
    return value is default or (type(value) is type(default) and type(value) in (str, int, tuple) and value == default)


def _refuse_init(self: Event, *_: object, **__: object) -> NoReturn:
    name = type(self).__name__
    raise ConfigurationError(f'{name} is not a kind of event; declare it with @event("..."), or use GenericEvent')


Event.__init__ = _refuse_init  # type: ignore[method-assign]

HEADER = frozenset(field.name for field in fields_of(Event))
"""The fields of every event: header, context, and the two that the codec and the ingress fill."""


OWN_DOMAINS = frozenset({"listener", "mailbox", "hub", "log"})
"""The first words of the kinds of the hub's own events."""


@frozen_pair
class GenericEvent(Event):
    """An event of a kind without a declaration: ``GenericEvent(kind="user.login", data={"ip": "10.0.0.1"})``."""

    kind: str  # type: ignore[misc]
    data: Mapping[str, Any] = attrs.field(factory=dict)


@frozen_pair
class UnknownEvent(Event):
    """The event of a record whose kind is not declared here, or not with these fields. It cannot be emitted.

    ``fields`` holds the fields outside header and context. Encoding it gives the bytes that it was read from.
    """

    kind: str  # type: ignore[misc]
    fields: Mapping[str, Any] = attrs.field(factory=dict)
    body: bytes = b""


def evolve(event: E, **changes: Any) -> E:
    """Return a copy of an event with some fields changed: ``attrs.evolve`` under a name that type checkers accept."""
    return cast(E, attrs.evolve(cast(Any, event), **changes))


def field_names(cls: type[Event]) -> tuple[str, ...]:
    """Return the names of all fields that can be given: header, context, and the kind's own."""
    return tuple(field.name for field in fields_of(cls) if field.init)


def own_fields(cls: type[Event]) -> tuple[str, ...]:
    """Return the names of the fields that are the kind's own: neither header nor context."""
    return tuple(field.name for field in fields_of(cls) if field.name not in HEADER)
