"""Erasable contents on every store, of tenants, in backups, and by the command line."""

from __future__ import annotations

import io
import json
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore as MemoryService

from hubwire import Hub
from hubwire.cli import main
from hubwire.errors import Fenced
from hubwire.events import GenericEvent
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import TenantAuditLogs, examine, verify
from hubwire.ports import KnowledgeStore
from hubwire.query import query
from hubwire.stores import FileStore, MemoryStore
from hubwire.stores.object import ObjectStore
from support.erasable import SECRET, bytes_of, record


def hubwire(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command within this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main([str(each) for each in arguments])
    assert isinstance(end.value.code, int)
    return subprocess.CompletedProcess(arguments, end.value.code, out.getvalue(), err.getvalue())


def store_named(name: str, folder: Path) -> KnowledgeStore:
    if name == "files":
        return FileStore(folder)
    return ObjectStore(MemoryService()) if name == "objects" else MemoryStore()


@pytest.mark.parametrize("name", ["memory", "files", "objects"])
async def test_contents_are_erased_on_every_store(name: str, tmp_path: Path) -> None:
    """From all files, parts of objects among them."""
    store = store_named(name, tmp_path)
    log = AuditLog(store, erasable=["content"])
    for number in range(20):
        await log.append(record(number, content=f"{SECRET} {number}."))
    for number in (3, 4, 4):
        await log.erase(records=number + 1, by="dpo", basis="asked")
    everything = await bytes_of(store)
    for number in range(20):
        assert (f"{SECRET} {number}.".encode() in everything) is (number not in (3, 4))
    await log.aclose()
    found = await verify(store)
    assert found.contents is not None
    assert (found.contents.present, found.contents.erased, found.contents.erased_by) == (18, 2, (21, 22))
    await store.aclose()


async def test_a_writer_that_was_replaced_erases_nothing() -> None:
    """On a store without holds: its record cannot be appended, and that comes first."""
    store = ObjectStore(MemoryService())
    older = AuditLog(store, erasable=["content"])
    await older.append(record())
    newer = AuditLog(store, erasable=["content"])
    await newer.append({"n": 1})
    with pytest.raises(Fenced):
        await older.erase(records=1, by="dpo", basis="asked")
    assert SECRET.encode() in await bytes_of(store)
    assert (await newer.read_all())[0] == record()
    await newer.aclose()
    assert (await verify(store)).holds


async def test_a_tenant_has_contents_of_its_own() -> None:
    store = MemoryStore()
    logs = TenantAuditLogs(store, erasable={"note.taken": ["data"]})
    async with Hub(listeners=[logs]) as hub:
        for tenant in ("acme", "other"):
            await hub.emit(GenericEvent(kind="note.taken", data={"text": f"{SECRET} of {tenant}."}, tenant=tenant))
        done = await logs.erase("acme", by="dpo", basis="asked", records=1)
        assert done.contents == 1
        assert (await logs.erase("nobody", by="dpo", basis="asked", records=1)).record is None
    everything = await bytes_of(store)
    assert f"{SECRET} of acme.".encode() not in everything
    assert f"{SECRET} of other.".encode() in everything


async def test_a_query_gives_contents_back_and_says_what_is_gone() -> None:
    store = MemoryStore()
    log = AuditLog(store, erasable=["content"])
    for number in range(4):
        await log.append(record(number))
    await log.erase(records=2, by="dpo", basis="asked")
    found = [each async for each in query(store, "/audit") if each.fields["kind"] == "note.taken"]
    assert [each.fields["content"] == {"text": SECRET} for each in found] == [True, False, True, True]
    assert found[1].fields["content"]["$erased"]["by"] == "dpo"
    assert all(SECRET.encode() not in each.line for each in found)
    again = [each async for each in query(store, "/audit", after=found[1].cursor)]
    assert again[0].index == found[2].index
    await log.aclose()


async def test_a_subscriber_is_given_the_content() -> None:
    log, seen = AuditLog(MemoryStore(), erasable=["content"]), []

    async def take(fields: dict[str, Any]) -> None:
        seen.append(fields)

    log.subscribe(take)
    await log.append(record())
    await log.erase(records=1, by="dpo", basis="asked")
    await log.aclose()
    assert seen == [record()]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A store with a log that is closed."""
    import anyio

    async def write() -> None:
        audit = AuditLog(FileStore(tmp_path / "store"), erasable=["content"])
        for number in range(6):
            await audit.append(record(number, content=f"{SECRET} {number}."))
        await audit.aclose()

    anyio.run(write)
    return tmp_path / "store"


def test_the_command_erases_and_says_what_it_has_not(log: Path) -> None:
    run = hubwire("erase", log, "--agent", "agent-1", "--by", "dpo", "--basis", "asked", "--json")
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert (said["contents"], said["record"]) == (3, 8)
    assert any("backups" in each for each in said["not_erased"])
    found = json.loads(hubwire("verify", log, "--json").stdout)
    assert (found["contents"]["present"], found["contents"]["erased"], found["is_copy"]) == (3, 3, False)
    assert "nothing was changed" in hubwire("erase", log, "--record", "2", "--by", "a", "--basis", "b").stdout
    for wrong in (["--by", "a"], ["--by", "a", "--basis", "b"], ["--again", "--agent", "a"]):
        run = hubwire("erase", log, *wrong)
        assert (run.returncode, run.stdout) == (2, "")
        assert len(run.stderr.split("\n")) == 2
    for choice, says in (["--field", "content"], "nothing was chosen"), (["--record", "1", "--seq", "1"], "only one"):
        run = hubwire("erase", log, "--by", "a", "--basis", "b", *choice)
        assert run.returncode == 2
        assert says in run.stderr
        assert "--record" in run.stderr
        assert "erase()" not in run.stderr, "it names options, not the arguments of a method"
    assert hubwire("erase", log, "--again").stdout.startswith("0 content")
    shown = json.loads(hubwire("show", "index:2", log).stdout)
    assert shown["content"]["$erased"]["basis"] == "asked"
    assert SECRET in hubwire("tail", log).stdout
    assert hubwire("export", log, "--format", "jsonl", "--output", log.parent / "out.jsonl").returncode == 0
    exported = (log.parent / "out.jsonl").read_text().split("\n")
    assert sum(SECRET in line for line in exported) == 3
    assert not any('"$c":{"fields"' in line for line in exported)


def test_a_backup_has_the_contents_and_says_what_came_back(log: Path, tmp_path: Path) -> None:
    """What was erased since is erased again, where the log is newer than its pages."""
    assert hubwire("backup", log, tmp_path / "backup").returncode == 0
    assert hubwire("erase", log, "--record", "1", "--by", "dpo", "--basis", "asked").returncode == 0
    assert hubwire("restore", tmp_path / "backup", tmp_path / "restored").returncode == 0
    assert hubwire("verify", tmp_path / "restored").returncode == 0
    for page in (log / "audit" / "erasable").iterdir():
        page.unlink()
    for page in (tmp_path / "backup" / "audit" / "erasable").iterdir():
        (log / "audit" / "erasable" / page.name).write_bytes(page.read_bytes())
    run = hubwire("verify", log)
    assert run.returncode == 1
    assert "--again" in run.stderr
    assert hubwire("erase", log, "--again").stdout.startswith("1 content")
    assert hubwire("verify", log).returncode == 0
    assert hubwire("doctor", log).returncode == 0


def test_the_command_hands_out_a_copy(log: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    run = hubwire("redact", log, "--out", copy, "--open", "1:content", "--withhold", "3", "--by", "dpo", "--json")
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert (said["opened"], said["withheld"], said["withheld_records"]) == (1, 4, 1)
    run = hubwire("verify", copy)
    assert run.returncode == 0
    assert "a redacted copy" in run.stdout
    run = hubwire("redact", log, "--out", copy)
    assert (run.returncode, run.stdout) == (1, "")
    assert "new directory" in run.stderr
    for verb in (["tail"], ["query"], ["stats"], ["doctor"]):
        assert hubwire(*verb, copy).returncode == 0, verb
    said = hubwire("doctor", copy).stdout
    assert "no hub goes on here" in said
    assert "a hub starts here" not in said
    run = hubwire("redact", log, "--out", tmp_path / "other", "--withhold-kind", "tol.*", "--withhold", "3")
    assert run.returncode == 1
    assert "'tol.*'" in run.stderr
    assert "1 record withheld" in run.stdout


async def test_verify_tells_of_files_that_no_record_names() -> None:
    store = MemoryStore()
    log = AuditLog(store, erasable=["content"])
    await log.append(record())
    await log.aclose()
    await store.write(f"/audit/erasable/{5:020}-12345678", b"")
    assert any("no record names" in note for note in (await examine(store)).notes)
