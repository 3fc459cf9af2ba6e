"""What verify says is not known, where a checkpoint, a head or the state of an earlier verification was given."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire.cli import main
from hubwire.listeners.audit import AuditLog, Outcome, Retention, Verification, examine
from hubwire.proof import Checkpoint, KeySigner, WitnessKey, WitnessPolicy
from hubwire.stores import FileStore, MemoryStore
from hubwire.stores.archived import archived
from hubwire.testing import ManualClock
from support import files_of, store_of
from support.pruning import DAY, days_of

pytest.importorskip("cryptography")

KEY = KeySigner.new("example.org/hub/audit")
WITNESS = WitnessKey.new("witness.example.org/w1")


async def fill(audit: AuditLog, count: int) -> None:
    await audit.append_many([{"kind": "work.done", "number": number} for number in range(count)])


def unknown(found: Verification) -> str:
    return "\n".join(each for verdict in found.verdicts.values() for each in verdict.not_looked_at)


async def test_who_gives_a_checkpoint_is_not_told_to_keep_one() -> None:
    store = MemoryStore()
    audit = AuditLog(store, signer=KEY)
    await fill(audit, 5)
    older = await audit.checkpoint()
    await fill(audit, 5)
    newest = await audit.checkpoint()
    await audit.aclose()
    said = unknown(await examine(store, vkey=KEY.vkey))
    assert "wrote it anew: a checkpoint kept elsewhere" in said
    assert "a checkpoint or a head kept elsewhere, the state of an earlier verification" in said
    size = Checkpoint.parse(older.text).size
    said = unknown(await examine(store, vkey=KEY.vkey, expect_checkpoint=older))
    assert f"behind the {size} records of which a checkpoint was kept" in said
    assert f"wrote the records from {size} on anew: a newer checkpoint" in said
    assert "a newer checkpoint or head kept elsewhere" in said
    assert "wrote it anew" not in said
    said = unknown(await examine(store, vkey=KEY.vkey, expect_checkpoint=newest))
    assert "kept elsewhere" not in said
    assert "anew" not in said


async def test_who_gives_a_head_or_a_state_is_told_what_comes_after_it() -> None:
    store = MemoryStore()
    audit = AuditLog(store)
    await fill(audit, 5)
    head, state = audit.head, (await examine(store)).state
    await fill(audit, 5)
    await audit.aclose()
    said = unknown(await examine(store, expect_head=head))
    assert "behind the 7 records of which a head was kept: a newer head kept elsewhere shows it" in said
    said = unknown(await examine(store, state=state))
    assert "whether all was written anew" not in said
    assert "whether the records from 7 on were written anew" in said
    assert "behind the 7 records that were verified before" in said


async def test_a_log_with_witnesses_is_not_told_to_bring_the_checkpoint_that_was_brought() -> None:
    store, cosigner = MemoryStore(), _Cosigner()
    audit = AuditLog(store, signer=KEY, witnesses=WitnessPolicy([cosigner], interval_seconds=0.0))
    await fill(audit, 5)
    seen = await audit.witnessed()
    await fill(audit, 5)
    await audit.aclose()
    options: dict[str, Any] = {"vkey": KEY.vkey, "witnesses": [WITNESS.vkey]}
    assert "the newest checkpoint that a witness has shows it (--since-checkpoint)" in unknown(
        await examine(store, **options)
    )
    said = unknown(await examine(store, **options, expect_checkpoint=seen))
    assert "--since-checkpoint" not in said
    assert "whether a witness has a newer checkpoint than the one that was kept" in said


class _Cosigner:
    name = "w1"
    vkey = WITNESS.vkey

    async def witness(self, request: Any) -> Any:
        return WITNESS.cosign(request.checkpoint.text, 1_900_000_000)


async def test_a_log_that_is_shorter_than_it_was_is_shown_as_it_is() -> None:
    """With the numbers of what is there, and not those that were remembered."""
    store = MemoryStore()
    audit = AuditLog(store, signer=KEY)
    await fill(audit, 5)
    await audit.aclose()
    old = await files_of(store)
    audit = AuditLog(store, signer=KEY)
    await fill(audit, 20)
    await audit.aclose()
    state = (await examine(store, vkey=KEY.vkey)).state
    assert state is not None
    whole = await examine(await store_of(old), vkey=KEY.vkey)
    found = await examine(await store_of(old), vkey=KEY.vkey, state=state)
    assert (found.records, found.head, found.events) == (whole.records, whole.head, whole.events)
    assert found.records < state.records
    assert found.integrity.outcome is Outcome.FAILS
    assert f"had {state.records} records when it was verified last, and has less" in found.integrity.faults[0]
    assert any(
        f"what was known when it was verified last of {state.signed}" in each for each in found.completeness.faults
    )
    assert found.state is None


async def test_a_record_that_was_damaged_before_the_state_is_named_at_its_place() -> None:
    """It was said that the log is shorter."""
    store = MemoryStore()
    audit = AuditLog(store)
    await fill(audit, 5)
    await audit.aclose()
    state = (await examine(store)).state
    path = "/audit/log/00000000000000000000.jsonl"
    content = await store.read_bytes(path) or b""
    await store.write(path, content[: len(content) // 2] + b"\n" + content[len(content) // 2 :])
    found = await examine(store, state=state)
    assert found.integrity.outcome is Outcome.FAILS
    assert path in found.integrity.faults[0]


async def test_a_state_of_log_and_archive_names_the_archive_where_the_log_is_alone(tmp_path: Path) -> None:
    store, archive, clock = MemoryStore(), FileStore(tmp_path / "archive"), ManualClock()
    audit = await days_of(store, clock, 9, archive=archive)
    await audit.prune(retention=Retention(segments_max=4))
    await audit.aclose()
    both = (await examine(archived(store, archive))).state
    assert both is not None
    assert both.first_record == 0
    clock.advance(DAY)
    audit = AuditLog(store, archive=archive, clock=clock)
    await audit.append({"day": 9})
    await audit.aclose()
    alone = await examine(store, state=both)
    assert alone.holds, alone
    said = "\n".join(alone.completeness.not_looked_at)
    assert str(tmp_path / "archive") in said
    assert "they were there when it was verified before: name that archive, too (--archive)" in said
    assert alone.state is not None
    again = await examine(store, state=alone.state)
    assert again.holds
    joined = await examine(archived(store, archive), state=alone.state)
    assert joined.holds
    first = alone.first_record
    assert f"records 0 to {first - 1}, which were not there then" in "\n".join(joined.integrity.not_looked_at)
    assert joined.state is not None
    assert joined.state.first_record == first


async def test_records_that_went_without_a_word_are_missing_all_the_same() -> None:
    store, clock = MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 9)
    await audit.aclose()
    state = (await examine(store)).state
    names = await store.list("/audit/log")
    await store.delete(f"/audit/log/{names[0]}")
    found = await examine(store, state=state)
    assert found.completeness.outcome is Outcome.FAILS
    assert "or verify it with the archive that was given when they were there" in found.completeness.faults[0]


@pytest.mark.parametrize("columns", [80, 120])
def test_the_command_prints_what_is_known_at_any_width(
    columns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    notes: list[str] = []

    async def make() -> None:
        audit = AuditLog(FileStore(tmp_path / "store"), signer=KEY)
        await fill(audit, 5)
        notes.append(str(await audit.checkpoint()))
        await fill(audit, 5)
        await audit.aclose()

    anyio.run(make)
    (tmp_path / "note").write_text(notes[0])
    out, err = io.StringIO(), io.StringIO()
    words = ["verify", str(tmp_path / "store"), "--vkey", str(KEY.vkey), "--since-checkpoint", str(tmp_path / "note")]
    for more in ([], ["--json"], ["--state", str(tmp_path / "state")], ["--state", str(tmp_path / "state")]):
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
            main([*words, *more])
        assert end.value.code == 0, err.getvalue()
    assert "a newer checkpoint" in " ".join(out.getvalue().split())
    assert json.loads(next(line for line in out.getvalue().split("\n") if line.startswith("{")))["holds"]
