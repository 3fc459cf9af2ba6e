"""Functions that listen: each gets its events one by one, and can be muted, or end, between any two of them."""

from __future__ import annotations

import inspect
import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from .._foreign.guards import expect, guarded_call
from .._foreign.threads import GuestThread
from ..context import cause
from ..events import Event
from .forms import Form, Surroundings
from .reports import Reports

__all__ = ("Function", "InLoop", "InThread", "LooksAhead", "OnLoop")


class _Halted(Exception):
    """The function is to get no event from this one on."""


class Function(Form):
    """A function that is called with one event at a time.

    What is called is replaced as long as there is more to it than a call, so a function that is neither muted nor to
    end pays for neither.
    """

    is_function = True
    is_divisible = True
    passed: int
    left_seq: int | None
    ends_at: float
    _reports: Reports

    def __init__(self, function: Callable[[Event], Any]) -> None:
        self.function: Callable[[Event], Any] = function
        self.current: Callable[[Event], Any] = function
        """What is called for the next event."""
        self._is_muted = False
        self._is_once = False
        self._stop_at = math.inf

    def connect(self, surroundings: Surroundings) -> None:
        self._reports = surroundings.reports
        self._is_once = surroundings.is_once
        self._arrange()

    def mute(self, *, is_muted: bool) -> None:
        self._is_muted = is_muted
        self._arrange()

    def stop(self, end: float) -> None:
        self._stop_at = min(self._stop_at, end)
        self._arrange()

    def _arrange(self) -> None:
        is_plain = not (self._is_muted or self._is_once) and self._stop_at == math.inf
        self.current = self.function if is_plain else self._checked

    def _checked(self, event: Event) -> Any:
        """Call the function if it is to be called with this event."""
        if event.seq >= min(self._stop_at, self.ends_at):
            raise _Halted
        if self._is_muted:
            self.passed += 1
            return self._nothing()
        if self._is_once:
            self.ends_at = min(self.ends_at, event.seq + 1)  # also if it fails now: it is tried again with this one
        return self.function(event)

    def _nothing(self) -> Any:
        """Return what a function returns that does nothing."""
        return None

    async def on_events(self, events: Sequence[Event]) -> None:
        self.passed = 0
        try:
            await self._handle(events)
        except _Halted:
            if self.left_seq is None:
                self.left_seq = events[self.handled()].seq

    @abstractmethod
    async def _handle(self, events: Sequence[Event]) -> None:
        """Call the function with each event."""


class OnLoop(Function):
    """An async function."""

    def __init__(self, function: Callable[[Event], Any]) -> None:
        super().__init__(function)
        self._handled = 0

    def handled(self) -> int:
        return self._handled

    def _nothing(self) -> Any:
        return _nothing()

    async def _handle(self, events: Sequence[Event]) -> None:
        self._handled = 0
        for event in events:
            cause(event)
            if (answer := await self.current(event)) is not None:
                self._reports.answered(event, answer)
            self._handled += 1


class LooksAhead(OnLoop):
    """An async function that is told which events come, so that it can begin with them before it is called."""

    def __init__(self, function: Callable[[Event], Any], look_ahead: Callable[[Sequence[Event]], Any]) -> None:
        super().__init__(function)
        self._look_ahead = look_ahead
        self._told: Sequence[Event] = ()
        self._begun_end = 0
        """Events below this ``seq`` are begun: it is called with them, though it is muted or to end by now."""

    async def _handle(self, events: Sequence[Event]) -> None:
        self._handled = 0
        try:
            if len(events) > 1 and self.current is self.function:
                self._told = events
                guarded_call(self._look_ahead, events)
            await super()._handle(events)
        finally:
            self._take_back()
            self._begun_end = 0

    def _arrange(self) -> None:
        super()._arrange()
        self._take_back()

    def _checked(self, event: Event) -> Any:
        return self.function(event) if event.seq < self._begun_end else super()._checked(event)

    def _take_back(self) -> None:
        """The function may not be called any more with what it was told, unless it has begun with it."""
        if not (told := self._told):
            return
        self._told = ()
        try:
            begun = expect(guarded_call(self._look_ahead, ()), int, "how many events were begun")
        except Exception as error:  # noqa: BLE001 - it is the function's own failure: what it has begun comes again
            self._reports.failed_in_part(error)
        else:
            self._begun_end = told[begun - 1].seq + 1 if 0 < begun <= len(told) else 0


class InLoop(OnLoop):
    """A sync function that is quick, by its owner's word: it is called on the loop."""

    def _nothing(self) -> Any:
        return None

    async def _handle(self, events: Sequence[Event]) -> None:
        self._handled = 0
        for event in events:
            cause(event)
            answer = self.current(event)
            if answer is not None and _is_awaitable(answer):
                answer = await answer
            if answer is not None:
                self._reports.answered(event, answer)
            self._handled += 1


class InThread(Function):
    """A sync function, which may block: it is called in a thread of its own, a batch at a time."""

    def __init__(self, function: Callable[[Event], Any], name: str) -> None:
        super().__init__(function)
        self._thread = GuestThread(name)
        self._pass = _Pass((), self)

    def handled(self) -> int:
        return self._pass.handled

    @property
    def still_running(self) -> int:
        return self._thread.still_running

    async def _handle(self, events: Sequence[Event]) -> None:
        mine = self._pass = _Pass(events, self)
        try:
            while mine.handled < len(events):
                awaitable: Any = await self._thread.call(mine.run)
                if awaitable is not None:
                    event = events[mine.handled]
                    cause(event)
                    if (answer := await awaitable) is not None:  # a function that returns a coroutine does not block
                        mine.answered(event, answer)
                    mine.handled += 1
        finally:
            mine.is_over = True
            if mine.first is not None:
                self._reports.answered(*mine.first, mine.answers)

    def end(self) -> None:
        self._thread.end()


class _Pass:
    """A way through a batch. One that was left behind in a thread must not count for the next."""

    def __init__(self, events: Sequence[Event], form: Function) -> None:
        self._events = events
        self._form = form
        self.handled: int = 0
        self.is_over: bool = False
        self.answers: int = 0
        """How often the function returned what is not None."""
        self.first: tuple[Event, Any] | None = None
        """The first event for which it did, and what it returned."""

    def answered(self, event: Event, answer: Any) -> None:
        """The function has returned what is not None."""
        self.answers += 1
        if self.first is None:
            self.first = event, answer

    def run(self) -> Any:
        """Call the function with the events, in the thread; return what has to be awaited on the loop."""
        for event in self._events[self.handled :]:
            if self.is_over:
                break
            cause(event)
            answer = self._form.current(event)
            if answer is not None:
                if _is_awaitable(answer):
                    return answer
                self.answered(event, answer)
            self.handled += 1
        return None


async def _nothing() -> None:
    """Do nothing, as an async function."""


def _is_awaitable(answer: object) -> bool:
    """Tell whether a returned value has to be awaited. One that raises when it is asked has not to be."""
    try:
        return guarded_call(inspect.isawaitable, answer)
    except Exception:  # noqa: BLE001 - the value is a stranger's: it is reported as what was returned
        return False
