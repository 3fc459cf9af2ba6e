"""`hubwire verify`, and the heads that `hubwire stats` and `hubwire tail` show."""

from __future__ import annotations

import io
import json
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import anyio
import pytest

from hubwire.cli import main
from hubwire.listeners.audit import AuditLog
from hubwire.proof import KeySigner
from hubwire.stores import FileStore
from support.audit import work

pytestmark = pytest.mark.slow  # each test runs the command


def hubwire(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command within this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main([str(each) for each in arguments])
    assert isinstance(end.value.code, int)
    return subprocess.CompletedProcess(arguments, end.value.code, out.getvalue(), err.getvalue())


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A store with journal and audit log of a hub that is closed."""
    anyio.run(work, FileStore(tmp_path))
    return tmp_path


def head_of(log: Path) -> str:
    return str(json.loads(hubwire("stats", "--json", log).stdout)["head"])


def cut_off(log: Path, records: int) -> None:
    segment = log / "audit" / "log" / "00000000000000000000.jsonl"
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:-records]))


def test_the_report_has_three_verdicts(log: Path) -> None:
    """Each with what was looked at and what is not known; nothing else than the log is written to."""
    run = hubwire("verify", log)
    assert (run.returncode, run.stderr) == (0, "")
    lines = run.stdout.splitlines()
    assert lines[0] == f"log           /audit in {log}"
    assert lines[2] == "records       9, of which 8 events, seq 0 to 7"
    assert lines[3] == f"head          {head_of(log)}"
    assert [line.split()[:2] for line in lines if line[:1] in "ics" and line] == [
        ["integrity", "holds"],
        ["completeness", "holds"],
        ["signer", "unknown"],
    ]
    assert "              looked at h, d, seq and hub of 9 records" in lines
    assert "              not known who wrote the log: what can write to the store can write all of it anew" in lines
    assert lines[-1] == "verified 9 records"


def test_a_long_reason_is_printed_whole(log: Path) -> None:
    """On as many lines as it takes, the later ones below the first."""
    lines = hubwire("verify", "--expect-records", "9", log).stdout.splitlines()
    [at] = [number for number, line in enumerate(lines) if line.startswith("completeness")]
    first, second = ([*line[:24].split(), line[24:]] for line in lines[at : at + 2])
    assert first[:2] == ["completeness", "holds"]
    assert f"{first[2]} {second[0]}" == (
        "it ends where it should, by the marker of its last closing and the journal beside it and what you expect"
    )
    assert max(map(len, lines)) <= 110


def test_an_incomplete_log_exits_with_3(log: Path) -> None:
    """The report is there all the same, and the fault in one line beside it."""
    cut_off(log, 3)
    run = hubwire("verify", log)
    assert run.returncode == 3
    assert "completeness  fails     1 fault" in run.stdout
    assert "verified" not in run.stdout
    assert run.stderr.startswith("hubwire: the log /audit had 9 records when its marker was written, and has 6: ")
    assert run.stderr.count("\n") == 1


def test_a_kept_head_is_compared(log: Path) -> None:
    head = head_of(log)
    assert hubwire("verify", log, "--expect-head", head).returncode == 0
    assert hubwire("verify", log, "--expect-head", head[:-1] + "_").returncode == 1
    assert hubwire("verify", log, "--expect-records", "9").returncode == 0
    assert hubwire("verify", log, "--expect-records", "10").returncode == 3


@pytest.mark.parametrize(
    "option", [("--expect-head", "9"), ("--expect-records", "-1"), ("--expect-records", "x")], ids=" ".join
)
def test_what_cannot_be_expected_exits_with_2(log: Path, option: tuple[str, str]) -> None:
    run = hubwire("verify", log, *option)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.count("\n") == 1


def test_an_absent_log_exits_with_1(tmp_path: Path) -> None:
    run = hubwire("verify", tmp_path)
    assert (run.returncode, run.stdout) == (1, "")
    assert "there is no log in" in run.stderr


def test_the_report_is_there_for_programs(log: Path) -> None:
    run = hubwire("verify", log, "--json")
    report = json.loads(run.stdout)
    assert (report["holds"], report["head"], report["records"]) == (True, head_of(log), 9)
    assert report["completeness"]["outcome"] == "holds"
    assert report["signer"]["not_looked_at"]
    cut_off(log, 3)
    run = hubwire("verify", log, "--json")
    assert run.returncode == 3
    assert json.loads(run.stdout)["completeness"]["faults"][0] in run.stderr


def test_tail_shows_the_head_at_the_end(log: Path) -> None:
    assert hubwire("tail", "-n", "1", "--head", log).stdout.splitlines()[-1] == f"head {head_of(log)}"
    assert json.loads(hubwire("tail", "-n", "0", "--head", "-o", "json", log).stdout) == {"head": head_of(log)}


def test_a_journal_has_no_head(log: Path) -> None:
    """It has no chain."""
    assert json.loads(hubwire("stats", "--json", "--log", "/journal", log).stdout)["head"] is None
    assert hubwire("tail", "-n", "0", "--head", "--log", "/journal", log).stdout == "head -\n"
    run = hubwire("verify", "--log", "/journal", log)
    assert run.returncode == 1
    assert "an audit log is chained" in run.stderr


def test_hostile_text_is_safe_in_the_report(tmp_path: Path) -> None:
    """A file name may hold what a terminal obeys."""
    anyio.run(work, FileStore(tmp_path))
    name = "x\u202eflo"
    (tmp_path / "audit" / "log" / name).write_bytes(b"")
    run = hubwire("verify", tmp_path)
    assert "\u202e" not in run.stdout + run.stderr
    assert "x\\u202eflo" in run.stdout


@pytest.mark.parametrize("key", ["x" * 5000, "a\0b", "example.org/" * 500 + "+12345678+AQ"], ids=range(3))
def test_a_key_that_no_file_can_be_named_is_refused(log: Path, key: str) -> None:
    run = hubwire("verify", log, "--vkey", key)
    assert (run.returncode, run.stdout) == (2, "")
    assert "is no verifier key" in run.stderr or "no base64" in run.stderr


def test_a_key_is_taken_from_a_file_and_a_state_is_kept(tmp_path: Path) -> None:
    """What was verified is not read again the next time."""
    pytest.importorskip("cryptography")
    key = KeySigner.new("example.org/hub/audit")
    vkey, state = tmp_path / "vkey", tmp_path / "state"
    vkey.write_text(f"{key.vkey}\n")

    async def append() -> None:
        store = FileStore(tmp_path / "store")
        audit = AuditLog(store, signer=key)
        await audit.append({"kind": "work.done"})
        await audit.aclose()
        await store.aclose()

    for said in ("verified 2 records", "verified 2 records", "verified 0 records"):
        if "0" not in said:
            anyio.run(append)
        run = hubwire("verify", tmp_path / "store", "--vkey", vkey, "--state", state)
        assert (run.returncode, run.stderr) == (0, "")
        assert run.stdout.splitlines()[-1] == said
    run = hubwire("verify", tmp_path / "store", "--vkey", vkey, "--state", tmp_path)
    assert run.returncode == 1
    assert "--state" in run.stderr
