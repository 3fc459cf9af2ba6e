"""Redaction at ingress: what is applied, journaled and delivered of an event is what the rules leave of it.

Here, an event has to stay what it is: the state machines are about to apply it. So its class stays, and all by which
events refer to each other: ids, names of agents, keys, topics. What agents and programs say is redacted: payloads,
contents, results, states, reasons, metadata.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import EventInvalid
from ..events import EnvelopePosted, Event, GenericEvent
from ..events._canonical import FrozenDict
from ..events._event import evolve
from ..events._pairs import fields_of
from ..events._stamp import Context, stamp
from ._events import STAMP, is_own_kind, names_of
from .redactor import Redactor

__all__ = ("IngressRedaction",)

_CONTEXT = ("source", "actor", "metadata")
"""What is text of the program's own in the context of each event; all else there is a reference."""

_OF_OUR_KINDS = frozenset(
    """
    checkpoint content data detail error_context error_message observation passport payload preview progress prompt
    reason request response result resume skill state steps surroundings text title
    """.split()
)
"""The fields of the hub's own kinds that hold what agents say. ``events`` of a turn hold what is redacted already."""

_BESIDE = {"channel.created": {"topic"}, "tool.called": {"arguments"}}
"""Fields that are references in other kinds. A person who approves ``arguments`` has to see what will be done."""

_DERIVED = "channel_state"
"""What a type of channels makes of a content. Where that is clean, this is."""

_SUBSTITUTES: tuple[Any, ...] = ("[redacted]", ("[redacted]",), {}, (), 0, 0.0, False, None)
"""For a value that the type of its field does not let be what stands for it; the first that it takes is used."""


class IngressRedaction:
    """Redacts stamped events, and contents before they are decided about."""

    def __init__(self, redactor: Redactor, bytes_max: int) -> None:
        self.redactor: Redactor = redactor
        self.withheld: int = 0
        """Of how many values the contents were left out, because they could not be redacted."""
        self._bytes_max = bytes_max
        self._fields: dict[type[Event], tuple[str, ...]] = {}

    def value(self, value: Any) -> Any:
        """Return a content, redacted: the value itself if it has no finding."""
        made = self.redactor.redact(value)
        if made is not value and type(made) is FrozenDict and made.keys() == {"$redacted"}:
            self.withheld += 1
        return made

    def marked(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return the events of a post whose content was redacted before: the one that holds it says by which rules."""
        return [
            evolve(event, metadata={**(event.metadata or {}), STAMP: self.redactor.stamp})
            if isinstance(event, EnvelopePosted)
            else event
            for event in events
        ]

    def event(self, event: Event) -> Event:
        """Return a stamped event, redacted and as it would have been stamped; itself if it has no finding."""
        kind = type(event)
        names = self._fields.get(kind)
        if names is None:
            names = self._fields[kind] = (*_CONTEXT, *_names(kind))
        given = {name: value for name in names if (value := getattr(event, name)) is not None}
        if self._is_clean(tuple(given.values()) if is_own_kind(kind) else given):
            return event
        changes = self._changes(event, given)
        if not changes:
            return event
        if hasattr(event, _DERIVED) and getattr(event, _DERIVED) is not None:
            changes[_DERIVED] = self.value(getattr(event, _DERIVED))
        return self._stamped(event, changes)

    def _is_clean(self, value: Any) -> bool:
        try:
            return self.redactor.is_clean(value)
        except KeyboardInterrupt:  # it is meant for the program
            raise
        except BaseException:  # noqa: BLE001 - a rule has failed: it is called again, and its failure is counted, below
            return False

    def _changes(self, event: Event, given: dict[str, Any]) -> dict[str, Any]:
        """Return the fields that are other ones when they are redacted."""
        if is_own_kind(type(event)):  # its names are no hint
            return {name: made for name, value in given.items() if (made := self.value(value)) is not value}
        context = {name: given.pop(name) for name in _CONTEXT if name in given}
        changes = {name: made for name, value in context.items() if (made := self.value(value)) is not value}
        made_own = self.value(given)
        if made_own.keys() != given.keys():  # withheld as a whole
            return changes | dict.fromkeys(given, made_own)
        return changes | {name: made for name, made in made_own.items() if made is not given[name]}

    def _stamped(self, event: Event, changes: dict[str, Any]) -> Event:
        try:
            return self._fitted(event, changes)
        except EventInvalid:
            pass
        fitting: dict[str, Any] = {}
        for name, made in changes.items():  # a field takes no text, or no container
            for substitute in (made, *_SUBSTITUTES):
                try:
                    self._fitted(event, {name: substitute})
                except EventInvalid:
                    continue
                if substitute != getattr(event, name):
                    fitting[name] = substitute
                break
            else:
                fitting[name] = made  # its type takes none of them: the event is refused
        return self._fitted(event, fitting) if fitting else event

    def _fitted(self, event: Event, changes: dict[str, Any]) -> Event:
        metadata = changes.get("metadata", event.metadata) or {}
        marked = {**changes, "metadata": {**metadata, STAMP: self.redactor.stamp}}
        around = Context(depth=event.depth)
        return stamp(_copy_of(event, marked), event.seq, event.id, event.at, event.hub, around, self._bytes_max)


def _copy_of(event: Event, changes: dict[str, Any]) -> Event:
    """Return a copy with these changes, without what a class of the program's own does or checks when it is made."""
    kind = type(event)
    copy: Any = object.__new__(kind.__mro__[1])
    for field in fields_of(kind):
        setattr(copy, field.name, changes.get(field.name, getattr(event, field.name)))
    copy.__class__ = kind
    made: Event = copy
    return made


def _names(kind: type[Event]) -> tuple[str, ...]:
    """Return the names of a kind's own fields that are redacted at ingress."""
    names = names_of(kind)
    if not is_own_kind(kind) or kind is GenericEvent:
        return names
    wanted = _OF_OUR_KINDS | _BESIDE.get(str(kind.kind), set())
    return tuple(name for name in names if name in wanted)
