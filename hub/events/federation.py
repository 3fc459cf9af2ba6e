"""Trust between nodes: tokens, keys, manifests, and peers that are connected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._declare import event
from ._event import Event
from ._severity import Severity

__all__ = (
    "ApiKeyRehashed",
    "FederationConnected",
    "KeyRotated",
    "ManifestPublished",
    "PeerClockSkewed",
    "ReplayRejected",
    "TokenIssued",
    "TokenRevoked",
)


@event("token.issued")
class TokenIssued(Event):
    """``actor`` issued a token to ``subject``, for ``scopes``. ``token_id`` is its id, and never the token itself."""

    token_id: str
    subject: str = ""
    scopes: tuple[str, ...] = ()
    expires_at: str | None = None
    oidc_sub: str | None = None
    attested_key_id: str | None = None
    detail: Mapping[str, Any] | None = None


@event("token.revoked")
class TokenRevoked(Event):
    """A token is valid no more."""

    token_id: str
    reason: str = ""
    oidc_sub: str | None = None
    attested_key_id: str | None = None
    detail: Mapping[str, Any] | None = None


@event("manifest.published")
class ManifestPublished(Event):
    """A node published what it is and may do. ``digest`` is that of the manifest."""

    manifest_id: str
    version: str = ""
    digest: str = ""
    attested_key_id: str | None = None
    detail: Mapping[str, Any] | None = None


@event("key.rotated")
class KeyRotated(Event):
    """A key took the place of another one. Both fields are ids."""

    key_id: str
    previous_key_id: str = ""
    reason: str = ""
    attested_key_id: str | None = None
    detail: Mapping[str, Any] | None = None


@event("api_key.rehashed")
class ApiKeyRehashed(Event):
    """The hash that is kept of an API key was made anew, with another algorithm."""

    key_id: str
    from_algorithm: str
    to_algorithm: str
    detail: Mapping[str, Any] | None = None


@event("federation.connected")
class FederationConnected(Event):
    """A peer was connected: it may send facts, or be sent them, as ``direction`` says."""

    peer_id: str
    direction: str = ""
    address: str = ""
    scope: str | None = None
    attested_key_id: str | None = None
    detail: Mapping[str, Any] | None = None


@event("replay.rejected", severity=Severity.WARNING)
class ReplayRejected(Event):
    """What a peer sent had come before, and was refused. ``nonce`` is what it was known by."""

    peer_id: str
    nonce: str = ""
    reason: str = ""
    attested_key_id: str | None = None
    detail: Mapping[str, Any] | None = None


@event("peer.clock_skewed", severity=Severity.WARNING)
class PeerClockSkewed(Event):
    """The clock of a peer differs from that of this node by more than is allowed, by ``skew_ms``.

    ``direction`` is ``future`` or ``past``. The two wall times are milliseconds since 1970.
    """

    peer_id: str
    direction: str
    skew_ms: int
    remote_wall_ms: int | None = None
    local_wall_ms: int | None = None
    max_future_skew_ms: int | None = None
    max_past_skew_ms: int | None = None
    detail: Mapping[str, Any] | None = None
