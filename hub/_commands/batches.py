"""Emitting several events at once: all are committed, or none, also over a crash."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import attrs

from .._commit.batches import check_weight, execute_together, weight_of
from .._commit.pipeline import Pipeline
from .._foreign.arguments import Call
from .._values import Value
from ..context import EMPTY, Context, current
from ..errors import CommandRejected, ConfigurationError
from ..events import Event
from ..events._stamp import stamp
from .emitting import Emitting

__all__ = ("EVENTS_MAX", "Batch", "Batches", "listed")

E = TypeVar("E", bound=Event)

Own = Callable[[Event, Call], Event]
"""Checks that a caller may emit an event in a call; returns it as that caller's."""

EVENTS_MAX = 1000
"""How many events one command may have: more would hold up all others."""

_EMIT_MANY = Call("hub.emit_many()")
_BATCH_EMIT = Call("batch.emit()")
_TOO_MANY = "emit them in several batches"


def listed(events: object) -> tuple[Any, ...]:
    """Return what ``emit_many`` was given, read once, and not checked yet."""
    return _EMIT_MANY.items("events", events, of="events", most=EVENTS_MAX, too_many=_TOO_MANY)


@attrs.frozen(eq=False, repr=False)
class Batches(Value):
    """Emits batches on one hub."""

    _pipeline: Pipeline
    _emitting: Emitting
    _bytes_max: int

    async def emit_many(self, events: object, own: Own) -> list[Any]:
        """Emit events as a batch."""
        checked = [own(event, _EMIT_MANY) for event in listed(events)]
        return await self.commit(checked)

    async def commit(self, events: Sequence[Event], around: Context | None = None) -> list[Event]:
        """Check the events by rules, ask the arbiter about each, and put all; return them stamped and committed."""
        if self._emitting.is_needed:
            events = await self._emitting.all_allowed(events, around)
        return await execute_together(self._pipeline, events, self._bytes_max, around)

    def frozen(self, event: E, around: Context) -> E:
        """Return an event as it will be committed, but for its number and its time; raise if it breaks a rule."""
        self._emitting.check(event, around)
        copy: Any = stamp(event, -1, "", "", "", around, self._bytes_max)
        return cast(E, copy)

    def check_weight(self, weight: int, newest: Event) -> None:
        """Raise if frozen events of this weight, together, are too large for one batch."""
        check_weight(weight, self._bytes_max, newest.kind)

    def check_here(self) -> None:
        """Raise in another event loop than the hub's, or in a forked process."""
        self._pipeline.lifecycle.check_here()


class _Phase(enum.Enum):
    NEW = enum.auto()
    OPEN = enum.auto()
    ENDED = enum.auto()


class Batch:
    """Events that are committed together when the block ends: ``async with hub.batch() as batch: batch.emit(event)``.

    All of them, or none: after an exception in the block, a refusal, a denial by the arbiter, a cancellation before
    they are admitted, and also after a crash at any point. Hand it to functions that have events to add: so they join
    the caller's transaction. It takes events only; what a command changes in the block is changed at once.

    The end of the block waits for the commit, and raises what :meth:`hubwire.Hub.emit_many` raises. Cancelled when the
    events are admitted, it leaves ``committed`` empty, and they are committed all the same.
    """

    def __init__(self, batches: Batches, own: Own) -> None:
        """Only a hub calls it."""
        self.committed: Sequence[Event] = ()
        """The events, stamped, in the order in which they were emitted; empty until they are committed."""
        self._batches = batches
        self._own = own
        self._phase = _Phase.NEW
        self._events: list[Event] = []
        self._weight = 0
        self._depth = 0

    def __repr__(self) -> str:
        return f"<a batch of {len(self._events)} events>"

    def emit(self, event: Event) -> None:
        """Take an event into the batch, frozen, with the context of the calling code, as :meth:`hubwire.Hub.emit` does.

        It does not wait, and commits nothing. Raises what ``hub.emit()`` raises for an event that it would refuse, and
        :class:`~hubwire.errors.CommandRejected`, or :class:`~hubwire.errors.EventTooLarge`, for one too many or too
        large: a batch has at most 1,000 events, and together as many bytes as one event may have. The batch stays as it
        was then. Raises :class:`~hubwire.errors.ConfigurationError` outside the block, and outside the hub's loop.
        """
        self._check_open(_BATCH_EMIT)
        around = current()
        frozen = self._batches.frozen(self._own(event, _BATCH_EMIT), around)
        if len(self._events) >= EVENTS_MAX:
            raise CommandRejected(f"{_BATCH_EMIT.name}: a batch has at most {EVENTS_MAX} events; {_TOO_MANY}")
        weight = self._weight + weight_of(frozen)
        self._batches.check_weight(weight, frozen)
        self._weight = weight
        self._events.append(frozen)
        self._depth = max(self._depth, around.depth)

    def _check_open(self, call: Call) -> None:
        self._batches.check_here()
        if self._phase is not _Phase.OPEN:
            state = "has not begun" if self._phase is _Phase.NEW else "has ended"
            raise ConfigurationError(
                f"{call.name}: the batch {state}; write 'async with hub.batch() as batch:', and use it in the block"
            )

    async def __aenter__(self) -> Self:
        self._batches.check_here()
        if self._phase is not _Phase.NEW:
            raise ConfigurationError("hub.batch(): this batch was begun already; make a new one for each block")
        self._phase = _Phase.OPEN
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._phase = _Phase.ENDED
        events, self._events = self._events, []
        if exc_type is None and events:
            # What each event inherits it has taken over where it was emitted: here it may be another.
            around = attrs.evolve(EMPTY, depth=self._depth) if self._depth else EMPTY
            own = [self._own(event, _BATCH_EMIT) for event in events]
            self.committed = tuple(await self._batches.commit(own, around))
