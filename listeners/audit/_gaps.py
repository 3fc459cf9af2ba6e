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
        self._closed: int = -1
        self.closings: int = 0
        """How many of the longer gaps begin with a heartbeat that says that the log is closed."""
        self.longest: float = 0.0
        """The longest time between two records, in seconds."""

    def __str__(self) -> str:
        closings = f", but for {self.closings} while the log was closed, as it says" if self.closings else ""
        return f"the times between records: {self.longest:,.0f} seconds at most{closings}"

    def closed(self, index: int) -> None:
        """Note that a record says the log is closed behind it: what follows is no time that it does not know of."""
        self._closed = index

    def is_closed_at(self, records: int) -> bool:
        """Return whether the last of so many records says that the log is closed behind it."""
        return 0 <= self._closed == records - 1

    def go_on(self, records: int, at: str | None, *, is_closed: bool) -> None:
        """Go on behind so many records, of which this is the time of the last."""
        self._before = moment_of(at)
        self._closed = records - 1 if is_closed else -1

    def add(self, index: int, at: object) -> None:
        """Look at the next record. One without a time that can be read counts as no time at all."""
        moment = moment_of(at)
        if moment is None:
            return
        before, self._before = self._before, moment
        if before is None:
            return
        seconds = (moment - before) / 1e9
        if seconds > self._seconds_max and self._closed == index - 1:
            self.closings += 1
            return
        self.longest = max(self.longest, seconds)
        if seconds > self._seconds_max:
            self.count += 1
            if self.count <= _SHOWN:
                self.faults.append(
                    f"between records {index - 1} and {index} of the log {self._path} are {seconds:,.0f} seconds, and"
                    f" at most {self._seconds_max:,.0f} may be: the program did not run, or what it wrote is missing"
                )
