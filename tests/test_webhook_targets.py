"""Where webhooks may connect to, and with what they can be made."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from webhook_endpoint import Endpoint

from hubwire import AttachmentState, Duty, Hub
from hubwire.addresses import AddressGuard
from hubwire.errors import ConfigurationError
from hubwire.listeners.webhook import (
    Webhook,
    new_key_pair,
)
from hubwire.stores import MemoryStore
from support import until
from support.odd import ODD
from support.webhooks import SOON, numbers, order, sending

# --- where to -------------------------------------------------------------------------------------------------------


async def test_a_name_that_leads_inside_is_not_connected_to() -> None:
    """Also where it did lead outside when the webhook was made."""

    async def resolver(_: str, __: int) -> list[str]:
        return ["127.0.0.1"]

    async with Endpoint() as endpoint, Hub(MemoryStore()) as hub:
        url = f"https://hooks.example.com:{endpoint.port}/hook"
        webhook = Webhook(url, secret=None, guard=AddressGuard(resolver=resolver), retry=SOON, attempts_max=3)
        attachment = hub.attach(webhook, pattern="order.*")
        await attachment.ready()
        await hub.emit(order(0))
        await until(lambda: attachment.state is AttachmentState.SUSPENDED)
        assert "leads to '127.0.0.1', which is not public" in str(attachment.suspension)
        assert endpoint.connections == 0


def certificate(name: str, path: Path) -> ssl.SSLContext:
    """Return the context of a server of this name; its certificate is at ``path``, and trusted who trusts that."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(tz=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM
    private = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(form) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@pytest.mark.parametrize("host", ["hooks.example.com", "other.example.com"])
async def test_the_address_is_the_one_that_was_looked_at_and_the_certificate_that_of_the_name(
    host: str, tmp_path: Path
) -> None:
    """The name is resolved once for many deliveries; a server of another name is not believed."""
    asked = []

    async def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    context = await asyncio.to_thread(certificate, "hooks.example.com", tmp_path / "pem")
    tls = await asyncio.to_thread(ssl.create_default_context, cafile=tmp_path / "pem")
    guard = AddressGuard(allow=["127.0.0.0/8"], resolver=resolver)
    async with Endpoint(tls=context) as endpoint, Hub(MemoryStore()) as hub:
        url = f"https://{host}:{endpoint.port}/hook?a=%2F&b"
        webhook = Webhook(url, secret=None, pattern="order.*", guard=guard, tls=tls, retry=SOON, attempts_max=2)
        attachment = hub.attach(webhook)
        await attachment.ready()
        for n in range(5):
            await hub.emit(order(n))
        if host == "hooks.example.com":
            await hub.flush()
            assert numbers(endpoint.requests) == [0, 1, 2, 3, 4]
            assert endpoint.requests[0].headers["host"] == f"hooks.example.com:{endpoint.port}"
            assert endpoint.requests[0].target == "/hook?a=%2F&b"
            assert asked == ["hooks.example.com"]
        else:
            await until(lambda: attachment.state is AttachmentState.SUSPENDED)
            assert "certificate" in str(attachment.suspension).lower()
            assert endpoint.requests == []


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with Endpoint() as endpoint, sending(endpoint) as (hub, _, _):
        await hub.emit(order(0))
        await hub.flush()
    assert numbers(endpoint.requests) == [0]


async def test_a_proxy_that_is_chosen_is_used() -> None:
    async with Endpoint() as proxy, Endpoint() as endpoint:  # noqa: SIM117
        async with sending(endpoint, proxy=f"http://127.0.0.1:{proxy.port}") as (hub, _, _):
            await hub.emit(order(0))
            await hub.flush()
    assert endpoint.requests == []
    assert proxy.requests[0].headers["host"] == f"127.0.0.1:{endpoint.port}"
    assert numbers(proxy.requests) == [0]


# --- arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": "http://example.com/"}, "use https"),
        ({"url": "https://10.0.0.1/"}, "not a public address"),
        ({"secret": "hello"}, "secret begins with none of whsec_"),
        ({"secret": new_key_pair()[1]}, "cannot sign"),
        ({"body": "xml"}, "body is 'cloudevent' or 'plain', not 'xml'"),
        ({"source": "my hub"}, "source is a URI"),
        ({"headers": {"Host": "x"}}, "headers has Host, which the webhook writes itself"),
        ({"headers": {"a b": "x"}}, "a name that no header can have"),
        ({"headers": {"X": "hidden\r\nY: z"}}, "the value of X in headers is not printable ASCII"),
        ({"headers": [("X", "y")]}, "headers is a mapping"),
        ({"headers": {"X": "y", "x": "z"}}, "headers has x twice"),
        ({"sha256": "x"}, r"sha256 is a Sha256Header\(secret\)"),
        ({"timeout": 0}, "timeout is a number of seconds, more than 0"),
        ({"connect_timeout": None}, "connect_timeout is a number of seconds"),
        ({"retry": 5}, "retry is a hubwire.Backoff"),
        ({"attempts_max": 0}, "attempts_max is a whole number from 1"),
        ({"failures_max": True}, "failures_max is a whole number from 1"),
        ({"guard": "x"}, "guard is a hubwire.addresses.AddressGuard"),
        ({"guard": AddressGuard(), "allow": ["10.0.0.0/8"]}, "allow and guard are both given"),
        ({"proxy": "hidden@x"}, "proxy is the URL of a proxy"),
        ({"tls": True}, "tls is an ssl.SSLContext"),
        ({"redactor": "x"}, "redactor is a hubwire.redaction.Redactor"),
        ({"pattern": 5}, "pattern is a kind"),
        ({"clock": 5}, "clock is a hubwire.ports.Clock"),
    ],
)
def test_a_wrong_argument_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        Webhook(**{"url": "https://example.com/", "secret": None, **settings})
    assert "hidden" not in str(caught.value)


def test_odd_arguments_are_refused() -> None:
    names = "url secret body source headers sha256 redactor allow guard proxy tls timeout retry attempts_max clock"
    for make in ODD:
        for name in [*names.split(), "failures_max", "connect_timeout", "write_timeout", "read_timeout"]:
            try:
                Webhook(**{"url": "https://example.com/", "secret": None, name: make()})
            except ConfigurationError as error:
                assert len(str(error)) < 1000  # noqa: PT017 - most are refused, and some are fine


def test_neither_secret_nor_path_is_shown() -> None:
    webhook = Webhook("https://example.com/hidden?token=hidden", secret="whsec_" + "hidden00" * 5)
    assert repr(webhook) == "<Webhook to https://example.com>"


async def test_a_webhook_holds_up_no_commit() -> None:
    async with Hub(MemoryStore()) as hub:
        with pytest.raises(ConfigurationError, match="a webhook cannot be REQUIRED"):
            hub.attach(Webhook("https://example.com/", secret=None), duty=Duty.REQUIRED)
        assert hub.attachments == ()
