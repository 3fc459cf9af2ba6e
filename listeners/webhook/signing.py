"""Signatures of webhooks, by Standard Webhooks, for those who send and for those who receive.

A receiver checks a message with :func:`verify` before it looks at it::

    verified = verify(body, headers, "whsec_...")  # raises SignatureInvalid: answer with status 401
    if verified.id not in handled:
        ...  # the id of the event: it may come more than once

``body`` is the bytes as they came, before they are parsed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import importlib
import re
import secrets as random_bytes
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Protocol, cast

import attrs

from hubwire.errors import ConfigurationError, SignatureInvalid
from hubwire.ports import Clock

from ._given import clock_of, is_a

__all__ = (
    "Secrets",
    "Verified",
    "new_key_pair",
    "new_secret",
    "secrets_of",
    "sha256_of",
    "sign",
    "verify",
    "verify_sha256",
)

Secrets = str | Iterable[str]
"""One secret, or several of which one is enough: a new one beside the old one, until all have the new one."""

_HMAC, _PRIVATE, _PUBLIC = "whsec_", "whsk_", "whpk_"
_HMAC_BYTES = range(24, 65)
_SECRETS_MAX = 10
_SIGNATURES_MAX = 50
_VALUE_CHARS_MAX = 10_000
_HEADERS_MAX = 1000
_ID = re.compile(r"[!-~]{1,500}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_INSTALL = "pip install 'hubwire[sign]'"


@attrs.frozen(kw_only=True)
class Verified:
    """What is known of a message whose signature is right."""

    id: str
    """The same for each delivery of one event: a receiver that has handled it need not do so again."""
    timestamp: int
    """When it was sent, in seconds since the epoch."""


class Key(Protocol):
    """A secret, as it is used."""

    version: str

    def sign(self, message: bytes) -> bytes: ...

    def is_right(self, message: bytes, signature: bytes) -> bool: ...


# --- making secrets -------------------------------------------------------------------------------------------------


def new_secret() -> str:
    """Return a new secret that sender and receiver share: ``whsec_`` and 32 random bytes in Base64."""
    return _HMAC + base64.b64encode(random_bytes.token_bytes(32)).decode()


def new_key_pair() -> tuple[str, str]:
    """Return a new private key, for the sender, and its public key, for receivers: ``whsk_...`` and ``whpk_...``.

    With these, who can verify cannot sign. It needs ``pip install 'hubwire[sign]'``, and so do both sides.
    """
    seed = random_bytes.token_bytes(32)
    public = _ed25519("new_key_pair()").Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return _PRIVATE + base64.b64encode(seed).decode(), _PUBLIC + base64.b64encode(public).decode()


# --- signing --------------------------------------------------------------------------------------------------------


def secrets_of(call: str, given: object, *, to_sign: bool) -> tuple[Key, ...]:
    """Return the keys of one secret or several. Raises :class:`~hubwire.errors.ConfigurationError`, without them."""
    try:
        is_one = type(given) is str or not is_a(given, Iterable)
        texts: list[Any] = [given] if is_one else list(islice(cast(Iterable[Any], given), _SECRETS_MAX + 1))
    except Exception as error:
        raise ConfigurationError(f"{call}: secret is a list that cannot be read; give a list of texts") from error
    if len(texts) > _SECRETS_MAX:
        raise ConfigurationError(f"{call}: secret is more than {_SECRETS_MAX} secrets; leave out the oldest")
    if not texts:
        raise ConfigurationError(f"{call}: secret is an empty list; give a secret, or several while one is replaced")
    return tuple(_key(call, each, to_sign=to_sign) for each in texts)


def _key(call: str, text: Any, *, to_sign: bool) -> Key:
    form = "whsec_ and 24 to 64 bytes in Base64: new_secret() makes one"
    if type(text) is not str:
        raise ConfigurationError(f"{call}: secret is text, {form}; it is {_class_of(text)}")
    prefix = next((each for each in (_HMAC, _PRIVATE, _PUBLIC) if text.startswith(each)), None)
    if prefix is None:
        raise ConfigurationError(f"{call}: secret begins with none of whsec_, whsk_ and whpk_; it is {form}")
    try:
        key = base64.b64decode(text.removeprefix(prefix) + "==", validate=False)
        is_clean = re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", text.removeprefix(prefix)) is not None
    except (binascii.Error, ValueError):
        key, is_clean = b"", False
    if prefix == _HMAC:
        if not is_clean or len(key) not in _HMAC_BYTES:
            raise ConfigurationError(f"{call}: secret is not {form}")
        return _Hmac(key)
    if not is_clean or len(key) not in (32, 64):
        raise ConfigurationError(f"{call}: secret is not {prefix} and the 32 bytes of a key of Ed25519 in Base64")
    if prefix == _PUBLIC and to_sign:
        raise ConfigurationError(
            f"{call}: secret is a public key, whpk_..., which cannot sign; give the whsk_... of it"
        )
    return _Ed25519(_ed25519(call), key[:32], is_private=prefix == _PRIVATE)


@attrs.frozen(eq=False, repr=False)
class _Hmac:
    _key: bytes
    version = "v1"

    def sign(self, message: bytes) -> bytes:
        return hmac.digest(self._key, message, "sha256")

    def is_right(self, message: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(self.sign(message), signature)


class _Ed25519:
    version = "v1a"

    def __init__(self, engine: Any, key: bytes, *, is_private: bool) -> None:
        self._private = engine.Ed25519PrivateKey.from_private_bytes(key) if is_private else None
        public = engine.Ed25519PublicKey.from_public_bytes
        self._public = self._private.public_key() if self._private is not None else public(key)

    def sign(self, message: bytes) -> bytes:
        assert self._private is not None, "a public key is refused where it should sign"
        signature: bytes = self._private.sign(message)
        return signature

    def is_right(self, message: bytes, signature: bytes) -> bool:
        try:
            self._public.verify(signature, message)
        except Exception:  # noqa: BLE001 - InvalidSignature, and whatever else is said of what is none
            return False
        return True


def _ed25519(call: str) -> Any:
    try:
        return importlib.import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
    except ImportError as error:
        raise ConfigurationError(f"{call}: keys of Ed25519 need the package cryptography; {_INSTALL}") from error


def sign(keys: Iterable[Key], *, id: str, timestamp: int, body: bytes) -> str:  # noqa: A002 - it is named so there
    """Return the value of ``webhook-signature``, with one signature for each key."""
    message = b"%s.%d.%s" % (id.encode(), timestamp, body)
    return " ".join(f"{key.version},{base64.b64encode(key.sign(message)).decode()}" for key in keys)


# --- verifying ------------------------------------------------------------------------------------------------------


def verify(
    body: bytes | str,
    headers: Mapping[str, Any] | Iterable[tuple[Any, Any]],
    secret: Secrets,
    *,
    tolerance_seconds: float = 300.0,
    clock: Clock | None = None,
) -> Verified:
    """Return the id and the time of a message that was signed with the secret, or one of several; else raise.

    ``body``: the bytes of the request as they came. ``headers``: those of the request, as a mapping or as pairs, of
    text or bytes. ``secret``: as the sender has it; or for ``v1a``, the public key ``whpk_...`` of the sender's.
    ``tolerance_seconds``: how far the sender's time may be from that of ``clock``, by default the system's; a message
    that was recorded and is sent again later is refused by it. Within that time, look at the id.

    Raises :class:`~hubwire.errors.SignatureInvalid`, and :class:`~hubwire.errors.ConfigurationError` for a secret that
    is none.
    """
    keys = secrets_of("verify()", secret, to_sign=False)
    if type(tolerance_seconds) not in (int, float) or not tolerance_seconds >= 0:
        raise ConfigurationError("verify(): tolerance_seconds is a number of seconds, 0 or more")
    reading = clock_of("verify()", clock)
    found = _headers(headers)
    id_, timestamp, signatures = (found.get(f"webhook-{name}") for name in ("id", "timestamp", "signature"))
    if id_ is None or timestamp is None or signatures is None:
        missing = [f"webhook-{name}" for name in ("id", "timestamp", "signature") if f"webhook-{name}" not in found]
        raise SignatureInvalid(f"the message has no {', '.join(missing)}: it was not signed by Standard Webhooks")
    if not _ID.fullmatch(id_) or not _TIMESTAMP.fullmatch(timestamp):
        raise SignatureInvalid("webhook-id or webhook-timestamp of the message is malformed")
    sent, now = int(timestamp), reading.now_ns() / 1e9
    if not abs(now - sent) <= tolerance_seconds:
        when = "ago" if now > sent else "from now"
        raise SignatureInvalid(
            f"the message was sent {abs(now - sent):.0f} s {when}, and {tolerance_seconds:g} s are allowed: it was"
            " recorded and sent again, or one of the clocks is wrong"
        )
    content = _bytes(body)
    message = b"%s.%s.%s" % (id_.encode(), timestamp.encode(), content)
    for each in signatures.split(" ")[:_SIGNATURES_MAX]:
        version, _, text = each.partition(",")
        if (signature := _decoded(text)) is None:
            continue
        if any(key.version == version and key.is_right(message, signature) for key in keys):
            return Verified(id=id_, timestamp=sent)
    raise SignatureInvalid(
        "no signature of the message fits the secret: it was signed with another one, or its body was changed; verify"
        " the bytes as they came, before they are parsed"
    )


def _headers(given: Any) -> dict[str, str]:
    try:
        pairs = list(given.items() if is_a(given, Mapping) else islice(given, _HEADERS_MAX))
        named = [(_text(name).lower(), value) for name, value in pairs]
        found = [(name, _text(value)) for name, value in named if name.startswith("webhook-")]
    except Exception as error:
        raise SignatureInvalid("the headers are neither a mapping nor pairs of name and value, as text") from error
    headers = dict(found)
    if len(headers) < len(found):
        raise SignatureInvalid("the message has one of the headers webhook-... more than once")
    return headers


def _text(value: Any) -> str:
    text = value.decode("latin-1") if type(value) is bytes else value
    if type(text) is not str or len(text) > _VALUE_CHARS_MAX:
        raise TypeError("a header is text of a bounded length")
    return text


def _bytes(body: Any) -> bytes:
    try:
        if is_a(body, str):
            return str.encode(body)
        if type(body) in (bytes, bytearray, memoryview):
            return bytes(body)
    except Exception as error:
        raise SignatureInvalid("the body cannot be read as bytes; give them as they came") from error
    raise SignatureInvalid(f"the body is bytes, as they came, not {_class_of(body)}")


def _class_of(value: object) -> str:
    """Return the class of a value that may be a secret, for an error."""
    return "None" if value is None else f"an object of class {type.__dict__['__name__'].__get__(type(value))[:60]}"


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


# --- sha256= --------------------------------------------------------------------------------------------------------


def sha256_of(body: bytes, key: bytes) -> str:
    """Return ``sha256=`` and the HMAC-SHA256 of the body in hex, as Attesta, GitHub and others have it in a header."""
    return f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"


def verify_sha256(body: bytes | str, value: str | bytes | None, secret: str | bytes) -> None:
    """Check a header of the form ``sha256=...``. It has neither a time nor an id: an old message passes, too.

    Raises :class:`~hubwire.errors.SignatureInvalid`, and :class:`~hubwire.errors.ConfigurationError` for a secret that
    is neither text nor bytes, or empty.
    """
    key = sha256_key("verify_sha256()", secret)
    try:
        given = "" if value is None else _text(value)
    except TypeError as error:
        raise SignatureInvalid("the header is neither text nor bytes") from error
    if not hmac.compare_digest(sha256_of(_bytes(body), key).encode(), given.encode(errors="replace")):
        raise SignatureInvalid(
            "the header sha256=... does not fit the secret: the message was signed with another one, or its body was"
            " changed"
        )


def sha256_key(call: str, secret: object) -> bytes:
    """Return a secret of free form as a key."""
    try:
        key = str.encode(secret) if is_a(secret, str) else secret if type(secret) is bytes else b""
    except UnicodeEncodeError:
        key = b""
    if not key:
        raise ConfigurationError(f"{call}: secret is text or bytes, not empty")
    return key
