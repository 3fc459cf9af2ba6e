"""A proof, a key, a signature has one text: what decodes to the same bytes by another text is refused."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from string import ascii_letters, digits

import pytest

from hubwire.errors import CheckpointInvalid, ProofInvalid
from hubwire.listeners import AuditLog
from hubwire.proof import Checkpoint, InclusionProof, KeySigner, Note
from hubwire.proof._base64 import exact_bytes
from hubwire.stores import MemoryStore

pytest.importorskip("cryptography")

ALPHABET = ascii_letters + digits + "+/"
NAME = "example.org/hub/audit"
KEY = KeySigner.new(NAME)


def spellings(text: str) -> Iterator[str]:
    """Iterate over texts that say the same to a decoder that passes over bits of the character before ``=``."""
    for found in re.finditer(r"([A-Za-z0-9+/]+)([A-Za-z0-9+/])(==?)(?![A-Za-z0-9+/=])", text):
        begun, last, end = found.groups()
        group = begun[-(4 - len(end) - 1) :]
        for other in ALPHABET:
            if other != last and b64decode(group + other + end) == b64decode(group + last + end):
                yield text[: found.start()] + begun + other + end + text[found.end() :]


@pytest.mark.parametrize("size", range(1, 7))
def test_bytes_have_one_text(size: int) -> None:
    text = b64encode(bytes(range(250, 250 + size))).decode()
    assert exact_bytes(text) == bytes(range(250, 250 + size))
    others = list(spellings(text))
    assert len(others) == {1: 15, 2: 3, 0: 0}[size % 3]
    for other in (
        *others,
        text + "=",
        text + "\n",
        " " + text,
        text[:-1],
        text.replace("+", "-"),
        text + "AA",
        "é",
        "",
    ):
        if other != text and other:
            with pytest.raises(ValueError, match=r"."):
                exact_bytes(other)


async def test_a_proof_has_one_text() -> None:
    store = MemoryStore()
    audit = AuditLog(store, signer=KEY, checkpoint_seconds=3600)
    for number in range(11):
        await audit.append({"n": number})
    proof = await audit.prove(4)
    await audit.aclose()
    assert proof.extra is not None
    proof.verify(proof.extra, KEY.vkey)
    text = str(proof)
    others = list(spellings(text))
    assert len(others) >= 3 * 6, "hashes, the line, the root and the signature"
    for other in others:
        with pytest.raises(ProofInvalid):  # of the root it is the signature that does not hold
            InclusionProof.parse(other).verify(proof.extra, KEY.vkey)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (f"a\n\n{KEY.signature(b'a')}", Note.parse),
        (Checkpoint(NAME, 3, bytes(range(32))).text, Checkpoint.parse),
    ],
    ids=["signature", "root"],
)
def test_a_signature_and_a_root_have_one_text(text: str, read: Callable[[str], object]) -> None:
    """Keys have no bits to pass over: they are of 33 bytes."""
    read(text)
    others = list(spellings(text))
    assert len(others) == 3
    for other in others:
        with pytest.raises(CheckpointInvalid):
            read(other)
