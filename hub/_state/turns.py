"""Open turns, model calls and tool calls: ``(absent) -- begun --> open -- ended or abandoned --> (absent)``.

They are facts that are emitted, and none is refused here. The machine remembers those whose end has not come, so that
the hub can report when it never comes. Facts with a ``source_id`` or ``occurred_at`` were recorded elsewhere: their
ends are in that record, if there are any, and are not waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

import attrs

from .._values import Value
from ..errors import ConfigurationError
from ..events import (
    AgentUnregistered,
    Event,
    ModelAbandoned,
    ModelCalled,
    ModelCompleted,
    ModelFailed,
    ToolAbandoned,
    ToolCalled,
    ToolCompleted,
    ToolFailed,
    TurnAbandoned,
    TurnEnded,
    TurnExtended,
    TurnFailed,
    TurnStarted,
)
from ..events._making import maker
from ..events._pairs import frozen_pair
from ..events._shown import number_of, shown
from .changing import changed
from .moments import deadline_ns, is_duration
from .owned import Owned

__all__ = ("OpenTurn", "Turns", "WatchLimits")

_FAMILIES = ("turn", "model", "tool")

Interrupted = Callable[[str, str], Sequence[Event]]
"""Decides, by agent and envelope, what becomes of an envelope whose turn came to no end."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class WatchLimits(Value):
    """How long the hub waits for the end of a turn, model call or tool call, and how many it remembers.

    When more than ``open_max`` are open, the oldest are abandoned first.
    """

    turn_seconds_max: float = 3600.0
    """From its beginning, or from the time to which :meth:`hubwire.Turn.extend` has extended it."""
    model_seconds_max: float = 600.0
    tool_seconds_max: float = 3600.0
    open_max: int = 10_000

    def __attrs_post_init__(self) -> None:
        for name in ("turn_seconds_max", "model_seconds_max", "tool_seconds_max"):
            value = getattr(self, name)
            seconds = number_of(value)
            if seconds is None or not is_duration(seconds):
                raise ConfigurationError(f"WatchLimits.{name} is a positive number of seconds, not {shown(value)}")
            object.__setattr__(self, name, seconds)
        if type(self.open_max) is not int or self.open_max < 1:
            raise ConfigurationError(f"WatchLimits.open_max is a whole number from 1 on, not {shown(self.open_max)}")


@frozen_pair
class OpenTurn(Value):
    """A turn, a model call or a tool call that has begun and not ended."""

    seq: int
    """Of the event that it has begun with, or was extended by the last time."""
    family: str
    """``turn``, ``model`` or ``tool``."""
    id: str
    """Its ``turn_id`` or ``call_id``."""
    name: str
    """The model or the tool; empty for a turn."""
    started_at: str
    deadline_ns: int
    agent_id: str | None
    session_id: str | None
    turn_id: str | None
    channel_id: str | None
    task_id: str | None
    envelope_id: str = ""
    """Of a turn: the envelope that it handles."""
    is_left_behind: bool = False
    """Whether its agent has left the hub, and the event that abandons it is still to come."""
    is_extended: bool = False

    @property
    def line(self) -> str | None:
        """Those that are due in the order in which they began: the family, without those that were extended."""
        return None if self.is_extended else self.family


_open_turn = maker(
    OpenTurn,
    "seq",
    "family",
    "id",
    "name",
    "started_at",
    "deadline_ns",
    "agent_id",
    "session_id",
    "turn_id",
    "channel_id",
    "task_id",
    "envelope_id",
)


class Turns:
    """Turns and calls that have begun and not ended, oldest first.

    Ids are unique within a turn: an end belongs to the beginning with its id, ``agent_id`` and ``turn_id``, or, where
    one of the two names no turn, or no agent, to the oldest that differs in no more than that. A second beginning with
    the same three replaces the first.
    """

    entry_types: ClassVar[tuple[type, ...]] = (OpenTurn,)

    def __init__(self, limits: WatchLimits | None = None) -> None:
        self._limits = limits or WatchLimits()
        # Only those that were extended have deadlines there: the others are due in the order in which they began.
        self._open: Owned[int, OpenTurn] = Owned(groups=("agent_id", "line", "id"), mark="is_left_behind")
        self._seconds_max = {
            "turn": self._limits.turn_seconds_max,
            "model": self._limits.model_seconds_max,
            "tool": self._limits.tool_seconds_max,
        }

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        return {
            AgentUnregistered: self._unregistered,
            TurnStarted: lambda event: self._begun("turn", event.turn_id, "", event, event.envelope_id),
            TurnExtended: self._extended,
            TurnEnded: self._turn_ended,
            TurnFailed: self._turn_ended,
            TurnAbandoned: self._turn_ended,
            ModelCalled: lambda event: self._begun("model", event.call_id, event.model, event),
            ModelCompleted: self._model_ended,
            ModelFailed: self._model_ended,
            ModelAbandoned: self._model_ended,
            ToolCalled: lambda event: self._begun("tool", event.call_id, event.tool, event),
            ToolCompleted: self._tool_ended,
            ToolFailed: self._tool_ended,
            ToolAbandoned: self._tool_ended,
        }

    def snapshot(self) -> Sequence[OpenTurn]:
        return tuple(self._open)

    def restore(self, entries: Sequence[OpenTurn]) -> None:
        for entry in entries:
            self._open.restore(entry.seq, entry, entry.deadline_ns if entry.is_extended else None)

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[OpenTurn]:
        return iter(tuple(self._open))

    def next_due_ns(self) -> int | None:
        if not self._open:
            return None
        if self._open.left_behind or len(self._open) > self._limits.open_max:
            return 0
        moments = [entry.deadline_ns for entry in self._open.oldest("line")]
        extended_ns = self._open.next_due_ns()
        return min(moments if extended_ns is None else [*moments, extended_ns])

    def due(self, now_ns: int, limit: int) -> list[Event]:
        """Decide which are abandoned, at most ``limit`` of them."""
        found = {
            entry.seq: "its agent left the hub" if entry.is_left_behind else self._late(entry.family)
            for entry in self._open.due(now_ns, limit)
        }
        crowded = len(self._open) - self._limits.open_max - len(self._open.left_behind)
        for entry in self._open if crowded > 0 else ():
            if crowded <= 0 or len(found) >= limit:
                break
            if entry.seq not in found:
                found[entry.seq] = f"more than {self._limits.open_max} have begun and not ended"
                crowded -= 1
        for family in _FAMILIES:
            for seq in self._open.ids("line", family):
                if len(found) >= limit or self._open[seq].deadline_ns > now_ns:
                    break
                found.setdefault(seq, self._late(family))
        return [_abandoned(self._open[seq], reason) for seq, reason in list(found.items())[:limit]]

    def _late(self, family: str) -> str:
        return f"its end has not come within {self._seconds_max[family]:g} s"

    def repair(
        self, interrupted: Interrupted = lambda *_: (), *, goes_on: Callable[[str], bool] = lambda _: False
    ) -> list[Event]:
        """Decide, after a replay, that no end will come: the agents that were at work stopped with the hub.

        ``interrupted`` decides what becomes of the envelope that an agent had in its hands. ``goes_on`` tells of which
        agents the actors run elsewhere, and did not stop: what they are at is left open.
        """
        elsewhere = {each for each in self._open.values_of("agent_id") if type(each) is str and goes_on(each)}
        going_on = {seq for agent_id in elsewhere for seq in self._in_envelopes(agent_id)}
        ended = [entry for entry in self._open if entry.seq not in going_on]
        return _ended_all(ended, "the hub was restarted", interrupted)

    def interrupted(self, agent_id: str, reason: str, interrupted: Interrupted = lambda *_: ()) -> list[Event]:
        """Decide that the turns in which an agent's actor handles envelopes, and all that is called in them, are over.

        ``interrupted`` decides what becomes of these envelopes: by default they stay as they are.
        """
        return _ended_all([self._open[seq] for seq in self._in_envelopes(agent_id)], reason, interrupted)

    def _in_envelopes(self, agent_id: str) -> list[int]:
        """Return which are turns of an agent that handle envelopes, and what is called in these."""
        seqs = [*self._open.ids("agent_id", agent_id)]
        turns = {self._open[seq].id for seq in seqs if self._open[seq].envelope_id}
        return [seq for seq in seqs if self._open[seq].turn_id in turns or self._open[seq].envelope_id]

    def _begun(
        self,
        family: str,
        id: str | None,  # noqa: A002 - the field's name
        name: str,
        event: Event,
        envelope_id: str = "",
    ) -> None:
        recorded_elsewhere = event.source_id is not None or event.occurred_at is not None
        # They are emitted with any values: one that no end could name is not waited for.
        if recorded_elsewhere or not (isinstance(id, str) and id and isinstance(name, str)):
            return
        if (earlier := self._find(family, id, event, is_exact=True)) is not None:
            self._open.remove(earlier)
        entry = _open_turn(
            seq=event.seq,
            family=family,
            id=id,
            name=name,
            started_at=event.at,
            deadline_ns=deadline_ns(event.at, self._seconds_max[family]),
            agent_id=event.agent_id,
            session_id=event.session_id,
            turn_id=event.turn_id,
            channel_id=event.channel_id,
            task_id=event.task_id,
            envelope_id=envelope_id,
        )
        self._open.add(entry.seq, entry)

    def _extended(self, event: TurnExtended) -> None:
        """Wait for the end of a turn as long as after its beginning, from the time on that it has asked for."""
        is_found = isinstance(event.turn_id, str) and is_duration(event.seconds)
        seq = self._find("turn", event.turn_id or "", event, is_exact=True) if is_found else None
        if seq is None or (entry := self._open[seq]).is_left_behind:
            return
        due_ns = deadline_ns(event.at, event.seconds + self._seconds_max["turn"])
        if due_ns > entry.deadline_ns:
            self._open.remove(seq)  # with another seq: a deadline of the one before does not count any more
            extended = changed(entry, {"seq": event.seq, "deadline_ns": due_ns, "is_extended": True})
            self._open.add(event.seq, extended, due_ns)

    def _ended(self, family: str, id: str | None, event: Event) -> None:  # noqa: A002 - the field's name
        if isinstance(id, str) and (seq := self._find(family, id, event)) is not None:
            self._open.remove(seq)

    def _find(self, family: str, id: str, event: Event, *, is_exact: bool = False) -> int | None:  # noqa: A002
        """Return the ``seq`` of the beginning with the id, agent and turn of this event.

        If there is none, and it need not be exact, return the oldest where one of the two names no turn; then, where
        one of the two names no agent.
        """
        without_turn: int | None = None
        without_agent: int | None = None
        for seq in self._open.ids("id", id):
            entry = self._open[seq]
            is_of_turn = entry.turn_id == event.turn_id
            if entry.family != family or not (is_of_turn or entry.turn_id is None or event.turn_id is None):
                continue
            if entry.agent_id == event.agent_id:
                if is_of_turn:
                    return seq
                without_turn = seq if without_turn is None else without_turn
            elif entry.agent_id is None or event.agent_id is None:
                without_agent = seq if without_agent is None else without_agent
        return None if is_exact else without_agent if without_turn is None else without_turn

    def _unregistered(self, event: AgentUnregistered) -> None:
        self._open.leave_behind("agent_id", event.agent_id, mark=True)

    def _turn_ended(self, event: Event) -> None:
        self._ended("turn", event.turn_id, event)

    def _model_ended(self, event: ModelCompleted | ModelFailed | ModelAbandoned) -> None:
        self._ended("model", event.call_id, event)

    def _tool_ended(self, event: ToolCompleted | ToolFailed | ToolAbandoned) -> None:
        self._ended("tool", event.call_id, event)


def _ended_all(entries: Iterable[OpenTurn], reason: str, interrupted: Interrupted) -> list[Event]:
    events: list[Event] = []
    counted: set[tuple[str, str]] = set()
    for entry in entries:
        events.append(_abandoned(entry, reason))
        if entry.envelope_id and entry.agent_id and (at := (entry.agent_id, entry.envelope_id)) not in counted:
            counted.add(at)
            events += interrupted(*at)
    return events


def _abandoned(entry: OpenTurn, reason: str) -> Event:
    about: dict[str, Any] = {
        "agent_id": entry.agent_id,
        "session_id": entry.session_id,
        "turn_id": entry.turn_id,
        "channel_id": entry.channel_id,
        "task_id": entry.task_id,
        "reason": reason,
        "started_at": entry.started_at,
    }
    if entry.family == "turn":
        return TurnAbandoned(**about)
    if entry.family == "model":
        return ModelAbandoned(**about, model=entry.name, call_id=entry.id)
    return ToolAbandoned(**about, tool=entry.name, call_id=entry.id)
