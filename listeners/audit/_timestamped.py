"""The timestamps of a log that is examined: whether each is over its checkpoint, by certificates of the reader's."""

from __future__ import annotations

from typing import Any

import attrs

from hubwire.errors import ProofInvalid
from hubwire.ports import KnowledgeStore
from hubwire.proof import Checkpoint, Note
from hubwire.proof.timestamps import Timestamp, certificates_of, checked, stamped_text

from ._verdicts import Outcome, Verdict

__all__ = ("TimestampChecks", "roots_of")

_FAULTS_MAX = 20


def roots_of(certificates: Any) -> tuple[Any, ...]:
    """Return the certificates that the reader trusts. Raises :class:`~hubwire.errors.ConfigurationError`."""
    is_none = type(certificates) in (list, tuple) and not certificates
    return () if is_none else tuple(certificates_of("timestamp_certificates", certificates))


class TimestampChecks:
    """Is shown each checkpoint that the records agree with."""

    def __init__(self, store: KnowledgeStore, roots: tuple[Any, ...]) -> None:
        self.there: int = 0
        """How many timestamps the log has."""
        self._store = store
        self._roots = list(roots)
        self._checked = 0
        self._faults: list[str] = []
        self._first: tuple[Timestamp, int] | None = None
        self._newest: tuple[Timestamp, int] | None = None

    async def met(self, note: Note, checkpoint: Checkpoint, place: str) -> None:
        """Look at the timestamp of a checkpoint, which stands at ``place``."""
        if not self._roots:
            return
        content = await self._store.read_bytes(f"{place}.tsr")
        if content is None:
            return
        try:
            found = checked(content, stamped_text(note), self._roots)
        except ProofInvalid as error:
            if len(self._faults) < _FAULTS_MAX:
                self._faults.append(f"{place}.tsr: {error}")
            return
        self._checked += 1
        self._first = self._first or (found, checkpoint.size)
        self._newest = found, checkpoint.size

    def added_to(self, verdict: Verdict, path: str, *, is_partial: bool) -> Verdict:
        """Return a verdict on the signer that says what was stamped, too; ``is_partial``: not all was read."""
        if not self._roots:
            if not self.there:
                return verdict
            unknown = f"its {self.there:,} timestamps: give the authority's certificate (--timestamp-cert)"
            return attrs.evolve(verdict, not_looked_at=(*verdict.not_looked_at, unknown))
        if self._first is not None and self._newest is not None:
            seen = [f"{self._checked:,} timestamps of {self._newest[0].authority}"]
            for (found, size), _ in zip(dict.fromkeys((self._first, self._newest)), range(2), strict=False):
                seen.append(f"a timestamp: {size:,} records were there at {found.at:%Y-%m-%dT%H:%M:%SZ}")
            verdict = attrs.evolve(verdict, looked_at=(*verdict.looked_at, *seen))
        elif not self._faults and is_partial:
            return attrs.evolve(verdict, not_looked_at=(*verdict.not_looked_at, "timestamps of what was not read"))
        elif not self._faults:
            self._faults.append(f"the log {path} has no timestamp at a checkpoint that its records agree with")
        if not self._faults:
            return verdict
        reason = verdict.reason if verdict.outcome is Outcome.FAILS else "a timestamp of the log does not hold"
        return attrs.evolve(verdict, outcome=Outcome.FAILS, reason=reason, faults=(*verdict.faults, *self._faults))
