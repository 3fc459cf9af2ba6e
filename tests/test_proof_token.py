"""A key that no program can read: it is in a token, here SoftHSM's, and signs by PKCS#11."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from anyio.to_thread import run_sync

from hubwire.errors import SigningFailed
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Outcome, examine
from hubwire.proof import FunctionSigner, VerifierKey
from hubwire.stores import MemoryStore

pkcs11 = pytest.importorskip("pkcs11", reason="needs python-pkcs11")

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "1234"

pytestmark = pytest.mark.skipif(
    shutil.which("softhsm2-util") is None or not MODULE.exists(), reason="needs softhsm2, a token in software"
)


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A session with a token of its own."""
    settings = tmp_path / "softhsm2.conf"
    (tmp_path / "tokens").mkdir()
    settings.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(settings))
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "hubwire", "--pin", PIN, "--so-pin", "5678"],
        check=True,
        capture_output=True,
    )
    library = pkcs11.lib(str(MODULE))
    library.reinitialize()
    session = library.get_token(token_label="hubwire").open(rw=True, user_pin=PIN)
    yield session
    with suppress(pkcs11.SessionHandleInvalid):  # a test may have closed it
        session.close()


def keys_in(session: Any) -> tuple[VerifierKey, Any]:
    """Make a key in the token; return its public half, and the handle of the other."""
    curve = {pkcs11.Attribute.EC_PARAMS: b"\x13\x0cedwards25519"}  # a PrintableString of DER
    parameters = session.create_domain_parameters(pkcs11.KeyType.EC_EDWARDS, curve, local=True)
    public, private = parameters.generate_keypair(
        mechanism=pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label="audit"
    )
    return VerifierKey("example.org/hub/audit", 1, public[pkcs11.Attribute.EC_POINT][-32:]), private


async def test_a_token_signs_a_log(session: Any) -> None:
    vkey, private = keys_in(session)

    async def by_token(text: bytes) -> bytes:
        signature: bytes = await run_sync(lambda: private.sign(text, mechanism=pkcs11.Mechanism.EDDSA))
        return signature

    store = MemoryStore()
    log = AuditLog(store, signer=FunctionSigner(str(vkey), by_token))
    for number in range(5):
        await log.append({"number": number})
    await log.checkpoint()
    await log.aclose()
    found = await examine(store, vkey=vkey)
    assert found.holds
    assert found.signer.outcome is Outcome.HOLDS


async def test_a_token_that_was_taken_away_stops_nothing(session: Any) -> None:
    """The log goes on, and says that it is not signed."""
    vkey, private = keys_in(session)

    async def by_token(text: bytes) -> bytes:
        signature: bytes = await run_sync(lambda: private.sign(text, mechanism=pkcs11.Mechanism.EDDSA))
        return signature

    log = AuditLog(MemoryStore(), signer=FunctionSigner(str(vkey), by_token), checkpoint_seconds=3600)
    await log.append({"number": 0})
    await run_sync(session.close)
    with pytest.raises(SigningFailed, match="the signer of the log /audit failed"):
        await log.checkpoint()
    assert await log.append({"number": 1}) == 2
    await log.aclose()
    assert "cannot sign the log" in (log.problem or "")
