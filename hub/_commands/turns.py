"""``hub.turns``: turns, model calls and tool calls that have begun and not ended."""

from __future__ import annotations

from .._state.turns import OpenTurn, Turns

__all__ = ("TurnCommands",)


class TurnCommands:
    """``hub.turns``: turns, model calls and tool calls whose end has not come.

    They are facts: emit them, ``hub.emit(ToolCalled(...))``. The hub remembers each beginning, and reports it by
    ``turn.abandoned``, ``model.abandoned`` or ``tool.abandoned`` when its end has not come in the time that
    :class:`~hubwire.WatchLimits` gives it, when its agent leaves the hub, and when the hub is restarted. What has a
    ``source_id`` or ``occurred_at`` was recorded elsewhere, and is not watched.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def open(self) -> tuple[OpenTurn, ...]:
        """Return what has begun and not ended, oldest first."""
        return tuple(self._turns)
