"""Cosignatures and witnesses of others: golang.org/x/mod reads ours, and a witness in Go cosigns our logs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from test_proof_witness import LEAVES, LOG, OTHERS, request, signed

from hubwire.errors import WitnessDisagrees
from hubwire.listeners import AuditLog
from hubwire.proof import Checkpoint, HttpWitness, KeySigner, Note, VerifierKey, WitnessKey, WitnessPolicy, cosignatures
from hubwire.stores import MemoryStore

JUDGE = Path(__file__).parent / "support" / "witness_judge.go"
DEBIAN = Path("/usr/share/gocode")
WITNESS = WitnessKey.new("witness.example.org/w1")

pytestmark = pytest.mark.timeout(300)

# The example of https://c2sp.org/tlog-cosignature, to the byte.
EXAMPLE = """\
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa \
Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 \
jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""


def test_the_example_of_a_cosignature_is_read_and_written_to_the_byte() -> None:
    note = Note.parse(EXAMPLE)
    assert str(note) == EXAMPLE
    line = note.signatures[1]
    assert (line.name, line.key_id.hex(), len(line.signature)) == ("witness.example.com/w1", "8d66cf3f", 72)
    assert int.from_bytes(line.signature[:8], "big") == 1_679_315_147


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile it with Debian's Go and its golang-golang-x-mod-dev."""
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


def opened(judge: Path, note: Note, log: VerifierKey, witness: VerifierKey) -> list[str]:
    words = [str(judge), "open", str(log), str(witness)]
    done = subprocess.run(words, input=str(note), capture_output=True, text=True, check=False)
    return done.stdout.split() if done.returncode == 0 else []


def test_go_reads_our_cosignatures(judge: Path) -> None:
    note = signed(5)
    cosigned = note.with_signatures([WITNESS.cosign(note.text, 1_900_000_000)])
    assert opened(judge, cosigned, LOG.vkey, WITNESS.vkey) == [LOG.vkey.name, WITNESS.vkey.name, "1900000000", "0"]
    other = WitnessKey.new(WITNESS.vkey.name).vkey
    assert opened(judge, cosigned, LOG.vkey, other) == [LOG.vkey.name, "0", "1"]
    changed = Note(note.text, (note.signatures[0], WITNESS.cosign(signed(6).text, 5)))
    assert opened(judge, changed, LOG.vkey, WITNESS.vkey) == []


@contextmanager
def of_go(judge: Path, log: VerifierKey) -> Iterator[HttpWitness]:
    """A witness that is written in Go."""
    words = [str(judge), "serve", "go.example.org/w", "07" * 32, str(log)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        vkey, url = process.stdout.readline(), process.stdout.readline()
        yield HttpWitness(url.strip(), vkey)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_witness_in_go_cosigns_what_goes_on_and_nothing_else(judge: Path) -> None:
    async def ask(witness: HttpWitness) -> None:
        for size in (0, 1, 2, 3, 7, 8, 255, 256, 257, 257, 300):
            line = await witness.witness(request(size))
            assert cosignatures(Note(signed(size).text, (line,)), [witness.vkey])
        for size, leaves in ((299, LEAVES), (300, OTHERS), (3, OTHERS)):
            with pytest.raises(WitnessDisagrees):
                await witness.witness(request(size, leaves))

    with of_go(judge, LOG.vkey) as witness:
        anyio.run(ask, witness)


def test_a_log_is_witnessed_by_go(judge: Path) -> None:
    store, key = MemoryStore(), KeySigner.new("example.org/hub/another")

    async def work(witness: HttpWitness) -> Note:
        audit = AuditLog(store, signer=key, witnesses=WitnessPolicy([witness], interval_seconds=0.0))
        for number in range(300):
            await audit.append({"kind": "work.done", "number": number})
            if not number % 60:
                await audit.witnessed()
        note = await audit.witnessed()
        await audit.aclose()
        return note

    with of_go(judge, key.vkey) as witness:
        note = anyio.run(work, witness)
    assert Checkpoint.parse(note.text).size == 301
    assert opened(judge, note, key.vkey, witness.vkey)[:2] == [key.vkey.name, "go.example.org/w"]
