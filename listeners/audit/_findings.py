"""What an examination has found, put into verdicts: each says what was looked at and what was not."""

from __future__ import annotations

from hubwire.errors import LogDamaged

from ._anchors import Anchors
from ._asked import Asked
from ._beside import Blobs, EndMarker, JournalBeside
from ._copying import CopyMark
from ._declared import Declared
from ._earlier import ReadAgain
from ._erased import ContentChecks
from ._forks import Forks
from ._gaps import Gaps
from ._heartbeats import Heartbeats
from ._promise import Coverage
from ._records import RecordChecks
from ._signed import SignedChecks
from ._state import VerifierState
from ._verdicts import Outcome, Verdict, Verification

__all__ = ("Findings",)

_FAULTS_MAX = 20
_ALL_FAULTS_MAX = 1000


class Faults:
    """The faults of one verdict, in the order in which they were found: the first twenty, and how many there are."""

    def __init__(self, shown: int = _FAULTS_MAX) -> None:
        self.first: list[str] = []
        self.count: int = 0
        self._shown = shown

    def add(self, fault: str) -> None:
        self.count += 1
        if len(self.first) < self._shown:
            self.first.append(fault)


class Findings:
    """What an examination has found so far."""

    def __init__(
        self,
        path: str,
        asked: Asked,
        coverage: Coverage,
        blobs: Blobs,
        journal: JournalBeside | None,
        signed: SignedChecks,
        gaps: Gaps,
    ) -> None:
        self.integrity = Faults(_ALL_FAULTS_MAX if asked.all_faults else _FAULTS_MAX)
        self.declared = Declared()
        self.is_damaged: bool = False
        """Whether a record is damaged, so that no more were read."""
        self.is_skipping: bool = False
        """Whether lines were left out that could not be read, so that it is not known how many records there are."""
        self.read_again: ReadAgain | None = None
        self.marker = EndMarker()
        self.is_sealed: bool = False
        """Whether it is certain that the log was not opened since its marker was written."""
        self.segments: list[int] = []
        self.checks = RecordChecks(path, 0)
        self.anchors = Anchors(path, 0)
        self.heartbeats = Heartbeats(path)
        self.forks = Forks(path, None if asked.state is None else asked.state.forked)
        self.unfinished_bytes: int = 0
        """What follows the last line feed."""
        self.unexplained: list[str] = []
        self.foreign: list[str] = []
        self.contents: ContentChecks | None = None
        self.copy: CopyMark | None = None
        """What the log says of itself if it is a copy from which contents are withheld."""
        self.withheld_records: int = 0
        self._path = path
        self._expected = asked.head
        self._signed = signed
        self._gaps = gaps
        self._state = asked.state
        self._meets_expected: bool | None = None
        """Whether the log has the expected head; None as long as it has not as many records."""
        self._coverage = coverage
        self._blobs = blobs
        self._journal = journal

    # -- while the log is read --

    def damaged(self, error: LogDamaged) -> None:
        """No more can be read."""
        self.integrity.add(str(error))
        self.is_damaged = True

    def skipped(self, error: LogDamaged) -> None:
        """What cannot be read is left out."""
        self.integrity.add(str(error))
        self.is_skipping = True
        self._signed.stop()

    def begin_anew(self, state: VerifierState) -> None:
        """All is read again: an earlier examination only says which head the log has to have."""
        self.read_again, self._state = ReadAgain(state, self._path), None

    def meet_heads(self) -> None:
        """Compare the present head with those that are known from elsewhere."""
        marker, expected, records = self.marker.head, self._expected, self.checks.records
        if marker is not None and marker.records == records:
            self.marker.meet(self._path, self.checks.head)
        if self.read_again is not None and (fault := self.read_again.meet(self.checks.head)) is not None:
            self.integrity.add(fault)
        if expected is not None and expected.records == records:
            self._meets_expected = expected == self.checks.head
            if not self._meets_expected:
                self.integrity.add(
                    f"record {records - 1} of the log {self._path} has h {self.checks.head.h}, not {expected.h} as"
                    " expected: the log up to there is not the one whose head was kept"
                )

    # -- when it was read --

    def verification(self, expect_records: int | None) -> Verification:
        """Return the three verdicts."""
        checks = self.checks
        self._look_at_beginning()
        if self.marker.fault is not None:
            self.integrity.add(self.marker.fault)
        if self.is_sealed and not self.is_damaged:
            self._add_foreign()
        for fault in (*self._signed.faults, *(self.contents.faults if self.contents else ())):
            self.integrity.add(fault)
        return Verification(
            path=self._path,
            first_record=self.segments[0] if self.segments else 0,
            pruned=self.anchors.pruned,
            records=checks.records,
            events=checks.events + (0 if self._state is None else self._state.events),
            first_seq=checks.first_seq if self._state is None else self._state.first_seq,
            last_seq=checks.last_seq,
            hub=checks.hub,
            head=checks.head,
            integrity=self._integrity(),
            completeness=self._completeness(expect_records),
            signer=self.forks.signer(
                self._signed.whole_verdict(
                    checks.records, is_damaged=self.is_damaged, is_partial=self._state is not None
                ),
                self._signed.vkey,
            ),
            is_copy=self.copy is not None,
            withheld_records=self.withheld_records,
            contents=None if self.contents is None else self.contents.found,
            notes=tuple(self._notes()),
            coverage=self.declared.all,
            state=None if self.is_damaged or self.integrity.count else self._next_state(),
        )

    def _next_state(self) -> VerifierState:
        """Return what the next examination goes on from."""
        checks, before = self.checks, self._state
        return VerifierState(
            path=self._path,
            first_record=max(self.segments[0] if self.segments else 0, self._unread_before),
            records=checks.records,
            h=checks.head.h,
            durable=checks.durable,
            events=checks.events + (0 if before is None else before.events),
            first_seq=checks.first_seq if before is None or before.first_seq is None else before.first_seq,
            last_seq=checks.last_seq,
            hub=checks.hub,
            promise=self._coverage.promise,
            tree=self._signed.tree,
            keys=self._signed.trust.keys,
            signed=self._signed.signed_size,
            forked=self.forks.newest,
            at=checks.last_at if isinstance(checks.last_at, str) else None if before is None else before.at,
            is_closed=self._gaps.is_closed_at(checks.records),
        )

    @property
    def _unread_before(self) -> int:
        """Before which record none was ever looked at: those of an archive that was not there at first."""
        first = self.segments[0] if self.segments else 0
        return 0 if self._state is None or first >= self._state.first_record else self._state.first_record

    def _look_at_beginning(self) -> None:
        """Hold the first record against what the log says that it follows."""
        if (fault := self.anchors.check(self.checks)) is not None:
            self.integrity.add(fault)
        if self.read_again is not None and not self.is_damaged and not self.is_skipping:
            fault = self.read_again.end(self.checks.records, self.anchors)
            if fault is not None:
                self.integrity.add(fault)
        expected = self._expected
        if expected is not None and (meets := self.anchors.meets(expected)) is not None:
            self._meets_expected = meets
            if not meets:
                self.integrity.add(
                    f"the log {self._path} begins after h {self.anchors.h} of record {expected.records - 1}, not"
                    f" {expected.h} as expected: what was pruned is not the log whose head was kept"
                )

    def _add_foreign(self) -> None:
        """Add what lies behind the end at which the log was closed."""
        head, records = self.marker.head, self.checks.records
        assert head is not None
        if records > head.records or (records == head.records and self.unfinished_bytes):
            what = _plural(records - head.records, "record") if records > head.records else "a piece of one"
            self.integrity.add(
                f"the log {self._path} was closed with {_plural(head.records, 'record')} and not opened since, but more"
                f" is there: {what}, not written by its writer; restore it from a copy"
            )

    def _integrity(self) -> Verdict:
        if not self.segments:
            return Verdict(outcome=Outcome.UNKNOWN, reason=f"there is no log at {self._path}")
        state = self._state
        records = self.checks.records - (self.segments[0] if state is None else state.records)
        looked_at = [
            f"h, d, seq and hub of {_plural(records, 'record')}",
            f"name and end of {_plural(len(self.segments), 'segment')}",
        ]
        if self._blobs.checked:
            looked_at.append(f"{_plural(self._blobs.checked, 'file')} of long records")
        not_looked_at = []
        if self.contents is not None and (found := self.contents.found) is not None:
            if any((found.present, found.erased, found.withheld, found.missing, found.altered)):
                looked_at.append(str(found))
            if found.erased or found.withheld:
                gone = _plural(found.erased + found.withheld, "content")
                not_looked_at.append(f"{gone} of which only the commitment is there")
        if self.withheld_records:
            withheld = _plural(self.withheld_records, "record")
            known = "it is its place" if self.withheld_records == 1 else "them are their places"
            not_looked_at.append(f"{withheld} withheld from this copy: what is known of {known}")
        if state is not None:
            not_looked_at.append(
                f"the {_plural(state.records - state.first_record, 'record')} that were looked at before"
            )
            if self._unread_before:
                not_looked_at.append(
                    f"records {self.segments[0]} to {self._unread_before - 1}, which were not there then: verify the"
                    " log once without its state (--state)"
                )
        if (pruned := self.anchors.pruned) is not None:
            not_looked_at.append(str(pruned))
        elif self.segments[0]:
            not_looked_at.append(f"the h of record {self.segments[0]}, the first: what it follows is not there")
        if self._signed.checked:
            looked_at.append(f"the tree of the records at {_plural(self._signed.checked, 'checkpoint')}")
        if self.is_damaged:
            not_looked_at.append(f"the records from {self.checks.records} on, after the damage")
        if self._expected is not None and self._expected.records < self.segments[0]:
            not_looked_at.append(f"the expected head, of {_plural(self._expected.records, 'record')}: they were pruned")
        kept, uncompared = self._signed.expected, self._signed.uncompared
        if self.read_again is not None and (unseen := self.read_again.unseen(self.segments[0])) is not None:
            not_looked_at.append(unseen)
        if self._signed.meets_expected and kept is not None:
            if kept.size < self.checks.records:
                not_looked_at.append(f"whether the records from {kept.size} on were written anew")
        elif self._meets_expected and self._expected is not None:
            if self._expected.records < self.checks.records:
                not_looked_at.append(f"whether the records from {self._expected.records} on were written anew")
        elif state is None:
            not_looked_at.append("whether all was written anew, with a new chain: a head kept elsewhere shows it")
        elif state.records < self.checks.records:
            not_looked_at.append(f"whether the records from {state.records} on were written anew")
        outcome, reason = Outcome.HOLDS, "every record is as it was written, and in its place"
        if self.integrity.count:
            outcome, reason = Outcome.FAILS, _plural(self.integrity.count, "fault")
        elif uncompared is not None:
            outcome, reason = Outcome.UNKNOWN, uncompared
        return Verdict(
            outcome=outcome,
            reason=reason,
            faults=tuple(self.integrity.first),
            looked_at=tuple(looked_at),
            not_looked_at=tuple(not_looked_at),
        )

    def _completeness(self, expect_records: int | None) -> Verdict:
        faults = Faults()
        self._add_missing(faults)
        if not self.is_damaged and not self.is_skipping:
            self._add_cut_off(faults, expect_records)
        witnesses = self._witnesses(expect_records)
        if faults.count:
            outcome, reason = Outcome.FAILS, _plural(faults.count, "fault")
        elif self.is_damaged:
            outcome, reason = Outcome.UNKNOWN, "the log was not read to its end, because a record is damaged"
        elif self.is_skipping:
            outcome, reason = Outcome.UNKNOWN, "lines of the log cannot be read, so that its records are not counted"
        elif not witnesses:
            outcome, reason = Outcome.UNKNOWN, "nothing says where the log should end"
        elif self._coverage.unexplained.count:
            outcome, reason = Outcome.UNKNOWN, "the log does not say which events it was to hold"
        else:
            outcome, reason = Outcome.HOLDS, f"it ends where it should, by {' and '.join(witnesses)}"
        return Verdict(
            outcome=outcome,
            reason=reason,
            faults=tuple(faults.first),
            looked_at=tuple(self._seen_of_end(expect_records)),
            not_looked_at=tuple(self._unseen_of_end(witnesses)),
        )

    def _add_missing(self, faults: Faults) -> None:
        coverage, path, first = self._coverage, self._path, self.segments[0] if self.segments else 0
        if not self.segments:
            had = f", and it had {_plural(self.marker.head.records, 'record')}" if self.marker.head else ""
            faults.add(f"there is no log at {path}{had}; is it the path that the log has?")
        for fault in self.anchors.faults:
            faults.add(fault)
        was_known = self._state is not None and self._state.first_record == first
        if first and self.anchors.pruned is None and not self.is_damaged and not was_known:
            then = 0 if self._state is None else self._state.first_record
            were_there = self._state is not None and then < first
            archive = ", or verify it with the archive that was given when they were there (--archive)"
            faults.add(
                f"records {then if were_there else 0} to {first - 1} of the log {path} are missing; restore them from a"
                f" copy{archive if were_there else ''}"
            )
        if coverage.missing.count:
            faults.add(
                f"{_plural(coverage.missing.count, 'event')} that the log {path} was to hold"
                f" {'is' if coverage.missing.count == 1 else 'are'} missing: {coverage.missing}"
            )

    def _add_cut_off(self, faults: Faults, expect_records: int | None) -> None:
        records, path, marker, journal = self.checks.records, self._path, self.marker.head, self._journal
        if self.segments and marker is not None and marker.records > records:
            faults.add(
                f"the log {path} had {_plural(marker.records, 'record')} when its marker was written, and has"
                f" {records}: the end was cut off; restore it from a copy"
            )
        expected = max(expect_records or 0, self._expected.records if self._expected else 0)
        if expected > records:
            faults.add(
                f"the log {path} is expected to have {_plural(expected, 'record')}, and has {records}: the end was cut"
                " off, or it is another log"
            )
        if (claimed := self._signed.claimed) > records:
            faults.add(
                f"the log {path} has {_plural(records, 'record')}, and a checkpoint of it speaks of {claimed}: the end"
                " was cut off, or it was restored from an older copy"
            )
        rolled_back = self._signed.rolled_back or self.heartbeats.behind(self._signed.newest_claimed)
        if rolled_back is not None:
            faults.add(rolled_back)
        accepted = self._signed.expected_size if self._signed.meets_expected else None
        for fault in self.forks.losses(self._signed.met, accepted):
            faults.add(fault)
        for fault in self._gaps.faults:
            faults.add(fault)
        if journal is not None and journal.ahead and journal.is_closed and self._is_closed:
            faults.add(
                f"the journal {journal.path} was closed at seq {journal.last_seq}, the log {path} at seq"
                f" {self.checks.last_seq}: {_plural(journal.ahead, 'event')} that it was to hold"
                f" {'is' if journal.ahead == 1 else 'are'} missing. Start the hub: it takes them from the journal"
            )

    @property
    def _is_closed(self) -> bool:
        """Whether the log ends where it was last closed."""
        marker = self.marker
        return (
            marker.is_closed
            and marker.is_met
            and marker.head is not None
            and marker.head.records == self.checks.records
        )

    @property
    def _agrees_with_journal(self) -> bool:
        journal = self._journal
        return (
            journal is not None
            and journal.trouble is None
            and not journal.ahead
            and journal.last_seq is not None
            and journal.last_seq >= (self.checks.last_seq or 0)
            and self._coverage.last_promise is not None
            and self._coverage.last_promise.is_gapless
        )

    def _witnesses(self, expect_records: int | None) -> list[str]:
        """Return what says of the end of the log that it is where it should be."""
        records = self.checks.records
        return [
            witness
            for witness, says_so in (
                ("the marker of its last closing", self._is_closed),
                ("the journal beside it", self._agrees_with_journal),
                ("its newest checkpoint", bool(self._signed.signed_size) and self._signed.signed_size == records),
                (
                    "what you expect",
                    records == expect_records
                    or (self._signed.meets_expected and self._signed.expected_size == records)
                    or (
                        self._expected is not None and self._expected.records == records and bool(self._meets_expected)
                    ),
                ),
            )
            if says_so
        ]

    def _seen_of_end(self, expect_records: int | None) -> list[str]:
        seen = []
        if self.marker.head is not None:
            seen.append(f"the marker beside the log, at {_plural(self.marker.head.records, 'record')}")
        journal = self._journal
        if journal is not None and journal.events_compared:
            seen.append(f"the journal {journal.path}: {_plural(journal.events_compared, 'event')} compared")
        if self._expected is not None:
            seen.append(f"the expected head, at {_plural(self._expected.records, 'record')}")
        if expect_records is not None:
            seen.append(f"the expected number of records, {expect_records:,}")
        if self._gaps.is_asked:
            seen.append(f"{self._gaps}; {_plural(self.heartbeats.count, 'heartbeat')} among them")
        return seen

    def _unseen_of_end(self, witnesses: list[str]) -> list[str]:
        unseen, coverage, journal = [], self._coverage, self._journal
        if (pruned := self.anchors.pruned) is not None:
            before = self._state is not None and self._state.first_record < pruned.first
            again = "; they were there when it was verified before: name that archive, too (--archive)"
            unseen.append(f"{pruned}{again if before and pruned.archive else ''}")
        if not witnesses and not self.is_damaged:
            unseen.append("what came after the last record, if it was cut off")
        if journal is None:
            unseen.append("the journal of the hub: it was not to be read")
        elif journal.trouble is not None and self.checks.events:
            unseen.append(f"the journal {journal.path}: {journal.trouble}")
        if coverage.is_selective:
            unseen.append("gaps between events that a pattern selected, where the journal is no longer there")
        if coverage.unexplained.count:
            events = _plural(coverage.unexplained.count, "event")
            unseen.append(f"{events} of which no log.opened speaks: {coverage.unexplained}")
        unseen += self.forks.unseen()
        if not any(witness == "what you expect" for witness in witnesses):
            unseen.append(self._unseen_cut)
        return unseen

    @property
    def _unseen_cut(self) -> str:
        """What the log, and all that lies beside it, cannot show of its end."""
        verified = 0 if self._state is None else self._state.records
        head = self._expected.records if self._expected is not None and self._meets_expected else 0
        kept, after = max(self._signed.kept_size, head), ""
        if kept > verified:
            after = f", behind the {kept:,} records of which a {'head' if head == kept else 'checkpoint'} was kept"
        elif verified:
            after = f", behind the {verified:,} records that were verified before"
        what = "newer checkpoint or head" if kept else "checkpoint or a head"
        if not self._signed.checked:
            newer = "newer " if kept else ""
            return f"whether log, marker and journal were cut together{after}: a {newer}head kept elsewhere shows it"
        earlier = "" if verified else ", the state of an earlier verification"
        return (
            f"whether log, checkpoints, marker and journal were cut together{after}, or all of them put back from an"
            f" older copy: a {what} kept elsewhere{earlier}, or a witness shows it"
        )

    def _notes(self) -> list[str]:
        notes, coverage, journal, orphans = self.anchors.notes, self._coverage, self._journal, self._blobs.orphans
        if coverage.dropped.count:
            events = _plural(coverage.dropped.count, "event")
            notes.append(f"{events} did not reach the log, which is BEST_EFFORT: {coverage.dropped}")
        if coverage.absent.count:
            events = _plural(coverage.absent.count, "event")
            notes.append(f"the log was not attached to its hub for {events}: {coverage.absent}")
        is_cut = self.marker.head is not None and self.marker.head.records > self.checks.records
        if journal is not None and journal.ahead and not is_cut and not (journal.is_closed and self._is_closed):
            notes.append(
                f"the journal holds {_plural(journal.ahead, 'event')} more, up to seq {journal.last_seq}: a hub at work"
                " is about to write them, or its next start does"
            )
        notes += self.forks.notes
        if (note := self.heartbeats.note) is not None:
            notes.append(note)
        if self.unfinished_bytes:
            size = _plural(self.unfinished_bytes, "byte")
            notes.append(f"the log ends in {size} of no whole record: an append under way, or one torn off by a crash")
        if self.copy is not None:
            notes.append(f"this log is {self.copy}, as it says itself: it shows what its maker has left in it")
        notes += self.contents.notes if self.contents is not None else []
        if self.unexplained:
            names = ", ".join(self.unexplained[:5])
            notes.append(f"torn records were set aside, and no log.recovered says so: {names}")
        if self.foreign:
            notes.append(f"files that are no part of a log lie among its segments: {', '.join(self.foreign[:5])}")
        if orphans:
            files = _plural(orphans, "file")
            notes.append(f"{files} of long records that no record names: left by a crash, or from elsewhere")
        elif orphans is None and not self.is_damaged:
            notes.append("there are too many long records to look for files that no record names")
        return notes


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
