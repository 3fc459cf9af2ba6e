"""The measurement of a figure: interleaved rounds, each in its own folder; medians, and the median of the ratios."""

from __future__ import annotations

import asyncio
import math
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import attrs

Measured = Callable[[Path], float]
"""Takes an empty folder; returns seconds for one unit of the work, or MiB."""


@attrs.frozen
class Row:
    what: str
    ours: Measured
    against: str
    theirs: Measured
    note: str = ""
    """The two sides of the comparison, and the work that the other side does not do."""
    rounds_max: int = 5
    is_memory: bool = False
    """Whether the figures are MiB, and not seconds."""
    missing: str = ""
    """Why the other side cannot be measured here; empty if it can."""


@attrs.frozen
class Figures:
    ours: float
    theirs: float
    ratio: float
    """The median of theirs / ours, round by round: more than 1 is faster than the other."""


def measure(row: Row, rounds: int) -> Figures:
    pairs = []
    for _ in range(min(rounds, row.rounds_max)):
        folders = [Path(tempfile.mkdtemp(prefix="hubwire-bench-", dir=".")) for _ in range(2)]
        try:
            pairs.append((math.nan if row.missing else row.theirs(folders[0]), row.ours(folders[1])))
        finally:
            for folder in folders:
                shutil.rmtree(folder)
    return Figures(
        ours=statistics.median(ours for _, ours in pairs),
        theirs=statistics.median(theirs for theirs, _ in pairs),
        ratio=statistics.median(theirs / ours for theirs, ours in pairs),
    )


def elapsed(work: Callable[[], Awaitable[object]]) -> float:
    async def timed() -> float:
        start = time.perf_counter()
        await work()
        return time.perf_counter() - start

    return asyncio.run(timed())


def percentile(seconds: list[float], percent: int) -> float:
    return statistics.quantiles(seconds, n=100)[percent - 1]
