"""The harnesses of `make torture`, in short; and that each of them finds the bugs that are let in for it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")

from torture.bugs import BUGS
from torture.calls import why_no_strace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HERE = Path(__file__).parent


def torture(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """Run a harness; return its report."""
    out = tmp_path / "report.json"
    paths = os.pathsep.join([str(HERE), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    command = [sys.executable, "-P", "-m", "torture", *arguments, "--json", str(out)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths})
    assert out.exists(), done.stderr
    (report,) = json.loads(out.read_text())
    assert done.returncode == bool(report["faults"]), done.stderr
    if report["skipped"]:
        pytest.skip(report["skipped"])
    return dict(report)


def test_the_judge_knows_no_code_of_hubwire() -> None:
    """It is of the standard library and cryptography alone, and of a module that is, too."""
    modules: set[str] = set()
    for name in ("judge.py", "contents.py"):
        for node in ast.walk(ast.parse((HERE / "torture" / name).read_text())):
            if isinstance(node, ast.ImportFrom):
                modules.add("." * node.level + (node.module or ""))
            elif isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
    others = {module if module[0] == "." else module.partition(".")[0] for module in modules}
    assert others - sys.stdlib_module_names == {"cryptography", ".contents"}


def test_kills_lose_nothing_acknowledged(tmp_path: Path) -> None:
    report = torture(tmp_path, "kills", "--rounds", "24", "--seed", str(os.getpid()))
    assert not report["faults"], report["first"]
    assert report["counts"]["acknowledged"] > 40


def test_a_sample_of_failing_calls_loses_nothing(tmp_path: Path) -> None:
    report = torture(tmp_path, "calls", "--rounds", "24", "--seed", str(os.getpid()))
    assert not report["faults"], report["first"]
    assert report["counts"]["calls of log"] > 300
    assert report["counts"]["calls of hub"] > 300
    assert report["counts"]["calls of contents"] > 300


def test_losses_of_power_lose_nothing_acknowledged(tmp_path: Path) -> None:
    report = torture(tmp_path, "power", "--rounds", "120", "--seed", str(os.getpid()))
    assert not report["faults"], report["first"]
    assert report["rounds"] > 50
    assert report["counts"]["moments"] > 1000


def test_no_damage_goes_unreported(tmp_path: Path) -> None:
    report = torture(tmp_path, "damage", "--rounds", "100", "--seed", str(os.getpid()))
    assert not report["faults"], report["first"]
    assert report["counts"]["reported by verify"] > 50
    assert report["counts"]["refused by a start"] > 10


def test_a_service_of_objects_that_fails_loses_nothing(tmp_path: Path) -> None:
    report = torture(tmp_path, "objects", "--rounds", "24", "--seed", str(os.getpid()))
    assert not report["faults"], report["first"]
    assert report["counts"]["changes"] > 80


LIKE = {
    "goes_on_after_a_failed_sync": "^log, sync [28] failed",
    "believes_the_page_cache_when_it_opens": "^log, sync [28] failed",
    "recovery_cuts_at_the_first_bad_line": "open: flip .* of /audit/log/",
    "verify_does_not_compare_the_chain": "open: flip .* of /audit/log/",
    "verify_does_not_look_at_checkpoints": "flip .* of /audit/checkpoint",
    "verify_does_not_look_at_long_records": "of /audit/blob",
    "verify_does_not_look_at_contents": "of /audit/erasable",
    "erases_before_it_says_so": "contents: SIGKILL at (fsync|openat|unlink)",
    "deletes_parts_before_they_are_merged": "^killed",
    "takes_an_error_for_a_lost_answer": "^refused",
    "forgets_what_it_was_erasing": "^contents(: SIGKILL at (fsync|openat|unlink)|$)",
    "replaces_files_in_place": "log: SIGKILL at write",
    "ignores_errors_of_syncing": "log: EIO at fdatasync",
    "syncs_again_after_an_error": "log: EIO at fdatasync",
    "believes_that_writes_are_whole": "log: short",
    "leaves_what_a_full_disk_took": "log: short",
}
"""Where a bug shows: the whole harness takes its time to come there."""


@pytest.mark.parametrize(("harness", "bug"), [(harness, bug) for harness, bugs in BUGS.items() for bug in bugs])
def test_each_bug_that_is_let_in_is_found(tmp_path: Path, harness: str, bug: str) -> None:
    if harness == "calls" and (reason := why_no_strace()):
        pytest.skip(reason)
    like = LIKE.get(bug, "^log$" if harness == "power" else "")
    rounds = "1000" if harness == "power" else "60"
    report = torture(tmp_path, harness, "--rounds", rounds, "--bug", bug, "--like", like)
    assert report["faults"]
