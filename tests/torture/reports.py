"""What a harness has found."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Any

__all__ = ("Order", "Report")

_SHOWN = 5
_SHOWN_EVERY = 100


@dataclass(frozen=True)
class Order:
    """What a harness is to do."""

    rounds: int
    """How many; 0 for all there are."""
    seed: int = 1
    like: str = ""
    """A regular expression: only harms that it is found in."""
    is_bugged: bool = False
    """Whether there is a bug to be found: then the first fault is enough."""


@dataclass
class Report:
    """The account of one harness: what it has done, and what became untrue by it."""

    harness: str
    rounds: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    skipped: str | None = None
    """Why it could not run here."""
    begun: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def count(self, what: str, number: int = 1) -> None:
        """Count what has happened."""
        self.counts[what] = self.counts.get(what, 0) + number

    def found(self, what: str, faults: list[str]) -> None:
        """Note faults, and show them at once."""
        self.faults += [f"{what}: {fault}" for fault in faults]
        sys.stderr.write("".join(f"{what}: {fault}\n"[:600] for fault in faults[:_SHOWN]))

    def step(self, of: int) -> None:
        """Begin the next round, and show now and then that it goes on."""
        self.rounds += 1
        if self.rounds % _SHOWN_EVERY == 0:
            sys.stderr.write(f"{self.harness}: {self.rounds:,} of {of:,}, {len(self.faults)} faults\n")

    def end(self) -> Report:
        """Note how long it took."""
        self.seconds = round(time.monotonic() - self.begun, 1)
        return self

    def to_json(self) -> dict[str, Any]:
        """Return it as it is written to a file."""
        names = ("harness", "rounds", "counts", "skipped", "seconds")
        return {**{name: getattr(self, name) for name in names}, "faults": len(self.faults), "first": self.faults[:20]}

    def lines(self) -> list[str]:
        """Return it as rows of a table."""
        if self.skipped is not None:
            return [f"{self.harness:9} skipped: {self.skipped}"]
        found = "no fault" if not self.faults else f"{len(self.faults)} FAULTS"
        counts = ", ".join(f"{number:,} {what}" for what, number in self.counts.items())
        lines = [f"{self.harness:9} {self.rounds:>8,} rounds  {found:12} {self.seconds:8.1f} s  {counts}"]
        lines += [f"{'':9} {fault:.300}" for fault in self.faults[:_SHOWN]]
        return lines
