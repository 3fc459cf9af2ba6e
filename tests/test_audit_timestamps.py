"""Timestamps of RFC 3161 on checkpoints: made by openssl, checked by another library, and by openssl again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire.cli import main
from hubwire.errors import ConfigurationError, ProofInvalid, TimestampFailed
from hubwire.listeners.audit import AuditLog, Outcome, examine
from hubwire.proof import (
    Checkpoint,
    KeySigner,
    Note,
    NoteSignature,
    Timestamper,
    WitnessKey,
    WitnessRequest,
    check_timestamp,
)
from hubwire.proof.timestamps import stamped_text
from hubwire.stores import FileStore, MemoryStore
from support import until
from support.tsa import answer_of, authority, make_authority

pytest.importorskip("rfc3161_client")

LOG = KeySigner.new("example.org/hub/audit")
WITNESS = WitnessKey.new("witness.example.org")
SIZE = 4


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tsa") / "good"
    make_authority(directory)
    return directory


@pytest.fixture(scope="module")
def url(tsa: Path) -> Iterator[str]:
    with authority(tsa) as url:
        yield url


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_authority(tmp_path_factory.mktemp("tsa") / "other", "Another")


def root(tsa: Path) -> bytes:
    return (tsa / "root.pem").read_bytes()


async def stamped(store: Any, url: str, certificate: bytes) -> None:
    audit = AuditLog(store, signer=LOG, timestamper=Timestamper(url, [certificate]), close_seconds_max=30)
    for number in range(SIZE - 1):
        await audit.append({"kind": "work.done", "number": number})
    await audit.aclose()
    assert audit.timestamp_errors == 0
    assert audit.problem is None


@pytest.mark.slow
async def test_the_last_checkpoint_is_stamped_and_openssl_agrees(
    tsa: Path, url: str, tmp_path: Path, other: bytes
) -> None:
    store = FileStore(tmp_path / "data")
    certificate = await anyio.to_thread.run_sync(root, tsa)
    await stamped(store, url, certificate)
    place = f"/audit/checkpoints/{SIZE:020}"
    response, note = await store.read_bytes(f"{place}.tsr"), Note.parse(await store.read(place))
    assert response is not None
    assert check_timestamp(response, str(note).encode(), [certificate]).authority == "CN=Authority of time tsa"
    found = await examine(store, vkey=LOG.vkey, timestamp_certificates=[certificate])
    assert found.signer.outcome is Outcome.HOLDS
    assert any(text.startswith(f"a timestamp: {SIZE} records were there at 20") for text in found.signer.looked_at)
    found = await examine(store, vkey=LOG.vkey)
    assert "its 1 timestamps: give the authority's certificate (--timestamp-cert)" in found.signer.not_looked_at
    found = await examine(store, vkey=LOG.vkey, timestamp_certificates=[other])
    assert found.signer.outcome is Outcome.FAILS
    await store.aclose()
    folder = tmp_path / "data" / "audit" / "checkpoints"
    words = [
        "openssl",
        "ts",
        "-verify",
        "-data",
        f"{SIZE:020}",
        "-in",
        f"{SIZE:020}.tsr",
        "-CAfile",
        str(tsa / "root.pem"),
    ]
    done = await anyio.to_thread.run_sync(lambda: subprocess.run(words, cwd=folder, capture_output=True, check=False))
    assert b"Verification: OK" in done.stdout + done.stderr


class Cosigner:
    name, vkey = WITNESS.vkey.name, WITNESS.vkey

    async def witness(self, request: WitnessRequest) -> NoteSignature:
        return WITNESS.cosign(request.checkpoint.text, 1_700_000_000)


async def test_openssl_checks_a_checkpoint_that_was_cosigned(tsa: Path, url: str, tmp_path: Path) -> None:
    """Over its first five lines, as the documentation has it."""
    store, certificate = FileStore(tmp_path / "data"), await anyio.to_thread.run_sync(root, tsa)
    audit = AuditLog(
        store,
        signer=LOG,
        witnesses=[Cosigner()],
        timestamper=Timestamper(url, certificate),
        close_seconds_max=30,
    )
    await audit.append({"kind": "work.done"})
    await audit.checkpoint()
    await audit.witnessed()
    await audit.aclose()
    await store.aclose()
    name = f"{2:020}"
    script = f"head -n 5 {name} > stamped; openssl ts -verify -data stamped -in {name}.tsr -CAfile {tsa}/root.pem"
    folder = tmp_path / "data" / "audit" / "checkpoints"
    assert "witness.example.org" in await anyio.Path(folder / name).read_text()
    done = await anyio.run_process(script, cwd=folder, check=False)
    assert b"Verification: OK" in done.stdout + done.stderr
    found = await examine(
        FileStore(tmp_path / "data"),
        vkey=LOG.vkey,
        witnesses=[WITNESS.vkey],
        timestamp_certificates=certificate,
    )
    assert found.holds
    assert any(text.startswith("a timestamp: 2 records") for text in found.signer.looked_at)


def test_what_witnesses_add_later_is_not_stamped() -> None:
    text = Checkpoint(LOG.vkey.name, 0, bytes(32)).text
    note = Note(text, (LOG.signature(text.encode()),))
    cosigned = note.with_signatures([WitnessKey.new("witness.example.org").cosign(text, 5)])
    assert stamped_text(cosigned) == stamped_text(note) == str(note).encode() != str(cosigned).encode()


async def test_what_was_changed_is_found(tsa: Path, url: str) -> None:
    """The stamp of other bytes, a flipped bit anywhere, a stamp cut off, and one that is missing."""
    store, certificate = MemoryStore(), await anyio.to_thread.run_sync(root, tsa)
    await stamped(store, url, certificate)
    another = await Timestamper(url, [certificate]).stamp(b"another")
    place = f"/audit/checkpoints/{SIZE:020}.tsr"
    good = await store.read_bytes(place)
    assert good is not None
    content = (await store.read(place.removesuffix(".tsr")) or "").encode()
    flipped = [good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :] for at in range(0, len(good), 37)]
    at = check_timestamp(good, content, [certificate]).at
    unsigned = 0
    for bad in (another, good[:-1], good[:100], b"", b"\x30\x80", bytes(100), good * 50, *flipped):
        try:
            assert check_timestamp(bad, content, [certificate]).at == at
        except ProofInvalid:
            continue
        unsigned += 1  # the copy of the root that comes along, which is not believed
    assert unsigned < len(flipped) // 2
    for bad in (another, good[:100]):
        await store.write(place, bad)
        found = await examine(store, vkey=LOG.vkey, timestamp_certificates=[certificate])
        assert found.signer.outcome is Outcome.FAILS
        assert place in found.signer.faults[0]
    await store.delete(place)
    found = await examine(store, vkey=LOG.vkey, timestamp_certificates=[certificate])
    assert "has no timestamp" in found.signer.faults[0]


async def test_an_authority_that_fails_holds_up_no_log(tsa: Path, url: str, other: bytes) -> None:
    store, certificate = MemoryStore(), await anyio.to_thread.run_sync(root, tsa)
    audit = AuditLog(store, signer=LOG, timestamper=Timestamper(url, [other]))
    await audit.append({"kind": "work.done"})
    await audit.checkpoint()
    await until(lambda: audit.problem is not None)
    assert "does not hold by its certificates" in str(audit.problem)
    await audit.append({"kind": "work.done"})
    await audit.aclose()
    with pytest.raises(TimestampFailed, match="cannot be reached"):
        await Timestamper("http://127.0.0.1:9", certificate).stamp(b"x")
    assert not [name for name in await store.list("/audit/checkpoints") if name.endswith(".tsr")]


def test_an_old_response_is_not_taken_for_a_new_one(tsa: Path) -> None:
    """It has another nonce."""
    import rfc3161_client

    from hubwire.proof.timestamps import certificates_of, checked

    def request() -> Any:
        return rfc3161_client.TimestampRequestBuilder().data(b"x").nonce(nonce=True).build()

    first, second = request(), request()
    answer = answer_of(tsa, first.as_bytes())
    roots = certificates_of("test", [root(tsa)])
    assert checked(answer, b"x", roots, first.nonce).authority == "CN=Authority of time tsa"
    with pytest.raises(ProofInvalid):
        checked(answer, b"x", roots, second.nonce)


def test_the_command_checks_timestamps(tsa: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def make() -> None:
        store = FileStore(tmp_path / "data")
        await stamped(store, url, certificate)
        await store.aclose()

    certificate = root(tsa)
    anyio.run(make)
    words = ["verify", str(tmp_path / "data"), "--vkey", str(LOG.vkey), "--timestamp-cert"]
    for file, code in ((tsa / "root.pem", 0), (tsa / "config", 2), (tsa / "none", 1)):
        with pytest.raises(SystemExit) as ended:
            main([*words, str(file)])
        out, err = capsys.readouterr()
        assert ended.value.code == code, err
        assert ("a timestamp: 4 records" in out) == (not code)


def test_what_cannot_be_is_refused(tsa: Path) -> None:
    good = root(tsa)
    for url in (
        "",
        "ftp://x",
        "http://",
        "https://u:p@x",
        "https://x/?q",
        "https://x/#f",
        "https://x:0",
        "x" * 3000,
        5,
    ):
        with pytest.raises(ConfigurationError, match="url is one such as"):
            Timestamper(url, [good])  # type: ignore[arg-type]
    for certificates in ([], [b"x"], None, 5, [good[:200]], [good.replace(b"M", b"\xff")], [5]):
        with pytest.raises(ConfigurationError, match="certificates are PEM texts"):
            Timestamper("https://tsa.example.org", certificates)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="give the log a signer"):
        AuditLog(MemoryStore(), timestamper=Timestamper("https://tsa.example.org", good))
    with pytest.raises(ConfigurationError, match="timestamper is a Timestamper"):
        AuditLog(MemoryStore(), signer=LOG, timestamper="https://tsa.example.org")  # type: ignore[arg-type]
