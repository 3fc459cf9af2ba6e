"""Repair at a start: what a crash interrupted is ended by events of the hub's own, in batches, and one at a time where
one cannot be put.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from .._foreign.guards import text_of
from .._state import State
from ..context import EMPTY
from ..errors import CallerError
from ..events import Event
from .pipeline import Pipeline

__all__ = ("SetAside", "repair")

BATCH = 256
_SHOWN_MAX = 5


class SetAside:
    """What could not be taken up at the start."""

    def __init__(self, report: Callable[[str, str, str], None]) -> None:
        """``report`` is called with the sort of thing, its id, and why it could not be taken up."""
        self.count: int = 0
        self._shown: list[str] = []
        self._report = report

    def add(self, sort: str, entry_id: str, reason: str) -> None:
        self.count += 1
        if len(self._shown) < _SHOWN_MAX:
            self._shown.append(f"{sort} {entry_id} ({reason})")
        self._report(sort, entry_id, reason)

    def problems(self) -> list[str]:
        if not self.count:
            return []
        more = f", and {self.count - len(self._shown)} more" if self.count > len(self._shown) else ""
        return [f"these could not be taken up at the start, and are as they were: {', '.join(self._shown)}{more}"]


async def repair(state: State, pipeline: Pipeline, aside: SetAside) -> None:
    """Put the events that repair the state, and let other tasks run between two batches."""
    left_out: set[tuple[str, ...]] = set()
    # First and at once, as the command would have done: what follows decides by what it has led to.
    if torn := state.commits.repair():
        _put(torn, pipeline, aside, left_out)
    events = state.repair()
    while events:
        batch, events = events[:BATCH], events[BATCH:]
        _put(batch, pipeline, aside, left_out)
        end = pipeline.ring.applied.value
        await asyncio.sleep(0)
        if events and pipeline.ring.applied.value != end:
            # A listener has changed the state meanwhile, so what was decided about it may be wrong.
            events = [event for event in state.repair() if _key(event) not in left_out]


def _put(batch: Sequence[Event], pipeline: Pipeline, aside: SetAside, left_out: set[tuple[str, ...]]) -> None:
    try:
        pipeline.put(batch, EMPTY)
    except CallerError as error:
        if len(batch) > 1:
            for event in batch:
                _put([event], pipeline, aside, left_out)
            return
        event = batch[0]
        left_out.add(_key(event))
        aside.add(f"the repair {event.kind} of", " ".join(_key(event)[1:]), text_of(error))


def _key(event: Event) -> tuple[str, ...]:
    """Return what the event ends."""
    names = ("channel_id", "agent_id", "turn_id", "call_id", "approval_id", "envelope_id")
    return (event.kind, *(str(value) for name in names if (value := getattr(event, name, None))))
