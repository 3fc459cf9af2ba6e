"""What is in a store, what is wrong with it, and what can be done: read only, with and without a hub at work."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable
from contextlib import suppress

import attrs

from hubwire.listeners.audit import Outcome, Verification, examine

from .. import codec
from .._delivery.letter_files import LetterReader
from .._journal.history import Mark, replay_checked
from .._journal.positions import Positions
from .._journal.snapshots import Snapshot, Snapshots
from .._state import State
from ..errors import HubError, JournalBehind, LogDamaged, NewerVersion
from ..log import Cut, Inspection, LogReader, find_cut, inspect, list_segments, segment_path
from ..ports import KnowledgeStore
from .beginnings import NO_REPAIR, goes_on_from, has_snapshot, journal_beginning
from .copying import files_below, is_journal, logs_at
from .letters_in import letters_in
from .lost import unfinished
from .missing import Lived, missing_beside
from .read_journal import ReadJournal
from .signed_logs import advice_to_fork, trouble_with_checkpoint

__all__ = ("JournalReport", "LogReport", "Problem", "StoreReport", "holder_of", "inspect_store")


@attrs.frozen
class Problem:
    """What keeps a hub from starting, or is not as it was written."""

    text: str
    """What is wrong, with which file, and where."""
    advice: str
    """What can be done, mostly a command."""
    is_in_the_way: bool = True
    """Whether no hub starts before it is mended."""


@attrs.frozen(kw_only=True)
class LogReport:
    """An audit log as it was found."""

    path: str
    inspection: Inspection
    verification: Verification | None
    """What verify knows of it; None if it cannot be read."""


@attrs.frozen(kw_only=True)
class JournalReport:
    """A journal as it was found, and what a hub keeps beside it."""

    path: str
    inspection: Inspection
    hub: str | None = None
    first_seq: int = 0
    next_seq: int = 0
    snapshots: tuple[int, ...] = ()
    """The ``seq`` before which each has the state."""
    positions: tuple[tuple[str, int], ...] = ()
    """Of each DURABLE name, the ``seq`` of the next event that it has to see."""

    @property
    def missed(self) -> frozenset[str]:
        """The DURABLE names that the journal has no longer all events for."""
        return frozenset(name for name, seq in self.positions if seq < self.first_seq)


@attrs.frozen(kw_only=True)
class StoreReport:
    """A store as it was found: it was only read."""

    journals: tuple[JournalReport, ...]
    logs: tuple[LogReport, ...]
    holders: tuple[str, ...]
    """Which processes hold a path of it now."""
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    """What is neither wrong nor usual, and what the next start does about it."""


async def inspect_store(store: KnowledgeStore, *, name: str, examine_logs: bool = True) -> StoreReport:
    """Look at all logs of a store, and at what is kept beside a journal. It only reads and needs no hold.

    Every record is read. ``name`` is how the store is called in advice. Without ``examine_logs`` audit logs are not
    verified: it is only looked whether a hub can start.
    """
    look = _Look(store, name)
    paths = [path async for path in files_below(store)]
    logs = await logs_at(store, paths)
    for log in logs:
        if await is_journal(store, log, paths):
            await look.at_journal(log)
    for log in logs:
        if not any(log == journal.path for journal in look.journals):
            await look.at_log(log, is_examined=examine_logs)
    look.note_missing_journal()
    await look.at_repairs()
    return StoreReport(
        journals=tuple(look.journals),
        logs=tuple(look.logs),
        holders=tuple([holder for log in logs if (holder := await holder_of(store, log)) is not None]),
        problems=tuple(look.problems),
        notes=tuple(look.notes),
    )


async def holder_of(store: KnowledgeStore, log: str) -> str | None:
    """Return which process is at work on a log, if the store can tell."""
    ask: Callable[[str], Awaitable[str | None]] | None = getattr(store, "holder", None)  # files know it
    return None if ask is None else await ask(f"{log}/.lock")


class _Look:
    """One look at a store."""

    def __init__(self, store: KnowledgeStore, name: str) -> None:
        self.journals: list[JournalReport] = []
        self.logs: list[LogReport] = []
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self._store = store
        self._name = name
        self._journal_paths: list[str] = []

    def _problem(self, error: object, advice: str) -> None:
        self.problems.append(Problem(str(error), advice))

    async def _try(self, call: Callable[[], Awaitable[None]], advice: str) -> bool:
        """Await a look; return whether it found all well."""
        try:
            await call()
        except NewerVersion as error:
            self._problem(error, "use a newer version of hubwire")
        except HubError as error:
            self._problem(error, advice)
        else:
            return True
        return False

    async def _inspect(self, path: str, *, is_chained: bool) -> Inspection:
        found = await inspect(self._store, path, is_chained=is_chained, is_thorough=True)
        for damage in found.damage:
            if isinstance(damage, NewerVersion):
                self._problem(damage, "use a newer version of hubwire")
            else:
                self._problem(damage, await self._advice_for(damage, path))
        self.notes += found.notes
        self.notes += [f"the next start will {repair}" for repair in found.repairs]
        return found

    async def _advice_for(self, damage: LogDamaged, log: str) -> str:
        rebuild = self._command("rebuild-marker", log)
        restore = f"restore {damage.path or log} from a backup; or"
        if damage.path in (f"{log}/clean", f"{log}/kept"):
            return rebuild
        if log in self._journal_paths and not await self._has_records(log):
            return NO_REPAIR
        if (cut := await find_cut(self._store, log)) is None:
            return (
                f"{restore}, if a marker is wrong or what is missing has to stay lost, let the log be what its segments"
                f" hold: {rebuild}"
            )
        if log in self._journal_paths:
            return await self._advice_for_journal(cut, log)
        return f"{restore} end the log before the damage, which sets the rest aside: {self._command('cut', log)}"

    async def _has_records(self, log: str) -> bool:
        segments = await list_segments(self._store, log)
        return any([await self._store.size(segment_path(log, first)) for first in segments])

    async def _advice_for_journal(self, cut: Cut, log: str) -> str:
        """Advise what leaves a snapshot from which the journal goes on."""
        restore = "restore the whole store from one backup"
        if (beginning := await journal_beginning(self._store, log)) is not None:
            return (
                f"{restore}; or let the journal begin behind the damage, at event {beginning.seq}, and its state come"
                f" from a snapshot: {self._command('begin', log)}"
            )
        if await goes_on_from(self._store, cut):
            return f"{restore}; or end the journal before the damage: {self._command('cut', log)}"
        return NO_REPAIR

    def _command(self, action: str, log: str) -> str:
        reason = "" if action == "rebuild-marker" else " --reason '...'"
        return f"hubwire repair {shlex.quote(self._name)} {action} --log {shlex.quote(log)}{reason} --dry-run"

    def _accept_loss(self) -> str:
        return f"hubwire repair {shlex.quote(self._name)} accept-loss --reason '...' --dry-run"

    async def at_repairs(self) -> None:
        """Name the repairs that were killed."""
        for each in await unfinished(self._store):
            reason = "" if each.action in ("forget", "rebuild-marker") else " --reason '...'"
            text = f"the repair {each.words}, which began at {each.at}, has not come to its end"
            advice = f"call it again: hubwire repair {shlex.quote(self._name)} {each.words}{reason} --dry-run"
            self.problems.append(Problem(text, advice, is_in_the_way=False))

    # -- a journal --

    async def at_journal(self, path: str) -> None:
        self._journal_paths.append(path)
        found = await self._inspect(path, is_chained=False)
        report = JournalReport(path=path, inspection=found)
        if not found.damage:
            report = await self._read_journal(report)
        self.journals.append(report)
        await self._look_for_letters(path)

    async def _look_for_letters(self, journal: str) -> None:
        reader = LetterReader(self._store, journal)
        if kept := await letters_in(reader):
            self.notes.append(f"{len(kept)} dead letters are kept: hubwire dead-letters list {shlex.quote(self._name)}")
        advice = "restore it from a backup; or leave it: a hub starts here, and goes on with the other dead letters"
        self.problems += [Problem(each, advice, is_in_the_way=False) for each in reader.problems]

    async def _read_journal(self, report: JournalReport) -> JournalReport:
        journal = ReadJournal(self._store, report.path, report.inspection)
        positions, snapshots = Positions(journal), Snapshots(journal, State().machines)
        accept = (
            f"restore the whole store from one backup; or give up what the journal does not hold: {self._accept_loss()}"
        )
        newest: Snapshot | None = None
        kept: dict[str, bytes] = {}
        lived = Lived()

        async def read_beside() -> None:
            kept.update(await journal.kept())
            await journal.look_again()
            await positions.load(kept)
            nonlocal newest
            newest = await snapshots.load(kept)

        async def replay() -> None:
            await _replay(journal, positions.end, newest, lived)

        is_well = await self._try(journal.open, self._cut(report.path))
        held = range(journal.first_seq, journal.next_seq + 1)
        if journal.first_seq and not await has_snapshot(self._store, report.path, held):
            accept = NO_REPAIR
        if is_well and await self._try(read_beside, accept):
            await self._try(replay, self._cut(report.path))
            has_old = positions.have_moved
            self.notes += missing_beside(
                report.inspection, kept, snapshots.seqs, lived, has_old_positions=has_old, name=self._name
            )
        if snapshots.damaged is not None:
            self.notes.append(f"{snapshots.damaged}; the next start sets it aside, and goes on from the one before")
        report = attrs.evolve(
            report,
            hub=journal.hub_id,
            first_seq=journal.first_seq,
            next_seq=journal.next_seq,
            snapshots=snapshots.seqs,
            positions=tuple(sorted(positions.kept.items())),
        )
        self._report_missed(report)
        return report

    def _report_missed(self, report: JournalReport) -> None:
        """Report the listeners that have missed events which the journal no longer holds."""
        for name in sorted(report.missed):
            text = (
                f"the DURABLE listener {name!r} has come to event {dict(report.positions)[name]}, but the journal"
                f" {report.path} begins with event {report.first_seq}: it has missed those between"
            )
            advice = (
                "attach it, and let it go on without them: attachment.resume(skip_missed=True); or, if it does not come"
                f" back: hubwire repair {shlex.quote(self._name)} forget {shlex.quote(name)} --dry-run"
            )
            self.problems.append(Problem(text, advice, is_in_the_way=False))

    def _cut(self, log: str) -> str:
        return (
            f"restore the whole journal from a backup; or end it before that record: hubwire repair"
            f" {shlex.quote(self._name)} cut --log {shlex.quote(log)} --at RECORD --reason '...' --dry-run"
        )

    # -- an audit log --

    async def at_log(self, path: str, *, is_examined: bool) -> None:
        found = await self._inspect(path, is_chained=True)
        verification = None
        if is_examined:
            with suppress(LogDamaged):
                verification = await examine(
                    self._store, path, journal=self.journals[0].path if self.journals else None
                )
        if verification is not None and not found.damage:
            self.problems += [
                Problem(
                    fault,
                    f"see hubwire verify {shlex.quote(self._name)} --log {shlex.quote(path)}",
                    is_in_the_way=False,
                )
                for verdict in verification.verdicts.values()
                if verdict.outcome is Outcome.FAILS
                for fault in verdict.faults
            ]
        self.logs.append(LogReport(path=path, inspection=found, verification=verification))
        await self._compare(path, found)
        if not found.damage:
            await self._look_for_hole(path, found)
            if (trouble := await trouble_with_checkpoint(self._store, path, found.tail.records)) is not None:
                self._problem(trouble, advice_to_fork(self._name, path))

    async def _look_for_hole(self, path: str, found: Inspection) -> None:
        """See whether the journal of the same hub still holds the events that come next in a log."""
        last = found.tail.seq
        for journal in self.journals:
            if last is None or found.tail.hub != journal.hub or last + 1 >= journal.first_seq:
                continue
            duty = await self._duty_of(path)
            text = (
                f"the log {path} ends with event {last}, but the journal {journal.path} begins with event"
                f" {journal.first_seq}: those between are lost to the log"
            )
            advice = (
                f"restore the whole store from one backup; or let a new log begin, and keep this one in /lost:"
                f" {self._command('set-aside', path)}"
                if duty == "required"
                else "attach it, and let it go on without them: attachment.resume(skip_missed=True)"
            )
            if duty != "best_effort":
                self.problems.append(Problem(text, advice, is_in_the_way=duty == "required"))

    def note_missing_journal(self) -> None:
        """Say of logs that hold a hub's events that there is no journal: a hub need not have one."""
        for log in () if self.journals else self.logs:
            if log.inspection.tail.seq is not None:
                self.notes.append(
                    f"there is no journal beside {log.path}, which holds events up to {log.inspection.tail.seq}. If its"
                    " hub had one, that is lost: a hub with a journal does not start here, and one without goes on"
                    " behind these events"
                )

    async def _duty_of(self, path: str) -> str:
        """Return the duty with which a log was last attached; that of an AuditLog if it does not say."""
        duty, reader = "required", LogReader(self._store, path)
        while records := await reader.read():
            for record in records:
                if b'"kind":"log.opened"' in record.body:
                    duty = str(codec.decode_fields(record.body).get("duty", duty))
        return duty

    async def _compare(self, path: str, found: Inspection) -> None:
        """Compare the end of a log with the journal of the same hub: the journal is never behind.

        The end of the journal is that of now: a hub at work has gone on since the journal was read, before the log.
        """
        for journal in self.journals:
            last = found.tail.seq
            if found.damage or last is None or journal.inspection.damage:
                continue
            if journal.next_seq == 0:
                text = f"the log {path} holds event {last}, but the journal {journal.path} is empty: it has lost all"
                self._problem(text, NO_REPAIR)
            elif found.tail.hub == journal.hub and last >= (end := await self._end_of(journal)):
                error = JournalBehind(
                    f"the log {path} holds event {last}, but the journal {journal.path} of the same hub ends before"
                    f" {end}: it has lost its end, or was restored from an older copy",
                    path=journal.path,
                )
                advice = (
                    "restore the journal, or the whole store, from one backup; or give up what the journal does not"
                    f" hold: {self._accept_loss()}"
                )
                self._problem(error, advice)

    async def _end_of(self, journal: JournalReport) -> int:
        now = ReadJournal(self._store, journal.path, journal.inspection)
        await now.look_again()
        return now.next_seq


async def _replay(journal: ReadJournal, end: Mark | None, snapshot: Snapshot | None, lived: Lived) -> None:
    """Read all events that a start would read, and compare them with what is kept, as a start does."""
    marks = [] if end is None else [end]
    if snapshot is not None and snapshot.last_id is not None and snapshot.seq > 0:
        marks.append(Mark(snapshot.seq - 1, snapshot.last_id, "a snapshot was taken"))
    async for event in replay_checked(journal, 0 if snapshot is None else snapshot.seq, marks):
        lived.see(event)
