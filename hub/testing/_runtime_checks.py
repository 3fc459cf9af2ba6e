"""What the contract of adapters asks of events that were recorded, and of what is left running."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from .. import Event, Hub
from ..errors import HubFailed

__all__ = ("approve_all", "check_pairs", "check_together", "of", "steps", "tasks_now")

_BEGINNINGS = {"turn.started": "turn", "model.called": "model", "tool.called": "tool"}
_ENDS = ("completed", "failed", "ended", "abandoned")


def of(events: Sequence[Event], kind: str) -> list[Any]:
    """Return the events of one kind."""
    return [event for event in events if event.kind == kind]


def check_pairs(events: Sequence[Event]) -> None:
    """Assert that all that has begun has ended, once, and nothing else."""
    open_calls: dict[tuple[str, str | None, str], Event] = {}
    for event in events:
        family, _, last = event.kind.partition(".")
        if event.kind in _BEGINNINGS:
            key = (family, event.turn_id, getattr(event, "call_id", ""))
            assert key not in open_calls, f"{key} begins twice"
            open_calls[key] = event
        elif family in ("turn", "model", "tool") and last in _ENDS:
            key = (family, event.turn_id, getattr(event, "call_id", ""))
            assert open_calls.pop(key, None) is not None, f"{event.kind} of {key}, which has not begun"
    assert open_calls == {}, f"these have not ended: {list(open_calls)}"


async def approve_all(hub: Hub) -> None:
    """Approve what waits, as a person at the dashboard would, until this is cancelled."""
    try:
        async for event in hub.events(after=-1, pattern="approval.challenge_issued"):
            if any(each.approval_id == event.approval_id for each in hub.approvals.pending()):  # type: ignore[attr-defined]
                await hub.approvals.answer(event.approval_id, "ann", is_passed=True)  # type: ignore[attr-defined]
    except HubFailed:
        return


def check_together(events: Sequence[Event], *, has_turns: bool) -> None:
    """Assert that events of a runtime are of one run, or of one session, and that each is where it belongs."""
    told = [event for event in events if event.source is not None]
    correlations, sessions = ({getattr(event, name) for event in told} for name in ("correlation_id", "session_id"))
    assert len(correlations) == 1 or (len(sessions) == 1 and None not in sessions), (correlations, sessions)
    if not has_turns:
        return
    begun = {event.id for event in told}
    roots = [event for event in told if event.causation_id not in begun]
    assert all(event.kind == "turn.started" for event in roots), [(event.kind, event) for event in roots]


def steps(events: Sequence[Event]) -> list[tuple[str, str]]:
    """Return what has begun and ended, in order, without what a loaded machine adds."""
    families = ("turn", "tool")
    return [(each.kind, getattr(each, "tool", "")) for each in events if each.kind.partition(".")[0] in families]


def tasks_now() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if not task.done()}
