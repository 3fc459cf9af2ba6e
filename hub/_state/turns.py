"""What was begun and has not ended: turns, model calls and tool calls, ``begun -- end or abandoned --> (absent)``.

They are facts that anybody emits; nothing is refused here. The machine remembers those whose end has not come, so that
the hub can say in the end that it never did. What carries a ``source_id`` or ``occurred_at`` was recorded elsewhere:
its end is in that record or nowhere, and nobody waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
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

__all__ = ("OpenTurn", "Turns", "WatchLimits")

_FAMILIES = ("turn", "model", "tool")


@attrs.frozen(kw_only=True)
class WatchLimits:
    """How long the hub waits for the end of what was begun, and how much of it it remembers.

    When more than ``open_max`` have begun and not ended, the oldest are abandoned first.
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
    """Whether its agent has left the hub, which has still to say so of this."""


class Turns:
    """What was begun and has not ended, oldest first.

    Ids are unique within an agent: an end belongs to the beginning with its id and its ``agent_id``, or, if one of the
    two names no agent, to the oldest with its id. A second beginning with the same id and agent replaces the first.
    """

    entry_types: ClassVar[tuple[type, ...]] = (OpenTurn,)

    def __init__(self, limits: WatchLimits | None = None) -> None:
        self._limits = limits or WatchLimits()
        self._open: dict[int, OpenTurn] = {}
        self._orders: dict[str, dict[int, None]] = {family: {} for family in _FAMILIES}
        self._seqs: dict[tuple[str, str], tuple[int, ...]] = {}
        self._by_agent: dict[str, dict[int, None]] = {}
        self._left_behind: dict[int, None] = {}
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
        return tuple(self._open.values())

    def restore(self, entries: Sequence[OpenTurn]) -> None:
        for entry in entries:
            self._remember(entry)

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[OpenTurn]:
        return iter(tuple(self._open.values()))

    def next_due_ns(self) -> int | None:
        """Return when :meth:`due` will have something; 0 for now, None for never."""
        if not self._open:
            return None
        if self._left_behind or len(self._open) > self._limits.open_max:
            return 0
        return min((entry.deadline_ns for entry in self._oldest()), default=None)

    def due(self, now_ns: int, limit: int) -> list[Event]:
        """Decide which ends are no longer expected, at most ``limit`` of them."""
        # No more of them than fit: they may be many, and are asked about again and again.
        found = dict.fromkeys(islice(self._left_behind, limit), "its agent left the hub")
        crowded = len(self._open) - self._limits.open_max - len(self._left_behind)
        for seq in self._open if crowded > 0 else ():
            if crowded <= 0 or len(found) >= limit:
                break
            if seq not in found:
                found[seq] = f"more than {self._limits.open_max} have begun and not ended"
                crowded -= 1
        for family, order in self._orders.items():
            for seq in order:
                if len(found) >= limit or self._open[seq].deadline_ns > now_ns:
                    break
                found.setdefault(seq, f"its end has not come within {self._seconds_max[family]:g} s")
        return [_abandoned(self._open[seq], reason) for seq, reason in list(found.items())[:limit]]

    def repair(self) -> list[Event]:
        """Decide, after a replay, that no end comes any more: who was at work died with the hub."""
        return [_abandoned(entry, "the hub was restarted") for entry in self._open.values()]

    def _oldest(self) -> Iterator[OpenTurn]:
        for order in self._orders.values():
            for seq in order:
                yield self._open[seq]
                break

    def _begun(self, family: str, id: str | None, name: str, event: Event) -> None:  # noqa: A002 - the field's name
        recorded_elsewhere = event.source_id is not None or event.occurred_at is not None
        # Anybody may emit these, with anything in them: what no end could name is not waited for.
        if recorded_elsewhere or not (isinstance(id, str) and id and isinstance(name, str)):
            return
        for seq in self._seqs.get((family, id), ()):
            if self._open[seq].agent_id == event.agent_id:
                self._forget(seq)
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
        self._remember(entry)

    def _remember(self, entry: OpenTurn) -> None:
        key = (entry.family, entry.id)
        self._open[entry.seq] = entry
        self._seqs[key] = (*self._seqs.get(key, ()), entry.seq)
        self._orders[entry.family][entry.seq] = None
        if entry.agent_id is not None:
            self._by_agent.setdefault(entry.agent_id, {})[entry.seq] = None
        if entry.is_left_behind:
            self._left_behind[entry.seq] = None

    def _ended(self, family: str, id: str | None, event: Event) -> None:  # noqa: A002 - the field's name
        seqs = self._seqs.get((family, id), ()) if isinstance(id, str) else ()
        same = [seq for seq in seqs if self._open[seq].agent_id == event.agent_id]
        loose = [seq for seq in seqs if event.agent_id is None or self._open[seq].agent_id is None]
        for seq in (same or loose)[:1]:
            self._forget(seq)

    def _forget(self, seq: int) -> None:
        entry = self._open.pop(seq)
        key = (entry.family, entry.id)
        rest = tuple(other for other in self._seqs[key] if other != seq)
        if rest:
            self._seqs[key] = rest
        else:
            del self._seqs[key]
        del self._orders[entry.family][seq]
        self._left_behind.pop(seq, None)
        if entry.agent_id is not None:
            of_agent = self._by_agent[entry.agent_id]
            del of_agent[seq]
            if not of_agent:
                del self._by_agent[entry.agent_id]

    def _unregistered(self, event: AgentUnregistered) -> None:
        for seq in self._by_agent.get(event.agent_id or "", ()):
            self._open[seq] = attrs.evolve(self._open[seq], is_left_behind=True)
            self._left_behind[seq] = None

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
