"""A thread that looks at the event loops of hubs from outside, and notes whose code holds up one that is late."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from time import monotonic

import attrs

from .._foreign.culprits import Culprit, culprit_of
from .._values import Value
from ..forks import register_at_fork
from ..own_log import OwnLog

__all__ = ("LOOK_SECONDS", "LoopWatch", "Stall")

LOOK_SECONDS = 0.25
"""How often the thread looks, and how late a loop is when whose code runs there is noted."""

_log = OwnLog("hub")


@attrs.frozen(eq=False, repr=False)
class Stall(Value):
    """An event loop that stood still."""

    seconds: float
    culprit: Culprit | None = None
    """Whose code was seen most often on the loop meanwhile; None if no guest was."""
    at: str = ""
    """When it went on again."""

    def __str__(self) -> str:
        return f"stood still for {self.seconds:.1f} s, {self.reason}"

    @property
    def reason(self) -> str:
        """Whose code it stands still in, and what to do."""
        return f"in {self.culprit}" if self.culprit else "in code that could not be named; call what blocks in a thread"


class LoopWatch:
    """One event loop, as a thread beside it sees it."""

    def __init__(self) -> None:
        """It is the running loop."""
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._round = _Round(float("inf"))

    @property
    def is_elsewhere(self) -> bool:
        """Whether this is called in another thread than the loop's."""
        return threading.get_ident() != self._thread_id

    @property
    def is_over(self) -> bool:
        """Whether the loop is closed, so that nothing will ever run on it."""
        return self._loop.is_closed()

    def start(self) -> None:
        _lookout.add(self)

    def stop(self) -> None:
        _lookout.remove(self)

    def expect(self, due: float, report_seconds: float) -> None:
        """A sign of life is to come at ``due``, by the monotonic clock; ``report_seconds`` later its lack is logged."""
        self._round = _Round(due, report_seconds)

    def seen(self) -> Culprit | None:
        """Return who was seen most often since the sign of life was due; None if no guest was."""
        return self._round.most_seen()

    def look(self) -> None:
        """Note whose code runs on the loop if it is late: in the thread beside it."""
        this, late = self._round, monotonic() - self._round.due
        if late < LOOK_SECONDS:
            return
        this.note(culprit_of(self._thread_id, self._loop))
        if late >= this.report_seconds and not this.is_reported:
            this.is_reported = True
            stall = Stall(late, this.most_seen())
            _log.problem("the event loop stands still", seconds=round(late, 1), where=stall.reason)


class _Round:
    """One period of a loop: from a sign of life to the next one."""

    def __init__(self, due: float, report_seconds: float = 0.0) -> None:
        self.due = due
        self.report_seconds = report_seconds
        self.is_reported: bool = False
        self._counts: Counter[tuple[str, str]] = Counter()
        self._newest: dict[tuple[str, str], Culprit] = {}

    def note(self, culprit: Culprit | None) -> None:
        if culprit is not None:
            key = culprit.guest, culprit.place.partition(":")[0]  # at any of its lines
            self._newest[key] = culprit
            self._counts[key] += 1

    def most_seen(self) -> Culprit | None:
        for key, _ in self._counts.most_common(1):
            return self._newest[key]
        return None


class _Lookout:
    """The thread, one for all hubs of the process. It ends when there is no loop to look at, and with the program."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: set[LoopWatch] = set()
        self._thread: threading.Thread | None = None
        register_at_fork(self)

    def add(self, watch: LoopWatch) -> None:
        with self._lock:
            self._watched.add(watch)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="hubwire lookout", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    _log.problem("no thread can be started that looks at the event loop", error)
                else:
                    self._thread = thread

    def remove(self, watch: LoopWatch) -> None:
        with self._lock:
            self._watched.discard(watch)

    def after_fork_in_child(self) -> None:
        """A child has none of its parent's threads."""
        self._lock = threading.Lock()
        self._watched.clear()
        self._thread = None

    def _run(self) -> None:
        try:
            while watched := self._awaited():
                for each in watched:
                    each.look()
                del watched
        except BaseException:
            self._thread = None  # the next hub starts another
            raise

    def _awaited(self) -> list[LoopWatch]:
        """Return the loops to look at now; none: the thread ends."""
        time.sleep(LOOK_SECONDS)
        with self._lock:
            self._watched = {each for each in self._watched if not each.is_over}  # hubs that were left to themselves
            if not self._watched:
                self._thread = None
            return list(self._watched)


_lookout = _Lookout()
