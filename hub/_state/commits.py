"""What a turn commits in one command: a start completes what a crash has torn.

The events of a command are put at once, but a crash may leave the first of them alone in the journal. So a turn that
posts says first, in ``turn.committed``, all that follows: if the last command of a journal is not complete, the rest of
it is known, and is put before all else.

So the contents of its posts stand in the journal twice. The first record of a command has to hold what the others will:
a crash may keep it alone, what was journaled is never taken back, and a turn that runs again may differ.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import attrs

from .._values import Value
from ..events import (
    ActorStateSet,
    ChannelClosed,
    ChannelClosing,
    ChannelExpired,
    EnvelopeAcked,
    EnvelopeDispatchFailed,
    EnvelopeDropped,
    EnvelopePosted,
    Event,
    InboxPressured,
    TurnCommitted,
    TurnEnded,
    kind_class,
)
from ..events._event import HEADER, field_names

__all__ = ("Commits", "TornCommit", "written")

_KINDS: tuple[type[Event], ...] = (
    ActorStateSet,
    ChannelClosed,
    ChannelClosing,
    ChannelExpired,
    EnvelopeAcked,
    EnvelopeDispatchFailed,
    EnvelopeDropped,
    EnvelopePosted,
    InboxPressured,
    TurnEnded,
)
"""What the command of a turn can lead to."""
_STAMPED = frozenset({"seq", "id", "at", "hub", "depth"})
"""What the hub gives an event when it is put."""


@attrs.frozen(eq=False, repr=False)
class TornCommit(Value):
    """What is still to come of a command: fields of events, each with its ``kind``."""

    events: tuple[Any, ...]


class Commits:
    """The rest of the command that a turn commits; there is none but between two events of it."""

    entry_types: ClassVar[tuple[type, ...]] = (TornCommit,)

    def __init__(self) -> None:
        self._rest: deque[Any] = deque()

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        return {TurnCommitted: self._committed, **dict.fromkeys(_KINDS, self._came)}

    def snapshot(self) -> Sequence[TornCommit]:
        return (TornCommit(tuple(self._rest)),) if self._rest else ()

    def restore(self, entries: Sequence[TornCommit]) -> None:
        for entry in entries:
            self._rest = deque(entry.events)

    def repair(self) -> list[Event]:
        """Decide, after a replay, on what a crash has torn off."""
        return [event for fields in self._rest if (event := _read(fields)) is not None]

    def _committed(self, event: TurnCommitted) -> None:
        self._rest = deque(event.events)

    def _came(self, event: Event) -> None:
        if self._rest and _is_of(event, self._rest[0]):
            self._rest.popleft()


def written(events: Iterable[Event], around: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return events as ``turn.committed`` holds them; ``around`` is the context that they inherit."""
    return tuple(_written(event, around) for event in events)


def _written(event: Event, around: Mapping[str, Any]) -> dict[str, Any]:
    header, own = _names(type(event))
    # An own field may have another default in the version that reads it, so all of them are written.
    fields = {name: getattr(event, name) for name in own}
    for name in header:
        if (value := getattr(event, name)) is not None:
            fields[name] = value
    return {**around, **fields, "kind": event.kind}


_names_by_kind: dict[type[Event], tuple[tuple[str, ...], tuple[str, ...]]] = {}


def _names(cls: type[Event]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the fields of a kind that are the header's, but what the hub gives; and of its own."""
    found = _names_by_kind.get(cls)
    if found is None:
        names = [name for name in field_names(cls) if name not in _STAMPED]
        header = tuple(name for name in names if name in HEADER)
        found = _names_by_kind[cls] = header, tuple(name for name in names if name not in HEADER)
    return found


def _read(fields: Mapping[str, Any]) -> Event | None:
    cls = kind_class(fields["kind"])
    if cls is None or cls not in _KINDS:
        return None
    known = set(field_names(cls))
    return cls(**{name: value for name, value in fields.items() if name in known})


def _is_of(event: Event, fields: Mapping[str, Any]) -> bool:
    return event.kind == fields["kind"] and all(
        getattr(event, name, None) == fields.get(name) for name in ("agent_id", "channel_id", "envelope_id")
    )
