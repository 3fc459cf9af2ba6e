"""Histories written by hand, for the board: a second between one event and the next."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hubwire.board import Board, BoardLimits
from hubwire.events import AgentRegistered, Event, canonical, evolve

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def at(second: float) -> str:
    """The time of an event, so many seconds after the first."""
    return (START + dt.timedelta(seconds=second)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def told(*events: Event, start: int = 0, hub: str = "h") -> list[Event]:
    """Stamp events, as a hub would."""
    return [
        evolve(each, seq=seq, id=f"event {hub} {seq}", at=at(seq), hub=hub, **_canonical(each))
        for seq, each in enumerate(events, start)
    ]


def _canonical(event: Event) -> dict[str, Any]:
    payloads = ("content", "arguments", "passport", "rule", "data", "metadata", "progress", "result")
    return {name: canonical(getattr(event, name)) for name in payloads if getattr(event, name, None) is not None}


def board_of(*events: Event, limits: BoardLimits | None = None, tenant: str | None = None) -> Board:
    board = Board(limits=limits, tenant=tenant)
    board.fold_all(told(*events))
    return board


def agent(agent_id: str, **fields: Any) -> AgentRegistered:
    return AgentRegistered(name=f"name of {agent_id}", agent_id=agent_id, **fields)
