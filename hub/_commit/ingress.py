"""Ingress: the steps between a caller's event and the stamped one that is applied, delivered and journaled.

1. **Check**: is it an event that callers may emit? A refusal comes before the caller waits for room.
2. **Freeze**: the payload is made canonical JSON, once; what JSON cannot hold becomes a marked substitute.
3. **Stamp**: a copy gets ``seq``, ``id``, ``at``, ``hub`` and its context. The caller's object is untouched. What the
   hub has made itself, for its commands, is stamped without a copy.
4. **Redact**, where the hub is given a redactor: what is personal or secret is in no state and in no journal.
5. **Weigh**: an event larger than ``event_bytes_max`` is refused.

Freezing and stamping are one pass over the fields, compiled for each class (:mod:`hubwire.events`). All of a command's
events pass, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from .. import codec
from ..clock import uuid_of_now
from ..errors import CommandRejected, ConfigurationError, EventTooLarge
from ..events import Event, GenericEvent, UnknownEvent, kind_class
from ..events._declare import check_kind, is_undeclared, note_undeclared
from ..events._event import OWN_DOMAINS
from ..events._shown import is_a, shown
from ..events._stamp import EMPTY, Context, stamp, stamp_own
from ..ports import Clock
from .time_of_day import TimeOfDay

if TYPE_CHECKING:
    from ..redaction.ingress import IngressRedaction

__all__ = ("Ingress",)

E = TypeVar("E", bound=Event)

DEPTH_MAX = 32
"""How long a chain of listeners may get in which each emits because of the one before."""

_UNWEIGHED = 64 * 1024
"""An upper bound for the JSON of what stamping does not weigh: keys, and short texts."""


class Ingress:
    """Takes events through the steps."""

    def __init__(self, clock: Clock, event_bytes_max: int) -> None:
        self.hub_id: str = ""
        """The ``hub`` of every event; empty before the hub has found or made its id."""
        self.time: TimeOfDay = TimeOfDay(clock)
        self.redaction: IngressRedaction | None = None
        """None where a hub redacts nothing itself."""
        self.owners: Callable[[Sequence[Event], Context], Sequence[str | None]] | None = None
        """Returns, for each of some events, whose agent, channel or task it is about; None while there are no tenants.

        An event that does not say so itself has this tenant, whatever the code works for that it comes from.
        """
        self._bytes_max = event_bytes_max
        self._emittable: set[type[Event]] = set()
        """The classes whose events passed the check: it depends on the class alone, but for generic events."""

    @property
    def last_at(self) -> str:
        """When the newest event happened."""
        return self.time.at

    def check(self, event: Event) -> None:
        """Raise unless callers may emit this event.

        :class:`~hubwire.errors.ConfigurationError` for what is not an event, :class:`~hubwire.errors.CommandRejected`
        for a kind that a command makes, or that is the hub's own.
        """
        cls = type(event)
        if cls in self._emittable or (cls is GenericEvent and is_undeclared(getattr(event, "kind", ""))):
            return
        if not is_a(event, Event):
            raise ConfigurationError(
                f"{shown(event)} is not an event; emit GenericEvent(kind=..., data=...), or a kind declared with @event"
            )
        if cls.command is not None:
            raise _made_by_a_command(cls)
        if cls is UnknownEvent:
            raise CommandRejected("an UnknownEvent comes from reading; emit GenericEvent(kind=..., data=...)")
        if cls is GenericEvent:
            check_kind(getattr(event, "kind", ""))
            kind = str.__str__(event.kind)  # a subclass may answer for itself as it likes
            if (declared := kind_class(kind)) is not None:
                if declared.command is not None:
                    raise _made_by_a_command(declared)
                raise CommandRejected(f"{kind!r} is declared; emit its class, {declared.__name__}, or another kind")
            if kind.partition(".")[0] in OWN_DOMAINS:
                raise CommandRejected(f"{kind!r} is a kind of the hub's own; emit another one")
            note_undeclared(kind)
            return
        self._emittable.add(cls)

    def freeze(self, event: E) -> E:
        """Return a copy whose payload is frozen as it will be committed, and which is stamped later."""
        copy: Any = stamp(event, -1, "", "", "", EMPTY, self._bytes_max)
        return copy  # type: ignore[no-any-return]

    def stamp(self, events: Sequence[E], seq: int, around: Context, *, are_own: bool) -> list[E]:
        """Freeze, stamp and weigh the events, numbered from ``seq``; ``around`` is the context that they inherit.

        ``are_own``: the hub has made them for this; otherwise they are a caller's, who gets copies.
        """
        if around.depth > DEPTH_MAX:
            raise CommandRejected(
                f"event {events[0].kind!r} is number {around.depth} in a row that a listener emitted because of the one"
                " before; let a listener not answer its own events"
            )
        places = None if self.owners is None else _of_owners(around, self.owners(events, around))
        at = self.time.stamp()
        hub_id, bytes_max, redaction = self.hub_id, self._bytes_max, self.redaction
        stamp_one: Callable[..., Any] = stamp_own if are_own else stamp
        stamped: list[E] = []
        for event in events:
            if places is not None:
                around = next(places)
            done = stamp_one(event, seq, str(uuid_of_now()), at, hub_id, around, bytes_max)
            if redaction is not None:
                done = redaction.event(done)
            # Stamping has counted a lower bound. Only where the true size may be too large is it worth encoding now.
            if done._weight * 6 + _UNWEIGHED > bytes_max:  # noqa: SLF001 - stamping left it for us
                self._weigh(done)
            stamped.append(done)
            seq += 1
        return stamped

    def _weigh(self, event: Event) -> None:
        size, limit = len(codec.encode(event)), self._bytes_max
        if size > limit:
            raise EventTooLarge(
                f"event {event.kind!r} has {size} bytes, more than the {limit} of event_bytes_max;"
                " store the payload elsewhere and emit a reference",
                kind=event.kind,
                size_bytes=size,
                limit_bytes=limit,
            )


def _of_owners(around: Context, tenants: Sequence[str | None]) -> Iterator[Context]:
    """Yield what each event inherits: the context, of its owner where it has one."""
    known: dict[str | None, Context] = {None: around, around.tenant: around}
    for tenant in tenants:
        if tenant not in known:
            known[tenant] = attrs.evolve(around, tenant=tenant)
        yield known[tenant]


def _made_by_a_command(cls: type[Event]) -> CommandRejected:
    return CommandRejected(f"{cls.kind!r} is not emitted: {cls.command} makes it")
