"""What the contract of adapters asks of many runs, and of a process that was killed while it ran one."""

from __future__ import annotations

import gc
import inspect
import logging
import signal
import subprocess
import sys
import tempfile
import threading
import tracemalloc
import unittest
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import anyio
import anyio.lowlevel

from .. import Hub, HubThread
from ..runtimes import Recorder as RuntimeRecorder
from ._runtime_checks import tasks_now

__all__ = ("SECONDS_MAX", "Lasting")

SECONDS_MAX = 30.0

_CHILD_SECONDS_MAX = 180.0
_WARM_RUNS = 3
_COLLECTIONS = 3
_MANY_SECONDS = 8.0
_LEFT_BYTES_MAX = 8 * 1024
_LEFT_BYTES_EACH = 8
"""What an adapter may keep of each event when its recorder is gone: less than a reference, and no key of any call."""
_RUNTIMES = str(Path(inspect.getfile(RuntimeRecorder)).parent / "*")


class Lasting:
    """Tests of :class:`RuntimeContract`."""

    lacks: ClassVar[frozenset[str] | Mapping[str, str]] = frozenset()

    events_min: ClassVar[int] = 2_000
    """How many events there are to be of many runs, before it is looked what they have left."""

    own_threads: ClassVar[tuple[str, ...]] = ()
    """What the names of threads begin with that the runtime makes as it needs them, and keeps."""

    def record(self, hub: Hub | HubThread, **settings: Any) -> RuntimeRecorder:
        raise NotImplementedError

    async def run_job(self, recorder: RuntimeRecorder | None, *, asks: bool = True) -> str:
        raise NotImplementedError

    async def test_many_runs_leave_nothing(self) -> None:
        await self._many(_WARM_RUNS)  # what is made once is there from now on
        tasks, threads = tasks_now(), self._threads()
        level = logging.root.manager.disable
        logging.disable()  # who collects logs keeps errors, and with each the frames that it came from
        tracemalloc.start(1)
        try:
            before = _allocated()
            gone, events = await self._many(self.events_min)
            for _ in range(_COLLECTIONS):  # what was scheduled may hold it yet, and what is collected may hold more
                gc.collect()
                await anyio.lowlevel.checkpoint()
            more = _allocated().compare_to(before, "lineno")
        finally:
            tracemalloc.stop()
            logging.disable(level)
        assert gone() is None, f"the runtime still holds the recorder: {gc.get_referrers(gone())}"
        left = sum(each.size_diff for each in more)
        assert left < _LEFT_BYTES_MAX + events * _LEFT_BYTES_EACH, f"{left:,} bytes of {events:,} events: {more[:5]}"
        assert len(tasks_now() - tasks) <= 1, tasks_now() - tasks
        assert len(self._threads() - threads) <= 1, self._threads() - threads

    def test_a_process_that_was_killed_in_a_run_leaves_a_log_that_goes_on(self) -> None:
        self._needs("killing")
        with tempfile.TemporaryDirectory() as directory:
            code, said = self._child(directory, "killed")
            assert code == -signal.SIGKILL, said
            code, said = self._child(directory, "again")
            assert code == 0, said

    # -- parts of these --

    def _needs(self, part: str) -> None:
        if part in self.lacks:
            why = f": {self.lacks[part]}" if isinstance(self.lacks, Mapping) else ""
            raise unittest.SkipTest(f"the runtime lacks {part}{why}")

    def _threads(self) -> set[threading.Thread]:
        return {each for each in threading.enumerate() if not each.name.startswith(("asyncio_", *self.own_threads))}

    async def _bounded(self, work: Any) -> Any:
        with anyio.fail_after(SECONDS_MAX):
            return await work

    async def _unapproved(self, recorder: RuntimeRecorder) -> str:
        return await self.run_job(recorder, asks=False)  # a hub that is gone approves nothing

    async def _many(self, events_min: int) -> tuple[weakref.ref[RuntimeRecorder], int]:
        """Run the job in a hub until there are so many events, or enough; return what was the recorder, and how many.

        Of a runtime that takes long, a tenth is enough.
        """
        slow = anyio.current_time() + _MANY_SECONDS
        async with Hub() as hub:
            recorder = self.record(hub)
            while (count := recorder.statistics().events) < events_min:
                if count >= events_min / 10 and anyio.current_time() > slow:
                    break
                await self._bounded(self._unapproved(recorder))
                await self._bounded(recorder.flush())
            with anyio.move_on_after(SECONDS_MAX):
                while recorder.statistics().open:  # noqa: ASYNC110 - a runtime may tell of ends from its own threads
                    await anyio.sleep(0.01)
            await self._bounded(recorder.flush())
            statistics = recorder.statistics()
            await recorder.aclose()
        assert (statistics.open, statistics.waiting) == (0, 0), statistics
        assert (statistics.dropped, statistics.refused, statistics.failures) == (0, 0, 0), statistics
        return weakref.ref(recorder), statistics.events

    def _child(self, directory: str, part: str) -> tuple[int, str]:
        """Run a part of this contract in a process of its own, and return how it ended and what it said."""
        kind = type(self)
        done = subprocess.run(  # noqa: S603 - it is this program, and this file of tests
            [
                *(sys.executable, "-P", "-m", f"{__package__}._runtime_child"),
                *(inspect.getfile(kind), kind.__qualname__, directory, part),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_CHILD_SECONDS_MAX,
            check=False,
        )
        return done.returncode, done.stdout.decode(errors="replace")[-4000:]


def _allocated() -> tracemalloc.Snapshot:
    """Return what there is that code of adapters has allocated."""
    gc.collect()
    only = [tracemalloc.Filter(inclusive=True, filename_pattern=_RUNTIMES)]
    return tracemalloc.take_snapshot().filter_traces(only)
