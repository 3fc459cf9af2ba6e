"""What operators do with signed logs: backup, restore, repair, doctor, and the demo's and tenants' logs."""

from __future__ import annotations

import io
import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import anyio
import pytest

from hubwire import Hub, StoreJournal
from hubwire.cli import main
from hubwire.cli.backup import back_up, put_back
from hubwire.cli.copying import copy_live
from hubwire.cli.inspection import inspect_store
from hubwire.listeners.audit import AuditLog, Outcome, Verification, examine, fork, newest_checkpoint
from hubwire.proof import KeySigner
from hubwire.stores import FileStore, MemoryStore

pytest.importorskip("cryptography")

FIRST = "/audit/log/00000000000000000000.jsonl"


@pytest.fixture(scope="module")
def key() -> KeySigner:
    return KeySigner.new("example.org/hub/audit")


@pytest.fixture(scope="module")
def new() -> KeySigner:
    return KeySigner.new("example.org/hub/audit-2")


def hubwire(*arguments: str | Path) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main([str(each) for each in arguments])
    assert isinstance(end.value.code, int)
    return end.value.code, out.getvalue(), err.getvalue()


def failing(verification: Verification) -> list[str]:
    return [name for name, verdict in verification.verdicts.items() if verdict.outcome is Outcome.FAILS]


def busy_hub(store: FileStore | MemoryStore, key: KeySigner) -> Hub:
    audit = AuditLog(store, rotation=60_000, signer=key, checkpoint_seconds=0.0)
    return Hub(journal=StoreJournal(store, segment_bytes=40_000), listeners=[audit], snapshot_bytes=25_000)


async def work(hub: Hub) -> None:
    boss, worker = await hub.agents.register("boss"), await hub.agents.register("worker")
    while True:
        channel = await hub.channels.open([boss, worker])
        for number in range(20):
            await channel.post(boss, {"number": number, "text": "x" * 200})
            async for delivery in worker.inbox():
                await delivery.ack()
                break
        await channel.close()


async def fill(path: Path, key: KeySigner, count: int = 10) -> None:
    store = FileStore(path)
    audit = AuditLog(store, signer=key)
    for number in range(count):
        await audit.append({"kind": "work.done", "number": number})
    await audit.aclose()
    await store.aclose()


@pytest.mark.slow
async def test_each_copy_of_a_busy_signed_store_verifies_and_goes_on(tmp_path: Path, key: KeySigner) -> None:
    """Its checkpoint is whole, never ahead of its records, and never older than those that were put aside."""
    store = FileStore(tmp_path / "live")
    async with busy_hub(store, key) as hub, anyio.create_task_group() as tasks:
        tasks.start_soon(work, hub)
        for number in range(8):
            copy, back = FileStore(tmp_path / f"copy {number}"), FileStore(tmp_path / f"back {number}")
            await back_up(store, copy, name="live", target_name="copy")
            await put_back(copy, back, name="copy", target_name="back")
            found = await examine(back, vkey=key.vkey)
            assert failing(found) == []
            assert found.signer.outcome is Outcome.HOLDS
            async with busy_hub(back, key) as again:
                await again.agents.register("one more")
            assert failing(await examine(back, vkey=key.vkey)) == []
        tasks.cancel_scope.cancel()


class Growing(MemoryStore):
    """A store whose log grows by a signed record whenever its records are read."""

    def __init__(self, key: KeySigner) -> None:
        super().__init__()
        self.audit = AuditLog(self, signer=key, checkpoint_seconds=600.0)
        self.grows: bool = False

    async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        content = await super().read_bytes(path, start, end)
        if self.grows and path.startswith("/audit/log/"):
            self.grows = False
            await self.audit.append({"kind": "work.done", "text": "x" * 100})
            await self.audit.checkpoint()
            self.grows = True
        return content


async def test_a_copy_has_no_checkpoint_ahead_of_its_records(key: KeySigner) -> None:
    source, target = Growing(key), MemoryStore()
    await source.audit.append({"kind": "work.done"})
    await source.audit.checkpoint()
    source.grows = True
    await copy_live(source, target)
    source.grows = False
    audit = AuditLog(target, signer=key)
    await audit.append({"kind": "work.done"})
    await audit.aclose()
    found = await examine(target, vkey=key.vkey)
    assert failing(found) == []
    await source.audit.aclose()


@pytest.mark.slow
def test_a_restored_backup_goes_on_where_it_was(tmp_path: Path, key: KeySigner) -> None:
    live, copy, back = tmp_path / "live", tmp_path / "copy", tmp_path / "back"
    anyio.run(fill, live, key)
    assert hubwire("backup", live, copy)[0] == 0
    anyio.run(fill, live, key)
    assert hubwire("restore", copy, back)[0] == 0
    code, out, _ = hubwire("verify", back, "--vkey", str(key.vkey))
    assert code == 0
    assert "put back from an older copy" in " ".join(out.split())
    kept = tmp_path / "kept"
    shutil.copy(live / "audit" / "checkpoint", kept)
    assert hubwire("verify", back, "--vkey", str(key.vkey), "--since-checkpoint", kept)[0] == 3


@pytest.mark.slow
def test_doctor_says_that_a_log_does_not_go_on_from_its_checkpoint(
    tmp_path: Path, key: KeySigner, new: KeySigner
) -> None:
    """And its advice works."""
    live, new_file = tmp_path / "live", tmp_path / "new.key"
    new.to_file(new_file)
    anyio.run(fill, live, key)
    shutil.copytree(live / "audit" / "log", tmp_path / "log")
    shutil.copy(live / "audit" / "clean", tmp_path / "clean")
    anyio.run(fill, live, key)
    assert hubwire("doctor", live)[0] == 0
    shutil.rmtree(live / "audit" / "log")
    shutil.copytree(tmp_path / "log", live / "audit" / "log")
    shutil.copy(tmp_path / "clean", live / "audit" / "clean")
    code, out, _ = hubwire("doctor", live)
    assert code == 1
    assert "its checkpoint speaks of 22" in " ".join(out.split())
    [advice] = [line.strip() for line in out.splitlines() if line.strip().startswith("hubwire log fork")]
    arguments = advice.replace("FILE", str(new_file)).replace("'...'", "burnt").split()[1:]
    code, out, _ = hubwire(*arguments)
    assert code == 0
    assert "nothing was changed" in out
    assert hubwire(*[each for each in arguments if each != "--dry-run"])[0] == 0
    anyio.run(fill, live, new)
    found = json.loads(hubwire("doctor", live, "--json")[1])
    assert all("checkpoint speaks of" not in problem["text"] for problem in found["problems"])
    assert any("burnt" in problem["text"] for problem in found["problems"])
    assert not any(problem["is_in_the_way"] for problem in found["problems"])


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["", "garbage"])
def test_doctor_names_a_damaged_checkpoint(tmp_path: Path, key: KeySigner, damage: str) -> None:
    anyio.run(fill, tmp_path, key)
    (tmp_path / "audit" / "checkpoint").write_text(damage)
    code, out, _ = hubwire("doctor", tmp_path)
    assert code == 1
    assert "/audit/checkpoint is damaged" in " ".join(out.split())


@pytest.mark.slow
def test_a_log_that_was_cut_goes_on_as_a_fork_alone(tmp_path: Path, key: KeySigner, new: KeySigner) -> None:
    anyio.run(fill, tmp_path, key)
    segment = tmp_path / "audit" / "log" / "00000000000000000000.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b'"number":5', b'"number":6'))
    code, out, _ = hubwire("repair", tmp_path, "cut", "--log", "/audit", "--at", "6", "--reason", "a flipped bit")
    assert code == 0
    assert "hubwire doctor" in out, "a problem is left, and it says so"

    async def go_on() -> None:
        store = FileStore(tmp_path)
        with pytest.raises(Exception, match="hubwire log fork"):
            await AuditLog(store, signer=key).append({"kind": "work.done"})
        await fork(store, signer=new, reason="a flipped bit")
        audit = AuditLog(store, signer=new)
        await audit.append({"kind": "work.done"})
        await audit.aclose()
        assert failing(await examine(store, vkey=new.vkey)) == ["completeness"]
        await store.aclose()

    anyio.run(go_on)


@pytest.mark.slow
def test_a_log_that_was_set_aside_keeps_its_checkpoint(tmp_path: Path, key: KeySigner, new: KeySigner) -> None:
    """Else the same name would stand for two histories, and nothing would say so."""
    anyio.run(fill, tmp_path, key)
    code, out, _ = hubwire("repair", tmp_path, "set-aside", "--log", "/audit", "--reason", "no room")
    assert code == 0
    assert "hubwire doctor" in out

    async def go_on() -> None:
        store = FileStore(tmp_path)
        newest = await newest_checkpoint(store)
        assert newest is not None
        assert newest.size == 11
        with pytest.raises(Exception, match="hubwire log fork"):
            await AuditLog(store, signer=key).append({"kind": "work.done"})
        made = await fork(store, signer=new, reason="no room")
        assert made.old == newest
        report = await inspect_store(store, name="data")
        assert not any(problem.is_in_the_way for problem in report.problems)
        await store.aclose()

    anyio.run(go_on)


def test_a_proof_is_checked_by_a_key_in_a_file(tmp_path: Path, key: KeySigner, new: KeySigner) -> None:
    anyio.run(fill, tmp_path / "data", key)
    proof, mine, other = tmp_path / "3.tlog-proof", tmp_path / "mine.vkey", tmp_path / "other.vkey"
    mine.write_text(f"{key.vkey}\n")
    other.write_text(f"{new.vkey}\n")

    assert hubwire("prove", "index:3", tmp_path / "data", "--out", proof)[0] == 0
    code, out, _ = hubwire("prove", "--check", proof, "--vkey", mine)
    assert code == 0
    assert "the proof holds: this is record 3" in out
    assert hubwire("prove", "--check", proof, "--vkey", str(key.vkey))[0] == 0
    assert hubwire("prove", "--check", proof, "--vkey", other)[0] == 1
