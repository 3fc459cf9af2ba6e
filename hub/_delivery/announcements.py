"""Announcements: the hub's own events about its listeners, few enough for those that get them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from anyio.abc import TaskGroup

from .._commit.pipeline import Pipeline
from .._foreign.guards import class_name, message_of
from ..context import EMPTY
from ..errors import ListenerTimeout
from ..events import (
    Event,
    ListenerAnswered,
    ListenerFailed,
    ListenerLettersRemoved,
    ListenerRestarted,
    MailboxOverflowed,
)
from ..events._shown import shown, type_name
from ..ports import Clock
from .call_times import CallTimes

__all__ = ("Announcements",)

_SEQS_MAX = 1000
"""How many events one announcement names; when there are so many, it does not wait for the second to end."""

_SECONDS = 1.0
"""At most one announcement per attachment and reason in this time; the rest are counted into the next one."""


class Announcements:
    """Puts the hub's own events about its listeners and its clock on the ring, without admission, outside any scope.

    Those made before the hub has announced itself wait for :meth:`start`.
    """

    def __init__(self, pipeline: Pipeline, clock: Clock) -> None:
        self._pipeline = pipeline
        self._clock = clock
        self.call_times: CallTimes = CallTimes()
        """Those of all listeners of the hub."""
        self._tasks: TaskGroup | None = None
        self.newest_seq: float = math.inf
        """The ``seq`` above which no event is about a listener. Any event in the journal may be."""
        self._made: list[Event] = []
        self._tallies: dict[tuple[str, str], _Tally] = {}

    def start(self, tasks: TaskGroup) -> None:
        """Put the events made until now, and from now on each one that is made."""
        self._tasks = tasks
        self.newest_seq = self._pipeline.ring.applied.value - 1
        for tally in self._tallies.values():
            tasks.start_soon(self._announce_each_second, tally)
        self._put_made()

    def put(self, event: Event) -> None:
        """Put an event at once, after those that were made before; none while the hub follows, which puts none."""
        if self._pipeline.lifecycle.is_following:
            return
        self._made.append(event)
        if self._tasks is not None:
            self._put_made()

    def flush(self) -> None:
        """Put at once all events made, and those that were counted since."""
        for tally in tuple(self._tallies.values()):
            self._announce(tally)
        self._put_made()

    def _put_made(self) -> None:
        made, self._made = self._made, []
        if made and self._pipeline.lifecycle.takes_events:
            self.newest_seq = self._pipeline.put(made, EMPTY)[-1].seq

    def failure(self, name: str, error: Exception, seq: int, *, count: int = 1, is_given_up: bool = False) -> None:
        """Announce that a listener has failed at the event ``seq``, and perhaps does not get it again."""
        # The error itself would hold the listener, by its traceback.
        reason = "timeout" if isinstance(error, ListenerTimeout) else "error"
        error_type, error_message = class_name(error), message_of(error)

        def make(tally: _Tally) -> Event:
            return ListenerFailed(
                listener=name,
                reason=reason,
                error_type=error_type,
                error_message=error_message,
                event_seq=tally.last_seq,
                count=tally.count,
                given_up=tuple(tally.seqs),
            )

        self._tally((name, error_type), make, count, seq, seq, names_seq=is_given_up)

    def overflow(self, name: str, count: int, first_seq: int, last_seq: int) -> None:
        """Announce that a listener misses ``count`` events."""

        def make(tally: _Tally) -> Event:
            return MailboxOverflowed(
                listener=name, count=tally.count, first_seq=tally.first_seq, last_seq=tally.last_seq
            )

        self._tally((name, "overflow"), make, count, first_seq, last_seq)

    def answer(self, name: str, seq: int, answer: object, count: int) -> None:
        """Announce that a function has returned a value, so often, at the event ``seq`` first."""
        key = (name, "answer")
        tally = self._tallies.get(key)
        if tally is not None and tally.count:
            tally.count += count  # the first value since the last announcement is the one that is shown
            return
        answer_type, preview = type_name(answer), shown(answer)

        def make(tally: _Tally) -> Event:
            return ListenerAnswered(
                severity="warning",
                listener=name,
                event_seq=seq,
                answer_type=answer_type,
                preview=preview,
                count=tally.count,
            )

        self._tally(key, make, count, seq, seq)

    def restart(self, name: str, restarts: int) -> None:
        """Announce that a listener goes on after a failure or a suspension, so often by now."""

        def make(_: _Tally) -> Event:
            return ListenerRestarted(listener=name, restarts=restarts)

        self._tally((name, "restart"), make, 1, 0, 0)

    def letter_removed(self, name: str, reason: str, seq: int) -> None:
        """Announce that a dead letter about the event ``seq`` is kept no longer."""

        def make(tally: _Tally) -> Event:
            return ListenerLettersRemoved(listener=name, reason=reason, count=tally.count, event_seqs=tuple(tally.seqs))

        self._tally((name, f"letters {reason}"), make, 1, seq, seq, names_seq=True)

    def count(self, key: tuple[str, str], make: Callable[[int], Event]) -> None:
        """Announce what may happen often: ``make`` is given how often it did since the last such event."""
        self._tally(key, lambda tally: make(tally.count), 1, 0, 0)

    def _tally(
        self,
        key: tuple[str, str],
        make: Callable[[_Tally], Event],
        count: int,
        first_seq: int,
        last_seq: int,
        *,
        names_seq: bool = False,
    ) -> None:
        if self._pipeline.lifecycle.is_following:
            return
        tally = self._tallies.get(key)
        is_first = tally is None
        if tally is None:
            tally = self._tallies[key] = _Tally(key)
            if self._tasks is not None:
                self._tasks.start_soon(self._announce_each_second, tally)
        tally.add(make, count, first_seq, last_seq)
        if names_seq:
            tally.seqs.append(first_seq)
        if is_first or len(tally.seqs) >= _SEQS_MAX:
            self._announce(tally)

    async def _announce_each_second(self, tally: _Tally) -> None:
        """Announce every second the sum of what came together, until a second brings none."""
        await self._clock.sleep(_SECONDS)
        while tally.has_news:
            self._announce(tally)
            await self._clock.sleep(_SECONDS)
        del self._tallies[tally.key]

    def _announce(self, tally: _Tally) -> None:
        if not tally.has_news:
            return
        # Not at once: the ring must not move while it is being trimmed, which is where an overflow comes from.
        if not self._made and self._tasks is not None:
            asyncio.get_running_loop().call_soon(self._put_made)
        self._made.append(tally.make(tally))
        tally.count, tally.seqs = 0, []


class _Tally:
    """Announcements of one kind about one attachment, added up to be made as one."""

    make: Callable[[_Tally], Event]
    first_seq: int
    last_seq: int

    def __init__(self, key: tuple[str, str]) -> None:
        self.key = key
        self.count = 0
        self.seqs: list[int] = []
        """Of the events that are named one by one."""

    @property
    def has_news(self) -> bool:
        return self.count > 0 or bool(self.seqs)

    def add(self, make: Callable[[_Tally], Event], count: int, first_seq: int, last_seq: int) -> None:
        if not self.count:
            self.first_seq = first_seq
        self.make = make
        self.count += count
        self.last_seq = last_seq
