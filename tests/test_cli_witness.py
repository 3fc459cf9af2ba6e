"""``hubwire witness``: a process that cosigns, killed and started again; and ``verify --witness``."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from hubwire.cli import main
from hubwire.errors import NotWitnessed
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Verification, examine
from hubwire.proof import HttpWitness, KeySigner, VerifierKey, WitnessKey, WitnessPolicy
from hubwire.stores import FileStore

NAME = "example.org/hub/audit"
WITNESS = "witness.example.org/w1"


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Run the command in this process; return its exit code and what it has printed."""
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


@contextmanager
def served(tmp_path: Path, *words: object) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A witness in a process of its own."""
    command = [sys.executable, "-P", "-m", "hubwire", "witness", "--key", "w.key", "--state", "state"]
    process = subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0", *map(str, words)],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        assert " at http://" in line, line + process.stderr.read()
        yield line.partition(" at ")[2].split()[0], process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
        assert process.stdout is not None
        process.stdout.close()


def keys(tmp_path: Path) -> tuple[KeySigner, WitnessKey]:
    log, witness = KeySigner.new(NAME), WitnessKey.new(WITNESS)
    log.to_file(tmp_path / "audit.key")
    witness.to_file(tmp_path / "w.key")
    return log, witness


async def witnessed(directory: Path, key: KeySigner, url: str, vkey: VerifierKey, count: int = 3) -> None:
    store = FileStore(directory)
    policy = WitnessPolicy([HttpWitness(url, vkey)], interval_seconds=0.0)
    audit = AuditLog(store, signer=key, witnesses=policy)
    for number in range(count):
        await audit.append({"kind": "note.taken", "n": number})
    await audit.witnessed()
    await audit.aclose()
    await store.aclose()


def test_a_key_of_a_witness_is_made_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "keys", "new", WITNESS, "--witness", "--out", tmp_path / "w.key")
    assert (code, VerifierKey.parse(out).kind) == (0, 4)
    assert run(capsys, "keys", "show", tmp_path / "w.key") == (0, out, "")
    code, _, err = run(capsys, "keys", "rotate", tmp_path / "w.key", tmp_path, "--to", tmp_path / "n.key")
    assert code != 0
    assert "is that of a witness, not of a log" in err


def test_it_witnesses_and_verify_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, key = keys(tmp_path)
    with served(tmp_path, "--log", log.vkey, "--begin") as (url, _):
        anyio.run(witnessed, tmp_path / "data", log, url, key.vkey)
    options = ["verify", tmp_path / "data", "--vkey", log.vkey]
    code, out, _ = run(capsys, *options, "--witness", key.vkey)
    assert code == 0
    assert "and a witness has seen 4" in " ".join(out.split())
    assert f"the cosignature of {WITNESS}+{key.vkey.id.hex()}: it had seen 4 records at 20" in " ".join(out.split())
    assert "wrote it anew" not in out
    code, out, err = run(capsys, *options, "--witness", key.vkey, "--witness", WitnessKey.new("w2").vkey)
    assert code == 1
    assert "1 of the 2 witnesses" in err
    others = ["--witness", WitnessKey.new("w2").vkey, "--witness-quorum", 1]
    code, out, err = run(capsys, *options, "--witness", key.vkey, *others, "--json")
    assert code == 0
    assert "1 of" not in json.loads(out)["signer"]["reason"]
    assert run(capsys, *options)[0] == 0
    code, _, err = run(capsys, "verify", tmp_path / "data", "--witness", key.vkey)
    assert (code, "give its verifier key, too" in err) == (2, True)
    code, _, err = run(capsys, *options, "--witness", log.vkey)
    assert "is the verifier key of a log, not of a witness" in err


def test_a_witness_that_cannot_be_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, _ = keys(tmp_path)
    start = ["witness", "--key", tmp_path / "w.key", "--state", tmp_path / "state"]
    for words, message in (
        (["--begin"], "--log VKEY"),
        (["--log", log.vkey], "--begin"),
        (["--log", log.vkey, "--listen", "8441"], "an address and a port"),
        (["--log", "nonsense"], "no verifier key"),
        (["--log", "x" * 10_000], "no verifier key"),
    ):
        code, _, err = run(capsys, *start, *words)
        assert (code, message in err) == (2, True), err
    code, _, err = run(capsys, "witness", "--key", tmp_path / "audit.key", "--state", "s", "--log", log.vkey)
    assert "is that of a log, not of a witness" in err
    with served(tmp_path, "--log", log.vkey, "--begin"):
        code, _, err = run(capsys, *start, "--log", log.vkey)
        assert "another witness has the state" in err


@pytest.mark.slow
def test_it_ends_with_a_signal(tmp_path: Path) -> None:
    log, _ = keys(tmp_path)
    for number in (signal.SIGINT, signal.SIGTERM):
        begin = [] if (tmp_path / "state").exists() else ["--begin"]
        with served(tmp_path, "--log", log.vkey, *begin) as (_, process):
            process.send_signal(number)
            assert process.wait(20) == 0


@pytest.mark.slow
def test_a_kill_at_any_moment_never_lets_it_cosign_two_histories(tmp_path: Path) -> None:
    """What it has cosigned once, it knows: the size that it says after each kill never goes back."""
    log, key = keys(tmp_path)
    seen, begin = 0, ["--begin"]
    for round_ in range(8):
        with served(tmp_path, "--log", log.vkey, *begin) as (url, process):
            begin = []
            delay = random.Random(round_).uniform(0.05, 0.6)
            killer = threading.Timer(delay, lambda process=process: os.kill(process.pid, signal.SIGKILL))
            killer.start()
            sizes = anyio.run(_hammered, tmp_path / "data", log, url, key.vkey)
            killer.join()
        for file in (tmp_path / "state").glob("*.checkpoint"):
            size = int(file.read_text().split("\n")[1])
            assert size >= max(sizes, default=0), "a cosignature was given away that is not remembered"
            assert size >= seen
            seen = size
    assert seen
    with served(tmp_path, "--log", log.vkey) as (url, _):
        anyio.run(witnessed, tmp_path / "data", log, url, key.vkey)


async def _hammered(directory: Path, key: KeySigner, url: str, vkey: VerifierKey) -> list[int]:
    """Append and have witnessed until the witness is gone; return how many records it has cosigned."""
    store, sizes, end = FileStore(directory), [], time.monotonic() + 1
    audit = AuditLog(store, signer=key, witnesses=WitnessPolicy([HttpWitness(url, vkey)], interval_seconds=0.0))
    try:
        while time.monotonic() < end:
            await audit.append({"kind": "note.taken"})
            note = await audit.witnessed(seconds=0.3)
            sizes.append(int(note.text.split("\n")[1]))
    except NotWitnessed:
        pass
    await audit.aclose()
    await store.aclose()
    return sizes


CHILD = """
import sys
from pathlib import Path
import anyio
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Verification, examine
from hubwire.proof import HttpWitness, KeySigner, WitnessPolicy
from hubwire.stores import FileStore

async def main(url, vkey):
    policy = WitnessPolicy([HttpWitness(url, vkey)], interval_seconds=0.0)
    audit = AuditLog(FileStore("data"), signer=KeySigner.from_file("audit.key"), witnesses=policy, rotation=2000)
    while True:
        await audit.append({"kind": "note.taken"})
        await audit.witnessed()
        print(audit.head.records, flush=True)

anyio.run(main, *sys.argv[1:])
"""


@pytest.mark.slow
def test_a_kill_of_the_hub_never_leaves_it_behind_its_witness(tmp_path: Path) -> None:
    """What a witness has seen is on the disk: the log goes on from it after each kill, and verifies."""
    log, key = keys(tmp_path)
    with served(tmp_path, "--log", log.vkey, "--begin") as (url, _):
        for round_ in range(6):
            child = subprocess.Popen(
                [sys.executable, "-P", "-c", CHILD, url, str(key.vkey)],
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            assert child.stdout is not None
            assert child.stderr is not None
            assert child.stdout.readline(), child.stderr.read()
            time.sleep(random.Random(round_).uniform(0, 0.4))
            child.kill()
            _, err = child.communicate()
            assert "knows another history" not in err
        anyio.run(witnessed, tmp_path / "data", log, url, key.vkey)
    store = FileStore(tmp_path / "data")

    async def judged() -> Verification:
        return await examine(store, vkey=log.vkey, witnesses=[key.vkey])

    found = anyio.run(judged)
    assert found.holds
    assert found.signer.reason.endswith(f"and a witness has seen {found.records:,}")
