"""The forms of a listener: how each of them gets a batch of events."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from .._foreign.threads import GuestThread
from ..context import cause
from ..events import Event

__all__ = ("Batches", "Form", "InLoop", "InThread", "OneByOne")


class Form(ABC):
    """Hands events to a listener."""

    knows_place: bool = True
    """Whether :meth:`handled` says which event the listener is at."""

    def handled(self) -> int:
        """Return how many events of the batch are handled, now or when it failed."""
        return 0

    @property
    def still_running(self) -> int:
        """How many calls were left behind in threads, and go on."""
        return 0

    @abstractmethod
    async def on_events(self, events: Sequence[Event]) -> None:
        """Have the listener handle a batch. Raises what it raises."""

    def end(self) -> None:  # noqa: B027 - most forms hold no resource
        """There are no more events."""


class Batches(Form):
    """A listener that takes a batch as a whole."""

    knows_place = False

    def __init__(self, on_events: Callable[[Sequence[Event]], Awaitable[None]]) -> None:
        self._on_events = on_events

    async def on_events(self, events: Sequence[Event]) -> None:
        await self._on_events(events)


class OneByOne(Form):
    """A listener that takes events one by one: a ``BaseHubListener``, or an async function."""

    def __init__(self, on_event: Callable[[Event], Awaitable[None]]) -> None:
        self._on_event = on_event
        self._handled = 0

    def handled(self) -> int:
        return self._handled

    async def on_events(self, events: Sequence[Event]) -> None:
        on_event = self._on_event
        self._handled = 0
        for event in events:
            cause(event)
            await on_event(event)
            self._handled += 1


class InLoop(OneByOne):
    """A sync function that is quick, by its owner's word: it is called on the loop."""

    def __init__(self, function: Callable[[Event], object]) -> None:
        async def on_event(event: Event) -> None:
            result: Any = function(event)
            if result is not None and inspect.isawaitable(result):
                await result

        super().__init__(on_event)


class InThread(Form):
    """A sync function, which may block: it is called in a thread of its own, a batch at a time."""

    def __init__(self, function: Callable[[Event], object], name: str) -> None:
        self._function = function
        self._thread = GuestThread(name)
        self._pass = _Pass(())

    def handled(self) -> int:
        return self._pass.handled

    @property
    def still_running(self) -> int:
        return self._thread.still_running

    async def on_events(self, events: Sequence[Event]) -> None:
        mine = self._pass = _Pass(events)
        try:
            while mine.handled < len(events):
                result: Any = await self._thread.call(mine.run, self._function)
                if result is not None:
                    await result  # a function that returns a coroutine does not block
                    mine.handled += 1
        finally:
            mine.is_over = True

    def end(self) -> None:
        self._thread.end()


class _Pass:
    """A way through a batch. One that was left behind in a thread must not count for the next."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events
        self.handled: int = 0
        self.is_over: bool = False

    def run(self, function: Callable[[Event], object]) -> object:
        """Call the function with the events, in the thread; return what has to be awaited on the loop."""
        for event in self._events[self.handled :]:
            if self.is_over:
                break
            cause(event)
            result = function(event)
            if result is not None and inspect.isawaitable(result):
                return result
            self.handled += 1
        return None
