"""What a log says of its forks, to who verifies it: that it is another log since, and what was given up."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import attrs

from hubwire.errors import CheckpointInvalid
from hubwire.proof import Checkpoint, VerifierKey

from ._seen_elsewhere import SeenElsewhere
from ._verdicts import Outcome, Verdict

__all__ = ("KIND", "Forks", "cited_in")

KIND = "log.forked"

_SHOWN = 20


def cited_in(fields: Mapping[str, Any]) -> Checkpoint | None:
    """Return the checkpoint that a ``log.forked`` cites; None if it cites none."""
    match fields.get("old"):
        case {"origin": str(origin), "size": int(size), "root": str(root)}:
            try:
                return Checkpoint(origin, size, b64decode(root, validate=True))
            except (CheckpointInvalid, ValueError):
                return None
    return None


@attrs.frozen
class _Forked:
    index: int
    at: str
    by: str
    reason: str
    old: Checkpoint | None
    new: VerifierKey | None
    seen: SeenElsewhere | None

    def __str__(self) -> str:
        old = "another log" if self.old is None else f"{self.old.origin} at {self.old.size:,} records"
        return f"record {self.index}, of {self.at:.40}: forked from {old} by {self.by:.120}, because {self.reason:.300}"


class Forks:
    """Fed with the records of a log that are its own."""

    def __init__(self, path: str, before: str | None = None) -> None:
        """``before`` is what was known of the newest fork when the log was verified last."""
        self._path = path
        self._before = before
        self._found: list[_Forked] = []

    def add(self, fields: dict[str, Any], index: int) -> None:
        """Look at a record of the log's own."""
        if fields.get("kind") != KIND:
            return
        by, reason = fields.get("by"), fields.get("reason")
        try:
            new = VerifierKey.parse(fields.get("new"))
        except CheckpointInvalid:
            new = None
        self._found.append(
            _Forked(
                index,
                str(fields.get("at")),
                by if isinstance(by, str) else "an operator who gave no name",
                reason if isinstance(reason, str) else "no reason is given",
                cited_in(fields),
                new,
                SeenElsewhere.cited_in(fields),
            )
        )
        del self._found[:-_SHOWN]

    @property
    def newest(self) -> str | None:
        """The newest one, as a sentence; None if there is none."""
        return str(self._found[-1]) if self._found else self._before

    @property
    def notes(self) -> list[str]:
        """All of them, as sentences."""
        before = [] if self._before is None else [self._before]
        return [f"the log was forked: {each}" for each in (*before, *map(str, self._found))]

    def losses(self, met: Mapping[int, bytes], accepted: int | None) -> list[str]:
        """Return the faults: of those with which records were given up.

        ``met`` are the roots of the log by size, where there is a checkpoint; ``accepted``: a checkpoint over so many
        records is expected, and met, so that who expects it knows of the forks before.
        """
        known = [each for each in self._found if accepted is None or accepted <= each.index]
        given = "" if accepted is None else f"; the one that was kept, of {accepted:,} records, is of before"
        return [
            f"{each}. What was signed of {each.old.size:,} records then is not what is here: records of it are lost, or"
            f" were changed. Who knows that gives a checkpoint of since then (--since-checkpoint){given}"
            if each.old is not None
            else f"{each}. It does not say of which checkpoint"
            for each in known
            if each.old is None or met.get(each.old.size) != each.old.root
        ] + [
            f"{each}. Records of it are lost: {each.seen}. Who knows that gives a checkpoint of since then"
            f" (--since-checkpoint){given}"
            for each in known
            if each.seen is not None and each.old is not None and met.get(each.old.size) == each.old.root
        ]

    def unseen(self) -> list[str]:
        """Return what is not known of the end of the log."""
        return [
            f"what {each.old.origin} has behind its {each.old.size:,} records, if it went on elsewhere: this log was"
            f" forked from it at record {each.index}"
            for each in self._found
            if each.old is not None
        ]

    def signer(self, verdict: Verdict, vkey: VerifierKey | None) -> Verdict:
        """Return the verdict on the signer, which says of a fork what that means for it."""
        if not self._found or vkey is None:
            return verdict
        last = self._found[-1]
        if verdict.outcome is Outcome.FAILS and last.new is not None and last.new.name != vkey.name:
            hint = f"{last}. Since then {last.new} is to sign it: give that key, if its owner has given it to you"
            return attrs.evolve(verdict, faults=(hint, *verdict.faults))
        return attrs.evolve(
            verdict,
            not_looked_at=(
                *verdict.not_looked_at,
                f"who had signed the records before {last.index}: {last}",
            ),
        )
