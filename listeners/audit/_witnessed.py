"""What witnesses have seen of a log that is examined: by their cosignatures below its checkpoints."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import attrs

from hubwire.errors import CheckpointInvalid, ConfigurationError
from hubwire.ports import KnowledgeStore
from hubwire.proof import Checkpoint, Note, VerifierKey, cosignatures
from hubwire.proof.cosigning import as_witness_key, shown

from ._signing import witnessed_path
from ._verdicts import Outcome, Verdict

__all__ = ("NO_WITNESSES", "REWRITTEN", "TrustedWitnesses", "WitnessChecks", "witnesses_of")

_WITNESSES_MAX = 100
REWRITTEN = "whether the holder of the key wrote"
_PUT_BACK = (
    "whether all was put back to what it was then: the newest checkpoint that a witness has shows it"
    " (--since-checkpoint)"
)


@attrs.frozen
class TrustedWitnesses:
    """The witnesses that a reader trusts, and how many of them have to have seen the log."""

    keys: tuple[VerifierKey, ...] = ()
    quorum: int = 0


NO_WITNESSES = TrustedWitnesses()


def witnesses_of(witnesses: object, quorum: object, vkey: object) -> TrustedWitnesses:
    """Return the witnesses that an examination looks for: all of them, if no ``quorum`` is given.

    Raises :class:`~hubwire.errors.ConfigurationError`, and :class:`~hubwire.errors.CheckpointInvalid` for what is no
    key of a witness.
    """
    if type(witnesses) not in (list, tuple, set, frozenset):
        raise ConfigurationError(f"witnesses are a list of verifier keys, not {type(witnesses).__name__}")
    given: tuple[object, ...] = tuple(witnesses)  # type: ignore[arg-type]
    if len(given) > _WITNESSES_MAX:
        raise ConfigurationError(f"witnesses are at most {_WITNESSES_MAX}, not {len(given)}")
    keys = tuple(dict.fromkeys(as_witness_key(each) for each in given))
    if quorum is None:
        quorum = len(keys)
    elif not keys:
        raise ConfigurationError("witness_quorum is how many witnesses have to have seen the log: name them, too")
    if type(quorum) is not int or not min(1, len(keys)) <= quorum <= len(keys):
        raise ConfigurationError(
            f"witness_quorum is a number from 1 to that of the witnesses, {len(keys)}, not {shown(quorum)}"
        )
    if keys and vkey is None:
        raise ConfigurationError("witnesses have seen the log of a key: give its verifier key, too")
    return TrustedWitnesses(keys, quorum)


@attrs.frozen
class _Seen:
    size: int
    at_seconds: int


class WitnessChecks:
    """Is shown each checkpoint that the records agree with. Pure, but for :meth:`begin`."""

    def __init__(self, trusted: TrustedWitnesses, origin: str | None) -> None:
        self.faults: list[str] = []
        """Of integrity."""
        self.note: Note | None = None
        """What the log says was seen by enough witnesses."""
        self._trusted = trusted
        self._origin = origin
        self._seen: dict[VerifierKey, _Seen] = {}
        self._unread: int | None = None
        """How many records the newest witnessed checkpoint is over, if they are not read again."""

    async def begin(self, store: KnowledgeStore, path: str, first: int) -> list[int]:
        """Find what the log says was witnessed; return the number of records it has to be compared at, if any."""
        if not self._trusted.keys:
            return []
        content = await store.read_bytes(witnessed_path(path))
        if content is None:
            return []
        try:
            self.note = Note.parse(content)
            size = Checkpoint.parse(self.note.text).size
        except CheckpointInvalid as error:
            self.note = None
            self.faults.append(f"{witnessed_path(path)} is damaged: {error}")
            return []
        self._unread = size if size < first else None
        return [size]

    def note_at(self, size: int, path: str) -> Iterable[tuple[Note, str]]:
        """Return what was witnessed over so many records, and where it stands."""
        if self.note is not None and Checkpoint.parse(self.note.text).size == size:
            yield self.note, witnessed_path(path)

    def met(self, note: Note, checkpoint: Checkpoint) -> None:
        """Look at a checkpoint that the records agree with."""
        if checkpoint.origin != self._origin:
            return
        for each in cosignatures(note, self._trusted.keys):
            seen = self._seen.get(each.key)
            if seen is None or (seen.size, seen.at_seconds) < (checkpoint.size, each.at_seconds):
                self._seen[each.key] = _Seen(checkpoint.size, each.at_seconds)

    @property
    def size(self) -> int:
        """How many records as many witnesses have seen as have to: who has seen more has seen those, too."""
        sizes = sorted((each.size for each in self._seen.values()), reverse=True)
        quorum = self._trusted.quorum
        return sizes[quorum - 1] if 0 < quorum <= len(sizes) else 0

    def added_to(
        self, verdict: Verdict, records: int, path: str, *, is_damaged: bool, kept: int, known: int
    ) -> Verdict:
        """Return a verdict on the signer that says what witnesses have seen, too.

        ``kept``: the log has so many records of a checkpoint that was kept elsewhere; ``known``: and so many of an
        earlier examination.
        """
        trusted = self._trusted
        if not trusted.keys:
            return verdict
        seen = tuple(
            f"the cosignature of {key.name}+{key.id.hex()}: it had seen {found.size:,} records at {_time(found)}"
            for key, found in self._seen.items()
        )
        verdict = attrs.evolve(verdict, looked_at=(*verdict.looked_at, *seen))
        if len(seen) >= trusted.quorum:
            return self._seen_by_enough(verdict, records, kept, known)
        lacking = ", ".join(f"{key.name}+{key.id.hex()}" for key in trusted.keys if key not in self._seen)
        if is_damaged or self._unread is not None:
            why = (
                "the log was not read up to a checkpoint of theirs"
                if is_damaged
                else f"the {self._unread:,} records that witnesses have seen were looked at before"
            )
            return attrs.evolve(verdict, not_looked_at=(*verdict.not_looked_at, f"cosignatures of {lacking}: {why}"))
        fault = (
            f"{len(seen)} of the {trusted.quorum} witnesses that have to have seen the log {path} have; it has no"
            f" cosignature of {lacking} that holds below a checkpoint that its records agree with"
        )
        return attrs.evolve(
            verdict,
            outcome=Outcome.FAILS,
            reason=verdict.reason if verdict.outcome is Outcome.FAILS else "witnesses have not seen the log",
            faults=(*verdict.faults, fault),
        )

    def _seen_by_enough(self, verdict: Verdict, records: int, kept: int, known: int) -> Verdict:
        """Say up to where the log cannot be another one any more, without a witness that lies."""
        size, quorum = self.size, self._trusted.quorum
        unknown = [each for each in verdict.not_looked_at if not each.startswith(REWRITTEN)]
        if (begin := max(size, kept, known)) < records:
            few = "too few witnesses have" if quorum > 1 else "no witness has"
            unknown.append(f"whether the records from {begin:,} on were written anew: {few} seen them yet")
        if not kept:
            unknown.append(_PUT_BACK)
        elif kept < records:
            unknown.append(
                f"whether a witness has a newer checkpoint than the one that was kept, of {kept:,} records: its newest"
                " shows whether all was put back to what it was then"
            )
        reason = verdict.reason
        if verdict.outcome is Outcome.HOLDS:
            by = f"{quorum} of {len(self._trusted.keys)} witnesses have" if quorum > 1 else "a witness has"
            reason = f"{reason}, and {by} seen {size:,}"
        return attrs.evolve(verdict, reason=reason, not_looked_at=tuple(unknown))


def _time(seen: _Seen) -> str:
    try:
        return datetime.fromtimestamp(seen.at_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{seen.at_seconds} s after 1970"
