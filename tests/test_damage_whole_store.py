"""Damage anywhere below a store: refused with words, mended from what proves it, or named by doctor; never believed."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import shlex
from collections import Counter
from pathlib import Path
from random import Random

import anyio
import anyio.lowlevel
import attrs
import pytest

from hubwire import GenericEvent, codec
from hubwire.cli.app import run
from hubwire.cli.inspection import StoreReport, inspect_store
from hubwire.clock import SystemClock
from hubwire.errors import HistoryGone, HubError
from hubwire.listeners.audit import Outcome, examine
from hubwire.log import Log, LogReader
from hubwire.stores import FileStore
from hubwire.testing import peek
from support.damage import DAMAGE, Files, Life, Mirror, files, hub_on, live_through, put

ROUNDS = int(os.environ.get("HUBWIRE_TEST_DAMAGE", "60"))
"""How often something is damaged, half of them after a clean end, half after a kill."""
COMMAND = re.compile(r"hubwire repair .*?--dry-run")
REPAIRS_MAX = 5
SEED = int(os.environ.get("HUBWIRE_TEST_SEED", "7"))


@attrs.define
class Start:
    """What came of a start on damaged files."""

    refusal: HubError | None = None
    reported: list[str] = attrs.field(factory=list)
    """What was said of it by who looked later: verify, a reader of history, health."""
    believed: list[str] = attrs.field(factory=list)
    """What differs from the truth."""


async def look(root: Path) -> StoreReport:
    store = FileStore(root)
    try:
        return await inspect_store(store, name=str(root))
    finally:
        await store.aclose()


async def start(root: Path, life: Life) -> Start:
    """Start a hub, compare what it has with what is true, let it work, and read its logs."""
    found, mirror, store = Start(), Mirror(), FileStore(root)
    first_seq = 0
    try:
        async with hub_on(store, mirror) as hub:
            statistics = hub.statistics()
            assert statistics.journal is not None
            if peek(hub) != life.state:
                found.believed.append("its state is another one")
            end, first_seq = statistics.committed, statistics.journal.first_seq
            if end < len(life.events):
                found.believed.append(f"it ends before event {end}, not {len(life.events)}")
            try:
                async for event in hub.events(after=first_seq - 1):
                    if codec.encode(event) != life.events.get(event.seq, codec.encode(event)):
                        found.believed.append(f"event {event.seq} is another one")
                    if event.seq >= end - 1:
                        break
            except HistoryGone:
                pass  # the hub truncated its journal meanwhile
            except HubError as error:
                found.reported.append(f"read: {error}")
            await hub.emit(GenericEvent(kind="work.done", data={}))
            await hub.flush()
            found.reported += [f"health: {problem}" for problem in hub.health().problems]
    except HubError as error:
        found.refusal = error
        return found
    finally:
        await store.aclose()
    missed = [seq for seq in range(life.owed, len(life.events)) if mirror.seen.get(seq) != life.events[seq]]
    if missed and not found.reported:
        found.believed.append(f"the DURABLE listener has not seen {missed[:3]}")
    await _verify(root, life, first_seq, found)
    return found


async def _verify(root: Path, life: Life, first_seq: int, found: Start) -> None:
    """Verify both audit logs, and compare their events with the truth."""
    store = FileStore(root)
    for path in ("/audit", "/work"):
        verification = await examine(store, path, journal="/journal")
        for name, verdict in verification.verdicts.items():
            if verdict.outcome is Outcome.FAILS:
                found.reported.append(f"verify {path}: {name}: {verdict.faults[0]}")
        is_reported = any(f"verify {path}" in text for text in found.reported)
        seen = set[int]()
        reader = LogReader(store, path)
        with contextlib.suppress(HubError):
            while records := await reader.read():
                for record in records:
                    fields = codec.decode_fields(record.body)
                    if "seq" in fields:
                        seq = fields["seq"]
                        seen.add(seq)
                        if (
                            not is_reported
                            and seq in life.events
                            and codec.decode_fields(life.events[seq])["id"] != fields["id"]
                        ):
                            found.believed.append(f"event {seq} in {path} is another one")
        owed = {seq for seq, event in life.events.items() if path == "/audit" or b'"kind":"work.' in event}
        if (missing := owed - seen) and not is_reported:
            found.believed.append(f"{path} has no event {sorted(missing)[:3]}, and verifies")
    await store.aclose()


def damage(random: Random, life: Life) -> tuple[str, Files]:
    """Return what was done to which file, and all files after it."""
    name = random.choice([name for name in life.files if not name.endswith(".lock")])
    what = random.choice([*DAMAGE, "of an older version", "of another hub"])
    content: bytes | None
    if what == "of an older version":
        content = life.older.get(name)
    elif what == "of another hub":
        folder = name.rpartition("/")[0]
        alike = [each for each in life.other if each.rpartition("/")[0] == folder]
        content = life.other.get(name, life.other[random.choice(alike)] if alike else None)
    else:
        content = DAMAGE[what](life.files[name], random) if life.files[name] else b"\n"
    changed = {**life.files, name: b"" if content is None else content}
    if content is None:
        del changed[name]
    return f"{name}: {what}", changed


def judge(root: Path, what: str, report: StoreReport, began: Start) -> str:
    """Return what kind of round it was: the first word says."""
    blocking = [problem for problem in report.problems if problem.is_in_the_way]
    if began.believed:
        return f"BELIEVED {began.believed[0]}; doctor: {[p.text for p in report.problems]}, {report.notes}"
    if began.refusal is not None:
        if not blocking:
            return f"SILENT {began.refusal}"
        name = what.partition(":")[0]
        said = " ".join(problem.text for problem in blocking)
        log = name.partition("/")[0]
        return "refused" if name in said else "refused, and its log named" if f"/{log}" in said else f"UNNAMED {said}"
    if began.reported:
        return "said" if report.problems else f"SILENT {began.reported[0]}"
    if blocking:
        return f"FALSE {blocking[0].text}"
    return "mended" if report.notes or report.problems else "harmless"


def mend(root: Path, report: StoreReport) -> list[str] | None:
    """Do what doctor advises, as printed, until it finds nothing in the way; return what is wrong with that.

    None: it says that only a backup helps.
    """
    wrong: list[str] = []
    for _ in range(REPAIRS_MAX):
        blocking = [problem for problem in report.problems if problem.is_in_the_way]
        if not blocking:
            return wrong
        if "no repair helps" in blocking[0].advice:
            return wrong or None
        advised = COMMAND.search(blocking[0].advice)
        if advised is None:
            return [*wrong, f"no command is advised: {blocking[0]}"]
        arguments, before = shlex.split(advised[0])[1:], files(root)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = run(arguments)
        if code != 0 or files(root) != before:
            wrong.append(f"--dry-run ended with {code}, changed: {files(root) != before}: {printed.getvalue()}")
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = run([argument for argument in arguments if argument != "--dry-run"])
        if code != 0:
            return [*wrong, f"{arguments} ended with {code}: {printed.getvalue()}"]
        wrong += [f"{arguments} lost {line[-80:]!r} of {name}" for name, line in lost(before, files(root))]
        report = anyio.run(look, root)
    return [*wrong, f"after {REPAIRS_MAX} repairs: {[(p.text, p.advice) for p in report.problems]}"]


def lost(before: Files, after: Files) -> list[tuple[str, bytes]]:
    """Return the first line of each file that is in no file any more."""
    there = {line for content in after.values() for line in content.split(b"\n")}
    found: list[tuple[str, bytes]] = []
    for name, content in before.items():
        if name.endswith((".lock.lock@", "/clean", "/kept")):
            continue  # a log writes these anew
        if after.get(name) != content and content not in after.values():
            missing = [line for line in content.split(b"\n") if line not in there]
            found += [(name, line) for line in missing[:1] if not any(line in each for each in after.values())]
    return found


def differing(before: Files, after: Files) -> list[str]:
    """Return the names of the files that are not as they were."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


@pytest.mark.slow
@pytest.mark.timeout(60 + ROUNDS)
@pytest.mark.parametrize("is_killed", [False, True], ids=["closed", "killed"])
def test_no_damage_is_believed_or_silent(tmp_path: Path, is_killed: bool) -> None:
    """One of the files is damaged, and doctor says which, or a hub has all that was acknowledged."""
    life = anyio.run(live_through_it, tmp_path / "first", is_killed)
    random, root, counts = Random(SEED + is_killed), tmp_path / "data", Counter[str]()
    wrong: list[str] = []
    for number in range(ROUNDS // 2):
        what, changed = damage(random, life)
        if changed == life.files:
            continue
        put(root, changed)
        report = anyio.run(look, root)
        if files(root) != changed:
            wrong.append(f"{number} {what}: CHANGED by doctor: {differing(changed, files(root))}")
        began = anyio.run(start, root, life)
        if began.refusal is not None and files(root) != changed:
            wrong.append(f"{number} {what}: CHANGED by a refused start: {differing(changed, files(root))}")
        kind = judge(root, what, report, began)
        if began.refusal is not None and report.problems:
            put(root, changed)
            complaints = mend(root, report)
            wrong += [f"{number} {what}: REPAIR {each}" for each in complaints or ()]
            if complaints is not None and (again := anyio.run(start, root, life)).refusal is not None:
                wrong.append(f"{number} {what}: REPAIR does not let a hub start: {again.refusal}")
            counts["only a backup helps" if complaints is None else "repaired"] += 1
        counts[kind.partition(" ")[0] if kind.partition(" ")[0].isupper() else kind] += 1
        if kind.partition(" ")[0].isupper():
            wrong.append(f"{number} {what}: {kind}")
    assert counts["repaired"], counts
    assert not wrong, "\n".join(wrong)


async def live_through_it(root: Path, is_killed: bool) -> Life:
    return await live_through(root, is_killed=is_killed)


async def test_a_cancelled_opening_leaves_no_lock_file(tmp_path: Path) -> None:
    """The lock file is gone when the cancelled call ends: a start that is refused cancels listeners that it enters."""
    store = FileStore(tmp_path)
    log = Log(store, "/audit", clock=SystemClock())
    opening = asyncio.create_task(log.open())
    while not await anyio.to_thread.run_sync(files, tmp_path):
        await anyio.lowlevel.checkpoint()
    opening.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await opening
    if log.is_open:
        await log.aclose()
    assert await anyio.to_thread.run_sync(files, tmp_path) == {}
    await store.aclose()
