"""Side by side: a function with ``concurrency`` has several calls under way, and no position passes one of them.

The position is the first event whose call has not ended. After a crash a DURABLE function gets again what comes from
there on, also what it had handled out of turn.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable, Sequence
from operator import itemgetter
from types import NoneType
from typing import Any

import anyio
import attrs
from anyio.abc import TaskGroup

from .._foreign.guards import expect, guarded_call, text_of
from ..events import Event
from .adapted import Adapted
from .cursor import BATCH_MAX
from .duties import Departure, DutyRules, Tools
from .forms import Form
from .handling import Failure, Handler
from .life import AttachmentState, Life, Suspension
from .place import Place
from .reading import DETACHED, Reading
from .reports import is_announced
from .settings import Settings
from .window import Given, Window

__all__ = ("SideBySide",)


class Lane:
    """One of the calls that run side by side: with a task or a thread of its own, and the rules of the duty."""

    def __init__(self, listener: Adapted, settings: Settings, rules: DutyRules, tools: Tools) -> None:
        held = listener.surroundings.held
        self.handler: Handler = Handler(listener.another(), settings.timeout, tools.clock, tools.reports, held)
        self._place = Place(tools.place.cursor, _nothing)  # the listener's own must not pass other calls
        self.rules: DutyRules = rules.beside(attrs.evolve(tools, handler=self.handler, place=self._place))

    async def handle(self, event: Event) -> Suspension | Departure | None:
        """Have the function handle an event; return why it gets no more, None if it does."""
        self._place.advance(event.seq)
        return await self.rules.handle((event,))


class Lanes(Form):
    """All calls of one function, as its handler knows them."""

    is_function = True

    def __init__(self, make: Callable[[], Lane]) -> None:
        self.stop_at: float = math.inf
        """No call begins with an event from this ``seq`` on."""
        self._make = make
        self._all: list[Lane] = []
        self._idle: list[Lane] = []
        self._left: list[Lane] = []
        """Those that make no more calls, and of which one goes on."""

    @property
    def is_quiet(self) -> bool:
        """Whether no lane is at an event."""
        return len(self._idle) == len(self._all)

    def problem(self) -> str | None:
        found = (lane.rules.problem() for lane in self._all)
        return next((each for each in found if each is not None), None)

    def borrow(self, most: int) -> Lane | None:
        """Return a lane that is idle; None if so many are at work."""
        if not self._idle:
            if len(self._all) >= most:
                return None
            self._all.append(lane := self._make())
            if self.stop_at < math.inf:
                lane.handler.hurry()
            return lane
        return self._idle.pop()

    def give_back(self, lane: Lane) -> None:
        """A lane has no event."""
        self._idle.append(lane)

    def hurry(self) -> None:
        """End the pauses after failures. No lane will try again with its event."""
        for lane in self._all:
            lane.handler.hurry()

    def renew(self) -> None:
        """Begin with other lanes, which have not failed yet and may pause again."""
        self.end()
        self._left = [each for each in (*self._left, *self._all) if each.handler.still_running]
        self._all, self._idle = [], []

    # -- for the handler --

    @property
    def still_running(self) -> int:
        return sum(each.handler.still_running for each in (*self._all, *self._left))

    async def on_events(self, events: Sequence[Event]) -> None:
        raise NotImplementedError("each lane is called by itself")

    def is_calling(self) -> bool:
        return any(each.handler.is_calling() for each in (*self._all, *self._left))

    def stop(self, end: float) -> None:
        self.stop_at = min(self.stop_at, end)
        self.hurry()

    def cut(self) -> None:
        for lane in self._all:
            lane.handler.cut()

    def end(self) -> None:
        for lane in self._all:
            lane.handler.end()


class SideBySide(Reading):
    """Reads events for one function, and has several of them handled at once."""

    def __init__(
        self,
        listener: Adapted,
        settings: Settings,
        rules: DutyRules,
        tools: Tools,
        life: Life,
        caught_up: Callable[[], None],
    ) -> None:
        super().__init__(settings, rules, tools, life, caught_up)
        self._lanes = Lanes(lambda: Lane(listener, settings, rules, tools))
        tools.handler.divide(self._lanes)
        self._key = settings.key
        self._waiting_max = min(BATCH_MAX, settings.batch_max, settings.mailbox)
        """Reading pauses while so many events wait for a call: in hand are two batches at most, also in bytes."""
        self._window = Window()
        self._ends: list[tuple[int, Suspension | Departure]] = []
        """Why the function is to get no more events, by the event at which that was found."""
        self._tasks: TaskGroup

    # -- reading --

    async def work(self) -> Departure:
        async with anyio.create_task_group() as self._tasks:
            departure = await super().work()
        return departure  # noqa: RET504 - mypy cannot know that a task group swallows no exception

    async def _work(self) -> Departure:
        life, place, cursor, again = self._life, self._place, self._cursor, self._again
        while place.done < life.stop_at and not cursor.ended:
            if again:
                if (departure := await self._deliver_again(again.popleft())) is not None:
                    return departure
            elif self._ends:
                if (departure := await self._end()) is not None:
                    return departure
            elif life.halt is not None:
                await self._take_break()
                if life.state is AttachmentState.SUSPENDED:
                    if life.is_stopping:
                        break
                    await life.until(
                        lambda: bool(again) or life.state is not AttachmentState.SUSPENDED or life.is_stopping
                    )
                else:
                    self._take_up(life.take_up())
                    self._window.forget_before(cursor.seq)
            elif self._window.waiting >= self._waiting_max:
                await life.until(self._goes_on)
            elif cursor.behind <= 0:
                await cursor.wait()
            elif (departure := await self._read_on()) is not None:
                return departure
        await self._quiet()
        departure = await self._end() if self._ends else None
        return departure or Departure(DETACHED if life.failure is None else text_of(life.failure), life.failure)

    def _goes_on(self) -> bool:
        life = self._life
        has_room = self._window.waiting < self._waiting_max
        is_wanted = bool(self._ends or self._again) or life.halt is not None
        return has_room or is_wanted or self._place.done >= life.stop_at

    async def _read_on(self) -> Departure | None:
        cursor, window = self._cursor, self._window
        if self._rules.drops_oldest and self._life.state is AttachmentState.RUNNING:
            self.drop_before(cursor.limit - self._settings.mailbox)
        try:
            events = await self._gatherer.take()
        except Exception as error:  # noqa: BLE001 - HistoryGone, or any error of a journal
            await self._quiet()  # what is under way is not among the events that cannot be read
            return await self._end() if self._ends else await self._bear_unreadable(error)
        for event in events:
            window.add(event, self._key_of(event))
        if events:
            self._place.delivered = events[-1].seq
        self._advance(window.low(cursor.seq))
        self._begin()
        await asyncio.sleep(0)  # a reader that finds all events on the ring must not keep the loop
        return None

    def _is_level(self) -> bool:
        # The commit is to wait for calls under way, and not for what the function has still to catch up with.
        return super()._is_level() and not (self._rules.holds_commit and self._window.waiting)

    def _key_of(self, event: Event) -> Hashable:
        """Return the key of an event. Where the listener's own function fails at it, the event has none."""
        key = self._key
        if key is None:
            return None
        if isinstance(key, str):
            value: Hashable = getattr(event, key)
            return value
        try:
            return expect(guarded_call(key, event), (str, int, NoneType), "a text or a whole number as key, or None")
        except Exception as error:  # noqa: BLE001 - it is the listener's own failure, and the event is handled
            self._reports.failed(error, event.seq, announce=is_announced(event))
            return None

    # -- calling --

    def _begin(self) -> None:
        """Let as many lanes work as there are events for, and as there may be."""
        for _ in range(self._window.ready):
            if (lane := self._lanes.borrow(self._settings.concurrency)) is None:
                return
            self._tasks.start_soon(self._run, lane)

    async def _run(self, lane: Lane) -> None:
        """Handle events as long as there are any."""
        while (given := self._next()) is not None:
            end = await lane.handle(given[0])
            if end is None:
                self._window.handled(*given)
            else:
                self._ends.append((given[0].seq, end))
            self._moved()
        self._lanes.give_back(lane)
        self._moved()

    def _moved(self) -> None:
        """A call has ended: the position moves if it was the oldest, and the reader looks what is to be done."""
        if self._life.state is not AttachmentState.DETACHED:
            self._advance(self._window.low(self._cursor.seq))
        if self._ends or self._life.is_stopping:
            self._cursor.wake()

    def _next(self) -> Given | None:
        """Return the event that is called next; None if there is none now."""
        while not self._ends and self._life.halt is None and (given := self._window.take()) is not None:
            if given[0].seq >= self._lanes.stop_at:
                continue  # it stays the first that is not handled
            if not self._handler.is_muted:
                return given
            self._reports.passed(1)
            self._window.handled(*given)
        return None

    async def _call_again(self, events: Sequence[Event]) -> Failure | None:
        await self._quiet()
        lane = self._lanes.borrow(self._settings.concurrency)
        assert lane is not None
        try:
            for event in events:
                if (failure := await lane.handler.call_again((event,))) is not None:
                    return failure
        finally:
            self._lanes.give_back(lane)
        return None

    # -- pausing --

    async def _quiet(self) -> None:
        """Return when no call is under way."""
        await self._life.until(lambda: self._lanes.is_quiet)

    async def _take_break(self) -> None:
        """End what is under way, and forget what is not handled: it is read again, from the place on."""
        self._lanes.hurry()
        await self._quiet()
        self._ends.clear()
        self._window.clear()
        self._lanes.renew()

    async def _end(self) -> Departure | None:
        """The function is to get no more events: suspend it, or return why it is to be detached."""
        self._lanes.hurry()
        await self._quiet()
        ends = sorted(self._ends, key=itemgetter(0))
        departures = [end for _, end in ends if isinstance(end, Departure)]
        end = departures[0] if departures else ends[0][1]
        await self._take_break()
        return self._suspend(end) if isinstance(end, Suspension) else end


def _nothing() -> Any:
    """The place of one call moves nothing but itself."""
