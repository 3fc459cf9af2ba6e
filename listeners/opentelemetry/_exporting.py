"""Exporting: spans on their way to a collector, in a thread of their own.

The event loop never waits for a collector. What waits is bounded; where there is no room, the rest of a trace is left
out with it, so that no trace has holes.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

import anyio
import attrs

from hubwire.own_log import OwnLog

from .._said import said
from ._recent import Recent
from ._span import SpanData

__all__ = ("ExportStatistics", "Exporting")

BATCH_MAX = 512
BATCH_CHARS_MAX = 1_000_000
"""A batch of spans with contents is smaller: collectors refuse requests of some megabytes."""
WAITING_CHARS_MAX = 64_000_000
_TORN_MAX = 10_000
_PAUSE_SECONDS = 0.5
_PAUSE_SECONDS_MAX = 30.0
_ATTEMPTS_MAX = 8

_log = OwnLog("opentelemetry")

Export = Callable[[Sequence[SpanData]], None]
"""Sends spans to the collector; raises where it has not got them."""


@attrs.frozen(kw_only=True)
class ExportStatistics:
    """The state of an export. Numbers count since it was made."""

    exported: int
    """How many spans the collector has got."""
    waiting: int
    """How many wait to be exported, now."""
    dropped: int
    """How many were left out: there was no room for them, or the collector did not take them."""
    failures: int
    """How many attempts have failed."""
    last_error: str | None
    """What the last attempt failed with; None if it did not."""


class Exporting:
    """Exports spans, in order, in a daemon thread that ends with :meth:`close`."""

    def __init__(self, export: Export, shutdown: Callable[[], None], waiting_max: int, *, keeps_all: bool) -> None:
        """``keeps_all``: a batch that the collector does not take is tried until it does."""
        self._export = export
        self._shutdown = shutdown
        self._waiting_max = waiting_max
        self.keeps_all: bool = keeps_all
        self._condition = threading.Condition()
        self._waiting: deque[SpanData] = deque()
        self._chars = 0
        """Of the texts in the spans that wait."""
        self._torn: Recent[int, None] = Recent(_TORN_MAX)
        self._numbers = {"exported": 0, "dropped": 0, "failures": 0}
        self._last_error: str | None = None
        self._is_ending = False
        self._ended = 0
        """How many of the two threads at the end have ended."""
        self._told: Callable[[], object] | None = None
        self._thread = threading.Thread(target=self._run, name="hubwire opentelemetry", daemon=True)
        self._thread.start()

    def put(self, spans: Sequence[SpanData]) -> None:
        """Export these spans soon."""
        with self._condition:
            for span in spans:
                trace_id = span.place.trace_id
                is_full = len(self._waiting) >= self._waiting_max or self._chars >= WAITING_CHARS_MAX
                if not self.keeps_all and (is_full or trace_id in self._torn):
                    self._torn.put(trace_id, None)
                    self._numbers["dropped"] += 1
                else:
                    self._waiting.append(span)
                    self._chars += span.chars()
            self._condition.notify_all()

    @property
    def has_ended(self) -> bool:
        """Whether it was closed."""
        return self._is_ending

    async def flushed(self, seconds: float) -> bool:
        """Return whether nothing waits any more, after so many seconds at most."""
        await self._until(lambda: not self._waiting or not self._thread.is_alive(), seconds)
        return not self._waiting

    async def close(self, seconds: float) -> None:
        """Export what waits, for so long at most, and end the thread; one that hangs is left behind."""
        await self.flushed(seconds / 2)
        with self._condition:
            self._is_ending = True
            self._condition.notify_all()
        closing = threading.Thread(target=self._close_exporter, name="hubwire opentelemetry end", daemon=True)
        closing.start()
        await self._until(lambda: self._ended == 2, seconds / 2)
        if left := len(self._waiting):
            _log.problem("spans were not exported, because the hub ends", spans=left, last_error=self._last_error)
        if self._ended < 2:
            _log.problem("an exporter of spans does not end, and is left behind")

    async def _until(self, is_so: Callable[[], bool], seconds: float) -> None:
        """Return when this is so, or the time is over. One task waits at a time."""
        changed = asyncio.Event()
        self._told = partial(asyncio.get_running_loop().call_soon_threadsafe, changed.set)
        with anyio.move_on_after(seconds):
            while not is_so():
                await changed.wait()
                changed.clear()
        self._told = None

    def _tell(self) -> None:
        """Say to the task that waits that its condition may hold now."""
        if (told := self._told) is not None:
            try:
                told()
            except RuntimeError:  # the loop is closed
                self._told = None

    def statistics(self) -> ExportStatistics:
        """Return the numbers, now."""
        return ExportStatistics(waiting=len(self._waiting), last_error=self._last_error, **self._numbers)

    # -- the thread --

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._has_ended()

    def _has_ended(self) -> None:
        with self._condition:
            self._ended += 1
        self._tell()

    def _work(self) -> None:
        failures = 0
        while batch := self._next():
            if self._is_exported(batch):
                failures = 0
                self._numbers["exported"] += len(batch)
            else:
                failures += 1
                self._numbers["failures"] += 1
                if self._is_ending:
                    return
                if self.keeps_all or failures < _ATTEMPTS_MAX:
                    self._pause(failures)
                    continue
                failures = 0
                self._numbers["dropped"] += len(batch)
                for span in batch:
                    self._torn.put(span.place.trace_id, None)
            with self._condition:
                for span in batch:
                    self._waiting.popleft()
                    self._chars -= span.chars()
            self._tell()

    def _next(self) -> list[SpanData]:
        """Return the spans to export next; none when there are to be no more."""
        with self._condition:
            self._condition.wait_for(lambda: self._waiting or self._is_ending)
            batch: list[SpanData] = []
            chars = 0
            for span in islice(self._waiting, BATCH_MAX):
                chars += span.chars()
                if batch and chars > BATCH_CHARS_MAX:
                    break
                batch.append(span)
            return batch

    def _is_exported(self, batch: Sequence[SpanData]) -> bool:
        try:
            self._export(batch)
        except BaseException as error:  # noqa: BLE001 - the exporter is a guest, and this is its own thread
            self._last_error = f"{type(error).__name__}: {said(error):.200}"
            _log.problem("spans could not be exported", error, spans=len(batch))
            return False
        self._last_error = None
        return True

    def _pause(self, failures: int) -> None:
        with self._condition:
            seconds = min(_PAUSE_SECONDS * 2 ** (failures - 1), _PAUSE_SECONDS_MAX)
            self._condition.wait_for(lambda: self._is_ending, timeout=seconds)

    def _close_exporter(self) -> None:
        try:
            self._shutdown()
        except BaseException as error:  # noqa: BLE001 - as above
            _log.problem("an exporter of spans could not be shut down", error)
        finally:
            self._has_ended()
