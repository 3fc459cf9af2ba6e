"""A timestamping authority on loopback: the openssl of the machine, behind a server of the standard library."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONFIG = """
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[tsa]
default_tsa = here
[here]
serial = {directory}/serial
signer_cert = {directory}/tsa.pem
certs = {directory}/root.pem
signer_key = {directory}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
"""


def openssl(directory: Path, *arguments: str, content: bytes | None = None) -> bytes:
    done = subprocess.run(["openssl", *arguments], cwd=directory, input=content, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def make_authority(directory: Path, name: str = "Authority of time") -> bytes:
    """Make keys and certificates in a directory; return the root certificate as PEM."""
    directory.mkdir()
    (directory / "config").write_text(CONFIG.format(name=name, directory=directory))
    (directory / "serial").write_text("01\n")
    for file, section, signer in (("root", "ca", ()), ("tsa", "leaf", ("-CA", "root.pem", "-CAkey", "root.key"))):
        key = ("-newkey", "rsa:2048", "-nodes", "-keyout", f"{file}.key", "-out", f"{file}.pem", "-days", "3650")
        subject = ("-subj", f"/CN={name} {file}", "-extensions", section)
        openssl(directory, "req", "-x509", "-config", "config", *key, *subject, *signer)
    return (directory / "root.pem").read_bytes()


def answer_of(directory: Path, query: bytes) -> bytes:
    """Return what the authority answers to a request."""
    file = directory / f"{threading.get_ident()}.tsq"
    file.write_bytes(query)
    return openssl(directory, "ts", "-reply", "-config", "config", "-section", "here", "-queryfile", file.name)


@contextmanager
def authority(directory: Path) -> Iterator[str]:
    """Serve an authority; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/timestamp-query"
            body = answer_of(directory, query)
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is its caller's
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/tsr"
        finally:
            server.shutdown()
            thread.join()
