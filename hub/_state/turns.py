"""Open turns, model calls and tool calls: ``(absent) -- begun --> open -- ended or abandoned --> (absent)``.

They are facts that are emitted, and none is refused here. The machine remembers those whose end has not come, so that
the hub can report when it never comes. Facts with a ``source_id`` or ``occurred_at`` were recorded elsewhere: their
ends are in that record, if there are any, and are not waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import attrs

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
    TurnFailed,
    TurnStarted,
)
from .moments import deadline_ns
from .owned import Owned

__all__ = ("OpenTurn", "Turns", "WatchLimits")

_FAMILIES = ("turn", "model", "tool")


@attrs.frozen(kw_only=True)
class WatchLimits:
    """How long the hub waits for the end of a turn, model call or tool call, and how many it remembers.

    When more than ``open_max`` are open, the oldest are abandoned first.
    """

    turn_seconds_max: float = 3600.0
    model_seconds_max: float = 600.0
    tool_seconds_max: float = 3600.0
    open_max: int = 10_000


@attrs.frozen(kw_only=True)
class OpenTurn:
    """A turn, a model call or a tool call that has begun and not ended."""

    seq: int
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
    is_left_behind: bool = False
    """Whether its agent has left the hub, and the event that abandons it is still to come."""


class Turns:
    """Turns and calls that have begun and not ended, oldest first.

    Ids are unique within an agent: an end belongs to the beginning with its id and its ``agent_id``, or, if one of the
    two names no agent, to the oldest with its id. A second beginning with the same id and agent replaces the first.
    """

    entry_types: ClassVar[tuple[type, ...]] = (OpenTurn,)

    def __init__(self, limits: WatchLimits | None = None) -> None:
        self._limits = limits or WatchLimits()
        # They have no deadlines there: within a family they are due in the order in which they began.
        self._open: Owned[int, OpenTurn] = Owned(groups=("agent_id", "family", "id"), mark="is_left_behind")
        self._seconds_max = {
            "turn": self._limits.turn_seconds_max,
            "model": self._limits.model_seconds_max,
            "tool": self._limits.tool_seconds_max,
        }

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        return {
            AgentUnregistered: self._unregistered,
            TurnStarted: lambda event: self._begun("turn", event.turn_id, "", event),
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
            self._open.restore(entry.seq, entry)

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[OpenTurn]:
        return iter(tuple(self._open))

    def next_due_ns(self) -> int | None:
        if not self._open:
            return None
        if self._open.left_behind or len(self._open) > self._limits.open_max:
            return 0
        return min([entry.deadline_ns for entry in self._open.oldest("family")])

    def due(self, now_ns: int, limit: int) -> list[Event]:
        """Decide which are abandoned, at most ``limit`` of them."""
        found = {entry.seq: "its agent left the hub" for entry in self._open.due(now_ns, limit)}
        crowded = len(self._open) - self._limits.open_max - len(self._open.left_behind)
        for entry in self._open if crowded > 0 else ():
            if crowded <= 0 or len(found) >= limit:
                break
            if entry.seq not in found:
                found[entry.seq] = f"more than {self._limits.open_max} have begun and not ended"
                crowded -= 1
        for family in _FAMILIES:
            for seq in self._open.ids("family", family):
                if len(found) >= limit or self._open[seq].deadline_ns > now_ns:
                    break
                found.setdefault(seq, f"its end has not come within {self._seconds_max[family]:g} s")
        return [_abandoned(self._open[seq], reason) for seq, reason in list(found.items())[:limit]]

    def repair(self) -> list[Event]:
        """Decide, after a replay, that no end will come: the agents that were at work stopped with the hub."""
        return [_abandoned(entry, "the hub was restarted") for entry in self._open]

    def _begun(self, family: str, id: str | None, name: str, event: Event) -> None:  # noqa: A002 - the field's name
        recorded_elsewhere = event.source_id is not None or event.occurred_at is not None
        # They are emitted with any values: one that no end could name is not waited for.
        if recorded_elsewhere or not (isinstance(id, str) and id and isinstance(name, str)):
            return
        if (earlier := self._find(family, id, event.agent_id, is_exact=True)) is not None:
            self._open.remove(earlier)
        entry = OpenTurn(
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
        )
        self._open.add(entry.seq, entry)

    def _ended(self, family: str, id: str | None, event: Event) -> None:  # noqa: A002 - the field's name
        if isinstance(id, str) and (seq := self._find(family, id, event.agent_id)) is not None:
            self._open.remove(seq)

    def _find(self, family: str, id: str, agent_id: str | None, *, is_exact: bool = False) -> int | None:  # noqa: A002
        """Return the ``seq`` of the beginning with this id and agent.

        If there is none, and it need not be exact, return the oldest with this id where one of the two names no agent.
        """
        loose: int | None = None
        for seq in self._open.ids("id", id):
            entry = self._open[seq]
            if entry.family == family:
                if entry.agent_id == agent_id:
                    return seq
                if loose is None and (agent_id is None or entry.agent_id is None):
                    loose = seq
        return None if is_exact else loose

    def _unregistered(self, event: AgentUnregistered) -> None:
        self._open.leave_behind("agent_id", event.agent_id, mark=True)

    def _turn_ended(self, event: Event) -> None:
        self._ended("turn", event.turn_id, event)

    def _model_ended(self, event: ModelCompleted | ModelFailed | ModelAbandoned) -> None:
        self._ended("model", event.call_id, event)

    def _tool_ended(self, event: ToolCompleted | ToolFailed | ToolAbandoned) -> None:
        self._ended("tool", event.call_id, event)


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
