"""Gaps in time: two records that follow each other, and are farther apart than they may be."""

from __future__ import annotations

from hubwire.log import moment_of

__all__ = ("Gaps",)

_SHOWN = 20


class Gaps:
    """Looks at the times of records, if it was asked how far apart they may be."""

    def __init__(self, path: str, seconds_max: float | None) -> None:
        self.faults: list[str] = []
        self.count: int = 0
        self.is_asked: bool = seconds_max is not None
        self._path = path
        self._seconds_max = seconds_max or 0.0
        self._before: int | None = None

    def add(self, index: int, at: object) -> None:
        """Look at the next record. One without a time that can be read counts as no time at all."""
        moment = moment_of(at)
        if moment is None:
            return
        before, self._before = self._before, moment
        if before is not None and (moment - before) / 1e9 > self._seconds_max:
            self.count += 1
            if self.count <= _SHOWN:
                self.faults.append(
                    f"between records {index - 1} and {index} of the log {self._path} are"
                    f" {(moment - before) / 1e9:,.0f} seconds, and at most {self._seconds_max:,.0f} may be: the program"
                    " did not run, or what it wrote is missing"
                )
