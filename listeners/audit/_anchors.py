"""What the records of a log say of those before its first one: that they were pruned, and that none was held then."""

from __future__ import annotations

from typing import Any

from hubwire.log import Head

from ._beginning import Anchor
from ._records import RecordChecks
from .retention import Pruned

__all__ = ("PRUNED", "Anchors")

PRUNED = b'"kind":"log.pruned"'
"""What is in the line of a record that says where the log begins; perhaps in others, too."""

_HOLDS_MAX = 1000


class Anchors:
    """Fed with the log's own records, in their order."""

    def __init__(self, path: str, first: int) -> None:
        self.pruned: Pruned | None = None
        """What the newest ``log.pruned`` says that names the first record of the log."""
        self.remembered: Anchor | None = None
        """What the file beside the log says of its beginning."""
        self.holds: dict[str, str] = {}
        """The reasons of the holds that were not released, by name."""
        self.faults: list[str] = []
        self._path = path
        self._first = first
        self._anchor: Anchor | None = None
        self._unfinished: int | None = None
        """Where the log should begin by the newest ``log.pruned``, if it does not."""
        self._archive: str | None = None
        """To which archive that one has copied what was before."""

    @property
    def h(self) -> str:
        """The ``h`` that the first record follows, as ``log.pruned`` says; empty if none does."""
        return "" if self._anchor is None else self._anchor.h

    def add(self, fields: dict[str, Any], index: int) -> None:
        """Look at a record of the log's own."""
        match fields:
            case {"kind": "log.held", "hold": str(name), "reason": str(reason)} if len(self.holds) < _HOLDS_MAX:
                self.holds[name] = reason
            case {"kind": "log.released", "hold": str(name)}:
                self.holds.pop(name, None)
            case {"kind": "log.pruned", "at": str(at), "reason": str(reason)}:
                self._add_pruned(fields, at, reason, index)

    def _add_pruned(self, fields: dict[str, Any], at: str, reason: str, index: int) -> None:
        anchor = Anchor.from_fields(fields)
        if anchor is None:
            return
        if self.holds:
            name, why = next(iter(self.holds.items()))
            self.faults.append(
                f"record {index} of the log {self._path} says that it was pruned at {at}, while the hold {name!r:.80}"
                f" was on it: {why}; restore what is missing from a copy"
            )
        self._unfinished = anchor.first if anchor.first > self._first else None
        self._archive = archive if isinstance(archive := fields.get("archive"), str) else None
        if self._first and anchor.first == self._first:
            by, days_min = fields.get("by"), fields.get("days_min")
            self._anchor = anchor
            self.pruned = Pruned(
                first=anchor.first,
                at=at,
                by=by if isinstance(by, str) else None,
                reason=reason,
                days_min=float(days_min) if isinstance(days_min, (int, float)) else 0.0,
                archive=self._archive,
            )

    def check(self, checks: RecordChecks) -> str | None:
        """Return what is wrong where the log begins; None if that is nothing, or the log begins with record 0."""
        anchor = self._anchor
        if anchor is None:
            return None
        if not checks.follows(anchor.h.encode()):
            return (
                f"record {self._first} of the log {self._path}, the first, does not follow the h {anchor.h} that"
                " log.pruned names: records were changed or removed there; restore the log from a copy"
            )
        if self.remembered is not None and self.remembered != anchor:
            return (
                f"{self._path}/pruned and the log.pruned of the log {self._path} differ about record {self._first}: one"
                " of them was changed; restore them from a copy"
            )
        return None

    def meets(self, expected: Head) -> bool | None:
        """Return whether the beginning of the log has an expected head; None if it is about other records."""
        if self._anchor is None or expected.records != self._anchor.first:
            return None
        return expected.h == self._anchor.h

    @property
    def notes(self) -> list[str]:
        """What is no fault: a pruning that did not come to its end, and holds."""
        notes = [f"the log is held by {name!r}: {reason}" for name, reason in self.holds.items()]
        if self._unfinished is not None and self._archive is not None:
            notes.append(
                f"a log.pruned says that the records before {self._unfinished} were copied to the archive"
                f" {self._archive}; it begins with {self._first} here: this is that archive, or the log with it, or a"
                " crash has ended the pruning, which the next one does anew"
            )
        elif self._unfinished is not None:
            notes.append(
                f"a log.pruned says that the log begins with record {self._unfinished}, and it begins with"
                f" {self._first}: a pruning is under way, or a crash has ended it; the next one decides anew"
            )
        return notes
