"""What is known about a log after it was examined, and what is not."""

from __future__ import annotations

from enum import Enum

import attrs

from hubwire.coverage import Coverage
from hubwire.errors import LogDamaged
from hubwire.log import Head

from ._state import VerifierState
from .retention import Pruned

__all__ = ("ContentsFound", "Outcome", "Verdict", "Verification")


class Outcome(Enum):
    """What an examination came to."""

    HOLDS = "holds"
    """All that was looked at is as it should be."""
    FAILS = "fails"
    """A part is not as it should be; the faults say which."""
    UNKNOWN = "unknown"
    """What there is cannot answer the question."""


@attrs.frozen(kw_only=True)
class Verdict:
    """The answer to one question about a log."""

    outcome: Outcome
    reason: str
    """Why, in a sentence."""
    faults: tuple[str, ...] = ()
    """What is wrong, where, and what to do: a sentence each; the first twenty."""
    looked_at: tuple[str, ...] = ()
    not_looked_at: tuple[str, ...] = ()
    """What the verdict does not speak of."""


_SHOWN_MAX = 5


def _records(indexes: tuple[int, ...]) -> str:
    more = f" and {len(indexes) - _SHOWN_MAX} more" if len(indexes) > _SHOWN_MAX else ""
    return f"record{'' if len(indexes) == 1 else 's'} {', '.join(map(str, indexes[:_SHOWN_MAX]))}{more}"


@attrs.frozen(kw_only=True)
class ContentsFound:
    """What was found of the erasable contents of a log."""

    present: int
    """They are there, and what their records committed to."""
    erased: int
    """They are not there, and the log says by whom and why they were erased."""
    withheld: int
    """They were left out of this copy of the log."""
    missing: int
    """They are not there, and nothing in the log says why."""
    altered: int
    """They are not what their records committed to."""
    erased_by: tuple[int, ...] = ()
    """The indexes of the records ``record.erased`` that say so."""

    def __str__(self) -> str:
        by = f", as {_records(self.erased_by)} say{'s' if len(self.erased_by) == 1 else ''}" if self.erased_by else ""
        counts = {
            "there": self.present,
            f"erased{by}": self.erased,
            "withheld from this copy": self.withheld,
            "missing": self.missing,
            "altered": self.altered,
        }
        total = sum(counts.values())
        parts = ", ".join([f"{number:,} {what}" for what, number in counts.items() if number]) or "none"
        return f"{total:,} erasable content{'' if total == 1 else 's'}: {parts}"


@attrs.frozen(kw_only=True)
class Verification:
    """What a log holds, and three verdicts on it."""

    path: str
    records: int
    """All records, those of the log itself included; if one is damaged, those before it."""
    events: int
    """Records that are events of a hub."""
    first_seq: int | None
    last_seq: int | None
    hub: str | None
    head: Head
    """Kept elsewhere, it shows later that no record up to it has changed, and that none was cut off before it."""
    integrity: Verdict
    """Whether every record is as it was written, and in its place."""
    completeness: Verdict
    """Whether every record is there that should be."""
    signer: Verdict
    """Whether it is known who wrote the log."""
    first_record: int = 0
    """The index of the first record that is there."""
    pruned: Pruned | None = None
    """What the log says of the records before; None if it begins with record 0, or does not say it."""
    is_copy: bool = False
    """Whether the log says that it is a copy, from which contents or records may be withheld."""
    withheld_records: int = 0
    """How many records are withheld from this copy: their leaf hashes stand in their places."""
    contents: ContentsFound | None = None
    """The erasable contents; None if no record that was looked at has some."""
    notes: tuple[str, ...] = ()
    """What was noticed and is no fault."""
    coverage: tuple[Coverage, ...] = ()
    """What recorders and redactors have declared in the records that were read: what they capture, and what is hidden
    from them. A run that no recorder declares may be hidden as a whole."""
    state: VerifierState | None = None
    """What the next examination goes on from; None if a record is damaged. Keep it away from the log."""

    @property
    def chain(self) -> str:
        """``h`` of the last record."""
        return self.head.h

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The verdicts by name."""
        return {"integrity": self.integrity, "completeness": self.completeness, "signer": self.signer}

    @property
    def holds(self) -> bool:
        """Whether no verdict fails. What is not known does not fail."""
        return all(verdict.outcome is not Outcome.FAILS for verdict in self.verdicts.values())

    def check(self) -> None:
        """Raise :class:`~hubwire.errors.LogDamaged` with the first fault if a verdict fails."""
        for verdict in self.verdicts.values():
            if verdict.outcome is Outcome.FAILS:
                raise LogDamaged(verdict.faults[0], path=self.path)
