"""``hubwire repair``: what an operator may decide about a store on which no hub starts. No byte of it is lost.

All that is taken away is at ``/lost/<time>/`` in the same store before, and what was done, and why, becomes a record
``log.repaired`` of each log that it concerns. A repair that was killed anywhere is finished when it is called again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import attrs
import msgspec

from .. import codec
from .._journal.beside import Beside
from .._journal.history import Mark, event_at
from .._journal.positions import NAME as POSITIONS, Positions
from .._journal.snapshots import NAME as SNAPSHOTS
from .._journal.store_journal import StoreJournal
from ..clock import SystemClock, timestamp
from ..errors import ConfigurationError, LogDamaged, NotFound
from ..log import (
    Cut,
    Log,
    LogReader,
    cut_log,
    end_log,
    find_cut,
    find_first,
    find_unbegun,
    inspect,
    list_segments,
    segment_path,
)
from ..ports import HoldableStore, KnowledgeStore, normalize_path
from .beginnings import journal_beginning, said_again
from .copying import files_below
from .cut_contents import Around, around_cut
from .failures import CommandFailed
from .inspection import JournalReport, StoreReport, inspect_store
from .lost import Intention, Lost, begun_before
from .output import escape, plural, say
from .signed_logs import is_checkpoint, refuse_copy
from .target import emptiness, open_target

__all__ = ("ACTIONS", "repair")

ACTIONS = ("forget", "accept-loss", "rebuild-marker", "cut", "begin", "set-aside")

Step = tuple[str, Callable[[], Awaitable[None]]]
"""What is done, as a line for the operator; and the doing."""


async def repair(
    target: str, action: str, name: str | None, *, log: str | None, at: int | None, reason: str | None, dry_run: bool
) -> None:
    """Carry out one action, or with ``dry_run`` say what it would do."""
    store = open_target(target)
    try:
        if not await store.exists("/"):
            raise ConfigurationError(await emptiness(target))
        wanted = Intention(at=timestamp(SystemClock().now_ns()), action=action, name=name, log=log)
        begun = await begun_before(store, wanted)
        repairs = _Repairs(store, target, begun or wanted, is_resumed=begun is not None)
        steps = await repairs.steps_of(action, name, log=log, at=at, reason=reason)
        for line, _ in steps:
            say(escape(f"{'would ' if dry_run else ''}{line}"))
        if dry_run:
            say("nothing was changed: leave --dry-run out to do it")
            return
        await repairs.carry_out(steps)
        report = await inspect_store(store, name=target)
    finally:
        await store.aclose()
    blocking = [problem for problem in report.problems if problem.is_in_the_way]
    say(
        f"done; what was taken away is in {repairs.folder}"
        if not blocking
        else f"done, and {plural(len(blocking), 'problem')} left: see hubwire doctor {target}"
    )


class _Repairs:
    """The actions on one store."""

    def __init__(self, store: KnowledgeStore, name: str, intention: Intention, *, is_resumed: bool) -> None:
        self._intention = intention
        self._is_resumed = is_resumed
        """Whether it was begun before, and killed."""
        self._lost = Lost(store, intention.at)
        self._store = store
        self._name = name

    @property
    def folder(self) -> str:
        """Where what is taken away goes."""
        return self._lost.path

    async def carry_out(self, steps: Sequence[Step]) -> None:
        """Write down what is to be done, do it, and write down that it is."""
        await self._lost.note(self._intention)
        for _, do in steps:
            await do()
        await self._lost.note(attrs.evolve(self._intention, is_done=True))

    async def steps_of(
        self, action: str, name: str | None, *, log: str | None, at: int | None, reason: str | None
    ) -> Sequence[Step]:
        """Return what an action does. Raises :class:`~hubwire.errors.ConfigurationError` if an argument is missing."""
        report = await inspect_store(self._store, name=self._name, examine_logs=False)
        if report.holders:
            raise CommandFailed(f"{self._name} is in use: {report.holders[0]}; stop that hub first")
        if action == "forget":
            if name is None:
                raise ConfigurationError(f"name the listener: hubwire repair {self._name} forget NAME")
            return self._forget(_journal_of(report, self._name), name)
        if action == "rebuild-marker":
            return await self._rebuild_marker(self._log_of(report, log))
        if reason is None or not reason.strip():
            raise ConfigurationError(f"{action} needs a reason, which becomes a record: --reason '...'")
        if action == "accept-loss":
            return await self._accept_loss(report, reason)
        if action == "cut":
            return await self._cut(self._log_of(report, log), at, reason)
        if action == "begin":
            return await self._begin(self._log_of(report, log), reason)
        return await self._set_aside(report, self._log_of(report, log), reason)

    def _log_of(self, report: StoreReport, log: str | None) -> str:
        paths = [*(journal.path for journal in report.journals), *(each.path for each in report.logs)]
        if log is None:
            raise ConfigurationError(f"name the log with --log: {' or '.join(paths) or 'there is none'}")
        if (path := normalize_path(log)) not in paths and not (self._is_resumed and path in self._intention.logs):
            raise ConfigurationError(f"there is no log at {path}; there is {', '.join(paths) or 'none'}")
        return path

    # -- the actions --

    def _forget(self, journal: JournalReport, name: str) -> list[Step]:
        if name not in dict(journal.positions):
            if self._is_resumed:
                return []
            names = ", ".join(each for each, _ in journal.positions)
            raise NotFound(f"no position of a listener named {name!r} is kept; there is {names or 'none'}")

        async def forget() -> None:
            await self._lost.copy_below(f"{journal.path}/beside")
            await self._lost.copy_below(f"{journal.path}/{POSITIONS}")
            async with self._opened(journal.path) as opened:
                kept = await opened.kept()
                if POSITIONS not in kept:  # each has a file of its own still
                    positions = Positions(opened)
                    await positions.load(kept)
                    await positions.forget(name, journal.hub or "")
                    return
                fields = msgspec.json.decode(kept[POSITIONS])
                del fields["positions"][name]
                fields.get("handled", {}).pop(name, None)
                await opened.keep(POSITIONS, msgspec.json.encode(fields))

        return [(f"forget the position of the listener {name!r} in {journal.path}", forget)]

    async def _rebuild_marker(self, log: str) -> list[Step]:
        first = await find_first(self._store, log)
        earlier = [segment_path(log, each) for each in await list_segments(self._store, log) if each < first]
        unbegun = await find_unbegun(self._store, log)

        async def rebuild() -> None:
            async with self._held(log):
                for path in (f"{log}/kept", f"{log}/clean", *earlier):
                    await self._lost.copy(path)
                if first:
                    await self._store.write(f"{log}/kept", b"%d\n" % first)
                else:
                    await self._store.delete(f"{log}/kept")
                for path in (*earlier, f"{log}/clean"):
                    await self._store.delete(path)
                if unbegun is not None and not await self._store.exists(unbegun):
                    await self._store.write(unbegun, b"", if_absent=True)

        line = f"write the markers of {log} anew, from its segments, which begin with record {first}"
        if earlier:
            line += f"; set {plural(len(earlier), 'segment')} aside, which was truncated or does not lead to them"
        if unbegun is not None:
            line += f"; begin {unbegun}, which the last of them names"
        record = self._record_step([log], "rebuild-marker", "its markers were damaged")
        return [(line, rebuild), *([record] if await list_segments(self._store, log) else [])]

    async def _cut(self, log: str, at: int | None, reason: str) -> list[Step]:
        await refuse_copy(self._store, log)
        cut = await find_cut(self._store, log, record=at)
        if cut is None and self._is_resumed:
            again, around = await said_again(self._store, {log: None}), await self._around({}, reason)
            return [
                *around.before,
                self._finish_step(log),
                self._record_step([log], "cut", reason),
                *again,
                *around.after,
            ]
        if cut is None:
            where = "no damage was found in it" if at is None else f"it has no record {at}"
            raise ConfigurationError(f"{log} is not cut: {where}")
        again, around = await said_again(self._store, {log: cut.record}), await self._around({log: cut.record}, reason)
        cutting = self._cut_step(cut)
        return [*around.before, *cutting, self._record_step([log], "cut", reason), *again, *around.after]

    async def _around(self, ends: Mapping[str, int], reason: str) -> Around:
        """Return what is done to erasable contents of logs that are cut now, or that were cut before a kill."""
        before = {log: end for log, end in self._intention.ends.items() if log not in ends}
        self._intention = attrs.evolve(self._intention, ends={**before, **ends})
        around = await around_cut(self._store, self._lost, ends, reason)
        cut = await around_cut(self._store, self._lost, before, reason, is_cut=True)
        return Around([*around.before, *cut.before], [*around.after, *cut.after])

    def _cut_step(self, cut: Cut) -> list[Step]:
        async def carry_out() -> None:
            async with self._held(cut.path):
                await cut_log(self._store, cut, self._lost.copy)

        line = f"end {cut.path} before record {cut.record}, at byte {cut.byte_offset} of {cut.segment}"
        if cut.reason:
            line += f" ({cut.reason})"
        behind = cut.size - cut.byte_offset
        line += f"; set {behind:,} bytes of it aside"
        if cut.later:
            line += f", and {plural(len(cut.later), 'later segment')}"
        return [(line, carry_out)]

    def _finish_step(self, log: str) -> Step:
        """Return what is left to be done after a log was cut: its marker speaks of records behind its end."""

        async def finish() -> None:
            async with self._held(log):
                if (await inspect(self._store, log)).damage:
                    await end_log(self._store, log, self._lost.copy)

        return (f"set the marker of {log} aside, if it is the one of before {log} was cut", finish)

    async def _begin(self, log: str, reason: str) -> list[Step]:
        beginning = await journal_beginning(self._store, log)
        if beginning is None:
            raise ConfigurationError(f"{log} cannot begin later: it is no journal with a snapshot behind its damage")
        segments = await list_segments(self._store, log)
        earlier = [segment_path(log, first) for first in segments if first < beginning.record]

        async def carry_out() -> None:
            async with self._held(log):
                for path in (f"{log}/kept", *earlier):
                    await self._lost.copy(path)
                await self._store.write(f"{log}/kept", b"%d\n" % beginning.record)
                for path in earlier:
                    await self._store.delete(path)

        line = f"let {log} begin with event {beginning.seq}, record {beginning.record}"
        line += f"; set {plural(len(earlier), 'segment')} before it aside"
        return [(line, carry_out), self._record_step([log], "begin", reason)]

    async def _accept_loss(self, report: StoreReport, reason: str) -> list[Step]:
        journal = _journal_of(report, self._name)
        if journal.inspection.damage:
            raise CommandFailed(f"the journal is damaged ({journal.inspection.damage[0]}); cut it first")
        logs = [
            log.path
            for log in report.logs
            if (seq := log.inspection.tail.seq) is not None
            and log.inspection.tail.hub == journal.hub
            and seq >= journal.next_seq
        ]
        begun = [log for log in self._intention.logs if log not in (journal.path, *logs)]
        steps: list[Step] = [
            (
                f"let positions and snapshots end where the journal does, before event {journal.next_seq}",
                partial(self._bring_back, journal),
            )
        ]
        ends: dict[str, int | None] = dict.fromkeys(begun)
        for log in (*logs, *begun):  # one that was begun may have lost its last segment, and no more
            if (cut := await find_cut(self._store, log, seq=journal.next_seq)) is not None:
                steps += self._cut_step(cut)
                ends[log] = cut.record
            elif log in begun:
                steps.append(self._finish_step(log))
        again = await said_again(self._store, ends)
        around = await self._around({log: end for log, end in ends.items() if end is not None}, reason)
        record = self._record_step([journal.path, *logs, *begun], "accept-loss", reason)
        return [*around.before, *steps, record, *again, *around.after]

    async def _bring_back(self, journal: JournalReport) -> None:
        """Keep only what is before the journal's end."""
        beside, snapshots = f"{journal.path}/beside", f"{journal.path}/snapshots"
        await self._lost.copy_below(beside)
        try:
            kept = dict(await Beside(self._store, journal.path).load())
        except LogDamaged:
            kept = {}
            await self._store.delete(beside)
        for name in await self._store.list(snapshots):
            if name[:20].isdigit() and int(name[:20]) > journal.next_seq:
                await self._lost.copy(f"{snapshots}/{name}")
                await self._store.delete(f"{snapshots}/{name}")
        async with self._opened(journal.path) as opened:
            if SNAPSHOTS in kept:
                await opened.keep(SNAPSHOTS, None)
            if POSITIONS in kept:
                fields = msgspec.json.decode(kept[POSITIONS])
                last = await event_at(opened, opened.next_seq - 1)
                mark = None if last is None else Mark(last.seq, last.id)
                fields["end"] = None if mark is None else [mark.seq, mark.id]
                fields["hub"] = journal.hub or ""
                fields["positions"] = {name: min(seq, opened.next_seq) for name, seq in fields["positions"].items()}
                # Left as it is, a listener would skip the events that come next under these numbers.
                fields["handled"] = {
                    name: [min(seq, opened.next_seq), last_seq]
                    for name, (seq, last_seq) in fields.get("handled", {}).items()
                    if last_seq < opened.next_seq
                }
                await opened.keep(POSITIONS, msgspec.json.encode(fields))
            else:
                await self._bring_back_old(journal, opened.next_seq)

    async def _bring_back_old(self, journal: JournalReport, next_seq: int) -> None:
        """Bring the positions back that have a file of their own each, as in earlier versions."""
        folder = f"{journal.path}/{POSITIONS}"
        await self._lost.copy_below(folder)
        for path in [path async for path in files_below(self._store, folder)]:
            try:
                fields = msgspec.json.decode(await self._store.read_bytes(path) or b"")
                fields |= {"hub": journal.hub or "", "seq": min(fields["seq"], next_seq)}
            except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError):
                await self._store.delete(path)  # it is empty; the listener begins where its since=... says
            else:
                await self._store.write(path, msgspec.json.encode(fields) + b"\n")

    async def _set_aside(self, report: StoreReport, log: str, reason: str) -> list[Step]:
        if any(log == journal.path for journal in report.journals):
            raise ConfigurationError(
                f"{log} is a journal, which a hub cannot do without: cut it, or restore the store from a backup"
            )

        async def move() -> None:
            async with self._held(log):
                files = [path async for path in files_below(self._store, log) if not is_checkpoint(path, log)]
                if any([await self._lost.differs_from(path) for path in files]):
                    return  # all of it was moved, and a hub has begun a new log
                for path in files:
                    await self._lost.copy(path)
                for path in files:
                    await self._store.delete(path)

        return [
            (f"set all of {log} aside; a new log begins there", move),
            self._record_step([log], "set-aside", reason),
        ]

    # -- how --

    def _record_step(self, logs: Sequence[str], action: str, reason: str) -> Step:
        self._intention = attrs.evolve(self._intention, logs=tuple(logs))
        return (f"say so in {' and '.join(logs)}: {reason}", partial(self._record, logs, action, reason))

    async def _record(self, logs: Sequence[str], action: str, reason: str) -> None:
        """Append ``log.repaired`` to each log."""
        report = await inspect_store(self._store, name="", examine_logs=False)
        journals = {journal.path for journal in report.journals}
        fields = {"action": action, "at": self._intention.at, "kind": "log.repaired", "lost": self.folder}
        body = codec.encode_fields({**fields, "reason": reason})
        for path in logs:
            if self._is_resumed and await self._is_recorded(path):
                continue
            is_journal = path in journals
            log = Log(self._store, path, clock=SystemClock(), chained=not is_journal, announce_opening=not is_journal)
            try:
                await log.append([body])
            finally:
                await log.aclose()

    async def _is_recorded(self, path: str) -> bool:
        """Tell whether a log has the record of this repair."""
        reader, said = LogReader(self._store, path), b'"lost":"%b"' % self.folder.encode()
        with suppress(LogDamaged):
            while records := await reader.read():
                if any(b'"kind":"log.repaired"' in record.body and said in record.body for record in records):
                    return True
        return False

    @asynccontextmanager
    async def _opened(self, path: str) -> AsyncIterator[StoreJournal]:
        journal = StoreJournal(self._store, path=path)
        await journal.open()
        try:
            yield journal
        finally:
            await journal.aclose()

    @asynccontextmanager
    async def _held(self, path: str) -> AsyncIterator[None]:
        """Hold a log, so that no hub opens it meanwhile."""
        hold = await self._store.hold(f"{path}/.lock") if isinstance(self._store, HoldableStore) else None
        try:
            yield
        finally:
            if hold is not None:
                await hold.release()


def _journal_of(report: StoreReport, name: str) -> JournalReport:
    if not report.journals:
        raise ConfigurationError(f"there is no journal in {name}")
    return report.journals[0]
