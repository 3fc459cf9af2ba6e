"""The forms of a listener: how each of them gets a batch of events."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence

import attrs

from .._commit.pipeline import Pipeline
from .._values import Value
from ..context import cause
from ..events import Event
from ..ports import Clock
from .announcements import Announcements
from .duty import Duty
from .giving_up import LettersOf
from .reports import Reports

__all__ = ("Batches", "Composed", "Form", "OneByOne", "Surroundings")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Surroundings(Value):
    """What the form of an attached listener works with."""

    duty: Duty
    timeout: float
    is_once: bool
    reports: Reports
    letters: LettersOf
    announcements: Announcements
    pipeline: Pipeline
    clock: Clock
    held: object | None
    """What a call of the listener holds up besides the listener itself."""


class Form(ABC):
    """Hands events to a listener."""

    knows_place: bool = True
    """Whether :meth:`handled` says which event the listener is at."""

    is_function: bool = False
    """Whether this is a function: it can be asked to end between any two events."""

    is_divisible: bool = False
    """Whether several calls of it may be under way at once."""

    bounds_itself: bool = False
    """Whether its calls have their own times, so that a batch needs none."""

    is_retry: bool = False
    """Whether the events of the batch are dead letters, which the listener gets once more."""

    passed: int = 0
    """How many events of the batch went past the listener, because it was muted meanwhile."""

    left_seq: int | None = None
    """The ``seq`` of the first event that the listener was not called with, because it was to end before."""

    ends_at: float = math.inf
    """The listener comes to its end by itself once the events below this ``seq`` are handled, or given up."""

    def connect(self, surroundings: Surroundings) -> None:  # noqa: B027 - most forms need none of it
        """The listener is being attached."""

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

    def problem(self) -> str | None:
        """Return what the form does not do any more, None if all is well."""
        return None

    def is_calling(self) -> bool:
        """Return whether this code runs inside a call that the form makes by itself, in a task of its own."""
        return False

    def mute(self, *, is_muted: bool) -> None:  # noqa: B027 - by default it counts from the next batch on
        """Let events go past the listener from now on, or no longer."""

    def stop(self, end: float) -> None:  # noqa: B027 - most forms end after a batch
        """Call the listener with no event from this ``seq`` on."""

    def cut(self) -> None:  # noqa: B027 - most forms make no calls by themselves
        """There is no time left for what the form calls by itself."""

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
    """A listener that takes events one by one: a ``BaseHubListener``."""

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


class Composed(ABC):
    """A listener that says itself how it is called."""

    @abstractmethod
    def composed(self) -> Form:
        """Return its form, for one attachment."""
