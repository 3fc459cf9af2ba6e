"""`hubwire prune`, and the other verbs on a log that was pruned."""

from __future__ import annotations

import io
import json
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import anyio
import pytest
from obstore.store import MemoryStore as MemoryService

from hubwire import GenericEvent, Hub, StoreJournal
from hubwire.cli import main
from hubwire.cli.backup import back_up, put_back
from hubwire.cli.prune import InUse, check_unused
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Retention, verify
from hubwire.stores import FileStore, MemoryStore
from hubwire.stores.object import ObjectStore
from support import files_of
from support.audit import work
from support.pruning import firsts


def hubwire(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command within this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main([str(each) for each in arguments])
    assert isinstance(end.value.code, int)
    return subprocess.CompletedProcess(arguments, end.value.code, out.getvalue(), err.getvalue())


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A store with journal and audit log of a hub that is closed; a segment for each event."""

    async def live() -> None:
        await work(FileStore(tmp_path), 6, rotation=1)

    anyio.run(live)
    return tmp_path


def test_prune_removes_what_it_said_it_would(log: Path) -> None:
    before = anyio.run(files_of, FileStore(log))
    dry = hubwire("prune", log, "--segments", "4", "--dry-run")
    assert (dry.returncode, dry.stderr) == (0, "")
    first, last = dry.stdout.splitlines()
    assert first.startswith("would remove ")
    assert first.endswith(": the log has more than 4 segments")
    assert last == "nothing was changed: leave --dry-run out to do it"
    assert anyio.run(files_of, FileStore(log)) == before
    done = hubwire("prune", log, "--segments", "4", "--reason", "too much")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{first.replace('would remove', 'removed')}\n"
    assert hubwire("verify", log).returncode == 0


@pytest.mark.slow  # it runs the command often
def test_the_other_verbs_say_that_a_log_was_pruned(log: Path) -> None:
    head = json.loads(hubwire("stats", "--json", log).stdout)["head"]
    done = json.loads(hubwire("prune", log, "--segments", "4", "--json").stdout)
    gone = f"records 0 to {done['first'] - 1} were pruned at "
    shown = hubwire("verify", log, "--expect-head", head)
    assert shown.returncode == 0
    assert any(line.startswith(f"pruned        {gone}") for line in shown.stdout.splitlines())
    assert "by hubwire prune (the log has more than 4 segments)" in " ".join(shown.stdout.split())
    found = json.loads(hubwire("verify", log, "--json").stdout)
    assert (found["first_record"], found["pruned"]["by"]) == (done["first"], "hubwire prune")
    assert gone in " ".join(hubwire("doctor", log).stdout.split())
    assert json.loads(hubwire("doctor", log, "--json").stdout)["logs"][0]["first_record"] == done["first"]
    kept = f"/audit begins with record {done['first']}: what was before is not kept any more"
    assert hubwire("tail", log, "-n", "all").stderr == f"hubwire: {kept}\n"
    assert hubwire("tail", log).stderr == ""
    assert hubwire("show", "0", log).stderr.endswith(f"has no event with seq 0; {kept}\n")
    assert hubwire("stats", log).returncode == 0
    copy, back = log / "copy", log.parent / "back"
    assert hubwire("backup", log, back).returncode == 0
    assert hubwire("restore", back, copy).returncode == 0
    assert hubwire("verify", copy, "--expect-head", head).returncode == 0


def test_prune_without_a_limit_is_a_mistake(log: Path) -> None:
    for arguments in ([], ["--dry-run"]):
        run = hubwire("prune", log, *arguments)
        assert (run.returncode, run.stdout) == (2, "")
        assert "needs a limit: --days, --segments or --bytes" in run.stderr
    assert hubwire("prune", log, "--segments", "1").returncode == 2
    assert hubwire("prune", log, "--days", "nan").returncode == 2


def test_a_journal_is_not_pruned(log: Path) -> None:
    run = hubwire("prune", log, "--log", "/journal", "--segments", "2")
    assert run.returncode == 2
    assert "/journal is a journal: its hub truncates it" in run.stderr


def test_there_has_to_be_a_log(tmp_path: Path) -> None:
    run = hubwire("prune", tmp_path, "--days", "5")
    assert run.returncode == 1
    assert "there is no log" in run.stderr


def test_nothing_over_a_limit_is_no_failure(log: Path) -> None:
    run = hubwire("prune", log, "--days", "5")
    assert (run.returncode, run.stdout) == (
        0,
        "no segment of /audit is over a limit; the two newest always stay\n",
    )


def test_a_hold_and_a_floor_are_kept_by_the_command(log: Path) -> None:
    """It exits with 1, so that a program which calls it sees that more is kept."""

    async def hold() -> None:
        audit = AuditLog(FileStore(log))
        await audit.hold("case 7", by="counsel")
        await audit.aclose()

    anyio.run(hold)
    run = hubwire("prune", log, "--segments", "3")
    assert run.returncode == 1
    assert run.stdout.startswith("held: the hold 'hold', set at ")
    assert "/audit keeps more than was asked for: the hold 'hold'" in run.stderr

    async def floor() -> None:
        audit = AuditLog(FileStore(log), retention=Retention.regulated())
        await audit.release("it is over")
        await audit.prune()
        await audit.aclose()

    anyio.run(floor)
    run = hubwire("prune", log, "--segments", "3")
    assert run.returncode == 1
    assert "records have to be kept for 183 days (days_min)" in run.stderr


async def test_a_log_in_use_is_not_pruned(tmp_path: Path) -> None:
    """The message says how its program prunes it."""
    async with Hub(FileStore(tmp_path), listeners=[AuditLog(FileStore(tmp_path), rotation=1)]) as hub:
        for _ in range(5):
            await hub.emit(GenericEvent(kind="a.b"))
        run = await anyio.to_thread.run_sync(hubwire, "prune", tmp_path, "--segments", "2")
        assert run.returncode == 1
        assert "await audit.prune(); or stop it, and try again" in run.stderr
        dry = await anyio.to_thread.run_sync(hubwire, "prune", tmp_path, "--segments", "2", "--dry-run")
        assert dry.returncode == 0
        await hub.emit(GenericEvent(kind="a.b"))


async def test_a_store_without_holds_is_pruned_only_after_a_closing() -> None:
    """The hub at work there would be fenced."""
    store = ObjectStore(MemoryService())
    audit = AuditLog(store, rotation=1)
    await audit.append({"n": 0})
    with pytest.raises(InUse, match="cannot tell whether a hub is at work"):
        await check_unused(store, "/audit", "stop it")
    await audit.aclose()
    await check_unused(store, "/audit", "stop it")


@pytest.mark.slow  # of a busy store
async def test_backups_of_a_log_that_is_pruned_all_the_time_verify() -> None:
    store = MemoryStore()
    audit = AuditLog(store, rotation=2000, retention=Retention(segments_max=3))
    async with Hub(journal=StoreJournal(store), listeners=[audit]) as hub, anyio.create_task_group() as tasks:

        async def live() -> None:
            while True:
                await hub.emit(GenericEvent(kind="a.b", data={"filling": "x" * 100}))

        tasks.start_soon(live)
        for _ in range(10):
            copy, back = MemoryStore(), MemoryStore()
            await back_up(store, copy, name="live", target_name="copy")
            await put_back(copy, back, name="copy", target_name="back")
            assert (await verify(back)).holds
        tasks.cancel_scope.cancel()
    assert audit.prune_errors == 0
    assert len(await firsts(store)) <= 4


def exported(log: Path, file: Path, *options: str | Path) -> list[str]:
    assert hubwire("export", log, "--format", "jsonl", "-o", file, *options).returncode == 0
    return file.read_text().splitlines()


def test_what_is_archived_is_read_with_the_log(log: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    archive = tmp_path_factory.mktemp("archive")
    whole = exported(log, archive / "whole.jsonl")
    pruned = hubwire("prune", log, "--segments", "4", "--archive", archive)
    assert pruned.stdout.startswith("archived and removed")
    assert len(exported(log, archive / "rest.jsonl")) < len(whole)
    assert exported(log, archive / "both.jsonl", "--archive", archive)[: len(whole)] == whole
    verified = hubwire("verify", log, "--archive", archive)
    assert verified.returncode == 0
    assert "were pruned" not in verified.stdout
    assert "were copied to the archive" in verified.stdout
    assert hubwire("show", "index:0", log).returncode == 1
    assert hubwire("show", "index:0", log, "--archive", archive).returncode == 0
    everything = hubwire("query", log, "--archive", archive, "-o", "jsonl").stdout
    assert len(everything.splitlines()) > len(hubwire("query", log, "-o", "jsonl").stdout.splitlines())
    refused = hubwire("query", log, "--archive", archive, "--index")
    assert refused.returncode == 2
    assert "--index writes beside the log" in refused.stderr


def test_an_archive_that_is_the_log_itself_is_refused(log: Path) -> None:
    before = anyio.run(firsts, FileStore(log))
    refused = hubwire("prune", log, "--segments", "4", "--archive", log)
    assert refused.returncode == 2
    assert "the store of the log itself" in refused.stderr
    assert anyio.run(firsts, FileStore(log))[: len(before)] == before
    assert hubwire("verify", log).returncode == 0
