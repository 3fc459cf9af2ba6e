"""A proof that one record is in a signed log: it holds for that record, that place and that key, and for no other."""

from __future__ import annotations

import random
from base64 import b64encode
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire.cli import main
from hubwire.errors import (
    CheckpointInvalid,
    ConfigurationError,
    HashesMissing,
    HubError,
    InvalidRecord,
    LogDamaged,
    NotFound,
    ProofInvalid,
)
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Retention, prove
from hubwire.log import LogReader
from hubwire.proof import Checkpoint, InclusionProof, KeySigner, Note
from hubwire.stores import FileStore, MemoryStore
from support.odd import Stranger

NAME = "example.org/hub/audit"
KEY = KeySigner.new(NAME)


async def signed(store: Any, records: int = 5, **options: Any) -> AuditLog:
    audit = AuditLog(store, signer=KEY, checkpoint_seconds=3600, **options)
    for number in range(records):
        await audit.append({"kind": "note.taken", "n": number})
    await audit.checkpoint()
    return audit


async def lines_of(store: Any) -> list[bytes]:
    reader, lines = LogReader(store, "/audit"), []
    while records := await reader.read():
        lines += [each.line for each in records]
    return lines


async def test_each_record_is_proved_to_who_has_the_key_alone() -> None:
    store = MemoryStore()
    audit = await signed(store, 9)
    lines = await lines_of(store)
    for index, line in enumerate(lines):
        proof = await audit.prove(index)
        assert proof == InclusionProof.parse(str(proof)) == InclusionProof.parse(str(proof).encode())
        assert proof.verify(line, KEY.vkey) == proof.verify(line, str(KEY.vkey))
        assert proof.verify(line, KEY.vkey).size == len(lines)
        assert proof.extra == line
        assert (await audit.prove(index, with_line=False)).extra is None
        for other in (lines[index - 1], line + b" ", line[:-1], b""):
            with pytest.raises(ProofInvalid, match="was changed"):
                proof.verify(other, KEY.vkey)
    await audit.aclose()


async def test_a_log_signs_what_is_to_be_proved() -> None:
    store = MemoryStore()
    audit = await signed(store)
    await audit.append({"kind": "note.taken"})
    proof = await audit.prove(6)
    assert proof.verify((await lines_of(store))[6], KEY.vkey).size == 7
    await audit.aclose()


@pytest.mark.parametrize("lost", ["removed", "cut", "flipped"])
async def test_hashes_that_lack_or_are_damaged_are_made_from_the_records(lost: str) -> None:
    store = MemoryStore()
    audit = await signed(store, 600)
    await audit.aclose()
    lines = await lines_of(store)
    for level in range(2):
        content = await store.read_bytes(f"/audit/tree/{level}")
        assert content is not None
        if lost == "removed":
            await store.delete(f"/audit/tree/{level}")
        elif lost == "cut":
            await store.write(f"/audit/tree/{level}", content[: len(content) // 2 + 7])
        else:
            await store.write(f"/audit/tree/{level}", bytes(each ^ 1 for each in content))
    for index in (0, 1, 255, 256, 511, 512, len(lines) - 1):
        (await prove(store, index)).verify(lines[index], KEY.vkey)


async def test_records_that_are_not_those_that_were_signed_are_not_proved() -> None:
    store = MemoryStore()
    audit = await signed(store)
    await audit.aclose()
    path = "/audit/log/00000000000000000000.jsonl"
    content = await store.read_bytes(path)
    assert content is not None
    await store.write(path, content.replace(b'"n":2', b'"n":7'))
    with pytest.raises(LogDamaged, match="was changed since"):
        await prove(store, 3)
    for index in (0, 1, 2, 4):
        proof = await prove(store, index)
        assert proof.extra is not None
        proof.verify(proof.extra, KEY.vkey)


async def test_a_record_that_was_pruned_is_still_proved() -> None:
    """The hashes stay; the line has to come from who has kept it. Without the hashes there is no proof."""
    store = MemoryStore()
    audit = await signed(store, 0, rotation=2000)
    lines: list[bytes] = []
    for number in range(60):
        await audit.append({"kind": "note.taken", "n": number})
    lines = await lines_of(store)
    await audit.checkpoint()
    await audit.prune(retention=Retention(segments_max=2))
    await audit.checkpoint()
    await audit.aclose()
    proof = await prove(store, 3)
    assert proof.extra is None
    proof.verify(lines[3], KEY.vkey)
    await store.write("/audit/tree/0", b"")
    with pytest.raises(HashesMissing):
        await prove(store, 3)


async def test_what_cannot_be_proved_is_refused() -> None:
    store = MemoryStore()
    audit = await signed(store)
    await audit.aclose()
    for index in (6, 10**30, -1):
        with pytest.raises(NotFound, match="under no checkpoint"):
            await prove(store, index)
    for odd in ("3", 3.0, None, True, Stranger()):
        with pytest.raises(InvalidRecord):
            await prove(store, odd)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        await prove(store, 3, with_line=1)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        await prove(7, 3)  # type: ignore[arg-type]
    unsigned = AuditLog(MemoryStore())
    await unsigned.append({"kind": "note.taken"})
    with pytest.raises(ConfigurationError, match="is not signed"):
        await unsigned.prove(0)
    await unsigned.aclose()
    await store.write("/audit/checkpoint", b"\xff")
    with pytest.raises(CheckpointInvalid, match="is damaged"):
        await prove(store, 3)


async def test_no_character_of_a_proof_can_be_another_one() -> None:
    """But in what the proof itself says nothing of, and in signatures of others."""
    store = MemoryStore()
    audit = await signed(store, 11)
    await audit.aclose()
    line = (await lines_of(store))[4]
    text = str(await prove(store, 4, with_line=False))
    dice = random.Random(5)
    for at in range(len(text)):
        changed = text[:at] + dice.choice("A1b+/=— \n\x00x") + text[at + 1 :]
        if changed == text:
            continue
        with pytest.raises(HubError):
            InclusionProof.parse(changed).verify(line, KEY.vkey)


async def test_a_proof_holds_for_one_place_and_one_key() -> None:
    store = MemoryStore()
    audit = await signed(store)
    await audit.aclose()
    line, proof = (await lines_of(store))[3], await prove(store, 3)
    for index in (0, 2, 4, 6, 10**18):
        with pytest.raises(ProofInvalid):
            InclusionProof(index, proof.hashes, proof.note).verify(line, KEY.vkey)
    for hashes in ((), proof.hashes[:-1], proof.hashes[::-1], (*proof.hashes, bytes(32))):
        with pytest.raises(ProofInvalid):
            InclusionProof(3, hashes, proof.note).verify(line, KEY.vkey)
    with pytest.raises(ProofInvalid, match="is not signed by the key"):
        proof.verify(line, KeySigner.new(NAME).vkey)
    with pytest.raises(ProofInvalid, match=r"of the log 'example\.org/hub/audit'"):
        proof.verify(line, KeySigner.new("example.org/other").vkey)
    with pytest.raises(ProofInvalid):
        InclusionProof(3, proof.hashes, Note(proof.note.text)).verify(line, KEY.vkey)
    with pytest.raises(ProofInvalid):
        InclusionProof(3, proof.hashes, Note("no checkpoint\n")).verify(line, KEY.vkey)
    odd: Any
    for odd in ("line", None, bytearray(line), Stranger()):
        with pytest.raises(ProofInvalid):
            proof.verify(odd, KEY.vkey)
    for odd in ("", None, 7, KEY, Stranger()):
        with pytest.raises(CheckpointInvalid):
            proof.verify(line, odd)


HEAD = "c2sp.org/tlog-proof@v1\n"
HASH = b64encode(bytes(32)).decode()
NOTE = str(Note(Checkpoint(NAME, 1, bytes(32)).text, (KEY.signature(b""),)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        HEAD,
        f"{HEAD}index 0\n",
        f"{HEAD}\n{NOTE}",
        f"{HEAD}index 00\n\n{NOTE}",
        f"{HEAD}index -1\n\n{NOTE}",
        f"{HEAD}index +1\n\n{NOTE}",
        f"{HEAD}index \u0661\n\n{NOTE}",
        f"{HEAD}index {'9' * 5000}\n\n{NOTE}",
        f"{HEAD}Index 0\n\n{NOTE}",
        f"{HEAD}index 0\nextra QQ==\n\n{NOTE}",
        f"{HEAD}extra QQ=\nindex 0\n\n{NOTE}",
        f"{HEAD}extra QR==\nindex 0\n\n{NOTE}",
        f"{HEAD}index 0\n{HASH[:-4]}\n\n{NOTE}",
        f"{HEAD}index 0\n{HASH} \n\n{NOTE}",
        HEAD + "index 0\n" + f"{HASH}\n" * 64 + f"\n{NOTE}",
        f"{HEAD}index 0\r\n\r\n{NOTE}",
        f"{HEAD}index 0\n\n{NOTE[:-1]}",
        f"{HEAD}index 0\n\nnothing",
        f"{HEAD}index 0\n\n\ud800",
        "c2sp.org/tlog-proof@v2\nindex 0\n\n" + NOTE,
        HEAD + "extra " + "A" * 300_000 + f"\nindex 0\n\n{NOTE}",
    ],
    ids=range(23),
)
def test_what_is_no_proof_is_refused(text: str) -> None:
    with pytest.raises(ProofInvalid):
        InclusionProof.parse(text)


def test_a_proof_is_text_or_bytes() -> None:
    odd: Any
    for odd in (None, 7, b"\xff", [], Stranger()):
        with pytest.raises(ProofInvalid):
            InclusionProof.parse(odd)
    proof = InclusionProof.parse(f"{HEAD}extra \nindex 0\n\n{NOTE}")
    assert (proof.extra, str(proof)) == (b"", f"{HEAD}extra \nindex 0\n\n{NOTE}")


# --- the command ----------------------------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["prove", *map(str, words)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


@pytest.fixture
def data(tmp_path: Path) -> Path:
    async def make() -> None:
        store = FileStore(tmp_path / "data")
        await (await signed(store)).aclose()
        await store.aclose()

    anyio.run(make)
    return tmp_path / "data"


def test_the_command_writes_a_proof_and_checks_it(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proof, line = tmp_path / "3.tlog-proof", tmp_path / "line"
    assert run(capsys, "index:3", data, "--out", proof)[0] == 0
    code, out, _ = run(capsys, "--check", proof, "--vkey", KEY.vkey)
    assert code == 0
    assert '"n":2' in out
    assert run(capsys, data, "index:3")[1] == proof.read_text()
    assert run(capsys, "index:3", data, "--out", proof)[0] == 1, "a file is not written over"
    bare = tmp_path / "bare.tlog-proof"
    assert run(capsys, "index:3", data, "--out", bare, "--no-line")[0] == 0
    assert run(capsys, "--check", bare, "--vkey", KEY.vkey)[0] == 2
    line.write_bytes(InclusionProof.parse(proof.read_bytes()).extra or b"")
    assert run(capsys, "--check", bare, "--vkey", KEY.vkey, "--line", line)[0] == 0
    line.write_bytes(line.read_bytes().replace(b'"n":2', b'"n":7') + b"\n")
    code, out, err = run(capsys, "--check", bare, "--vkey", KEY.vkey, "--line", line)
    assert (code, out) == (1, "")
    assert "does not hold" in err


def test_the_command_refuses_what_cannot_be(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proof = tmp_path / "p"
    run(capsys, "index:3", data, "--out", proof)
    for words, code in (
        ((), 2),
        (("index:3",), 2),
        (("index:99", data), 1),
        (("7", data), 1),
        (("index:3", data, "--vkey", KEY.vkey), 2),
        (("index:3", data, "--check", proof, "--vkey", KEY.vkey), 2),
        (("--check", proof), 2),
        (("--check", proof, "--vkey", KEY.vkey, "--out", "x"), 2),
        (("--check", tmp_path, "--vkey", KEY.vkey), 1),
        (("--check", tmp_path / "none", "--vkey", KEY.vkey), 1),
        (("--check", "/dev/zero", "--vkey", KEY.vkey), 1),
    ):
        found, out, err = run(capsys, *words)
        assert (found, out) == (code, ""), (words, err)
        assert err.rstrip("\n").isprintable()
    code, out, err = run(capsys, "--check", proof, "--vkey", "\x1b[31m")
    assert (code != 0, out, err.rstrip("\n").isprintable()) == (True, "", True)
