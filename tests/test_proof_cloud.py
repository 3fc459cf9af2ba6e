"""A key in a cloud's service signs a log, by the function of the guide, and the client library that people use."""

from __future__ import annotations

import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hubwire.errors import SigningFailed
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Outcome, examine
from hubwire.proof import FunctionSigner, VerifierKey
from hubwire.stores import MemoryStore

boto3 = pytest.importorskip("boto3", reason="needs boto3")
ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519", reason="needs cryptography")

GUIDE = Path(__file__).parent.parent / "docs" / "guides" / "sign-a-log.md"
ALIAS = "alias/audit"


class Service(ThreadingHTTPServer):
    """Two operations of AWS KMS, over its own protocol: a key of Ed25519 that no client can read."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.key = ed25519.Ed25519PrivateKey.generate()
        self.is_away = False

    def answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        about = {"KeyId": given["KeyId"], "SigningAlgorithm": "ED25519_SHA_512"}
        if operation == "TrentService.GetPublicKey":
            from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

            public = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            return {"KeyId": given["KeyId"], "KeyUsage": "SIGN_VERIFY", "PublicKey": b64encode(public).decode()}
        assert operation == "TrentService.Sign"
        assert given == about | {"MessageType": "RAW", "Message": given["Message"]}
        return about | {"Signature": b64encode(self.key.sign(b64decode(given["Message"]))).decode()}


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.server.is_away or given.get("KeyId") != ALIAS:
            code, answer = 400, {"__type": "DisabledException", "message": f"{ALIAS} is disabled."}
        else:
            code, answer = 200, self.server.answer(self.headers["x-amz-target"], given)
        content = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("content-type", "application/x-amz-json-1.1")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield service
        service.shutdown()
        thread.join()


@pytest.fixture
def signer(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FunctionSigner]:
    """What the guide's program makes of a client."""
    kms = boto3.client(
        "kms",
        region_name="eu-central-1",
        endpoint_url=f"http://127.0.0.1:{service.server_port}",
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )
    vkey = VerifierKey("example.org/hub/audit", 1, kms.get_public_key(KeyId=ALIAS)["PublicKey"][-32:])
    (tmp_path / "billing.vkey").write_text(str(vkey))
    monkeypatch.chdir(tmp_path)
    (block,) = [each for each in GUIDE.read_text().split("```") if "async def by_cloud" in each]
    guide: dict[str, Any] = {"kms": kms}
    exec(block.removeprefix("python"), guide)  # noqa: S102 - the guide is ours
    yield FunctionSigner(vkey, guide["by_cloud"])
    kms.close()


async def test_a_cloud_signs_a_log_by_the_function_of_the_guide(service: Service, signer: FunctionSigner) -> None:
    """While the key is disabled, the log goes on, and says that it is not signed."""
    store = MemoryStore()
    log = AuditLog(store, signer=signer, checkpoint_seconds=3600)
    await log.append({"number": 1})
    assert (await log.checkpoint()).text.split("\n")[1] == "2"
    service.is_away = True
    assert await log.append({"number": 2}) == 2
    with pytest.raises(SigningFailed, match=r"DisabledException.*alias/audit is disabled"):
        await log.checkpoint()
    service.is_away = False
    await log.checkpoint()
    await log.aclose()
    found = await examine(store, vkey=signer.vkey)
    assert (found.holds, found.signer.outcome) == (True, Outcome.HOLDS)
