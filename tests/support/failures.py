"""What the tests of failures share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hubwire import BaseHubListener, Event
from hubwire.testing import Recorder
from support import numbers


class Failing(Recorder):
    """Fails at the numbers it was told; a plain listener, which has handled nothing of a batch that fails."""

    def __init__(self, *bad: int, error: Callable[[], BaseException] = lambda: ValueError("bad number")) -> None:
        super().__init__()
        self.bad = set(bad)
        self.error = error
        self.given: list[list[int]] = []

    async def on_events(self, events: Sequence[Event]) -> None:
        self.given.append(numbers(events))
        if self.bad.intersection(numbers(events)):
            raise self.error()
        await super().on_events(events)


class FailingByHook(BaseHubListener):
    """Fails at the numbers it was told, and knows its place."""

    def __init__(self, *bad: int) -> None:
        self.bad = set(bad)
        self.heard: list[int] = []

    async def on_event(self, event: Event) -> None:
        if self.bad.intersection(numbers([event])):
            raise ValueError("bad number")
        self.heard += numbers([event])


# --- BEST_EFFORT: whatever is raised --------------------------------------------------------------------------------


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")

    __repr__ = __str__
