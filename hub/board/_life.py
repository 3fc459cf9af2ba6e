"""Whether the hub runs, since when, and when it was away."""

from __future__ import annotations

import attrs

from ._entries import RestartEntry

__all__ = ("Life", "LifeKept")

_RESTARTS_MAX = 100


@attrs.define(eq=False)
class LifeKept:
    """What a snapshot has of it."""

    phase: str
    version: str
    started_at: str
    restarts: list[RestartEntry]


class Life:
    """The life of the hub, as its events tell."""

    def __init__(self) -> None:
        self.phase: str = "unknown"
        self.version: str = ""
        self.started_at: str = ""
        self.restarts: list[RestartEntry] = []
        """The newest last."""

    def started(self, version: str, at: str, before: str) -> None:
        """The hub began to work; ``before`` is when the event before was, empty if there was none."""
        if before:
            self.restarts.append(RestartEntry(before, at, self.phase == "stopped"))
            del self.restarts[:-_RESTARTS_MAX]
        self.phase, self.version, self.started_at = "running", version, at

    def stopped(self) -> None:
        self.phase = "stopped"

    def replaced(self) -> None:
        """There is another hub."""
        self.phase = "unknown"

    def snapshot(self) -> LifeKept:
        return LifeKept(self.phase, self.version, self.started_at, list(self.restarts))

    def restore(self, kept: LifeKept) -> None:
        self.phase, self.version = kept.phase, kept.version
        self.started_at, self.restarts = kept.started_at, kept.restarts
