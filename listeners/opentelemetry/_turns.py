"""Turns that are open, and which of them an event is part of that does not name its turn."""

from __future__ import annotations

from collections.abc import Iterator

from hubwire import Event

from .._open_calls import id_of
from ._attributes import text_of
from ._span import Begun

__all__ = ("OpenTurns",)

_LOOKED_AT_MAX = 100

_Agent = str | int


class OpenTurns:
    """By agent, the turns that it is in: an actor may handle many envelopes at once."""

    def __init__(self) -> None:
        self._turns: dict[_Agent, dict[int, Begun]] = {}
        self._handling: dict[tuple[_Agent, _Agent], Begun] = {}
        """By agent and what it handles: the id of an envelope, or of the event with it."""

    def __len__(self) -> int:
        return len(self._turns)

    def begin(self, begun: Begun, event: Event) -> None:
        """A turn has begun with this event."""
        if begun.agent_id is None:
            return
        self._turns.setdefault(begun.agent_id, {})[begun.place.span_id] = begun
        begun.handles = tuple(_handled(event))
        for each in begun.handles:
            self._handling[begun.agent_id, each] = begun

    def end(self, begun: Begun) -> None:
        """A turn has ended."""
        agent = begun.agent_id
        if agent is None or agent not in self._turns:
            return
        turns = self._turns[agent]
        turns.pop(begun.place.span_id, None)
        if not turns:
            del self._turns[agent]
        for each in begun.handles:
            if self._handling.get((agent, each)) is begun:
                del self._handling[agent, each]

    def of(self, event: Event) -> Begun | None:
        """Return the turn in which the agent of an event handles what the event came of, or is about.

        Else it is the only turn of the agent with the correlation id of the event, or the only one at all.
        """
        agent = id_of(event.agent_id)
        turns = self._turns.get(agent) if agent is not None else None
        if agent is None or not turns:
            return None
        for each in _handled(event):
            if (found := self._handling.get((agent, each))) is not None:
                return found
        if len(turns) > 1 and event.correlation_id is not None and len(turns) <= _LOOKED_AT_MAX:
            alike = [begun for begun in turns.values() if begun.correlation_id == id_of(event.correlation_id)]
            return alike[0] if len(alike) == 1 else None
        return next(iter(turns.values())) if len(turns) == 1 else None


def _handled(event: Event) -> Iterator[_Agent]:
    for text in (event.causation_id, text_of(event, "envelope_id")):
        if text and (handled := id_of(text)) is not None:
            yield handled
