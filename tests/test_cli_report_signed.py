"""``hubwire report`` of a signed log: what goes into the file, so that its reader can check it."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_cli_read import hubwire

from hubwire.errors import CheckpointInvalid, InvalidRecord
from hubwire.exports import Report, export_now, report
from hubwire.listeners.audit import AuditLog, signed_part
from hubwire.proof import Checkpoint, KeySigner, Note, absent_ranges, leaf_hash, node_hash
from hubwire.stores import FileStore, MemoryStore
from support.reports import BLOCK

pytest.importorskip("cryptography")

NAME = "example.org/hub/audit"
SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"
ABOUT = re.compile(rb'<script type="application/json" id="about">(.*)</script>')


@pytest.fixture(scope="module")
def key() -> KeySigner:
    return KeySigner.new(NAME)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, key: KeySigner) -> Path:
    path = tmp_path_factory.mktemp("store")

    async def make() -> None:
        opened = FileStore(path)
        async with AuditLog(opened, signer=key, redactor=None) as audit:
            for number in range(60):
                text = SECRET if number == 7 else f"word{number}"
                await audit.append({"kind": f"own.{'odd' if number % 7 else 'rare'}", "text": text})
        await opened.aclose()

    asyncio.run(make())
    return path


def parts_of(file: Path) -> tuple[dict[int, bytes], dict[str, Any]]:
    """Return the leaves of the records in a report, by their numbers, and what it says of the log."""
    content = file.read_bytes()
    leaves = {}
    for block in BLOCK.findall(content):
        for row in gzip.decompress(base64.b64decode(block)).removesuffix(b"\n").split(b"\n"):
            index, flags, _, line = row.split(b"\t")[:4]
            leaves[int(index)] = base64.b64decode(flags[1:]) if flags else leaf_hash(line)
    about = ABOUT.search(content)
    assert about is not None
    said: dict[str, Any] = json.loads(about[1])
    return leaves, said


def root_of(leaves: dict[int, bytes], size: int, hashes: bytes) -> bytes:
    """Return the root over leaves, and the hashes of the others, by the definition of RFC 6962."""
    given: Iterator[bytes] = iter([hashes[at : at + 32] for at in range(0, len(hashes), 32)])

    def root(begin: int, end: int) -> bytes:
        if not any(begin <= index < end for index in leaves):
            return next(given)
        if end - begin == 1:
            return leaves[begin]
        middle = begin + 1
        while 2 * (middle - begin) < end - begin:
            middle = begin + 2 * (middle - begin)
        return node_hash(root(begin, middle), root(middle, end))

    found = root(0, size)
    assert next(given, None) is None
    return found


SELECTED: list[list[str]] = [
    [],
    ["--raw"],
    ["--kind", "own.rare"],
    ["--kind", "own.rare", "--raw"],
    ["--kind", "no.such"],
]


@pytest.mark.parametrize("words", SELECTED, ids=str)
def test_a_report_has_what_its_reader_needs(store: Path, key: KeySigner, tmp_path: Path, words: list[str]) -> None:
    """The records that are in it and the hashes of the others yield the root, redacted ones too."""
    file = tmp_path / "report.html"
    run = hubwire("report", store, "-o", file, "--vkey", str(key.vkey), *words)
    assert run.returncode == 0
    assert "give --vkey" not in run.stdout
    leaves, about = parts_of(file)
    assert len(leaves) == {0: 61, 1: 61, 2: 9, 3: 9}[len(words)] or "no.such" in words
    signed = about["signed"]
    checkpoint = Checkpoint.parse(Note.parse(signed["checkpoint"]).text)
    assert signed["vkey"] == str(key.vkey)
    assert root_of(leaves, checkpoint.size, base64.b64decode(signed["hashes"])) == checkpoint.root


def test_a_report_says_that_its_reader_needs_the_key(store: Path, tmp_path: Path) -> None:
    run = hubwire("report", store, "-o", tmp_path / "report.html")
    assert "it is signed, and the signature is in the report: its reader pastes the verifier key" in run.stdout
    assert parts_of(tmp_path / "report.html")[1]["signed"]["vkey"] is None


@pytest.mark.parametrize("vkey", ["hello", f"{NAME}+00000000+AAAA", "x" * 300])
def test_a_key_that_is_none_is_refused_before_a_file_is_written(store: Path, tmp_path: Path, vkey: str) -> None:
    run = hubwire("report", store, "-o", tmp_path / "report.html", "--vkey", vkey)
    assert run.returncode != 0
    assert "verifier key" in run.stderr
    assert list(tmp_path.iterdir()) == []


async def test_a_log_that_is_not_signed_has_no_signed_part() -> None:
    store = MemoryStore()
    async with AuditLog(store) as audit:
        await audit.append({"kind": "own.made"})
    assert await signed_part(store, [0]) is None


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 9, 255, 256, 257])
def test_ranges_and_leaves_are_the_whole_tree(size: int) -> None:
    for shown in ([], list(range(size)), list(range(0, size, 3)), [0, size + 5], list(range(size // 2, size))):
        ranges = absent_ranges(shown, size)
        absent = [at for begin, end in ranges for at in range(begin, end)]
        assert sorted([*absent, *(at for at in shown if at < size)]) == list(range(size))
        assert ranges == sorted(ranges)


ODD: list[Any] = [None, 5, "01", [1, 1], [2, 1], [-1], [1.0], [True], {0}, range(-3, 3), range(9, 1, -1), object()]


@pytest.mark.parametrize("shown", ODD, ids=range(len(ODD)))
async def test_numbers_that_are_none_are_refused(shown: Any) -> None:
    with pytest.raises(InvalidRecord, match=r"signed_part\(\): shown are the numbers"):
        await signed_part(MemoryStore(), shown)


@pytest.mark.parametrize("vkey", [5, b"x", "hello", object()], ids=range(4))
async def test_a_key_that_is_none_is_refused(vkey: Any) -> None:
    with pytest.raises(CheckpointInvalid, match="verifier key"):
        await signed_part(MemoryStore(), [0], vkey=vkey)


def test_a_damaged_checkpoint_makes_no_report_and_says_what_to_do(store: Path, tmp_path: Path) -> None:
    """A report without it would say that the log is not signed."""
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    (copy / "audit" / "checkpoint").write_text("junk\n")
    run = hubwire("report", copy, "-o", tmp_path / "report.html")
    assert run.returncode == 1
    assert "/audit/checkpoint is damaged" in run.stderr
    assert "restore it, from the newest file in checkpoints/ beside it or a copy" in run.stderr
    assert not (tmp_path / "report.html").exists()


def test_all_files_of_the_page_are_in_its_program() -> None:
    program = b"".join(export_now([], Report()))
    folder = Path(report.__file__).parent
    assert [file.name for file in folder.glob("*.js") if file.read_bytes() not in program] == []
