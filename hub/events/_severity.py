"""How grave an event is, and how what it tells of ended: two fields of every event."""

from __future__ import annotations

import enum

__all__ = ("Outcome", "Severity")


class Severity(enum.StrEnum):
    """How grave an event is. Its members are text: ``Severity.ERROR == "error"``."""

    INFO = "info"
    """As expected."""
    WARNING = "warning"
    """A person may want to look at it."""
    ERROR = "error"
    """A failure."""


class Outcome(enum.StrEnum):
    """How what an event tells of ended. Its members are text: ``Outcome.DENIED == "denied"``."""

    SUCCESS = "success"
    """It was done."""
    FAILURE = "failure"
    """It was tried, and failed."""
    DENIED = "denied"
    """It was not allowed."""
