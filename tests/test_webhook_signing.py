"""Signatures of webhooks: the package of Standard Webhooks reads ours, and we read its."""

from __future__ import annotations

import base64
import subprocess
import sys
import time
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
import standardwebhooks
from hypothesis import given, strategies as st

from hubwire.errors import ConfigurationError, SignatureInvalid
from hubwire.listeners.webhook import Verified, new_key_pair, new_secret, verify, verify_sha256
from hubwire.listeners.webhook.signing import secrets_of, sha256_of, sign
from hubwire.testing import ManualClock
from support.odd import ODD

BODY = b'{"a": 1}'


def signed(secret: Any, body: bytes = BODY, *, id: str = "msg_1", at: int | None = None) -> dict[str, str]:  # noqa: A002
    timestamp = int(time.time()) if at is None else at
    keys = secrets_of("test()", secret, to_sign=True)
    return {
        "Webhook-Id": id,
        "webhook-timestamp": str(timestamp),
        "WEBHOOK-SIGNATURE": sign(keys, id=id, timestamp=timestamp, body=body),
    }


@given(body=st.binary(max_size=100), size=st.integers(24, 64))
def test_the_package_and_we_sign_alike(body: bytes, size: int) -> None:
    secret = "whsec_" + base64.b64encode(bytes(range(size))).decode()
    theirs = standardwebhooks.Webhook(secret)
    text = body.hex()
    now = datetime.now(tz=UTC)  # of this call: an old message is refused
    at = int(now.timestamp())
    value = theirs.sign("id", now, text)
    keys = secrets_of("t()", secret, to_sign=True)
    assert sign(keys, id="id", timestamp=at, body=text.encode()) == value
    theirs.verify(text, {key.lower(): each for key, each in signed(secret, text.encode()).items()}, json_parse=False)
    headers = {"webhook-id": "id", "webhook-timestamp": str(at), "webhook-signature": value}
    assert verify(text.encode(), headers, secret) == Verified(id="id", timestamp=at)


def test_the_known_answer_of_the_standard_is_ours() -> None:
    """The example of the specification and of its libraries."""
    keys = secrets_of("t()", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", to_sign=True)
    made = sign(keys, id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330, body=b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_while_a_secret_is_replaced_either_is_enough() -> None:
    old, new = new_secret(), new_secret()
    for mine, theirs in (([new, old], old), ([new, old], new), (old, [new, old]), (new, (new, old))):
        assert verify(BODY, signed(mine), theirs).id == "msg_1"
    with pytest.raises(SignatureInvalid):
        verify(BODY, signed(old), new)


def test_with_a_key_pair_who_verifies_cannot_sign() -> None:
    private, public = new_key_pair()
    headers = signed(private)
    assert headers["WEBHOOK-SIGNATURE"].startswith("v1a,")
    assert verify(BODY, headers, public).id == "msg_1"
    assert verify(BODY, headers, [new_secret(), public]).id == "msg_1"
    assert verify(BODY, headers, private).id == "msg_1"
    with pytest.raises(ConfigurationError, match=r"is a public key, .* cannot sign"):
        signed(public)
    with pytest.raises(SignatureInvalid):
        verify(BODY, headers, new_key_pair()[1])


def test_one_signature_is_never_taken_for_another_version() -> None:
    secret, (private, public) = new_secret(), new_key_pair()
    both = signed([secret, private])
    assert [each.partition(",")[0] for each in both["WEBHOOK-SIGNATURE"].split(" ")] == ["v1", "v1a"]
    for wrong in ("v1", "v1a"):
        other = {**both, "WEBHOOK-SIGNATURE": signed(private if wrong == "v1" else secret)["WEBHOOK-SIGNATURE"]}
        value = other["WEBHOOK-SIGNATURE"].partition(",")[2]
        with pytest.raises(SignatureInvalid):
            verify(BODY, {**both, "WEBHOOK-SIGNATURE": f"{wrong},{value}"}, [secret, public])


@pytest.mark.parametrize("kind", ["whsec", "pair"])
def test_a_bit_that_changes_is_noticed(kind: str) -> None:
    secret = new_secret() if kind == "whsec" else new_key_pair()[0]
    headers = signed(secret)
    for position in range(len(BODY) * 8):
        changed = bytearray(BODY)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(SignatureInvalid, match="no signature of the message fits the secret"):
            verify(bytes(changed), headers, secret)
    for name, value in (("Webhook-Id", "msg_2"), ("webhook-timestamp", str(int(time.time()) + 2))):
        with pytest.raises(SignatureInvalid):
            verify(BODY, {**headers, name: value}, secret)


def test_an_old_message_is_refused() -> None:
    clock, secret = ManualClock(), new_secret()
    now = clock.now_ns() // 10**9
    for off in (-300, 0, 300):
        verify(BODY, signed(secret, at=now + off), secret, clock=clock)
    for off, words in ((-301, "sent 301 s ago, and 300 s are allowed"), (301, "from now")):
        with pytest.raises(SignatureInvalid, match=words):
            verify(BODY, signed(secret, at=now + off), secret, clock=clock)
    verify(BODY, signed(secret, at=now - 5000), secret, clock=clock, tolerance_seconds=6000)


def test_headers_come_in_any_form() -> None:
    secret = new_secret()
    headers = signed(secret)
    as_bytes = [(name.encode(), value.encode()) for name, value in headers.items()]
    forms: list[Any] = [headers, list(headers.items()), as_bytes, dict(as_bytes)]
    for given_ in forms:
        assert verify(BODY, given_, secret).id == "msg_1"
    assert verify(BODY.decode(), headers, secret).id == "msg_1"
    assert verify(bytearray(BODY), headers, secret).id == "msg_1"  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_is_missing_or_doubled_is_refused(name: str) -> None:
    secret = new_secret()
    headers = {key.lower(): value for key, value in signed(secret).items()}
    rest = {key: value for key, value in headers.items() if key != name}
    with pytest.raises(SignatureInvalid, match=f"has no {name}: it was not signed"):
        verify(BODY, rest, secret)
    with pytest.raises(SignatureInvalid, match="more than once"):
        verify(BODY, [*headers.items(), (name.upper(), "x")], secret)
    for odd in ("", "x" * 20_000, "\x00", "٣", "-1", "1e3", "v1,", ",", "v1,%%", 5, None, b"\xff"):
        with pytest.raises(SignatureInvalid):
            verify(BODY, {**headers, name: odd}, secret)


@pytest.mark.parametrize(
    "secret",
    [
        *("", "x", "secret", "whsec_", "whsec_" + "A" * 20, "whsec_" + "A" * 100, "whsec_%%%%", "whsk_AAAA", "whpk_"),
        *(None, 5, b"whsec_", [], [None], ["whsec_x"], [new_secret()] * 11),
    ],
    ids=count(),
)
def test_what_is_no_secret_is_refused_without_being_shown(secret: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"verify\(\): secret ") as caught:
        verify(BODY, {}, secret)
    assert "AAAA" not in str(caught.value)


def test_odd_arguments_are_refused() -> None:
    secret = new_secret()
    for make in ODD:
        for call in (
            lambda odd: verify(odd, signed(secret), secret),
            lambda odd: verify(BODY, odd, secret),
            lambda odd: verify(BODY, [(odd, odd)], secret),
            lambda odd: verify(BODY, signed(secret), odd),
            lambda odd: verify(BODY, signed(secret), secret, tolerance_seconds=odd),
            lambda odd: verify(BODY, signed(secret), secret, clock=odd),
            lambda odd: verify_sha256(odd, "sha256=", "s"),
            lambda odd: verify_sha256(BODY, odd, "s"),
            lambda odd: verify_sha256(BODY, "sha256=", odd),
        ):
            odd: Any = make()
            try:
                call(odd)
            except (SignatureInvalid, ConfigurationError):
                continue


# --- sha256= --------------------------------------------------------------------------------------------------------


def test_the_header_of_github_is_ours() -> None:
    """The example of GitHub's documentation."""
    value = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert sha256_of(b"Hello, World!", b"It's a Secret to Everybody") == value
    verify_sha256(b"Hello, World!", value, "It's a Secret to Everybody")
    for wrong in (None, "", value.upper(), value[:-1], f"{value} ", "sha256="):
        with pytest.raises(SignatureInvalid):
            verify_sha256(b"Hello, World!", wrong, "It's a Secret to Everybody")
    with pytest.raises(SignatureInvalid):
        verify_sha256(b"Hello, World?", value, "It's a Secret to Everybody")


# --- without the packages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "statement", "words"),
    [
        ("cryptography", "new_key_pair()", "new_key_pair(): keys of Ed25519 need the package cryptography; pip"),
        ("cryptography", "verify(b'', {}, 'whpk_' + 'A' * 43 + '=')", "pip install 'hubwire[sign]'"),
        ("httpx2", "print(Webhook('https://a.example', secret=None))", "<Webhook to https://a.example>"),
        (
            "httpx2",
            "Webhook('https://a.example', secret=None, proxy='http://b.example')",
            "Webhook(): a proxy needs the package httpx2; pip",
        ),
        ("httpx2", "print(new_secret()[:6])", "whsec_"),
    ],
)
def test_a_package_that_is_missing_is_named(missing: str, statement: str, words: str) -> None:
    program = f"""
import sys
from importlib.abc import MetaPathFinder
class Missing(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == {missing!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
from hubwire.listeners.webhook import *
try:
    {statement}
except Exception as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert words in done.stdout
