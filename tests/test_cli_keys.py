"""``hubwire keys``: keys in files, and a log that goes on with a new one."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire.cli import main
from hubwire.errors import ConfigurationError
from hubwire.listeners import AuditLog
from hubwire.proof import Checkpoint, KeyChain, KeySigner, Note, VerifierKey, wipe_key
from hubwire.stores import FileStore

NAME = "example.org/hub/audit"


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Run the command in this process; return its exit code and what it has printed."""
    with pytest.raises(SystemExit) as ended:
        main(["keys", *map(str, words)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


async def signed(directory: Path, key: KeySigner, records: int = 3) -> None:
    store = FileStore(directory)
    audit = AuditLog(store, signer=key)
    for number in range(records):
        await audit.append({"kind": "note.taken", "n": number})
    await audit.aclose()
    await store.aclose()


def log_of(tmp_path: Path, key: Path) -> Path:
    anyio.run(signed, tmp_path / "data", KeySigner.from_file(key))
    return tmp_path / "data"


def test_a_new_key_is_its_owners_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "audit.key"
    code, out, err = run(capsys, "new", NAME, "--out", key)
    assert (code, stat.S_IMODE(key.stat().st_mode)) == (0, 0o600)
    assert VerifierKey.parse(out).name == NAME
    assert "PRIVATE" not in out + err
    assert run(capsys, "show", key) == (0, out, "")


def test_a_key_is_never_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "audit.key"
    run(capsys, "new", NAME, "--out", key)
    before = key.read_bytes()
    code, out, err = run(capsys, "new", NAME, "--out", key)
    assert (code, out, key.read_bytes()) == (2, "", before)
    assert "is there already" in err


@pytest.mark.parametrize("name", ["", "a b", "a+b", "x" * 256, "a\x1b[31mb", "a\nb", "\N{RIGHT-TO-LEFT OVERRIDE}a"])
def test_a_name_that_no_key_can_have_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "new", "--out", tmp_path / "key", "--", name)
    assert code != 0
    assert err.rstrip("\n").isprintable()
    assert not (tmp_path / "key").exists()


def test_a_key_that_others_can_read_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "audit.key"
    run(capsys, "new", NAME, "--out", key)
    key.chmod(0o640)
    code, out, err = run(capsys, "show", key)
    assert (code, out) == (2, "")
    assert "chmod 600" in err


@pytest.mark.parametrize("damage", [b"", b"PRIVATE+KEY+", b"\xff" * 99, b"-----BEGIN PRIVATE KEY-----\n"])
def test_what_is_no_key_is_not_shown(damage: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "audit.key"
    key.write_bytes(damage)
    key.chmod(0o600)
    code, out, err = run(capsys, "show", key)
    assert (code != 0, out) == (True, "")
    assert str(key) in err
    with pytest.raises(ConfigurationError):
        KeySigner.from_file(tmp_path / "none")


def test_a_flipped_bit_in_a_key_is_seen_and_the_secret_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "audit.key"
    run(capsys, "new", NAME, "--out", key)
    good = key.read_bytes()
    for at in range(len("PRIVATE+KEY+"), len(good) - 1, 7):
        key.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        code, out, err = run(capsys, "show", key)
        assert (code != 0, out) == (True, ""), at
        assert good[-20:-4].decode() not in err


def test_rotate_hands_over_and_wipes_the_old_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.key", tmp_path / "new.key"
    run(capsys, "new", NAME, "--out", old)
    vkey = KeySigner.from_file(old).vkey
    data = log_of(tmp_path, old)
    code, out, _ = run(capsys, "rotate", old, data, "--to", new, "--reason", "a year is over")
    assert code == 0
    assert not old.exists()
    successor = KeySigner.from_file(new).vkey
    assert str(successor) in out
    note = Note.parse((data / "audit" / "checkpoint").read_bytes())
    assert note.signed_by(vkey)
    assert note.signed_by(successor)
    size = Checkpoint.parse(note.text).size
    assert (data / "audit" / "checkpoints" / f"{size:020}").read_bytes() == str(note).encode()
    lines = (data / "audit" / "log" / f"{0:020}.jsonl").read_bytes().split(b"\n")
    last = json.loads(lines[-2])
    assert (last["kind"], last["old"], last["new"], last["reason"]) == (
        "log.key_rotated",
        str(vkey),
        str(successor),
        "a year is over",
    )


def test_rotate_finishes_what_was_interrupted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also when the program has gone on with the new key meanwhile; and a key of another log stays."""
    old, new, other = tmp_path / "old.key", tmp_path / "new.key", tmp_path / "other.key"
    run(capsys, "new", NAME, "--out", old)
    run(capsys, "new", NAME, "--out", other)
    copy = old.read_bytes()
    data = log_of(tmp_path, old)
    run(capsys, "rotate", old, data, "--to", new)
    log_of(tmp_path, new)
    code, _, _ = run(capsys, "rotate", other, data, "--to", new)
    assert (code, other.exists()) == (2, True)
    old.write_bytes(copy)
    old.chmod(0o600)
    code, out, _ = run(capsys, "rotate", old, data, "--to", new)
    assert (code, old.exists()) == (0, False)
    assert "before" in out


@pytest.mark.slow
def test_rotate_that_is_killed_at_any_moment_is_finished_by_the_same_command(tmp_path: Path) -> None:
    """Nobody has two keys in the end, and the log one; a reader with the old key finds the new one."""
    program = "import sys; from hubwire.cli import main; main(sys.argv[1:])"
    dice, seconds = random.Random(11), 0.0
    for number in range(5):
        place = tmp_path / str(number)
        place.mkdir()
        old, new = place / "old.key", place / "new.key"
        key = KeySigner.new(NAME)
        key.to_file(old)
        data = log_of(place, old)
        words = [sys.executable, "-P", "-c", program, "keys", "rotate", *map(str, (old, data, "--to", new))]
        for _ in range(2 if number else 0):
            running = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            kill = threading.Timer(seconds * dice.uniform(0.7, 1), running.kill)
            kill.start()
            running.wait()
            kill.cancel()
        begun = time.monotonic()
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        seconds = seconds or time.monotonic() - begun
        assert done.returncode == 0, done.stderr
        assert not old.exists()
        notes = [Note.parse(each.read_bytes()) for each in (data / "audit" / "checkpoints").iterdir()]
        assert KeyChain(key.vkey, notes).key == KeySigner.from_file(new).vkey
        log_of(place, new)


def test_a_key_that_was_being_wiped_is_wiped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.key", tmp_path / "new.key"
    run(capsys, "new", NAME, "--out", old)
    data = log_of(tmp_path, old)
    copy = data.with_name("copy")
    shutil.copytree(data, copy)
    run(capsys, "rotate", old, data, "--to", new)
    assert run(capsys, "rotate", old, data, "--to", new)[0] == 0
    old.write_bytes(bytes(120))
    code, _, err = run(capsys, "rotate", old, copy, "--to", new)
    assert (code, old.exists()) == (1, True)
    assert "is no key any more" in err
    assert run(capsys, "rotate", old, data, "--to", new)[0] == 0
    assert not old.exists()
    old.write_bytes(b"")
    assert run(capsys, "rotate", old, data, "--to", new)[0] == 2
    assert old.exists()


def test_a_rotation_that_is_refused_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new, foreign = tmp_path / "old.key", tmp_path / "new.key", tmp_path / "foreign.key"
    run(capsys, "new", NAME, "--out", old)
    run(capsys, "new", "example.org/other", "--out", foreign)
    data = log_of(tmp_path, old)
    checkpoint = (data / "audit" / "checkpoint").read_bytes()
    for words in ((old, data, "--to", old), (old, data, "--to", foreign), (foreign, data, "--to", new)):
        code, _, err = run(capsys, "rotate", *words)
        assert code != 0
        assert err
    assert old.exists()
    assert foreign.exists()
    assert not new.exists()
    assert (data / "audit" / "checkpoint").read_bytes() == checkpoint


async def test_a_log_that_a_program_has_open_is_not_rotated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.key", tmp_path / "new.key"
    await anyio.to_thread.run_sync(KeySigner.new(NAME).to_file, old)
    store = FileStore(tmp_path / "data")
    audit = AuditLog(store, signer=await anyio.to_thread.run_sync(KeySigner.from_file, old))
    await audit.append({"kind": "note.taken"})
    await audit.checkpoint()
    words: Any = (capsys, "rotate", old, tmp_path / "data", "--to", new)
    code, _, err = await anyio.to_thread.run_sync(run, *words)
    assert code == 1
    assert "audit.rotate_key" in err
    assert await anyio.Path(old).exists()
    assert not await anyio.Path(new).exists()
    await audit.aclose()
    await store.aclose()


def test_only_a_key_is_wiped(tmp_path: Path) -> None:
    key, other, link = tmp_path / "audit.key", tmp_path / "notes", tmp_path / "link"
    KeySigner.new(NAME).to_file(key)
    other.write_text("mine")
    link.symlink_to(key)
    for path in (other, link, tmp_path, tmp_path / "none"):
        with pytest.raises(ConfigurationError):
            wipe_key(path)
    assert other.read_text() == "mine"
    held = os.open(key, os.O_RDONLY)
    wipe_key(key)
    assert set(os.read(held, 4096)) == {0}
    os.close(held)
    assert not key.exists()
