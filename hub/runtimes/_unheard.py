"""What recorders were told for hubs that never started: it is in no log, so it is said where people look."""

from __future__ import annotations

import os
import weakref
from typing import Final

from ..own_log import OwnLog
from ._queue import Queue

__all__ = ("RUN_IT", "say_when_unheard", "unheard_in")

RUN_IT: Final = "'async with hub:', or 'with HubThread(hub):' in a program without asyncio"

_log = OwnLog("runtimes")


def unheard_in(queue: Queue) -> int:
    """Return how many calls wait for a hub that has not started yet, or found no room; 0 if it has."""
    return 0 if queue.was_heard else len(queue) + queue.dropped_total


def say_when_unheard(bringing: object, queue: Queue, source: str) -> None:
    """Write a warning when the program ends, or has let go of the hub, and the hub was never started."""
    weakref.finalize(bringing, _say, queue, source, os.getpid())


def _say(queue: Queue, source: str, pid: int) -> None:
    if (calls := unheard_in(queue)) and os.getpid() == pid:  # a forked child has no part in the hub
        _log.problem(
            f"a hub was never started, and what agents did for it is in no log: run them inside {RUN_IT}",
            source=source,
            calls=calls,
        )
