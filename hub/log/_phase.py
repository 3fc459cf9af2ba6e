"""The phase of a log's life, and its legal moves: the only place that decides them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from .._reraise import repeat

__all__ = ("MOVES", "Lifecycle", "LogPhase")


class LogPhase(Enum):
    """Where a log is in its life, as its writer sees it."""

    CLOSED = "closed"
    """The log is not held. The next append opens it."""
    OPENING = "opening"
    """It takes possession and recovers."""
    OPEN = "open"
    """Its end is known, and records are appended."""
    CLOSING = "closing"
    """It leaves a clean marker and gives the log up."""
    FAILED = "failed"
    """What is on the store is not known: every call raises the failure. The log is still held."""
    RELEASED = "released"
    """It has failed, and is not held any more."""


MOVES: Mapping[LogPhase, frozenset[LogPhase]] = {
    LogPhase.CLOSED: frozenset({LogPhase.OPENING}),
    LogPhase.OPENING: frozenset({LogPhase.OPEN, LogPhase.CLOSED, LogPhase.FAILED}),  # closed: it could not be opened
    LogPhase.OPEN: frozenset({LogPhase.CLOSING, LogPhase.FAILED}),
    LogPhase.CLOSING: frozenset({LogPhase.CLOSED, LogPhase.FAILED}),
    LogPhase.FAILED: frozenset({LogPhase.RELEASED}),
    LogPhase.RELEASED: frozenset(),
}
"""The phases that may follow each phase."""


class Lifecycle:
    """The phase that a log is in, and the failure that ended it."""

    def __init__(self) -> None:
        self.phase: LogPhase = LogPhase.CLOSED
        self.failure: Exception | None = None
        """What the log failed with: set if and only if the phase is FAILED or RELEASED."""

    @property
    def is_held(self) -> bool:
        """Whether the log is held, or about to be: it has to be closed."""
        return self.phase is not LogPhase.CLOSED and self.phase is not LogPhase.RELEASED

    def move(self, phase: LogPhase) -> None:
        """Go on to a phase; a log that has failed stays failed. Any other illegal move is a bug of the log."""
        if self.failure is None:
            self._move(phase)

    def fail(self, failure: Exception) -> None:
        """Go to FAILED. The first failure is kept."""
        if self.failure is None:
            self.failure = failure
            self._move(LogPhase.FAILED)

    def release(self) -> None:
        """The log is not held any more: go to CLOSED or, after a failure, to RELEASED."""
        if self.phase is not LogPhase.RELEASED:
            self._move(LogPhase.CLOSED if self.failure is None else LogPhase.RELEASED)

    def _move(self, phase: LogPhase) -> None:
        assert phase in MOVES[self.phase], f"{self.phase} cannot be followed by {phase}"
        self.phase = phase

    def check_not_failed(self) -> None:
        """Raise a copy of what the log failed with, if it has failed."""
        if self.failure is not None:
            raise repeat(self.failure)
