"""Timestamps of RFC 3161: an authority says by a signature of its own that a checkpoint was there at a time.

What is stamped is the checkpoint as its log has signed it: text, empty line and signatures of the log, without what
witnesses add later. So it shows, too, that the signature was made before a key was stolen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs

from .._values import Value
from ..errors import ConfigurationError, ProofInvalid, TimestampFailed
from ._der import with_sorted_certificates
from ._posting import NoAnswer, address_of, post
from .cosigning import shown
from .note import Checkpoint, Note

if TYPE_CHECKING:
    from ssl import SSLContext
else:
    SSLContext = object

__all__ = ("Timestamp", "Timestamper", "check_timestamp", "stamped_text")

_SECONDS_MAX = 15.0
_RESPONSE_BYTES_MAX = 64 * 1024
_CERTIFICATES_MAX = 100
_GRANTED = 0
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_STATUSES = {1: "granted with changes", 2: "rejected", 3: "waiting", 4: "a warning of revocation", 5: "revoked"}


def stamped_text(note: Note) -> bytes:
    """Return the bytes of a checkpoint that are stamped: all but the lines of witnesses."""
    origin = Checkpoint.parse(note.text).origin
    return str(Note(note.text, tuple(each for each in note.signatures if each.name == origin))).encode()


@attrs.frozen(eq=False, repr=False)
class Timestamp(Value):
    """A timestamp that holds."""

    at: datetime
    """When the authority has seen what it has stamped; in UTC."""
    authority: str
    """The subject of its certificate."""


def _library() -> Any:
    try:
        import rfc3161_client  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            "timestamps of RFC 3161 need the package rfc3161-client; install hubwire[timestamp]"
        ) from error
    return rfc3161_client


def certificates_of(call: str, certificates: object) -> list[Any]:
    """Return the certificates that PEM texts hold. Raises :class:`~hubwire.errors.ConfigurationError`."""
    wanted = f"{call}: certificates are PEM texts of the authority's root, such as Path('tsa.pem').read_bytes()"
    if type(certificates) in (str, bytes):
        certificates = [certificates]
    if type(certificates) not in (list, tuple):
        raise ConfigurationError(f"{wanted}, not {type(certificates).__name__}")
    found: list[Any] = []
    for each in certificates:  # type: ignore[attr-defined]
        content = each.encode(errors="replace") if type(each) is str else each
        if type(content) is not bytes or not (texts := _PEM.findall(content)):
            raise ConfigurationError(f"{wanted}; one of them holds no certificate")
        found += [_certificate(text, wanted) for text in texts]
    if not 0 < len(found) <= _CERTIFICATES_MAX:
        raise ConfigurationError(f"{wanted}: 1 to {_CERTIFICATES_MAX}, and these are {len(found)}")
    return list(dict.fromkeys(found))


def _certificate(text: bytes, wanted: str) -> Any:
    _library()
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415 - an extra

    try:
        return load_pem_x509_certificate(text)
    except ValueError as error:
        raise ConfigurationError(f"{wanted}; one of them is damaged: {error!s:.200}") from error


def check_timestamp(response: bytes, content: bytes, certificates: Iterable[str | bytes] | str | bytes) -> Timestamp:
    """Return the timestamp that an authority's response is, over just this content.

    ``certificates`` are PEM texts, which the reader has from elsewhere: the roots that its chain has to end in. They
    have to be valid at the time of the stamp, not now. Raises :class:`~hubwire.errors.ProofInvalid` if it does not
    hold, and :class:`~hubwire.errors.ConfigurationError` for certificates that are none.
    """
    roots = certificates_of("check_timestamp()", certificates if type(certificates) is not set else list(certificates))
    return checked(response, content, roots)


def checked(response: object, content: bytes, roots: list[Any], nonce: int | None = None) -> Timestamp:
    """Return the timestamp that a response is, by certificates that were read. Raises as :func:`check_timestamp`."""
    library = _library()
    if type(response) is not bytes or len(response) > _RESPONSE_BYTES_MAX:
        raise ProofInvalid(f"the response of a timestamping authority has at most {_RESPONSE_BYTES_MAX:,} bytes")
    try:
        found = library.decode_timestamp_response(with_sorted_certificates(response))
        library.VerifierBuilder(roots=list(roots), nonce=nonce).build().verify_message(found, content)
        at = found.tst_info.gen_time
        return Timestamp(at.astimezone(UTC), _signer_of(found))
    except ConfigurationError:
        raise
    except BaseException as error:
        # Native code may panic by a class that is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ProofInvalid(f"the timestamp does not hold: {error!s:.200}") from error


def _signer_of(response: Any) -> str:
    from cryptography.x509 import load_der_x509_certificate  # noqa: PLC0415 - an extra

    infos = response.signed_data.signer_infos
    for each in map(load_der_x509_certificate, response.signed_data.certificates):
        if any(each.issuer == info.issuer and each.serial_number == info.serial_number for info in infos):
            return str(each.subject.rfc4514_string())[:200]
    return "an authority without a certificate in the response"


class Timestamper:
    """A timestamping authority at a URL, which an audit log has stamp the checkpoints that it keeps for good."""

    def __init__(
        self,
        url: str,
        certificates: Iterable[str | bytes] | str | bytes,
        *,
        interval_seconds: float = 60.0,
        seconds_max: float = _SECONDS_MAX,
        ssl_context: SSLContext | None = None,
    ) -> None:
        """``certificates`` are PEM texts of the authority's roots: a response that does not hold by them is not kept.

        It is asked each ``interval_seconds`` at most, for the newest checkpoint, and has ``seconds_max``. Raises
        :class:`~hubwire.errors.ConfigurationError`, also without the extra ``timestamp``.
        """
        self._address = address_of("Timestamper()", url)
        self._roots = certificates_of("Timestamper()", certificates)
        for name, value in (("interval_seconds", interval_seconds), ("seconds_max", seconds_max)):
            if type(value) not in (int, float) or not 0 <= value <= 31_536_000 or (name == "seconds_max" and not value):
                raise ConfigurationError(f"Timestamper(): {name} is a number of seconds, not {shown(value)}")
        if ssl_context is not None and not hasattr(ssl_context, "wrap_bio"):
            raise ConfigurationError(f"Timestamper(): ssl_context is an SSLContext, not {type(ssl_context).__name__}")
        self.interval_seconds: float = float(interval_seconds)
        self.seconds_max: float = float(seconds_max)
        self._ssl = ssl_context

    def __repr__(self) -> str:
        return f"Timestamper({self._address.origin!r})"

    async def stamp(self, content: bytes) -> bytes:
        """Have bytes stamped; return the authority's response, as ``openssl ts -verify`` takes it. It was checked.

        Raises :class:`~hubwire.errors.TimestampFailed`.
        """
        library = _library()
        if type(content) is not bytes or not content:
            raise ConfigurationError("stamp(): content is bytes, one or more")
        builder = library.TimestampRequestBuilder().data(content).hash_algorithm(library.HashAlgorithm.SHA256)
        request = builder.nonce(nonce=True).cert_request(cert_request=True).build()
        try:
            answer = await post(
                self._address,
                "" if self._address.path else "/",
                request.as_bytes(),
                content_type="application/timestamp-query",
                seconds=self.seconds_max,
                bytes_max=_RESPONSE_BYTES_MAX,
                ssl=self._ssl,
            )
        except NoAnswer as error:
            raise self._failed(str(error)) from error
        if answer.status != 200:
            raise self._failed(f"has answered with {answer.status}")
        try:
            status = library.decode_timestamp_response(with_sorted_certificates(answer.body)).status
            if status != _GRANTED:
                raise self._failed(f"has not granted it, but answered: {_STATUSES.get(status, status)}")
            checked(answer.body, content, self._roots, request.nonce)
        except ProofInvalid as error:
            raise self._failed(f"has answered what does not hold by its certificates: {error!s:.200}") from error
        except ValueError as error:
            raise self._failed(f"has answered what is no timestamp: {error!s:.200}") from error
        return answer.body

    def _failed(self, what: str) -> TimestampFailed:
        return TimestampFailed(f"the timestamping authority at {self._address.origin} {what}")
