"""``hubwire spool``: a spool is drained and looked at from a terminal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hubwire.spool import Spool
from hubwire.spool._sources import take_lock
from support.spools import files_of, taken_into


@pytest.fixture
def place(tmp_path: Path) -> Path:
    with Spool(tmp_path / "spool", durability="flush") as spool:
        for number in range(3):
            spool.append("a.done", {"n": number})
    return tmp_path / "spool"


def command(*words: object) -> list[str]:
    return [sys.executable, "-P", "-m", "hubwire", "spool", *map(str, words)]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.slow
def test_a_spool_is_drained_once(place: Path, tmp_path: Path) -> None:
    done = run("drain", tmp_path / "store", place, "--once", "--archive", tmp_path / "archive")
    assert (done.returncode, done.stdout, done.stderr) == (0, "3 lines, 3 events\n", "")
    assert run("drain", tmp_path / "store", place, "--once").stdout == "0 lines, 0 events\n"
    assert [record["data"]["n"] for record in taken_into(tmp_path / "store")] == [0, 1, 2]
    assert len(list((tmp_path / "archive").iterdir())) == 1


@pytest.mark.slow
def test_a_drain_that_follows_ends_in_good_order(place: Path, tmp_path: Path) -> None:
    """What comes later is taken, too; ended by a signal, it has marked all that is committed."""
    with subprocess.Popen(command("drain", tmp_path / "store", place), stdout=subprocess.PIPE, text=True) as process:
        while files_of(place):
            time.sleep(0.05)
        refused = run("drain", tmp_path / "other", place, "--once")
        assert refused.returncode == 1
        assert f"is being drained by process {process.pid}" in refused.stderr
        assert "a process drains it" in run("status", place).stdout
        with Spool(place) as spool:
            spool.append("a.done", {"n": 3})
        while b'.jsonl":1' not in (place / "taken.json").read_bytes():
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.communicate()[0] == "4 lines, 4 events\n"
    assert process.returncode == 143
    assert [record["data"]["n"] for record in taken_into(tmp_path / "store")] == [0, 1, 2, 3]


@pytest.mark.slow
def test_what_is_damaged_is_said(place: Path, tmp_path: Path) -> None:
    (file,) = files_of(place)
    file.write_bytes(file.read_bytes().replace(b'{"n":1}', b'{"n":7}'))
    seen = run("status", place)
    assert seen.returncode == 1
    assert seen.stdout.split("\n")[1] == (
        f"  {file.name}  2 waiting, 0 taken, 1 damaged (line 2: its checksum is not that of its content), no writer"
    )
    done = run("drain", tmp_path / "store", place, "--once")
    assert done.returncode == 3
    assert done.stdout == "3 lines, 3 events, 1 damaged\n"
    assert "their files are in set-aside there" in done.stderr
    after = json.loads(run("status", place, "--json").stdout)
    assert (after["files"], after["waiting"], after["set_aside"]) == ([], 0, [file.name])


@pytest.mark.slow
def test_what_is_not_there_is_said(place: Path, tmp_path: Path) -> None:
    missing = run("status", tmp_path / "nowhere")
    assert missing.returncode == 1
    assert "there is no directory" in missing.stderr
    lock = take_lock(str(place))
    try:
        refused = run("drain", tmp_path / "store", place)
        assert refused.returncode == 1
        assert "end that one, or leave the directory to it" in refused.stderr
    finally:
        lock.release()


@pytest.mark.slow
def test_a_directory_that_is_not_there_is_no_empty_spool(tmp_path: Path) -> None:
    """A typo is an error, and leaves neither a store nor a directory; an empty spool is right."""
    refused = run("drain", tmp_path / "store", tmp_path / "typo", "--once")
    assert refused.returncode == 1
    assert f"there is no directory {tmp_path / 'typo'}" in refused.stderr
    assert "spool is made when its first event comes" in refused.stderr
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("no directory")
    assert run("drain", tmp_path / "store", tmp_path / "file", "--once").returncode == 1
    (tmp_path / "empty").mkdir()
    done = run("drain", tmp_path / "store", tmp_path / "empty", "--once")
    assert (done.returncode, done.stdout) == (0, "0 lines, 0 events\n")


@pytest.mark.slow
def test_a_store_is_no_spool(place: Path, tmp_path: Path) -> None:
    """The two are easily confused, and a drain makes files where it drains."""
    run("drain", tmp_path / "store", place, "--once")
    before = sorted(tmp_path.rglob("*"))
    for options in ([], ["--once"]):
        refused = run("drain", place, tmp_path / "store", *options)
        assert refused.returncode == 2
        assert "is the store of a hub, and no spool: write 'hubwire spool drain STORE DIRECTORY'" in refused.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_a_drain_that_follows_says_that_its_directory_is_not_there_yet(tmp_path: Path) -> None:
    with subprocess.Popen(
        command("drain", tmp_path / "store", tmp_path / "later"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not (tmp_path / "later" / "taken.json").exists():
            time.sleep(0.05)
        with Spool(tmp_path / "later") as spool:
            spool.append("a.done", {"n": 1})
        while files_of(tmp_path / "later"):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        said, warned = process.communicate()
    assert said == "1 line, 1 event\n"
    assert f"there is no directory {tmp_path / 'later'} yet" in warned
