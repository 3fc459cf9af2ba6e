"""What others have written agrees: pymerkle, sigstore, golang.org/x/mod, and the examples of the specifications."""

from __future__ import annotations

import shutil
import subprocess
from base64 import b64encode
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import attrs
import pymerkle
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hubwire.clock import SystemClock
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import prove, tiles
from hubwire.log import Log
from hubwire.proof import (
    EMPTY_ROOT,
    Checkpoint,
    InclusionProof,
    KeySigner,
    Note,
    NoteSignature,
    TreeHashes,
    VerifierKey,
    is_consistent,
    leaf_hash,
    tile_path,
    unbundled,
)
from hubwire.stores import MemoryStore

SIZES = [0, 1, 255, 256, 257, *(pytest.param(size, marks=pytest.mark.slow) for size in (65_536, 70_000))]
KEY = KeySigner.new("example.org/hub/audit")
JUDGE = Path(__file__).parent / "support" / "tlog_judge.go"
DEBIAN = Path("/usr/share/gocode")

pytestmark = pytest.mark.timeout(300)


@attrs.frozen
class Made:
    """A signed log with so many records, its files for others, and pymerkle's tree over the same lines."""

    store: MemoryStore
    lines: list[bytes]
    files: dict[str, bytes]
    theirs: pymerkle.InmemoryTree

    @property
    def note(self) -> Note:
        return Note.parse(self.files["checkpoint"])

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint.parse(self.note.text)

    @property
    def some(self) -> list[int]:
        """Indexes at the edges of tiles and subtrees, and others."""
        size = len(self.lines)
        near = {each + by for each in (0, 255, 256, 512, 32_768, 65_535, 65_536, size // 3, size) for by in (-1, 0, 1)}
        return sorted(each for each in near if 0 <= each < size)


async def made(size: int) -> Made:
    store = MemoryStore()
    log = Log(store, "/audit", clock=SystemClock(), chained=True)
    for at in range(0, size, 1000):
        await log.append([b'{"kind":"note.taken","n":%d}' % number for number in range(at, min(at + 1000, size))])
    await log.aclose()
    audit = AuditLog(store, signer=KEY, checkpoint_seconds=3600)
    await audit.checkpoint()
    await audit.aclose()
    files = {name: content async for name, content in tiles(store)}
    lines = [line for at in range(0, size, 256) for line in unbundled(files[entries(at, size)])]
    theirs = pymerkle.InmemoryTree(algorithm="sha256")
    theirs.append_entries(lines)
    return Made(store, lines, files, theirs)


def entries(at: int, size: int) -> str:
    return tile_path(None, at // 256, min(256, size - at))


@pytest.fixture(scope="module", params=SIZES)
def log(request: pytest.FixtureRequest) -> Made:
    return anyio.run(made, request.param)


def test_the_records_of_the_log_are_in_the_bundles(log: Made) -> None:
    stored = anyio.run(segments_of, log.store)
    assert stored == b"".join(line + b"\n" for line in log.lines)
    assert log.checkpoint.size == len(log.lines)


async def segments_of(store: MemoryStore) -> bytes:
    names = sorted(name for name in await store.list("/audit/log") if name.endswith(".jsonl"))
    return b"".join([await store.read_bytes(f"/audit/log/{name}") or b"" for name in names])


def test_pymerkle_has_the_same_root_and_the_same_tiles(log: Made) -> None:
    size = len(log.lines)
    assert log.checkpoint.root == (log.theirs.get_root() if size else EMPTY_ROOT)
    count = 1
    for level in range(3):
        span = 1 << 8 * level
        roots = [root_over(log.lines[at : at + span]) for at in range(0, size - size % span, span)]
        for at in range(0, len(roots), 256):
            tile = roots[at : at + 256]
            assert log.files[tile_path(level, at // 256, len(tile))] == b"".join(tile)
            count += 1
    assert len(log.files) == count + -(-size // 256)


def root_over(lines: list[bytes]) -> bytes:
    """Return the root as pymerkle has it."""
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    tree.append_entries(lines)
    return bytes(tree.get_root())


def test_pymerkle_makes_the_same_proofs_and_accepts_ours(log: Made) -> None:
    for index in log.some:
        ours = anyio.run(prove, log.store, index)
        theirs = log.theirs.prove_inclusion(index + 1)
        assert theirs.path == [leaf_hash(log.lines[index]), *ours.hashes]
        pymerkle.verify_inclusion(leaf_hash(log.lines[index]), log.checkpoint.root, theirs, index=index + 1)
        ours.verify(log.lines[index], KEY.vkey)


def test_pymerkle_agrees_that_a_log_goes_on(log: Made) -> None:
    size, hashes = len(log.lines), TreeHashes(log.store, "/audit")
    for old in [each for each in (*log.some, size) if each]:
        ours = anyio.run(hashes.consistency, old, size)
        before = log.theirs.get_root(old)
        assert is_consistent(old, before, size, log.checkpoint.root, ours)
        # Its own proof has a form of its own.
        theirs = log.theirs.prove_consistency(old, size)
        pymerkle.verify_consistency(before, log.checkpoint.root, theirs, prior_size=old, later_size=size)
        if ours:
            assert not is_consistent(old, before, size, log.checkpoint.root, ours[:-1])


def test_sigstore_accepts_checkpoint_and_proofs(log: Made) -> None:
    from sigstore._internal.merkle import verify_merkle_inclusion
    from sigstore._internal.rekor.checkpoint import verify_checkpoint
    from sigstore._internal.trust import Keyring
    from sigstore.errors import VerificationError
    from sigstore_models.common.v1 import PublicKey, PublicKeyDetails

    def keyring(key: VerifierKey) -> Any:
        der = Ed25519PublicKey.from_public_bytes(key.public).public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        return Keyring([PublicKey(raw_bytes=b64encode(der), key_details=PublicKeyDetails.PKIX_ED25519)])

    for index in log.some:
        proof = anyio.run(prove, log.store, index)
        entry: Any = SimpleNamespace(
            _inner=SimpleNamespace(
                canonicalized_body=log.lines[index],
                log_id=SimpleNamespace(key_id=KEY.vkey.id),
                inclusion_proof=SimpleNamespace(
                    log_index=index,
                    tree_size=log.checkpoint.size,
                    root_hash=log.checkpoint.root,
                    hashes=list(proof.hashes),
                    checkpoint=SimpleNamespace(envelope=str(proof.note)),
                ),
            )
        )
        verify_merkle_inclusion(entry)
        verify_checkpoint(keyring(KEY.vkey), entry)
        with pytest.raises(VerificationError):
            verify_checkpoint(keyring(KeySigner.new("example.org/other").vkey), entry)
        entry._inner.canonicalized_body += b" "
        with pytest.raises(VerificationError):
            verify_merkle_inclusion(entry)


# --- Go -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the judge with Debian's Go and its golang-golang-x-mod-dev."""
    go = shutil.which("go")
    if go is None or not (DEBIAN / "src" / "golang.org" / "x" / "mod" / "sumdb").is_dir():
        pytest.skip("needs golang-go and golang-golang-x-mod-dev of Debian")
    place = tmp_path_factory.mktemp("go")
    environment = {
        "GO111MODULE": "off",
        "GOPATH": str(DEBIAN),
        "GOCACHE": str(place / "cache"),
        "PATH": "/usr/bin:/bin",
    }
    subprocess.run([go, "build", "-o", place / "judge", JUDGE], env=environment, check=True)
    return place / "judge"


def judged(judge: Path, place: Path, vkey: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([judge, place, str(vkey)], capture_output=True, text=True, check=False)


def written(log: Made, place: Path) -> int:
    """Write the log with proofs for the judge; return how many proofs."""
    for name, content in log.files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    for index in log.some:
        (place / f"{index}.tlog-proof").write_text(str(anyio.run(prove, log.store, index)))
    size, hashes, lines = len(log.lines), TreeHashes(log.store, "/audit"), []
    for old in [each for each in (*log.some, size) if each]:
        proof = anyio.run(hashes.consistency, old, size)
        roots = [b64encode(each).decode() for each in (log.theirs.get_root(old), log.checkpoint.root)]
        lines.append(" ".join([str(old), roots[0], str(size), roots[1], *[b64encode(each).decode() for each in proof]]))
    (place / "consistency").write_text("\n".join(lines))
    return len(log.some)


def test_go_accepts_records_tiles_checkpoint_and_proofs(log: Made, judge: Path, tmp_path: Path) -> None:
    proofs = written(log, tmp_path)
    done = judged(judge, tmp_path, KEY.vkey)
    goes_on = len([each for each in (*log.some, len(log.lines)) if each])
    assert (done.stdout.strip(), done.stderr) == (f"ok {len(log.lines)} {proofs} {goes_on}", "")


def test_go_refuses_what_was_changed(judge: Path, tmp_path: Path) -> None:
    """So that its yes is one."""
    log = anyio.run(made, 300)
    written(log, tmp_path)
    assert judged(judge, tmp_path, KEY.vkey).returncode == 0
    assert judged(judge, tmp_path, KeySigner.new("example.org/hub/audit").vkey).returncode == 1
    for name in (
        "checkpoint",
        "consistency",
        "99.tlog-proof",
        "tile/0/000",
        "tile/1/000.p/1",
        "tile/entries/001.p/44",
    ):
        good = (tmp_path / name).read_bytes()
        at = good.index(b"index 99") + 40 if name == "99.tlog-proof" else len(good) // 2
        (tmp_path / name).write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert judged(judge, tmp_path, KEY.vkey).returncode != 0, name
        (tmp_path / name).write_bytes(good)
    assert judged(judge, tmp_path, KEY.vkey).returncode == 0


async def test_go_reads_keys_and_hand_overs(judge: Path, tmp_path: Path) -> None:
    """The checkpoint of a hand-over has a line more, and a signature of each key: Go opens it with either one."""
    log, new = await made(3), KeySigner.new(KEY.vkey.name)
    audit = AuditLog(log.store, signer=KEY)
    await audit.rotate_key(new)
    await audit.aclose()
    handed = attrs.evolve(log, files={name: content async for name, content in tiles(log.store)})
    for name, content in handed.files.items():
        await anyio.Path((tmp_path / name).parent).mkdir(parents=True, exist_ok=True)
        await anyio.Path(tmp_path / name).write_bytes(content)
    await anyio.Path(tmp_path / "consistency").write_text("")
    for key in (KEY, new):
        done = await anyio.to_thread.run_sync(judged, judge, tmp_path, key.vkey)
        assert (done.stdout.strip(), done.stderr) == (f"ok {handed.checkpoint.size} 0 0", "")


# --- the examples of the specifications -----------------------------------------------------------------------------


SALVATORE = """\
Ognuno sta solo sul cuor della terra
trafitto da un raggio di sole:

ed è subito sera.

— quasimodo.example/salvatore \
NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=
"""

SOFA = """\
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa \
Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""

FANCY = """\
c2sp.org/tlog-proof@v1
extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6
index 73894
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=
RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=
AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=

example.com/fancylog
109482
sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=

— example.com/fancylog hI2DJ1roloI=
— witness1.example mJirIkljqY9v2B/5bg==
"""
"""The example of the specification cuts its signatures and its extra data short with […]."""


def test_the_example_of_signed_note_is_read_and_written_to_the_byte() -> None:
    note = Note.parse(SALVATORE.encode())
    assert str(note) == SALVATORE
    assert note.text.endswith("raggio di sole:\n\ned è subito sera.\n")
    (signature,) = note.signatures
    assert (signature.name, signature.key_id.hex()) == ("quasimodo.example/salvatore", "367ba04b")
    assert len(signature.signature) == 64


def test_the_example_of_a_checkpoint_is_read_and_written_to_the_byte() -> None:
    note = Note.parse(SOFA)
    checkpoint = Checkpoint.parse(note.text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert str(Note(checkpoint.text, note.signatures)) == SOFA


def test_the_example_of_a_proof_is_read_and_written_to_the_byte() -> None:
    proof = InclusionProof.parse(FANCY)
    assert (proof.index, len(proof.hashes), proof.extra) == (73_894, 5, b"age-v1.2.1-darwin-arm64.tar.gz")
    assert [each.name for each in proof.note.signatures] == ["example.com/fancylog", "witness1.example"]
    assert str(proof) == FANCY


def test_the_key_and_the_note_of_go_are_ours() -> None:
    """The example of golang.org/x/mod/sumdb/note: a private key, its verifier key, and what it has signed."""
    key = KeySigner.parse("PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")
    vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    signed = (
        f"{text}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6Ryy"
        "BwJnAM=\n"
    )
    assert str(key.vkey) == vkey
    assert str(Note(text, (key.signature(text.encode()),))) == signed
    assert Note.parse(signed).signed_by(VerifierKey.parse(vkey))
    other = NoteSignature("PeterNeumann", bytes(4), bytes(64))
    assert not Note(text, (other,)).signed_by(VerifierKey.parse(vkey))
